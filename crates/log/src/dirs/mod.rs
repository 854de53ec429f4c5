//! The log directories of a broker (`log.dirs`), and the logs in them.
//!
//! What is not here: which logs there should be. The broker compares [`LogDirs::list`] with the metadata image, creates
//! what is missing, has deleted what was replayed as gone, and puts aside what belongs to no topic.

mod bulk;
mod create;
mod dir;
mod flushes;
mod futures;
mod open;
mod opened;
mod owner;
mod restless;
mod running;
mod watermarks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use ottla_env::disk::DiskSpace;
use ottla_env::{Disk, Rng};
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, Offset, TopicPartition};

pub use self::create::NewLog;
pub(crate) use self::dir::LogDir;
pub use self::open::{FailedLog, OpenedDirs};
pub use self::owner::Held;
use self::restless::ALL_EVERY_MS;
pub(crate) use self::running::PageCache;
pub use self::running::PreviousRun;
use crate::format::names;
use crate::sabotage::{Sabotage, is};
use crate::stats::Stats;
use crate::sync::{lock, read, write};
use crate::{Error, Log, LogConfig, Result};

/// What a broker knows of its directories before it opens them.
#[derive(Debug, Clone)]
pub struct LogDirsConfig {
    /// `log.dirs`. They are made where they are missing.
    pub dirs: Vec<PathBuf>,
    /// The cluster's id. `None` takes that of the directories, or a new one when all are empty.
    pub cluster_id: Option<String>,
    /// `node.id`.
    pub node_id: BrokerId,
    /// How many logs are opened at a time in each directory (`num.recovery.threads.per.data.dir`).
    pub opened_at_a_time: usize,
}

/// All logs of a broker.
pub struct LogDirs {
    disk: Arc<dyn Disk>,
    rng: Arc<dyn Rng>,
    cluster_id: String,
    stats: Arc<Stats>,
    previous_run: PreviousRun,
    dirs: Vec<Arc<LogDir>>,
    went_offline: Arc<tokio::sync::Notify>,
    logs: RwLock<BTreeMap<TopicPartition, Arc<Log>>>,
    /// Copies that are to take the place of logs.
    futures: RwLock<BTreeMap<TopicPartition, Arc<Log>>>,
    /// Where logs are to be made that are not there yet.
    preferred: Mutex<BTreeMap<TopicPartition, DirectoryId>>,
    /// Logs that are there and could not be opened.
    failed: Mutex<BTreeMap<TopicPartition, Unusable>>,
    /// All of `log.dirs` could be used at the start.
    is_whole: bool,
    /// Renamed directories and when they may be removed.
    deleted: Mutex<Vec<(i64, PathBuf)>>,
    /// When [`Self::tend`] last looked at all logs.
    all_tended_at_ms: AtomicI64,
    /// Logs are created, deleted and closed one at a time.
    changing: tokio::sync::Mutex<()>,
}

/// A log that could not be opened.
#[derive(Debug, Clone)]
pub(crate) struct Unusable {
    home: Arc<LogDir>,
    path: PathBuf,
    reason: Arc<str>,
}

/// A log directory, for DescribeLogDirs.
#[derive(Debug, Clone)]
pub struct DirInfo {
    /// Its path.
    pub path: PathBuf,
    /// Its id (KIP-858).
    pub id: DirectoryId,
    /// Why it is offline, if it is.
    pub failure: Option<Arc<str>>,
    /// The room on its file system, if that can be told.
    pub space: Option<DiskSpace>,
}

/// What [`LogDirs::set_tail_cache_bytes`] is before it is called. It holds the few fetches by which a tailing reader is
/// behind. More is no better: a cache that does not fit the processor's costs about 0.05 CPU-s for a GB appended.
pub const DEFAULT_TAIL_CACHE_BYTES: usize = 16 << 20;

impl LogDirs {
    /// Bounds the recent batches that are kept in memory for tailing readers, over all logs. 0 keeps none.
    pub fn set_tail_cache_bytes(&self, bytes: usize) {
        // All directories share one budget.
        if let Some(dir) = self.dirs.first() {
            dir.cache().set_limit(bytes);
        }
    }

