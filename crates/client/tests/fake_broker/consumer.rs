//! Claims about reading.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use ottla_client::{Client, ConsumedRecord, Consumer, ConsumerOptions, Error, Start};
use ottla_env::Env;
use ottla_records::{BatchBuilder, Codec, Compression, NewRecord};
use ottla_types::{ErrorCode, LeaderEpoch, Offset};
use ottla_wire::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use ottla_wire::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use ottla_wire::{Records, Request};

use super::fake::{Bound, FakeBroker, Reply, TOPIC, TOPIC_ID, alone, at, connect, metadata};

const SOON: Duration = Duration::from_secs(30);

/// A batch of the values, at these offsets.
fn batch_at(offsets: &[i64], codec: Codec) -> Bytes {
    let mut builder =
        BatchBuilder::new().at(Offset(offsets[0]), LeaderEpoch(5)).compression(Compression::new(codec));
    for &offset in offsets {
        let value = offset.to_string();
        let record = NewRecord {
            timestamp_ms: 1000 + offset,
            key: None,
            value: Some(value.as_bytes()),
            headers: &[("h", None)],
        };
        builder.push_at(Offset(offset), &record).unwrap();
    }
    builder.build().unwrap()
}

pub(super) fn batch(offsets: &[i64]) -> Bytes {
    batch_at(offsets, Codec::None)
}

pub(super) fn data(error: ErrorCode, records: Bytes) -> PartitionData {
    PartitionData {
        error_code: error.code(),
        high_watermark: 1000,
        records: Some(Records::from(records)),
        ..PartitionData::default()
    }
}

/// The answer to a request, from what `answer` says of each partition and offset.
pub(super) fn respond(
    request: &FetchRequest,
    mut answer: impl FnMut(i32, i64) -> PartitionData,
) -> FetchResponse {
    assert_eq!(request.replica_id, -1);
    let partitions =
        request.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| PartitionData {
            partition_index: partition.partition,
            ..answer(partition.partition, partition.fetch_offset)
        });
    FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic: TOPIC.into(),
            topic_id: TOPIC_ID.into(),
            partitions: partitions.collect(),
            ..FetchableTopicResponse::default()
        }],
        ..FetchResponse::default()
    }
}

pub(super) fn offset_response(
    request: &ListOffsetsRequest,
    mut find: impl FnMut(i64) -> i64,
) -> ListOffsetsResponse {
    let partitions = request.topics[0].partitions.iter().map(|partition| ListOffsetsPartitionResponse {
        partition_index: partition.partition_index,
        offset: find(partition.timestamp),
        ..ListOffsetsPartitionResponse::default()
    });
    ListOffsetsResponse {
        topics: vec![ListOffsetsTopicResponse {
            name: TOPIC.into(),
            partitions: partitions.collect(),
            ..ListOffsetsTopicResponse::default()
        }],
        ..ListOffsetsResponse::default()
    }
}

/// A broker with one partition that answers each fetch with what `answer` says of its offset; silent where that is `None`.
async fn serving(mut answer: impl FnMut(i64) -> Option<PartitionData> + Send + 'static) -> FakeBroker {
    alone(1, move |_, request| match request {
        Request::Fetch(request) => {
            let offset = request.topics[0].partitions[0].fetch_offset;
            match answer(offset) {
                Some(data) => respond(&request, |_, _| data.clone()).into(),
                None => Reply::Silence,
            }
        }
        Request::ListOffsets(request) => offset_response(&request, |time| match time {
            -2 => 10,
            -1 => 20,
            1500 => 15,
            _ => -1,
        })
        .into(),
        other => panic!("{other:?}"),
    })
    .await
}

async fn consumer_from(broker: &FakeBroker, start: Start) -> Consumer {
    let mut consumer = Consumer::new(connect(broker).await, ConsumerOptions::default());
    consumer.assign([(at(0), start)]).await.unwrap();
    consumer
}

pub(super) fn offsets(records: &[ConsumedRecord]) -> Vec<i64> {
    records.iter().map(|record| record.offset.0).collect()
}

