//! Administrators: they create, change and delete topics by whichever broker, and look at the cluster.

use std::time::Duration;

use ottla_client::{Client, ConfigChange, ConfigResource, Error, NewTopic};
use ottla_env::Env;
use ottla_types::{ErrorCode, TopicName};

use super::Oracle;
use super::changes::{Asked, Changes, KEY, Told};
use crate::brokers::program::{self, Servers};
use crate::engine::Timeline;
use crate::rng::SimRng;

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
    /// Which of its topics are there; what is not known counts as what it was.
    there: [bool; TOPICS],
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
    let (rng, there) = (SimRng::new(seed), [false; TOPICS]);
    let mut administrator = Administrator { client, rng, number, oracle, changes, there, asked: 0 };
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
        let Ok(name) = TopicName::new(&format!("a{}-t{nth}", self.number)) else { return };
        // Now and then it asks for what cannot be: how that is answered matters too.
        let weights = if self.there[nth] { [1, 10, 4, 4] } else { [12, 1, 1, 2] };
        let (told, then) = match self.rng.weighted(&weights) {
            0 => (self.create(&name).await, true),
            1 => (self.change(&name).await, true),
            2 => (self.delete(&name).await, false),
            _ => {
                // Whether anybody answers is what the end of the run asks.
                let _ = self.client.list_topics().await;
                return;
            }
        };
        match told {
            Told::Done(_) => self.there[nth] = then,
            Told::Exists => self.there[nth] = true,
            Told::Unknown => self.there[nth] = false,
            Told::Nothing => {}
        }
    }

    fn begins(&self, name: &TopicName, asked: Asked) {
        self.changes.begins(name.as_str(), asked, self.oracle.with(|log| log.len()));
    }

    fn ends(&self, name: &TopicName, told: Told) -> Told {
        self.changes.ends(name.as_str(), told.clone(), self.oracle.with(|log| log.len()));
        told
    }

    async fn create(&mut self, name: &TopicName) -> Told {
        let mut topic = NewTopic::new(name.clone());
        let partitions = 1 + self.rng.index(3) as i32;
        let replicas = if self.rng.one_in(3) { 1 } else { 3 };
        topic.partitions = Some(partitions);
        topic.replication_factor = Some(replicas);
        self.begins(name, Asked::Create { partitions, replicas });
        let told = match self.client.create_topic(&topic).await {
            Ok(created) => Told::Done(created.id),
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => Told::Exists,
            Err(error) => nothing(&error),
        };
        self.ends(name, told)
    }

    async fn change(&mut self, name: &TopicName) -> Told {
        let value = self.rng.between(1_000_000_000..2_000_000_000).to_string();
        let change = ConfigChange::Set(KEY.to_owned(), value.clone());
        let resource = ConfigResource::Topic(name.clone());
        self.begins(name, Asked::Change(value));
        let told = match self.client.alter_configs(&resource, &[change], false).await {
            Ok(()) => Told::Done(None),
            Err(error) => nothing(&error),
        };
        self.ends(name, told)
    }

    async fn delete(&mut self, name: &TopicName) -> Told {
        self.begins(name, Asked::Delete);
        let told = match self.client.delete_topic(name).await {
            Ok(()) => Told::Done(None),
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => Told::Unknown,
            Err(error) => nothing(&error),
        };
        self.ends(name, told)
    }
}

/// What is known after any other refusal: an earlier attempt may have been lost on its way, and arrive yet; and which attempt
/// it was that is answered the client does not tell.
fn nothing(error: &Error) -> Told {
    tracing::debug!(%error, "an administrator was refused");
    Told::Nothing
}
