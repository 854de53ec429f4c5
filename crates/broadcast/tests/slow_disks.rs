//! Voters whose disks are slow, and that are there all the same: who leads goes on, and what is appended is committed when the
//! disks have it, and not before.

#[path = "common/cluster.rs"]
mod cluster;
mod common;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use ottla_broadcast::Appended;
use ottla_broadcast::conformance::{Cluster, Node, batch, leader, leader_among};
use ottla_types::LeadershipEpoch;
use tokio::time::Instant;

use cluster::Quorum;

/// Three voters that have settled, and which of them leads.
async fn settled(seed: u64) -> (Quorum, Vec<Node>, usize, LeadershipEpoch) {
    let mut quorum = Quorum::new(3, 3, seed);
    let nodes = Node::start_all(&mut quorum).await;
    let (leading, epoch) = leader(&nodes).await;
    nodes[leading].commit(epoch, batch(&["settled"])).await;
    for node in &nodes {
        node.records(1).await;
    }
    (quorum, nodes, leading, epoch)
}

/// Records of so many bytes altogether, in batches of a few.
fn large(count: usize, len: usize) -> Vec<Vec<Bytes>> {
    let record = |nth: usize| Bytes::from(format!("{nth}:{}", "x".repeat(len)));
    (0..count).map(|nth| vec![record(nth), record(nth + count)]).collect()
}

#[tokio::test(start_paused = true)]
async fn leadership_stays_and_appends_complete_however_slow_the_disks_are() {
    for (seed, millis) in [(1, 150), (2, 300), (3, 600), (4, 2000), (5, 10_000)] {
        for slow in ["followers", "leader", "all"] {
            let (quorum, nodes, leading, epoch) = settled(seed).await;
            for (nth, disk) in quorum.disks.iter().enumerate() {
                if slow == "all" || (slow == "leader") == (nth == leading) {
                    disk.slow_down(Duration::from_millis(millis));
                }
            }
            // One after another, then several at once, of which the later ones find the disks busy.
            for record in ["a", "b"] {
                nodes[leading].commit(epoch, batch(&[record])).await;
            }
            let appending: Vec<_> =
                large(40, 50_000).into_iter().map(|batch| nodes[leading].log.append(epoch, batch)).collect();
            for appended in appending {
                let outcome = appended.unwrap().await;
                assert!(matches!(outcome, Appended::Committed(_)), "{slow} at {millis} ms: {outcome:?}");
            }
            let seen = nodes[leading].seen();
            assert_eq!((seen.epochs.len(), seen.leading), (1, Some(epoch)), "{slow} at {millis} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_waits_for_the_disks_of_a_majority() {
    let (quorum, nodes, leading, epoch) = settled(6).await;
    quorum.disks.iter().for_each(|disk| disk.slow_down(Duration::from_secs(2)));
    let asked = Instant::now();
    nodes[leading].commit(epoch, batch(&["what is looked for"])).await;
    assert!(asked.elapsed() >= Duration::from_secs(2), "committed after {:?}", asked.elapsed());
    let durable = quorum.disks.iter().filter(|disk| disk.has_durably(b"what is looked for"));
    assert!(durable.count() >= 2, "a record is committed that a majority of the disks does not have");
}

#[tokio::test(start_paused = true)]
async fn entries_are_not_sent_again_while_a_disk_works_on_them() {
    let (quorum, nodes, leading, epoch) = settled(7).await;
    quorum.disks.iter().for_each(|disk| disk.slow_down(Duration::from_secs(5)));
    quorum.wires.bytes.store(0, Relaxed);
    let record = vec![Bytes::from(vec![b'x'; 1_000_000])];
    nodes[leading].commit(epoch, record).await;
    let sent = quorum.wires.bytes.load(Relaxed);
    assert!(sent < 2_300_000, "{sent} bytes for a megabyte to each of two");
}

#[tokio::test(start_paused = true)]
async fn reads_are_answered_while_disks_are_slow() {
    let (quorum, nodes, leading, epoch) = settled(8).await;
    quorum.disks.iter().for_each(|disk| disk.slow_down(Duration::from_secs(3)));
    let appending = nodes[leading].log.append(epoch, batch(&["a"])).unwrap();
    let asked = Instant::now();
    let barrier = nodes[leading].log.read_barrier().await.unwrap();
    assert_eq!(barrier.0, 1);
    assert!(asked.elapsed() < Duration::from_secs(1), "answered after {:?}", asked.elapsed());
    assert!(matches!(appending.await, Appended::Committed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_taken_while_disks_are_slow_and_leadership_stays() {
    let (quorum, nodes, leading, epoch) = settled(9).await;
    // More than the journal keeps of what is superfluous.
    for batch in large(60, 60_000) {
        nodes[leading].commit(epoch, batch).await;
    }
    for node in &nodes {
        node.records(121).await;
    }
    quorum.disks.iter().for_each(|disk| disk.slow_down(Duration::from_secs(1)));
    for node in &nodes {
        node.snapshot(121).await.unwrap();
    }
    for batch in large(3, 60_000) {
        nodes[leading].commit(epoch, batch).await;
    }
    assert_eq!(nodes[leading].seen().epochs.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_quorum_is_cut_off_resigns_as_soon_with_slow_disks() {
    let (mut quorum, nodes, leading, epoch) = settled(10).await;
    quorum.disks.iter().for_each(|disk| disk.slow_down(Duration::from_secs(2)));
    let appending = nodes[leading].log.append(epoch, batch(&["?"])).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let cut = Instant::now();
    quorum.isolate(leading);
    assert!(matches!(appending.await, Appended::Unknown(_)));
    nodes[leading].until(|seen| seen.leading.is_none().then_some(())).await;
    assert!(cut.elapsed() < Duration::from_secs(1), "resigned after {:?}", cut.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_not_answered_for_a_moment_takes_the_next_append_and_goes_on() {
    let (mut quorum, nodes, leading, epoch) = settled(11).await;
    // Longer than a lease, and not as long as a quorum may be silent.
    for other in (0..3).filter(|other| *other != leading) {
        quorum.wires.cut.lock().unwrap().insert((other, leading));
    }
    tokio::time::sleep(Duration::from_millis(350)).await;
    let appending = nodes[leading].log.append(epoch, batch(&["a"])).unwrap();
    let behind = nodes[leading].log.append(epoch, batch(&["b"])).unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    quorum.heal();
    for appending in [appending, behind] {
        let outcome = appending.await;
        assert!(matches!(outcome, Appended::Committed(_)), "{outcome:?}");
    }
    assert_eq!(nodes[leading].records(3).await, batch(&["settled", "a", "b"]));
    assert_eq!(nodes[leading].seen().epochs.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_leader_has_a_successor_however_slow_the_disks_of_the_others_are() {
    // A candidate's vote, those of the others, and its first entry; and another round where two stood at once.
    for (millis, most_ms) in [(50, 1_500), (150, 4_000), (500, 12_000), (2_000, 48_000)] {
        for seed in 20..30 {
            let (mut quorum, nodes, old, epoch) = settled(seed).await;
            quorum.disks.iter().for_each(|disk| disk.slow_down(Duration::from_millis(millis)));
            quorum.kill(old);
            let found = leader_among(&nodes, |nth, new| nth != old && new > epoch);
            let found = tokio::time::timeout(Duration::from_millis(most_ms), found).await;
            let (new, later) = found.unwrap_or_else(|_| panic!("nobody leads with disks of {millis} ms"));
            nodes[new].commit(later, batch(&["after"])).await;
            assert_eq!(nodes[new].seen().leading, Some(later), "and goes on to lead");
        }
    }
}
