//! The claims.

use bytes::Bytes;
use ottla_types::{LeadershipEpoch, Offset};

use super::Cluster;
use super::node::{Node, batch, leader, leader_among};
use crate::atomic::{Appended, AtomicBroadcast, Read, Refused};

/// Each of `nodes` delivers exactly these records.
async fn agree(nodes: &[Node], expected: &[Bytes]) {
    for (nth, node) in nodes.iter().enumerate() {
        assert_eq!(node.records(expected.len()).await, expected, "node {nth}");
    }
}

/// Each append is committed once, in the order of the calls, at the offsets that follow each other; all nodes deliver it.
pub async fn order_is_agreed(cluster: &mut dyn Cluster) {
    let nodes = Node::start_all(cluster).await;
    let (leader, epoch) = leader(&nodes).await;
    let log = &nodes[leader].log;
    let (mut expected, mut under_way) = (Vec::new(), Vec::new());
    for nth in 0..60 {
        let names: Vec<String> = (0..=nth % 4).map(|part| format!("{nth}.{part}")).collect();
        let first = Offset(expected.len() as i64);
        expected.extend(batch(&names));
        match log.append(epoch, batch(&names)) {
            Ok(appending) => under_way.push((first, appending)),
            Err(refused) => panic!("append {nth}: {refused}"),
        }
    }
    // The order is that of the calls, whichever future is polled first.
    while let Some((first, appending)) = under_way.pop() {
        let appended = appending.await;
        assert!(matches!(appended, Appended::Committed(at) if at == first), "{first}: {appended:?}");
    }
    // Its delivery is there when an append is answered.
    assert_eq!(nodes[leader].records(expected.len()).await, expected);
    agree(&nodes, &expected).await;
}

/// What is refused names why, changes nothing, and is on no node later.
pub async fn what_is_refused_never_appears(cluster: &mut dyn Cluster) {
    let nodes = Node::start_all(cluster).await;
    let (leader, epoch) = leader(&nodes).await;
    let log = &nodes[leader].log;
    assert!(matches!(log.append(epoch, vec![]), Err(Refused::Empty)));
    let most = log.max_batch_bytes();
    let too_large = log.append(epoch, vec![Bytes::from(vec![0; most])]);
    assert!(
        matches!(too_large, Err(Refused::TooLarge { bytes, most: limit }) if bytes == most + 4 && limit == most)
    );
    for other in [LeadershipEpoch(epoch.0 - 1), LeadershipEpoch(epoch.0 + 1)] {
        let refused = log.append(other, batch(&["refused"]));
        assert!(matches!(refused, Err(Refused::NotLeading { asked, .. }) if asked == other));
    }
    for (_, follower) in nodes.iter().enumerate().filter(|(nth, _)| *nth != leader) {
        assert!(matches!(follower.log.append(epoch, batch(&["refused"])), Err(Refused::NotLeading { .. })));
    }
    // The largest there may be is taken, and leadership went on through all this.
    let largest = Bytes::from(vec![7; most - 4]);
    nodes[leader].commit(epoch, vec![largest.clone()]).await;
    nodes[leader].commit(epoch, batch(&["taken"])).await;
    agree(&nodes, &[vec![largest], batch(&["taken"])].concat()).await;
}

/// A new leader has been delivered all that its predecessors committed when it is told that it leads.
pub async fn whoever_leads_has_been_delivered_all_that_was_committed(cluster: &mut dyn Cluster) {
    let mut nodes = Node::start_all(cluster).await;
    let (mut expected, mut last) = (Vec::new(), LeadershipEpoch(0));
    for round in 0..4 {
        let (leader, epoch) = leader_among(&nodes, |_, epoch| epoch > last).await;
        {
            let seen = nodes[leader].seen();
            let announced = seen.epochs.iter().find(|(known, _)| *known == epoch);
            let Some((_, delivered)) = announced else { panic!("an epoch that was not announced") };
            assert!(
                *delivered >= expected.len(),
                "{delivered} of {} at the start of {epoch}",
                expected.len()
            );
        }
        for nth in 0..5 {
            let records = batch(&[format!("{round}.{nth}"), format!("{round}.{nth}+")]);
            let first = nodes[leader].commit(epoch, records.clone()).await;
            assert_eq!(first.0, expected.len() as i64);
            expected.extend(records);
        }
        last = epoch;
        cluster.kill(leader);
        nodes[leader] = Node::start(cluster, leader).await;
    }
    leader_among(&nodes, |_, epoch| epoch > last).await;
    agree(&nodes, &expected).await;
}

