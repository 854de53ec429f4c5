//! What holds for every batch, and for every damage to one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod common;

use bytes::Bytes;
use common::{LIMIT, logged_batch, produced_batch, read};
use ottla_records::{
    Batch, BatchError, BatchHeader, Codec, Compression, HEADER_LEN, ProduceRules, Records, TimestampType,
    batches, crc, decompress, patch, prepare,
};
use ottla_types::{LeaderEpoch, Offset};
use proptest::prelude::*;

const NOW_MS: i64 = 2_000_000_000_000;

/// Gives the batch the checksum of the bytes it has now, as a hostile producer would.
fn reseal(bytes: &mut [u8]) {
    if bytes.len() >= HEADER_LEN {
        let crc = crc::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

/// Reads everything there is, whatever it is. The point is that it comes back.
fn read_all(bytes: &[u8]) {
    for batch in batches(bytes) {
        let Ok(batch) = batch else { break };
        let _ = batch.verify();
        let _ = read(&batch);
        let _ = batch.offset_of_max_timestamp(LIMIT);
        let _ = batch.find(LIMIT, |_, _| false);
        if let Ok(records) = batch.records() {
            records.for_each(drop);
        }
    }
}

proptest! {
    #[test]
    fn a_batch_reads_as_it_was_built(plain in logged_batch()) {
        let bytes = plain.build();
        let (batch, rest) = Batch::parse(&bytes).unwrap();
        prop_assert!(rest.is_empty());
        batch.verify().unwrap();
        let header = batch.header();
        prop_assert_eq!(header.base_offset, Offset(plain.base_offset));
        prop_assert_eq!(header.leader_epoch, LeaderEpoch(plain.leader_epoch));
        prop_assert_eq!(header.last_offset(), Offset(plain.records.last().unwrap().offset));
        prop_assert_eq!(header.attributes.is_control(), plain.control);
        prop_assert_eq!(Some(header.max_timestamp_ms), plain.records.iter().map(|r| r.timestamp_ms).max());
        prop_assert_eq!(read(&batch).unwrap(), plain.records);
    }

    #[test]
    fn a_header_writes_as_it_was_read(plain in logged_batch()) {
        let bytes = plain.build();
        let mut written = [0; HEADER_LEN];
        BatchHeader::parse(&bytes).unwrap().write_to(&mut written);
        prop_assert_eq!(&written[..], &bytes[..HEADER_LEN]);
    }

    #[test]
    fn batches_in_a_row_are_found_one_after_another(plains in prop::collection::vec(logged_batch(), 0..4), cut in any::<prop::sample::Index>()) {
        let built: Vec<_> = plains.iter().map(common::PlainBatch::build).collect();
        let bytes = built.concat();
        let found: Vec<_> = batches(&bytes).map(|batch| batch.unwrap().bytes().to_vec()).collect();
        prop_assert_eq!(&found, &built);

        // Cut anywhere: the whole batches in front of the cut, then the tail reported once.
        let cut = cut.index(bytes.len() + 1);
        let mut iterator = batches(&bytes[..cut]);
        let whole = iterator.by_ref().take_while(Result::is_ok).count();
        let kept: usize = built[..whole].iter().map(Bytes::len).sum();
        prop_assert!(kept <= cut && built.get(whole).is_none_or(|next| kept + next.len() > cut));
        prop_assert_eq!(iterator.rest(), &bytes[kept..cut]);
        prop_assert!(iterator.next().is_none());
    }

    #[test]
    fn a_produced_batch_is_taken_as_it_is(plain in produced_batch()) {
        let bytes = plain.build();
        let prepared = prepare(bytes.clone(), &ProduceRules::default(), NOW_MS).unwrap();
        prop_assert_eq!(prepared.body(), &bytes.slice(HEADER_LEN..));
        let max = plain.records.iter().map(|r| r.timestamp_ms).max().unwrap();
        prop_assert_eq!(prepared.max_timestamp_ms(), max);
        if max >= 0 {
            let first = plain.records.iter().position(|r| r.timestamp_ms == max).unwrap();
            prop_assert_eq!(prepared.max_timestamp_offset_delta() as usize, first);
        }
        let assigned = prepared.assign(Offset(77), LeaderEpoch(5));
        let written = [assigned.head, assigned.body].concat();
        let mut expected = bytes.to_vec();
        patch::assign_batch(&mut expected, Offset(77), LeaderEpoch(5)).unwrap();
        prop_assert_eq!(&written, &expected);
        Batch::parse(&written).unwrap().0.verify().unwrap();
    }

    #[test]
    fn recompression_and_append_time_keep_the_records(plain in produced_batch(), target in common::codec(), append_time in any::<bool>()) {
        let timestamp_type = if append_time { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        let rules = ProduceRules { compression: Some(Compression::new(target)), timestamp_type, ..ProduceRules::default() };
        let assigned = prepare(plain.build(), &rules, NOW_MS).unwrap().assign(Offset(0), LeaderEpoch(0));
        let written = [assigned.head, assigned.body].concat();
        let (batch, rest) = Batch::parse(&written).unwrap();
        prop_assert!(rest.is_empty());
        batch.verify().unwrap();
        prop_assert_eq!(batch.header(), &assigned.header);
        prop_assert_eq!(batch.header().attributes.codec(), Ok(target));
        prop_assert_eq!(batch.header().attributes.timestamp_type(), timestamp_type);
        let mut expected = plain.records;
        if append_time {
            expected.iter_mut().for_each(|record| record.timestamp_ms = NOW_MS);
        }
        prop_assert_eq!(read(&batch).unwrap(), expected);
    }

    #[test]
    fn a_batch_patched_in_place_is_the_one_that_prepare_makes(plain in produced_batch()) {
        let rules = ProduceRules { timestamp_type: TimestampType::LogAppendTime, ..ProduceRules::default() };
        let assigned = prepare(plain.build(), &rules, NOW_MS).unwrap().assign(Offset(7), LeaderEpoch(3));
        let mut bytes = plain.build().to_vec();
        bytes.extend_from_slice(b"the next batch");
        patch::set_max_timestamp_of_batch(&mut bytes, TimestampType::LogAppendTime, NOW_MS).unwrap();
        patch::assign_batch(&mut bytes, Offset(7), LeaderEpoch(3)).unwrap();
        prop_assert_eq!(bytes, [&assigned.head[..], &assigned.body, b"the next batch"].concat());
    }

    #[test]
    fn any_changed_byte_is_caught_or_lies_outside_the_checksum(plain in logged_batch(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = plain.build().to_vec();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        read_all(&bytes);
        let sound = Batch::parse(&bytes).is_ok_and(|(batch, rest)| rest.is_empty() && batch.verify().is_ok());
        // Base offset and leader epoch are the broker's to write. (A base offset may be refused, when it is none.)
        prop_assert!(!sound || at < 8 || (12..16).contains(&at), "byte {at}");
    }

    #[test]
    fn damage_under_a_good_checksum_never_panics(plain in produced_batch(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = plain.build().to_vec();
        for (at, to) in damage {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        reseal(&mut bytes);
        read_all(&bytes);
        let bytes = Bytes::from(bytes);
        for compression in [None, Some(Compression::NONE)] {
            let rules = ProduceRules { compression, compacted: true, max_decompressed_bytes: LIMIT, ..ProduceRules::default() };
            let _ = prepare(bytes.clone(), &rules, NOW_MS);
        }
        // What was taken must read.
        let rules = ProduceRules { max_decompressed_bytes: LIMIT, ..ProduceRules::default() };
        if let Ok(prepared) = prepare(bytes, &rules, NOW_MS) {
            let assigned = prepared.assign(Offset(9), LeaderEpoch(1));
            let written = [assigned.head, assigned.body].concat();
            let (batch, _) = Batch::parse(&written).unwrap();
            batch.verify().unwrap();
            let offsets: Vec<_> = read(&batch).unwrap().iter().map(|record| record.offset).collect();
            prop_assert_eq!(offsets, (9..9 + i64::from(batch.header().records_count)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), codec in common::codec()) {
        read_all(&bytes);
        let _ = decompress(codec, &bytes, LIMIT);
        let mut framed = common::PlainBatch { codec, ..empty() }.build().to_vec();
        framed.extend_from_slice(&bytes);
        let length = i32::try_from(framed.len() - 12).unwrap();
        framed[8..12].copy_from_slice(&length.to_be_bytes());
        framed[23..27].copy_from_slice(&2i32.to_be_bytes());
        framed[57..61].copy_from_slice(&3i32.to_be_bytes());
        reseal(&mut framed);
        read_all(&framed);
        let _ = prepare(framed.into(), &ProduceRules::default(), NOW_MS);
    }

    #[test]
    fn decompression_gives_back_what_went_in_and_stops_at_its_limit(data in prop::collection::vec(any::<u8>(), 0..3000), times in 1..60usize, codec in common::codec()) {
        let data = data.repeat(times);
        let mut compressed = Vec::new();
        Compression::new(codec).compress(&data, &mut compressed).unwrap();
        prop_assert_eq!(&decompress(codec, &compressed, data.len()).unwrap(), &data);
        if let Some(limit) = data.len().checked_sub(1) {
            prop_assert_eq!(decompress(codec, &compressed, limit), Err(BatchError::DecompressedTooLarge { codec, limit }));
        }
    }
}

fn empty() -> common::PlainBatch {
    common::PlainBatch {
        base_offset: 0,
        leader_epoch: -1,
        codec: Codec::None,
        producer: None,
        transactional: false,
        control: false,
        records: Vec::new(),
    }
}

fn small_batch(codec: Codec) -> Bytes {
    let record = |offset: i64| common::Plain {
        offset,
        timestamp_ms: 1_000 + offset,
        key: Some(b"key".to_vec()),
        value: Some(b"value ".repeat(10)),
        headers: vec![("a".to_owned(), None), ("a".to_owned(), Some(b"1".to_vec()))],
    };
    common::PlainBatch { codec, records: (0..3).map(record).collect(), ..empty() }.build()
}

#[test]
fn a_batch_cut_off_anywhere_is_refused() {
    for codec in Codec::ALL {
        let bytes = small_batch(codec);
        for len in 0..bytes.len() {
            let cut = bytes.slice(..len);
            assert!(matches!(Batch::parse(&cut), Err(BatchError::Truncated { .. })), "{codec}, {len} bytes");
            assert!(prepare(cut, &ProduceRules::default(), NOW_MS).is_err());
        }
    }
}

#[test]
fn records_cut_off_anywhere_under_a_sound_header_are_refused() {
    for codec in Codec::ALL {
        let bytes = small_batch(codec);
        for len in HEADER_LEN..bytes.len() {
            let mut cut = bytes[..len].to_vec();
            cut[8..12].copy_from_slice(&i32::try_from(len - 12).unwrap().to_be_bytes());
            reseal(&mut cut);
            let (batch, _) = Batch::parse(&cut).unwrap();
            batch.verify().unwrap();
            assert!(read(&batch).is_err(), "{codec}, {len} bytes read");
            assert!(
                prepare(cut.into(), &ProduceRules::default(), NOW_MS).is_err(),
                "{codec}, {len} bytes taken"
            );
        }
    }
}

#[test]
fn every_single_byte_under_a_good_checksum_may_be_anything() {
    // Exhaustive where the random damage is not: each byte of a small batch, each value.
    for codec in Codec::ALL {
        let bytes = small_batch(codec);
        for at in 0..bytes.len() {
            for to in 0..=u8::MAX {
                let mut damaged = bytes.to_vec();
                damaged[at] = to;
                reseal(&mut damaged);
                read_all(&damaged);
                let rules = ProduceRules { max_decompressed_bytes: LIMIT, ..ProduceRules::default() };
                let _ = prepare(damaged.into(), &rules, NOW_MS);
            }
        }
    }
}

#[test]
fn a_claimed_record_count_costs_nothing() {
    let mut bytes = small_batch(Codec::None).to_vec();
    bytes[23..27].copy_from_slice(&(i32::MAX - 1).to_be_bytes());
    bytes[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    reseal(&mut bytes);
    let (batch, _) = Batch::parse(&bytes).unwrap();
    batch.verify().unwrap();
    assert_eq!(batch.records().unwrap().count(), 4, "three records and the error where the fourth should be");
    assert!(prepare(bytes.into(), &ProduceRules::default(), NOW_MS).is_err());
}

#[test]
fn records_after_an_error_are_not_guessed_at() {
    let mut header = BatchHeader::parse(&small_batch(Codec::None)).unwrap();
    header.records_count = 5;
    let mut records = Records::new(&header, &[0x81]);
    assert!(records.next().unwrap().is_err());
    assert!(records.next().is_none());
}
