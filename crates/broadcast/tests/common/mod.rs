//! A disk in memory that forgets: what was not synced may be lost, torn or kept when the power goes.

#![allow(dead_code, unreachable_pub, reason = "shared: each test file uses a part")]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ottla_env::disk::{DirEntry, DirLock, Disk, DiskFuture, DiskSpace, File, OpenMode};

/// A disk whose power can be cut.
#[derive(Clone, Default)]
pub struct FaultyDisk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Writes, syncs and changes of directories so far.
    changes: AtomicUsize,
    syncs: AtomicUsize,
    /// From this change on everything fails.
    dead_from: Mutex<Option<usize>>,
    /// The next write, or sync, fails by itself.
    failing_write: Mutex<Option<Fault>>,
    failing_sync: Mutex<bool>,
    /// How long the sync of a file takes.
    sync_takes: Mutex<Duration>,
}

/// How a write fails.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The disk is full after some bytes.
    Full { written: usize },
}

#[derive(Default)]
struct State {
    /// What processes see.
    names: BTreeMap<PathBuf, usize>,
    /// What is on the platter.
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since the last sync of their directory, in order.
    name_changes: Vec<(PathBuf, Option<usize>)>,
    files: Vec<Node>,
}

#[derive(Default)]
struct Node {
    cached: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                let end = at + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*at..end].copy_from_slice(bytes);
            }
            Self::SetLen(len) => content.resize(*len, 0),
        }
    }
}

/// A small generator: the tests bring a seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }
}

impl FaultyDisk {
    /// How many changes were made so far.
    pub fn changes(&self) -> usize {
        self.0.changes.load(Ordering::Relaxed)
    }

    /// How often a file was synced so far.
    pub fn syncs(&self) -> usize {
        self.0.syncs.load(Ordering::Relaxed)
    }

    /// Lets everything fail from the given change on.
    pub fn die_at(&self, change: usize) {
        *self.0.dead_from.lock().unwrap() = Some(change);
    }

    /// Lets the next write fail.
    pub fn fail_write(&self, fault: Fault) {
        *self.0.failing_write.lock().unwrap() = Some(fault);
    }

    /// Lets the next sync of a file fail.
    pub fn fail_sync(&self) {
        *self.0.failing_sync.lock().unwrap() = true;
    }

    /// Lets each sync of a file take so long.
    pub fn slow_down(&self, sync_takes: Duration) {
        *self.0.sync_takes.lock().unwrap() = sync_takes;
    }

    /// Cuts the power: of what was not synced, each change is kept, lost or torn by the dice. The disk works again.
    pub fn cut_power(&self, dice: &mut Dice) {
        let mut state = self.0.state.lock().unwrap();
        let state = &mut *state;
        for (path, node) in std::mem::take(&mut state.name_changes) {
            if dice.roll(2) == 0 {
                match node {
                    Some(node) => drop(state.durable_names.insert(path, node)),
                    None => drop(state.durable_names.remove(&path)),
                }
            }
        }
        for node in &mut state.files {
            for change in std::mem::take(&mut node.unsynced) {
                match (dice.roll(3), change) {
                    (0, change) => change.apply(&mut node.durable),
                    (1, Change::Write(at, bytes)) => {
                        // The length grew, and a part of the bytes came after it.
                        let (end, kept) = (at + bytes.len(), dice.roll(bytes.len() + 1));
                        node.durable.resize(node.durable.len().max(end), 0);
                        Change::Write(at, bytes[..kept].to_vec()).apply(&mut node.durable);
                    }
                    _ => {}
                }
            }
            node.cached = node.durable.clone();
        }
        state.names = state.durable_names.clone();
        *self.0.dead_from.lock().unwrap() = None;
    }

    /// Changes bytes on the platter.
    pub fn corrupt(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.state.lock().unwrap();
        let node = state.names[path];
        change(&mut state.files[node].durable);
        state.files[node].cached = state.files[node].durable.clone();
    }

    /// The content of a file.
    pub fn content(&self, path: &Path) -> Vec<u8> {
        let state = self.0.state.lock().unwrap();
        state.files[state.names[path]].cached.clone()
    }

    /// What is on the platter of a file.
    pub fn durable(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.0.state.lock().unwrap();
        state.durable_names.get(path).map(|node| state.files[*node].durable.clone())
    }

    /// Whether any file would have these bytes if the power went now.
    pub fn has_durably(&self, bytes: &[u8]) -> bool {
        let state = self.0.state.lock().unwrap();
        let mut files = state.durable_names.values().map(|node| &state.files[*node].durable);
        files.any(|content| content.windows(bytes.len()).any(|window| window == bytes))
    }

    /// The names of all files, without their directory, except the lock.
    pub fn file_names(&self) -> Vec<String> {
        let state = self.0.state.lock().unwrap();
        let names = state.names.keys().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
        names.filter(|name| name != "lock").collect()
    }

    fn change(&self) -> io::Result<()> {
        let nth = self.0.changes.fetch_add(1, Ordering::Relaxed);
        match *self.0.dead_from.lock().unwrap() {
            Some(from) if nth >= from => Err(io::Error::other("the disk is gone")),
            _ => Ok(()),
        }
    }

    fn name(&self, path: &Path, node: Option<usize>) -> io::Result<()> {
        self.change()?;
        let mut state = self.0.state.lock().unwrap();
        match node {
            Some(node) => drop(state.names.insert(path.to_owned(), node)),
            None => {
                state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
            }
        }
        state.name_changes.push((path.to_owned(), node));
        Ok(())
    }

