//! A disk that only pretends to be changed: reads come from the disk below, changes stay in memory and can be told.
//!
//! It carries what opening log directories does. Directories are not renamed on it, and what it holds in memory is what
//! was written: indexes, checkpoints and snapshots, never the records, which recovery only cuts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ottla_env::disk::{DirEntry, DirLock, DiskSpace, OpenMode};
use ottla_env::{Disk, DiskFuture, File};

use crate::sync::lock;

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It was cut to so many bytes of so many.
    Cut { from: u64, to: u64 },
    /// Its content was written anew, or it is new.
    Written,
    /// It was removed.
    Removed,
}

/// The disk.
#[derive(Clone)]
pub(super) struct Rehearsal(Arc<Inner>);

struct Inner {
    below: Arc<dyn Disk>,
    /// Names that were touched; `None` for those that were removed.
    names: Mutex<BTreeMap<PathBuf, Option<Arc<Shadow>>>>,
    made_dirs: Mutex<BTreeSet<PathBuf>>,
    removed_dirs: Mutex<BTreeSet<PathBuf>>,
    /// In this directory only the subdirectory of this name is seen.
    only: Option<(PathBuf, String)>,
}

/// A file: the front of the one below, and what was written behind that.
struct Shadow {
    /// Where the file below is, and how long; `None` for one that is new.
    below: Option<(PathBuf, u64)>,
    content: tokio::sync::Mutex<Content>,
}

struct Content {
    kept: u64,
    tail: Vec<u8>,
}

impl Content {
    fn len(&self) -> u64 {
        self.kept + self.tail.len() as u64
    }
}

impl Shadow {
    fn new(below: Option<(PathBuf, u64)>) -> Arc<Self> {
        let kept = below.as_ref().map_or(0, |(_, len)| *len);
        Arc::new(Self { below, content: tokio::sync::Mutex::new(Content { kept, tail: Vec::new() }) })
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {}", path.display()))
}

fn boxed<'a, T>(future: impl Future<Output = io::Result<T>> + Send + 'a) -> DiskFuture<'a, T> {
    DiskFuture::Pending(Box::pin(future))
}

impl Rehearsal {
    pub(super) fn new(below: Arc<dyn Disk>, only: Option<(PathBuf, String)>) -> Self {
        Self(Arc::new(Inner {
            below,
            names: Mutex::default(),
            made_dirs: Mutex::default(),
            removed_dirs: Mutex::default(),
            only,
        }))
    }

    /// What became of the files that were changed, by path.
    pub(super) async fn changes(&self) -> Vec<(PathBuf, Change)> {
        let names: Vec<_> = lock(&self.0.names).iter().map(|(p, s)| (p.clone(), s.clone())).collect();
        let mut changes = Vec::new();
        for (path, shadow) in names {
            let change = match shadow {
                None if self.exists_below(&path).await => Change::Removed,
                None => continue,
                Some(shadow) => {
                    let content = shadow.content.lock().await;
                    match &shadow.below {
                        Some((from, len)) if *from == path && content.tail.is_empty() => match content.kept {
                            kept if kept == *len => continue,
                            kept => Change::Cut { from: *len, to: kept },
                        },
                        _ => Change::Written,
                    }
                }
            };
            changes.push((path, change));
        }
        changes
    }

    /// Directories that were removed with all in them.
    pub(super) fn removed_dirs(&self) -> Vec<PathBuf> {
        lock(&self.0.removed_dirs).iter().cloned().collect()
    }

    async fn exists_below(&self, path: &Path) -> bool {
        self.0.below.open(path, OpenMode::Read).await.is_ok()
    }

    fn is_removed(&self, path: &Path) -> bool {
        let removed = lock(&self.0.removed_dirs);
        path.ancestors().any(|above| removed.contains(above))
    }

