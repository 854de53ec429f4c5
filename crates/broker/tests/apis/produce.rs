//! Produce, in all its versions: acknowledgements, topics and partitions, order. What a batch must be is in
//! `produce_batches`, what idempotent producers are answered in `produce_idempotence`.

use bytes::{BufMut as _, BytesMut};

use ottla_records::BatchBuilder;
use ottla_types::{ErrorCode, ProducerEpoch, ProducerId};
use ottla_wire::api_versions::ApiVersionsRequest;
use ottla_wire::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use ottla_wire::{Str, Uuid};

use crate::common::records::{batch, text, values};
use crate::common::requests::from_offset;
use crate::common::requests::{Topic, fetch_request, produce_request};
use crate::common::{Client, TestBroker, error, framed};

const VERSIONS: std::ops::RangeInclusive<i16> = 3..=13;

/// What is told of the partitions: index, error, base offset.
fn told(response: &ProduceResponse) -> Vec<(i32, ErrorCode, i64)> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    partitions
        .map(|partition| (partition.index, error(partition.error_code), partition.base_offset))
        .collect()
}

/// The values of all records of a partition, by offset.
async fn stored(client: &mut Client, topic: &Topic, partition: i32) -> Vec<(i64, String)> {
    let request = fetch_request(vec![topic.fetch(vec![from_offset(partition, 0)])]);
    let mut response = client.call(12, request).await;
    values(&response.responses.remove(0).partitions.remove(0).records.unwrap())
}

#[tokio::test]
async fn every_version_appends_and_tells_where() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 2, &[]).await;
    let mut offset = 0;
    for version in VERSIONS {
        for acks in [1, -1] {
            let request = produce_request(acks, vec![topic.records(1, text(&["a", "b"]))]);
            let response = client.call(version, request).await;
            assert_eq!(response.throttle_time_ms, 0);
            let [answered] = &response.responses[..] else { panic!("{response:?}") };
            let named = if version >= 13 { (Str::default(), topic.id) } else { ("t".into(), Uuid::ZERO) };
            assert_eq!((answered.name.clone(), answered.topic_id), named, "version {version}");
            let [partition] = &answered.partition_responses[..] else { panic!("{response:?}") };
            let told = (partition.index, error(partition.error_code), partition.base_offset);
            assert_eq!(told, (1, ErrorCode::None, offset), "version {version}");
            assert_eq!(partition.log_append_time_ms, -1, "records keep their own timestamps");
            assert_eq!(partition.log_start_offset, if version >= 5 { 0 } else { -1 });
            assert_eq!((partition.record_errors.len(), &partition.error_message), (0, &None));
            assert_eq!(partition.current_leader.leader_id, -1, "only told to those who asked another broker");
            offset += 2;
        }
    }
}

#[tokio::test]
async fn without_acknowledgement_records_are_written_and_nothing_is_sent() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let mut expected = Vec::new();
    for version in VERSIONS {
        let value = format!("version {version}");
        let request = produce_request(0, vec![topic.records(0, text(&[&value]))]);
        client.send_silent(version, request).await;
        expected.push((i64::from(version) - 3, value));
    }
    // The next answer is that of the next request.
    client.call(0, ApiVersionsRequest::default()).await;
    assert_eq!(stored(&mut client, &topic, 0).await, expected);
}

#[tokio::test]
async fn without_acknowledgement_an_error_closes_the_connection_after_the_answers_before_it() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for version in [3, 12, 13] {
        let mut client = broker.connect().await;
        client.send(version, produce_request(1, vec![topic.records(0, text(&["kept"]))])).await;
        let unknown = Topic { name: "u".into(), id: Uuid([7; 16]) };
        client.send_silent(version, produce_request(0, vec![unknown.records(0, text(&["lost"]))])).await;
        client.send_silent(0, ApiVersionsRequest::default()).await;
        let response = client.receive::<ProduceRequest>(version).await;
        assert_eq!(told(&response)[0].1, ErrorCode::None);
        client.expect_closed().await;
    }
    assert_eq!(stored(&mut client, &topic, 0).await.len(), 3);
}

#[tokio::test]
async fn other_numbers_of_acknowledgements_are_refused_for_every_partition() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 2, &[]).await;
    for acks in [2, -2, i16::MAX, i16::MIN] {
        for version in [3, 8, 13] {
            let data = topic.all_records(vec![(0, text(&["a"])), (1, text(&["b"]))]);
            let response = client.call(version, produce_request(acks, vec![data])).await;
            let refused = |index| (index, ErrorCode::InvalidRequiredAcks, -1);
            assert_eq!(told(&response), [refused(0), refused(1)], "acks {acks} in version {version}");
        }
    }
    assert_eq!(stored(&mut client, &topic, 0).await, []);
}

