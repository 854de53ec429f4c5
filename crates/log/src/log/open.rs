//! Opening a log: quickly after a clean stop, by recovery after another one.
//!
//! Recovery reads the segments from the recovery point on, verifies every checksum, makes their indexes, leader epochs
//! and producers anew, and cuts what a crash tore off the end. What lies below the recovery point was fsynced: damage
//! there is reported, and never cut away. After a failed fsync the page cache may show what the device does not have, so
//! what recovery then finds good it writes once more, and fsyncs.

mod recover;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use ottla_env::Disk;
use ottla_env::disk::OpenMode;
use ottla_types::{Offset, TopicId, TopicPartition};

use self::recover::Progress;
use super::group_commit::Turn;
use super::place::Place;
use super::read::Hints;
use super::{Log, Writer, replay};
use crate::cache::Recent;
use crate::dirs::{LogDir, PageCache};
use crate::epochs::LeaderEpochs;
use crate::format::names::{self, FileKind, LEADER_EPOCH_CHECKPOINT, PARTITION_METADATA};
use crate::format::{atomic, checkpoint};
use crate::producers::Producers;
use crate::sabotage::{Sabotage, is};
use crate::segment::Segment;
use crate::segment::load::FileSizes;
use crate::sync::write;
use crate::{Error, LogConfig, Result};

/// What is known of a log before it is opened.
pub(crate) struct OpenLog {
    pub(crate) partition: TopicPartition,
    pub(crate) dir: Arc<Path>,
    pub(crate) home: Arc<LogDir>,
    pub(crate) config: Arc<LogConfig>,
    /// The process before this one closed the log in order.
    pub(crate) clean: bool,
    /// What became of what the process before this one wrote, flushed or not.
    pub(crate) cache: PageCache,
    pub(crate) recovery_point: Offset,
    /// The start as checkpointed: it may lie within a segment.
    pub(crate) start_offset: Offset,
    pub(crate) now_ms: i64,
}

/// The files of a partition's directory.
#[derive(Debug, Default)]
struct Files {
    segments: BTreeMap<Offset, FileSizes>,
    snapshots: Vec<Offset>,
    topic_id: Option<TopicId>,
}

/// The parts of a log as they come together.
struct Parts {
    segments: Vec<Arc<Segment>>,
    epochs: LeaderEpochs,
    /// Files were made or removed on the way.
    names_changed: bool,
    progress: Progress,
}

impl OpenLog {
    fn disk(&self) -> &Arc<dyn Disk> {
        self.home.disk()
    }

    /// What was written is in the page cache, and only the last write can be torn.
    fn cache_survived(&self) -> bool {
        self.cache == PageCache::Survived
    }

    /// From where on batches are to be written again, because the page cache may show what the device refused.
    fn rewritten_from(&self) -> Option<Offset> {
        let is_suspect = !self.clean && self.cache == PageCache::Suspect && !is(Sabotage::CacheTrusted);
        is_suspect.then_some(self.recovery_point)
    }

    /// Makes the directory of a new log. Nothing is fsynced: the first flush does that, before a record counts on it.
    pub(crate) async fn create(self, topic_id: TopicId) -> Result<Log> {
        self.disk().create_dir_all(&self.dir).await?;
        let log = self.open().await?;
        log.set_topic_id(topic_id).await?;
        Ok(log)
    }

    /// Opens the log in its directory.
    pub(crate) async fn open(self) -> Result<Log> {
        let mut files = self.list().await?;
        let removed = self.remove_below_start(&mut files).await?;
        let epochs = self.read_epochs().await?;
        // What the checkpoint says of records that were flushed is true; without it all of them tell.
        let epochs_from = if epochs.is_some() { self.recovery_point } else { Offset(0) };
        let mut parts = self.load_segments(&files, epochs).await?;
        parts.names_changed |= removed;
        if !self.clean && self.cache_survived() {
            parts.epochs.truncate_from_end(epochs_from);
            replay::epochs_from(&mut parts.epochs, &parts.segments, epochs_from).await?;
        }
        let start = self.settle_start(&mut parts).await?;
        let end = parts.segments.last().map_or(start, |segment| segment.next_offset());
        self.report_missing_end(&files, end);
        // In this order: an epoch of records that a new beginning took away must not be moved up to the start of an empty log.
        parts.epochs.truncate_from_start(start);
        parts.epochs.truncate_from_end(end);
        self.remove_stale_snapshots(&mut files, end, &mut parts).await?;
        let (producers, snapshot_at) = replay::producers_at(
            &**self.disk(),
            &self.dir,
            &files.snapshots,
            &parts.segments,
            end,
            self.now_ms,
        )
        .await?;
        if parts.names_changed {
            self.disk().sync_dir(&self.dir).await?;
        }
        let snapshot_at = snapshot_at.filter(|&offset| offset == end);
        Ok(self.assemble(files.topic_id, parts, producers, snapshot_at, (start, end)))
    }

