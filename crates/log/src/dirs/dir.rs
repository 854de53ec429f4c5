//! One log directory: its identity, its lock, its checkpoints, and whether it still works.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use bytes::Bytes;
use ottla_env::Disk;
use ottla_env::disk::{DirLock, sync_names_above};
use ottla_types::{BrokerEpoch, DirectoryId, Offset, TopicPartition};
use tokio::sync::Notify;

use super::flushes::Flushes;
use super::opened::Opened;
use super::restless::Restless;
use super::watermarks::HighWatermarks;
use crate::cache::Budget;
use crate::format::checkpoint::{self, Offsets};
use crate::format::names::{
    CLEAN_SHUTDOWN, LOCK, LOG_START_CHECKPOINT, META_PROPERTIES, RECOVERY_POINT_CHECKPOINT,
};
use crate::format::properties::MetaProperties;
use crate::format::{atomic, properties};
use crate::sabotage::{Sabotage, is};
use crate::stats::Stats;
use crate::sync::lock;
use crate::{Error, Result};

/// One of the `log.dirs`.
pub(crate) struct LogDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    id: DirectoryId,
    failure: OnceLock<Arc<str>>,
    /// Shared by all directories.
    went_offline: Arc<Notify>,
    /// The other directories of the process.
    others: OnceLock<Vec<Weak<LogDir>>>,
    /// Shared by all directories.
    cache: Arc<Budget>,
    opened: Arc<Opened>,
    restless: Restless,
    /// Shared by all directories.
    stats: Arc<Stats>,
    flushes: Arc<Flushes>,
    /// What the checkpoint files say, or will say when they are written next. On disk a recovery point is never above
    /// the one here.
    recovery_points: Mutex<Offsets>,
    start_offsets: Mutex<Offsets>,
    high_watermarks: HighWatermarks,
    /// One writer of checkpoint files at a time, so that an older content never replaces a newer one.
    writing: tokio::sync::Mutex<()>,
    /// Gone once the directory is closed: nothing writes to it then, whoever still holds one of its logs.
    lock: Mutex<Option<Arc<dyn DirLock>>>,
}

/// A directory that was locked and looked at.
pub(crate) struct Claimed {
    path: PathBuf,
    lock: Box<dyn DirLock>,
    pub(crate) meta: Option<MetaProperties>,
}

/// Who the directories belong to.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) cluster_id: String,
    pub(crate) node_id: ottla_types::BrokerId,
    pub(crate) cache: Arc<Budget>,
    pub(crate) opened: Arc<Opened>,
    pub(crate) stats: Arc<Stats>,
    /// Told whenever a directory goes offline.
    pub(crate) went_offline: Arc<Notify>,
}

impl Claimed {
    /// Makes the directory if need be, locks it and reads whose it is.
    pub(crate) async fn claim(disk: &dyn Disk, path: &Path) -> Result<Self> {
        disk.create_dir_all(path).await?;
        let lock = disk.lock(&path.join(LOCK)).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => {
                Error::DirInUse { path: path.to_owned(), reason: error.to_string() }
            }
            _ => error.into(),
        })?;
        let file = path.join(META_PROPERTIES);
        let meta = match atomic::read_optional(disk, &file).await? {
            Some(bytes) => {
                Some(MetaProperties::decode(&bytes).map_err(|reason| Error::malformed(file, reason))?)
            }
            None => None,
        };
        Ok(Self { path: path.to_owned(), lock, meta })
    }

    /// Checks the owner, or writes it where there is none yet. `fresh_id` is used for a directory without an id.
    pub(crate) async fn own(
        self,
        disk: &Arc<dyn Disk>,
        owner: &Owner,
        fresh_id: DirectoryId,
    ) -> Result<LogDir> {
        let file = self.path.join(META_PROPERTIES);
        let node_id = owner.node_id.to_string();
        if let Some(meta) = &self.meta {
            check_same(&file, properties::CLUSTER_ID, &meta.cluster_id, &owner.cluster_id)?;
            check_same(&file, properties::NODE_ID, &meta.node_id.to_string(), &node_id)?;
        }
        let known_id = self.meta.as_ref().and_then(|meta| meta.directory_id);
        let id = known_id.unwrap_or(fresh_id);
        if known_id.is_none() {
            let meta = MetaProperties {
                cluster_id: owner.cluster_id.clone(),
                node_id: owner.node_id,
                directory_id: Some(id),
            };
            // The directory may be new, and those above it. Their names come first: where the file is, they are durable.
            sync_names_above(&**disk, &self.path).await?;
            atomic::replace(&**disk, &file, Bytes::from(meta.encode())).await?;
        }
        let recovery_points = read_offsets(&**disk, &self.path.join(RECOVERY_POINT_CHECKPOINT)).await?;
        let start_offsets = read_offsets(&**disk, &self.path.join(LOG_START_CHECKPOINT)).await?;
        let high_watermarks = HighWatermarks::read(&**disk, &self.path).await?;
        Ok(LogDir {
            disk: Arc::clone(disk),
            path: self.path,
            id,
            failure: OnceLock::new(),
            went_offline: Arc::clone(&owner.went_offline),
            others: OnceLock::new(),
            cache: Arc::clone(&owner.cache),
            opened: Arc::clone(&owner.opened),
            restless: Restless::default(),
            stats: Arc::clone(&owner.stats),
            flushes: Arc::default(),
            recovery_points: Mutex::new(recovery_points),
            start_offsets: Mutex::new(start_offsets),
            high_watermarks,
            writing: tokio::sync::Mutex::new(()),
            lock: Mutex::new(Some(self.lock.into())),
        })
    }
}

