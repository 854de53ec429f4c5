//! Record batches: read as from a disk or a leader, and prepared as from a producer. Nothing panics, decompression keeps
//! to its limit, and what is accepted is sound and would be accepted again.
//!
//! The first byte of an input chooses the topic's rules and whether the header is mended, so that a checksum is no wall
//! for the fuzzer; the rest are batches.

use bytes::Bytes;
use libfuzzer_sys::Corpus;
use ottla_records::{
    Batch, Codec, Compression, HEADER_LEN, ProduceRules, Records, TimestampType, batches, crc::crc32c,
    prepare,
};
use ottla_types::{LeaderEpoch, Offset};

use crate::bounded;

/// The most that a batch may decompress to here.
const LIMIT: usize = 128 * 1024;

/// What may be held for each byte given, and besides: the limit for the old and the new of a growing vector, the same
/// again compressed anew, and the codecs' own tables.
const PER_BYTE: usize = 8;
const FIXED: usize = 8 * LIMIT + 4 * 1024 * 1024;

/// The time of the broker's clock.
const NOW_MS: i64 = 1_700_000_000_000;

/// Reads the batches, and prepares them as a produce request would.
pub fn check(data: &[u8]) -> Corpus {
    let [choice, bytes @ ..] = data else { return Corpus::Reject };
    let rules = rules(*choice);
    let mut bytes = bytes.to_vec();
    if choice & 0x80 == 0 {
        mend(&mut bytes);
    }
    let allowed = FIXED + PER_BYTE * bytes.len();
    bounded(allowed, || read_all(&bytes));
    bounded(allowed, || produce(Bytes::from(bytes), &rules));
    Corpus::Keep
}

/// The rules of a topic: two bits for the time, one for compaction, three for the codec.
fn rules(choice: u8) -> ProduceRules {
    let codec = match (choice >> 3) & 7 {
        1 => Some(Codec::None),
        2 => Some(Codec::Gzip),
        3 => Some(Codec::Snappy),
        4 => Some(Codec::Lz4),
        5 => Some(Codec::Zstd),
        _ => None,
    };
    ProduceRules {
        max_decompressed_bytes: LIMIT,
        compacted: choice & 1 != 0,
        timestamp_type: if choice & 2 != 0 {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        },
        timestamp_before_max_ms: if choice & 4 != 0 { 1000 } else { i64::MAX },
        compression: codec.map(Compression::new),
        ..ProduceRules::default()
    }
}

/// Gives the bytes the length, the magic and the checksum of one batch.
fn mend(bytes: &mut [u8]) {
    let Some(length) = bytes.len().checked_sub(12) else { return };
    if bytes.len() >= HEADER_LEN {
        bytes[8..12].copy_from_slice(&(length as u32).to_be_bytes());
        bytes[16] = 2;
        let crc = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

/// As a log or a fetcher reads what it has been given.
fn read_all(bytes: &[u8]) {
    let mut read = 0;
    for batch in batches(bytes) {
        let Ok(batch) = batch else { break };
        read += batch.bytes().len();
        let _ = batch.verify();
        let _ = batch.offset_of_max_timestamp(LIMIT);
        if let Ok(records) = batch.decompress(LIMIT) {
            assert!(
                records.len() <= LIMIT.max(batch.body().len()),
                "decompressed to {} bytes",
                records.len()
            );
            for record in Records::new(batch.header(), &records) {
                let Ok(record) = record else { break };
                record.headers.for_each(drop);
            }
        }
    }
    assert!(read <= bytes.len());
}

/// As a leader takes what a producer sends. What it accepts reads back whole, and is accepted again.
fn produce(bytes: Bytes, rules: &ProduceRules) {
    let Ok(prepared) = prepare(bytes, rules, NOW_MS) else { return };
    let count = prepared.records_count();
    let assigned = prepared.assign(Offset(0), LeaderEpoch(7));
    let appended = Bytes::from([&assigned.head[..], &assigned.body[..]].concat());

    let (batch, rest) = Batch::parse(&appended).expect("what is appended is a batch");
    assert!(rest.is_empty());
    batch.verify().expect("what is appended is sound");
    let records = batch.decompress(LIMIT).expect("what is appended can be decompressed");
    let read =
        Records::new(batch.header(), &records).map(|record| record.expect("a record that was accepted"));
    assert_eq!(read.count(), usize::try_from(count).expect("a count is not negative"));

    // Once a broker has set the time, it would not take it from a producer.
    if rules.timestamp_type == TimestampType::CreateTime {
        let again = prepare(appended.clone(), rules, NOW_MS).expect("what was accepted is accepted again");
        assert_eq!(again.records_count(), count);
    }
}