/// After `resign` nothing is taken under the epoch; a later one begins, on whichever node.
pub async fn an_epoch_that_was_resigned_is_over(cluster: &mut dyn Cluster) {
    let nodes = Node::start_all(cluster).await;
    let (old_leader, old) = leader(&nodes).await;
    nodes[old_leader].commit(old, batch(&["before"])).await;
    // Another node's epoch, or one that has not begun, is none of its business.
    nodes[old_leader].log.resign(LeadershipEpoch(old.0 + 1));
    nodes[old_leader].commit(old, batch(&["still"])).await;
    nodes[old_leader].log.resign(old);
    nodes[old_leader].until(|seen| (seen.leading != Some(old)).then_some(())).await;
    let refused = nodes[old_leader].log.append(old, batch(&["after"]));
    assert!(matches!(refused, Err(Refused::NotLeading { .. })), "an append under an epoch that has ended");
    let (new_leader, new) = leader_among(&nodes, |_, epoch| epoch > old).await;
    nodes[new_leader].commit(new, batch(&["new"])).await;
    agree(&nodes, &batch(&["before", "still", "new"])).await;
    let hint = *nodes[new_leader].log.leader().borrow();
    assert!(hint.leader.is_some() && hint.epoch >= new, "{hint:?} in {new}");
}

/// A leader that reaches nobody answers Unknown, and is told that it leads no more; what the others commit meanwhile
/// is what it delivers when it is back. (A node that is alone has nobody to be cut off from.)
pub async fn a_leader_that_is_cut_off_resigns_and_is_fenced(cluster: &mut dyn Cluster) {
    if cluster.size() < 3 {
        return;
    }
    let nodes = Node::start_all(cluster).await;
    let (old_leader, old) = leader(&nodes).await;
    nodes[old_leader].commit(old, batch(&["before"])).await;
    cluster.isolate(old_leader);
    let Ok(lost) = nodes[old_leader].log.append(old, batch(&["lost?"])) else {
        panic!("it cannot know yet");
    };
    let outcome = lost.await;
    assert!(matches!(outcome, Appended::Unknown(_)), "{outcome:?} without a majority");
    nodes[old_leader].until(|seen| (seen.leading.is_none()).then_some(())).await;
    assert!(nodes[old_leader].log.append(old, batch(&["refused"])).is_err());
    assert!(nodes[old_leader].log.read_barrier().await.is_err(), "a barrier without a majority");
    let (new_leader, new) = leader_among(&nodes, |nth, _| nth != old_leader).await;
    assert!(new > old);
    nodes[new_leader].commit(new, batch(&["new"])).await;
    cluster.heal();
    // The one that was cut off had it in its log at most, and a majority had not.
    agree(&nodes, &batch(&["before", "new"])).await;
}

/// Snapshots at different places on different nodes, then more records, then a restart: the same state everywhere.
pub async fn a_snapshot_and_what_follows_it_equal_the_log(cluster: &mut dyn Cluster) {
    let mut nodes = Node::start_all(cluster).await;
    let (leader_at, epoch) = leader(&nodes).await;
    let mut expected = Vec::new();
    for nth in 0..30 {
        let records = batch(&[format!("{nth}"), format!("{nth}+")]);
        nodes[leader_at].commit(epoch, records.clone()).await;
        expected.extend(records);
    }
    agree(&nodes, &expected).await;
    for (nth, node) in nodes.iter().enumerate() {
        let asked = 20 + 10 * nth.min(3);
        let taken = node.snapshot(asked).await;
        assert!(matches!(taken, Ok(end) if end > 0 && end <= asked), "node {nth}: {taken:?}");
        // What is not there yet, and what is there already, is refused.
        let beyond = node.log.snapshot(Offset(expected.len() as i64), vec![]).await;
        assert!(beyond.is_err(), "a snapshot of what is not there");
    }
    for nth in 30..40 {
        let records = batch(&[format!("{nth}")]);
        nodes[leader_at].commit(epoch, records.clone()).await;
        expected.extend(records);
    }
    for nth in 0..cluster.size() {
        cluster.kill(nth);
    }
    nodes = Node::start_all(cluster).await;
    leader(&nodes).await;
    agree(&nodes, &expected).await;
}

/// All are killed and started again: everything that was committed is delivered, in the same order, and what is appended
/// then comes behind it.
pub async fn a_restart_of_all_delivers_the_same(cluster: &mut dyn Cluster) {
    restart_all(cluster, |cluster, nth| cluster.kill(nth)).await;
}

/// As above, where all power goes at once.
pub async fn a_power_cut_of_all_loses_nothing_that_was_committed(cluster: &mut dyn Cluster) {
    restart_all(cluster, |cluster, nth| cluster.cut_power(nth)).await;
}

async fn restart_all(cluster: &mut dyn Cluster, end: impl Fn(&mut dyn Cluster, usize)) {
    let mut expected: Vec<Bytes> = Vec::new();
    let mut last = LeadershipEpoch(0);
    for round in 0..4 {
        let nodes = Node::start_all(cluster).await;
        let (leader, epoch) = leader(&nodes).await;
        assert!(epoch > last, "epoch {epoch} after {last}");
        last = epoch;
        agree(&nodes, &expected).await;
        for nth in 0..10 {
            let records = batch(&[format!("{round}.{nth}")]);
            nodes[leader].commit(epoch, records.clone()).await;
            expected.extend(records);
        }
        for nth in 0..cluster.size() {
            end(cluster, nth);
        }
    }
}

