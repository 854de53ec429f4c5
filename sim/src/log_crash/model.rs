//! What the logs must hold: each one a list of batches, with what was promised about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ottla_log::Log;
use ottla_records::patch::assign_batch;
use ottla_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicId, TopicPartition};

/// A batch as it must lie on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelBatch {
    /// The offset of its first record.
    pub base: i64,
    /// The offset of its last record.
    pub last: i64,
    /// The leader epoch that wrote it.
    pub epoch: LeaderEpoch,
    /// Its bytes, with offset and epoch.
    pub bytes: Bytes,
    /// The timestamps of its records.
    pub timestamps: Vec<i64>,
    /// Who wrote it, with which first sequence number.
    pub producer: Option<(ProducerId, ProducerEpoch, i32)>,
}

impl ModelBatch {
    /// A batch as the log patches it.
    #[must_use]
    pub fn new(
        plain: &Bytes,
        base: i64,
        epoch: LeaderEpoch,
        timestamps: Vec<i64>,
        producer: Option<(ProducerId, ProducerEpoch, i32)>,
    ) -> Self {
        let mut bytes = plain.to_vec();
        // The batch was built by us, so it has a header.
        let _whole = assign_batch(&mut bytes, Offset(base), epoch);
        let last = base + timestamps.len() as i64 - 1;
        Self { base, last, epoch, bytes: bytes.into(), timestamps, producer }
    }

    /// The sequence number of its last record.
    #[must_use]
    pub fn last_sequence(&self) -> Option<i32> {
        let (_, _, first) = self.producer?;
        Some(first + (self.last - self.base) as i32)
    }
}

/// One log.
#[derive(Debug, Clone)]
pub struct LogModel {
    /// The incarnation of its topic.
    pub topic_id: TopicId,
    /// All batches since the log was made or emptied, deleted ones at the front included.
    pub batches: Vec<Arc<ModelBatch>>,
    /// Batches whose append failed: they may be there all the same.
    pub doubtful: Vec<Arc<ModelBatch>>,
    /// The first offset that is not deleted.
    pub start: i64,
    /// The start that a crash cannot take back.
    pub durable_start: i64,
    /// The offset of the next record.
    pub end: i64,
    /// Everything below was acknowledged as fsynced.
    pub flushed: i64,
    /// Everything below was said to be committed.
    pub committed: i64,
    /// Where a truncation that emptied the log had it end on the way.
    pub passing_end: Option<i64>,
    /// Producers that wrote nothing from here on may have been forgotten.
    pub forgotten_below: i64,
    /// The leader epoch of the next append.
    pub epoch: LeaderEpoch,
}

impl LogModel {
    /// A new log.
    #[must_use]
    pub fn new(topic_id: TopicId) -> Self {
        let epoch = LeaderEpoch(0);
        Self {
            topic_id,
            batches: Vec::new(),
            doubtful: Vec::new(),
            start: 0,
            durable_start: 0,
            end: 0,
            flushed: 0,
            committed: 0,
            passing_end: None,
            forgotten_below: 0,
            epoch,
        }
    }

    /// Appends a batch.
    pub fn push(&mut self, batch: ModelBatch) {
        self.end = batch.last + 1;
        self.batches.push(Arc::new(batch));
    }

    /// Removes everything from `to` on. A batch that contains it goes whole; if that takes the start with it, the log is
    /// emptied and goes on at `to`.
    pub fn truncate(&mut self, to: i64) {
        if to >= self.end {
            return;
        }
        let cut = self.batches.iter().find(|batch| batch.last >= to).map_or(to, |batch| batch.base.min(to));
        if to < self.start || cut < self.start {
            self.batches.clear();
            (self.start, self.end, self.durable_start) = (to, to, to);
            self.flushed = self.flushed.min(cut);
            self.passing_end = Some(cut);
        } else {
            self.batches.retain(|batch| batch.last < to);
            self.end = cut;
        }
        self.flushed = self.flushed.min(self.end);
        self.committed = self.committed.min(cut);
    }