    /// The cluster's id, as `meta.properties` has it.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The broker epoch with which all directories were closed in order; `None` after a crash, or at the first start.
    #[must_use]
    pub fn clean_broker_epoch(&self) -> Option<BrokerEpoch> {
        match self.previous_run {
            PreviousRun::Clean(epoch) => Some(epoch),
            PreviousRun::Killed(_) | PreviousRun::Unknown => None,
        }
    }

    /// How the run of the broker before this one ended.
    #[must_use]
    pub fn previous_run(&self) -> PreviousRun {
        self.previous_run
    }

    /// Notes for which registration the broker works from here on. Until this is noted it must not take records that others
    /// count on: after a kill they would be ascribed to the run before.
    pub async fn note_broker_epoch(&self, epoch: BrokerEpoch) {
        for dir in &self.dirs {
            dir.note_broker_epoch(epoch).await;
        }
    }

    /// The directories.
    pub async fn dirs(&self) -> Vec<DirInfo> {
        let mut infos = Vec::with_capacity(self.dirs.len());
        for dir in &self.dirs {
            let space = self.disk.space(dir.path()).await.ok();
            infos.push(DirInfo { path: dir.path().to_owned(), id: dir.id(), failure: dir.failure(), space });
        }
        infos
    }

    /// The ids of the directories that do not work any more.
    #[must_use]
    pub fn offline(&self) -> Vec<DirectoryId> {
        self.dirs.iter().filter(|dir| dir.failure().is_some()).map(|dir| dir.id()).collect()
    }

    /// Whether a directory is one of ours and works.
    #[must_use]
    pub fn is_online(&self, directory: DirectoryId) -> bool {
        self.dirs.iter().any(|dir| dir.id() == directory && dir.failure().is_none())
    }

    /// Waits until none of the directories works any more, and tells why of each. Safe to cancel.
    pub async fn none_left(&self) -> Vec<(PathBuf, Arc<str>)> {
        loop {
            // From before the look, so that no failure slips between.
            let another = self.went_offline.notified();
            let failure = |dir: &Arc<LogDir>| Some((dir.path().to_owned(), dir.failure()?));
            if let Some(failures) = self.dirs.iter().map(failure).collect() {
                return failures;
            }
            another.await;
        }
    }

    /// Whether all of `log.dirs` could be used at the start. If not, a partition that is not new and has no log here may
    /// have one in a directory that is missing: creating it would hide that.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// What all logs together have counted of their work.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The log of a partition.
    #[must_use]
    pub fn get(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        read(&self.logs).get(partition).cloned()
    }

