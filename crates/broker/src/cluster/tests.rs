//! What becomes of changes that the metadata log takes, does not take, or loses; and when snapshots are written.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use ottla_broadcast::{
    Appended, Appending, AtomicBroadcast, BoxFuture, Delivery, DeliveryReceiver, LeaderHint, MAX_BATCH_BYTES,
    NoQuorum, Read, ReadError, Refused as NotTaken, Single, SnapshotError, SnapshotPiece,
};
use ottla_env::Env;
use ottla_env::disk::RealDisk;
use ottla_metadata::controller::configs::{Changes, ConfigOp};
use ottla_metadata::controller::{Cuts, Refused};
use ottla_metadata::record::{Config, ConfigResource};
use ottla_metadata::{Controller, Decision, Record};
use ottla_types::config::Settings;
use ottla_types::{BrokerId, ErrorCode, LeadershipEpoch, Offset};

use super::{Channel, ClusterId, Links, Metadata};
use crate::controller::{ActiveController, Liveness, Quorum};

/// The metadata over a log on disk.
struct OnDisk {
    metadata: Arc<Metadata>,
    followers: JoinSet<()>,
}

impl OnDisk {
    async fn open(dir: &Path) -> Self {
        let opened = Single::open(Arc::new(RealDisk::new()), dir, BrokerId(1)).await.unwrap();
        let mut followers = JoinSet::new();
        let metadata = follow(opened.broadcast, &mut followers);
        metadata.leading().await.unwrap();
        Self { metadata, followers }
    }

    async fn close(mut self) {
        self.metadata.close().await;
        while self.followers.join_next().await.is_some() {}
    }
}

fn follow(log: Arc<dyn AtomicBroadcast>, followers: &mut JoinSet<()>) -> Arc<Metadata> {
    let settings = Arc::new(Settings::default());
    let (liveness, _) = Liveness::new(&Env::real(), &settings, "PLAINTEXT".to_owned());
    Metadata::follow(&settings, log, &liveness, followers)
}

/// Sets `log.retention.ms` by way of a decision, as a request does.
fn retention(controller: &mut Controller, value: &str) -> Decision<()> {
    let ops = vec![("log.retention.ms".to_owned(), ConfigOp::Set(value.to_owned()))];
    let changes = [Changes { resource: ConfigResource::ClusterDefault, ops }];
    let Decision { records, answer, .. } = controller.incremental_alter_configs(&changes, false);
    assert!(answer.iter().all(Result::is_ok), "{answer:?}");
    Decision::whole(records, ())
}

/// What requests would see, and what the next one is decided on.
fn retention_now(metadata: &Metadata) -> (Option<String>, Option<String>) {
    let get = |image: &ottla_metadata::Image| {
        let configs = image.configs(&ConfigResource::ClusterDefault)?;
        configs.get("log.retention.ms").map(str::to_owned)
    };
    let speculative =
        metadata.host.decide(|controller| Decision::whole(Vec::new(), get(controller.speculative())));
    (get(&metadata.host.image()), speculative.ok().and_then(|decided| decided.answer))
}

#[tokio::test]
async fn a_change_that_is_too_large_is_the_callers_fault_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = OnDisk::open(dir.path()).await;
    let too_large = |controller: &mut Controller| {
        let Decision { mut records, answer, .. } = retention(controller, "1000");
        let value: Arc<str> = "x".repeat(30_000).into();
        let (resource, key) = (ConfigResource::ClusterDefault, Arc::from("some.key"));
        let filler = Record::Config(Config { resource, key, value: Some(value) });
        records.extend(std::iter::repeat_n(filler, MAX_BATCH_BYTES / 30_000 + 1));
        Decision::whole(records, answer)
    };
    let refused = on_disk.metadata.commit(too_large).await.unwrap_err();
    assert_eq!(refused.error, ErrorCode::PolicyViolation, "{}", refused.message);
    assert_eq!(retention_now(&on_disk.metadata), (None, None));
    let ((), end) = on_disk.metadata.commit(|controller| retention(controller, "2000")).await.unwrap();
    assert_eq!(end, Offset(2), "behind what the controller began with");
    assert_eq!(retention_now(&on_disk.metadata).0.as_deref(), Some("2000"));
    on_disk.close().await;
}