#[tokio::test]
async fn topics_and_partitions_that_do_not_exist_are_unknown() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let unknown = Topic { name: "u".into(), id: Uuid([7; 16]) };
    let nameless = Topic { name: "".into(), id: Uuid::ZERO };
    let by_name = ErrorCode::UnknownTopicOrPartition;
    let by_id = ErrorCode::UnknownTopicId;
    for version in VERSIONS {
        let unknown_topic = if version >= 13 { by_id } else { by_name };
        for (topic, index, expected) in [
            (&unknown, 0, unknown_topic),
            (&nameless, 0, unknown_topic),
            (&topic, 1, by_name),
            (&topic, -1, by_name),
        ] {
            let answer = client.produce_to(version, -1, topic, index, text(&["a"])).await;
            let told = (answer.index, error(answer.error_code), answer.base_offset);
            assert_eq!(told, (index, expected, -1), "{topic:?} in version {version}");
        }
    }
}

#[tokio::test]
async fn a_topic_is_not_made_by_writing_to_it() {
    let broker = TestBroker::start_with("auto.create.topics.enable=true\n").await;
    let mut client = broker.connect().await;
    let answer = client.produce_to(12, -1, &Topic::named("t"), 0, text(&["a"])).await;
    assert_eq!(error(answer.error_code), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(client.find_topic("t").await, None);
}

#[tokio::test]
async fn a_partition_that_is_refused_keeps_no_other_from_being_written() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 3, &[]).await;
    let other = client.create_topic("u", 1, &[]).await;
    for (nth, version) in [3, 7, 8, 12, 13].into_iter().enumerate() {
        let mut damaged = text(&["b"]).to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        let data = topic.all_records(vec![
            (2, text(&["a"])),
            (0, damaged.into()),
            (9, text(&["nowhere"])),
            (1, text(&["c"])),
        ]);
        let response =
            client.call(version, produce_request(1, vec![data, other.records(0, text(&["d"]))])).await;
        let offset = i64::try_from(nth).unwrap();
        let expected = [
            (2, ErrorCode::None, offset),
            (0, ErrorCode::CorruptMessage, -1),
            (9, ErrorCode::UnknownTopicOrPartition, -1),
            (1, ErrorCode::None, offset),
            (0, ErrorCode::None, offset),
        ];
        assert_eq!(told(&response), expected, "in the order of the request");
        assert_eq!(response.responses.len(), 2);
    }
    assert_eq!(stored(&mut client, &topic, 0).await, []);
}

#[tokio::test]
async fn a_partition_that_comes_twice_is_written_twice() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let data = topic.all_records(vec![(0, text(&["a"])), (0, text(&["b"]))]);
    let response = client.call(13, produce_request(1, vec![data, topic.records(0, text(&["c"]))])).await;
    let written = |offset| (0, ErrorCode::None, offset);
    assert_eq!(told(&response), [written(0), written(1), written(2)]);
}

#[tokio::test]
async fn a_request_without_topics_is_answered_without_topics() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in VERSIONS {
        assert_eq!(told(&client.call(version, produce_request(-1, Vec::new())).await), []);
    }
}

#[tokio::test]
async fn requests_that_are_sent_without_waiting_are_written_and_answered_in_their_order() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[("flush.messages", "3")]).await;
    let versions = VERSIONS.cycle().take(60);
    for (nth, version) in versions.clone().enumerate() {
        // Some of the answers wait for a flush, some do not.
        let acks = if nth % 2 == 0 { -1 } else { 1 };
        let request = produce_request(acks, vec![topic.records(0, text(&[&nth.to_string()]))]);
        client.send(version, request).await;
    }
    for (nth, version) in (0..).zip(versions) {
        let response = client.receive::<ProduceRequest>(version).await;
        assert_eq!(told(&response), [(0, ErrorCode::None, nth)]);
    }
    let expected: Vec<_> = (0..60).map(|nth| (nth, nth.to_string())).collect();
    assert_eq!(stored(&mut client, &topic, 0).await, expected);
}

#[tokio::test]
async fn a_topic_cannot_ask_for_more_replicas_in_sync_than_it_has() {
    let broker = TestBroker::start_with("min.insync.replicas=3\n").await;
    let mut client = broker.connect().await;
    let by_topic = client.create_topic("t", 1, &[("min.insync.replicas", "2")]).await;
    let by_broker = client.create_topic("u", 1, &[]).await;
    for topic in [by_topic, by_broker] {
        for version in [3, 8, 13] {
            for acks in [-1, 1] {
                let written = client.produce_to(version, acks, &topic, 0, text(&["a"])).await;
                assert_eq!(error(written.error_code), ErrorCode::None, "acks {acks}");
            }
        }
    }
}