    /// All logs, in the order of their names.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Log>> {
        read(&self.logs).values().cloned().collect()
    }

    /// Deletes a log: it is closed, its directory is renamed, durably, and [`Self::remove_deleted`] removes it after
    /// `file.delete.delay.ms`. A log that is not there is deleted already.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub async fn delete(&self, partition: &TopicPartition, now_ms: i64) -> Result<()> {
        let _changing = self.changing.lock().await;
        let name = names::deleted_dir(partition, self.rng.id_bytes());
        // First: without its log a copy counts for nothing.
        self.remove_future_locked(partition, now_ms).await?;
        let log = write(&self.logs).remove(partition);
        let unusable = lock(&self.failed).remove(partition);
        let (renamed, delay_ms) = match (log, unusable) {
            (Some(log), _) => (self.put_aside(&log, &name).await?, log.config().file_delete_delay_ms),
            (None, Some(Unusable { home, path, .. })) => (
                self.rename_away(&home, partition, &path, &name).await?,
                LogConfig::default().file_delete_delay_ms,
            ),
            (None, None) => return Ok(()),
        };
        lock(&self.deleted).push((now_ms.saturating_add(delay_ms.max(0)), renamed));
        Ok(())
    }

    /// Puts a log aside whose topic nobody knows: closed, and its directory renamed to `...-stray` for an operator to
    /// look at. It is not removed.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub async fn set_aside_stray(&self, partition: &TopicPartition) -> Result<()> {
        let _changing = self.changing.lock().await;
        self.remove_future_locked(partition, 0).await?;
        let Some(log) = write(&self.logs).remove(partition) else { return Ok(()) };
        let name = names::stray_dir(partition, self.rng.id_bytes());
        let renamed = self.put_aside(&log, &name).await?;
        tracing::warn!(
            "{partition}: no topic has its id {:?}; put aside as {}",
            log.topic_id(),
            renamed.display()
        );
        Ok(())
    }

    async fn put_aside(&self, log: &Log, name: &str) -> Result<PathBuf> {
        log.abandon().await;
        self.rename_away(&log.home(), log.partition(), &log.dir(), name).await
    }

    async fn rename_away(
        &self,
        home: &LogDir,
        partition: &TopicPartition,
        path: &Path,
        name: &str,
    ) -> Result<PathBuf> {
        let renamed = home.path().join(name);
        self.disk.rename(path, &renamed).await?;
        self.disk.sync_dir(home.path()).await?;
        home.forget(partition).await?;
        Ok(renamed)
    }

    /// Removes the directories of deleted logs, and the files of deleted segments, whose delay is over.
    ///
    /// # Errors
    /// [`Error::Io`]: what could not be removed is tried again with the next call.
    pub async fn remove_deleted(&self, now_ms: i64) -> Result<()> {
        let due: Vec<PathBuf> = lock(&self.deleted)
            .iter()
            .filter(|(due_ms, _)| *due_ms <= now_ms)
            .map(|(_, path)| path.clone())
            .collect();
        for path in due {
            match self.disk.remove_dir_all(&path).await {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
                _ => lock(&self.deleted).retain(|(_, other)| *other != path),
            }
        }
        let mut result = Ok(());
        for log in self.restless().into_iter().chain(self.futures()) {
            result = result.and(log.remove_deleted(now_ms).await);
        }
        result
    }

    /// Applies retention to all logs, each below `upper` of it: its high watermark. Returns how many bytes were removed.
    /// A log that fails is reported and the others go on.
    pub async fn apply_retention(&self, upper: impl Fn(&Log) -> Offset + Send, now_ms: i64) -> u64 {
        let mut removed_bytes = 0;
        for log in self.list() {
            match log.apply_retention(upper(&log), now_ms).await {
                Ok(bytes) => removed_bytes += bytes,
                Err(Error::Closed { .. } | Error::Offline { .. }) => {}
                Err(error) => tracing::error!("retention failed: {error}"),
            }
            if !log.is_at_rest() {
                log.stir();
            }
        }
        removed_bytes
    }

    /// Flushes the logs whose `flush.ms` has passed, forgets silent producers and closes idle files. To be called every
    /// now and then. Logs at rest are looked at once a minute.
    pub async fn tend(&self, now_ms: i64) {
        for log in self.take_restless(now_ms) {
            // Before the look, so that what comes during it is noted.
            log.note_tended();
            if log.is_flush_due(now_ms) {
                // A failure has taken the directory offline, loudly.
                let _reported = log.flush().await;
                log.note_flushed_at(now_ms);
            }
            log.expire_producers(now_ms);
            log.release_idle_files();
            if !log.is_at_rest() {
                log.stir();
            }
        }
        for copy in self.futures() {
            copy.release_idle_files();
        }
        self.close_idle().await;
    }

    /// The logs that may have something to tend to, which note themselves again; now and then all.
    fn take_restless(&self, now_ms: i64) -> Vec<Arc<Log>> {
        let noted: Vec<_> = self.dirs.iter().flat_map(|dir| dir.restless().take()).collect();
        let since_ms = now_ms.saturating_sub(self.all_tended_at_ms.load(Ordering::Relaxed));
        // A clock that was set back may have them looked at early.
        if (0..ALL_EVERY_MS).contains(&since_ms) {
            let logs = read(&self.logs);
            return noted.iter().filter_map(|partition| logs.get(partition).cloned()).collect();
        }
        self.all_tended_at_ms.store(now_ms, Ordering::Relaxed);
        self.list()
    }

    /// The logs that may have something to tend to.
    #[must_use]
    pub fn restless(&self) -> Vec<Arc<Log>> {
        let logs = read(&self.logs);
        let noted = self.dirs.iter().flat_map(|dir| dir.restless().list());
        noted.filter_map(|partition| logs.get(&partition).cloned()).collect()
    }

    /// Waits until appends opened so many files that [`Self::close_idle`] should not wait for the next [`Self::tend`].
    pub async fn many_opened(&self) {
        // All directories share one count.
        match self.dirs.first() {
            Some(dir) => dir.opened().many().await,
            None => std::future::pending().await,
        }
    }

    /// Flushes logs that took no append since the last call, if many of them hold files open, and closes these.
    pub async fn close_idle(&self) {
        for dir in &self.dirs {
            dir.opened().looked();
            // Those with records that are not durable are all among them.
            let here = self.restless().into_iter().filter(|log| Arc::ptr_eq(&log.home(), dir));
            dir.flush_idle(&here.collect::<Vec<_>>()).await;
        }
    }

    /// Writes the checkpoints of all directories (`log.flush.offset.checkpoint.interval.ms`).
    ///
    /// # Errors
    /// The first [`Error::Io`]; that directory is offline then, the others are written.
    pub async fn write_checkpoints(&self) -> Result<()> {
        let mut result = Ok(());
        for dir in self.dirs.iter().filter(|dir| dir.failure().is_none()) {
            if let Err(error) = dir.write_checkpoints().await {
                dir.fail(format!("its checkpoints cannot be written: {error}")).await;
                result = result.and(Err(error));
            }
        }
        result
    }

    /// Closes all logs, and says so in each directory in which that went well. Nothing can be appended afterwards.
    ///
    /// # Errors
    /// The first error; that directory is recovered by the next start.
    pub async fn close(&self, epoch: BrokerEpoch) -> Result<()> {
        let _changing = self.changing.lock().await;
        let mut result = Ok(());
        for dir in &self.dirs {
            result = result.and(self.close_dir(dir, epoch).await);
            dir.unlock();
        }
        result
    }

    async fn close_dir(&self, dir: &Arc<LogDir>, epoch: BrokerEpoch) -> Result<()> {
        if is(Sabotage::MarkerBeforeFlush) {
            dir.put_clean_marker(epoch).await?;
        }
        let logs: Vec<Arc<Log>> = self
            .list()
            .into_iter()
            .chain(self.futures())
            .filter(|log| Arc::ptr_eq(&log.home(), dir))
            .collect();
        if logs.len() > bulk::MANY
            && let Err(error) = dir.close_many(&logs).await
        {
            tracing::warn!("{}: each log is closed by itself: {error}", dir.path().display());
        }
        // Of a log that is closed already, nothing is done.
        let mut result = open::at_most(CLOSED_AT_A_TIME, logs, |log| async move { log.close().await })
            .await
            .into_iter()
            .fold(Ok(()), Result::and);
        if let Some(reason) = dir.failure() {
            // Also where the log that failed was deleted since.
            let offline = format!("{} is offline: {reason}", dir.path().display());
            result = result.and(Err(std::io::Error::other(offline).into()));
        }
        if result.is_ok() {
            result = async {
                dir.write_checkpoints().await?;
                // Last of all: the marker promises that everything else is on disk.
                dir.put_clean_marker(epoch).await
            }
            .await;
        }
        if let Err(error) = &result {
            // A flush may have failed, and taken what was to be flushed out of the page cache.
            dir.distrust().await;
            tracing::error!(
                "{} is not closed in order, the next start recovers it: {error}",
                dir.path().display()
            );
        }
        result
    }
}

/// Each log that is closed waits for a few fsyncs, which the file system does together.
const CLOSED_AT_A_TIME: usize = 64;
