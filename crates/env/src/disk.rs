//! Files and directories.
//!
//! Calls are asynchronous so that a simulated disk can be slow in virtual time. In production a call is nearly always
//! ready when it returns (page-cache reads and writes), so [`DiskFuture`] carries a finished result without a box.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::Timestamp;

mod real;

pub use real::RealDisk;

/// The result of a disk call: there already, or awaited.
pub enum DiskFuture<'a, T> {
    /// The call is done. Taken by the first poll.
    Ready(Option<io::Result<T>>),
    /// The call goes on elsewhere.
    Pending(Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>),
}

impl<T> DiskFuture<'_, T> {
    /// A call that is done.
    pub fn ready(result: io::Result<T>) -> Self {
        Self::Ready(Some(result))
    }
}

impl<T: Unpin> Future for DiskFuture<'_, T> {
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(result) => match result.take() {
                Some(result) => Poll::Ready(result),
                None => panic!("a disk future was polled after it was done"),
            },
            Self::Pending(future) => future.as_mut().poll(cx),
        }
    }
}

/// How to open a file. All files are read-write, except those opened to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// It must be there, and may be one that this process cannot write.
    Read,
    /// It must be there.
    Existing,
    /// It must not be there.
    CreateNew,
    /// It is created where it is missing.
    Create,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name, without the directory. Names that are not UTF-8 are never ours and are left out of listings.
    pub name: String,
    /// Whether it is a directory itself.
    pub is_dir: bool,
    /// The length of a file in bytes; without meaning for a directory.
    pub len_bytes: u64,
}

/// Holds a directory against other processes until it is dropped.
pub trait DirLock: Send + Sync {
    /// Makes everything durable that was written to the directory's file system, files and names, and reports whatever the
    /// device refused since the lock was taken. `false` where that cannot be had: then nothing is known.
    fn sync_all(&self) -> DiskFuture<'_, bool> {
        DiskFuture::ready(Ok(false))
    }
}

/// Opens, lists, renames and removes. Errors name the path.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file.
    fn open<'a>(&'a self, path: &'a Path, mode: OpenMode) -> DiskFuture<'a, Arc<dyn File>>;

    /// Reads a whole small file.
    fn read<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Bytes>;

    /// Makes a directory and the missing ones above it.
    fn create_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()>;

    /// What is in a directory, sorted by name.
    fn list<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Vec<DirEntry>>;

    /// Renames a file or directory over what may be there. Durable only after [`Disk::sync_dir`] of the parents.
    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> DiskFuture<'a, ()>;

    /// Removes a file.
    fn remove_file<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()>;

    /// Removes a directory and all in it.
    fn remove_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()>;

    /// Makes creations, renames and removals in this directory durable (fsync of the directory).
    fn sync_dir<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()>;

    /// Takes the lock file `path` for this process; an error of kind `WouldBlock` if another process has it.
    fn lock<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Box<dyn DirLock>>;

    /// Free and total bytes of the file system that holds `path`.
    fn space<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, DiskSpace>;

    /// When the file was last written to, in milliseconds since 1970; `None` where that cannot be told.
    fn modified_ms<'a>(&'a self, _path: &'a Path) -> DiskFuture<'a, Option<Timestamp>> {
        DiskFuture::ready(Ok(None))
    }

    /// A word, without spaces, for the memory that stands between processes and the device below the directory `path`. As
    /// long as it is the same, a process reads whatever an earlier one wrote there, flushed or not, unless the device
    /// failed meanwhile. `None` where that cannot be told.
    fn page_cache_id<'a>(&'a self, _path: &'a Path) -> DiskFuture<'a, Option<String>> {
        DiskFuture::ready(Ok(None))
    }
}

/// Makes a directory and the missing ones above it, durably. One that is there already may be one that an earlier process
/// made, and did not live to sync.
///
/// # Errors
/// The disk fails.
pub async fn create_dir_durably(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    disk.create_dir_all(path).await?;
    sync_names_above(disk, path).await
}

/// Makes the names durable that lead to `path`. A directory above that this process may not read was not made by it.
///
/// # Errors
/// The disk fails.
pub async fn sync_names_above(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    for above in path.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match disk.sync_dir(above).await {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// Gives the file `path` this content, durably: it is written beside it, synced, and renamed over it, and the directory is
/// synced. Whenever the power goes, the file is the old or the new one. The directory must be this process's alone.
///
/// # Errors
/// The disk fails: the file is the old or the new one.
pub async fn replace_file(disk: &dyn Disk, path: &Path, content: Bytes) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    // What an earlier attempt left is not written over: nothing that may have been renamed is ever changed.
    remove_if_there(disk, &partial).await?;
    let file = disk.open(&partial, OpenMode::CreateNew).await?;
    file.write_at(0, &[content]).await?;
    file.sync().await?;
    disk.rename(&partial, path).await?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    disk.sync_dir(dir.unwrap_or(Path::new("."))).await
}

/// Removes a file that may be there.
///
/// # Errors
/// The disk fails.
pub async fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes that can still be written.
    pub usable_bytes: u64,
}

/// An open file, by absolute positions: no cursor is shared.
pub trait File: Send + Sync + 'static {
    /// Writes all buffers, one after another, from `offset` on. On error an unknown prefix may have been written.
    fn write_at<'a>(&'a self, offset: u64, buffers: &'a [Bytes]) -> DiskFuture<'a, ()>;

    /// Reads up to `len` bytes from `offset`; fewer only where the file ends.
    fn read_at(&self, offset: u64, len: usize) -> DiskFuture<'_, Bytes>;

    /// The file's length in bytes.
    fn size(&self) -> DiskFuture<'_, u64>;

    /// Cuts or (with zeros) extends the file.
    fn set_len(&self, len: u64) -> DiskFuture<'_, ()>;

    /// Makes everything written durable (fdatasync). Runs off the runtime's threads.
    fn sync(&self) -> DiskFuture<'_, ()>;

    /// The path that the file was opened by, for messages.
    fn path(&self) -> &PathBuf;
}
