//! Fetches that begin to wait just when there comes what they wait for: none may sleep through it. Which of the two is first
//! is left to chance, many times over; an answer is due in every order.

use ottla_types::ErrorCode;
use ottla_wire::delete_topics::DeleteTopicsRequest;
use ottla_wire::fetch::{FetchRequest, FetchResponse};

use crate::common::records::{text, values};
use crate::common::requests::{fetch_request, from_offset};
use crate::common::{Client, TestBroker, Topic, error};

/// Longer than any test has patience: who waits for this was not woken.
const FOR_EVER_MS: i32 = i32::MAX;

const PARTITIONS: i32 = 20;

/// A session that asks for all partitions of a topic, each from behind what it has seen.
struct Session {
    topic: Topic,
    id: i32,
    epoch: i32,
    /// The next offset of each partition.
    next: Vec<i64>,
    /// The partitions of which the broker does not know that offset yet.
    changed: Vec<i32>,
}

impl Session {
    fn new(topic: Topic) -> Self {
        Self {
            topic,
            id: 0,
            epoch: 0,
            next: (0..PARTITIONS).map(|_| 0).collect(),
            changed: (0..PARTITIONS).collect(),
        }
    }

    fn request(&self) -> FetchRequest {
        let offset = |index: i32| from_offset(index, self.next[usize::try_from(index).unwrap()]);
        let partitions: Vec<_> = self.changed.iter().copied().map(offset).collect();
        FetchRequest {
            session_id: self.id,
            session_epoch: self.epoch,
            max_wait_ms: FOR_EVER_MS,
            ..fetch_request(vec![self.topic.fetch(partitions)])
        }
    }

    /// Takes the answer to a request; gives the partitions that have records.
    fn take(&mut self, response: &FetchResponse) -> Vec<i32> {
        assert_eq!(error(response.error_code), ErrorCode::None);
        self.id = response.session_id;
        self.epoch += 1;
        self.changed.clear();
        for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
            assert_eq!(error(partition.error_code), ErrorCode::None);
            let records = values(partition.records.as_ref().unwrap());
            if let Some((last, _)) = records.last() {
                self.next[usize::try_from(partition.partition_index).unwrap()] = last + 1;
                self.changed.push(partition.partition_index);
            }
        }
        self.changed.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_append_slips_past_a_session_that_begins_to_wait() {
    let broker = TestBroker::start().await;
    let (mut producer, mut consumer) = (broker.connect().await, broker.connect().await);
    for number in 0..20 {
        let topic = producer.create_topic(&format!("t{number}"), PARTITIONS, &[]).await;
        let mut session = Session::new(topic.clone());
        for round in 0..100 {
            let partition = (round * 7 + number) % PARTITIONS;
            let fetch = consumer.call(13, session.request());
            let produce = async {
                // Sooner or later, so that the append meets the fetch at any of its steps.
                for _ in 0..round % 10 {
                    tokio::task::yield_now().await;
                }
                producer.produce_to(13, 1, &topic, partition, text(&["a"])).await
            };
            let (fetched, produced) = tokio::join!(fetch, produce);
            assert_eq!(error(produced.error_code), ErrorCode::None);
            assert_eq!(session.take(&fetched), [partition], "topic {number}, round {round}");
        }
    }
}

async fn delete_topic(client: &mut Client, name: &str) {
    let request =
        DeleteTopicsRequest { topic_names: vec![name.into()], timeout_ms: 10_000, ..Default::default() };
    assert_eq!(error(client.call(5, request).await.responses[0].error_code), ErrorCode::None);
}

/// Fetches a topic by its name until it has a record; while there is no such topic, that is told at once.
async fn fetch_by_name(client: &mut Client, name: &str) -> String {
    loop {
        let wanted = Topic::named(name).fetch(vec![from_offset(0, 0)]);
        let request = FetchRequest { max_wait_ms: FOR_EVER_MS, ..fetch_request(vec![wanted]) };
        let partition = client.call(12, request).await.responses.remove(0).partitions.remove(0);
        match error(partition.error_code) {
            ErrorCode::None => {}
            ErrorCode::UnknownTopicOrPartition | ErrorCode::KafkaStorageError => continue,
            other => panic!("{other}"),
        }
        if let Some((_, value)) = values(&partition.records.unwrap()).pop() {
            return value;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_topic_by_name_is_woken_by_the_one_that_takes_its_name() {
    let broker = TestBroker::start().await;
    let (mut admin, mut consumer) = (broker.connect().await, broker.connect().await);
    for round in 0..100 {
        admin.create_topic("t", 1, &[]).await;
        let replace = async {
            delete_topic(&mut admin, "t").await;
            let again = admin.create_topic("t", 1, &[]).await;
            // Sooner or later, so that the fetch may find the new topic without a record.
            for _ in 0..round % 10 {
                admin.find_topic("t").await;
            }
            let produced = admin.produce_to(12, 1, &again, 0, text(&[&round.to_string()])).await;
            assert_eq!(error(produced.error_code), ErrorCode::None);
        };
        let (read, ()) = tokio::join!(fetch_by_name(&mut consumer, "t"), replace);
        assert_eq!(read, round.to_string());
        delete_topic(&mut admin, "t").await;
    }
}
