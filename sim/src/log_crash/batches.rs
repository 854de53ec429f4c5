//! Random batches, such as producers send.

use bytes::Bytes;
use ottla_log::Log;
use ottla_records::{BatchBuilder, NewRecord, Prepared};
use ottla_types::{LeaderEpoch, ProducerEpoch, ProducerId};

use super::model::ModelBatch;
use crate::rng::SimRng;

/// A batch that was not appended yet.
#[derive(Debug, Clone)]
pub(super) struct NewBatch {
    bytes: Bytes,
    timestamps: Vec<i64>,
    pub(super) producer: Option<(ProducerId, ProducerEpoch, i32)>,
}

impl NewBatch {
    pub(super) fn prepared(&self) -> Prepared {
        match Prepared::own(self.bytes.clone(), 1 << 20) {
            Ok(prepared) => prepared,
            Err(error) => unreachable!("a batch that was just built is refused: {error:?}"),
        }
    }

    /// The batch as it lies on disk when it gets this offset.
    pub(super) fn at(&self, base: i64, epoch: LeaderEpoch) -> ModelBatch {
        ModelBatch::new(&self.bytes, base, epoch, self.timestamps.clone(), self.producer)
    }
}

/// A batch of no producer, or the next one of some.
pub(super) fn draw(log: &Log, now_ms: i64, rng: &mut SimRng) -> NewBatch {
    let producer =
        if rng.one_in(2) { Some(next_of(log, ProducerId(rng.below(3) as i64), rng)) } else { None };
    build(producer, now_ms, rng)
}

/// A batch of this producer.
pub(super) fn of(
    producer: Option<(ProducerId, ProducerEpoch, i32)>,
    now_ms: i64,
    rng: &mut SimRng,
) -> NewBatch {
    build(producer, now_ms, rng)
}

/// A batch of no producer.
pub(super) fn plain(now_ms: i64, rng: &mut SimRng) -> NewBatch {
    build(None, now_ms, rng)
}

/// The id, epoch and sequence number with which a producer goes on.
fn next_of(log: &Log, id: ProducerId, rng: &mut SimRng) -> (ProducerId, ProducerEpoch, i32) {
    match log.producers().into_iter().find(|known| known.producer_id == id) {
        Some(known) if rng.one_in(10) => (id, ProducerEpoch(known.producer_epoch.0 + 1), 0),
        Some(known) => (id, known.producer_epoch, known.last_sequence + 1),
        // Of a producer that is not known any sequence number is taken.
        None => (id, ProducerEpoch(0), rng.below(1 << 30) as i32),
    }
}

fn build(producer: Option<(ProducerId, ProducerEpoch, i32)>, now_ms: i64, rng: &mut SimRng) -> NewBatch {
    let mut builder = BatchBuilder::new();
    if let Some((id, epoch, sequence)) = producer {
        builder = builder.producer(id, epoch, sequence);
    }
    let timestamps: Vec<i64> = (0..1 + rng.below(4)).map(|_| now_ms - rng.below(5000) as i64).collect();
    for timestamp_ms in &timestamps {
        let value: Vec<u8> = (0..rng.below(100)).map(|_| rng.next_u64() as u8).collect();
        let record = NewRecord { timestamp_ms: *timestamp_ms, key: None, value: Some(&value), headers: &[] };
        if let Err(error) = builder.push(&record) {
            unreachable!("a small record is refused: {error}");
        }
    }
    match builder.build() {
        Ok(bytes) => NewBatch { bytes, timestamps, producer },
        Err(error) => unreachable!("a small batch is refused: {error}"),
    }
}
