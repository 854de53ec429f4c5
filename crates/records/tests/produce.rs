//! What a broker takes from producers, what it refuses, and what it answers then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use bytes::Bytes;
use ottla_records::{
    Batch, BatchBuilder, Codec, Compression, HEADER_LEN, InvalidBatch, NO_TIMESTAMP, NewRecord, Prepared,
    ProduceRules, Records, TimestampType, crc, prepare,
};
use ottla_types::ErrorCode::{
    self, CorruptMessage, InvalidRecord, InvalidTimestamp, MessageTooLarge, RecordListTooLarge,
    UnsupportedCompressionType,
};
use ottla_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

const NOW_MS: i64 = 1_700_000_000_000;

fn record(timestamp_ms: i64) -> NewRecord<'static> {
    NewRecord { timestamp_ms, key: Some(b"key"), value: Some(b"value"), headers: &[] }
}

fn batch_of(codec: Codec, records: &[NewRecord<'_>]) -> Bytes {
    let mut builder = BatchBuilder::new().compression(Compression::new(codec));
    for record in records {
        builder.push(record).unwrap();
    }
    builder.build().unwrap()
}

/// The batch with some of its bytes changed and a checksum that says that is right.
fn with_bytes(batch: &Bytes, changes: &[(usize, &[u8])]) -> Bytes {
    let mut bytes = batch.to_vec();
    for (at, change) in changes {
        bytes[*at..at + change.len()].copy_from_slice(change);
    }
    let crc = crc::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

fn two_records() -> Bytes {
    batch_of(Codec::None, &[record(NOW_MS), record(NOW_MS + 1)])
}

fn refused_with(batch: Bytes, rules: &ProduceRules) -> InvalidBatch {
    let refused = prepare(batch, rules, NOW_MS).expect_err("this batch must be refused");
    assert!(!refused.message.is_empty());
    refused
}

fn code(batch: Bytes) -> ErrorCode {
    refused_with(batch, &ProduceRules::default()).code
}

fn whole(prepared: Prepared) -> Vec<u8> {
    let assigned = prepared.assign(Offset(0), LeaderEpoch::NONE);
    [assigned.head, assigned.body].concat()
}

#[test]
fn nothing_and_less_than_a_batch_are_invalid_records() {
    let batch = two_records();
    assert_eq!(code(Bytes::new()), InvalidRecord);
    assert_eq!(code(batch.slice(..16)), InvalidRecord);
    assert_eq!(code(batch.slice(..batch.len() - 1)), InvalidRecord);
}

#[test]
fn a_request_holds_one_batch_and_nothing_after_it() {
    let batch = two_records();
    assert_eq!(code([&batch[..], &batch[..]].concat().into()), InvalidRecord);
    assert_eq!(code([&batch[..], b"x"].concat().into()), InvalidRecord);
}

#[test]
fn old_formats_are_invalid_and_unknown_ones_corrupt() {
    let batch = two_records();
    for (magic, expected) in
        [(0, InvalidRecord), (1, InvalidRecord), (3, CorruptMessage), (0xff, CorruptMessage)]
    {
        assert_eq!(code(with_bytes(&batch, &[(16, &[magic])])), expected, "magic {magic}");
    }
    // A message of magic 1 may be shorter than a header of magic 2.
    let mut message = vec![0; 34];
    message[11] = 22;
    message[16] = 1;
    assert_eq!(code(message.into()), InvalidRecord);
}

#[test]
fn a_length_that_no_batch_has_is_corrupt() {
    for length in [i32::MIN, -1, 0, 48] {
        assert_eq!(code(with_bytes(&two_records(), &[(8, &length.to_be_bytes())])), CorruptMessage);
    }
}

#[test]
fn a_wrong_checksum_is_corrupt() {
    let mut bytes = two_records().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let refused = refused_with(bytes.into(), &ProduceRules::default());
    assert_eq!(refused.code, CorruptMessage);
    assert!(refused.message.contains("CRC"), "{}", refused.message);
}

#[test]
fn a_batch_may_be_as_large_as_the_limit_and_no_larger() {
    let batch = two_records();
    let rules = |max_message_bytes, segment_bytes| ProduceRules {
        max_message_bytes,
        segment_bytes,
        ..ProduceRules::default()
    };
    let len = batch.len();
    assert!(prepare(batch.clone(), &rules(len, len), NOW_MS).is_ok());
    assert_eq!(refused_with(batch.clone(), &rules(len - 1, len)).code, MessageTooLarge);
    assert_eq!(refused_with(batch, &rules(len, len - 1)).code, RecordListTooLarge);
}

#[test]
fn a_batch_that_grows_by_decompression_must_still_fit() {
    let value = vec![b'x'; 10_000];
    let large = NewRecord { value: Some(&value), ..record(NOW_MS) };
    let batch = batch_of(Codec::Zstd, &[large]);
    let rules = ProduceRules {
        max_message_bytes: 5000,
        compression: Some(Compression::NONE),
        ..ProduceRules::default()
    };
    assert_eq!(refused_with(batch, &rules).code, MessageTooLarge);
}

#[test]
fn the_base_offset_is_the_brokers_to_choose() {
    let mut bytes = two_records().to_vec();
    bytes[7] = 1;
    assert_eq!(code(bytes.into()), InvalidRecord);
}

#[test]
fn counts_must_agree() {
    let batch = two_records();
    for (last_offset_delta, records_count) in
        [(0, 2), (2, 2), (1, 3), (1, 1), (-1, 0), (-2, -1), (1, 0), (i32::MAX, i32::MIN)]
    {
        let bytes = with_bytes(
            &batch,
            &[(23, &i32::to_be_bytes(last_offset_delta)), (57, &i32::to_be_bytes(records_count))],
        );
        assert_eq!(code(bytes), InvalidRecord, "{last_offset_delta}, {records_count}");
    }
    // Counts that agree with each other, and not with the records.
    for records_count in [1, 3] {
        for codec in Codec::ALL {
            let batch = batch_of(codec, &[record(NOW_MS), record(NOW_MS)]);
            let bytes = with_bytes(
                &batch,
                &[(23, &i32::to_be_bytes(records_count - 1)), (57, &i32::to_be_bytes(records_count))],
            );
            assert_eq!(code(bytes), InvalidRecord, "{codec}, {records_count}");
        }
    }
}

#[test]
fn offsets_inside_the_batch_count_from_zero_without_gaps() {
    let mut builder = BatchBuilder::new();
    builder.push_at(Offset(0), &record(NOW_MS)).unwrap();
    builder.push_at(Offset(2), &record(NOW_MS)).unwrap();
    builder.push_at(Offset(3), &record(NOW_MS)).unwrap();
    let batch = with_bytes(&builder.build().unwrap(), &[(23, &2i32.to_be_bytes())]);
    let refused = refused_with(batch, &ProduceRules::default());
    assert_eq!(refused.code, InvalidRecord);
    assert_eq!(refused.records.iter().map(|r| r.batch_index).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn clients_may_not_write_control_records() {
    let mut builder = BatchBuilder::new().control(true);
    builder.push(&record(NOW_MS)).unwrap();
    assert_eq!(code(builder.build().unwrap()), InvalidRecord);
}

#[test]
fn a_producer_id_comes_with_epoch_and_sequence() {
    let with = |id, epoch, sequence, transactional| {
        let mut builder = BatchBuilder::new()
            .producer(ProducerId(id), ProducerEpoch(epoch), sequence)
            .transactional(transactional);
        builder.push(&record(NOW_MS)).unwrap();
        prepare(builder.build().unwrap(), &ProduceRules::default(), NOW_MS).map_err(|refused| refused.code)
    };
    assert!(with(7, 0, 0, false).is_ok());
    assert!(with(7, 0, i32::MAX, true).is_ok());
    assert_eq!(with(7, 0, -1, false).err(), Some(InvalidRecord));
    assert_eq!(with(7, -1, 0, false).err(), Some(InvalidRecord));
    assert_eq!(with(-1, -1, -1, true).err(), Some(InvalidRecord));
}

#[test]
fn zstd_needs_a_request_that_knows_it() {
    let old = ProduceRules { zstd_allowed: false, ..ProduceRules::default() };
    assert_eq!(refused_with(batch_of(Codec::Zstd, &[record(NOW_MS)]), &old).code, UnsupportedCompressionType);
    assert!(prepare(batch_of(Codec::Lz4, &[record(NOW_MS)]), &old, NOW_MS).is_ok());
}

#[test]
fn an_unknown_codec_is_unsupported() {
    for id in 5..=7 {
        assert_eq!(code(with_bytes(&two_records(), &[(22, &[id])])), UnsupportedCompressionType);
    }
}

#[test]
fn compacted_topics_name_the_records_without_keys() {
    let keyless = NewRecord { key: None, ..record(NOW_MS) };
    let compacted = ProduceRules { compacted: true, ..ProduceRules::default() };
    for codec in Codec::ALL {
        let batch = batch_of(codec, &[record(NOW_MS), keyless, record(NOW_MS), keyless]);
        assert!(prepare(batch.clone(), &ProduceRules::default(), NOW_MS).is_ok());
        let refused = refused_with(batch, &compacted);
        assert_eq!(refused.code, InvalidRecord);
        assert_eq!(refused.records.iter().map(|r| r.batch_index).collect::<Vec<_>>(), [1, 3], "{codec}");
        assert!(refused.records[0].message.contains("key"));
    }
    let empty_key = NewRecord { key: Some(b""), ..record(NOW_MS) };
    assert!(
        prepare(batch_of(Codec::None, &[empty_key]), &compacted, NOW_MS).is_ok(),
        "an empty key is a key"
    );
}

#[test]
fn a_refusal_names_a_bounded_number_of_records() {
    let keyless = NewRecord { key: None, ..record(NOW_MS) };
    let refused = refused_with(
        batch_of(Codec::Zstd, &vec![keyless; 5000]),
        &ProduceRules { compacted: true, ..ProduceRules::default() },
    );
    assert_eq!(refused.records.len(), ottla_records::prepare::MAX_NAMED_RECORDS);
    assert!(refused.message.starts_with("5000 "), "{}", refused.message);
}

#[test]
fn timestamps_too_far_from_now_are_named() {
    let rules =
        ProduceRules { timestamp_before_max_ms: 1000, timestamp_after_max_ms: 10, ..ProduceRules::default() };
    for codec in Codec::ALL {
        let inside = [record(NOW_MS - 1000), record(NOW_MS), record(NOW_MS + 10), record(NO_TIMESTAMP)];
        assert!(prepare(batch_of(codec, &inside), &rules, NOW_MS).is_ok());
        let outside = [record(NOW_MS - 1001), record(NOW_MS), record(NOW_MS + 11)];
        let refused = refused_with(batch_of(codec, &outside), &rules);
        assert_eq!(refused.code, InvalidTimestamp);
        assert_eq!(refused.records.iter().map(|r| r.batch_index).collect::<Vec<_>>(), [0, 2], "{codec}");
        assert!(refused.records[0].message.contains(&(NOW_MS - 1001).to_string()));
    }
}

#[test]
fn a_bad_timestamp_outweighs_other_faults() {
    let keyless = NewRecord { key: None, ..record(NOW_MS) };
    let rules = ProduceRules { compacted: true, timestamp_before_max_ms: 1000, ..ProduceRules::default() };
    let refused = refused_with(batch_of(Codec::None, &[keyless, record(0)]), &rules);
    assert_eq!((refused.code, refused.records.len()), (InvalidTimestamp, 2));
}

#[test]
fn extreme_timestamps_neither_overflow_nor_pass_a_limit() {
    let limited = ProduceRules { timestamp_before_max_ms: 1000, ..ProduceRules::default() };
    for timestamp_ms in [i64::MIN, i64::MAX, 0, -2] {
        let batch = batch_of(Codec::None, &[record(timestamp_ms)]);
        assert_eq!(refused_with(batch, &limited).code, InvalidTimestamp, "{timestamp_ms}");
    }
    // Base and delta whose sum is no timestamp.
    let batch = with_bytes(&two_records(), &[(27, &i64::MAX.to_be_bytes())]);
    assert_eq!(code(batch), InvalidRecord);
}

#[test]
fn producers_may_not_claim_an_append_time() {
    let mut builder = BatchBuilder::new().log_append_time(NOW_MS);
    builder.push(&record(NOW_MS)).unwrap();
    let batch = builder.build().unwrap();
    for timestamp_type in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
        let refused =
            refused_with(batch.clone(), &ProduceRules { timestamp_type, ..ProduceRules::default() });
        assert_eq!((refused.code, refused.records.len()), (InvalidTimestamp, 1));
    }
}

#[test]
fn with_append_time_the_broker_dates_the_batch_and_ignores_the_producers_times() {
    let rules = ProduceRules {
        timestamp_type: TimestampType::LogAppendTime,
        timestamp_before_max_ms: 0,
        ..ProduceRules::default()
    };
    for codec in Codec::ALL {
        let batch = batch_of(codec, &[record(5), record(3)]);
        let prepared = prepare(batch.clone(), &rules, NOW_MS).unwrap();
        assert_eq!((prepared.max_timestamp_ms(), prepared.max_timestamp_offset_delta()), (NOW_MS, 0));
        assert_eq!(
            prepared.body().as_ptr(),
            batch[HEADER_LEN..].as_ptr(),
            "{codec}: the records are not copied"
        );
        let written = whole(prepared);
        let (batch, _) = Batch::parse(&written).unwrap();
        batch.verify().unwrap();
        let records = batch.decompress(1000).unwrap();
        assert!(Records::new(batch.header(), &records).all(|record| record.unwrap().timestamp_ms == NOW_MS));
    }
}

#[test]
fn a_wrong_max_timestamp_is_put_right() {
    let batch = with_bytes(&two_records(), &[(35, &0i64.to_be_bytes())]);
    let prepared = prepare(batch, &ProduceRules::default(), NOW_MS).unwrap();
    assert_eq!((prepared.max_timestamp_ms(), prepared.max_timestamp_offset_delta()), (NOW_MS + 1, 1));
    Batch::parse(&whole(prepared)).unwrap().0.verify().unwrap();
}

#[test]
fn the_first_record_with_the_highest_timestamp_is_known() {
    for codec in Codec::ALL {
        let batch = batch_of(codec, &[record(5), record(9), record(9), record(1)]);
        let prepared = prepare(batch, &ProduceRules::default(), NOW_MS).unwrap();
        assert_eq!((prepared.max_timestamp_ms(), prepared.max_timestamp_offset_delta()), (9, 1));
        assert_eq!(prepared.records_count(), 4);
    }
}

#[test]
fn another_codec_asked_for_recompresses_and_the_same_one_does_not() {
    let batch = batch_of(Codec::Gzip, &vec![record(NOW_MS); 50]);
    let asked = |compression| ProduceRules { compression: Some(compression), ..ProduceRules::default() };
    let same = prepare(batch.clone(), &asked(Compression::with_level(Codec::Gzip, 9)), NOW_MS).unwrap();
    assert_eq!(same.body().as_ptr(), batch[HEADER_LEN..].as_ptr());
    for target in [Codec::None, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let prepared = prepare(batch.clone(), &asked(Compression::new(target)), NOW_MS).unwrap();
        assert_eq!(prepared.header().attributes.codec(), Ok(target));
        assert_eq!(prepared.size_bytes(), prepared.header().size_bytes());
        assert_eq!(prepared.records_count(), 50);
        Batch::parse(&whole(prepared)).unwrap().0.verify().unwrap();
    }
}

#[test]
fn broken_compressed_data_is_an_invalid_record() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let batch = batch_of(codec, &vec![record(NOW_MS); 50]);
        let mut bytes = batch.to_vec();
        bytes[HEADER_LEN..].fill(0x55);
        assert_eq!(code(with_bytes(&bytes.into(), &[])), InvalidRecord, "{codec}");
    }
}

#[test]
fn a_decompression_bomb_is_too_large_before_it_is_decompressed() {
    let value = vec![0; 1 << 20];
    let large = NewRecord { value: Some(&value), ..record(NOW_MS) };
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        for compression in [None, Some(Compression::NONE)] {
            let rules = ProduceRules {
                max_decompressed_bytes: 1 << 20,
                max_message_bytes: 1 << 30,
                compression,
                ..ProduceRules::default()
            };
            assert_eq!(refused_with(batch_of(codec, &[large]), &rules).code, MessageTooLarge, "{codec}");
        }
    }
}