#[tokio::test]
async fn reading_starts_in_the_middle_of_a_batch_and_goes_on_after_its_end() {
    let broker = serving(|offset| match offset {
        11 => Some(data(ErrorCode::None, batch(&[10, 11, 12]))),
        13 => Some(data(ErrorCode::None, batch(&[13]))),
        _ => None,
    })
    .await;
    let mut consumer = consumer_from(&broker, Start::Offset(Offset(11))).await;
    let records = consumer.poll(SOON).await.unwrap();
    assert_eq!(offsets(&records), [11, 12]);
    assert_eq!(records[0].value.as_deref(), Some(&b"11"[..]));
    assert_eq!((records[0].timestamp_ms, &records[0].key), (1011, &None));
    assert_eq!(records[0].headers, [(Bytes::from_static(b"h"), None)]);
    assert_eq!(offsets(&consumer.poll(SOON).await.unwrap()), [13]);
    assert_eq!(consumer.position(&at(0)), Some(Offset(14)));
    assert_eq!(consumer.high_watermark(&at(0)), Some(Offset(1000)));
}

#[tokio::test]
async fn every_codec_is_read() {
    for codec in Codec::ALL {
        let broker = serving(move |_| Some(data(ErrorCode::None, batch_at(&[10, 11], codec)))).await;
        let mut consumer = consumer_from(&broker, Start::Offset(Offset(10))).await;
        assert_eq!(offsets(&consumer.poll(SOON).await.unwrap()), [10, 11], "{codec}");
    }
}

#[tokio::test]
async fn gaps_that_compaction_left_are_stepped_over() {
    // The batch held offsets 10 to 19, of which compaction left 12; its header still tells of 19.
    let mut builder = BatchBuilder::new().at(Offset(10), LeaderEpoch(5));
    builder.push_at(Offset(12), &NewRecord { value: Some(b"12"), ..NewRecord::default() }).unwrap();
    let mut bytes = builder.build().unwrap().to_vec();
    bytes[23..27].copy_from_slice(&9_i32.to_be_bytes());
    let crc = ottla_records::crc::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let bytes = Bytes::from(bytes);
    let broker = serving(move |offset| match offset {
        10 => Some(data(ErrorCode::None, bytes.clone())),
        20 => Some(data(ErrorCode::None, batch(&[20]))),
        _ => None,
    })
    .await;
    let mut consumer = consumer_from(&broker, Start::Earliest).await;
    assert_eq!(offsets(&consumer.poll(SOON).await.unwrap()), [12]);
    assert_eq!(offsets(&consumer.poll(SOON).await.unwrap()), [20]);
}

#[tokio::test]
async fn control_records_are_not_shown_and_are_passed() {
    let mut builder = BatchBuilder::new().at(Offset(10), LeaderEpoch(5)).control(true);
    builder.push(&NewRecord { value: Some(b"marker"), ..NewRecord::default() }).unwrap();
    let bytes = [builder.build().unwrap(), batch(&[11])].concat();
    let broker = serving(move |_| Some(data(ErrorCode::None, bytes.clone().into()))).await;
    let mut consumer = consumer_from(&broker, Start::Earliest).await;
    assert_eq!(offsets(&consumer.poll(SOON).await.unwrap()), [11]);
}

#[tokio::test]
async fn an_answer_may_end_within_a_batch_that_is_not_its_first() {
    let whole = batch(&[10, 11]);
    let cut = [&whole[..], &batch(&[12, 13])[..70]].concat();
    let broker = serving(move |offset| match offset {
        10 => Some(data(ErrorCode::None, cut.clone().into())),
        _ => None,
    })
    .await;
    let mut consumer = consumer_from(&broker, Start::Earliest).await;
    assert_eq!(offsets(&consumer.poll(SOON).await.unwrap()), [10, 11]);
    assert_eq!(consumer.position(&at(0)), Some(Offset(12)));
}

#[tokio::test]
async fn damaged_batches_are_an_error_that_names_broker_partition_and_offset() {
    let good = batch(&[10, 11]);
    let mut flipped = good.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    for (bytes, named) in [
        (flipped, "corrupt"),
        (good[..70].to_vec(), "cut off"),
        (batch(&[5, 6]).to_vec(), "end before offset 10"),
    ] {
        let broker = serving(move |_| Some(data(ErrorCode::None, bytes.clone().into()))).await;
        let mut consumer = consumer_from(&broker, Start::Earliest).await;
        let text = consumer.poll(SOON).await.unwrap_err().to_string();
        assert!(text.contains(named), "{text}");
        assert!(text.contains("orders-0") && text.contains(&broker.address.to_string()), "{text}");
    }
}

