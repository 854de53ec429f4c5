//! The state behind a simulated disk: inodes, and the calls on them, one after another.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::disk::{DirEntry, DiskSpace, OpenMode};

use super::change::{Cached, FileChange, Ino, NameChange, Names};
use super::faults::Faults;
use super::loss::{self, CrashPoint};
use super::trace::Trace;
use crate::rng::SimRng;

const ROOT: Ino = 0;

/// Reported where no capacity is set.
const ROOMY_BYTES: u64 = 1 << 40;

/// A file or a directory.
#[derive(Debug, Clone)]
pub(super) enum Inode {
    File(Cached<Vec<u8>, FileChange>),
    Dir(Cached<Names, NameChange>),
}

impl Inode {
    pub(super) fn evict(&mut self) {
        match self {
            Self::File(file) => file.evict(),
            Self::Dir(dir) => dir.evict(),
        }
    }
}

/// How the files of a disk are looked at from outside.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    /// As the device has them, which is what is left for certain when the power fails; and not as processes see them.
    pub(super) on_device: bool,
    /// Which files, and which directories.
    pub(super) wants: &'a dyn Fn(&Path) -> bool,
}

impl Look<'_> {
    fn of<'c, S, C>(&self, cached: &'c Cached<S, C>) -> &'c S {
        if self.on_device { &cached.durable } else { &cached.seen }
    }
}

#[derive(Debug, Clone)]
pub(super) struct State {
    inodes: BTreeMap<Ino, Arc<Inode>>,
    next_ino: Ino,
    /// Which start of the machine this is.
    pub(super) boot: u64,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) rng: SimRng,
    pub(super) faults: Faults,
    pub(super) mutations: u64,
    /// The power is cut when this mutation would begin.
    pub(super) cut_at: Option<u64>,
    pub(super) is_off: bool,
    /// The number of the last sync that failed.
    pub(super) failed_sync: Option<u64>,
    pub(super) trace: Trace,
    /// `Some` while crash points are collected.
    pub(super) points: Option<Vec<CrashPoint>>,
}

fn error(kind: io::ErrorKind, what: &str, path: &Path, reason: &str) -> io::Error {
    io::Error::new(kind, format!("cannot {what} {}: {reason}", path.display()))
}

fn not_found(what: &str, path: &Path) -> io::Error {
    error(io::ErrorKind::NotFound, what, path, "there is no such file or directory")
}

/// An I/O error of the device (EIO).
fn device_error(what: &str, path: &Path) -> io::Error {
    error(io::ErrorKind::Other, what, path, "input/output error (simulated)")
}