#[tokio::test]
async fn after_the_log_is_closed_changes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = OnDisk::open(dir.path()).await;
    let metadata = Arc::clone(&on_disk.metadata);
    on_disk.close().await;
    let refused = metadata.commit(|controller| retention(controller, "1000")).await.unwrap_err();
    assert_eq!(refused.error, ErrorCode::KafkaStorageError, "{}", refused.message);
    assert_eq!(metadata.failure(), None, "to stop is no failure");
    assert!(metadata.carried_out(Offset(1)).await.is_err(), "nobody waits for what cannot come");
}

#[tokio::test]
async fn many_changes_at_once_are_all_committed_and_a_restart_finds_them() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = OnDisk::open(dir.path()).await;
    let mut changes = JoinSet::new();
    for value in 1..=200 {
        let metadata = Arc::clone(&on_disk.metadata);
        changes.spawn(async move {
            let change = |controller: &mut Controller| retention(controller, &value.to_string());
            metadata.commit(change).await.map(|(_, end)| end)
        });
    }
    let mut ends: Vec<_> = changes.join_all().await.into_iter().map(Result::unwrap).collect();
    ends.sort();
    assert_eq!(ends, (2..=201).map(Offset).collect::<Vec<_>>(), "each has an offset of its own");
    let (last, _) = retention_now(&on_disk.metadata);
    on_disk.close().await;
    let again = OnDisk::open(dir.path()).await;
    assert_eq!(retention_now(&again.metadata).0, last);
    again.close().await;
}

#[tokio::test]
async fn a_change_that_nobody_waits_for_any_more_takes_its_course() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = OnDisk::open(dir.path()).await;
    {
        let mut change = Box::pin(on_disk.metadata.commit(|controller| retention(controller, "1000")));
        // Once polled it is decided and appended, and then it is dropped.
        assert!(futures_util::poll!(&mut change).is_pending());
    }
    on_disk.metadata.commit(|controller| retention(controller, "2000")).await.unwrap();
    assert_eq!(on_disk.metadata.host.image().offset(), Some(Offset(2)), "both are there");
    on_disk.close().await;
}

#[tokio::test]
async fn a_snapshot_is_written_when_there_is_something_new_to_put_into_it() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = OnDisk::open(dir.path()).await;
    on_disk.metadata.commit(|controller| retention(controller, "1000")).await.unwrap();
    on_disk.metadata.write_snapshot().await;
    let image = on_disk.metadata.host.image();
    on_disk.close().await;
    assert!(has_snapshot(dir.path()));
    let again = OnDisk::open(dir.path()).await;
    assert_eq!(again.metadata.host.image(), image);
    // Nothing is new: a snapshot up to here is there.
    let before = files(dir.path());
    again.metadata.write_snapshot().await;
    assert_eq!(files(dir.path()), before);
    again.close().await;
}

fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn has_snapshot(dir: &Path) -> bool {
    files(dir).iter().any(|name| name.contains("snapshot") && !name.contains("partial"))
}

/// A log whose every step the test takes.
struct ByHand {
    deliveries: Mutex<Option<DeliveryReceiver>>,
    appends: mpsc::UnboundedSender<(Vec<Bytes>, oneshot::Sender<Appended>)>,
    hint: watch::Sender<LeaderHint>,
}

impl AtomicBroadcast for ByHand {
    fn append(&self, _: LeadershipEpoch, records: Vec<Bytes>) -> Result<Appending, NotTaken> {
        let (answer, answered) = oneshot::channel();
        self.appends.send((records, answer)).unwrap();
        Ok(Box::pin(async { answered.await.unwrap() }))
    }

    fn deliveries(&self) -> Option<DeliveryReceiver> {
        self.deliveries.lock().unwrap().take()
    }

    fn leader(&self) -> watch::Receiver<LeaderHint> {
        self.hint.subscribe()
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<Offset, NoQuorum>> {
        unreachable!("nobody reads here")
    }

    fn read(&self, _: Offset, _: usize) -> BoxFuture<'_, Result<Read, ReadError>> {
        unreachable!("nobody reads here")
    }