    /// Removes everything, and goes on at `to`.
    pub fn restart_at(&mut self, to: i64) {
        self.batches.clear();
        self.flushed = self.flushed.min(to);
        self.passing_end = Some(to.min(self.end));
        self.committed = self.committed.min(to);
        (self.start, self.end, self.durable_start) = (to, to, to);
    }

    /// Takes over what is left after a crash, which was found to be a part of what there was.
    pub fn survive(&mut self, start: i64, end: i64, flushed: i64) {
        self.batches.retain(|batch| batch.last < end);
        self.doubtful.clear();
        self.passing_end = None;
        (self.start, self.end) = (start, end);
        self.flushed = self.flushed.min(end).max(flushed);
        self.committed = self.committed.min(end);
        self.forgotten_below = self.forgotten_below.max(start);
    }

    /// The batches that are not deleted.
    pub fn live(&self) -> impl DoubleEndedIterator<Item = &Arc<ModelBatch>> {
        self.batches.iter().filter(|batch| batch.last >= self.start)
    }

    /// The last batch of each producer below `end`.
    #[must_use]
    pub fn last_of_each(&self, end: i64) -> BTreeMap<ProducerId, &ModelBatch> {
        let below = self.batches.iter().filter(|batch| batch.last < end);
        below.filter_map(|batch| Some((batch.producer?.0, &**batch))).collect()
    }
}

/// All logs of a broker.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// By partition; a deleted one is not there.
    pub logs: BTreeMap<TopicPartition, LogModel>,
    /// A sync failed since the last power loss: the page cache may hold what the device does not.
    pub cache_is_suspect: bool,
}

impl Model {
    /// Whether something that is here is taken away in `after`: a log, or the end of one.
    #[must_use]
    pub fn shrinks_to(&self, after: &Self) -> bool {
        self.logs
            .iter()
            .any(|(partition, log)| after.logs.get(partition).is_none_or(|after| after.end < log.end))
    }
}

/// What a log is seen to hold, by reading it as a consumer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The incarnation of its topic.
    pub topic_id: Option<TopicId>,
    /// The first offset.
    pub start: i64,
    /// The offset of the next record.
    pub end: i64,
    /// Everything below is said to be durable.
    pub flushed: i64,
    /// What is said to be committed at least.
    pub high_watermark: i64,
    /// The batches, with the leader epoch that the epoch cache gives for their first live offset.
    pub batches: Vec<(Bytes, Option<LeaderEpoch>)>,
    /// The latest leader epoch.
    pub latest_epoch: Option<LeaderEpoch>,
    /// Id, epoch and last sequence number of the producers.
    pub producers: BTreeMap<ProducerId, (ProducerEpoch, i32)>,
}

impl Observed {
    /// Reads a log from its start to its end.
    ///
    /// # Errors
    /// What reading says, or that it does not come to the end.
    pub async fn of(log: &Log) -> Result<Self, String> {
        let (start, end) = (log.start_offset(), log.end_offset());
        let mut batches = Vec::new();
        let mut next = start;
        while next < end {
            let read = log.read(next, 1 << 20, true, Offset(i64::MAX)).await.map_err(|e| e.to_string())?;
            if read.next_offset <= next {
                return Err(format!("a read from offset {next} finds nothing, and the log ends at {end}"));
            }
            next = read.next_offset;
            let bytes = read.into_bytes();
            for batch in ottla_records::batches(&bytes) {
                let batch = batch.map_err(|e| e.to_string())?;
                let first_live = batch.header().base_offset.max(start);
                batches.push((bytes.slice_ref(batch.bytes()), log.epoch_for_offset(first_live)));
            }
        }
        let producers = log.producers();
        Ok(Self {
            topic_id: log.topic_id(),
            start: start.0,
            end: end.0,
            flushed: log.flushed_offset().0,
            high_watermark: log.checkpointed_high_watermark().0,
            batches,
            latest_epoch: log.latest_epoch(),
            producers: producers
                .iter()
                .map(|p| (p.producer_id, (p.producer_epoch, p.last_sequence)))
                .collect(),
        })
    }
}
