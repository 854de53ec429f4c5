//! One partition's log: a row of segments, of which the last one takes appends.
//!
//! Two locks order the work. The *writer* lock is held by whoever changes the log: append, roll, truncation, deletion,
//! close. The *flush* lock is held by whoever makes it durable; appends go on meanwhile. Readers take neither: they copy
//! the list of segments and read what lies below the published end. A truncation makes the *generation* odd while it
//! works, and a read that saw the generation change starts again.

mod append;
mod bulk;
mod counts;
mod flush;
mod group_commit;
mod lookup;
mod open;
mod place;
mod read;
pub(crate) mod replay;
mod replicate;
mod trim;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, RwLock};

use ottla_env::Disk;
use ottla_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicId, TopicPartition};

pub use self::append::Appended;
pub(crate) use self::bulk::Written;
pub use self::group_commit::FlushObserver;
use self::group_commit::Turn;
pub use self::lookup::FoundRecord;
pub(crate) use self::open::OpenLog;
use self::place::Place;
use self::read::Hints;
pub use self::read::Read;
pub use self::replicate::Replicated;
use crate::cache::Recent;
use crate::epochs::LeaderEpochs;
use crate::producers::Producers;
use crate::segment::Segment;
use crate::sync::{lock, read, write};
use crate::{EpochEntry, Error, LogConfig, Result};

/// One partition's log. Shared by reference; every method may be called from any task.
///
/// A method that is dropped before it is done leaves the log consistent.
pub struct Log {
    partition: TopicPartition,
    topic_id: RwLock<Option<TopicId>>,
    disk: Arc<dyn Disk>,
    place: RwLock<Place>,
    config: RwLock<Arc<LogConfig>>,
    /// In the order of their offsets; never empty.
    segments: RwLock<Arc<Vec<Arc<Segment>>>>,
    start: AtomicI64,
    end: AtomicI64,
    /// Everything below is on the device: the recovery point.
    flushed: AtomicI64,
    /// When [`Log::flush`] last did something, or the log was opened.
    flushed_at_ms: AtomicI64,
    epochs: Mutex<LeaderEpochs>,
    producers: Mutex<Producers>,
    hints: Mutex<Hints>,
    recent: Arc<Recent>,
    generation: AtomicU64,
    /// Files that were renamed to be removed, and when that may be.
    deleted: Mutex<Vec<(i64, PathBuf)>>,
    /// Entries of the partition's directory, or the directory's own, are not durable yet.
    names_unsynced: AtomicBool,
    /// The end when somebody last looked whether the log is idle.
    seen_end: AtomicI64,
    /// Whether its directory knows that there may be something to tend to.
    is_restless: AtomicBool,
    closed: AtomicBool,
    writer: tokio::sync::Mutex<Writer>,
    flusher: tokio::sync::Mutex<()>,
    turn: Turn,
}

/// What only the holder of the writer lock touches.
#[derive(Debug)]
struct Writer {
    /// A write was begun and its end not seen: bytes may lie beyond the end of the active segment.
    in_doubt: bool,
    /// A roll was begun and its end not seen: the file of the next segment may be there, so appends must go to it.
    rolling: bool,
    /// There is a producer snapshot of this offset.
    snapshot_at: Option<Offset>,
}

/// A producer that wrote to the log, for DescribeProducers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// The last sequence number that it wrote; -1 without one.
    pub last_sequence: i32,
    /// The timestamp of its last batch; -1 without one.
    pub last_timestamp_ms: i64,
    /// The epoch of the transaction coordinator that ended its last transaction; -1 without one.
    pub coordinator_epoch: i32,
    /// The first offset of its open transaction.
    pub current_txn_start_offset: Option<Offset>,
}