#[test]
fn a_broken_record_is_named() {
    // The second record's key claims more bytes than there are.
    let batch = two_records();
    let second = HEADER_LEN + 1 + usize::from(batch[HEADER_LEN] / 2);
    let bytes = with_bytes(&batch, &[(second + 4, &[0x7e])]);
    let refused = refused_with(bytes, &ProduceRules::default());
    assert_eq!(refused.code, InvalidRecord);
    assert_eq!(refused.records[0].batch_index, 1);
    assert!(refused.message.contains("key"), "{}", refused.message);
}

#[test]
fn the_place_in_the_log_changes_no_checksum() {
    let batch = two_records();
    let assigned =
        prepare(batch.clone(), &ProduceRules::default(), NOW_MS).unwrap().assign(Offset(500), LeaderEpoch(4));
    assert_eq!(assigned.header.crc, Batch::parse(&batch).unwrap().0.header().crc);
    crc::verify_parts(assigned.head[..].try_into().unwrap(), &assigned.body).unwrap();
    assert_eq!(assigned.header.last_offset(), Offset(501));
    let written = [assigned.head, assigned.body].concat();
    assert_eq!(Batch::parse(&written).unwrap().0.header(), &assigned.header);
}

#[test]
fn a_batch_of_our_own_may_hold_control_records_and_stand_anywhere() {
    let mut builder = BatchBuilder::new().at(Offset(9), LeaderEpoch(2)).control(true);
    builder.push(&record(1)).unwrap();
    builder.push(&record(2)).unwrap();
    let batch = builder.build().unwrap();
    let own = Prepared::own(batch.clone(), 1000).unwrap();
    assert_eq!((own.records_count(), own.max_timestamp_offset_delta()), (2, 1));
    assert!(Prepared::own([&batch[..], b"x"].concat().into(), 1000).is_err());
}
