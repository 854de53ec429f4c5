//! Streams of other compressors, levels, limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::io::Write;

use lz4::liblz4::BlockChecksum;
use lz4::{BlockMode, BlockSize, ContentChecksum};
use ottla_records::{Batch, BatchBuilder, BatchError, Codec, Compression, NewRecord, Records, decompress};

const LIMIT: usize = 1 << 20;

fn data() -> Vec<u8> {
    (0..200_000u32).map(|i| (i.wrapping_mul(i) >> 9) as u8).collect()
}

fn compressed(compression: Compression, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compression.compress(data, &mut out).unwrap();
    out
}

#[test]
fn every_level_that_kafka_knows_and_every_one_beyond_gives_back_the_data() {
    let data = data();
    for (codec, levels) in [
        (Codec::Gzip, &[i32::MIN, -1, 0, 1, 6, 9, i32::MAX][..]),
        (Codec::Lz4, &[i32::MIN, 1, 2, 3, 9, 12, 17, i32::MAX][..]),
        (Codec::Zstd, &[i32::MIN, -131_072, -1, 0, 1, 3, 19, i32::MAX][..]),
        (Codec::Snappy, &[0, 5][..]),
        (Codec::None, &[0, 5][..]),
    ] {
        for &level in levels {
            let stream = compressed(Compression::with_level(codec, level), &data);
            assert_eq!(decompress(codec, &stream, LIMIT).unwrap(), data, "{codec} {level}");
        }
    }
}

#[test]
fn a_higher_level_compresses_more() {
    let data = data();
    for (codec, low, high) in [(Codec::Gzip, 1, 9), (Codec::Lz4, 9, 12), (Codec::Zstd, 1, 19)] {
        let low = compressed(Compression::with_level(codec, low), &data).len();
        let high = compressed(Compression::with_level(codec, high), &data).len();
        assert!(high < low, "{codec}: {high} bytes at the high level, {low} at the low one");
    }
}

#[test]
fn no_data_compresses_to_a_stream_that_gives_none() {
    for codec in Codec::ALL {
        assert_eq!(decompress(codec, &compressed(Compression::new(codec), b""), 0).unwrap(), b"", "{codec}");
    }
}

#[test]
fn a_batch_that_lost_all_its_records_has_nothing_to_decompress() {
    for codec in Codec::ALL {
        assert_eq!(decompress(codec, b"", 0).unwrap(), b"", "{codec}");
    }
}

#[test]
fn a_record_is_found_in_the_stream_before_the_rest_is_decompressed() {
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::new().compression(Compression::new(codec));
        let value = data();
        for timestamp_ms in [5, 3, 9] {
            let record = NewRecord { timestamp_ms, key: None, value: Some(&value), headers: &[] };
            builder.push(&record).unwrap();
        }
        let bytes = builder.build().unwrap();
        let (batch, _) = Batch::parse(&bytes).unwrap();
        let at_least = |least: i64, limit| batch.find(limit, |_, timestamp_ms| timestamp_ms >= least);
        let all = batch.header().base_offset.0;
        assert_eq!(
            at_least(4, LIMIT).unwrap().map(|(offset, ms)| (offset.0 - all, ms)),
            Some((0, 5)),
            "{codec}"
        );
        assert_eq!(
            at_least(6, LIMIT).unwrap().map(|(offset, ms)| (offset.0 - all, ms)),
            Some((2, 9)),
            "{codec}"
        );
        assert_eq!(at_least(10, LIMIT).unwrap(), None, "{codec}");
        // Room for one record, and not for three.
        let room = value.len() + value.len() / 2;
        assert!(at_least(4, room).unwrap().is_some(), "{codec}");
        let beyond = at_least(6, room);
        assert!(matches!(beyond, Err(BatchError::DecompressedTooLarge { .. })), "{codec}: {beyond:?}");
    }
}

#[test]
fn a_batch_without_records_may_be_built_and_read() {
    for codec in Codec::ALL {
        let bytes = BatchBuilder::new().compression(Compression::new(codec)).build().unwrap();
        let (batch, _) = Batch::parse(&bytes).unwrap();
        batch.verify().unwrap();
        let decompressed = batch.decompress(0).unwrap();
        assert_eq!(Records::new(batch.header(), &decompressed).count(), 0);
    }
}

