//! The crate `kafka-protocol` reads what is built here, and what it writes is read here. It folds record headers with
//! the same key into one, so such headers do not occur here; the golden batches have them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod common;

use bytes::{Bytes, BytesMut};
use common::{Plain, PlainBatch, logged_batch, produced_batch, read};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as theirs;
use ottla_records::{Batch, Codec, ProduceRules, prepare};
use proptest::prelude::*;

fn their_codec(codec: Codec) -> theirs::Compression {
    match codec {
        Codec::None => theirs::Compression::None,
        Codec::Gzip => theirs::Compression::Gzip,
        Codec::Snappy => theirs::Compression::Snappy,
        Codec::Lz4 => theirs::Compression::Lz4,
        Codec::Zstd => theirs::Compression::Zstd,
    }
}

fn without_duplicate_headers(mut batch: PlainBatch) -> PlainBatch {
    for record in &mut batch.records {
        record.headers.sort();
        record.headers.dedup_by(|a, b| a.0 == b.0);
    }
    batch
}

fn their_record(batch: &PlainBatch, record: &Plain) -> theirs::Record {
    let (producer_id, producer_epoch, base_sequence) = batch.producer.unwrap_or((-1, -1, -1));
    let headers =
        record.headers.iter().map(|(k, v)| (StrBytes::from_string(k.clone()), v.clone().map(Bytes::from)));
    theirs::Record {
        transactional: batch.transactional,
        control: batch.control,
        delete_horizon: false,
        partition_leader_epoch: batch.leader_epoch,
        producer_id,
        producer_epoch,
        timestamp_type: theirs::TimestampType::Creation,
        offset: record.offset,
        sequence: base_sequence.wrapping_add((record.offset - batch.base_offset) as i32),
        timestamp: record.timestamp_ms,
        key: record.key.clone().map(Bytes::from),
        value: record.value.clone().map(Bytes::from),
        headers: headers.collect(),
    }
}

fn encoded_by_them(batch: &PlainBatch) -> Bytes {
    let records: Vec<_> = batch.records.iter().map(|record| their_record(batch, record)).collect();
    let options = theirs::RecordEncodeOptions { version: 2, compression: their_codec(batch.codec) };
    let mut out = BytesMut::new();
    theirs::RecordBatchEncoder::encode(&mut out, &records, &options).unwrap();
    out.freeze()
}

proptest! {
    #[test]
    fn they_read_what_is_built_here(plain in logged_batch().prop_map(without_duplicate_headers)) {
        let mut bytes = plain.build();
        let decoded = theirs::RecordBatchDecoder::decode(&mut bytes).unwrap();
        prop_assert!(bytes.is_empty());
        prop_assert_eq!(decoded.compression, their_codec(plain.codec));
        let mut expected: Vec<_> = plain.records.iter().map(|record| their_record(&plain, record)).collect();
        // What a record's sequence is, without sequences, is nobody's business.
        if plain.producer.is_none() {
            expected.iter_mut().zip(&decoded.records).for_each(|(e, d)| e.sequence = d.sequence);
        }
        prop_assert_eq!(decoded.records, expected);
    }

    #[test]
    fn what_they_write_is_read_here(plain in logged_batch().prop_map(without_duplicate_headers)) {
        let bytes = encoded_by_them(&plain);
        let (batch, rest) = Batch::parse(&bytes).unwrap();
        prop_assert!(rest.is_empty());
        batch.verify().unwrap();
        prop_assert_eq!(batch.header().attributes.codec(), Ok(plain.codec));
        prop_assert_eq!(read(&batch).unwrap(), plain.records);
    }

    #[test]
    fn what_they_write_may_be_produced(plain in produced_batch().prop_map(without_duplicate_headers)) {
        prepare(encoded_by_them(&plain), &ProduceRules::default(), 2_000_000_000_000).unwrap();
    }
}
