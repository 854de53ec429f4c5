//! Voters that come and go.

#[path = "common/cluster.rs"]
mod cluster;
mod common;

use std::time::Duration;

use ottla_broadcast::conformance::{Cluster, Node, batch, leader, leader_among};
use ottla_broadcast::quorum::{QuorumAdmin, QuorumError, VoterEndpoint};
use ottla_broadcast::raft::Raft;
use ottla_types::{BrokerId, DirectoryId, Offset};

use cluster::{Quorum, key, voter};

/// Five nodes, of which the first `voters` vote.
async fn start(voters: usize) -> (Quorum, Vec<Node>) {
    let mut quorum = Quorum::new(5, voters, 11);
    let nodes = Node::start_all(&mut quorum).await;
    (quorum, nodes)
}

fn raft(quorum: &Quorum, nth: usize) -> std::sync::Arc<Raft> {
    quorum.nodes[nth].clone().unwrap()
}

async fn voters(raft: &Raft) -> Vec<i32> {
    raft.describe().await.unwrap().voters.iter().map(|replica| replica.voter.key.id.0).collect()
}

#[tokio::test(start_paused = true)]
async fn a_quorum_of_one_grows_to_three_and_survives_the_first() {
    let (mut quorum, nodes) = start(1).await;
    let (_, epoch) = leader(&nodes).await;
    let mut expected = batch(&["a", "b", "c"]);
    nodes[0].commit(epoch, expected.clone()).await;
    let first = raft(&quorum, 0);
    first.add_voter(voter(1)).await.unwrap();
    first.add_voter(voter(2)).await.unwrap();
    assert_eq!(voters(&first).await, [1, 2, 3]);
    nodes[0].commit(epoch, batch(&["d"])).await;
    expected.extend(batch(&["d"]));
    for node in &nodes[..3] {
        assert_eq!(node.records(4).await, expected);
    }
    quorum.kill(0);
    let (new, later) = leader_among(&nodes, |nth, _| nth != 0).await;
    nodes[new].commit(later, batch(&["e"])).await;
    expected.extend(batch(&["e"]));
    let again = Node::start(&mut quorum, 0).await;
    assert_eq!(again.records(5).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_new_voter_has_caught_up_before_it_votes_also_by_a_snapshot() {
    let (quorum, nodes) = start(3).await;
    let (leading, epoch) = leader(&nodes).await;
    for nth in 0..1300 {
        nodes[leading].commit(epoch, batch(&[format!("{nth}")])).await;
    }
    assert_eq!(nodes[leading].snapshot(1300).await, Ok(1300));
    nodes[leading].commit(epoch, batch(&["tail"])).await;
    raft(&quorum, leading).add_voter(voter(3)).await.unwrap();
    // It was answered for when the log was there, not just on its way.
    assert_eq!(nodes[3].records(1301).await.len(), 1301);
    assert_eq!(nodes[3].seen().ends[0], 1300);
    assert_eq!(voters(&raft(&quorum, leading)).await, [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_voter_that_is_not_there_is_not_added_and_the_quorum_goes_on() {
    let (mut quorum, nodes) = start(3).await;
    let (leading, epoch) = leader(&nodes).await;
    quorum.kill(4);
    let error = raft(&quorum, leading).add_voter(voter(4)).await.unwrap_err();
    assert_eq!(error, QuorumError::NotCaughtUp(BrokerId(5)));
    let state = raft(&quorum, leading).describe().await.unwrap();
    assert_eq!((state.voters.len(), state.observers), (3, vec![]));
    nodes[leading].commit(epoch, batch(&["a"])).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_removed_hands_over_and_the_others_go_on() {
    let (quorum, nodes) = start(3).await;
    let (leading, epoch) = leader(&nodes).await;
    nodes[leading].commit(epoch, batch(&["a"])).await;
    raft(&quorum, leading).remove_voter(key(leading)).await.unwrap();
    let (new, later) = leader_among(&nodes, |nth, _| nth != leading).await;
    nodes[new].commit(later, batch(&["b"])).await;
    nodes[leading].until(|seen| seen.leading.is_none().then_some(())).await;
    let left = voters(&raft(&quorum, new)).await;
    assert!(left.len() == 2 && !left.contains(&(leading as i32 + 1)), "{left:?}");
    // It does not come back by itself.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(nodes[new].seen().leading, Some(later));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lost_its_vote_follows_on_as_long_as_it_lives() {
    let (mut quorum, nodes) = start(3).await;
    let (leading, epoch) = leader(&nodes).await;
    let (removed, silent) = ((leading + 1) % 3, 3);
    nodes[leading].commit(epoch, batch(&["a"])).await;
    let admin = raft(&quorum, leading);
    // One more, which is dead when its vote is taken.
    admin.add_voter(voter(silent)).await.unwrap();
    quorum.kill(silent);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for nth in [removed, silent] {
        admin.remove_voter(key(nth)).await.unwrap();
    }
    nodes[leading].commit(epoch, batch(&["b"])).await;
    assert_eq!(nodes[removed].records(2).await, batch(&["a", "b"]));
    let observers = async || {
        let state = admin.describe().await.unwrap();
        state.observers.into_iter().map(|replica| replica.voter.key).collect::<Vec<_>>()
    };
    assert_eq!(observers().await, [key(removed)]);
    // It stands for no election, and a restart changes nothing.
    quorum.kill(removed);
    let again = Node::start(&mut quorum, removed).await;
    nodes[leading].commit(epoch, batch(&["c"])).await;
    assert_eq!(again.records(3).await, batch(&["a", "b", "c"]));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(nodes[leading].seen().leading, Some(epoch));
    assert_eq!(observers().await, [key(removed)], "it answers");
    quorum.kill(removed);
    tokio::time::sleep(Duration::from_secs(240)).await;
    assert_eq!(observers().await, [key(removed)], "it may come back");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(observers().await, []);
    nodes[leading].commit(epoch, batch(&["d"])).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_lost_its_vote_follows_its_successor() {
    let (quorum, nodes) = start(3).await;
    let (leading, epoch) = leader(&nodes).await;
    nodes[leading].commit(epoch, batch(&["a"])).await;
    raft(&quorum, leading).remove_voter(key(leading)).await.unwrap();
    let (new, later) = leader_among(&nodes, |nth, _| nth != leading).await;
    nodes[new].commit(later, batch(&["b"])).await;
    assert_eq!(nodes[leading].records(2).await, batch(&["a", "b"]));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_by_name() {
    let (quorum, nodes) = start(3).await;
    let (leading, _) = leader(&nodes).await;
    let (leader, follower) = (raft(&quorum, leading), raft(&quorum, (leading + 1) % 3));
    let not_leader = QuorumError::NotLeader { leader: Some(BrokerId(leading as i32 + 1)) };
    let mut hint = nodes[(leading + 1) % 3].log.leader();
    hint.wait_for(|hint| hint.leader.is_some()).await.unwrap();
    assert_eq!(follower.add_voter(voter(3)).await, Err(not_leader.clone()));
    assert_eq!(follower.describe().await, Err(not_leader));
    assert_eq!(leader.add_voter(voter(1)).await, Err(QuorumError::Duplicate(BrokerId(2))));
    // A node with another directory is somebody else, and its predecessor is removed first.
    let mut again = voter(1);
    again.key.directory = DirectoryId([99; 16]);
    assert_eq!(leader.add_voter(again.clone()).await, Err(QuorumError::Duplicate(BrokerId(2))));
    assert_eq!(leader.remove_voter(again.key).await, Err(QuorumError::NotFound(again.key)));
    assert_eq!(leader.update_voter(again.clone()).await, Err(QuorumError::NotFound(again.key)));
    let mut nowhere = voter(3);
    nowhere.endpoints.clear();
    assert!(matches!(leader.add_voter(nowhere).await, Err(QuorumError::Invalid(_))));
    let (alone_quorum, alone_nodes) = start(1).await;
    alone_nodes[0].leading().await;
    let alone = raft(&alone_quorum, 0);
    assert!(matches!(alone.remove_voter(key(0)).await, Err(QuorumError::Invalid(_))));
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_updated_and_everybody_is_described() {
    let (quorum, nodes) = start(3).await;
    let (leading, epoch) = leader(&nodes).await;
    nodes[leading].commit(epoch, batch(&["a", "b"])).await;
    let leader = raft(&quorum, leading);
    let mut moved = voter((leading + 1) % 3);
    moved.endpoints = vec![VoterEndpoint { listener: "CONTROLLER".into(), host: "moved".into(), port: 1 }];
    leader.update_voter(moved.clone()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let state = leader.describe().await.unwrap();
    assert_eq!((state.leader, state.epoch), (BrokerId(leading as i32 + 1), epoch));
    assert_eq!(state.high_watermark, Offset(2));
    for replica in &state.voters {
        assert_eq!(replica.log_end, Some(Offset(2)), "{replica:?}");
        assert!(replica.last_answer.is_some_and(|ago| ago < Duration::from_millis(200)), "{replica:?}");
    }
    assert!(state.voters.iter().any(|replica| replica.voter == moved));
}

#[tokio::test(start_paused = true)]
async fn a_quorum_of_one_that_grew_and_shrank_again_is_idle_again() {
    let (mut quorum, nodes) = start(1).await;
    nodes[0].leading().await;
    let first = raft(&quorum, 0);
    first.add_voter(voter(1)).await.unwrap();
    first.remove_voter(key(1)).await.unwrap();
    // As long as it is there, it follows.
    quorum.kill(1);
    tokio::time::sleep(Duration::from_secs(400)).await;
    let polls = quorum.polls(0);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(quorum.polls(0), polls);
}