    fn open_file(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let known = self.0.state.lock().unwrap().names.get(path).copied();
        let node = match (known, mode) {
            (Some(_), OpenMode::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(node), _) => node,
            (None, OpenMode::Existing | OpenMode::Read) => return Err(io::ErrorKind::NotFound.into()),
            (None, _) => {
                let node = {
                    let mut state = self.0.state.lock().unwrap();
                    state.files.push(Node::default());
                    state.files.len() - 1
                };
                self.name(path, Some(node))?;
                node
            }
        };
        Ok(Arc::new(FaultyFile { disk: self.clone(), node, path: path.to_owned() }))
    }
}

struct FaultyLock;

impl DirLock for FaultyLock {}

fn ready<'a, T>(result: io::Result<T>) -> DiskFuture<'a, T> {
    DiskFuture::ready(result)
}

impl Disk for FaultyDisk {
    fn open<'a>(&'a self, path: &'a Path, mode: OpenMode) -> DiskFuture<'a, Arc<dyn File>> {
        ready(self.open_file(path, mode))
    }

    fn read<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Bytes> {
        let state = self.0.state.lock().unwrap();
        let node = state.names.get(path).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        ready(node.map(|node| state.files[*node].cached.clone().into()))
    }

    fn create_dir_all<'a>(&'a self, _: &'a Path) -> DiskFuture<'a, ()> {
        ready(Ok(()))
    }

    fn list<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Vec<DirEntry>> {
        let state = self.0.state.lock().unwrap();
        let inside = state.names.iter().filter(|(name, _)| name.parent() == Some(path));
        let entry = |(name, node): (&PathBuf, &usize)| DirEntry {
            name: name.file_name().unwrap().to_str().unwrap().to_owned(),
            is_dir: false,
            len_bytes: state.files[*node].cached.len() as u64,
        };
        ready(Ok(inside.map(entry).collect()))
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> DiskFuture<'a, ()> {
        let node = self.0.state.lock().unwrap().names.get(from).copied();
        // A file system writes both names of a rename down as one change; the old one is left out here.
        let renamed = node.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)).and_then(|node| {
            self.name(to, Some(node))?;
            self.0.state.lock().unwrap().names.remove(from);
            self.0.state.lock().unwrap().durable_names.remove(from);
            Ok(())
        });
        ready(renamed)
    }

    fn remove_file<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        ready(self.name(path, None))
    }

    fn remove_dir_all<'a>(&'a self, _: &'a Path) -> DiskFuture<'a, ()> {
        panic!("the metadata log removes no directory")
    }

    fn sync_dir<'a>(&'a self, _: &'a Path) -> DiskFuture<'a, ()> {
        let synced = self.change();
        if synced.is_ok() {
            let mut state = self.0.state.lock().unwrap();
            state.name_changes.clear();
            state.durable_names = state.names.clone();
        }
        ready(synced)
    }

    fn lock<'a>(&'a self, _: &'a Path) -> DiskFuture<'a, Box<dyn DirLock>> {
        ready(Ok(Box::new(FaultyLock)))
    }

    fn space<'a>(&'a self, _: &'a Path) -> DiskFuture<'a, DiskSpace> {
        panic!("the metadata log does not ask for space")
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    node: usize,
    path: PathBuf,
}

impl FaultyFile {
    fn with<T>(&self, work: impl FnOnce(&mut Node) -> T) -> T {
        work(&mut self.disk.0.state.lock().unwrap().files[self.node])
    }

    fn apply(&self, change: Change) {
        self.with(|node| {
            change.apply(&mut node.cached);
            node.unsynced.push(change);
        });
    }
}

impl File for FaultyFile {
    fn write_at<'a>(&'a self, offset: u64, buffers: &'a [Bytes]) -> DiskFuture<'a, ()> {
        let mut bytes = buffers.concat();
        if let Err(gone) = self.disk.change() {
            // The machine stops in the middle of it.
            self.apply(Change::Write(offset as usize, bytes));
            return ready(Err(gone));
        }
        let fault = self.disk.0.failing_write.lock().unwrap().take();
        if let Some(Fault::Full { written }) = fault {
            bytes.truncate(written);
        }
        self.apply(Change::Write(offset as usize, bytes));
        ready(if fault.is_some() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) })
    }

    fn read_at(&self, offset: u64, len: usize) -> DiskFuture<'_, Bytes> {
        ready(Ok(self.with(|node| {
            let start = (offset as usize).min(node.cached.len());
            let end = (start + len).min(node.cached.len());
            Bytes::copy_from_slice(&node.cached[start..end])
        })))
    }

    fn size(&self) -> DiskFuture<'_, u64> {
        ready(Ok(self.with(|node| node.cached.len() as u64)))
    }

    fn set_len(&self, len: u64) -> DiskFuture<'_, ()> {
        let changed = self.disk.change();
        if changed.is_ok() {
            self.apply(Change::SetLen(len as usize));
        }
        ready(changed)
    }

    fn sync(&self) -> DiskFuture<'_, ()> {
        DiskFuture::Pending(Box::pin(async move {
            // Others get their turn meanwhile, as they do while a real disk works.
            tokio::task::yield_now().await;
            let takes = *self.disk.0.sync_takes.lock().unwrap();
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            self.disk.0.syncs.fetch_add(1, Ordering::Relaxed);
            self.disk.change()?;
            if std::mem::take(&mut *self.disk.0.failing_sync.lock().unwrap()) {
                // The kernel forgets what it could not write.
                self.with(|node| node.unsynced.clear());
                return Err(io::Error::other("the disk does not answer"));
            }
            self.with(|node| {
                for change in std::mem::take(&mut node.unsynced) {
                    change.apply(&mut node.durable);
                }
            });
            Ok(())
        }))
    }

    fn path(&self) -> &PathBuf {
        &self.path
    }
}
