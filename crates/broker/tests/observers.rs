//! Brokers that do not vote, and controllers that are no brokers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use common::cluster::{Cluster, free_ports, leaders, voters};
use common::{Client, PATIENCE};
use futures_util::future::join_all;
use ottla_broker::{Broker, StartError};
use ottla_env::Env;
use ottla_types::ErrorCode;
use ottla_types::config::Settings;
use ottla_wire::broker_heartbeat::BrokerHeartbeatRequest;
use ottla_wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_wire::describe_cluster::DescribeClusterRequest;
use ottla_wire::describe_quorum::{DescribeQuorumRequest, PartitionData, TopicData};
use ottla_wire::init_producer_id::InitProducerIdRequest;
use ottla_wire::metadata::{MetadataRequest, MetadataResponse};

/// The settings of a broker that does not vote, which is told of the quorum by this key.
fn observer(dir: &Path, id: usize, quorum: &str) -> Settings {
    let text = format!(
        "node.id={id}\nprocess.roles=broker\nlog.dirs={}/node-{id}\nlisteners=PLAINTEXT://127.0.0.1:0\n\
         controller.listener.names=CONTROLLER\n{quorum}\n",
        dir.display()
    );
    Settings::parse("test.properties", &text).unwrap().0
}

/// The addresses of voters as `controller.quorum.bootstrap.servers` has them.
fn servers(voters: &str) -> String {
    let addresses: Vec<&str> = voters.split(',').map(|voter| voter.split_once('@').unwrap().1).collect();
    format!("controller.quorum.bootstrap.servers={}", addresses.join(","))
}

