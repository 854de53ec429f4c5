//! Claims about writing.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use ottla_client::producer::partition_for_key;
use ottla_client::{Acks, Client, Delivery, DeliveryError, Producer, ProducerOptions, ProducerRecord};
use ottla_env::Env;
use ottla_records::{Batch, BatchHeader, Codec, Compression, Records};
use ottla_types::{ErrorCode, Offset, ProducerEpoch, ProducerId};
use ottla_wire::init_producer_id::InitProducerIdResponse;
use ottla_wire::produce::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceResponse,
};
use ottla_wire::{ApiKey, Request};

use super::fake::{
    Bound, FakeBroker, Reply, TOPIC, TOPIC_ID, alone, connect, every_version, metadata, options, topic,
    versions,
};

fn quick() -> ProducerOptions {
    ProducerOptions { linger: Duration::ZERO, ..ProducerOptions::default() }
}

fn idempotent() -> ProducerOptions {
    ProducerOptions { is_idempotent: true, ..quick() }
}

/// Long enough that only a full batch or a flush sends anything.
fn lingering() -> ProducerOptions {
    ProducerOptions { linger: Duration::from_secs(600), ..ProducerOptions::default() }
}

fn record(value: &str) -> ProducerRecord {
    ProducerRecord { partition: Some(0), ..ProducerRecord::new(topic(), value.to_owned()) }
}

/// Partition, header and decompressed records of every batch in a request.
fn batches(request: &ProduceRequest) -> Vec<(i32, BatchHeader, Vec<String>)> {
    let mut found = Vec::new();
    for data in request.topic_data.iter().flat_map(|topic| &topic.partition_data) {
        let bytes = data.records.clone().unwrap().into_bytes();
        let (batch, rest) = Batch::parse(&bytes).unwrap();
        assert!(rest.is_empty());
        batch.verify().unwrap();
        let body = batch.decompress(1 << 20).unwrap();
        let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
        let records = Records::new(batch.header(), &body).map(|record| text(record.unwrap().value));
        found.push((data.index, *batch.header(), records.collect()));
    }
    found
}

/// The answer to a request: for every batch in it what `answer` says.
fn respond(
    request: &ProduceRequest,
    mut answer: impl FnMut(i32, &BatchHeader) -> PartitionProduceResponse,
) -> ProduceResponse {
    let partition_responses = batches(request)
        .into_iter()
        .map(|(index, header, _)| PartitionProduceResponse { index, ..answer(index, &header) })
        .collect();
    ProduceResponse {
        responses: vec![TopicProduceResponse {
            name: TOPIC.into(),
            topic_id: TOPIC_ID.into(),
            partition_responses,
            ..TopicProduceResponse::default()
        }],
        ..ProduceResponse::default()
    }
}

fn failed(code: ErrorCode) -> PartitionProduceResponse {
    PartitionProduceResponse {
        error_code: code.code(),
        base_offset: -1,
        ..PartitionProduceResponse::default()
    }
}

fn written(base_offset: i64) -> PartitionProduceResponse {
    PartitionProduceResponse { base_offset, ..PartitionProduceResponse::default() }
}

/// A broker that appends each batch behind those before it, once `refuse` has nothing more to say about it.
async fn appending(
    partitions: usize,
    mut refuse: impl FnMut(usize) -> Option<Reply> + Send + 'static,
) -> FakeBroker {
    let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
    let (mut requests, mut producer_ids) = (0, 1000);
    alone(partitions, move |_, request| match request {
        Request::Produce(request) => {
            requests += 1;
            refuse(requests).unwrap_or_else(|| {
                respond(&request, |index, header| {
                    let end = ends.entry(index).or_default();
                    *end += i64::from(header.records_count);
                    written(*end - i64::from(header.records_count))
                })
                .into()
            })
        }
        Request::InitProducerId(_) => {
            producer_ids += 1;
            InitProducerIdResponse { producer_id: producer_ids, ..InitProducerIdResponse::default() }.into()
        }
        other => panic!("{other:?}"),
    })
    .await
}

