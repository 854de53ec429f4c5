//! What a voter answers before it has its place in the quorum, and who may take the place of another one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use common::cluster::{Cluster, free_ports, settings, voters};
use common::{Client, PATIENCE};
use ottla_broker::Broker;
use ottla_env::Env;
use ottla_types::ErrorCode;
use ottla_wire::Uuid;
use ottla_wire::private::quorum_probe::QuorumProbeRequest;
use ottla_wire::private::raft_envelope::RaftEnvelopeRequest;
use ottla_wire::private::rejoin_quorum::{RejoinQuorumRequest, RejoinQuorumResponse};
use tokio::task::JoinHandle;

/// The address of a node's controller.
fn controller(voters: &str, id: usize) -> SocketAddr {
    voters.split(',').nth(id - 1).unwrap().split_once('@').unwrap().1.parse().unwrap()
}

/// Connects to a node that may not listen yet.
async fn connect(address: SocketAddr) -> Client {
    let begin = tokio::time::Instant::now();
    while tokio::net::TcpStream::connect(address).await.is_err() {
        assert!(begin.elapsed() < PATIENCE, "nobody listens at {address}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Client::open(address).await
}

/// A node that waits for the others.
async fn waiting(dir: &Path, voters: &str) -> (JoinHandle<()>, Client) {
    let (dir, list) = (dir.to_owned(), voters.to_owned());
    let node = tokio::spawn(async move {
        // What the one before held is let go when its tasks are run next.
        while Broker::start(Env::real(), settings(&dir, 1, &list, "")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    (node, connect(controller(voters, 1)).await)
}

fn envelope(cluster_id: &str) -> RaftEnvelopeRequest {
    RaftEnvelopeRequest {
        cluster_id: cluster_id.into(),
        from_id: 2,
        to_id: 1,
        ..RaftEnvelopeRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_answers_who_it_is_and_no_message_of_the_quorum_before_it_has_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let voters = voters(&free_ports(3));
    let (node, mut client) = waiting(dir.path(), &voters).await;
    for cluster_id in ["", "any"] {
        let answer = client.call(0, envelope(cluster_id)).await;
        assert_eq!(answer.error_code, ErrorCode::BrokerNotAvailable.code());
    }
    let probe = QuorumProbeRequest { node_id: -1, ..QuorumProbeRequest::default() };
    let mut answer = client.call(0, probe.clone()).await;
    while answer.error_code == ErrorCode::BrokerNotAvailable.code() {
        // Its directory gets its id.
        answer = client.call(0, probe.clone()).await;
    }
    assert_eq!((answer.error_code, answer.node_id, answer.listed.len()), (0, 1, 3));
    assert!(answer.founding.is_none() && answer.cluster_id.is_none() && answer.voters.is_empty());
    let first = answer.directory_id;
    node.abort();
    assert!(node.await.unwrap_err().is_cancelled());
    drop(client);
    // What it said is durable: it is the same one when it comes back.
    let (node, mut client) = waiting(dir.path(), &voters).await;
    let answer = client.call(0, probe).await;
    assert_eq!((answer.error_code, answer.directory_id), (0, first), "{answer:?}");
    node.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_another_cluster_and_of_none_are_refused() {
    let cluster = Cluster::start().await;
    let mut client = connect(controller(&cluster.voters, 1)).await;
    for cluster_id in ["", "another"] {
        let answer = client.call(0, envelope(cluster_id)).await;
        assert_eq!(answer.error_code, ErrorCode::InconsistentClusterId.code(), "{cluster_id}");
    }
    let own = cluster.brokers[0].as_ref().unwrap().cluster_id().to_owned();
    assert_eq!(client.call(0, envelope(&own)).await.error_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_the_vote_of_a_directory_that_lives() {
    let cluster = Cluster::start().await;
    let cluster_id = cluster.brokers[0].as_ref().unwrap().cluster_id().to_owned();
    let ask = async |asked: usize, node_id: i32| -> RejoinQuorumResponse {
        let mut client = connect(controller(&cluster.voters, asked)).await;
        let request = RejoinQuorumRequest {
            cluster_id: cluster_id.as_str().into(),
            node_id,
            directory_id: Uuid([7; 16]),
            ..RejoinQuorumRequest::default()
        };
        client.call(0, request).await
    };
    // Whoever is asked names the leader.
    let mut answer = ask(1, 2).await;
    let begin = tokio::time::Instant::now();
    let mut leader = 1;
    while answer.error_code == ErrorCode::NotController.code() {
        assert!(begin.elapsed() < PATIENCE, "{answer:?}");
        leader = usize::try_from(answer.leader_id).unwrap_or(1);
        answer = ask(leader, 2).await;
    }
    assert_eq!(answer.error_code, ErrorCode::DuplicateVoter.code(), "{answer:?}");
    let why = answer.error_message.unwrap();
    assert!(why.contains("two nodes have one node.id") && why.contains("node 2"), "{}", &*why);
    let stranger = ask(leader, 9).await;
    assert_eq!(stranger.error_code, ErrorCode::InvalidRequest.code(), "{stranger:?}");
    assert_eq!(cluster.create(2, "t", 1, 3).await, ErrorCode::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_address_was_taken_while_it_looked_for_its_quorum_says_so_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let ports = free_ports(4);
    let voters = voters(&ports[..3]);
    let listeners =
        format!("listeners=PLAINTEXT://127.0.0.1:{},CONTROLLER://127.0.0.1:{}\n", ports[3], ports[0]);
    let first = tokio::spawn(Broker::start(Env::real(), settings(dir.path(), 1, &voters, &listeners)));
    // It has bound its address by now, and listens only when it can serve.
    drop(connect(controller(&voters, 1)).await);
    let _taken = std::net::TcpListener::bind(("127.0.0.1", ports[3])).unwrap();
    let others = [2, 3].map(|id| Broker::start(Env::real(), settings(dir.path(), id, &voters, "")));
    let _others = futures_util::future::join_all(others).await;
    let ended = tokio::time::timeout(PATIENCE, first).await.unwrap().unwrap();
    let error = ended.err().unwrap().to_string();
    assert!(error.contains("listeners") && error.contains(&ports[3].to_string()), "{error}");
}
