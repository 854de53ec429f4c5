//! Fetch sessions (KIP-227): what a client asked for is remembered, and only news is answered.

use ottla_types::ErrorCode;
use ottla_wire::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use ottla_wire::delete_topics::DeleteTopicsRequest;
use ottla_wire::fetch::{FetchRequest, FetchResponse, FetchTopic, ForgottenTopic};

use crate::common::records::{sized, text, values};
use crate::common::requests::{fetch_request, from_offset};
use crate::common::{Client, TestBroker, Topic, error};

/// A session as its client sees it.
struct Session {
    version: i16,
    id: i32,
    epoch: i32,
}

impl Session {
    /// Opens a session, and returns the answer to its first fetch.
    async fn open(client: &mut Client, version: i16, topics: Vec<FetchTopic>) -> (Self, FetchResponse) {
        let request = FetchRequest { session_epoch: 0, ..fetch_request(topics) };
        let response = client.call(version, request).await;
        assert_eq!(error(response.error_code), ErrorCode::None);
        assert!(response.session_id > 0, "version {version}: a session");
        (Self { version, id: response.session_id, epoch: 1 }, response)
    }

    fn request(&self, topics: Vec<FetchTopic>) -> FetchRequest {
        FetchRequest { session_id: self.id, session_epoch: self.epoch, ..fetch_request(topics) }
    }

    async fn fetch(&mut self, client: &mut Client, topics: Vec<FetchTopic>) -> FetchResponse {
        let request = self.request(topics);
        self.send(client, request).await
    }

    async fn send(&mut self, client: &mut Client, request: FetchRequest) -> FetchResponse {
        let response = client.call(self.version, request).await;
        assert_eq!(error(response.error_code), ErrorCode::None);
        assert_eq!(response.session_id, self.id);
        self.epoch += 1;
        response
    }
}

/// The partitions answered, with their errors and the values of their records.
fn told(response: &FetchResponse) -> Vec<(i32, ErrorCode, Vec<String>)> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|partition| {
            let values = values(partition.records.as_ref().unwrap());
            let values = values.into_iter().map(|(_, value)| value).collect();
            (partition.partition_index, error(partition.error_code), values)
        })
        .collect()
}

fn news(partition: i32, values: &[&str]) -> (i32, ErrorCode, Vec<String>) {
    (partition, ErrorCode::None, values.iter().map(|value| (*value).to_owned()).collect())
}

async fn produce(client: &mut Client, topic: &Topic, partition: i32, value: &str) {
    assert_eq!(client.produce_to(13, 1, topic, partition, text(&[value])).await.error_code, 0);
}

fn forget(topic: &Topic, partitions: &[i32]) -> Vec<ForgottenTopic> {
    let partitions = partitions.to_vec();
    vec![ForgottenTopic { topic: topic.name.clone(), topic_id: topic.id, partitions, ..Default::default() }]
}

#[tokio::test]
async fn after_the_first_fetch_only_news_is_answered() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in 7..=18 {
        let topic = client.create_topic(&format!("t{version}"), 2, &[]).await;
        produce(&mut client, &topic, 0, "a").await;
        let wanted = vec![topic.fetch(vec![from_offset(0, 0), from_offset(1, 0)])];
        let (mut session, first) = Session::open(&mut client, version, wanted).await;
        assert_eq!(told(&first), [news(0, &["a"]), news(1, &[])], "version {version}: everything at first");
        let moved = session.fetch(&mut client, vec![topic.fetch(vec![from_offset(0, 1)])]).await;
        assert_eq!(told(&moved), [], "there is nothing new");
        produce(&mut client, &topic, 1, "b").await;
        let woken = session.fetch(&mut client, Vec::new()).await;
        assert_eq!(told(&woken), [news(1, &["b"])]);
        let named = &woken.responses[0];
        let by_name = if version >= 13 { "" } else { topic.name.as_str() };
        assert_eq!(named.topic, by_name, "version {version}");
        let again = session.fetch(&mut client, Vec::new()).await;
        assert_eq!(told(&again), [news(1, &["b"])], "the client did not move on");
    }
}

