//! Batches that Apache Kafka's own classes wrote: what is read from them, and that they pass for produced ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::path::Path;

use bytes::Bytes;
use ottla_records::{
    Batch, BatchBuilder, Codec, Compression, NewRecord, ProduceRules, Records, TimestampType, prepare,
};
use ottla_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

const BASE_MS: i64 = 1_700_000_000_000;
const LIMIT: usize = 1 << 20;

const COMPRESSED: [(&str, Codec); 7] = [
    ("gzip", Codec::Gzip),
    ("gzip-level-9", Codec::Gzip),
    ("snappy", Codec::Snappy),
    ("lz4", Codec::Lz4),
    ("lz4-level-12", Codec::Lz4),
    ("zstd", Codec::Zstd),
    ("zstd-level-19", Codec::Zstd),
];

fn golden(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("bin");
    Bytes::from(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The one batch of a file, its checksum and shape verified.
fn batch(bytes: &Bytes) -> Batch<'_> {
    let (batch, rest) = Batch::parse(bytes).unwrap();
    assert!(rest.is_empty());
    batch.verify().unwrap();
    batch
}

type Owned = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn owned(batch: &Batch<'_>) -> Vec<Owned> {
    let decompressed = batch.decompress(LIMIT).unwrap();
    Records::new(batch.header(), &decompressed)
        .map(|record| {
            let record = record.unwrap();
            let headers = record.headers.map(|h| (h.key_lossy().into_owned(), h.value.map(<[u8]>::to_vec)));
            (
                record.offset.0,
                record.timestamp_ms,
                record.key.map(<[u8]>::to_vec),
                record.value.map(<[u8]>::to_vec),
                headers.collect(),
            )
        })
        .collect()
}

fn some(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

fn small_records() -> Vec<Owned> {
    let headers = vec![
        ("trace".to_owned(), some("1")),
        ("trace".to_owned(), None),
        (String::new(), some("")),
        ("trace".to_owned(), some("1")),
        ("Größe".to_owned(), some("2")),
    ];
    vec![
        (0, BASE_MS, some("key"), some("value"), vec![]),
        (1, BASE_MS + 500, None, some("no key"), vec![]),
        (2, BASE_MS - 500, some("no value"), None, headers),
        (3, BASE_MS, some(""), some(""), vec![]),
    ]
}

fn large_record() -> Owned {
    (4, BASE_MS + 1, None, Some((0..300_000u32).map(|i| (i % 251) as u8).collect()), vec![])
}

#[test]
fn an_uncompressed_batch_of_the_java_client_reads_as_written() {
    let bytes = golden("none");
    let batch = batch(&bytes);
    assert_eq!(batch.header().base_timestamp_ms, BASE_MS);
    assert_eq!(batch.header().max_timestamp_ms, BASE_MS + 500);
    assert_eq!(owned(&batch), small_records());
    assert_eq!(batch.offset_of_max_timestamp(LIMIT).unwrap(), Some(Offset(1)));
}

#[test]
fn batches_of_every_codec_of_the_java_client_read_as_written() {
    for (name, codec) in COMPRESSED {
        let bytes = golden(name);
        let batch = batch(&bytes);
        assert_eq!(batch.header().attributes.codec(), Ok(codec), "{name}");
        assert!(batch.records().is_err(), "{name}: compressed records are not records");
        let mut expected = small_records();
        expected.push(large_record());
        assert_eq!(owned(&batch), expected, "{name}");
    }
}

#[test]
fn the_builder_writes_the_bytes_that_the_java_client_writes() {
    let mut builder = BatchBuilder::new();
    push_all(&mut builder, &small_records());
    assert_eq!(builder.build().unwrap(), golden("none"));

    let mut builder =
        BatchBuilder::new().transactional(true).producer(ProducerId(4711), ProducerEpoch(3), i32::MAX - 1);
    for i in 0..3i64 {
        let (key, value) = (format!("k{i}"), format!("v{i}"));
        let record = NewRecord {
            timestamp_ms: BASE_MS + i,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &[],
        };
        builder.push(&record).unwrap();
    }
    assert_eq!(builder.build().unwrap(), golden("transactional"));
}

#[test]
fn snappy_is_framed_as_the_java_client_frames_it() {
    // The compressors differ, so the blocks may; the stream header and the blocks' decompressed sizes must not.
    let mut builder = BatchBuilder::new().compression(Compression::new(Codec::Snappy));
    let mut records = small_records();
    records.push(large_record());
    push_all(&mut builder, &records);
    let ours = builder.build().unwrap();
    let theirs = golden("snappy");
    assert_eq!(block_sizes(&ours[61..]), block_sizes(&theirs[61..]));
}

fn block_sizes(stream: &[u8]) -> Vec<usize> {
    let (header, mut rest) = stream.split_at(16);
    assert_eq!(header, b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let mut sizes = Vec::new();
    while let Some((len, tail)) = rest.split_first_chunk() {
        let (block, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
        // A raw block begins with its size, seven bits to a byte.
        sizes.push(
            block
                .iter()
                .scan(false, |done, byte| {
                    (!std::mem::replace(done, byte < &0x80)).then_some(usize::from(byte & 0x7f))
                })
                .enumerate()
                .map(|(i, bits)| bits << (7 * i))
                .sum(),
        );
        rest = tail;
    }
    sizes
}

#[test]
fn lz4_frames_carry_the_descriptor_of_the_java_client() {
    let mut builder = BatchBuilder::new().compression(Compression::new(Codec::Lz4));
    push_all(&mut builder, &small_records());
    assert_eq!(builder.build().unwrap()[61..68], golden("lz4")[61..68]);
}

fn push_all(builder: &mut BatchBuilder, records: &[Owned]) {
    for (offset, timestamp_ms, key, value, headers) in records {
        let headers: Vec<_> = headers.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        let record = NewRecord {
            timestamp_ms: *timestamp_ms,
            key: key.as_deref(),
            value: value.as_deref(),
            headers: &headers,
        };
        builder.push_at(Offset(*offset), &record).unwrap();
    }
}

#[test]
fn log_append_time_is_the_timestamp_of_every_record() {
    let bytes = golden("log-append-time");
    let batch = batch(&bytes);
    let header = batch.header();
    assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!((header.base_offset, header.leader_epoch), (Offset(100), LeaderEpoch(7)));
    let read: Vec<_> = owned(&batch).into_iter().map(|(offset, ms, ..)| (offset, ms)).collect();
    assert_eq!(read, [(100, BASE_MS + 1000), (101, BASE_MS + 1000)]);
}

#[test]
fn a_transactional_batch_names_its_producer_and_its_sequence_wraps() {
    let bytes = golden("transactional");
    let header = *batch(&bytes).header();
    assert!(header.attributes.is_transactional() && !header.attributes.is_control());
    assert_eq!((header.producer_id, header.producer_epoch), (ProducerId(4711), ProducerEpoch(3)));
    assert_eq!((header.base_sequence, header.last_sequence()), (i32::MAX - 1, 0));
}

#[test]
fn a_commit_marker_is_a_control_batch_that_clients_may_not_write() {
    let bytes = golden("commit-marker");
    let batch = batch(&bytes);
    assert!(batch.header().attributes.is_control() && batch.header().attributes.is_transactional());
    assert_eq!((batch.header().base_offset, batch.header().leader_epoch), (Offset(42), LeaderEpoch(9)));
    // Key: version 0, type 1 (commit). Value: version 0, coordinator epoch 5.
    let records = owned(&batch);
    assert_eq!(records[0].2.as_deref(), Some(&[0, 0, 0, 1][..]));
    assert_eq!(records[0].3.as_deref(), Some(&[0, 0, 0, 0, 0, 5][..]));

    let mut produced = bytes.to_vec();
    ottla_records::patch::assign_batch(&mut produced, Offset(0), LeaderEpoch::NONE).unwrap();
    assert!(prepare(produced.into(), &ProduceRules::default(), BASE_MS).is_err());
}

#[test]
fn a_batch_that_compaction_emptied_keeps_its_offsets() {
    let bytes = golden("empty");
    let batch = batch(&bytes);
    assert_eq!((batch.header().base_offset, batch.header().last_offset()), (Offset(50), Offset(59)));
    assert_eq!(batch.header().records_count, 0);
    assert_eq!(owned(&batch), []);
    assert_eq!(batch.offset_of_max_timestamp(LIMIT).unwrap(), None);
}

#[test]
fn batches_of_the_java_client_pass_for_produced_ones_untouched() {
    for name in ["none", "transactional"].into_iter().chain(COMPRESSED.map(|(name, _)| name)) {
        let bytes = golden(name);
        let prepared = prepare(bytes.clone(), &ProduceRules::default(), BASE_MS)
            .unwrap_or_else(|invalid| panic!("{name}: {invalid}"));
        assert_eq!(prepared.header(), batch(&bytes).header(), "{name}");
        assert_eq!(prepared.body().as_ptr(), bytes[61..].as_ptr(), "{name}: the records are not copied");
    }
}
