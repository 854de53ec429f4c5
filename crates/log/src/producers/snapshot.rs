//! The producers' state as a file (`.snapshot`): Kafka's `ProducerSnapshot` message, version 1.
//!
//! Version (2 bytes), CRC32C of what follows it (4), count (4), and 46 bytes for each producer: id (8), epoch (2), last
//! sequence (4), last offset (8), offset delta of the last batch (4), timestamp (8), coordinator epoch (4), first offset
//! of the open transaction (8). Only the last batch is kept, so after a restart only that is known as a duplicate.

use bytes::{Buf, BufMut};
use ottla_records::crc::crc32c;
use ottla_types::{Offset, ProducerEpoch, ProducerId};

use super::{Producer, Producers, RememberedBatch};

const VERSION: i16 = 1;
const HEAD: usize = 10;
const CRC_END: usize = 6;
const ENTRY: usize = 46;

pub(crate) fn encode(producers: &Producers) -> Vec<u8> {
    let entries = producers.iter();
    let mut body = Vec::with_capacity(4 + entries.len() * ENTRY);
    body.put_i32(i32::try_from(entries.len()).unwrap_or(i32::MAX));
    for (id, producer) in entries.take(i32::MAX as usize) {
        let last = producer.batches.back();
        body.put_i64(id.0);
        body.put_i16(producer.epoch.0);
        body.put_i32(producer.last_sequence());
        body.put_i64(last.map_or(-1, |batch| batch.last_offset.0));
        body.put_i32(last.map_or(0, |batch| batch.offset_delta));
        body.put_i64(producer.last_timestamp_ms);
        body.put_i32(producer.coordinator_epoch);
        body.put_i64(producer.txn_start.map_or(-1, |offset| offset.0));
    }
    let mut file = Vec::with_capacity(CRC_END + body.len());
    file.put_i16(VERSION);
    file.put_u32(crc32c(&body));
    file.extend_from_slice(&body);
    file
}

/// Reads a snapshot; the error says what is wrong with it.
pub(crate) fn decode(file: &[u8], now_ms: i64) -> Result<Producers, String> {
    let Some((mut head, mut entries)) = file.split_at_checked(HEAD) else {
        return Err(format!("it is {} bytes long, and {HEAD} is the least", file.len()));
    };
    let version = head.get_i16();
    if version != VERSION {
        return Err(format!("its version is {version}, and {VERSION} was expected"));
    }
    let stored = head.get_u32();
    let computed = crc32c(file.get(CRC_END..).unwrap_or_default());
    if stored != computed {
        return Err(format!("its stored CRC is {stored:#010x}, and {computed:#010x} was computed"));
    }
    let count = head.get_i32();
    if usize::try_from(count).ok().and_then(|n| n.checked_mul(ENTRY)) != Some(entries.len()) {
        return Err(format!("it promises {count} producers in {} bytes", entries.len()));
    }
    let mut producers = Producers::default();
    while entries.remaining() >= ENTRY {
        let (id, producer) = decode_entry(&mut entries, now_ms);
        producers.insert(id, producer);
    }
    Ok(producers)
}

/// Takes one entry; there must be bytes for it.
fn decode_entry(bytes: &mut &[u8], now_ms: i64) -> (ProducerId, Producer) {
    let id = ProducerId(bytes.get_i64());
    let mut producer = Producer::new(ProducerEpoch(bytes.get_i16()), now_ms);
    let last_sequence = bytes.get_i32();
    let last_offset = Offset(bytes.get_i64());
    let offset_delta = bytes.get_i32();
    producer.last_timestamp_ms = bytes.get_i64();
    producer.coordinator_epoch = bytes.get_i32();
    producer.txn_start = Some(Offset(bytes.get_i64())).filter(|offset| offset.0 >= 0);
    if last_offset.0 >= 0 {
        let timestamp_ms = producer.last_timestamp_ms;
        producer.batches.push_back(RememberedBatch {
            last_sequence,
            last_offset,
            offset_delta,
            timestamp_ms,
        });
    }
    (id, producer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by Kafka 4.3.1's ProducerStateManager.writeSnapshot; see the test below for its content.
    const BY_KAFKA: &str = "0001c271cddf000000020000000000000fa00003000000290000000000000411000000090000018bcfe56800\
        ffffffffffffffffffffffff0000000000000fa10000ffffffffffffffffffffffff00000000000000000000004d\
        000000050000000000000384";

    fn producers() -> Producers {
        let mut producers = Producers::default();
        let mut writing = Producer::new(ProducerEpoch(3), 0);
        writing.last_timestamp_ms = 1_700_000_000_000;
        let timestamp_ms = writing.last_timestamp_ms;
        writing.batches.push_back(RememberedBatch {
            last_sequence: 41,
            last_offset: Offset(1041),
            offset_delta: 9,
            timestamp_ms,
        });
        producers.insert(ProducerId(4000), writing);
        let mut in_transaction = Producer::new(ProducerEpoch(0), 0);
        in_transaction.coordinator_epoch = 5;
        in_transaction.last_timestamp_ms = 77;
        in_transaction.txn_start = Some(Offset(900));
        producers.insert(ProducerId(4001), in_transaction);
        producers
    }

    #[test]
    fn a_snapshot_has_kafkas_bytes() {
        let bytes = encode(&producers());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, BY_KAFKA);
        assert_eq!(decode(&bytes, 0), Ok(producers()));
    }

    #[test]
    fn a_damaged_snapshot_is_refused_wherever_it_is_damaged() {
        let good = encode(&producers());
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 0x10;
            assert!(decode(&bad, 0).is_err(), "byte {i}");
            assert!(decode(&good[..i], 0).is_err(), "cut at {i}");
        }
        let mut longer = good;
        longer.push(0);
        assert!(decode(&longer, 0).is_err());
    }
}