/// The batches that a broker was sent, in order.
fn sent(broker: &FakeBroker) -> Vec<(i32, BatchHeader, Vec<String>)> {
    broker
        .seen()
        .iter()
        .filter_map(|(_, request)| match request {
            Request::Produce(request) => Some(batches(request)),
            _ => None,
        })
        .flatten()
        .collect()
}

async fn until_requests(broker: &FakeBroker, count: usize) {
    while broker.count(ApiKey::Produce) < count {
        tokio::task::yield_now().await;
    }
}

async fn offset(delivery: Delivery) -> i64 {
    delivery.wait().await.unwrap().offset.unwrap().0
}

#[tokio::test]
async fn records_that_come_together_share_a_batch_and_each_learns_its_offset() {
    let broker = appending(1, |_| None).await;
    let producer = Producer::new(connect(&broker).await, lingering());
    let mut deliveries = Vec::new();
    for value in ["a", "b", "c"] {
        deliveries.push(producer.send(record(value)).await.unwrap());
    }
    producer.flush().await;
    for (index, delivery) in deliveries.into_iter().enumerate() {
        assert_eq!(offset(delivery).await, index as i64);
    }
    let batches = sent(&broker);
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].2, ["a", "b", "c"]);
    let Request::Produce(request) = &broker.seen().last().unwrap().1.clone() else { panic!() };
    assert_eq!((request.acks, request.transactional_id.as_ref()), (-1, None));
}

#[tokio::test]
async fn a_full_batch_does_not_linger() {
    let broker = appending(1, |_| None).await;
    let options = ProducerOptions { batch_size: 1000, ..lingering() };
    let producer = Producer::new(connect(&broker).await, options);
    let first = producer.send(record(&"a".repeat(900))).await.unwrap();
    let _second = producer.send(record(&"b".repeat(900))).await.unwrap();
    assert_eq!(offset(first).await, 0);
}

#[tokio::test]
async fn keys_decide_the_partition_and_records_without_key_stay_together() {
    let broker = appending(5, |_| None).await;
    let producer = Producer::new(connect(&broker).await, lingering());
    let mut expected = Vec::new();
    let mut deliveries = Vec::new();
    for key in ["alice", "bob", "carol"] {
        let key = Bytes::from_static(key.as_bytes());
        expected.push(partition_for_key(&key, 5));
        let record = ProducerRecord { key: Some(key), ..ProducerRecord::new(topic(), "x") };
        deliveries.push(producer.send(record).await.unwrap());
    }
    let mut keyless = Vec::new();
    for _ in 0..10 {
        keyless.push(producer.send(ProducerRecord::new(topic(), "y")).await.unwrap());
    }
    producer.flush().await;
    for (delivery, expected) in deliveries.into_iter().zip(expected) {
        assert_eq!(delivery.wait().await.unwrap().partition.partition, expected);
    }
    let mut partitions = Vec::new();
    for delivery in keyless {
        partitions.push(delivery.wait().await.unwrap().partition.partition);
    }
    partitions.dedup();
    assert_eq!(partitions.len(), 1, "{partitions:?}");
}

#[tokio::test]
async fn every_codec_compresses() {
    for codec in Codec::ALL {
        let broker = appending(1, |_| None).await;
        let options = ProducerOptions { compression: Compression::new(codec), ..quick() };
        let producer = Producer::new(connect(&broker).await, options);
        let value = "abc".repeat(1000);
        producer.send(record(&value)).await.unwrap().wait().await.unwrap();
        let batches = sent(&broker);
        assert_eq!(batches[0].1.attributes.codec(), Ok(codec));
        assert_eq!(batches[0].2, [value]);
    }
}

#[tokio::test]
async fn leaders_that_moved_are_found_and_order_is_kept() {
    let (first, second) = (Bound::new().await, Bound::new().await);
    let brokers = BTreeMap::from([(1, first.address.clone()), (2, second.address.clone())]);
    let told = brokers.clone();
    let mut leader = 1;
    let first = first.run(move |_, request| match request {
        Request::Produce(request) => {
            leader = 2;
            respond(&request, |_, _| failed(ErrorCode::NotLeaderOrFollower)).into()
        }
        _ => metadata(&told, &[leader]).into(),
    });
    let told = brokers.clone();
    let second = second.run(move |_, request| match request {
        Request::Produce(request) => respond(&request, |_, _| written(70)).into(),
        _ => metadata(&told, &[2]).into(),
    });
    let producer = Producer::new(connect(&first).await, quick());
    let one = producer.send(record("one")).await.unwrap();
    assert_eq!(offset(one).await, 70);
    let two = producer.send(record("two")).await.unwrap();
    assert_eq!(offset(two).await, 70);
    let values: Vec<String> = sent(&second).into_iter().flat_map(|(_, _, values)| values).collect();
    assert_eq!(values, ["one", "two"]);
}

