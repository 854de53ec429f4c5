//! Record batches for tests, and what is in those that come back.

use bytes::Bytes;

use ottla_records::{Batch, BatchBuilder, BatchHeader, Compression, NewRecord, batches};
use ottla_types::{ProducerEpoch, ProducerId};
use ottla_wire::Records;

/// A batch of records with these timestamps.
pub(crate) fn batch(mut builder: BatchBuilder, timestamps_ms: &[i64]) -> Bytes {
    for &timestamp_ms in timestamps_ms {
        let record = NewRecord { timestamp_ms, key: Some(b"key"), value: Some(b"value"), headers: &[] };
        builder.push(&record).unwrap();
    }
    builder.build().unwrap()
}

/// A batch of records with these values.
pub(crate) fn text(values: &[&str]) -> Bytes {
    text_in(BatchBuilder::new(), values)
}

pub(crate) fn text_in(mut builder: BatchBuilder, values: &[&str]) -> Bytes {
    for value in values {
        let record =
            NewRecord { timestamp_ms: 1_000, key: Some(b"k"), value: Some(value.as_bytes()), headers: &[] };
        builder.push(&record).unwrap();
    }
    builder.build().unwrap()
}

/// A batch of one record that takes this many bytes.
pub(crate) fn sized(size_bytes: usize) -> Bytes {
    let with = |len: usize| text(&[&"x".repeat(len)]);
    let overhead = with(size_bytes).len() - size_bytes;
    let batch = with(size_bytes - overhead);
    assert_eq!(batch.len(), size_bytes, "the size lies where a varint grows");
    batch
}

pub(crate) fn compressed(compression: Compression, values: &[&str]) -> Bytes {
    text_in(BatchBuilder::new().compression(compression), values)
}

/// A batch of an idempotent producer: `count` records from `sequence` on.
pub(crate) fn sequenced(producer_id: i64, epoch: i16, sequence: i32, count: usize) -> Bytes {
    let builder = BatchBuilder::new().producer(ProducerId(producer_id), ProducerEpoch(epoch), sequence);
    batch(builder, &vec![1_000; count])
}

/// The headers of the batches, whose checksums must hold.
pub(crate) fn headers(records: &Records) -> Vec<BatchHeader> {
    each(records, |batch| *batch.header())
}

/// The values of the records, by offset.
pub(crate) fn values(records: &Records) -> Vec<(i64, String)> {
    let of_batch = |batch: &Batch<'_>| {
        let bytes = batch.records_bytes(1 << 30).unwrap();
        let records = ottla_records::Records::new(batch.header(), &bytes);
        records
            .map(|record| {
                let record = record.unwrap();
                (record.offset.0, String::from_utf8(record.value.unwrap().to_vec()).unwrap())
            })
            .collect::<Vec<_>>()
    };
    each(records, of_batch).concat()
}

/// The records of several batches in one, as a producer would send them.
pub(crate) fn in_one_batch(records: &Records) -> Bytes {
    let mut builder = BatchBuilder::new();
    each(records, |batch| {
        let bytes = batch.records_bytes(1 << 30).unwrap();
        for record in ottla_records::Records::new(batch.header(), &bytes) {
            let record = record.unwrap();
            let (timestamp_ms, key, value) = (record.timestamp_ms, record.key, record.value);
            builder.push(&NewRecord { timestamp_ms, key, value, headers: &[] }).unwrap();
        }
    });
    builder.build().unwrap()
}

fn each<T>(records: &Records, mut of_batch: impl FnMut(&Batch<'_>) -> T) -> Vec<T> {
    let bytes = records.clone().into_bytes();
    let mut all = batches(&bytes);
    let found = all
        .by_ref()
        .map(|batch| {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            of_batch(&batch)
        })
        .collect();
    assert_eq!(all.rest(), b"", "a batch that is cut off");
    found
}