    fn assemble(
        self,
        topic_id: Option<TopicId>,
        parts: Parts,
        producers: Producers,
        snapshot_at: Option<Offset>,
        (start, end): (Offset, Offset),
    ) -> Log {
        let flushed = if self.clean { end } else { self.recovery_point.min(end) };
        // Most logs of a broker are idle: files are opened again when they are used.
        parts.segments.iter().for_each(|segment| segment.release());
        Log {
            disk: Arc::clone(self.disk()),
            partition: self.partition,
            topic_id: RwLock::new(topic_id),
            recent: Recent::new(self.home.cache()),
            place: RwLock::new(Place { home: self.home, dir: self.dir }),
            config: RwLock::new(self.config),
            segments: RwLock::new(Arc::new(parts.segments)),
            start: AtomicI64::new(start.0),
            end: AtomicI64::new(end.0),
            flushed: AtomicI64::new(flushed.0),
            flushed_at_ms: AtomicI64::new(self.now_ms),
            epochs: Mutex::new(parts.epochs),
            producers: Mutex::new(producers),
            hints: Mutex::new(Hints::default()),
            generation: AtomicU64::new(0),
            deleted: Mutex::default(),
            // A log without a record is closed without a sync: its first flush has all that to do.
            names_unsynced: AtomicBool::new(!self.clean || end == Offset(0)),
            seen_end: AtomicI64::new(end.0),
            is_restless: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            writer: tokio::sync::Mutex::new(Writer { in_doubt: false, rolling: false, snapshot_at }),
            flusher: tokio::sync::Mutex::new(()),
            turn: Turn::default(),
        }
    }

    /// Looks at what is there, and removes what an interrupted deletion left.
    async fn list(&self) -> Result<Files> {
        let mut files = Files::default();
        let entries = self.disk().list(&self.dir).await?;
        for entry in entries.iter().filter(|entry| !entry.is_dir) {
            let path = self.dir.join(&entry.name);
            match FileKind::parse(&entry.name) {
                Some((FileKind::Log, base)) => files.segments.entry(base).or_default().log = entry.len_bytes,
                Some((FileKind::Snapshot, offset)) => files.snapshots.push(offset),
                Some(_) => {}
                None if entry.name == PARTITION_METADATA => {
                    files.topic_id = self.read_topic_id(&path).await?;
                }
                None if names::is_leftover(&entry.name) => self.disk().remove_file(&path).await?,
                None if entry.name.ends_with(".swap") => {
                    let reason =
                        "a compaction was interrupted; let the broker that began it start once and end it";
                    return Err(Error::malformed(path, reason));
                }
                None => {}
            }
        }
        for entry in &entries {
            let Some((kind @ (FileKind::OffsetIndex | FileKind::TimeIndex | FileKind::TxnIndex), base)) =
                FileKind::parse(&entry.name)
            else {
                continue;
            };
            match (files.segments.get_mut(&base), kind) {
                (None, _) => self.disk().remove_file(&self.dir.join(&entry.name)).await?,
                (Some(sizes), FileKind::OffsetIndex) => sizes.offset_index = Some(entry.len_bytes),
                (Some(sizes), FileKind::TimeIndex) => sizes.time_index = Some(entry.len_bytes),
                _ => {}
            }
        }
        Ok(files)
    }

    /// Ends a removal that a crash interrupted. What lies below the start may even be records that a truncation took away
    /// and others have replaced since.
    async fn remove_below_start(&self, files: &mut Files) -> Result<bool> {
        let bases: Vec<Offset> = files.segments.keys().copied().collect();
        let below = bases.iter().zip(bases.iter().skip(1)).filter(|(_, next)| **next <= self.start_offset);
        let mut removed = false;
        for (base, next) in below {
            if let Some(sizes) = files.segments.remove(base) {
                self.segment(*base, &sizes, Some(*next)).remove().await?;
                removed = true;
            }
        }
        Ok(removed)
    }

    async fn read_topic_id(&self, path: &Path) -> Result<Option<TopicId>> {
        let bytes = self.disk().read(path).await?;
        match checkpoint::decode_partition_metadata(&bytes) {
            Ok(id) => {
                if self.rewritten_from().is_some() {
                    // The first flush makes it durable.
                    self.disk().open(path, OpenMode::Existing).await?.write_at(0, &[bytes]).await?;
                }
                Ok(Some(id))
            }
            // It is made durable by the first flush of a record, so before that a power loss may leave it empty, and a stop
            // in order does not change that.
            Err(reason) if self.recovery_point == Offset(0) => {
                tracing::warn!("{} is passed over: {reason}", path.display());
                Ok(None)
            }
            Err(reason) => Err(Error::malformed(path, reason)),
        }
    }

