//! An open file of the simulated disk.

use std::path::PathBuf;

use bytes::Bytes;
use ottla_env::File;
use ottla_env::disk::DiskFuture;

use super::change::Ino;
use super::handle::SimDisk;

/// It stays what it is when its name is removed or goes to another file, as an open file does.
pub(super) struct SimFile {
    disk: SimDisk,
    ino: Ino,
    path: PathBuf,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, ino: Ino, path: PathBuf) -> Self {
        Self { disk, ino, path }
    }
}

impl File for SimFile {
    fn write_at<'a>(&'a self, offset: u64, buffers: &'a [Bytes]) -> DiskFuture<'a, ()> {
        self.disk.call(move |state| state.write(self.ino, &self.path, offset, buffers))
    }

    fn read_at(&self, offset: u64, len: usize) -> DiskFuture<'_, Bytes> {
        self.disk.call(move |state| state.read(self.ino, &self.path, offset, len))
    }

    fn size(&self) -> DiskFuture<'_, u64> {
        self.disk.call(|state| state.size(self.ino, &self.path))
    }

    fn set_len(&self, len: u64) -> DiskFuture<'_, ()> {
        self.disk.call(move |state| state.set_len(self.ino, &self.path, len))
    }

    fn sync(&self) -> DiskFuture<'_, ()> {
        self.disk.call_sync(|state| state.sync(self.ino, &self.path))
    }

    fn path(&self) -> &PathBuf {
        &self.path
    }
}
