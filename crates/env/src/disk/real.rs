//! The operating system's file systems.
//!
//! What the page cache can do runs inline: a write is one `pwritev`, a read that finds its pages is one `pread`. What may
//! wait for the device (a read of absent pages, fsync, freeing the blocks of what is removed) runs on tokio's blocking threads, so that no
//! runtime thread, and with it no heartbeat, waits for a disk.
//!
//! Every error names its path and what was tried.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, StatxFlags};
use rustix::io::{Errno, ReadWriteFlags};

mod buffers;

use self::buffers::ReadBuffers;
use super::{DirEntry, DirLock, Disk, DiskFuture, DiskSpace, File, OpenMode};
use crate::Timestamp;

/// As many buffers as Linux takes in one call (`UIO_MAXIOV`).
const IOV_MAX: usize = 1024;

/// Buffers that are gathered without an allocation; an append has two.
const INLINE_BUFFERS: usize = 16;

/// Reads up to this length go straight through `RWF_NOWAIT`, into a zeroed buffer: zeroing this little is cheaper than a
/// second system call.
const SMALL_READ: usize = 16 * 1024;

/// Cutting off up to this much runs inline: an index that was made in its full size. More is freed elsewhere.
const SMALL_CUT: u64 = 16 << 20;

/// How far apart longer reads look whether their pages are in the cache: the kernel's usual read-ahead window.
const PROBE_STRIDE: usize = 128 * 1024;

/// The disks of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl RealDisk {
    /// The disks of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

/// An error that says what was tried on which path. The kind stays, for those that tell errors apart.
fn naming(what: &str, path: &Path, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("cannot {what} {}: {error}", path.display()))
}

/// Runs what may wait for the device on a blocking thread.
fn blocking<'a, T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> DiskFuture<'a, T> {
    DiskFuture::Pending(Box::pin(async move {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(stopped) => Err(io::Error::other(stopped)),
        }
    }))
}

fn open_file(path: &Path, mode: OpenMode) -> io::Result<RealFile> {
    let flags = match mode {
        OpenMode::Read => OFlags::RDONLY,
        OpenMode::Existing => OFlags::RDWR,
        OpenMode::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        OpenMode::Create => OFlags::RDWR | OFlags::CREATE,
    };
    let fd = rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))
        .map_err(|e| naming("open", path, e))?;
    Ok(RealFile { fd: Arc::new(fd), path: path.to_owned() })
}

fn list(path: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(|e| naming("list", path, e))? {
        let entry = entry.map_err(|e| naming("list", path, e))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let meta = match entry.metadata() {
            Ok(meta) => meta,
            // It was removed between the listing and the question.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(naming("look at", &entry.path(), e)),
        };
        entries.push(DirEntry { name, is_dir: meta.is_dir(), len_bytes: meta.len() });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = fs::File::open(path).map_err(|e| naming("open the directory", path, e))?;
    dir.sync_all().map_err(|e| naming("sync the directory", path, e))
}

fn lock(path: &Path) -> io::Result<Box<dyn DirLock>> {
    let file = open_file(path, OpenMode::Create)?;
    match rustix::fs::flock(&*file.fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Box::new(RealLock { file })),
        Err(Errno::WOULDBLOCK) => Err(io::Error::new(
            io::ErrorKind::WouldBlock,
            format!("the lock file {} is held by another process", path.display()),
        )),
        Err(e) => Err(naming("lock", path, e)),
    }
}

fn space(path: &Path) -> io::Result<DiskSpace> {
    let stat = rustix::fs::statvfs(path).map_err(|e| naming("ask the space of", path, e))?;
    Ok(DiskSpace {
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        usable_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
    })
}

fn modified_ms(path: &Path) -> io::Result<Option<Timestamp>> {
    let modified = fs::metadata(path).map_err(|e| naming("look at", path, e))?.modified();
    let since_1970 = modified.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(since_1970.and_then(|since| Timestamp::try_from(since.as_millis()).ok()))
}

/// The boot of the kernel, the device, the mount and the directory's inode: a copy of the directory, elsewhere or after an
/// unmount, was never in this page cache.
fn page_cache_id(path: &Path) -> io::Result<Option<String>> {
    // Not on this kernel (it is not Linux, or /proc is hidden): then nothing can be told.
    let Ok(boot_id) = fs::read_to_string("/proc/sys/kernel/random/boot_id") else { return Ok(None) };
    let mask = StatxFlags::INO | StatxFlags::MNT_ID;
    let stat = match rustix::fs::statx(rustix::fs::CWD, path, AtFlags::empty(), mask) {
        Ok(stat) => stat,
        Err(Errno::NOSYS) => return Ok(None),
        Err(e) => return Err(naming("look at", path, e)),
    };
    if stat.stx_mask & mask.bits() != mask.bits() {
        return Ok(None);
    }
    let device = format!("{}:{}", stat.stx_dev_major, stat.stx_dev_minor);
    let (mount, inode) = (stat.stx_mnt_id, stat.stx_ino);
    Ok(Some(format!("boot={},device={device},mount={mount},inode={inode}", boot_id.trim())))
}