fn check_same(file: &Path, key: &'static str, found: &str, expected: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let (path, found, expected) = (file.to_owned(), found.to_owned(), expected.to_owned());
    Err(Error::ForeignDir { path, key, found, expected })
}

/// A checkpoint that is missing or damaged costs time, not records: recovery starts at the beginning.
pub(super) async fn read_offsets(disk: &dyn Disk, path: &Path) -> Result<Offsets> {
    let Some(bytes) = atomic::read_optional(disk, path).await? else { return Ok(Offsets::new()) };
    Ok(checkpoint::decode_offsets(&bytes).unwrap_or_else(|reason| {
        tracing::warn!("{} is passed over: {reason}", path.display());
        Offsets::new()
    }))
}

impl std::fmt::Debug for LogDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogDir({}, {})", self.path.display(), self.id)
    }
}

impl LogDir {
    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Makes directories known to each other.
    pub(super) fn introduce(dirs: &[Arc<Self>]) {
        for dir in dirs {
            let others = dirs.iter().filter(|other| !Arc::ptr_eq(other, dir)).map(Arc::downgrade);
            let _known_already = dir.others.set(others.collect());
        }
    }

    /// The other directories that work.
    pub(super) fn others(&self) -> Vec<Arc<Self>> {
        let others = self.others.get().into_iter().flatten().filter_map(Weak::upgrade);
        others.filter(|other| other.failure().is_none()).collect()
    }

    /// The logs that wait to be flushed.
    pub(crate) fn flushes(&self) -> &Arc<Flushes> {
        &self.flushes
    }

    /// The logs that may have something to tend to.
    pub(crate) fn restless(&self) -> &Restless {
        &self.restless
    }

    /// The files that appends opened.
    pub(crate) fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The memory for recent batches.
    pub(crate) fn cache(&self) -> &Arc<Budget> {
        &self.cache
    }

    /// Where work is counted.
    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn id(&self) -> DirectoryId {
        self.id
    }

