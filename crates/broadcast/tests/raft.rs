//! What is particular to a quorum: elections, catching up, votes that must not be forgotten, disks that fail.

#[path = "common/cluster.rs"]
mod cluster;
mod common;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use ottla_broadcast::conformance::{Cluster, Node, batch, leader, leader_among};
use ottla_broadcast::{Appended, AtomicBroadcast, Delivery, LeaderHint};
use ottla_types::{BrokerId, LeadershipEpoch, Offset};
use tokio::time::Instant;

use cluster::{Quorum, dir, key};

async fn commit_many(node: &Node, epoch: LeadershipEpoch, count: usize, len: usize) -> Vec<Bytes> {
    let mut all = Vec::new();
    for nth in 0..count {
        let mut record = format!("{nth}:").into_bytes();
        record.resize(len.max(record.len()), b'x');
        all.push(Bytes::from(record));
        node.commit(epoch, all[nth..].to_vec()).await;
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_has_a_successor_before_the_fetch_timeout_and_a_half() {
    let mut slowest = Duration::ZERO;
    for seed in 0..30 {
        let mut quorum = Quorum::new(3, 3, seed);
        let nodes = Node::start_all(&mut quorum).await;
        let (old, epoch) = leader(&nodes).await;
        nodes[old].commit(epoch, batch(&["a"])).await;
        tokio::time::sleep(Duration::from_millis(seed * 37)).await;
        let killed = Instant::now();
        quorum.kill(old);
        leader_among(&nodes, |nth, new| nth != old && new > epoch).await;
        slowest = slowest.max(killed.elapsed());
    }
    // 300 to 400 ms of silence, and another round where votes were split.
    assert!(slowest < Duration::from_millis(750), "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_closes_has_a_successor_at_once() {
    for seed in 0..10 {
        let mut quorum = Quorum::new(3, 3, seed);
        let nodes = Node::start_all(&mut quorum).await;
        let (old, epoch) = leader(&nodes).await;
        commit_many(&nodes[old], epoch, 5, 10).await;
        let closing = Instant::now();
        nodes[old].log.close().await;
        leader_among(&nodes, |nth, new| nth != old && new > epoch).await;
        assert!(closing.elapsed() < Duration::from_millis(100), "seed {seed}: {:?}", closing.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_cut_off_comes_back_without_unseating_the_leader() {
    let mut quorum = Quorum::new(3, 3, 4);
    let nodes = Node::start_all(&mut quorum).await;
    let (leading, epoch) = leader(&nodes).await;
    let other = (leading + 1) % 3;
    quorum.isolate(other);
    tokio::time::sleep(Duration::from_secs(30)).await;
    quorum.heal();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(nodes[leading].seen().leading, Some(epoch));
    nodes[leading].commit(epoch, batch(&["a"])).await;
    assert_eq!(nodes[other].records(1).await, batch(&["a"]));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_hears_nobody_though_all_hear_it_resigns() {
    let mut quorum = Quorum::new(3, 3, 4);
    let nodes = Node::start_all(&mut quorum).await;
    let (old, epoch) = leader(&nodes).await;
    // What it says arrives, and no answer comes back.
    for other in (0..3).filter(|other| *other != old) {
        quorum.wires.cut.lock().unwrap().insert((other, old));
    }
    let outcome = nodes[old].log.append(epoch, batch(&["?"])).unwrap().await;
    assert!(matches!(outcome, Appended::Unknown(_)), "{outcome:?}");
    let (new, later) = leader_among(&nodes, |nth, _| nth != old).await;
    nodes[new].commit(later, batch(&["new"])).await;
    quorum.heal();
    let all = nodes[new]
        .until(|seen| seen.records.contains(&batch(&["new"])[0]).then(|| seen.records.clone()))
        .await;
    assert_eq!(nodes[old].records(all.len()).await, all);
}

#[tokio::test(start_paused = true)]
async fn a_follower_far_behind_gets_a_snapshot_in_chunks_and_then_the_log() {
    let mut quorum = Quorum::new(3, 3, 5);
    let mut nodes = Node::start_all(&mut quorum).await;
    let (leading, epoch) = leader(&nodes).await;
    let behind = (leading + 1) % 3;
    nodes[leading].commit(epoch, batch(&["first"])).await;
    nodes[behind].records(1).await;
    quorum.kill(behind);
    // More entries than are kept behind a snapshot, and more bytes than a chunk has.
    let mut expected = batch(&["first"]);
    expected.extend(commit_many(&nodes[leading], epoch, 1500, 1000).await);
    let end = expected.len();
    assert_eq!(nodes[leading].snapshot(end).await, Ok(end));
    nodes[leading].commit(epoch, batch(&["tail"])).await;
    expected.extend(batch(&["tail"]));
    // The log is purged when the next attempt to send it has failed.
    tokio::time::sleep(Duration::from_secs(2)).await;
    quorum.wires.largest.store(0, Relaxed);
    nodes[behind] = Node::start(&mut quorum, behind).await;
    assert_eq!(nodes[behind].records(expected.len()).await, expected);
    // It was handed a snapshot behind what it had itself, and did not replay the log.
    assert!(nodes[behind].seen().ends[..3].contains(&end), "{:?}", &nodes[behind].seen().ends[..3]);
    let largest = quorum.wires.largest.load(Relaxed);
    assert!(largest < 300 * 1024, "a message of {largest} bytes for a snapshot of {} bytes", 1500 * 1000);
    // It is kept.
    quorum.kill(behind);
    nodes[behind] = Node::start(&mut quorum, behind).await;
    assert_eq!(nodes[behind].records(expected.len()).await, expected);
    assert_eq!(nodes[behind].seen().ends[0], end);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_whose_transfer_is_interrupted_is_sent_again() {
    let mut quorum = Quorum::new(3, 3, 6);
    let mut nodes = Node::start_all(&mut quorum).await;
    let (leading, epoch) = leader(&nodes).await;
    let behind = (leading + 1) % 3;
    quorum.kill(behind);
    let expected = commit_many(&nodes[leading], epoch, 1500, 1000).await;
    let end = expected.len();
    assert_eq!(nodes[leading].snapshot(end).await, Ok(end));
    for pause in 1..8 {
        nodes[behind] = Node::start(&mut quorum, behind).await;
        tokio::time::sleep(Duration::from_millis(pause * 3)).await;
        quorum.cut_power(behind);
    }
    nodes[behind] = Node::start(&mut quorum, behind).await;
    assert_eq!(nodes[behind].records(end).await, expected);
}

#[tokio::test(start_paused = true)]
async fn no_epoch_is_led_twice_however_often_the_power_goes() {
    for seed in 0..40 {
        let mut quorum = Quorum::new(3, 3, seed);
        let mut epochs = std::collections::BTreeMap::new();
        for start in 0..6 {
            let nodes = Node::start_all(&mut quorum).await;
            // At any moment of an election, and soon after.
            tokio::time::sleep(Duration::from_millis((seed * 131 + start * 71) % 700)).await;
            for (nth, node) in nodes.iter().enumerate() {
                for (epoch, _) in &node.seen().epochs {
                    let leader = epochs.insert(*epoch, (nth, start));
                    assert_eq!(leader, None, "epoch {epoch} again, by {nth} in start {start}");
                }
            }
            for nth in 0..3 {
                quorum.cut_power(nth);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_vote_that_was_granted_is_on_the_disk() {
    let mut quorum = Quorum::new(3, 3, 3);
    let nodes = Node::start_all(&mut quorum).await;
    let (_, epoch) = leader(&nodes).await;
    let voted = quorum.disks.iter().filter(|disk| {
        let vote = disk.durable(&dir().join("vote")).unwrap_or_default();
        // After the head of the file comes the term.
        vote.get(16..24).is_some_and(|term| term == epoch.0.to_be_bytes())
    });
    assert!(voted.count() >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_ends_its_node_and_not_the_quorum() {
    let mut quorum = Quorum::new(3, 3, 8);
    let nodes = Node::start_all(&mut quorum).await;
    let (old, epoch) = leader(&nodes).await;
    nodes[old].commit(epoch, batch(&["before"])).await;
    quorum.disks[old].fail_sync();
    let outcome = nodes[old].log.append(epoch, batch(&["?"])).unwrap().await;
    assert!(!matches!(outcome, Appended::Rejected(_)), "{outcome:?}");
    let reason = nodes[old].until(|seen| seen.failed.clone()).await;
    assert!(reason.contains("the disk does not answer"), "{reason}");
    let (new, later) = leader_among(&nodes, |nth, _| nth != old).await;
    nodes[new].commit(later, batch(&["after"])).await;
}

#[tokio::test(start_paused = true)]
async fn a_minority_commits_nothing_and_loses_nothing_when_the_others_are_back() {
    let mut quorum = Quorum::new(5, 5, 9);
    let nodes = Node::start_all(&mut quorum).await;
    let (old, epoch) = leader(&nodes).await;
    nodes[old].commit(epoch, batch(&["before"])).await;
    let partner = (old + 1) % 5;
    // Two on one side, three on the other.
    for near in [old, partner] {
        for far in (0..5).filter(|far| ![old, partner].contains(far)) {
            quorum.wires.cut.lock().unwrap().extend([(near, far), (far, near)]);
        }
    }
    let outcome = nodes[old].log.append(epoch, batch(&["lost"])).unwrap().await;
    assert!(matches!(outcome, Appended::Unknown(_)));
    let (new, later) = leader_among(&nodes, |nth, _| ![old, partner].contains(&nth)).await;
    nodes[new].commit(later, batch(&["after"])).await;
    assert_eq!(nodes[partner].seen().records, batch(&["before"]));
    quorum.heal();
    for node in &nodes {
        assert_eq!(node.records(2).await, batch(&["before", "after"]));
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_quorum_of_one_does_nothing() {
    let mut quorum = Quorum::new(1, 1, 1);
    let started = Instant::now();
    let node = Node::start(&mut quorum, 0).await;
    let epoch = node.leading().await;
    assert!(started.elapsed() < Duration::from_millis(20), "it leads after {:?}", started.elapsed());
    node.commit(epoch, batch(&["a"])).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (syncs, polls) = (quorum.disks[0].syncs(), quorum.polls(0));
    tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
    // Where others vote too there are a hundred ticks in a second.
    assert_eq!((quorum.disks[0].syncs(), quorum.polls(0)), (syncs, polls));
    node.commit(epoch, batch(&["b"])).await;
}

#[tokio::test(start_paused = true)]
async fn voters_that_heard_of_different_directories_do_not_form_two_quorums() {
    let mut quorum = Quorum::new(3, 0, 2);
    let mut rafts = Vec::new();
    for nth in 0..3 {
        rafts.push(quorum.start_node(nth).await);
    }
    let all: Vec<_> = (0..3).map(cluster::voter).collect();
    // The second has heard of the third before that lost its directory, or after.
    let mut other = all.clone();
    other[2].key.directory = ottla_types::DirectoryId([99; 16]);
    rafts[1].initialise(other).await.unwrap();
    rafts[2].initialise(all.clone()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(rafts.iter().all(|raft| raft.is_empty()), "there is nothing before the first has spoken");
    rafts[0].initialise(all.clone()).await.unwrap();
    let mut deliveries = rafts[0].deliveries().unwrap();
    while !matches!(deliveries.recv().await, Some(Delivery::Leading { .. })) {}
    let state = ottla_broadcast::QuorumAdmin::describe(&*rafts[0]).await.unwrap();
    assert_eq!(state.voters.into_iter().map(|replica| replica.voter).collect::<Vec<_>>(), all);
}

#[tokio::test(start_paused = true)]
async fn a_suspected_leader_goes_on_while_it_lives_and_else_is_followed_when_its_lease_ends() {
    let mut slowest = Duration::ZERO;
    for seed in 0..10 {
        let mut quorum = Quorum::new(3, 3, seed);
        let nodes = Node::start_all(&mut quorum).await;
        let (old, epoch) = leader(&nodes).await;
        let next = (old + 1) % 3;
        let raft = quorum.nodes[next].clone().unwrap();
        for _ in 0..100 {
            raft.suspect_leader().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(raft.leader().borrow().epoch, epoch, "the others hear from the leader");
        quorum.kill(old);
        let killed = Instant::now();
        let suspecting = async {
            loop {
                raft.suspect_leader().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            biased;
            _ = leader_among(&nodes, |nth, new| nth == next && new > epoch) => {}
            () = suspecting => {}
        }
        slowest = slowest.max(killed.elapsed());
    }
    // The timers alone take 250 ms at the least.
    assert!(slowest < Duration::from_millis(240), "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quorum_of_one_leads_at_once_when_it_is_started_again() {
    let mut quorum = Quorum::new(1, 1, 1);
    for _ in 0..3 {
        let started = Instant::now();
        let node = Node::start(&mut quorum, 0).await;
        node.leading().await;
        assert!(started.elapsed() < Duration::from_millis(20), "it leads after {:?}", started.elapsed());
        quorum.kill(0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_for_a_directory_that_is_gone_is_refused_and_garbage_is_answered() {
    let mut quorum = Quorum::new(1, 1, 1);
    let raft = quorum.start_node(0).await;
    let mut deliveries = raft.deliveries().unwrap();
    while !matches!(deliveries.recv().await, Some(Delivery::Leading { .. })) {}
    for garbage in [&b""[..], b"x", &[0xff; 1000]] {
        let answer = raft.handle(Bytes::copy_from_slice(garbage)).await;
        assert_eq!(answer[0], 4, "{answer:?}");
    }
    // A barrier, asked of the node in its directory, and in another one.
    let ask = |directory: u8| {
        let mut bytes = vec![1, 6];
        for (id, directory) in [(2_i32, [2; 16]), (1, [directory; 16])] {
            bytes.extend(id.to_be_bytes());
            bytes.extend(directory);
        }
        raft.handle(bytes.into())
    };
    assert_eq!(ask(1).await[0], 0);
    let refused = ask(9).await;
    assert_eq!((refused[0], &refused[1..5]), (1, &1_i32.to_be_bytes()[..]));
    assert_eq!(raft.key(), key(0));
}

#[tokio::test(start_paused = true)]
async fn everybody_knows_who_leads() {
    let mut quorum = Quorum::new(3, 3, 2);
    let nodes = Node::start_all(&mut quorum).await;
    let (leading, epoch) = leader(&nodes).await;
    nodes[leading].commit(epoch, batch(&["a"])).await;
    let expected = LeaderHint { leader: Some(BrokerId(leading as i32 + 1)), epoch };
    for node in &nodes {
        let mut hint = node.log.leader();
        let found = *hint.wait_for(|hint| *hint == expected).await.unwrap();
        assert_eq!(found, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_not_initialised_neither_votes_nor_leads() {
    let mut quorum = Quorum::new(1, 0, 2);
    let raft = quorum.start_node(0).await;
    let mut deliveries = raft.deliveries().unwrap();
    assert!(raft.is_empty());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(deliveries.try_recv().is_err());
    assert!(raft.is_empty());
    assert!(raft.initialise(vec![cluster::voter(1)]).await.is_err());
    raft.initialise(vec![cluster::voter(0)]).await.unwrap();
    assert!(matches!(deliveries.recv().await, Some(Delivery::Leading { .. })));
    assert!(raft.initialise(vec![cluster::voter(0)]).await.is_err());
    assert_eq!(raft.read_barrier().await.unwrap(), Offset(0));
}