impl Log {
    /// Whose log this is.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The id of the topic as it was when the log was made. `None` only for a log whose `partition.metadata` was lost.
    #[must_use]
    pub fn topic_id(&self) -> Option<TopicId> {
        *read(&self.topic_id)
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&read(&self.config))
    }

    /// Notes that a reader has read all that it may, and waits for more: what is appended next is kept in memory for it.
    /// [`Self::read`] notes that of its own; this is for who did not need to call it.
    pub fn note_reader_at_end(&self) {
        self.recent.note_reader_at_end();
    }

    /// Puts other settings in force, from the next append on.
    pub fn set_config(&self, config: Arc<LogConfig>) {
        *write(&self.config) = config;
    }

    /// The first offset: records below were deleted.
    #[must_use]
    pub fn start_offset(&self) -> Offset {
        Offset(self.start.load(Ordering::Acquire))
    }

    /// The log end offset: that of the next record to be appended.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        Offset(self.end.load(Ordering::Acquire))
    }

    /// Everything below this offset was fsynced.
    #[must_use]
    pub fn flushed_offset(&self) -> Offset {
        Offset(self.flushed.load(Ordering::Acquire))
    }

    /// The high watermark as it was last noted for `replication-offset-checkpoint`, within this log: what was committed at
    /// least. The start where none is known.
    #[must_use]
    pub fn checkpointed_high_watermark(&self) -> Offset {
        let mark = self.home().high_watermarks().get(&self.partition);
        mark.min(self.end_offset()).max(self.start_offset())
    }

    /// The size of all segments in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments().iter().map(|segment| segment.size()).sum()
    }

    /// The latest leader epoch that has records here.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        lock(&self.epochs).latest()
    }

    /// The leader epoch of the last record.
    pub(crate) fn latest_below_end(&self) -> Option<LeaderEpoch> {
        lock(&self.epochs).latest_below(self.end_offset())
    }

    /// The leader epoch that wrote `offset`.
    #[must_use]
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        lock(&self.epochs).epoch_for(offset)
    }

    /// Where `epoch` ends in this log: the greatest epoch here at or below it, and the first offset after that one's
    /// records. `None` for an epoch above all that are known here, or a negative one.
    #[must_use]
    pub fn epoch_end_offset(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        lock(&self.epochs).end_offset_for(epoch, self.end_offset())
    }

    /// All leader epochs with their start offsets.
    #[must_use]
    pub fn epochs(&self) -> Vec<EpochEntry> {
        lock(&self.epochs).entries().to_vec()
    }

    /// Notes that a leadership begins at the end of the log, before it has written a record (KIP-101). An append that is
    /// under way ends first: its batch belongs to the epoch before.
    pub async fn begin_epoch(&self, epoch: LeaderEpoch) {
        let _writer = self.writer.lock().await;
        lock(&self.epochs).assign(epoch, self.end_offset());
    }

    /// The producers that are known here.
    #[must_use]
    pub fn producers(&self) -> Vec<ActiveProducer> {
        let producers = lock(&self.producers);
        let active = producers.iter().map(|(producer_id, producer)| ActiveProducer {
            producer_id,
            producer_epoch: producer.epoch,
            last_sequence: producer.last_sequence(),
            last_timestamp_ms: producer.last_timestamp_ms,
            coordinator_epoch: producer.coordinator_epoch,
            current_txn_start_offset: producer.txn_start,
        });
        active.collect()
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms`. Returns how many.
    pub fn expire_producers(&self, now_ms: i64) -> usize {
        lock(&self.producers).expire(now_ms, self.config().producer_id_expiration_ms)
    }

    /// The first offset of the oldest open transaction, which the last stable offset cannot pass.
    #[must_use]
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        lock(&self.producers).first_unstable_offset()
    }

    /// About how many bytes lie from `offset` to the end, without I/O. Near the end it is exact to
    /// `index.interval.bytes`; further back it is in proportion to the offsets. For `fetch.min.bytes`.
    #[must_use]
    pub fn bytes_from(&self, offset: Offset) -> u64 {
        let segments = self.segments();
        let newer = segments.iter().rev().take_while(|segment| segment.base() > offset);
        let whole: u64 = newer.map(|segment| segment.size()).sum();
        whole
            + segments
                .iter()
                .rfind(|segment| segment.base() <= offset)
                .map_or(0, |segment| segment.bytes_from(offset))
    }

    /// Has the directory tend to the log: it does something that may leave something to do.
    pub(crate) fn stir(&self) {
        // What was done must not be seen later than the look at the flag, or the directory could take down the flag and see
        // nothing to tend to, while the flag still looked up from here. `note_tended` has the other half.
        fence(Ordering::SeqCst);
        if !self.is_restless.load(Ordering::Relaxed) && !self.is_restless.swap(true, Ordering::AcqRel) {
            self.home().restless().note(&self.partition);
        }
    }

    /// The directory looks at the log now: what it does from here on is to be noted again.
    pub(crate) fn note_tended(&self) {
        self.is_restless.store(false, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Whether there is nothing to tend to: all records are durable, no file is open, and none waits for its removal.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.flushed_offset() >= self.end_offset()
            && lock(&self.deleted).is_empty()
            && !self.segments().iter().any(|segment| segment.is_open())
    }

    fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        Arc::clone(&read(&self.segments))
    }

    fn publish(&self, segments: Vec<Arc<Segment>>) {
        *write(&self.segments) = Arc::new(segments);
    }

    fn active(&self) -> Result<Arc<Segment>> {
        // The list is never empty; if it were, the log could not be used.
        self.segments().last().cloned().ok_or_else(|| self.closed_error())
    }

    fn closed_error(&self) -> Error {
        Error::Closed { partition: self.partition.clone() }
    }

    /// To be asked after files were opened to be read: those of a log that was closed and deleted may be those of another
    /// log by then, whose directory has the name.
    fn check_not_closed(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(self.closed_error()) } else { Ok(()) }
    }

    fn check_open(&self) -> Result<()> {
        self.check_not_closed()?;
        match self.home_failure() {
            Some(reason) => Err(Error::Offline { partition: self.partition.clone(), reason }),
            None => Ok(()),
        }
    }

    fn out_of_range(&self, offset: Offset) -> Error {
        Error::OutOfRange {
            partition: self.partition.clone(),
            offset,
            start: self.start_offset(),
            end: self.end_offset(),
        }
    }

    /// The generation once no truncation is going on.
    async fn settled_generation(&self) -> u64 {
        loop {
            let generation = self.generation.load(Ordering::Acquire);
            if generation.is_multiple_of(2) {
                return generation;
            }
            drop(self.writer.lock().await);
        }
    }

    fn is_generation(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Log({} [{}, {}))", self.partition, self.start_offset(), self.end_offset())
    }
}