#[tokio::test]
async fn a_waiting_fetch_of_a_session_is_woken_by_what_the_session_remembers() {
    let broker = TestBroker::start().await;
    let mut producer = broker.connect().await;
    let topic = producer.create_topic("t", 2, &[]).await;
    let mut consumer = broker.connect().await;
    let wanted = vec![topic.fetch(vec![from_offset(0, 0), from_offset(1, 0)])];
    let (session, _) = Session::open(&mut consumer, 13, wanted).await;
    consumer.send(13, FetchRequest { max_wait_ms: i32::MAX, ..session.request(Vec::new()) }).await;
    broker.await_handled(&mut consumer).await;
    produce(&mut producer, &topic, 1, "a").await;
    assert_eq!(told(&consumer.receive::<FetchRequest>(13).await), [news(1, &["a"])]);
}

#[tokio::test]
async fn a_log_that_starts_later_is_news() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    produce(&mut client, &topic, 0, "a").await;
    let (mut session, _) = Session::open(&mut client, 13, vec![topic.fetch(vec![from_offset(0, 1)])]).await;
    assert_eq!(told(&session.fetch(&mut client, Vec::new()).await), []);
    let partition = DeleteRecordsPartition { offset: 1, ..DeleteRecordsPartition::default() };
    let deleted = DeleteRecordsTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    client.call(2, DeleteRecordsRequest { topics: vec![deleted], ..Default::default() }).await;
    let response = session.fetch(&mut client, Vec::new()).await;
    assert_eq!(response.responses[0].partitions[0].log_start_offset, 1);
    assert_eq!(told(&session.fetch(&mut client, Vec::new()).await), []);
}

#[tokio::test]
async fn partitions_are_added_and_forgotten() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in [7, 12, 13, 18] {
        let topic = client.create_topic(&format!("t{version}"), 3, &[]).await;
        for partition in 0..3 {
            produce(&mut client, &topic, partition, "a").await;
        }
        let wanted = vec![topic.fetch(vec![from_offset(0, 0), from_offset(1, 0)])];
        let (mut session, _) = Session::open(&mut client, version, wanted).await;
        let request = FetchRequest {
            forgotten_topics_data: forget(&topic, &[0]),
            ..session.request(vec![topic.fetch(vec![from_offset(2, 0)])])
        };
        let mut changed = told(&session.send(&mut client, request).await);
        changed.sort_by_key(|(partition, ..)| *partition);
        assert_eq!(changed, [news(1, &["a"]), news(2, &["a"])], "version {version}");
        let all =
            FetchRequest { forgotten_topics_data: forget(&topic, &[1, 2]), ..session.request(Vec::new()) };
        let response = client.call(version, all).await;
        assert_eq!((error(response.error_code), response.session_id), (ErrorCode::None, 0), "it is over");
        let gone =
            client.call(version, FetchRequest { session_epoch: 3, ..session.request(Vec::new()) }).await;
        assert_eq!(error(gone.error_code), ErrorCode::FetchSessionIdNotFound);
    }
}

#[tokio::test]
async fn a_wrong_epoch_is_refused_and_the_session_lives_on() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for version in [7, 13, 18] {
        let (mut session, _) =
            Session::open(&mut client, version, vec![topic.fetch(vec![from_offset(0, 0)])]).await;
        for session_epoch in [2, 5, i32::MAX, -2] {
            let request = FetchRequest { session_epoch, ..session.request(Vec::new()) };
            let response = client.call(version, request).await;
            assert_eq!(error(response.error_code), ErrorCode::InvalidFetchSessionEpoch);
            assert_eq!((response.session_id, response.responses.len()), (0, 0));
        }
        assert_eq!(told(&session.fetch(&mut client, Vec::new()).await), []);
        let repeated =
            client.call(version, FetchRequest { session_epoch: 1, ..session.request(Vec::new()) }).await;
        assert_eq!(error(repeated.error_code), ErrorCode::InvalidFetchSessionEpoch, "an epoch counts once");
    }
}

#[tokio::test]
async fn a_session_that_is_not_known_is_not_found() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for version in [7, 13, 18] {
        for session_id in [1, i32::MAX, -5] {
            let request = FetchRequest {
                session_id,
                session_epoch: 1,
                ..fetch_request(vec![topic.fetch(vec![from_offset(0, 0)])])
            };
            let response = client.call(version, request).await;
            assert_eq!(error(response.error_code), ErrorCode::FetchSessionIdNotFound);
        }
    }
}

#[tokio::test]
async fn a_session_speaks_of_topics_by_name_or_by_id_and_not_by_both() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for (first, then) in [(12, 13), (13, 12), (7, 18)] {
        let (session, _) =
            Session::open(&mut client, first, vec![topic.fetch(vec![from_offset(0, 0)])]).await;
        let response = client.call(then, session.request(Vec::new())).await;
        assert_eq!(error(response.error_code), ErrorCode::FetchSessionTopicIdError, "{first}, then {then}");
    }
}

