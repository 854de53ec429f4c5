//! The disk as the code under test holds it, and as a test steers it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ottla_env::Disk;
use ottla_env::disk::{DirEntry, DirLock, DiskFuture, DiskSpace, File, OpenMode};

use super::faults::Faults;
use super::file::SimFile;
use super::loss::{Crash, CrashPoint};
use super::state::{Look, State};
use crate::engine::Timeline;
use crate::rng::SimRng;

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    timeline: Option<Timeline>,
}

impl SimDisk {
    /// An empty disk. What it does to unsynced changes and when it fails follows from the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(State::new(seed))
    }

    pub(super) fn of(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)), timeline: None }
    }

    /// The same disk, slow to the microsecond. On tokio's clock alone calls take whole milliseconds.
    #[must_use]
    pub fn on(self, timeline: Timeline) -> Self {
        Self { timeline: Some(timeline), ..self }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same disk with a directory on it, durably: a mount point, that was there before any program.
    #[must_use]
    pub fn with_dir(self, path: &Path) -> Self {
        {
            let mut state = self.state();
            let made = state.create_dir_all(path).and_then(|()| state.sync_all(path));
            if let Err(error) = made {
                panic!("a new disk without faults refuses a directory: {error}");
            }
        }
        self
    }

    /// The disk as a port.
    #[must_use]
    pub fn port(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// How long each call takes from now on.
    pub fn set_latency(&self, latency: Option<Range<Duration>>) {
        self.state().faults.latency = latency;
    }

    /// How many changes were made: creations, writes, lengths, renames, removals, syncs.
    #[must_use]
    pub fn mutations(&self) -> u64 {
        self.state().mutations
    }

    /// Lets this many changes happen, counted from the beginning, and cuts the power before the next one: it and all
    /// calls after it fail. [`Self::restart`] shows what is left.
    pub fn cut_power_at(&self, mutation: u64) {
        self.state().cut_at = Some(mutation);
    }

    /// Whether the power was cut.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.state().is_off
    }

    /// What the next process finds if this one ends now. The disk itself goes on as it is.
    #[must_use]
    pub fn restart(&self, crash: Crash, seed: u64) -> Self {
        Self::of(self.state().after(crash, &mut SimRng::new(seed)))
    }

    /// A copy of the disk as it is, without its locks and faults.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::of(self.state().restarted(0))
    }

    /// Collects a [`CrashPoint`] with each change from now on.
    pub fn collect_crash_points(&self) {
        self.state().points.get_or_insert_default();
    }

    /// The points collected since the last call.
    #[must_use]
    pub fn take_crash_points(&self) -> Vec<CrashPoint> {
        self.state().points.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// A number that two runs share only if they made the same calls with the same bytes.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.state().trace.hash()
    }

    /// Keeps the last events in words from now on.
    pub fn keep_events(&self) {
        self.state().trace.keep_words();
    }

    /// The last events in words.
    #[must_use]
    pub fn events(&self) -> Vec<String> {
        self.state().trace.words()
    }

    /// All files below a path with their bytes, as a process sees them.
    #[must_use]
    pub fn contents(&self, path: &Path) -> BTreeMap<PathBuf, Bytes> {
        let mut contents = BTreeMap::new();
        self.state().contents(path, &mut contents);
        contents
    }

    /// The files below a path that are wanted, without those below directories that are not: as a process sees them, or as the
    /// device has them, which is what is left for certain when the power fails.
    #[must_use]
    pub fn contents_of(
        &self,
        path: &Path,
        on_device: bool,
        wants: &dyn Fn(&Path) -> bool,
    ) -> BTreeMap<PathBuf, Bytes> {
        let mut contents = BTreeMap::new();
        self.state().contents_of(path, Look { on_device, wants }, &mut contents);
        contents
    }

    /// How many bytes all files have together.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// Turns one bit of a file around, on the device and in the cache, as a worn cell does. Without such a file or bit
    /// nothing happens.
    pub fn flip(&self, path: &Path, bit: u64) {
        self.state().tamper(path, |content| {
            if let Some(byte) = content.get_mut((bit / 8) as usize) {
                *byte ^= 1 << (bit % 8);
            }
        });
    }

    /// Takes a file away, durably, as an operator does.
    pub fn lose(&self, path: &Path) {
        self.state().lose(path);
    }

    /// Makes a call, after the disk's latency.
    pub(super) fn call<'a, T: Send + 'a>(
        &self,
        call: impl FnOnce(&mut State) -> io::Result<T> + Send + 'a,
    ) -> DiskFuture<'a, T> {
        let range = self.state().faults.latency.clone();
        self.call_within(range, call)
    }

    /// Makes a call that syncs.
    pub(super) fn call_sync<'a, T: Send + 'a>(
        &self,
        call: impl FnOnce(&mut State) -> io::Result<T> + Send + 'a,
    ) -> DiskFuture<'a, T> {
        let range = {
            let state = self.state();
            state.faults.sync_latency.clone().or_else(|| state.faults.latency.clone())
        };
        self.call_within(range, call)
    }

    fn call_within<'a, T: Send + 'a>(
        &self,
        range: Option<Range<Duration>>,
        call: impl FnOnce(&mut State) -> io::Result<T> + Send + 'a,
    ) -> DiskFuture<'a, T> {
        let latency = {
            let mut state = self.state();
            match range {
                None => return DiskFuture::ready(call(&mut state)),
                Some(range) => {
                    let spread = range.end.saturating_sub(range.start).as_micros() as u64;
                    range.start + std::time::Duration::from_micros(state.rng.below(spread))
                }
            }
        };
        let disk = self.clone();
        DiskFuture::Pending(Box::pin(async move {
            match &disk.timeline {
                Some(timeline) => timeline.sleep(latency).await,
                None => tokio::time::sleep(latency).await,
            }
            call(&mut disk.state())
        }))
    }
}

