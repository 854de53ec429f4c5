//! A user of one node: takes its deliveries, and keeps the state that they lead to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ottla_env::process;
use ottla_types::{LeadershipEpoch, Offset};
use tokio::sync::watch;

use super::Cluster;
use crate::atomic::{Appended, AtomicBroadcast, Delivery};

/// A node that runs, and what it has delivered. The state that records lead to is the list of them all; a snapshot of it
/// is that list.
pub struct Node {
    /// The node.
    pub log: Arc<dyn AtomicBroadcast>,
    seen: Arc<Mutex<Seen>>,
    changed: watch::Receiver<()>,
}

/// What a node has delivered since it was started.
#[derive(Debug, Default)]
pub struct Seen {
    /// All records up to now.
    pub records: Vec<Bytes>,
    /// Where each delivery of records ended: snapshots may be taken there.
    pub ends: Vec<usize>,
    /// The epoch that was announced and has not ended.
    pub leading: Option<LeadershipEpoch>,
    /// Each epoch that was announced, and how many records had been delivered by then.
    pub epochs: Vec<(LeadershipEpoch, usize)>,
    /// Why the node failed.
    pub failed: Option<Arc<str>>,
    /// Whether deliveries have ended.
    pub is_over: bool,
    loading: Option<Vec<Bytes>>,
}

impl Seen {
    /// Takes a delivery, and checks that it may come here.
    fn take(&mut self, delivery: Delivery) {
        assert!(self.failed.is_none(), "{delivery:?} after the last delivery");
        match delivery {
            Delivery::Snapshot { upto, is_first, is_last, records } => {
                assert_eq!(self.loading.is_none(), is_first, "a snapshot's pieces are out of order");
                let mut state = self.loading.take().unwrap_or_default();
                state.extend(records);
                if is_last {
                    assert_eq!(state.len() as i64, upto.0 + 1, "the snapshot is not the one that was taken");
                    assert!(state.len() >= self.records.len(), "a snapshot goes back");
                    assert!(state.starts_with(&self.records), "a snapshot tells another story");
                    self.ends.push(state.len());
                    self.records = state;
                } else {
                    self.loading = Some(state);
                }
            }
            other => {
                assert!(self.loading.is_none(), "{other:?} between the pieces of a snapshot");
                self.take_other(other);
            }
        }
    }

    fn take_other(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Committed { first, records } => {
                assert!(!records.is_empty(), "a delivery of nothing");
                assert_eq!(first.0, self.records.len() as i64, "a gap, or a record twice");
                self.records.extend(records);
                self.ends.push(self.records.len());
            }
            Delivery::Leading { epoch } => {
                assert_eq!(self.leading, None, "two epochs at once");
                assert!(
                    self.epochs.last().is_none_or(|(last, _)| *last < epoch),
                    "an epoch that does not rise"
                );
                self.leading = Some(epoch);
                self.epochs.push((epoch, self.records.len()));
            }
            Delivery::NotLeading { epoch, .. } => {
                assert_eq!(self.leading, Some(epoch), "the end of an epoch that did not go on");
                self.leading = None;
            }
            Delivery::Failed { reason } => self.failed = Some(reason),
            Delivery::Snapshot { .. } => {}
        }
    }
}

impl Node {
    /// Starts a node of a cluster.
    pub async fn start(cluster: &mut dyn Cluster, node: usize) -> Self {
        let log = cluster.start(node).await;
        let Some(mut deliveries) = log.deliveries() else { panic!("a new node has no deliveries") };
        assert!(log.deliveries().is_none(), "deliveries were handed out twice");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (tell, changed) = watch::channel(());
        let sink = Arc::clone(&seen);
        process::spawn(async move {
            let lock = || sink.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(delivery) = deliveries.recv().await {
                lock().take(delivery);
                tell.send_replace(());
            }
            lock().is_over = true;
            tell.send_replace(());
        });
        Self { log, seen, changed }
    }

    /// Starts all nodes.
    pub async fn start_all(cluster: &mut dyn Cluster) -> Vec<Self> {
        let mut nodes = Vec::new();
        for node in 0..cluster.size() {
            nodes.push(Self::start(cluster, node).await);
        }
        nodes
    }

    /// What was delivered so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        match self.seen.lock() {
            Ok(seen) => seen,
            Err(_) => panic!("a delivery came that must not"),
        }
    }

    /// Waits until what was delivered is as asked for.
    pub async fn until<T>(&self, mut found: impl FnMut(&Seen) -> Option<T>) -> T {
        let mut changed = self.changed.clone();
        loop {
            if let Some(value) = found(&self.seen()) {
                return value;
            }
            if changed.changed().await.is_err() {
                panic!("deliveries have ended before what was waited for: {:?}", self.seen().failed);
            }
        }
    }

    /// Waits until this node leads.
    pub async fn leading(&self) -> LeadershipEpoch {
        self.until(|seen| seen.leading).await
    }

    /// Waits until `count` records were delivered, and returns all that were.
    pub async fn records(&self, count: usize) -> Vec<Bytes> {
        self.until(|seen| (seen.records.len() >= count).then(|| seen.records.clone())).await
    }

    /// Appends a batch that must be committed.
    pub async fn commit(&self, epoch: LeadershipEpoch, records: Vec<Bytes>) -> Offset {
        match self.log.append(epoch, records) {
            Ok(appending) => match appending.await {
                Appended::Committed(first) => first,
                other => panic!("a healthy leader's append was not committed: {other:?}"),
            },
            Err(refused) => panic!("a healthy leader's append was refused: {refused}"),
        }
    }

    /// Takes a snapshot of the state as it was after the delivery that ended last at `upto` records or before.
    ///
    /// # Errors
    /// The node refused, or nothing was delivered.
    pub async fn snapshot(&self, upto: usize) -> Result<usize, String> {
        let (end, records) = {
            let seen = self.seen();
            let Some(end) = seen.ends.iter().rfind(|end| **end <= upto && **end > 0).copied() else {
                return Err("nothing was delivered".to_owned());
            };
            (end, seen.records.iter().take(end).cloned().collect())
        };
        let taken = self.log.snapshot(Offset(end as i64 - 1), records).await;
        taken.map(|()| end).map_err(|error| error.to_string())
    }
}

/// Waits until one of the nodes leads: which, and under which epoch.
pub async fn leader(nodes: &[Node]) -> (usize, LeadershipEpoch) {
    leader_among(nodes, |_, _| true).await
}

/// Waits until a node leads that is asked for.
pub async fn leader_among(
    nodes: &[Node],
    is_asked_for: impl Fn(usize, LeadershipEpoch) -> bool,
) -> (usize, LeadershipEpoch) {
    let waiting = nodes.iter().enumerate().map(|(nth, node)| {
        let is_asked_for = &is_asked_for;
        Box::pin(async move {
            let asked = |seen: &Seen| seen.leading.filter(|epoch| is_asked_for(nth, *epoch));
            match node.until(|seen| asked(seen).map(Some).or(seen.is_over.then_some(None))).await {
                Some(epoch) => epoch,
                // It has ended, and will not lead.
                None => std::future::pending().await,
            }
        })
    });
    let (epoch, nth, _) = futures_util::future::select_all(waiting).await;
    (nth, epoch)
}

/// Records with the given names.
pub fn batch<T: AsRef<str>>(names: &[T]) -> Vec<Bytes> {
    names.iter().map(|name| Bytes::copy_from_slice(name.as_ref().as_bytes())).collect()
}
