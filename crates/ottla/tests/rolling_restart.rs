//! Three brokers are stopped in order and started again one after another, while clients administer the cluster.
//!
//! `bench/rolling.py` does the same with the clients of Kafka's users.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use common::cluster::{Cluster, PATIENCE, all_live};
use ottla_client::{Client, ClientOptions, ConfigChange, ConfigResource, Error, NewTopic};
use ottla_env::Env;
use ottla_types::{ErrorCode, TopicName};

/// The topic that stays.
const KEPT: &str = "kept";

/// A client on a thread of its own, which asks without a pause.
struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    /// Rounds of requests that were answered.
    rounds: AtomicU64,
    /// What the client did not try again by itself.
    errors: Mutex<Vec<String>>,
}

impl Load {
    fn start(
        cluster: &Cluster,
        round: impl AsyncFn(&Client, u64) -> Result<(), Error> + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let addresses: Vec<_> = (1..=3).map(|id| cluster.address(id).to_string().parse().unwrap()).collect();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = Client::connect(Env::real(), ClientOptions::new(addresses)).await.unwrap();
                for number in 0.. {
                    if seen.is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    if let Err(error) = round(&client, number).await {
                        seen.errors.lock().unwrap().push(error.to_string());
                    }
                    seen.rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        Self { shared, thread }
    }

    /// Waits until a round that begins after the call is over.
    fn await_round(&self) {
        let (begin, before) = (Instant::now(), self.shared.rounds.load(Ordering::Relaxed));
        while self.shared.rounds.load(Ordering::Relaxed) < before + 2 {
            assert!(!self.thread.is_finished() && begin.elapsed() < PATIENCE, "nothing is answered any more");
            std::thread::yield_now();
        }
    }

    fn end(self) -> Vec<String> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        std::mem::take(&mut self.shared.errors.lock().unwrap())
    }
}

async fn describe(client: &Client, _number: u64) -> Result<(), Error> {
    client.describe_cluster().await?;
    let topics = client.list_topics().await?;
    assert!(topics.iter().any(|topic| topic.name.as_str() == KEPT), "{topics:?}");
    client.configs(&[kept()]).await.map(drop)
}

async fn change(client: &Client, number: u64) -> Result<(), Error> {
    let name = TopicName::new(&format!("t{number}")).unwrap();
    let topic = NewTopic { partitions: Some(3), replication_factor: Some(3), ..NewTopic::new(name.clone()) };
    is_done(client.create_topic(&topic).await.map(drop), ErrorCode::TopicAlreadyExists)?;
    let set = ConfigChange::Set("retention.ms".to_owned(), (86_400_000 + number).to_string());
    client.alter_configs(&kept(), &[set], false).await?;
    is_done(client.delete_topic(&name).await, ErrorCode::UnknownTopicOrPartition)
}

fn kept() -> ConfigResource {
    ConfigResource::Topic(TopicName::new(KEPT).unwrap())
}

/// The answer to a change may be lost with its connection. The client asks again then, and is told that it is done already.
fn is_done(result: Result<(), Error>, already: ErrorCode) -> Result<(), Error> {
    match result {
        Err(error) if error.code() == Some(already) => Ok(()),
        result => result,
    }
}

#[test]
fn a_rolling_restart_costs_no_error_that_clients_do_not_try_again_by_themselves() {
    let mut cluster = Cluster::start();
    cluster.ok(1, &format!("topic create {KEPT} --partitions 3 --replication-factor 3"));
    let loads = [Load::start(&cluster, describe), Load::start(&cluster, change)];
    loads.iter().for_each(Load::await_round);
    for id in 1..=3 {
        cluster.stop(id);
        // The other two go on.
        loads.iter().for_each(Load::await_round);
        cluster.restart(id);
        for each in 1..=3 {
            cluster.await_info(each, "three brokers", |info| all_live(info, 3));
        }
        loads.iter().for_each(Load::await_round);
    }
    for load in loads {
        // The first says enough: others may be many.
        assert_eq!(load.end().first(), None);
    }
}