/// On every node: what was committed before `read_barrier` was called lies below what it answers.
pub async fn a_barrier_lies_above_all_that_was_committed_before(cluster: &mut dyn Cluster) {
    let nodes = Node::start_all(cluster).await;
    let (leader, epoch) = leader(&nodes).await;
    for nth in 0..5 {
        let first = nodes[leader].commit(epoch, batch(&[format!("{nth}")])).await;
        for node in &nodes {
            match node.log.read_barrier().await {
                Ok(end) => {
                    assert!(end > first, "a barrier at {end} after {first} was committed");
                    let Ok(count) = usize::try_from(end.0) else { panic!("a barrier at {end}") };
                    node.records(count).await;
                }
                Err(error) => panic!("no barrier in a healthy cluster: {error}"),
            }
        }
    }
}

/// All that a node that only reads can get, by `read` and by snapshots.
///
/// # Panics
/// An answer is not as promised.
pub async fn read_all(log: &dyn AtomicBroadcast, end: usize, max_bytes: usize) -> Vec<Bytes> {
    let mut records: Vec<Bytes> = Vec::new();
    while records.len() < end {
        let from = Offset(records.len() as i64);
        match log.read(from, max_bytes).await {
            Ok(Read::Records { first, records: more }) => {
                assert!(first == from && !more.is_empty(), "{} records from {first} for {from}", more.len());
                let bytes: usize = more.iter().map(Bytes::len).sum();
                assert!(
                    more.len() == 1 || bytes <= max_bytes,
                    "{bytes} bytes where {max_bytes} were asked for"
                );
                records.extend(more);
            }
            Ok(Read::NeedsSnapshot { upto }) => {
                assert!(upto >= from, "a snapshot up to {upto} for {from}");
                records.clear();
                let mut position = Some(0);
                while let Some(at) = position {
                    match log.read_snapshot(upto, at, max_bytes).await {
                        Ok(piece) => {
                            records.extend(piece.records);
                            position = piece.next;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                assert_eq!(records.len() as i64, upto.0 + 1);
            }
            Ok(Read::Nothing { end: known }) => panic!("nothing at {from} where {end} are: {known}"),
            Err(error) => panic!("{error}"),
        }
    }
    records
}

/// Reading from any node, in small and large pieces, before and after a snapshot and a restart, gives the same records.
pub async fn who_only_reads_gets_the_same_records(cluster: &mut dyn Cluster) {
    let mut nodes = Node::start_all(cluster).await;
    let (leader_at, epoch) = leader(&nodes).await;
    let mut expected = Vec::new();
    for nth in 0..20 {
        let records = batch(&[format!("{nth}"), format!("{nth}+"), format!("{nth}++")]);
        nodes[leader_at].commit(epoch, records.clone()).await;
        expected.extend(records);
    }
    agree(&nodes, &expected).await;
    for is_restarted in [false, true] {
        for node in &nodes {
            for max_bytes in [1, 7, 1 << 20] {
                assert_eq!(read_all(&*node.log, expected.len(), max_bytes).await, expected);
            }
            let end = Offset(expected.len() as i64);
            assert!(matches!(node.log.read(end, 1).await, Ok(Read::Nothing { end: known }) if known == end));
            assert!(node.log.read_snapshot(Offset(1_000_000), 0, 1).await.is_err());
        }
        if is_restarted {
            break;
        }
        for node in &nodes {
            assert_eq!(node.snapshot(30).await, Ok(30));
            assert!(node.log.read_snapshot(Offset(29), 12_345_678, 1).await.is_err());
        }
        for nth in 0..cluster.size() {
            cluster.kill(nth);
        }
        nodes = Node::start_all(cluster).await;
        leader(&nodes).await;
        agree(&nodes, &expected).await;
    }
}

/// A closed node takes and delivers nothing more, twice closed as well; where there are others, one of them leads.
pub async fn after_close_nothing_is_taken_and_the_others_go_on(cluster: &mut dyn Cluster) {
    let nodes = Node::start_all(cluster).await;
    let (old_leader, old) = leader(&nodes).await;
    nodes[old_leader].commit(old, batch(&["before"])).await;
    nodes[old_leader].log.close().await;
    nodes[old_leader].log.close().await;
    nodes[old_leader].until(|seen| seen.is_over.then_some(())).await;
    assert!(nodes[old_leader].log.append(old, batch(&["after"])).is_err());
    assert!(nodes[old_leader].log.read_barrier().await.is_err());
    let mut expected = batch(&["before"]);
    if cluster.size() >= 3 {
        let (new_leader, new) = leader_among(&nodes, |nth, _| nth != old_leader).await;
        assert!(new > old);
        nodes[new_leader].commit(new, batch(&["new"])).await;
        expected.extend(batch(&["new"]));
    }
    cluster.kill(old_leader);
    let again = Node::start(cluster, old_leader).await;
    assert_eq!(again.records(expected.len()).await, expected);
}