    /// Why the directory is offline, if it is.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.failure.get().cloned()
    }

    /// Refuses appends to all logs of the directory from now on.
    pub(crate) fn go_offline(&self, reason: String) {
        let reason: Arc<str> = reason.into();
        if self.failure.set(Arc::clone(&reason)).is_ok() {
            tracing::error!("the log directory {} is offline: {reason}", self.path.display());
            self.went_offline.notify_waiters();
        }
    }

    /// Makes durable whatever was written below; `false` where that can only be done file by file.
    pub(super) async fn sync_all(&self) -> Result<bool> {
        let held = lock(&self.lock).clone();
        match held {
            Some(held) => Ok(held.sync_all().await?),
            None => Ok(false),
        }
    }

    /// Lets another process have the directory.
    pub(crate) fn unlock(&self) {
        lock(&self.lock).take();
    }

    pub(crate) fn recovery_point(&self, partition: &TopicPartition) -> Offset {
        lock(&self.recovery_points).get(partition).copied().unwrap_or_default()
    }

    pub(crate) fn start_offset(&self, partition: &TopicPartition) -> Offset {
        lock(&self.start_offsets).get(partition).copied().unwrap_or_default()
    }

    /// Everything below `offset` is durable. Written with the next checkpoint.
    pub(crate) fn note_recovery_point(&self, partition: &TopicPartition, offset: Offset) {
        lock(&self.recovery_points).insert(partition.clone(), offset);
    }

    /// No more than what lies below `offset` is durable: on disk before this returns.
    pub(crate) async fn lower_recovery_point(
        &self,
        partition: &TopicPartition,
        offset: Offset,
    ) -> Result<()> {
        let lowered = match lock(&self.recovery_points).get_mut(partition) {
            Some(point) if *point > offset => {
                *point = offset;
                true
            }
            _ => false,
        };
        if lowered { self.write_recovery_points().await } else { Ok(()) }
    }

    /// The log starts at `offset`. Written with the next checkpoint.
    pub(crate) fn note_start_offset(&self, partition: &TopicPartition, offset: Offset) {
        lock(&self.start_offsets).insert(partition.clone(), offset);
    }

    /// The log starts at `offset`: on disk before this returns.
    pub(crate) async fn set_start_offset(&self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        self.note_start_offset(partition, offset);
        self.write_start_offsets().await
    }

    /// A log that is deleted has no checkpoints; what takes its name later is another one.
    pub(crate) async fn forget(&self, partition: &TopicPartition) -> Result<()> {
        let known = lock(&self.recovery_points).remove(partition).is_some();
        let started = lock(&self.start_offsets).remove(partition).is_some();
        if known {
            self.write_recovery_points().await?;
        }
        if started {
            self.write_start_offsets().await?;
        }
        self.high_watermarks.remove(partition);
        self.high_watermarks.write(&*self.disk).await
    }

    /// Keeps the checkpoints of these logs only, durably: those of a log that is gone must not be taken for those of the
    /// next one of its name. High watermarks that were lowered are made durable too.
    pub(crate) async fn retain(&self, keep: impl Fn(&TopicPartition) -> bool) {
        let forgotten = [&self.recovery_points, &self.start_offsets].map(|offsets| {
            let mut offsets = lock(offsets);
            let before = offsets.len();
            offsets.retain(|partition, _| keep(partition));
            offsets.len() < before
        });
        self.high_watermarks.retain(&keep);
        if (self.high_watermarks.is_changed() || forgotten.contains(&true))
            && let Err(error) = self.write_checkpoints().await
        {
            self.fail(format!("its checkpoints cannot be written: {error}")).await;
        }
    }

    /// Writes the checkpoint files: of the high watermarks only if one has changed.
    pub(crate) async fn write_checkpoints(&self) -> Result<()> {
        self.write_recovery_points().await?;
        self.write_start_offsets().await?;
        self.high_watermarks.write(&*self.disk).await
    }

    /// What was committed of each log, as it was last noted.
    pub(crate) fn high_watermarks(&self) -> &HighWatermarks {
        &self.high_watermarks
    }

    /// Where a copy starts that is to take the place of a log elsewhere, and what was committed of that one: on disk before
    /// this returns.
    pub(super) async fn keep_for_future(
        &self,
        partition: &TopicPartition,
        start: Offset,
        high_watermark: Offset,
    ) -> Result<()> {
        self.set_start_offset(partition, start).await?;
        self.high_watermarks.note(partition.clone(), high_watermark);
        self.high_watermarks.write(&*self.disk).await
    }

    /// The log is cut at `end`: its high watermark is not above that, on disk before this returns.
    pub(crate) async fn lower_high_watermark(&self, partition: &TopicPartition, end: Offset) -> Result<()> {
        if !is(Sabotage::WatermarkNotLowered) && self.high_watermarks.lower(partition, end) {
            self.high_watermarks.write(&*self.disk).await?;
        }
        Ok(())
    }

    async fn write_recovery_points(&self) -> Result<()> {
        let _writing = self.writing.lock().await;
        let content = checkpoint::encode_offsets(&lock(&self.recovery_points));
        atomic::replace(&*self.disk, &self.path.join(RECOVERY_POINT_CHECKPOINT), content.into()).await
    }

    async fn write_start_offsets(&self) -> Result<()> {
        let _writing = self.writing.lock().await;
        let content = checkpoint::encode_offsets(&lock(&self.start_offsets));
        atomic::replace(&*self.disk, &self.path.join(LOG_START_CHECKPOINT), content.into()).await
    }

    /// Takes the clean-shutdown marker away, durably, before anything is written. `None`: there was none. A marker of an
    /// old broker has no epoch: -1.
    pub(crate) async fn take_clean_marker(&self) -> Result<Option<BrokerEpoch>> {
        let path = self.path.join(CLEAN_SHUTDOWN);
        let Some(bytes) = atomic::read_optional(&*self.disk, &path).await? else { return Ok(None) };
        self.disk.remove_file(&path).await?;
        self.disk.sync_dir(&self.path).await?;
        Ok(Some(checkpoint::decode_clean_shutdown(&bytes).unwrap_or(BrokerEpoch(-1))))
    }

    /// Says that all logs were closed in order.
    pub(crate) async fn put_clean_marker(&self, epoch: BrokerEpoch) -> Result<()> {
        let content = checkpoint::encode_clean_shutdown(epoch);
        atomic::replace(&*self.disk, &self.path.join(CLEAN_SHUTDOWN), content.into()).await
    }
}