#[tokio::test]
async fn one_batch_of_a_partition_is_on_its_way_at_a_time() {
    // The answer to the first batch never comes, so that no other may be sent before the deadline.
    let broker = appending(2, |requests| (requests == 1).then_some(Reply::Silence)).await;
    let producer = Producer::new(connect(&broker).await, quick());
    let _stuck = producer.send(record("stuck")).await.unwrap();
    until_requests(&broker, 1).await;
    let behind = producer.send(record("behind")).await.unwrap();
    let other = ProducerRecord { partition: Some(1), ..record("beside") };
    // Another partition's batch goes, although answers of one connection come in order.
    let _beside = producer.send(other).await.unwrap();
    until_requests(&broker, 2).await;
    let values: Vec<String> = sent(&broker).into_iter().flat_map(|(_, _, values)| values).collect();
    assert_eq!(values, ["stuck", "beside"]);
    drop(producer);
    assert!(matches!(behind.wait().await, Err(DeliveryError::Closed)));
}

#[tokio::test]
async fn a_refused_batch_fails_its_records_each_with_its_reason() {
    let broker = alone(1, |_, request| match request {
        Request::Produce(request) => respond(&request, |_, _| PartitionProduceResponse {
            record_errors: vec![BatchIndexAndErrorMessage {
                batch_index: 1,
                batch_index_error_message: Some("has no key".into()),
                ..BatchIndexAndErrorMessage::default()
            }],
            ..failed(ErrorCode::InvalidRecord)
        })
        .into(),
        _ => Reply::Silence,
    })
    .await;
    let producer = Producer::new(connect(&broker).await, lingering());
    let good = producer.send(record("good")).await.unwrap();
    let bad = producer.send(record("bad")).await.unwrap();
    producer.flush().await;
    let error = good.wait().await.unwrap_err();
    assert!(matches!(error, DeliveryError::RefusedWithOthers { .. }), "{error}");
    let error = bad.wait().await.unwrap_err();
    assert!(error.to_string().contains("INVALID_RECORD: has no key"), "{error}");
    assert_eq!(broker.count(ApiKey::Produce), 1);
}

#[tokio::test]
async fn records_that_cannot_be_sent_are_refused_at_once() {
    let broker = appending(2, |_| None).await;
    let producer = Producer::new(connect(&broker).await, quick());
    let large = record(&"x".repeat(2 << 20));
    assert!(matches!(producer.send(large).await, Err(DeliveryError::TooLarge { .. })));
    let nowhere = ProducerRecord { partition: Some(2), ..record("x") };
    let error = producer.send(nowhere).await.unwrap_err();
    assert!(error.to_string().contains("2 partitions, from 0, and none with number 2"), "{error}");
}

#[tokio::test]
async fn without_acks_a_record_is_delivered_when_it_is_written_to_the_connection() {
    let broker = appending(1, |_| Some(Reply::Silence)).await;
    let options = ProducerOptions { acks: Acks::None, ..quick() };
    let producer = Producer::new(connect(&broker).await, options);
    for _ in 0..3 {
        let delivered = producer.send(record("x")).await.unwrap().wait().await.unwrap();
        assert_eq!(delivered.offset, None);
    }
}

#[tokio::test]
async fn an_idempotent_producer_numbers_its_batches_and_sends_again_under_the_same_number() {
    let broker = appending(1, |requests| (requests == 2).then_some(Reply::HangUp)).await;
    let producer = Producer::new(connect(&broker).await, idempotent());
    for value in ["a", "b", "c"] {
        producer.send(record(value)).await.unwrap().wait().await.unwrap();
    }
    let numbers: Vec<(i64, i32)> =
        sent(&broker).iter().map(|(_, header, _)| (header.producer_id.0, header.base_sequence)).collect();
    assert_eq!(numbers, [(1001, 0), (1001, 1), (1001, 1), (1001, 2)]);
    assert_eq!(sent(&broker)[0].1.producer_epoch, ProducerEpoch(0));
    assert_eq!(broker.count(ApiKey::InitProducerId), 1);
}