    /// The file of this name, as it is now.
    async fn find(&self, path: &Path) -> io::Result<Option<Arc<Shadow>>> {
        if let Some(known) = lock(&self.0.names).get(path) {
            return Ok(known.clone());
        }
        if self.is_removed(path) {
            return Ok(None);
        }
        match self.0.below.open(path, OpenMode::Read).await {
            Ok(file) => {
                let shadow = Shadow::new(Some((path.to_owned(), file.size().await?)));
                Ok(lock(&self.0.names).entry(path.to_owned()).or_insert(Some(shadow)).clone())
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn open_file(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let shadow = match (self.find(path).await?, mode) {
            (Some(_), OpenMode::CreateNew) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!("{} is there", path.display()),
                ));
            }
            (Some(shadow), _) => shadow,
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                let shadow = Shadow::new(None);
                lock(&self.0.names).insert(path.to_owned(), Some(Arc::clone(&shadow)));
                shadow
            }
            (None, OpenMode::Read | OpenMode::Existing) => return Err(not_found(path)),
        };
        Ok(Arc::new(Handle { shadow, below: Arc::clone(&self.0.below), path: path.to_owned() }))
    }

    async fn list_dir(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let below = match self.0.below.list(dir).await {
            _ if self.is_removed(dir) => return Err(not_found(dir)),
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound && lock(&self.0.made_dirs).contains(dir) => {
                Vec::new()
            }
            Err(e) => return Err(e),
        };
        let hidden = |entry: &DirEntry| match &self.0.only {
            Some((top, name)) => top == dir && entry.is_dir && entry.name != *name,
            None => false,
        };
        let mut entries: BTreeMap<String, DirEntry> = below
            .into_iter()
            .filter(|entry| !hidden(entry) && !self.is_removed(&dir.join(&entry.name)))
            .map(|entry| (entry.name.clone(), entry))
            .collect();
        let names: Vec<_> = {
            let names = lock(&self.0.names);
            // Paths are ordered by their parts, so what is below a directory follows it.
            let below = names.range(dir.to_owned()..).take_while(|(path, _)| path.starts_with(dir));
            let inside = below.filter(|(path, _)| path.parent() == Some(dir));
            inside.map(|(path, shadow)| (path.clone(), shadow.clone())).collect()
        };
        for (path, shadow) in names {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            match shadow {
                None => drop(entries.remove(name)),
                Some(shadow) => {
                    let len_bytes = shadow.content.lock().await.len();
                    let entry = DirEntry { name: name.to_owned(), is_dir: false, len_bytes };
                    entries.insert(name.to_owned(), entry);
                }
            }
        }
        Ok(entries.into_values().collect())
    }

    async fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        let Some(shadow) = self.find(from).await? else { return Err(not_found(from)) };
        let mut names = lock(&self.0.names);
        names.insert(from.to_owned(), None);
        names.insert(to.to_owned(), Some(shadow));
        Ok(())
    }

    /// Takes the lock if there is a lock file: a running broker's directory is not one that a start would find.
    async fn lock_dir(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        struct Pretended;
        impl DirLock for Pretended {}
        if self.exists_below(path).await {
            match self.0.below.lock(path).await {
                Ok(lock) => return Ok(lock),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(e),
                // A copy that cannot be written.
                Err(_) => {}
            }
        }
        Ok(Box::new(Pretended))
    }
}

impl Disk for Rehearsal {
    fn open<'a>(&'a self, path: &'a Path, mode: OpenMode) -> DiskFuture<'a, Arc<dyn File>> {
        boxed(self.open_file(path, mode))
    }

    fn read<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Bytes> {
        boxed(async move {
            let file = self.open_file(path, OpenMode::Read).await?;
            let len = usize::try_from(file.size().await?).unwrap_or(usize::MAX);
            file.read_at(0, len).await
        })
    }

