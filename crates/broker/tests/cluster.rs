//! Several brokers that vote on the metadata log: they elect, register, forward and survive each other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use common::{Client, PATIENCE, Topic, batch, produce_request};
use futures_util::future::join_all;
use ottla_broker::{Broker, StartError};
use ottla_env::Env;
use ottla_records::BatchBuilder;
use ottla_types::ErrorCode;
use ottla_types::config::Settings;
use ottla_wire::create_topics::{CreatableTopic, CreateTopicsRequest};
use ottla_wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_wire::init_producer_id::InitProducerIdRequest;
use ottla_wire::metadata::{MetadataRequest, MetadataResponse};

/// Nodes 1 to 3, over a directory of their own.
struct Cluster {
    dir: tempfile::TempDir,
    voters: String,
    brokers: Vec<Option<Broker>>,
}

/// Ports that nobody listens on.
fn free_ports(count: usize) -> Vec<u16> {
    let taken: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    taken.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

fn voters(ports: &[u16]) -> String {
    let voter = |(id, port): (usize, &u16)| format!("{}@127.0.0.1:{port}", id + 1);
    ports.iter().enumerate().map(voter).collect::<Vec<_>>().join(",")
}

fn settings(dir: &Path, id: usize, voters: &str, more: &str) -> Settings {
    let address = voters.split(',').nth(id - 1).unwrap().split_once('@').unwrap().1;
    let text = format!(
        "node.id={id}\nprocess.roles=broker,controller\nlog.dirs={}/node-{id}\n\
         listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://{address}\ncontroller.listener.names=CONTROLLER\n\
         controller.quorum.voters={voters}\n{more}",
        dir.display()
    );
    Settings::parse("test.properties", &text).unwrap().0
}

impl Cluster {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let voters = voters(&free_ports(3));
        let starting = (1..=3).map(|id| Broker::start(Env::real(), settings(dir.path(), id, &voters, "")));
        let brokers = join_all(starting).await.into_iter().map(|broker| Some(broker.unwrap())).collect();
        let cluster = Self { dir, voters, brokers };
        for id in 1..=3 {
            cluster.await_brokers(id, 3).await;
        }
        cluster
    }

    async fn restart(&mut self, id: usize) {
        let begin = std::time::Instant::now();
        let broker = loop {
            match Broker::start(Env::real(), settings(self.dir.path(), id, &self.voters, "")).await {
                Ok(broker) => break broker,
                // What the one before held is let go when its tasks are run next.
                Err(StartError::Bind(_) | StartError::Logs(_) | StartError::Metadata(_))
                    if begin.elapsed() < PATIENCE =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        self.brokers[id - 1] = Some(broker);
    }

    /// Ends a broker without stopping it.
    fn abandon(&mut self, id: usize) {
        drop(self.brokers[id - 1].take().unwrap());
    }

    async fn connect(&self, id: usize) -> Client {
        let listeners = self.brokers[id - 1].as_ref().unwrap().listeners();
        let (_, address) = listeners.iter().find(|(name, _)| name == "PLAINTEXT").unwrap();
        Client::open(*address).await
    }

    /// What a broker says, once that is so.
    async fn await_metadata(&self, id: usize, what: &str, is_so: impl Fn(&MetadataResponse) -> bool) {
        let mut client = self.connect(id).await;
        let patience = tokio::time::Instant::now() + PATIENCE;
        loop {
            let told = client.call(12, MetadataRequest { topics: None, ..MetadataRequest::default() }).await;
            if is_so(&told) {
                return;
            }
            assert!(tokio::time::Instant::now() < patience, "broker {id} does not come to {what}: {told:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn await_brokers(&self, id: usize, count: usize) {
        self.await_metadata(id, "so many brokers", |told| told.brokers.len() == count).await;
    }

    async fn create(&self, id: usize, name: &str, partitions: i32, replicas: i16) -> ErrorCode {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: replicas,
            ..CreatableTopic::default()
        };
        let request =
            CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..CreateTopicsRequest::default() };
        let told = self.connect(id).await.call(7, request).await;
        ErrorCode::from_code(told.topics[0].error_code).unwrap()
    }
}

fn leaders(told: &MetadataResponse, topic: &str) -> Vec<i32> {
    let topic = told.topics.iter().find(|known| known.name.as_deref() == Some(topic));
    topic.map_or_else(Vec::new, |topic| topic.partitions.iter().map(|p| p.leader_id).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_brokers_elect_and_each_of_them_takes_what_is_the_controllers() {
    let mut cluster = Cluster::start().await;
    let ids: BTreeSet<_> =
        cluster.brokers.iter().flatten().map(|broker| broker.cluster_id().to_owned()).collect();
    assert_eq!(ids.len(), 1, "they agree what the cluster is called: {ids:?}");
    for id in 1..=3 {
        assert_eq!(cluster.create(id, &format!("by-{id}"), 2, 3).await, ErrorCode::None);
        assert_eq!(cluster.create(id, "by-1", 2, 3).await, ErrorCode::TopicAlreadyExists);
    }
    for id in 1..=3 {
        cluster
            .await_metadata(id, "all topics with leaders", |told| {
                (1..=3).all(|topic| {
                    let leaders = leaders(told, &format!("by-{topic}"));
                    leaders.len() == 2 && leaders.iter().all(|leader| *leader > 0)
                })
            })
            .await;
    }
    let delete = DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: Some("by-2".into()), ..DeleteTopicState::default() }],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    let told = cluster.connect(3).await.call(6, delete).await;
    assert_eq!(told.responses[0].error_code, 0);
    for id in 1..=3 {
        cluster.await_metadata(id, "by-2 gone", |told| leaders(told, "by-2").is_empty()).await;
    }
    let mut given = BTreeSet::new();
    for id in 1..=3 {
        for _ in 0..2 {
            let request =
                InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
            let told = cluster.connect(id).await.call(4, request).await;
            assert_eq!(told.error_code, 0, "broker {id}");
            assert!(given.insert(told.producer_id), "{} is given twice", told.producer_id);
        }
    }
    for broker in std::mem::take(&mut cluster.brokers).into_iter().flatten() {
        broker.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_taken_where_one_replica_is_all_there_is_and_refused_by_name_elsewhere() {
    let cluster = Cluster::start().await;
    assert_eq!(cluster.create(1, "one", 1, 1).await, ErrorCode::None);
    assert_eq!(cluster.create(1, "three", 1, 3).await, ErrorCode::None);
    for (name, expected) in [("one", ErrorCode::None), ("three", ErrorCode::PolicyViolation)] {
        let has_leader =
            |told: &MetadataResponse| leaders(told, name).first().is_some_and(|leader| *leader > 0);
        cluster.await_metadata(1, "a leader", has_leader).await;
        let told = cluster
            .connect(1)
            .await
            .call(12, MetadataRequest { topics: None, ..MetadataRequest::default() })
            .await;
        let leader = usize::try_from(leaders(&told, name)[0]).unwrap();
        cluster.await_metadata(leader, "its own topic", has_leader).await;
        let data = vec![Topic::named(name).records(0, batch(BatchBuilder::new(), &[1_000]))];
        let told = cluster.connect(leader).await.call(9, produce_request(-1, data)).await;
        let partition = &told.responses[0].partition_responses[0];
        assert_eq!(ErrorCode::from_code(partition.error_code), Some(expected), "{name}");
        if expected.is_error() {
            assert!(partition.error_message.as_deref().unwrap().contains("3 replicas"), "{partition:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_broker_may_die_and_come_back() {
    let mut cluster = Cluster::start().await;
    for dead in 1..=3 {
        // A new one each time: who has died may lack records, and comes into an ISR again only by replication.
        let topic = format!("before-{dead}");
        assert_eq!(cluster.create(1, &topic, 6, 3).await, ErrorCode::None);
        let survivors: Vec<usize> = (1..=3).filter(|id| *id != dead).collect();
        cluster.abandon(dead);
        for id in &survivors {
            cluster
                .await_metadata(*id, "leaders among the survivors", |told| {
                    let leaders = leaders(told, &topic);
                    told.brokers.len() == 2
                        && leaders.len() == 6
                        && leaders
                            .iter()
                            .all(|leader| survivors.contains(&usize::try_from(*leader).unwrap_or(0)))
                })
                .await;
        }
        assert_eq!(cluster.create(survivors[0], &format!("without-{dead}"), 1, 2).await, ErrorCode::None);
        cluster.restart(dead).await;
        for id in 1..=3 {
            cluster.await_brokers(id, 3).await;
        }
    }
}

#[tokio::test]
async fn voter_lists_that_disagree_are_told_with_both_lists() {
    let dir = tempfile::tempdir().unwrap();
    let ports = free_ports(4);
    let (three, two) = (voters(&ports[..3]), voters(&ports[..2]));
    let first = Broker::start(Env::real(), settings(dir.path(), 1, &three, ""));
    let second = Broker::start(Env::real(), settings(dir.path(), 2, &two, ""));
    let error = tokio::select! {
        error = first => error.err().unwrap(),
        error = second => error.err().unwrap(),
    };
    let error = error.to_string();
    assert!(error.contains("controller.quorum.voters"), "{error}");
    assert!(error.contains(&three) && error.contains(&two), "{error}");
}

#[tokio::test]
async fn a_quorum_that_cannot_be_reached_is_told_after_the_time_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let more = "initial.broker.registration.timeout.ms=200\n";
    let error = Broker::start(Env::real(), settings(dir.path(), 1, &voters(&free_ports(3)), more)).await;
    let error = error.err().unwrap().to_string();
    assert!(error.contains("200 ms") && error.contains("controller.quorum.voters"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stops_in_order_gives_away_what_it_leads_before_it_ends() {
    let mut cluster = Cluster::start().await;
    assert_eq!(cluster.create(1, "t", 6, 3).await, ErrorCode::None);
    cluster.await_metadata(2, "leaders", |told| leaders(told, "t").iter().all(|leader| *leader > 0)).await;
    cluster.brokers[0].take().unwrap().stop().await.unwrap();
    // No time passes between: the leaders were there before the broker was gone.
    let told = cluster
        .connect(2)
        .await
        .call(12, MetadataRequest { topics: None, ..MetadataRequest::default() })
        .await;
    let leaders = leaders(&told, "t");
    assert!(leaders.iter().all(|leader| [2, 3].contains(leader)), "{leaders:?}");
    cluster.restart(1).await;
    cluster.await_brokers(1, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_does_not_join_and_says_whose_it_is() {
    let mut one = Cluster::start().await;
    let other = Cluster::start().await;
    let ids: Vec<_> = [&one, &other]
        .map(|cluster| cluster.brokers[1].as_ref().unwrap().cluster_id().to_owned())
        .into_iter()
        .collect();
    one.brokers[0].take().unwrap().stop().await.unwrap();
    // Node 1 of the one comes back with the voters of the other, but for its own address.
    let address = |voters: &str, id: usize| voters.split(',').nth(id - 1).unwrap().to_owned();
    let mixed = [address(&one.voters, 1), address(&other.voters, 2), address(&other.voters, 3)].join(",");
    let error = Broker::start(Env::real(), settings(one.dir.path(), 1, &mixed, "")).await;
    let error = error.err().unwrap().to_string();
    assert!(error.contains(&ids[0]) && error.contains(&ids[1]), "{error}");
}
