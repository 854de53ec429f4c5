//! What a follower does to its logs: it takes batches as a leader sent them, cuts its end where an epoch ended at the leader,
//! and begins anew where the leader has nothing left; and it notes what is committed.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ottla_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicPartition};

use super::batches;
use super::bench::{Bench, Outcome};
use super::model::{LogModel, ModelBatch};
use crate::invariants::{Violation, failed_fsync_ends_acknowledgement as failed_fsync};
use crate::rng::SimRng;

type Result<T, E = Violation> = std::result::Result<T, E>;

fn wrong(what: String) -> Violation {
    Violation::new("log_does_what_it_says", what)
}

/// Batches that a leader has next, in its epochs, from the end of a log on.
fn next_of_leader(model: &LogModel, now_ms: i64, rng: &mut SimRng) -> Vec<ModelBatch> {
    let (mut end, mut epoch) = (model.end, model.epoch);
    let batches = (0..1 + rng.below(5)).map(|_| {
        if rng.one_in(6) {
            epoch = LeaderEpoch(epoch.0 + 1 + rng.below(2) as i32);
        }
        // What a leader has taken a follower takes, with gaps in the sequence and old producer epochs.
        let producer = rng.one_in(2).then(|| {
            let id = ProducerId(rng.below(3) as i64);
            (id, ProducerEpoch(rng.below(2) as i16), rng.below(1 << 30) as i32)
        });
        let batch = batches::of(producer, now_ms, rng).at(end, epoch);
        end = batch.last + 1;
        batch
    });
    batches.collect()
}

/// An answer to a fetch: perhaps with batches that are here already, perhaps cut off within a batch that follows.
fn answer(model: &LogModel, next: &[ModelBatch], now_ms: i64, rng: &mut SimRng) -> Bytes {
    let mut bytes = BytesMut::new();
    let known = model.live().rev().take(rng.weighted(&[4, 1, 1])).cloned().collect::<Vec<_>>();
    let is_live = |batch: &&Arc<ModelBatch>| batch.base >= model.start;
    known.iter().rev().filter(is_live).for_each(|batch| bytes.extend_from_slice(&batch.bytes));
    next.iter().for_each(|batch| bytes.extend_from_slice(&batch.bytes));
    if let Some(last) = next.last().filter(|_| rng.one_in(2)) {
        let more = batches::of(None, now_ms, rng).at(last.last + 1, last.epoch).bytes;
        let len = rng.index(more.len());
        bytes.extend_from_slice(&more.slice(..len));
    }
    bytes.freeze()
}

impl Bench {
    /// Appends what a leader sent.
    pub(super) async fn replicate(&mut self, partition: &TopicPartition) -> Result<Outcome> {
        let log = self.log(partition)?;
        let now_ms = self.now_ms;
        let failed = self.failure_of(&log).map(str::to_owned);
        let model = self.log_model(partition)?.clone();
        let next = next_of_leader(&model, now_ms, &mut self.rng);
        let bytes = answer(&model, &next, now_ms, &mut self.rng);
        let result = log.append_replicated(bytes, now_ms).await;
        let end = log.end_offset();
        let model = self.log_model(partition)?;
        model.epoch = next.last().map_or(model.epoch, |batch| batch.epoch);
        let (written, lost): (Vec<_>, Vec<_>) = next.into_iter().partition(|batch| batch.last < end.0);
        written.into_iter().for_each(|batch| model.push(batch));
        let all_are_there = lost.is_empty();
        // Some of a write that failed may be on the disk: whole batches of it, one behind the other.
        model.doubtful.extend(lost.into_iter().map(Arc::new));
        if model.end != end.0 {
            return Err(wrong(format!("{partition} ends at {end} within a batch of its leader")));
        }
        match result {
            Ok(replicated) if replicated.end == end && all_are_there => {
                failed_fsync::check(failed.as_deref(), "a follower's append")?;
                if replicated.flush_due {
                    return self.flush_to(partition, end).await;
                }
            }
            Ok(replicated) => {
                return Err(wrong(format!("{partition} took a part of an answer: {replicated:?}")));
            }
            Err(error) => self.expected("a follower's append", &error)?,
        }
        Ok(Outcome::Done)
    }