#[test]
fn lz4_frames_of_any_kind_are_read() {
    let data = data();
    for block_size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        for block_mode in [BlockMode::Independent, BlockMode::Linked] {
            for (block_checksum, checksum, content_size) in [
                (BlockChecksum::NoBlockChecksum, ContentChecksum::NoChecksum, 0),
                (BlockChecksum::BlockChecksumEnabled, ContentChecksum::ChecksumEnabled, data.len() as u64),
            ] {
                let mut encoder = lz4::EncoderBuilder::new()
                    .block_size(block_size.clone())
                    .block_mode(block_mode.clone())
                    .block_checksum(block_checksum)
                    .checksum(checksum)
                    .content_size(content_size)
                    .build(Vec::new())
                    .unwrap();
                encoder.write_all(&data).unwrap();
                let (frame, done) = encoder.finish();
                done.unwrap();
                assert_eq!(decompress(Codec::Lz4, &frame, LIMIT).unwrap(), data);
                for cut in [1, 4, 5, frame.len() / 2] {
                    let cut = &frame[..frame.len() - cut];
                    assert!(matches!(decompress(Codec::Lz4, cut, LIMIT), Err(BatchError::Decompress { .. })));
                }
            }
        }
    }
}

#[test]
fn raw_snappy_is_read() {
    let data = data();
    let raw = snap::raw::Encoder::new().compress_vec(&data).unwrap();
    assert_eq!(decompress(Codec::Snappy, &raw, LIMIT).unwrap(), data);
}

#[test]
fn snappy_streams_in_a_row_are_one_stream() {
    let streams = [b"one, ".to_vec(), b"two, ".to_vec(), Vec::new(), b"three".to_vec()];
    let row: Vec<u8> =
        streams.iter().flat_map(|data| compressed(Compression::new(Codec::Snappy), data)).collect();
    assert_eq!(decompress(Codec::Snappy, &row, LIMIT).unwrap(), b"one, two, three");
}

#[test]
fn gzip_members_and_zstd_frames_in_a_row_are_one_stream() {
    for codec in [Codec::Gzip, Codec::Zstd] {
        let row =
            [compressed(Compression::new(codec), b"one, "), compressed(Compression::new(codec), b"two")];
        assert_eq!(decompress(codec, &row.concat(), LIMIT).unwrap(), b"one, two", "{codec}");
    }
}

#[test]
fn a_snappy_block_that_claims_more_than_it_can_hold_is_not_allocated() {
    // 4 GB less one byte, in five bytes.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    let error = decompress(Codec::Snappy, &claim, usize::MAX).unwrap_err();
    assert!(error.to_string().contains("more bytes than it can hold"), "{error}");
    let framed = [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"[..], &7u32.to_be_bytes(), &claim].concat();
    assert!(decompress(Codec::Snappy, &framed, usize::MAX).is_err());
    let cut_block = [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"[..], &u32::MAX.to_be_bytes(), &claim].concat();
    assert!(decompress(Codec::Snappy, &cut_block, usize::MAX).is_err());
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let zeros = vec![0; 64 << 20];
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bomb = compressed(Compression::new(codec), &zeros);
        let refused = decompress(codec, &bomb, 10_000);
        assert_eq!(refused, Err(BatchError::DecompressedTooLarge { codec, limit: 10_000 }));
    }
}

#[test]
fn damaged_streams_are_errors() {
    let data = data();
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let stream = compressed(Compression::new(codec), &data);
        let error = decompress(codec, &stream[..stream.len() / 2], LIMIT).unwrap_err();
        assert!(error.to_string().contains(codec.name()), "{error}");
        let mut damaged = stream;
        damaged[0] ^= 0x40;
        assert!(decompress(codec, &damaged, LIMIT).is_err(), "{codec}");
    }
}

#[test]
fn a_stream_given_up_in_the_middle_leaves_nothing_behind_for_the_next() {
    let data = data();
    let stream = compressed(Compression::new(Codec::Zstd), &data);
    let mut damaged = stream.clone();
    damaged[20..].fill(0xff);
    for _ in 0..2 {
        assert!(decompress(Codec::Zstd, &stream, 100).is_err());
        assert!(decompress(Codec::Zstd, &damaged, LIMIT).is_err());
        assert!(decompress(Codec::Zstd, &stream[..stream.len() - 1], LIMIT).is_err());
        assert_eq!(decompress(Codec::Zstd, &stream, LIMIT).unwrap(), data);
    }
}

#[test]
fn a_zstd_frame_that_asks_for_the_largest_window_is_read() {
    // Kafka's client at its highest level writes such frames, and 128 MiB is what its own reader allows.
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(b"little").unwrap();
    let frame = encoder.finish().unwrap();
    assert_eq!(decompress(Codec::Zstd, &frame, 6).unwrap(), b"little");
}

#[test]
fn the_builder_takes_levels() {
    let value = data();
    let record = NewRecord { timestamp_ms: 1, key: None, value: Some(&value), headers: &[] };
    let size = |level| {
        let mut builder = BatchBuilder::new().compression(Compression::with_level(Codec::Zstd, level));
        builder.push(&record).unwrap();
        builder.build().unwrap().len()
    };
    assert!(size(19) < size(1));
}
