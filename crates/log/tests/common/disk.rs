//! A real disk on which chosen calls go wrong, wait, or are counted: one for all tests of faults, the broker's too.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ottla_env::disk::{DirEntry, DirLock, DiskSpace, OpenMode, RealDisk};
use ottla_env::{Disk, DiskFuture, Env, File};

/// What is asked of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// To open a file that is there, to be read and written.
    Open,
    /// To open a file to be read.
    OpenToRead,
    /// To make a file or a directory.
    Create,
    Write,
    Read,
    SetLen,
    Sync,
    SyncDir,
    /// To sync all of the file system.
    SyncAll,
    /// To rename or remove.
    Rename,
    Remove,
}

impl Call {
    /// Whether a file system that is mounted to be read only refuses it.
    pub fn changes(self) -> bool {
        !matches!(self, Self::OpenToRead | Self::Read)
    }
}

/// What becomes of a call.
pub enum Fault {
    None,
    /// Nothing is done.
    Fails(io::ErrorKind),
    /// Half of a write arrives, and then the disk is full.
    Half,
    /// It is done, and never says so.
    Hangs,
    /// It is done, and says so only after this.
    Late(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// It waits for this first, which may also fail it. Instead of a sync nothing more is done.
    Waits(Pin<Box<dyn Future<Output = io::Result<()>> + Send>>),
}

type Rule = dyn Fn(Call, &Path) -> Fault + Send + Sync;

struct Inner {
    rule: Mutex<Arc<Rule>>,
    read_bytes: AtomicU64,
    page_cache: Mutex<Option<String>>,
}

/// The disk. Clones are the same one.
#[derive(Clone)]
pub struct FaultDisk(Arc<Inner>);

struct FaultFile {
    real: Arc<dyn File>,
    disk: FaultDisk,
}

struct FaultLock {
    real: Box<dyn DirLock>,
    path: PathBuf,
    disk: FaultDisk,
}

fn boxed<'a, T>(future: impl Future<Output = io::Result<T>> + Send + 'a) -> DiskFuture<'a, T> {
    DiskFuture::Pending(Box::pin(future))
}

impl FaultDisk {
    /// A disk without faults.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            rule: Mutex::new(Arc::new(|_, _| Fault::None)),
            read_bytes: AtomicU64::new(0),
            page_cache: Mutex::new(None),
        }))
    }

    /// An environment with this disk.
    pub fn env(&self) -> Env {
        Env { disk: Arc::new(self.clone()), ..Env::real() }
    }

    /// What becomes of calls from now on.
    pub fn rule(&self, rule: impl Fn(Call, &Path) -> Fault + Send + Sync + 'static) {
        *self.0.rule.lock().unwrap() = Arc::new(rule);
    }

    /// This becomes of these calls on paths that contain the text; of the others nothing.
    pub fn fault(&self, call: Call, place: &str, fault: impl Fn() -> Fault + Send + Sync + 'static) {
        let place = place.to_owned();
        self.rule(move |asked, path| match asked == call && contains(path, &place) {
            true => fault(),
            false => Fault::None,
        });
    }

    /// Everything below a path that contains the text can be read only.
    pub fn read_only(&self, place: &str) {
        let place = place.to_owned();
        self.rule(move |call, path| match call.changes() && contains(path, &place) {
            true => Fault::Fails(io::ErrorKind::ReadOnlyFilesystem),
            false => Fault::None,
        });
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.rule(|_, _| Fault::None);
    }

    /// The bytes read since the last call.
    pub fn take_read_bytes(&self) -> u64 {
        self.0.read_bytes.swap(0, Ordering::Relaxed)
    }

    /// In which page cache a process works.
    pub fn set_page_cache(&self, id: impl fmt::Display) {
        *self.0.page_cache.lock().unwrap() = Some(id.to_string());
    }

    async fn before(&self, call: Call, path: &Path) -> io::Result<Then> {
        let rule = Arc::clone(&self.0.rule.lock().unwrap());
        match rule(call, path) {
            Fault::None => Ok(Then::Done),
            Fault::Half => Ok(Then::Half),
            Fault::Hangs => Ok(Then::Says(Box::pin(std::future::pending()))),
            Fault::Late(after) => Ok(Then::Says(after)),
            Fault::Fails(kind) => {
                let message = format!("cannot {call:?} {}: {kind} (a fault was put on it)", path.display());
                Err(io::Error::new(kind, message))
            }
            Fault::Waits(until) => until.await.map(|()| Then::Waited),
        }
    }

    /// Makes a call that either happens or does not.
    async fn call<'a, T: Unpin + 'a>(
        &'a self,
        call: Call,
        path: &'a Path,
        real: impl FnOnce() -> DiskFuture<'a, T>,
    ) -> io::Result<T> {
        let then = self.before(call, path).await?;
        let value = real().await?;
        then.say().await;
        Ok(value)
    }

    fn note_read(&self, read: &io::Result<Bytes>) {
        let len = read.as_ref().map_or(0, Bytes::len);
        self.0.read_bytes.fetch_add(len as u64, Ordering::Relaxed);
    }
}