fn parent_and_name(path: &Path) -> io::Result<(&Path, Arc<str>)> {
    match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Some(parent), Some(name)) => Ok((parent, name.into())),
        _ => Err(error(io::ErrorKind::InvalidInput, "use", path, "it has no name")),
    }
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        let root = Inode::Dir(Cached::of(Names::new()));
        Self {
            inodes: BTreeMap::from([(ROOT, Arc::new(root))]),
            next_ino: ROOT + 1,
            boot: seed,
            locks: BTreeSet::new(),
            rng: SimRng::new(seed),
            faults: Faults::default(),
            mutations: 0,
            cut_at: None,
            is_off: false,
            failed_sync: None,
            trace: Trace::new(),
            points: None,
        }
    }

    /// The same files on a machine, or in a process, that starts: no locks, no faults.
    pub(super) fn restarted(&self, seed: u64) -> Self {
        let fresh = Self::new(seed);
        Self { inodes: self.inodes.clone(), next_ino: self.next_ino, boot: self.boot, ..fresh }
    }

    pub(super) fn inodes_mut(&mut self) -> impl Iterator<Item = &mut Inode> {
        self.inodes.values_mut().map(Arc::make_mut)
    }

    /// Drops what no name leads to.
    pub(super) fn forget_unreachable(&mut self) {
        let mut reached = BTreeSet::new();
        let mut to_visit = vec![ROOT];
        while let Some(ino) = to_visit.pop() {
            if reached.insert(ino)
                && let Some(Inode::Dir(dir)) = self.inodes.get(&ino).map(|inode| &**inode)
            {
                to_visit.extend(dir.seen.values());
            }
        }
        self.inodes.retain(|ino, _| reached.contains(ino));
    }

    // Before and after each call.

    pub(super) fn check_power(&self, what: &str, path: &Path) -> io::Result<()> {
        if self.is_off { Err(error(io::ErrorKind::Other, what, path, "the power is off")) } else { Ok(()) }
    }

    /// Counts a change that is about to be made, and cuts the power if it is its turn.
    fn begin(&mut self, what: &str, path: &Path) -> io::Result<()> {
        self.check_power(what, path)?;
        if self.cut_at.is_some_and(|cut_at| self.mutations >= cut_at) {
            self.is_off = true;
            return self.check_power(what, path);
        }
        self.mutations += 1;
        self.note(what, path);
        Ok(())
    }

    pub(super) fn note(&mut self, what: &str, path: &Path) {
        self.trace.bytes(what.as_bytes());
        self.trace.bytes(path.as_os_str().as_encoded_bytes());
        let mutations = self.mutations;
        self.trace.say(|| format!("{mutations:>5} {what} {}", path.display()));
    }

    fn point(&mut self, mid_write: bool) {
        if let Some(mut points) = self.points.take() {
            points.push(CrashPoint { state: self.clone(), mutation: self.mutations, mid_write });
            self.points = Some(points);
        }
    }

    fn fails(&mut self, per_mille: u32) -> bool {
        let fails = self.rng.per_mille(per_mille);
        if fails {
            self.trace.say(|| "      ... which fails".to_owned());
        }
        fails
    }

    // Finding.

    fn inode(&self, ino: Ino) -> &Inode {
        &self.inodes[&ino]
    }

    fn file(&self, ino: Ino) -> &Cached<Vec<u8>, FileChange> {
        match self.inode(ino) {
            Inode::File(file) => file,
            Inode::Dir(_) => unreachable!("only files are opened"),
        }
    }

    fn file_mut(&mut self, ino: Ino) -> &mut Cached<Vec<u8>, FileChange> {
        match self.inodes.get_mut(&ino).map(Arc::make_mut) {
            Some(Inode::File(file)) => file,
            _ => unreachable!("only files are opened"),
        }
    }

    fn dir_mut(&mut self, ino: Ino) -> &mut Cached<Names, NameChange> {
        match self.inodes.get_mut(&ino).map(Arc::make_mut) {
            Some(Inode::Dir(dir)) => dir,
            _ => unreachable!("names were looked up in a directory"),
        }
    }

    fn find(&self, path: &Path) -> Option<Ino> {
        path.components().try_fold(ROOT, |ino, component| match (component, self.inode(ino)) {
            (Component::RootDir | Component::CurDir, _) => Some(ino),
            (Component::Normal(name), Inode::Dir(dir)) => dir.seen.get(name.to_str()?).copied(),
            _ => None,
        })
    }

    fn find_dir(&self, path: &Path, what: &str) -> io::Result<Ino> {
        match self.find(path).map(|ino| (ino, self.inode(ino))) {
            None => Err(not_found(what, path)),
            Some((ino, Inode::Dir(_))) => Ok(ino),
            Some(_) => Err(error(io::ErrorKind::NotADirectory, what, path, "it is a file")),
        }
    }

    fn find_file(&self, path: &Path, what: &str) -> io::Result<Ino> {
        match self.find(path).map(|ino| (ino, self.inode(ino))) {
            None => Err(not_found(what, path)),
            Some((ino, Inode::File(_))) => Ok(ino),
            Some(_) => Err(error(io::ErrorKind::IsADirectory, what, path, "it is a directory")),
        }
    }

    /// The bytes of all files that have a name.
    pub(super) fn used_bytes(&self) -> u64 {
        let len = |inode: &Arc<Inode>| match &**inode {
            Inode::File(file) => file.seen.len() as u64,
            Inode::Dir(_) => 0,
        };
        self.inodes.values().map(len).sum()
    }

    /// All files below `path` with their bytes, as running processes see them.
    pub(super) fn contents(&self, path: &Path, into: &mut BTreeMap<PathBuf, Bytes>) {
        self.contents_of(path, Look { on_device: false, wants: &|_| true }, into);
    }

    /// The files below `path` that are wanted, without those below directories that are not.
    pub(super) fn contents_of(&self, path: &Path, look: Look<'_>, into: &mut BTreeMap<PathBuf, Bytes>) {
        let mut ino = ROOT;
        for name in path.iter().skip(1) {
            let found = match self.inodes.get(&ino).map(|inode| &**inode) {
                Some(Inode::Dir(dir)) => name.to_str().and_then(|name| look.of(dir).get(name)),
                _ => None,
            };
            let Some(found) = found else { return };
            ino = *found;
        }
        self.contents_below(ino, path, look, into);
    }

    fn contents_below(&self, ino: Ino, path: &Path, look: Look<'_>, into: &mut BTreeMap<PathBuf, Bytes>) {
        match self.inodes.get(&ino).map(|inode| &**inode) {
            Some(Inode::File(file)) => {
                let content: &Vec<u8> = look.of(file);
                into.insert(path.to_owned(), Bytes::copy_from_slice(content));
            }
            Some(Inode::Dir(dir)) => {
                for (name, ino) in look.of(dir) {
                    let path = path.join(&**name);
                    if (look.wants)(&path) {
                        self.contents_below(*ino, &path, look, into);
                    }
                }
            }
            None => {}
        }
    }

    /// Changes a file behind everybody's back, on the device and in the cache.
    pub(super) fn tamper(&mut self, path: &Path, change: impl Fn(&mut Vec<u8>)) {
        if let Ok(ino) = self.find_file(path, "tamper with") {
            let file = self.file_mut(ino);
            change(&mut file.seen);
            change(Arc::make_mut(&mut file.durable));
        }
    }

    /// Takes a name away behind everybody's back.
    pub(super) fn lose(&mut self, path: &Path) {
        let Ok((parent, name)) = parent_and_name(path) else { return };
        if let Ok(ino) = self.find_dir(parent, "look into") {
            let dir = self.dir_mut(ino);
            dir.change(NameChange::Unlink(name));
            dir.sync();
        }
    }

    // The calls on names.

    pub(super) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<Ino> {
        self.check_power("open", path)?;
        match (self.find_file(path, "open"), mode) {
            (Ok(_), OpenMode::CreateNew) => {
                Err(error(io::ErrorKind::AlreadyExists, "create", path, "it is there already"))
            }
            (Ok(ino), _) => Ok(ino),
            (Err(e), OpenMode::CreateNew | OpenMode::Create) if e.kind() == io::ErrorKind::NotFound => {
                self.create(path, Inode::File(Cached::of(Vec::new())))
            }
            (Err(e), _) => Err(e),
        }
    }

    fn create(&mut self, path: &Path, inode: Inode) -> io::Result<Ino> {
        let (parent, name) = parent_and_name(path)?;
        let parent = self.find_dir(parent, "create")?;
        self.begin("create", path)?;
        if self.fails(self.faults.name_errors_per_mille) {
            return Err(device_error("create", path));
        }
        let ino = self.next_ino;
        self.next_ino += 1;
        self.inodes.insert(ino, Arc::new(inode));
        self.dir_mut(parent).change(NameChange::Link(name, ino));
        self.point(false);
        Ok(ino)
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        self.check_power("create", path)?;
        if let Some(parent) = path.parent()
            && self.find(parent).is_none()
        {
            self.create_dir_all(parent)?;
        }
        match self.find_dir(path, "create the directory") {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.create(path, Inode::Dir(Cached::of(Names::new()))).map(drop)
            }
            found => found.map(drop),
        }
    }

    pub(super) fn list(&mut self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.check_power("list", path)?;
        let ino = self.find_dir(path, "list")?;
        let Inode::Dir(dir) = self.inode(ino) else { return Ok(Vec::new()) };
        let entry = |(name, ino): (&Arc<str>, &Ino)| {
            let (is_dir, len_bytes) = match self.inode(*ino) {
                Inode::File(file) => (false, file.seen.len() as u64),
                Inode::Dir(_) => (true, 0),
            };
            DirEntry { name: name.to_string(), is_dir, len_bytes }
        };
        Ok(dir.seen.iter().map(entry).collect())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.check_power("rename", from)?;
        let ino = self.find(from).ok_or_else(|| not_found("rename", from))?;
        let ((from_dir, from_name), (to_dir, to_name)) = (parent_and_name(from)?, parent_and_name(to)?);
        if from_dir != to_dir {
            let reason = "this disk renames within a directory only";
            return Err(error(io::ErrorKind::CrossesDevices, "rename", from, reason));
        }
        if let (Some(Inode::Dir(target)), true) = (self.find(to).map(|ino| self.inode(ino)), from != to)
            && !target.seen.is_empty()
        {
            return Err(error(io::ErrorKind::DirectoryNotEmpty, "rename over", to, "it is not empty"));
        }
        let dir = self.find_dir(from_dir, "rename")?;
        self.begin("rename", from)?;
        self.trace.bytes(to_name.as_bytes());
        if self.fails(self.faults.name_errors_per_mille) {
            return Err(device_error("rename", from));
        }
        self.dir_mut(dir).change(NameChange::Rename { from: from_name, to: to_name, ino });
        self.point(false);
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.check_power("remove", path)?;
        self.find_file(path, "remove")?;
        self.unlink(path)
    }

    /// Entry by entry, so that a crash may come in between.
    pub(super) fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        for entry in self.list(path)? {
            let path = path.join(&entry.name);
            if entry.is_dir { self.remove_dir_all(&path)? } else { self.unlink(&path)? }
        }
        self.unlink(path)
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = parent_and_name(path)?;
        let parent = self.find_dir(parent, "remove")?;
        self.begin("remove", path)?;
        if self.fails(self.faults.name_errors_per_mille) {
            return Err(device_error("remove", path));
        }
        self.dir_mut(parent).change(NameChange::Unlink(name));
        self.point(false);
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        self.check_power("sync the directory", path)?;
        let ino = self.find_dir(path, "sync the directory")?;
        self.begin("sync the directory", path)?;
        if self.fails(self.faults.sync_errors_per_mille) {
            let mut rng = self.rng.fork(1);
            let dir = self.dir_mut(ino);
            let survives = loss::names_after(dir, None, &mut rng);
            dir.fail_sync(survives);
            self.failed_sync = Some(self.mutations);
            return Err(device_error("sync the directory", path));
        }
        self.dir_mut(ino).sync();
        self.point(false);
        Ok(())
    }

    /// Syncs every file and directory.
    pub(super) fn sync_all(&mut self, path: &Path) -> io::Result<()> {
        self.begin("sync all that is with", path)?;
        let fails = self.fails(self.faults.sync_errors_per_mille);
        let mut rng = self.rng.fork(3);
        for inode in self.inodes_mut() {
            match inode {
                Inode::File(file) if fails => {
                    let survives = loss::file_after(file, None, &mut rng);
                    file.fail_sync(survives);
                }
                Inode::Dir(dir) if fails => {
                    let survives = loss::names_after(dir, None, &mut rng);
                    dir.fail_sync(survives);
                }
                Inode::File(file) => file.sync(),
                Inode::Dir(dir) => dir.sync(),
            }
        }
        if fails {
            self.failed_sync = Some(self.mutations);
            return Err(device_error("sync all that is with", path));
        }
        self.point(false);
        Ok(())
    }

    pub(super) fn read_whole(&mut self, path: &Path) -> io::Result<Bytes> {
        self.check_power("read", path)?;
        let ino = self.find_file(path, "read")?;
        self.read(ino, path, 0, usize::MAX)
    }

    pub(super) fn space(&self) -> DiskSpace {
        let total_bytes = self.faults.capacity_bytes.unwrap_or(ROOMY_BYTES);
        DiskSpace { total_bytes, usable_bytes: total_bytes.saturating_sub(self.used_bytes()) }
    }

    // The calls on an open file.

    pub(super) fn read(&mut self, ino: Ino, path: &Path, offset: u64, len: usize) -> io::Result<Bytes> {
        self.check_power("read", path)?;
        if self.fails(self.faults.read_errors_per_mille) {
            return Err(device_error(&format!("read at byte {offset} of"), path));
        }
        let seen = &self.file(ino).seen;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(seen.len());
        let to = from.saturating_add(len).min(seen.len());
        let bytes = Bytes::copy_from_slice(&seen[from..to]);
        self.trace.number(offset ^ bytes.len() as u64);
        Ok(bytes)
    }

    pub(super) fn write(&mut self, ino: Ino, path: &Path, offset: u64, buffers: &[Bytes]) -> io::Result<()> {
        self.begin("write", path)?;
        let data = Bytes::from(buffers.concat());
        self.trace.number(offset);
        self.trace.bytes(&data);
        self.trace.say(|| format!("      {} bytes at byte {offset}", data.len()));
        let fits = self.fitting(ino, offset, data.len());
        let failed = self.fails(self.faults.write_errors_per_mille);
        let done = if failed { self.rng.index(data.len() + 1) } else { data.len() }.min(fits);
        if self.points.is_some() && done > 1 {
            self.point_within(ino, offset, data.slice(..done));
        }
        if done > 0 {
            self.file_mut(ino).change(FileChange::Write { offset, data: data.slice(..done) });
        }
        self.point(false);
        let what = || format!("write at byte {offset} of");
        if failed {
            Err(device_error(&what(), path))
        } else if done < data.len() {
            Err(error(io::ErrorKind::StorageFull, &what(), path, "no space is left on the device"))
        } else {
            Ok(())
        }
    }

    /// How many bytes of a write fit on the disk.
    fn fitting(&self, ino: Ino, offset: u64, len: usize) -> usize {
        let Some(capacity) = self.faults.capacity_bytes else { return len };
        let room = capacity.saturating_sub(self.used_bytes());
        let inside = (self.file(ino).seen.len() as u64).saturating_sub(offset);
        usize::try_from(inside.saturating_add(room)).unwrap_or(len).min(len)
    }

    /// A crash point at which a random part of a write is done.
    fn point_within(&mut self, ino: Ino, offset: u64, data: Bytes) {
        let done = 1 + self.rng.index(data.len() - 1);
        let whole = Arc::clone(&self.inodes[&ino]);
        self.file_mut(ino).change(FileChange::Write { offset, data: data.slice(..done) });
        self.point(true);
        self.inodes.insert(ino, whole);
    }

    pub(super) fn size(&self, ino: Ino, path: &Path) -> io::Result<u64> {
        self.check_power("ask the length of", path)?;
        Ok(self.file(ino).seen.len() as u64)
    }

    pub(super) fn set_len(&mut self, ino: Ino, path: &Path, len: u64) -> io::Result<()> {
        self.begin("set the length of", path)?;
        self.trace.number(len);
        self.trace.say(|| format!("      to {len}"));
        if self.fails(self.faults.write_errors_per_mille) {
            return Err(device_error("set the length of", path));
        }
        // A length that does not change is no change, so that it cannot be torn either.
        if self.file(ino).seen.len() as u64 != len {
            self.file_mut(ino).change(FileChange::SetLen(len));
        }
        self.point(false);
        Ok(())
    }

    pub(super) fn sync(&mut self, ino: Ino, path: &Path) -> io::Result<()> {
        self.begin("sync", path)?;
        if self.fails(self.faults.sync_errors_per_mille) {
            let mut rng = self.rng.fork(2);
            let file = self.file_mut(ino);
            let survives = loss::file_after(file, None, &mut rng);
            file.fail_sync(survives);
            self.failed_sync = Some(self.mutations);
            return Err(device_error("sync", path));
        }
        self.file_mut(ino).sync();
        self.point(false);
        Ok(())
    }
}
