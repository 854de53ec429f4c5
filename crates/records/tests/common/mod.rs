//! Batches for the property tests: generated, built, read back.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use bytes::Bytes;
use ottla_records::{Batch, BatchBuilder, BatchError, Codec, Compression, NewRecord, Records};
use ottla_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use proptest::prelude::*;

pub(crate) const LIMIT: usize = 1 << 22;

/// A record as the tests speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A batch as the tests speak of it.
#[derive(Debug, Clone)]
pub(crate) struct PlainBatch {
    pub(crate) base_offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) codec: Codec,
    /// Id, epoch and base sequence.
    pub(crate) producer: Option<(i64, i16, i32)>,
    pub(crate) transactional: bool,
    pub(crate) control: bool,
    pub(crate) records: Vec<Plain>,
}

impl PlainBatch {
    pub(crate) fn build(&self) -> Bytes {
        let mut builder = BatchBuilder::new()
            .at(Offset(self.base_offset), LeaderEpoch(self.leader_epoch))
            .compression(Compression::new(self.codec))
            .transactional(self.transactional)
            .control(self.control);
        if let Some((id, epoch, base_sequence)) = self.producer {
            builder = builder.producer(ProducerId(id), ProducerEpoch(epoch), base_sequence);
        }
        for record in &self.records {
            let headers: Vec<_> = record.headers.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
            let new = NewRecord {
                timestamp_ms: record.timestamp_ms,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
            };
            let estimate = builder.size_with(&new);
            builder.push_at(Offset(record.offset), &new).unwrap();
            assert!(builder.size_bytes() <= estimate);
        }
        builder.build().unwrap()
    }
}

/// All records of a batch, decompressed.
pub(crate) fn read(batch: &Batch<'_>) -> Result<Vec<Plain>, BatchError> {
    let decompressed = batch.decompress(LIMIT)?;
    Records::new(batch.header(), &decompressed)
        .map(|record| {
            let record = record?;
            let headers = record.headers.map(|h| (h.key_lossy().into_owned(), h.value.map(<[u8]>::to_vec)));
            Ok(Plain {
                offset: record.offset.0,
                timestamp_ms: record.timestamp_ms,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: headers.collect(),
            })
        })
        .collect()
}

pub(crate) fn codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(Codec::ALL.to_vec())
}

fn bytes(max: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    // Repetition gives the codecs something to find.
    let some = (prop::collection::vec(any::<u8>(), 0..max), 1..4usize)
        .prop_map(|(bytes, times)| bytes.repeat(times));
    prop::option::weighted(0.8, some)
}

fn record() -> impl Strategy<Value = Plain> {
    let timestamp = prop_oneof![Just(-1), 0..2_000_000_000_000i64];
    let headers = prop::collection::vec(("[a-c]{0,2}|ß", bytes(8)), 0..4);
    (timestamp, bytes(20), bytes(200), headers).prop_map(|(timestamp_ms, key, value, headers)| Plain {
        offset: 0,
        timestamp_ms,
        key,
        value,
        headers,
    })
}

/// Batches as producers send them: offsets from 0 without gaps.
pub(crate) fn produced_batch() -> impl Strategy<Value = PlainBatch> {
    let producer = prop::option::of((0..i64::MAX, 0..i16::MAX, 0..i32::MAX));
    let records = prop::collection::vec(record(), 1..20);
    (codec(), producer, any::<bool>(), records).prop_map(|(codec, producer, transactional, mut records)| {
        for (offset, record) in (0..).zip(&mut records) {
            record.offset = offset;
        }
        PlainBatch {
            base_offset: 0,
            leader_epoch: -1,
            codec,
            producer,
            transactional: transactional && producer.is_some(),
            control: false,
            records,
        }
    })
}

/// Batches as logs hold them: placed somewhere, with the gaps that compaction leaves.
pub(crate) fn logged_batch() -> impl Strategy<Value = PlainBatch> {
    let place = (0..i64::MAX / 2, 0..i32::MAX, any::<bool>());
    (produced_batch(), place, prop::collection::vec(1..1000i64, 20)).prop_map(
        |(mut batch, (base_offset, leader_epoch, control), gaps)| {
            let mut offset = base_offset;
            for (record, gap) in batch.records.iter_mut().zip(gaps) {
                record.offset = offset;
                offset += gap;
            }
            PlainBatch { base_offset, leader_epoch, control, ..batch }
        },
    )
}