enum Then {
    Done,
    Half,
    Waited,
    Says(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Then {
    /// Comes to the end of a call that is done.
    async fn say(self) {
        if let Self::Says(after) = self {
            after.await;
        }
    }
}

fn contains(path: &Path, place: &str) -> bool {
    path.to_str().unwrap().contains(place)
}

impl Disk for FaultDisk {
    fn open<'a>(&'a self, path: &'a Path, mode: OpenMode) -> DiskFuture<'a, Arc<dyn File>> {
        boxed(async move {
            let call = match mode {
                OpenMode::Read => Call::OpenToRead,
                OpenMode::CreateNew => Call::Create,
                OpenMode::Create if !path.exists() => Call::Create,
                OpenMode::Create | OpenMode::Existing => Call::Open,
            };
            let real = self.call(call, path, || RealDisk.open(path, mode)).await?;
            Ok(Arc::new(FaultFile { real, disk: self.clone() }) as Arc<dyn File>)
        })
    }

    fn read<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Bytes> {
        boxed(async move {
            let read = self.call(Call::Read, path, || RealDisk.read(path)).await;
            self.note_read(&read);
            read
        })
    }

    fn create_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        boxed(async move {
            if path.is_dir() {
                return Ok(());
            }
            self.call(Call::Create, path, || RealDisk.create_dir_all(path)).await
        })
    }

    fn list<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Vec<DirEntry>> {
        RealDisk.list(path)
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> DiskFuture<'a, ()> {
        boxed(self.call(Call::Rename, from, || RealDisk.rename(from, to)))
    }

    fn remove_file<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        boxed(self.call(Call::Remove, path, || RealDisk.remove_file(path)))
    }

    fn remove_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        boxed(self.call(Call::Remove, path, || RealDisk.remove_dir_all(path)))
    }

    fn sync_dir<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        boxed(self.call(Call::SyncDir, path, || RealDisk.sync_dir(path)))
    }

    fn lock<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Box<dyn DirLock>> {
        boxed(async move {
            let real = self.call(Call::Create, path, || RealDisk.lock(path)).await?;
            Ok(Box::new(FaultLock { real, path: path.to_owned(), disk: self.clone() }) as Box<dyn DirLock>)
        })
    }

    fn space<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, DiskSpace> {
        RealDisk.space(path)
    }

    fn page_cache_id<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Option<String>> {
        let chosen = self.0.page_cache.lock().unwrap().clone();
        if chosen.is_some() { DiskFuture::ready(Ok(chosen)) } else { RealDisk.page_cache_id(path) }
    }

    fn modified_ms<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Option<i64>> {
        RealDisk.modified_ms(path)
    }
}

impl DirLock for FaultLock {
    fn sync_all(&self) -> DiskFuture<'_, bool> {
        boxed(self.disk.call(Call::SyncAll, &self.path, || self.real.sync_all()))
    }
}

impl File for FaultFile {
    fn write_at<'a>(&'a self, offset: u64, buffers: &'a [Bytes]) -> DiskFuture<'a, ()> {
        boxed(async move {
            let path = self.real.path();
            let then = self.disk.before(Call::Write, path).await?;
            if matches!(then, Then::Half) {
                let whole: Bytes = buffers.concat().into();
                self.real.write_at(offset, &[whole.slice(..whole.len() / 2)]).await?;
                let message =
                    format!("cannot write at byte {offset} of {}: the disk is full", path.display());
                return Err(io::Error::new(io::ErrorKind::StorageFull, message));
            }
            self.real.write_at(offset, buffers).await?;
            then.say().await;
            Ok(())
        })
    }

    fn read_at(&self, offset: u64, len: usize) -> DiskFuture<'_, Bytes> {
        boxed(async move {
            let read = self.disk.call(Call::Read, self.path(), || self.real.read_at(offset, len)).await;
            self.disk.note_read(&read);
            read
        })
    }

    fn size(&self) -> DiskFuture<'_, u64> {
        self.real.size()
    }

    fn set_len(&self, len: u64) -> DiskFuture<'_, ()> {
        boxed(self.disk.call(Call::SetLen, self.path(), move || self.real.set_len(len)))
    }

    fn sync(&self) -> DiskFuture<'_, ()> {
        boxed(async move {
            match self.disk.before(Call::Sync, self.path()).await? {
                Then::Waited => Ok(()),
                _ => self.real.sync().await,
            }
        })
    }

    fn path(&self) -> &PathBuf {
        self.real.path()
    }
}