#[tokio::test]
async fn internal_topics_are_written_by_admin_tools_only() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("__consumer_offsets", 1, &[]).await;
    for version in [3, 13] {
        let refused = client.produce_to(version, 1, &topic, 0, text(&["a"])).await;
        assert_eq!(error(refused.error_code), ErrorCode::InvalidTopicException);
    }
    client.client_id = "__admin_client";
    let written = client.produce_to(13, 1, &topic, 0, text(&["a"])).await;
    assert_eq!((error(written.error_code), written.base_offset), (ErrorCode::None, 0));
}

#[tokio::test]
async fn transactions_are_refused_and_nothing_of_them_is_written() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let producer = |builder: BatchBuilder| builder.producer(ProducerId(7), ProducerEpoch(0), 0);
    for version in VERSIONS {
        let request = ProduceRequest {
            transactional_id: Some("transfers".into()),
            ..produce_request(-1, vec![topic.records(0, batch(producer(BatchBuilder::new()), &[1]))])
        };
        let named = client.call(version, request).await;
        let transactional = batch(producer(BatchBuilder::new()).transactional(true), &[1]);
        let flagged = client.call(version, produce_request(-1, vec![topic.records(0, transactional)])).await;
        for response in [named, flagged] {
            assert_eq!(told(&response), [(0, ErrorCode::InvalidTxnState, -1)], "version {version}");
        }
    }
    assert_eq!(client.produce("t", 0, &[1]).await, 0);
}

#[tokio::test]
async fn a_batch_that_is_to_be_flushed_is_answered_once_it_is_and_outlives_the_broker() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 2, &[("flush.messages", "1")]).await;
    for (nth, version) in VERSIONS.enumerate() {
        let data = topic.all_records(vec![(0, text(&["a"])), (5, text(&["nowhere"])), (1, text(&["b"]))]);
        let response = client.call(version, produce_request(-1, vec![data])).await;
        let offset = i64::try_from(nth).unwrap();
        let unknown = (5, ErrorCode::UnknownTopicOrPartition, -1);
        assert_eq!(told(&response), [(0, ErrorCode::None, offset), unknown, (1, ErrorCode::None, offset)]);
    }
    client.send_silent(13, produce_request(0, vec![topic.records(0, text(&["unheard"]))])).await;
    client.call(0, ApiVersionsRequest::default()).await;
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    assert_eq!(stored(&mut client, &topic, 0).await.len(), 12);
    assert_eq!(stored(&mut client, &topic, 1).await.len(), 11);
}

#[tokio::test]
async fn a_partition_without_records_in_its_field_is_refused() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for version in VERSIONS {
        for records in [None, Some(bytes::Bytes::new().into())] {
            let data = PartitionProduceData { records, ..PartitionProduceData::default() };
            let data = TopicProduceData { partition_data: vec![data], ..topic.records(0, text(&["a"])) };
            let response = client.call(version, produce_request(1, vec![data])).await;
            assert_eq!(told(&response), [(0, ErrorCode::InvalidRecord, -1)]);
        }
    }
}

/// A request of one of the versions that only librdkafka's probing needs.
fn old_request(version: i16, acks: i16) -> bytes::Bytes {
    let mut body = BytesMut::new();
    body.put_i16(0);
    body.put_i16(version);
    body.put_i32(77);
    body.put_i16(4);
    body.put_slice(b"test");
    body.put_i16(acks);
    body.put_i32(1000);
    body.put_i32(1);
    body.put_i16(1);
    body.put_slice(b"t");
    body.put_i32(1);
    body.put_i32(3);
    body.put_i32(5);
    body.put_slice(b"bytes");
    framed(&body)
}

#[tokio::test]
async fn versions_below_3_are_told_that_they_are_not_supported() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 4, &[]).await;
    for version in 0..=2 {
        let mut client = broker.connect().await;
        client.send_bytes(&old_request(version, 1)).await;
        let mut expected = BytesMut::new();
        expected.put_i32(77);
        expected.put_i32(1);
        expected.put_i16(1);
        expected.put_slice(b"t");
        expected.put_i32(1);
        expected.put_i32(3);
        expected.put_i16(ErrorCode::UnsupportedVersion.code());
        expected.put_i64(-1);
        if version >= 2 {
            expected.put_i64(-1);
        }
        if version >= 1 {
            expected.put_i32(0);
        }
        assert_eq!(client.read_frame().await, expected.freeze(), "version {version}");
        client.call(0, ApiVersionsRequest::default()).await;
        client.send_bytes(&old_request(version, 0)).await;
        client.expect_closed().await;
    }
}
