//! What is particular to the broadcast of one node: its files, and a disk that fails.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_broadcast::single::OpenedSingle;
use ottla_broadcast::{Appended, AtomicBroadcast, Delivery, DeliveryReceiver, Refused, Single};
use ottla_types::{BrokerId, LeadershipEpoch, Offset};

use common::{Fault, FaultyDisk};

fn dir() -> PathBuf {
    Path::new("/data/ottla-metadata").to_owned()
}

struct Node {
    log: Arc<Single>,
    deliveries: DeliveryReceiver,
}

impl Node {
    async fn open(disk: &FaultyDisk) -> Self {
        let disk = Arc::new(disk.clone());
        let OpenedSingle { broadcast: log, warnings, .. } =
            Single::open(disk, &dir(), BrokerId(7)).await.unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        let deliveries = log.deliveries().unwrap();
        Self { log, deliveries }
    }

    async fn next(&mut self) -> Delivery {
        self.deliveries.recv().await.unwrap()
    }

    /// Takes deliveries until the node leads; what came before, and the epoch.
    async fn leading(&mut self) -> (Vec<Delivery>, LeadershipEpoch) {
        let mut before = Vec::new();
        loop {
            match self.next().await {
                Delivery::Leading { epoch } => return (before, epoch),
                other => before.push(other),
            }
        }
    }

    async fn append(&self, epoch: LeadershipEpoch, records: &[&str]) -> Appended {
        self.log.append(epoch, batch(records)).unwrap().await
    }
}

fn batch(records: &[&str]) -> Vec<Bytes> {
    records.iter().map(|record| Bytes::copy_from_slice(record.as_bytes())).collect()
}

#[tokio::test]
async fn each_start_leads_under_a_higher_epoch_though_nothing_was_appended() {
    let disk = FaultyDisk::default();
    for start in 1..4 {
        let mut node = Node::open(&disk).await;
        assert_eq!(node.leading().await, (vec![], LeadershipEpoch(start)));
        let hint = *node.log.leader().borrow();
        assert_eq!((hint.leader, hint.epoch), (Some(BrokerId(7)), LeadershipEpoch(start)));
        node.log.close().await;
    }
}

#[tokio::test]
async fn an_append_that_a_full_disk_refuses_ends_the_epoch_and_all_that_was_built_on_it() {
    let disk = FaultyDisk::default();
    let mut node = Node::open(&disk).await;
    let (_, first) = node.leading().await;
    disk.fail_write(Fault::Full { written: 5 });
    let refused = node.log.append(first, batch(&["a"])).unwrap();
    // The first is being written when the others come: they are not of its group, and must not outlive it.
    tokio::task::yield_now().await;
    let behind = node.log.append(first, batch(&["b"])).ok();
    assert!(matches!(refused.await, Appended::Rejected(Refused::Io(_))));
    if let Some(behind) = behind {
        assert!(matches!(behind.await, Appended::Rejected(_)));
    }
    assert_eq!(node.next().await, Delivery::NotLeading { epoch: first, leader: None });
    let (nothing, second) = node.leading().await;
    assert!(nothing.is_empty() && second > first);
    let asked = first;
    assert!(matches!(
        node.log.append(first, batch(&["c"])).err(),
        Some(Refused::NotLeading { asked: a, .. }) if a == asked
    ));
    assert!(matches!(node.append(second, &["d"]).await, Appended::Committed(Offset(0))));
    assert_eq!(node.next().await, Delivery::Committed { first: Offset(0), records: batch(&["d"]) });
}

#[tokio::test]
async fn a_failed_fsync_is_the_end_until_the_next_start_and_says_so() {
    let disk = FaultyDisk::default();
    let mut node = Node::open(&disk).await;
    let (_, epoch) = node.leading().await;
    disk.fail_sync();
    assert!(matches!(node.append(epoch, &["a"]).await, Appended::Unknown(_)));
    assert_eq!(node.next().await, Delivery::NotLeading { epoch, leader: None });
    let Delivery::Failed { reason } = node.next().await else { panic!("expected the failure") };
    assert!(reason.contains("the disk does not answer"), "{reason}");
    assert_eq!(node.deliveries.recv().await, None);
    assert!(matches!(node.log.append(epoch, batch(&["b"])).err(), Some(Refused::Closed)));
    assert!(node.log.read_barrier().await.is_err());
    node.log.close().await;
    drop(node);
    let mut again = Node::open(&disk).await;
    assert!(again.leading().await.1 > epoch);
}

#[tokio::test]
async fn appends_that_wait_together_share_an_fsync() {
    let disk = FaultyDisk::default();
    let mut node = Node::open(&disk).await;
    let (_, epoch) = node.leading().await;
    let before = disk.syncs();
    let all: Vec<_> = (0..50).map(|n| node.log.append(epoch, batch(&[&n.to_string()])).unwrap()).collect();
    for (n, appended) in all.into_iter().enumerate() {
        assert!(matches!(appended.await, Appended::Committed(Offset(at)) if at == n as i64));
    }
    assert!(disk.syncs() - before <= 2, "{} fsyncs", disk.syncs() - before);
}

#[tokio::test]
async fn what_was_appended_is_delivered_in_bounded_pieces_after_a_start() {
    let disk = FaultyDisk::default();
    let mut node = Node::open(&disk).await;
    let (_, epoch) = node.leading().await;
    let record = "x".repeat(100_000);
    for _ in 0..6 {
        node.append(epoch, &[&record]).await;
        node.next().await;
    }
    node.log.snapshot(Offset(1), batch(&["state"])).await.unwrap();
    node.log.close().await;
    let mut node = Node::open(&disk).await;
    let (old, _) = node.leading().await;
    let state =
        Delivery::Snapshot { upto: Offset(1), is_first: true, is_last: true, records: batch(&["state"]) };
    assert_eq!(old[0], state);
    let Delivery::Committed { first, records } = &old[1] else { panic!("{:?}", old[1]) };
    assert_eq!((first.0, records.len(), old.len()), (2, 3, 3));
}