    fn read_snapshot(&self, _: Offset, _: u64, _: usize) -> BoxFuture<'_, Result<SnapshotPiece, ReadError>> {
        unreachable!("nobody reads here")
    }

    fn snapshot(&self, _: Offset, _: Vec<Bytes>) -> BoxFuture<'_, Result<(), SnapshotError>> {
        Box::pin(async { Ok(()) })
    }

    fn resign(&self, _: LeadershipEpoch) {}

    fn max_batch_bytes(&self) -> usize {
        MAX_BATCH_BYTES
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

type Appends = mpsc::UnboundedReceiver<(Vec<Bytes>, oneshot::Sender<Appended>)>;

/// The metadata over a log by hand, on a node that leads: with its deliveries, and what it is asked to append. What a
/// controller begins with is committed, at offset 0.
async fn by_hand() -> (Arc<Metadata>, mpsc::Sender<Delivery>, Appends, JoinSet<()>) {
    let (delivering, deliveries) = mpsc::channel(8);
    let (appends, mut appended) = mpsc::unbounded_channel();
    let log = Arc::new(ByHand {
        deliveries: Mutex::new(Some(deliveries)),
        appends,
        hint: watch::Sender::default(),
    });
    let mut followers = JoinSet::new();
    let metadata = follow(log, &mut followers);
    delivering.send(Delivery::Leading { epoch: LeadershipEpoch(1) }).await.unwrap();
    let (records, answer) = appended.recv().await.unwrap();
    assert_eq!(records.len(), 1);
    delivering.send(Delivery::Committed { first: Offset(0), records }).await.unwrap();
    answer.send(Appended::Committed(Offset(0))).unwrap();
    metadata.leading().await.unwrap();
    (metadata, delivering, appended, followers)
}

/// A change that runs on its own.
fn change(
    metadata: &Arc<Metadata>,
    value: &'static str,
) -> tokio::task::JoinHandle<Result<((), Offset), Refused>> {
    let metadata = Arc::clone(metadata);
    tokio::spawn(async move { metadata.commit(|controller| retention(controller, value)).await })
}

#[tokio::test]
async fn a_request_that_changes_nothing_is_answered_when_what_it_was_decided_on_is_committed() {
    let (metadata, delivering, mut appends, _followers) = by_hand().await;
    let first = change(&metadata, "1000");
    let (records, answer) = appends.recv().await.unwrap();
    let mut nothing =
        Box::pin(metadata.commit(|_: &mut Controller| Decision::whole(Vec::new(), "it is so already")));
    assert!(futures_util::poll!(&mut nothing).is_pending());
    delivering.send(Delivery::Committed { first: Offset(1), records }).await.unwrap();
    answer.send(Appended::Committed(Offset(1))).unwrap();
    assert_eq!(nothing.await.unwrap(), ("it is so already", Offset(2)));
    assert_eq!(first.await.unwrap().unwrap().1, Offset(2));
}

#[tokio::test]
async fn what_is_lost_with_the_leadership_is_forgotten_and_who_waits_is_told() {
    let (metadata, delivering, mut appends, _followers) = by_hand().await;
    let lost = change(&metadata, "1000");
    let (_, answer) = appends.recv().await.unwrap();
    let mut nothing = Box::pin(metadata.commit(|_: &mut Controller| Decision::whole(Vec::new(), ())));
    assert!(futures_util::poll!(&mut nothing).is_pending());
    let epoch = LeadershipEpoch(1);
    delivering.send(Delivery::NotLeading { epoch, leader: Some(BrokerId(2)) }).await.unwrap();
    let not_leading = NotTaken::NotLeading { asked: epoch, leader: Some(BrokerId(2)) };
    answer.send(Appended::Rejected(not_leading)).unwrap();
    assert_eq!(nothing.await.unwrap_err().error, ErrorCode::NotController);
    assert_eq!(lost.await.unwrap().unwrap_err().error, ErrorCode::NotController);
    let refused = metadata.commit(|controller| retention(controller, "2000")).await.unwrap_err();
    assert_eq!(refused.error, ErrorCode::NotController);
    delivering.send(Delivery::Leading { epoch: LeadershipEpoch(3) }).await.unwrap();
    metadata.leading().await.unwrap();
    assert_eq!(retention_now(&metadata), (None, None));
}

#[tokio::test]
async fn a_change_that_nobody_knows_the_fate_of_is_to_be_asked_of_the_next_leader() {
    let (metadata, _delivering, mut appends, _followers) = by_hand().await;
    let in_doubt = change(&metadata, "1000");
    let (_, answer) = appends.recv().await.unwrap();
    answer.send(Appended::Unknown("leadership was lost".into())).unwrap();
    assert_eq!(in_doubt.await.unwrap().unwrap_err().error, ErrorCode::NotController);
}

#[tokio::test]
async fn what_was_committed_before_the_leadership_ended_is_answered_so_although_it_is_replayed_after() {
    let (metadata, delivering, mut appends, _followers) = by_hand().await;
    let kept = change(&metadata, "1000");
    let (records, answer) = appends.recv().await.unwrap();
    let over = Delivery::NotLeading { epoch: LeadershipEpoch(1), leader: None };
    delivering.send(over).await.unwrap();
    delivering.send(Delivery::Committed { first: Offset(1), records }).await.unwrap();
    answer.send(Appended::Committed(Offset(1))).unwrap();
    assert_eq!(kept.await.unwrap().unwrap().1, Offset(2));
    assert_eq!(retention_now(&metadata).0.as_deref(), Some("1000"));
}

#[tokio::test]
async fn a_record_that_does_not_follow_ends_the_changes_and_is_told_as_a_failure() {
    let (metadata, delivering, mut appends, _followers) = by_hand().await;
    let waiting = change(&metadata, "1000");
    let (records, _answer) = appends.recv().await.unwrap();
    delivering.send(Delivery::Committed { first: Offset(5), records }).await.unwrap();
    assert!(metadata.failed().await.contains("offset 5"), "{:?}", metadata.failure());
    let refused = metadata.commit(|controller| retention(controller, "2000")).await.unwrap_err();
    assert_eq!(refused.error, ErrorCode::KafkaStorageError);
    drop(waiting);
}

#[tokio::test]
async fn a_decision_of_many_batches_is_answered_with_the_last() {
    let (metadata, delivering, mut appends, _followers) = by_hand().await;
    // Three batches are more than may be under way at once.
    let large = |_: &mut Controller| {
        let value: Arc<str> = "x".repeat(30_000).into();
        let filler = |nth: usize| {
            let (resource, key) = (ConfigResource::ClusterDefault, Arc::from(format!("key-{nth}")));
            Record::Config(Config { resource, key, value: Some(value.clone()) })
        };
        let records = (0..3 * MAX_BATCH_BYTES / 30_000).map(filler).collect();
        Decision { cuts: Cuts::Anywhere, ..Decision::whole(records, ()) }
    };
    let mut committing = {
        let metadata = Arc::clone(&metadata);
        tokio::spawn(async move { metadata.commit(large).await })
    };
    let (mut first, mut batches) = (Offset(1), 0);
    let committed = loop {
        tokio::select! {
            biased;
            committed = &mut committing => break committed,
            Some((records, answer)) = appends.recv() => {
                let count = i64::try_from(records.len()).unwrap();
                delivering.send(Delivery::Committed { first, records }).await.unwrap();
                answer.send(Appended::Committed(first)).unwrap();
                first = Offset(first.0 + count);
                batches += 1;
            }
        }
    };
    assert_eq!(committed.unwrap().unwrap().1, first);
    assert!(batches >= 3, "{batches}");
}

#[tokio::test]
async fn what_a_client_asks_does_not_travel_with_heartbeats() {
    let (_delivering, deliveries) = mpsc::channel(8);
    let hint = LeaderHint { leader: Some(BrokerId(2)), epoch: LeadershipEpoch(1) };
    let log = Arc::new(ByHand {
        deliveries: Mutex::new(Some(deliveries)),
        appends: mpsc::unbounded_channel().0,
        hint: watch::Sender::new(hint),
    });
    let (env, settings, cluster_id) = (Env::real(), Arc::new(Settings::default()), ClusterId::default());
    let mut followers = JoinSet::new();
    let (liveness, _) = Liveness::new(&env, &settings, "PLAINTEXT".to_owned());
    let metadata = Metadata::follow(&settings, log, &liveness, &mut followers);
    let quorum = Quorum::of_observer(&env, &settings, &metadata, &cluster_id);
    let links = Arc::new(Links::new(&env.net, BrokerId(1), &cluster_id, &[]));
    let controller = ActiveController { metadata, liveness };
    let channel = Channel::new(controller, cluster_id, Some(links), quorum);
    let (own, leader) = channel.to_leader().unwrap().unwrap();
    let (clients, to) = channel.elsewhere().unwrap().unwrap();
    assert_eq!((leader, to), (BrokerId(2), BrokerId(2)));
    assert!(!std::ptr::eq(own, clients), "an answer that takes its time would hold up those behind it");
}