    /// Sends what is not the leader's: a bit turned around on the way, or offsets that are not the next.
    pub(super) async fn send_damaged(&mut self, partition: &TopicPartition) -> Result<Outcome> {
        let log = self.log(partition)?;
        let now_ms = self.now_ms;
        let model = self.log_model(partition)?.clone();
        let mut bytes = {
            let mut rng = self.rng.fork(7);
            let mut leader = model.clone();
            if rng.one_in(3) {
                leader.end += 1 + rng.below(3) as i64;
            }
            let next = next_of_leader(&leader, now_ms, &mut rng);
            next.iter().flat_map(|batch| batch.bytes.to_vec()).collect::<Vec<_>>()
        };
        if model.end == log.end_offset().0 && bytes_begin_at(&bytes, model.end) {
            // Within what a checksum covers, of the first batch.
            let at = 21 + self.rng.index(40);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << self.rng.below(8);
            }
        }
        match log.append_replicated(bytes.into(), now_ms).await {
            Ok(_) => Err(Violation::new(
                "damage_is_never_served",
                format!("{partition} took a batch that is not its leader's"),
            )),
            Err(_) if log.end_offset().0 == model.end => Ok(Outcome::Done),
            Err(error) => Err(wrong(format!("{partition} refuses an answer and appends of it: {error}"))),
        }
    }

    /// Cuts the log where one of its epochs ends, or within it: where it parts from another leader's (KIP-101).
    pub(super) async fn truncate_by_epoch(&mut self, partition: &TopicPartition) -> Result<Outcome> {
        let log = self.log(partition)?;
        let epochs = log.epochs();
        let Some(entry) = epochs.get(self.rng.index(epochs.len())) else { return Ok(Outcome::Done) };
        let Some((_, end)) = log.epoch_end_offset(entry.epoch) else { return Ok(Outcome::Done) };
        let back = self.rng.weighted(&[3, 1, 1]) as i64;
        let start = self.log_model(partition)?.start;
        self.truncate_at(partition, (end.0 - back).max(start)).await
    }

    /// Begins anew, below, within or beyond what is there.
    pub(super) async fn restart_at(&mut self, partition: &TopicPartition) -> Result<Outcome> {
        let log = self.log(partition)?;
        let mut after = self.model.clone();
        let Some(model) = after.logs.get_mut(partition) else { return Ok(Outcome::Done) };
        let to = self.rng.between((model.start - 3).max(0)..model.end + 20);
        model.restart_at(to);
        model.epoch = LeaderEpoch(model.epoch.0 + 1);
        match log.restart_at(Offset(to), self.now_ms).await {
            Ok(()) if (log.start_offset().0, log.end_offset().0, log.latest_epoch()) == (to, to, None) => {
                self.model = after;
                Ok(Outcome::Done)
            }
            Ok(()) => Err(wrong(format!(
                "a log that begins anew at {to} is {log:?}, with leader epochs {:?}",
                log.epochs()
            ))),
            Err(error) => {
                self.expected("beginning anew", &error)?;
                self.note_failure(&log, &error);
                Ok(Outcome::Between(after))
            }
        }
    }

    /// Notes that more is committed of each log, and writes it down.
    pub(super) async fn commit(&mut self) -> Result<Outcome> {
        let mut marks = Vec::new();
        for (partition, log) in &mut self.model.logs {
            let committed = log.committed.max(log.start).min(log.end);
            log.committed = self.rng.between(committed..log.end + 1);
            marks.push((partition.clone(), Offset(log.committed)));
        }
        if let Err(error) = self.dirs()?.write_high_watermarks(marks).await {
            self.expected("writing high watermarks", &error)?;
        }
        Ok(Outcome::Done)
    }
}

fn bytes_begin_at(bytes: &[u8], base: i64) -> bool {
    ottla_records::BatchHeader::parse(bytes).is_ok_and(|header| header.base_offset.0 == base)
}
