//! What Produce asks of a batch, and what a topic's configuration makes of it (KIP-467).

use bytes::Bytes;

use ottla_records::{BatchBuilder, Codec, Compression, NewRecord, TimestampType};
use ottla_types::ErrorCode;
use ottla_wire::produce::PartitionProduceResponse;

use crate::common::records::{batch, compressed, headers, sized, text, values};
use crate::common::{Client, TestBroker, Topic, error};

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// Produces a batch that is refused. Returns the answer.
async fn refused(client: &mut Client, version: i16, topic: &Topic, batch: Bytes) -> PartitionProduceResponse {
    let answer = client.produce_to(version, 1, topic, 0, batch).await;
    assert_ne!(answer.error_code, 0, "it is written");
    assert_eq!((answer.base_offset, answer.log_append_time_ms), (-1, -1));
    answer
}

/// The positions of the records that are named as those at fault.
fn named(answer: &PartitionProduceResponse) -> Vec<i32> {
    for record in &answer.record_errors {
        assert!(record.batch_index_error_message.as_ref().is_some_and(|message| !message.is_empty()));
    }
    answer.record_errors.iter().map(|record| record.batch_index).collect()
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_millis().try_into().unwrap()
}

fn with_byte(batch: &Bytes, at: usize, change: impl Fn(u8) -> u8) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[at] = change(bytes[at]);
    bytes.into()
}

#[tokio::test]
async fn a_field_holds_exactly_one_batch() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let one = text(&["a"]);
    let two = Bytes::from([&one[..], &one[..]].concat());
    let half = one.slice(..one.len() - 1);
    let with_rest = Bytes::from([&one[..], b"x"].concat());
    for version in [3, 8, 13] {
        for wrong in [two.clone(), half.clone(), with_rest.clone(), one.slice(..20), one.slice(..5)] {
            let answer = refused(&mut client, version, &topic, wrong).await;
            assert_eq!(error(answer.error_code), ErrorCode::InvalidRecord, "version {version}");
            assert_eq!(answer.error_message.is_some(), version >= 8);
        }
    }
    assert_eq!(client.produce("t", 0, &[1]).await, 0);
}

#[tokio::test]
async fn only_magic_2_is_taken() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for (magic, expected) in [
        (0, ErrorCode::InvalidRecord),
        (1, ErrorCode::InvalidRecord),
        (3, ErrorCode::CorruptMessage),
        (0xff, ErrorCode::CorruptMessage),
    ] {
        for version in [3, 13] {
            let answer = refused(&mut client, version, &topic, with_byte(&text(&["a"]), 16, |_| magic)).await;
            assert_eq!(error(answer.error_code), expected, "magic {magic}");
        }
    }
}

#[tokio::test]
async fn a_batch_that_does_not_fit_its_checksum_is_corrupt() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let good = text(&["a"]);
    // From the attributes on, every byte counts.
    for at in 21..good.len() {
        let answer = refused(&mut client, 13, &topic, with_byte(&good, at, |byte| byte ^ 1)).await;
        assert_eq!(error(answer.error_code), ErrorCode::CorruptMessage, "byte {at}");
    }
    assert_eq!(client.produce("t", 0, &[1]).await, 0);
}

#[tokio::test]
async fn what_is_sent_as_leader_epoch_does_not_matter_and_the_base_offset_is_zero() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let epoch = with_byte(&text(&["a"]), 15, |_| 9);
    assert_eq!(client.produce_to(13, 1, &topic, 0, epoch).await.error_code, 0);
    let answer = refused(&mut client, 13, &topic, with_byte(&text(&["a"]), 7, |_| 9)).await;
    assert_eq!(error(answer.error_code), ErrorCode::InvalidRecord);
    let stored = client.fetch_from(13, &topic, 0).await;
    assert_eq!(headers(&stored.records.unwrap())[0].leader_epoch.0, 0);
}

