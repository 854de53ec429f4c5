//! Administrators: they create, change and delete topics by whichever broker, and look at the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_client::{
    Client, ConfigChange, ConfigResource, Error, NewTopic, Producer, ProducerOptions, ProducerRecord,
};
use ottla_env::Env;
use ottla_types::{ErrorCode, TopicName};

use super::Oracle;
use super::changes::{Changes, Expected};
use crate::brokers::program::{self, Servers};
use crate::engine::Timeline;
use crate::invariants::Violation;
use crate::rng::SimRng;

/// The key of topics that is changed.
pub(super) const KEY: &str = "retention.ms";

/// How many topics an administrator has at a time, at most. Names are used again.
const TOPICS: usize = 4;

/// How an administrator behaves.
#[derive(Debug, Clone)]
pub(super) struct Administering {
    number: u32,
    /// The pause between two requests, at most.
    pause: Duration,
    seed: u64,
}

impl Administering {
    pub(super) fn draw(number: u32, rng: &mut SimRng) -> Self {
        let pause = Duration::from_millis([100, 400, 1_500][rng.index(3)]);
        Self { number, pause, seed: rng.next_u64() }
    }
}

struct Administrator {
    client: Client,
    rng: SimRng,
    number: u32,
    oracle: Oracle,
    changes: Changes,
    topics: BTreeMap<String, Expected>,
    /// How often a name was given up.
    doubts: u32,
    asked: u64,
}

/// Asks for one thing after another until a time. Returns how many were asked for.
pub(super) async fn run(
    env: Env,
    servers: Servers,
    timeline: Timeline,
    administering: Administering,
    (oracle, changes): (Oracle, Changes),
    until_us: u64,
) -> u64 {
    let Administering { number, pause, seed } = administering;
    let client = program::client(env, &servers).await;
    let (rng, topics) = (SimRng::new(seed), BTreeMap::new());
    let mut administrator =
        Administrator { client, rng, number, oracle, changes, topics, doubts: 0, asked: 0 };
    while timeline.now_us() < until_us {
        administrator.step().await;
        let pause_us = administrator.rng.below(pause.as_micros() as u64);
        timeline.sleep(Duration::from_micros(pause_us)).await;
    }
    administrator.asked
}

impl Administrator {
    async fn step(&mut self) {
        self.asked += 1;
        let nth = self.rng.index(TOPICS);
        let text = format!("a{}-t{nth}-{}", self.number, self.doubts);
        let Ok(name) = TopicName::new(&text) else { return };
        let known = self.topics.get(&text).cloned().unwrap_or(Expected::Absent);
        let (what, weights) = match known {
            Expected::Absent => (0, [6, 0, 0, 1, 0]),
            Expected::Present { replicas: 2.., .. } => (1, [0, 5, 2, 2, 1]),
            _ => (1, [0, 5, 2, 2, 0]),
        };
        let next = match (what, self.rng.weighted(&weights)) {
            (_, 0) => self.create(&name).await,
            (_, 1) => self.change(&name, known).await,
            (_, 2) => self.delete(&name).await,
            (_, 4) => return self.try_to_write(&name).await,
            _ => {
                // Whether anybody answers is what the end of the run asks.
                let _ = self.client.list_topics().await;
                return;
            }
        };
        if next == Expected::Anything {
            self.doubts += 1;
        }
        self.topics.insert(text.clone(), next.clone());
        self.changes.expect(&text, next);
    }

    /// Writes to a topic of several replicas. While records are not copied nobody may be told that they are safe.
    async fn try_to_write(&mut self, name: &TopicName) {
        let options = ProducerOptions {
            delivery_timeout: Duration::from_secs(2),
            linger: Duration::ZERO,
            ..ProducerOptions::default()
        };
        let producer = Producer::new(self.client.clone(), options);
        let record = ProducerRecord::new(name.clone(), "unsafe");
        if let Ok(delivery) = producer.send(record).await
            && let Ok(delivered) = delivery.wait().await
        {
            let what = format!("a record was acknowledged that nobody copies: {delivered:?}");
            // A request to create the topic with one replica may have come late, when the client had long asked again and had
            // the topic deleted; or a broker does not know yet that it was. Such a record is one of that topic.
            self.oracle.with(|log| {
                if !log.had_one_replica(&delivered.partition) {
                    log.violated(Violation::new("acknowledged_records_are_kept", what));
                }
            });
        }
    }

    async fn create(&mut self, name: &TopicName) -> Expected {
        let mut topic = NewTopic::new(name.clone());
        let partitions = 1 + self.rng.index(3) as i32;
        let replicas = if self.rng.one_in(3) { 1 } else { 3 };
        topic.partitions = Some(partitions);
        topic.replication_factor = Some(replicas);
        let created = Expected::Present { partitions, replicas, value: None };
        // Whatever is told when it fails, it may come to be: until it does nothing is known of it.
        self.changes.expect(name.as_str(), Expected::Anything);
        match self.client.create_topic(&topic).await {
            Ok(_) => created,
            // The client asked again after its first request was lost.
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => created,
            Err(error) => in_doubt(&error),
        }
    }

    async fn change(&mut self, name: &TopicName, known: Expected) -> Expected {
        let value = self.rng.between(1_000_000_000..2_000_000_000).to_string();
        let change = ConfigChange::Set(KEY.to_owned(), value.clone());
        let resource = ConfigResource::Topic(name.clone());
        self.changes.expect(name.as_str(), Expected::Anything);
        match (self.client.alter_configs(&resource, &[change], false).await, known) {
            (Ok(()), Expected::Present { partitions, replicas, .. }) => {
                Expected::Present { partitions, replicas, value: Some(value) }
            }
            (Ok(()), other) => other,
            (Err(error), _) => in_doubt(&error),
        }
    }

    async fn delete(&mut self, name: &TopicName) -> Expected {
        self.changes.expect(name.as_str(), Expected::Anything);
        match self.client.delete_topic(name).await {
            Ok(()) => Expected::Absent,
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => Expected::Absent,
            Err(error) => in_doubt(&error),
        }
    }
}

/// What is known after a refusal: nothing. An earlier attempt may have been lost on its way, and arrive yet; and which
/// attempt it was that is answered the client does not tell.
fn in_doubt(error: &Error) -> Expected {
    tracing::debug!(%error, "an administrator was refused");
    Expected::Anything
}