    /// The checkpointed leader epochs; `None` if they must be found in the batches.
    async fn read_epochs(&self) -> Result<Option<LeaderEpochs>> {
        let path = self.dir.join(LEADER_EPOCH_CHECKPOINT);
        let Some(bytes) = atomic::read_optional(&**self.disk(), &path).await? else { return Ok(None) };
        match checkpoint::decode_epochs(&bytes) {
            // A crash may leave an empty file; a log without records is searched quickly.
            Ok(entries) => Ok(Some(LeaderEpochs::new(entries)).filter(|epochs| epochs.latest().is_some())),
            Err(reason) => {
                tracing::warn!("{} is made again from the records: {reason}", path.display());
                Ok(None)
            }
        }
    }

    fn segment(&self, base: Offset, sizes: &FileSizes, next_base: Option<Offset>) -> Segment {
        let next = next_base.unwrap_or(base);
        Segment::sealed(Arc::clone(self.disk()), Arc::clone(&self.dir), base, sizes, next, self.now_ms)
    }

    /// Where the log starts. If all its records lie below that, or there is no segment, it begins anew there.
    async fn settle_start(&self, parts: &mut Parts) -> Result<Offset> {
        let first = parts.segments.first().map(|segment| segment.base());
        let end = parts.segments.last().map(|segment| segment.next_offset());
        let start = first.map_or(self.start_offset, |first| first.max(self.start_offset)).max(Offset(0));
        if end.is_some_and(|end| end >= start) {
            return Ok(start);
        }
        if !parts.segments.is_empty() {
            // Segments behind it may have been removed just now. A power loss must not bring back those alone.
            self.disk().sync_dir(&self.dir).await?;
        }
        for segment in parts.segments.drain(..) {
            tracing::warn!(
                "{} ends below the start of the log, offset {start}, and is removed",
                segment.path(FileKind::Log).display()
            );
            segment.remove().await?;
        }
        let (disk, dir) = (Arc::clone(self.disk()), Arc::clone(&self.dir));
        let fresh = Segment::empty(disk, dir, start, self.now_ms);
        if start > Offset(0) {
            // The file's name says where the log goes on.
            fresh.file(OpenMode::Create).await?;
            parts.names_changed = true;
        }
        parts.segments.push(Arc::new(fresh));
        Ok(start)
    }

    /// After a stop in order the log reaches as far as anything that was written about it. If not, records are missing
    /// that were acknowledged, and nobody else would tell.
    fn report_missing_end(&self, files: &Files, end: Offset) {
        if !self.clean {
            return;
        }
        let newest_snapshot = files.snapshots.iter().copied().max().unwrap_or_default();
        for (known, source) in
            [(self.recovery_point, "the recovery point"), (newest_snapshot, "the newest producer snapshot")]
        {
            if end < known {
                tracing::error!(
                    "{}: the log in {} ends at offset {end} after a stop in order, and {source} is offset {known}: \
                     the records between them are missing",
                    self.partition,
                    self.dir.display()
                );
            }
        }
    }

    /// Snapshots beyond the end speak of records that are gone. Of the others those are kept that a segment begins with,
    /// and the last one; but after a failed fsync none that could have been its victim.
    async fn remove_stale_snapshots(&self, files: &mut Files, end: Offset, parts: &mut Parts) -> Result<()> {
        // One that is not older than the last flush may be in a page cache that does not stay as it is: what it says
        // would come and go from one start to the next. The records tell the same.
        let is_doubtful = |offset: Offset| self.rewritten_from().is_some_and(|from| offset >= from);
        // One from before the first segment lacks what the records in between said: of a log that began anew all of it.
        let first = parts.segments.first().map_or(end, |segment| segment.base());
        let usable = |&offset: &Offset| first <= offset && offset <= end && !is_doubtful(offset);
        let last = files.snapshots.iter().copied().filter(usable).max();
        let is_kept = |offset: &Offset| {
            usable(offset)
                && (Some(*offset) == last
                    || *offset < end && parts.segments.iter().any(|segment| segment.base() == *offset))
        };
        let (kept, stale) = files.snapshots.iter().copied().partition::<Vec<_>, _>(is_kept);
        files.snapshots = kept;
        for offset in stale {
            self.disk().remove_file(&FileKind::Snapshot.path(&self.dir, offset)).await?;
            parts.names_changed = true;
        }
        Ok(())
    }
}

impl Log {
    /// Gives a log its topic id, for one that was made before the id was known or whose `partition.metadata` was lost.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] for a log of another topic id. [`Error::Io`].
    pub async fn set_topic_id(&self, id: TopicId) -> Result<()> {
        match self.topic_id() {
            Some(old) if old == id => return Ok(()),
            Some(_) => {
                return Err(Error::AlreadyExists {
                    partition: self.partition.clone(),
                    path: self.dir().to_path_buf(),
                });
            }
            None => {}
        }
        let content = Bytes::from(checkpoint::encode_partition_metadata(id));
        let file = self.disk.open(&self.dir().join(PARTITION_METADATA), OpenMode::Create).await?;
        file.set_len(0).await?;
        file.write_at(0, &[content]).await?;
        self.names_unsynced.store(true, Ordering::Release);
        *write(&self.topic_id) = Some(id);
        Ok(())
    }
}