#[tokio::test]
async fn clients_write_no_control_records() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let control = batch(BatchBuilder::new().control(true), &[1]);
    assert_eq!(error(refused(&mut client, 13, &topic, control).await.error_code), ErrorCode::InvalidRecord);
}

#[tokio::test]
async fn a_batch_over_the_limit_is_too_large_and_one_at_the_limit_is_not() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[("max.message.bytes", "5000")]).await;
    for version in [3, 13] {
        let answer = refused(&mut client, version, &topic, sized(5001)).await;
        assert_eq!(error(answer.error_code), ErrorCode::MessageTooLarge);
        assert_eq!(client.produce_to(version, 1, &topic, 0, sized(5000)).await.error_code, 0);
    }
    // What counts is the size as it comes, compressed or not.
    let zeros = "0".repeat(100_000);
    let small = compressed(Compression::new(Codec::Gzip), &[&zeros]);
    assert_eq!(client.produce_to(13, 1, &topic, 0, small).await.error_code, 0);
}

#[tokio::test]
async fn a_batch_that_fits_no_segment_is_refused() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic =
        client.create_topic("t", 1, &[("segment.bytes", "2000000"), ("max.message.bytes", "4000000")]).await;
    let answer = refused(&mut client, 13, &topic, sized(2_000_001)).await;
    assert_eq!(error(answer.error_code), ErrorCode::RecordListTooLarge);
    assert_eq!(client.produce_to(13, 1, &topic, 0, sized(2_000_000)).await.error_code, 0);
}

#[tokio::test]
async fn every_codec_is_taken_and_zstd_from_version_7() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for version in 3..=13 {
        for codec in CODECS {
            let batch = compressed(Compression::new(codec), &["a", "b"]);
            let answer = client.produce_to(version, 1, &topic, 0, batch).await;
            let expected = match codec {
                Codec::Zstd if version < 7 => ErrorCode::UnsupportedCompressionType,
                _ => ErrorCode::None,
            };
            assert_eq!(error(answer.error_code), expected, "{codec:?} in version {version}");
        }
    }
}

#[tokio::test]
async fn a_codec_that_kafka_does_not_have_is_not_supported() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let mut bytes = text(&["a"]).to_vec();
    bytes[22] = 5;
    let crc = ottla_records::crc::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let answer = refused(&mut client, 13, &topic, bytes.into()).await;
    assert_eq!(error(answer.error_code), ErrorCode::UnsupportedCompressionType);
}

#[tokio::test]
async fn compressed_bytes_that_do_not_decompress_are_refused() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut bytes = compressed(Compression::new(codec), &["a", "b"]).to_vec();
        bytes[61..].fill(0xa5);
        let crc = ottla_records::crc::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let answer = refused(&mut client, 13, &topic, bytes.into()).await;
        assert_eq!(error(answer.error_code), ErrorCode::InvalidRecord, "{codec:?}");
    }
}

#[tokio::test]
async fn records_whose_time_is_too_far_off_are_named() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let configs = [("message.timestamp.before.max.ms", "60000"), ("message.timestamp.after.max.ms", "60000")];
    let topic = client.create_topic("t", 1, &configs).await;
    let now = now_ms();
    let (past, future) = (now - 1_000_000, now + 1_000_000);
    for codec in CODECS {
        let builder = BatchBuilder::new().compression(Compression::new(codec));
        let wrong = batch(builder, &[now, past, now, future]);
        for version in [7, 8, 13] {
            let answer = refused(&mut client, version, &topic, wrong.clone()).await;
            assert_eq!(error(answer.error_code), ErrorCode::InvalidTimestamp);
            assert_eq!(named(&answer), if version >= 8 { vec![1, 3] } else { vec![] }, "version {version}");
        }
    }
    assert_eq!(client.produce("t", 0, &[now, -1]).await, 0, "a record without a timestamp is of no time");
}