    fn create_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        lock(&self.0.made_dirs).insert(path.to_owned());
        DiskFuture::ready(Ok(()))
    }

    fn list<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Vec<DirEntry>> {
        boxed(self.list_dir(path))
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> DiskFuture<'a, ()> {
        boxed(self.rename_file(from, to))
    }

    fn remove_file<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        boxed(async move {
            match self.find(path).await? {
                Some(_) => {
                    lock(&self.0.names).insert(path.to_owned(), None);
                    Ok(())
                }
                None => Err(not_found(path)),
            }
        })
    }

    fn remove_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        lock(&self.0.removed_dirs).insert(path.to_owned());
        DiskFuture::ready(Ok(()))
    }

    fn sync_dir<'a>(&'a self, _path: &'a Path) -> DiskFuture<'a, ()> {
        DiskFuture::ready(Ok(()))
    }

    fn lock<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Box<dyn DirLock>> {
        boxed(self.lock_dir(path))
    }

    fn space<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, DiskSpace> {
        self.0.below.space(path)
    }

    fn page_cache_id<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Option<String>> {
        self.0.below.page_cache_id(path)
    }
}

/// An open file.
struct Handle {
    shadow: Arc<Shadow>,
    below: Arc<dyn Disk>,
    path: PathBuf,
}

impl Handle {
    /// Bytes of the file below.
    async fn read_below(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        match &self.shadow.below {
            // Opened for each read: a log has more files than a process may hold open.
            Some((path, _)) if len > 0 => {
                self.below.open(path, OpenMode::Read).await?.read_at(offset, len).await
            }
            _ => Ok(Bytes::new()),
        }
    }

    async fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let content = self.shadow.content.lock().await;
        let end = content.len().min(offset.saturating_add(len as u64));
        let below = usize::try_from(content.kept.min(end).saturating_sub(offset)).unwrap_or(0);
        let front = self.read_below(offset, below).await?;
        if end <= content.kept || end <= offset {
            return Ok(front);
        }
        let place = |at: u64| usize::try_from(at.saturating_sub(content.kept)).unwrap_or(usize::MAX);
        let tail = content.tail.get(place(offset)..place(end)).unwrap_or_default();
        Ok([&front[..], tail].concat().into())
    }

    async fn write(&self, offset: u64, buffers: &[Bytes]) -> io::Result<()> {
        let mut content = self.shadow.content.lock().await;
        let bytes = buffers.concat();
        // Recovery writes records again that are there as they are: that is no change, and is not to be held in memory.
        if offset + bytes.len() as u64 <= content.kept && self.read_below(offset, bytes.len()).await? == bytes
        {
            return Ok(());
        }
        if offset < content.kept {
            let len = usize::try_from(content.kept - offset).unwrap_or(usize::MAX);
            let pulled = self.read_below(offset, len).await?;
            content.tail = [&pulled[..], &content.tail].concat();
            content.kept = offset;
        }
        let at = usize::try_from(offset - content.kept).map_err(io::Error::other)?;
        let end = at + bytes.len();
        if content.tail.len() < end {
            content.tail.resize(end, 0);
        }
        if let Some(place) = content.tail.get_mut(at..end) {
            place.copy_from_slice(&bytes);
        }
        Ok(())
    }

    async fn cut(&self, len: u64) -> io::Result<()> {
        let mut content = self.shadow.content.lock().await;
        content.kept = content.kept.min(len);
        let tail = usize::try_from(len - content.kept).map_err(io::Error::other)?;
        content.tail.resize(tail, 0);
        Ok(())
    }
}

impl File for Handle {
    fn write_at<'a>(&'a self, offset: u64, buffers: &'a [Bytes]) -> DiskFuture<'a, ()> {
        boxed(self.write(offset, buffers))
    }

    fn read_at(&self, offset: u64, len: usize) -> DiskFuture<'_, Bytes> {
        boxed(self.read(offset, len))
    }

    fn size(&self) -> DiskFuture<'_, u64> {
        boxed(async { Ok(self.shadow.content.lock().await.len()) })
    }

    fn set_len(&self, len: u64) -> DiskFuture<'_, ()> {
        boxed(self.cut(len))
    }

    fn sync(&self) -> DiskFuture<'_, ()> {
        DiskFuture::ready(Ok(()))
    }

    fn path(&self) -> &PathBuf {
        &self.path
    }
}