/// Starts a broker; what the one before held is let go when its tasks are run next.
async fn start(settings: Settings) -> Broker {
    let begin = Instant::now();
    loop {
        match Broker::start(Env::real(), settings.clone()).await {
            Ok(broker) => return broker,
            Err(StartError::Bind(_) | StartError::Logs(_) | StartError::Metadata(_))
                if begin.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Three voters, and brokers 4 and 5 beside them: one is told the addresses, the other the voters.
async fn five() -> Cluster {
    let mut cluster = Cluster::start().await;
    let by_voters = format!("controller.quorum.voters={}", cluster.voters);
    for (id, quorum) in [(4, servers(&cluster.voters)), (5, by_voters)] {
        let broker = start(observer(cluster.dir.path(), id, &quorum)).await;
        cluster.brokers.push(Some(broker));
    }
    for id in 1..=5 {
        cluster.await_brokers(id, 5).await;
    }
    cluster
}

fn all_led(told: &MetadataResponse, topic: &str, count: usize, by: &[usize]) -> bool {
    let leaders = leaders(told, topic);
    leaders.len() == count
        && leaders.iter().all(|leader| by.contains(&usize::try_from(*leader).unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_do_not_vote_are_brokers_as_any_other() {
    let mut cluster = five().await;
    let ids: BTreeSet<_> =
        cluster.brokers.iter().flatten().map(|broker| broker.cluster_id().to_owned()).collect();
    assert_eq!(ids.len(), 1, "they belong to one cluster: {ids:?}");
    for id in [4, 5, 1] {
        let topic = format!("by-{id}");
        assert_eq!(cluster.create(id, &topic, 10, 5).await, ErrorCode::None);
        // Who was asked knows of it when it has answered.
        let told = cluster
            .connect(id)
            .await
            .call(12, MetadataRequest { topics: None, ..MetadataRequest::default() })
            .await;
        assert!(all_led(&told, &topic, 10, &[1, 2, 3, 4, 5]), "{told:?}");
        assert_eq!(leaders(&told, &topic).into_iter().collect::<BTreeSet<_>>().len(), 5, "all of them lead");
    }
    for id in 1..=5 {
        cluster
            .await_metadata(id, "all topics", |told| {
                [1, 4, 5].iter().all(|by| all_led(told, &format!("by-{by}"), 10, &[1, 2, 3, 4, 5]))
            })
            .await;
        let told = cluster.connect(id).await.call(1, DescribeClusterRequest::default()).await;
        assert_eq!(told.brokers.len(), 5, "{told:?}");
    }
    let delete = DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: Some("by-1".into()), ..DeleteTopicState::default() }],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    assert_eq!(cluster.connect(5).await.call(6, delete).await.responses[0].error_code, 0);
    for id in 1..=5 {
        cluster.await_metadata(id, "by-1 gone", |told| leaders(told, "by-1").is_empty()).await;
    }
    let mut given = BTreeSet::new();
    for id in [4, 5, 4, 1] {
        let request = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
        let told = cluster.connect(id).await.call(4, request).await;
        assert_eq!(told.error_code, 0, "broker {id}");
        assert!(given.insert(told.producer_id), "{} is given twice", told.producer_id);
    }
    for broker in std::mem::take(&mut cluster.brokers).into_iter().flatten() {
        broker.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_vote_dies_is_replaced_as_a_leader_and_comes_back() {
    let mut cluster = five().await;
    assert_eq!(cluster.create(4, "t", 10, 5).await, ErrorCode::None);
    cluster.abandon(4);
    for id in [1, 2, 3, 5] {
        cluster
            .await_metadata(id, "leaders among the others", |told| {
                told.brokers.len() == 4 && all_led(told, "t", 10, &[1, 2, 3, 5])
            })
            .await;
    }
    let broker = start(observer(cluster.dir.path(), 4, &servers(&cluster.voters))).await;
    cluster.brokers[3] = Some(broker);
    for id in 1..=5 {
        cluster
            .await_metadata(id, "all five", |told| {
                told.brokers.len() == 5 && all_led(told, "t", 10, &[1, 2, 3, 4, 5])
            })
            .await;
    }
    // And one that stops in order is missed by nobody.
    cluster.brokers[4].take().unwrap().stop().await.unwrap();
    for id in [1, 4] {
        cluster.await_metadata(id, "leaders but 5", |told| all_led(told, "t", 10, &[1, 2, 3, 4])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn observers_follow_over_the_death_of_each_voter_and_of_all() {
    let mut cluster = five().await;
    for dead in 1..=3 {
        cluster.abandon(dead);
        let topic = format!("without-{dead}");
        assert_eq!(cluster.create(4, &topic, 2, 2).await, ErrorCode::None);
        cluster
            .await_metadata(5, "what was changed meanwhile", |told| {
                told.brokers.len() == 4 && leaders(told, &topic).len() == 2
            })
            .await;
        cluster.restart(dead).await;
        for id in 1..=5 {
            cluster.await_brokers(id, 5).await;
        }
    }
    (1..=3).for_each(|id| cluster.abandon(id));
    let restarts = (1..=3).map(|id| {
        let settings = common::cluster::settings(cluster.dir.path(), id, &cluster.voters, "");
        start(settings)
    });
    for (id, broker) in join_all(restarts).await.into_iter().enumerate() {
        cluster.brokers[id] = Some(broker);
    }
    for id in 1..=5 {
        cluster.await_brokers(id, 5).await;
    }
    assert_eq!(cluster.create(5, "after", 3, 5).await, ErrorCode::None);
    cluster.await_metadata(4, "the new topic", |told| leaders(told, "after").len() == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_begins_with_a_snapshot_where_the_log_begins_later() {
    let more = "metadata.log.max.record.bytes.between.snapshots=1\n";
    let mut cluster = Cluster::start_with(more, vec![Env::real(); 3]).await;
    for topic in 0..10 {
        assert_eq!(cluster.create(1, &format!("t{topic}"), 3, 3).await, ErrorCode::None);
    }
    let broker = start(observer(cluster.dir.path(), 4, &servers(&cluster.voters))).await;
    cluster.brokers.push(Some(broker));
    let has_all =
        |told: &MetadataResponse| (0..10).all(|topic| leaders(told, &format!("t{topic}")).len() == 3);
    // At once: it serves nobody before it has replayed what was committed.
    let told = cluster
        .connect(4)
        .await
        .call(12, MetadataRequest { topics: None, ..MetadataRequest::default() })
        .await;
    assert!(has_all(&told), "{told:?}");
    assert_eq!(cluster.create(4, "more", 1, 4).await, ErrorCode::None);
    cluster.await_metadata(4, "a new topic", |told| leaders(told, "more").len() == 1).await;
}

/// The settings of a controller that is no broker.
fn controller(dir: &Path, id: usize, voters: &str) -> Settings {
    let address = voters.split(',').nth(id - 1).unwrap().split_once('@').unwrap().1;
    let text = format!(
        "node.id={id}\nprocess.roles=controller\nmetadata.log.dir={0}/node-{id}\nlog.dirs={0}/none-{id}\n\
         listeners=CONTROLLER://{address}\ncontroller.listener.names=CONTROLLER\n\
         controller.quorum.voters={voters}\nmetrics.listener=127.0.0.1:0\n",
        dir.display()
    );
    Settings::parse("test.properties", &text).unwrap().0
}

async fn client(broker: &Broker) -> Client {
    let (_, address) = broker.listeners().iter().find(|(name, _)| name == "PLAINTEXT").unwrap();
    Client::open(*address).await
}

async fn health(broker: &Broker) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(broker.metrics_address().unwrap()).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_that_are_no_brokers_decide_and_are_no_brokers() {
    for count in [1, 3] {
        let dir = tempfile::tempdir().unwrap();
        let voters = voters(&free_ports(count));
        let mut controllers =
            join_all((1..=count).map(|id| start(controller(dir.path(), id, &voters)))).await;
        let mut brokers = Vec::new();
        for id in [11, 12] {
            brokers.push(start(observer(dir.path(), id, &servers(&voters))).await);
        }
        let mut cluster = Cluster::over(dir, voters, brokers.into_iter().map(Some).collect());
        for place in 1..=2 {
            cluster.await_brokers(place, 2).await;
            let told = cluster.connect(place).await.call(1, DescribeClusterRequest::default()).await;
            let ids: BTreeSet<i32> = told.brokers.iter().map(|broker| broker.broker_id).collect();
            assert_eq!(ids, BTreeSet::from([11, 12]));
        }
        assert_eq!(cluster.create(1, "t", 4, 2).await, ErrorCode::None);
        assert_eq!(cluster.create(2, "three", 1, 3).await, ErrorCode::InvalidReplicationFactor);
        let mut asked = client(cluster.brokers[1].as_ref().unwrap()).await;
        let request = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
        assert_eq!(asked.call(4, request).await.error_code, 0);
        for controller in &controllers {
            assert_eq!(controller.listeners().len(), 1);
            assert_eq!(controller.listeners()[0].0, "CONTROLLER");
            let told = health(controller).await;
            assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        }
        assert!(!cluster.dir.path().join("none-1").exists(), "a controller uses no log.dirs");
        // A dead broker is found dead by controllers that are none.
        cluster.abandon(2);
        cluster.await_metadata(1, "leaders but 12", |told| all_led(told, "t", 4, &[11])).await;
        controllers.pop().unwrap().stop().await.unwrap();
        if count > 1 {
            assert_eq!(cluster.create(1, "without", 1, 1).await, ErrorCode::None);
        }
        controllers.push(start(controller(cluster.dir.path(), count, &cluster.voters)).await);
        assert_eq!(cluster.create(1, "after", 1, 1).await, ErrorCode::None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_belong_elsewhere_or_nowhere_are_told_so() {
    let mut cluster = Cluster::start().await;
    let other = Cluster::start().await;
    let path = cluster.dir.path().to_owned();
    let path = path.as_path();
    let refusal = async |settings: Settings| {
        Broker::start(Env::real(), settings).await.err().expect("it must not start").to_string()
    };
    // Its data are of the other cluster.
    start(observer(path, 4, &servers(&other.voters))).await.stop().await.unwrap();
    let error = refusal(observer(path, 4, &servers(&cluster.voters))).await;
    let id = |cluster: &Cluster| cluster.brokers[0].as_ref().unwrap().cluster_id().to_owned();
    assert!(error.contains(&id(&cluster)) && error.contains(&id(&other)), "{error}");
    assert!(error.contains("meta.properties") && error.contains("log.dirs"), "{error}");
    // The servers are of two clusters.
    let both = format!("{},{}", servers(&cluster.voters), servers(&other.voters).split_once('=').unwrap().1);
    let error = refusal(observer(path, 5, &both)).await;
    assert!(error.contains(&id(&cluster)) && error.contains(&id(&other)), "{error}");
    // It has the id of a controller.
    let error = refusal(observer(path, 1, &servers(&cluster.voters))).await;
    assert!(error.contains("node.id is 1"), "{error}");
    // It votes, and would not any more.
    cluster.brokers[2].take().unwrap().stop().await.unwrap();
    let error = refusal(observer(path, 3, &servers(&cluster.voters))).await;
    assert!(
        error.contains("node 3 votes in the metadata quorum") && error.contains("remove-controller"),
        "{error}"
    );
    // Two voters are listed the wrong way round.
    let mut swapped: Vec<&str> = cluster.voters.split(',').map(|voter| &voter[2..]).collect();
    swapped.swap(0, 1);
    let swapped: Vec<String> =
        swapped.iter().zip(1..).map(|(address, id)| format!("{id}@{address}")).collect();
    let error = refusal(observer(path, 6, &format!("controller.quorum.voters={}", swapped.join(",")))).await;
    assert!(error.contains("controller.quorum.voters says that node"), "{error}");
    // Nobody is there.
    let nobody = format!("{}\ninitial.broker.registration.timeout.ms=200", servers(&voters(&free_ports(2))));
    let error = refusal(observer(path, 7, &nobody)).await;
    assert!(error.contains("200 ms") && error.contains("controller.quorum.bootstrap.servers"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_broker_of_an_id_ends_in_an_error_that_says_so() {
    let mut cluster = Cluster::start().await;
    let quorum = servers(&cluster.voters);
    cluster.brokers.push(Some(start(observer(cluster.dir.path(), 4, &quorum)).await));
    cluster.await_brokers(1, 4).await;
    let elsewhere = tempfile::tempdir().unwrap();
    // It believes sooner that the first one lives.
    let second = observer(elsewhere.path(), 4, &format!("{quorum}\nbroker.session.timeout.ms=200"));
    let error = tokio::time::timeout(PATIENCE, Broker::start(Env::real(), second)).await.unwrap();
    let error = error.map(drop).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StartError::IdTaken { .. }), "{text}");
    let (_, first) = cluster.brokers[3].as_ref().unwrap().listeners()[0].clone();
    assert!(text.contains("node.id 4 is taken") && text.contains(&format!(" at {first}")), "{text}");
    cluster.await_brokers(2, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_that_are_refused_tell_nothing_of_who_follows() {
    let mut cluster = Cluster::start().await;
    let observer = start(observer(cluster.dir.path(), 4, &servers(&cluster.voters))).await;
    cluster.brokers.push(Some(observer));
    cluster.await_brokers(1, 4).await;
    let mut refused = Vec::new();
    for voter in cluster.voters.split(',') {
        let mut controller = Client::open(voter.split_once('@').unwrap().1.parse().unwrap()).await;
        // An id that nobody has, and a registration that broker 4 does not have.
        for broker_id in [1_000_000, 4] {
            let heartbeat = BrokerHeartbeatRequest {
                broker_id,
                broker_epoch: 1_000_000,
                current_metadata_offset: 1_000_000_000_000_000,
                ..BrokerHeartbeatRequest::default()
            };
            refused.extend(ErrorCode::from_code(controller.call(0, heartbeat).await.error_code));
        }
    }
    assert!(!refused.contains(&ErrorCode::None), "{refused:?}");
    assert!(refused.contains(&ErrorCode::BrokerIdNotRegistered), "the active controller is among them");
    assert!(refused.contains(&ErrorCode::StaleBrokerEpoch), "{refused:?}");
    let partition = PartitionData { partition_index: 0, ..PartitionData::default() };
    let topic = TopicData {
        topic_name: "__cluster_metadata".into(),
        partitions: vec![partition],
        ..TopicData::default()
    };
    let request = DescribeQuorumRequest { topics: vec![topic], ..DescribeQuorumRequest::default() };
    let told = cluster.connect(1).await.call(2, request).await;
    let partition = &told.topics[0].partitions[0];
    assert_eq!(partition.error_code, 0, "{told:?}");
    for observer in &partition.observers {
        assert_eq!(observer.replica_id, 4, "{told:?}");
        assert!(observer.log_end_offset <= partition.high_watermark, "{told:?}");
    }
}