impl Disk for SimDisk {
    fn open<'a>(&'a self, path: &'a Path, mode: OpenMode) -> DiskFuture<'a, Arc<dyn File>> {
        let disk = self.clone();
        self.call(move |state| {
            let ino = state.open(path, mode)?;
            Ok(Arc::new(SimFile::new(disk, ino, path.to_owned())) as Arc<dyn File>)
        })
    }

    fn read<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Bytes> {
        self.call(move |state| state.read_whole(path))
    }

    fn create_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        self.call(move |state| state.create_dir_all(path))
    }

    fn list<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Vec<DirEntry>> {
        self.call(move |state| state.list(path))
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> DiskFuture<'a, ()> {
        self.call(move |state| state.rename(from, to))
    }

    fn remove_file<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        self.call(move |state| state.remove_file(path))
    }

    fn remove_dir_all<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        self.call(move |state| state.remove_dir_all(path))
    }

    fn sync_dir<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, ()> {
        self.call_sync(move |state| state.sync_dir(path))
    }

    fn lock<'a>(&'a self, path: &'a Path) -> DiskFuture<'a, Box<dyn DirLock>> {
        let disk = self.clone();
        self.call(move |state| {
            state.open(path, OpenMode::Create)?;
            if !state.locks.insert(path.to_owned()) {
                let message = format!("the lock file {} is held by another process", path.display());
                return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
            }
            Ok(Box::new(SimLock { disk, path: path.to_owned() }) as Box<dyn DirLock>)
        })
    }

    fn space<'a>(&'a self, _: &'a Path) -> DiskFuture<'a, DiskSpace> {
        self.call(|state| Ok(state.space()))
    }

    fn page_cache_id<'a>(&'a self, _: &'a Path) -> DiskFuture<'a, Option<String>> {
        self.call(|state| Ok(Some(format!("{:016x}", state.boot))))
    }
}

/// Held until it is dropped, or until the process crashes: [`SimDisk::restart`] knows no locks.
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl DirLock for SimLock {
    fn sync_all(&self) -> DiskFuture<'_, bool> {
        self.disk.call_sync(|state| state.sync_all(&self.path).map(|()| true))
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}