impl Disk for RealDisk {
    fn open<'a>(&'a self, path: &'a Path, mode: OpenMode) -> DiskFuture<'a, Arc<dyn File>> {
        DiskFuture::ready(open_file(path, mode).map(|file| Arc::new(file) as Arc<dyn File>))
    }

    fn read<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Bytes> {
        DiskFuture::ready(fs::read(path).map(Bytes::from).map_err(|e| naming("read", path, e)))
    }

    fn create_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        DiskFuture::ready(fs::create_dir_all(path).map_err(|e| naming("create the directory", path, e)))
    }

    fn list<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Vec<DirEntry>> {
        DiskFuture::ready(list(path))
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> DiskFuture<'a, ()> {
        let what = || format!("rename to {} the path", to.display());
        DiskFuture::ready(fs::rename(from, to).map_err(|e| naming(&what(), from, e)))
    }

    fn remove_file<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        // Freeing a large file's blocks takes as long as it takes.
        let path = path.to_owned();
        blocking(move || fs::remove_file(&path).map_err(|e| naming("remove", &path, e)))
    }

    fn remove_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        let path = path.to_owned();
        blocking(move || fs::remove_dir_all(&path).map_err(|e| naming("remove the directory", &path, e)))
    }

    fn sync_dir<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        let path = path.to_owned();
        blocking(move || sync_dir(&path))
    }

    fn lock<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Box<dyn DirLock>> {
        DiskFuture::ready(lock(path))
    }

    fn space<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, DiskSpace> {
        DiskFuture::ready(space(path))
    }

    fn modified_ms<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Option<Timestamp>> {
        DiskFuture::ready(modified_ms(path))
    }

    fn page_cache_id<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Option<String>> {
        DiskFuture::ready(page_cache_id(path))
    }
}

/// The lock lives as long as its open file: the kernel drops it with the descriptor, also when the process dies.
struct RealLock {
    file: RealFile,
}

impl DirLock for RealLock {
    /// `syncfs`: since Linux 5.8 it reports what the device refused to any file of the file system since the descriptor was
    /// opened.
    fn sync_all(&self) -> DiskFuture<'_, bool> {
        if !reports_lost_writes(&rustix::system::uname().release().to_string_lossy()) {
            return DiskFuture::ready(Ok(false));
        }
        let (fd, path) = (Arc::clone(&self.file.fd), self.file.path.clone());
        blocking(move || match rustix::fs::syncfs(&*fd) {
            Ok(()) => Ok(true),
            Err(e) => Err(naming("sync the file system of", &path, e)),
        })
    }
}

/// Whether `syncfs` of this release of Linux tells of errors.
fn reports_lost_writes(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(8))
}

struct RealFile {
    fd: Arc<OwnedFd>,
    path: PathBuf,
}

impl RealFile {
    fn naming(&self, what: &str, error: impl Into<io::Error>) -> io::Error {
        naming(what, &self.path, error)
    }

    fn write_all(&self, mut offset: u64, buffers: &[Bytes]) -> io::Result<()> {
        for group in buffers.chunks(INLINE_BUFFERS.max(buffers.len().min(IOV_MAX))) {
            let written = if group.len() <= INLINE_BUFFERS {
                let mut inline = [IoSlice::new(&[]); INLINE_BUFFERS];
                for (slot, buffer) in inline.iter_mut().zip(group) {
                    *slot = IoSlice::new(buffer);
                }
                write_slices(&self.fd, offset, inline.get_mut(..group.len()).unwrap_or_default())
            } else {
                let mut slices: Vec<_> = group.iter().map(|buffer| IoSlice::new(buffer)).collect();
                write_slices(&self.fd, offset, &mut slices)
            };
            offset += written.map_err(|e| self.naming(&format!("write at byte {offset} of"), e))?;
        }
        Ok(())
    }