#[tokio::test]
async fn an_offset_out_of_range_is_told_with_the_range() {
    let broker = serving(|_| Some(data(ErrorCode::OffsetOutOfRange, Bytes::new()))).await;
    let mut consumer = consumer_from(&broker, Start::Offset(Offset(99))).await;
    let error = consumer.poll(SOON).await.unwrap_err();
    assert!(matches!(error, Error::OffsetOutOfRange { .. }));
    assert_eq!(error.to_string(), "orders-0 has no offset 99: its log starts at 10 and ends at 20");
}

#[tokio::test]
async fn starts_are_resolved_by_the_broker_and_a_time_after_the_last_record_is_the_end() {
    let broker = serving(|_| None).await;
    for (start, expected) in [
        (Start::Earliest, 10),
        (Start::Latest, 20),
        (Start::Timestamp(1500), 15),
        (Start::Timestamp(9999), 20),
        (Start::Offset(Offset(12)), 12),
    ] {
        let consumer = consumer_from(&broker, start).await;
        assert_eq!(consumer.position(&at(0)), Some(Offset(expected)), "{start:?}");
    }
}

#[tokio::test]
async fn without_records_a_poll_ends_in_time() {
    let broker = serving(|_| None).await;
    let mut consumer = consumer_from(&broker, Start::Latest).await;
    assert!(consumer.poll(Duration::from_millis(20)).await.unwrap().is_empty());
}

#[tokio::test]
async fn partitions_are_read_from_their_leaders_and_followed_when_leadership_moves() {
    let (first, second) = (Bound::new().await, Bound::new().await);
    let brokers = BTreeMap::from([(1, first.address.clone()), (2, second.address.clone())]);
    let told = brokers.clone();
    let mut leaders = [1, 2];
    let first = first.run(move |_, request| match request {
        Request::Metadata(_) => metadata(&told, &leaders).into(),
        Request::Fetch(request) => {
            leaders = [2, 2];
            respond(&request, |_, _| data(ErrorCode::NotLeaderOrFollower, Bytes::new())).into()
        }
        other => panic!("{other:?}"),
    });
    let told = brokers.clone();
    let second = second.run(move |_, request| match request {
        Request::Metadata(_) => metadata(&told, &[2, 2]).into(),
        Request::Fetch(request) => respond(&request, |_, offset| match offset {
            0 => data(ErrorCode::None, batch(&[0, 1])),
            _ => data(ErrorCode::None, Bytes::new()),
        })
        .into(),
        other => panic!("{other:?}"),
    });
    let mut consumer = Consumer::new(connect(&first).await, ConsumerOptions::default());
    let starts = [0, 1].map(|partition| (at(partition), Start::Offset(Offset(0))));
    consumer.assign(starts).await.unwrap();
    let mut seen: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    while seen.len() < 2 {
        for record in consumer.poll(SOON).await.unwrap() {
            seen.entry(record.partition.partition).or_default().push(record.offset.0);
        }
    }
    assert_eq!(seen, BTreeMap::from([(0, vec![0, 1]), (1, vec![0, 1])]));
    drop(second);
}

#[tokio::test]
async fn a_partition_that_stays_without_leader_is_told_when_its_time_is_over() {
    let bound = Bound::new().await;
    let brokers = BTreeMap::from([(1, bound.address.clone())]);
    let broker = bound.run(move |_, _| metadata(&brokers, &[-1]).into());
    let mut options = super::fake::options(vec![broker.address.clone()]);
    options.api_timeout = Duration::from_millis(20);
    let client = Client::connect(Env::real(), options).await.unwrap();
    let mut consumer = Consumer::new(client, ConsumerOptions::default());
    consumer.assign([(at(0), Start::Offset(Offset(0)))]).await.unwrap();
    let error = consumer.poll(SOON).await.unwrap_err().to_string();
    assert!(error.contains("reading orders-0") && error.contains("has no leader now"), "{error}");
}