#[tokio::test]
async fn a_new_first_fetch_takes_the_place_of_the_old_session_and_a_last_one_ends_it() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let wanted = || vec![topic.fetch(vec![from_offset(0, 0)])];
    let (old, _) = Session::open(&mut client, 13, wanted()).await;
    let request = FetchRequest { session_epoch: 0, ..old.request(wanted()) };
    let replaced = client.call(13, request).await;
    assert!(replaced.session_id > 0);
    let gone = client.call(13, old.request(Vec::new())).await;
    assert_eq!(error(gone.error_code), ErrorCode::FetchSessionIdNotFound);
    let new = Session { version: 13, id: replaced.session_id, epoch: 1 };
    let last = client.call(13, FetchRequest { session_epoch: -1, ..new.request(wanted()) }).await;
    assert_eq!(
        (last.session_id, told(&last)),
        (0, vec![news(0, &[])]),
        "answered in full, without a session"
    );
    let gone = client.call(13, new.request(Vec::new())).await;
    assert_eq!(error(gone.error_code), ErrorCode::FetchSessionIdNotFound);
}

#[tokio::test]
async fn an_error_is_told_again_and_again_and_a_topic_that_comes_is_found() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("other", 1, &[]).await;
    let topic = Topic::named("t");
    let (mut session, first) =
        Session::open(&mut client, 12, vec![topic.fetch(vec![from_offset(0, 0)])]).await;
    let unknown = (0, ErrorCode::UnknownTopicOrPartition, Vec::new());
    assert_eq!(told(&first), std::slice::from_ref(&unknown));
    assert_eq!(told(&session.fetch(&mut client, Vec::new()).await), std::slice::from_ref(&unknown));
    let topic = client.create_topic("t", 1, &[]).await;
    assert_eq!(told(&session.fetch(&mut client, Vec::new()).await), [news(0, &[])]);
    assert_eq!(told(&session.fetch(&mut client, Vec::new()).await), []);
    produce(&mut client, &topic, 0, "a").await;
    assert_eq!(told(&session.fetch(&mut client, Vec::new()).await), [news(0, &["a"])]);
    let request = DeleteTopicsRequest { topic_names: vec!["t".into()], ..DeleteTopicsRequest::default() };
    client.call(1, request).await;
    assert_eq!(told(&session.fetch(&mut client, Vec::new()).await), [unknown]);
}

#[tokio::test]
async fn a_full_answer_gives_each_partition_its_turn() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 3, &[]).await;
    for partition in 0..3 {
        client.produce_to(13, 1, &topic, partition, sized(1000)).await;
    }
    let partitions = (0..3).map(|partition| from_offset(partition, 0)).collect();
    let (mut session, _) = Session::open(&mut client, 13, vec![topic.fetch(partitions)]).await;
    let mut turns = Vec::new();
    for _ in 0..6 {
        let request = FetchRequest { max_bytes: 1000, ..session.request(Vec::new()) };
        let response = session.send(&mut client, request).await;
        let with_records = told(&response).into_iter().filter(|(_, _, values)| !values.is_empty());
        turns.extend(with_records.map(|(partition, _, _)| partition));
    }
    assert_eq!(turns, [0, 1, 2, 0, 1, 2], "one at a time, and each as often as the others");
}

#[tokio::test]
async fn without_room_for_sessions_fetches_are_answered_without() {
    let broker = TestBroker::start_with("max.incremental.fetch.session.cache.slots=1\n").await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let wanted = || vec![topic.fetch(vec![from_offset(0, 0)])];
    let (mut session, _) = Session::open(&mut client, 13, wanted()).await;
    let response = client.call(13, FetchRequest { session_epoch: 0, ..fetch_request(wanted()) }).await;
    assert_eq!((error(response.error_code), response.session_id), (ErrorCode::None, 0));
    assert_eq!(told(&response), [news(0, &[])]);
    session.fetch(&mut client, Vec::new()).await;
}

#[tokio::test]
async fn a_session_belongs_to_no_connection() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let (mut session, _) = Session::open(&mut client, 13, vec![topic.fetch(vec![from_offset(0, 0)])]).await;
    drop(client);
    let mut client = broker.connect().await;
    assert_eq!(told(&session.fetch(&mut client, Vec::new()).await), []);
}