#[tokio::test]
async fn records_without_key_are_named_where_the_topic_is_compacted() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[("cleanup.policy", "compact")]).await;
    for codec in CODECS {
        let mut builder = BatchBuilder::new().compression(Compression::new(codec));
        for key in [None, Some(&b"k"[..]), None, Some(&b""[..])] {
            builder.push(&NewRecord { timestamp_ms: 1, key, value: None, headers: &[] }).unwrap();
        }
        let wrong = builder.build().unwrap();
        for version in [7, 8, 13] {
            let answer = refused(&mut client, version, &topic, wrong.clone()).await;
            assert_eq!(error(answer.error_code), ErrorCode::InvalidRecord);
            assert_eq!(named(&answer), if version >= 8 { vec![0, 2] } else { vec![] }, "version {version}");
        }
    }
    assert_eq!(client.produce("t", 0, &[1]).await, 0);
}

#[tokio::test]
async fn a_topic_with_append_time_gives_each_batch_the_brokers_time_and_tells_it() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    for (nth, codec) in (0..).zip(CODECS) {
        let before = now_ms();
        let builder = BatchBuilder::new().compression(Compression::new(codec));
        let answer = client.produce_to(13, 1, &topic, 0, batch(builder, &[1, i64::MAX / 2, 3])).await;
        assert_eq!(error(answer.error_code), ErrorCode::None, "{:?}", answer.error_message);
        let time = answer.log_append_time_ms;
        assert!(before <= time && time <= now_ms(), "{time} is not between {before} and now");
        let stored = client.fetch_from(13, &topic, 3 * nth).await;
        let header = headers(&stored.records.unwrap())[0];
        assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!((header.max_timestamp_ms, header.attributes.codec()), (time, Ok(codec)));
    }
    let answer = client.produce_to(3, -1, &topic, 0, text(&["a"])).await;
    assert!(answer.log_append_time_ms > 0, "every version tells it");
}

#[tokio::test]
async fn only_brokers_give_append_time() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let claimed = batch(BatchBuilder::new().log_append_time(5), &[5]);
    let answer = refused(&mut client, 13, &topic, claimed).await;
    assert_eq!(error(answer.error_code), ErrorCode::InvalidTimestamp);
}

#[tokio::test]
async fn a_topic_that_has_a_compression_type_stores_that_and_the_same_records() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let stored_as = [
        ("uncompressed", Codec::None),
        ("gzip", Codec::Gzip),
        ("snappy", Codec::Snappy),
        ("lz4", Codec::Lz4),
        ("zstd", Codec::Zstd),
    ];
    for (name, target) in stored_as {
        let topic = client.create_topic(name, 1, &[("compression.type", name)]).await;
        for (nth, codec) in (0..).zip(CODECS) {
            let batch = compressed(Compression::new(codec), &["first", "second"]);
            let answer = client.produce_to(13, 1, &topic, 0, batch).await;
            assert_eq!((error(answer.error_code), answer.base_offset), (ErrorCode::None, 2 * nth));
            let records = client.fetch_from(13, &topic, 2 * nth).await.records.unwrap();
            assert_eq!(headers(&records)[0].attributes.codec(), Ok(target), "{codec:?} to {name}");
            let expected = [(2 * nth, "first".to_owned()), (2 * nth + 1, "second".to_owned())];
            assert_eq!(values(&records), expected);
        }
    }
}

#[tokio::test]
async fn a_batch_that_grows_over_the_limit_when_it_is_decompressed_for_storage_is_too_large() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let configs = [("compression.type", "uncompressed"), ("max.message.bytes", "5000")];
    let topic = client.create_topic("t", 1, &configs).await;
    let small = compressed(Compression::new(Codec::Gzip), &[&"0".repeat(6000)]);
    let answer = refused(&mut client, 13, &topic, small).await;
    assert_eq!(error(answer.error_code), ErrorCode::MessageTooLarge);
}