    /// Reads what the page cache holds, or says that the device must be asked.
    fn read_cached(&self, offset: u64, len: usize) -> io::Result<Option<Bytes>> {
        if len <= SMALL_READ {
            let mut buffer = vec![0; len];
            return match nowait(&self.fd, offset, &mut buffer)? {
                // A short read may be the file's end, or the edge of what is cached: asking again tells.
                Some(n) if n == len || nowait(&self.fd, offset + n as u64, &mut [0])? == Some(0) => {
                    buffer.truncate(n);
                    Ok(Some(buffer.into()))
                }
                _ => Ok(None),
            };
        }
        // RWF_NOWAIT takes initialized memory only, and zeroing a long buffer costs about as much as it saves. So a few
        // bytes are asked for along the way, and the read itself then goes into memory that nobody wrote before.
        for at in (0..len).step_by(PROBE_STRIDE).chain([len - 1]) {
            match nowait(&self.fd, offset + at as u64, &mut [0])? {
                Some(0) => break,
                Some(_) => {}
                None => return Ok(None),
            }
        }
        read_full(&self.fd, offset, len).map(Some)
    }
}

/// Writes all slices and returns their length. The slices are used up.
fn write_slices(fd: &OwnedFd, start: u64, mut slices: &mut [IoSlice<'_>]) -> io::Result<u64> {
    let mut offset = start;
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match rustix::io::pwritev(fd, slices, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                offset += n as u64;
                IoSlice::advance_slices(&mut slices, n);
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(offset - start)
}

/// A read from the page cache alone; `None` where the device would have to be asked, or cannot be told apart.
fn nowait(fd: &OwnedFd, offset: u64, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        return match rustix::io::preadv2(fd, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
            Ok(n) => Ok(Some(n)),
            Err(Errno::INTR) => continue,
            // Some file systems do not know the flag, and then any read may wait.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(None),
            Err(e) => Err(e.into()),
        };
    }
}

/// Reads until `len` bytes are there or the file ends, into fresh memory that is not zeroed first.
fn read_full(fd: &OwnedFd, offset: u64, len: usize) -> io::Result<Bytes> {
    ReadBuffers::of_process().fill(len, |buffer| {
        while buffer.len() < len {
            let at = offset + buffer.len() as u64;
            match rustix::io::pread(fd, spare_capacity(buffer), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        // The allocation may have been larger than asked for.
        buffer.truncate(len);
        Ok(())
    })
}

impl File for RealFile {
    fn write_at<'a>(&'a self, offset: u64, buffers: &'a [Bytes]) -> DiskFuture<'a, ()> {
        DiskFuture::ready(self.write_all(offset, buffers))
    }

    fn read_at(&self, offset: u64, len: usize) -> DiskFuture<'_, Bytes> {
        if len == 0 {
            return DiskFuture::ready(Ok(Bytes::new()));
        }
        let name = move |e| naming(&format!("read {len} bytes at byte {offset} of"), &self.path, e);
        match self.read_cached(offset, len) {
            Ok(Some(bytes)) => DiskFuture::ready(Ok(bytes)),
            Ok(None) => {
                let fd = Arc::clone(&self.fd);
                let read = blocking(move || read_full(&fd, offset, len));
                DiskFuture::Pending(Box::pin(async move { read.await.map_err(name) }))
            }
            Err(e) => DiskFuture::ready(Err(name(e))),
        }
    }

    fn size(&self) -> DiskFuture<'_, u64> {
        let stat = rustix::fs::fstat(&*self.fd).map_err(|e| self.naming("ask the length of", e));
        DiskFuture::ready(stat.map(|stat| u64::try_from(stat.st_size).unwrap_or(0)))
    }

    fn set_len(&self, len: u64) -> DiskFuture<'_, ()> {
        let result = match rustix::fs::fstat(&*self.fd) {
            // ext4 takes a cut to nothing for the start of a replacement, and writes the file out when it is closed: for ten
            // thousand new files that is a second.
            Ok(stat) if stat.st_size.unsigned_abs() == len => Ok(()),
            Ok(stat) if stat.st_size.unsigned_abs().saturating_sub(len) > SMALL_CUT => {
                let fd = Arc::clone(&self.fd);
                let cut = blocking(move || rustix::fs::ftruncate(&*fd, len).map_err(io::Error::from));
                return DiskFuture::Pending(Box::pin(async move {
                    cut.await.map_err(|e| self.naming(&format!("set the length to {len} of"), e))
                }));
            }
            Ok(_) => rustix::fs::ftruncate(&*self.fd, len),
            Err(e) => Err(e),
        };
        DiskFuture::ready(result.map_err(|e| self.naming(&format!("set the length to {len} of"), e)))
    }

    fn sync(&self) -> DiskFuture<'_, ()> {
        let fd = Arc::clone(&self.fd);
        let sync = blocking(move || rustix::fs::fdatasync(&*fd).map_err(io::Error::from));
        DiskFuture::Pending(Box::pin(async move { sync.await.map_err(|e| self.naming("sync", e)) }))
    }

    fn path(&self) -> &PathBuf {
        &self.path
    }
}

#[cfg(test)]
#[path = "real_tests.rs"]
mod tests;