#[tokio::test]
async fn a_duplicate_counts_as_written() {
    let broker = appending(1, |_| None).await;
    drop(broker);
    let broker = alone(1, |_, request| match request {
        Request::Produce(request) => {
            respond(&request, |_, _| failed(ErrorCode::DuplicateSequenceNumber)).into()
        }
        _ => InitProducerIdResponse { producer_id: 1, ..InitProducerIdResponse::default() }.into(),
    })
    .await;
    let producer = Producer::new(connect(&broker).await, idempotent());
    let delivered = producer.send(record("x")).await.unwrap().wait().await.unwrap();
    assert_eq!(delivered.offset, None);
}

#[tokio::test]
async fn a_batch_that_was_surely_not_written_leaves_its_number_to_the_next() {
    let broker = alone_refusing_first(ErrorCode::MessageTooLarge).await;
    let producer = Producer::new(connect(&broker).await, idempotent());
    producer.send(record("refused")).await.unwrap().wait().await.unwrap_err();
    producer.send(record("next")).await.unwrap().wait().await.unwrap();
    let numbers: Vec<(ProducerId, i32)> =
        sent(&broker).iter().map(|(_, header, _)| (header.producer_id, header.base_sequence)).collect();
    assert_eq!(numbers, [(ProducerId(1), 0), (ProducerId(1), 0)]);
}

#[tokio::test]
async fn after_a_batch_in_doubt_a_partition_goes_on_under_a_new_producer_id() {
    let broker = appending(1, |requests| (requests == 1).then_some(Reply::HangUp)).await;
    let mut client_options = options(vec![broker.address.clone()]);
    client_options.retry_backoff = Duration::from_secs(60);
    client_options.retry_backoff_max = Duration::from_secs(60);
    let client = Client::connect(Env::real(), client_options).await.unwrap();
    let options = ProducerOptions { delivery_timeout: Duration::from_secs(1), ..idempotent() };
    let producer = Producer::new(client, options);
    let error = producer.send(record("doubtful")).await.unwrap().wait().await.unwrap_err();
    assert!(matches!(error, DeliveryError::Failed { may_be_written: true, .. }), "{error}");
    assert!(error.to_string().contains("not known whether"), "{error}");
    producer.send(record("next")).await.unwrap().wait().await.unwrap();
    let numbers: Vec<(i64, i32)> =
        sent(&broker).iter().map(|(_, header, _)| (header.producer_id.0, header.base_sequence)).collect();
    assert_eq!(numbers, [(1001, 0), (1002, 0)]);
}

/// Refuses the first batch, and appends the others.
async fn alone_refusing_first(code: ErrorCode) -> FakeBroker {
    let mut is_first = true;
    alone(1, move |_, request| match request {
        Request::Produce(request) => {
            let is_refused = std::mem::take(&mut is_first);
            respond(&request, |_, _| if is_refused { failed(code) } else { written(0) }).into()
        }
        _ => InitProducerIdResponse { producer_id: 1, ..InitProducerIdResponse::default() }.into(),
    })
    .await
}

#[tokio::test]
async fn brokers_that_tell_no_topic_ids_are_asked_by_name() {
    for (table, expected) in [(every_version(), 13), (versions(&[(ApiKey::Metadata, 9)]), 12)] {
        let bound = Bound::new().await;
        let brokers = BTreeMap::from([(1, bound.address.clone())]);
        let broker = bound.run_with_versions(table, move |_, request| match request {
            Request::Produce(request) => respond(&request, |_, _| written(3)).into(),
            _ => metadata(&brokers, &[1]).into(),
        });
        let producer = Producer::new(connect(&broker).await, quick());
        let delivered = producer.send(record("x")).await.unwrap().wait().await.unwrap();
        assert_eq!(delivered.offset, Some(Offset(3)));
        assert_eq!(broker.seen().last().unwrap().0.api_version, expected);
    }
}
