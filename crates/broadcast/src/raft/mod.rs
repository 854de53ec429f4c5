//! The broadcast by an embedded quorum that speaks Raft (openraft).
//!
//! - `types`, `runtime`: what openraft is told about us, and its door to the outside.
//! - `journal`, `codec`: the log and the vote on our storage; `snapshot`: files of snapshots.
//! - `machine`: committed records on their way out; `leadership`: the epochs of this node; `keeper`: the task that keeps
//!   both and openraft together; `appends`: records on their way in.
//! - `begin`: the first entry of a log; `admin`: who votes; `progress`: when each of them had all.
//! - [`observed`]: what a simulation is told.
//! - `message`, `network`, `server`: what nodes say to each other. How bytes travel is [`Peers`].
//!
//! What differs from openraft's own idea of leading: an epoch of ours ends for good with the first sign that it may (see
//! `leadership`), while openraft would go on with the same term when a silent quorum is heard again.

mod admin;
mod appends;
mod begin;
mod codec;
mod journal;
mod keeper;
mod leadership;
mod machine;
mod message;
mod network;
pub mod observed;
mod open;
mod progress;
mod runtime;
mod server;
mod snapshot;
mod types;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use ottla_env::disk::DirLock;
use ottla_env::process;
use ottla_types::{LeadershipEpoch, Offset};
use tokio::sync::watch;

use self::appends::{Appends, MAX_BATCH_BYTES};
use self::journal::Journal;
use self::keeper::successor;
use self::leadership::{Leadership, SharedDeliverer};
use self::machine::{Found, Machine};
use self::message::Failure;
use self::network::Network;
use self::observed::Observed;
use self::progress::Progress;
use self::server::Server;
use self::types::{Payload, Types};
use crate::atomic::{
    Appending, AtomicBroadcast, BoxFuture, DeliveryReceiver, LeaderHint, NoQuorum, Read, ReadError, Refused,
    SnapshotError, SnapshotPiece,
};
use crate::quorum::VoterKey;

pub use self::begin::InitialiseError;
pub use self::network::Peers;
pub use self::open::{OpenedRaft, RaftConfig};

type OpenRaft = openraft::Raft<Types, Machine>;

/// A node of a quorum.
pub struct Raft {
    me: VoterKey,
    raft: OpenRaft,
    journal: Journal,
    machine: Machine,
    leadership: Arc<Leadership>,
    deliverer: SharedDeliverer,
    progress: Arc<Progress>,
    appends: Appends,
    network: Network,
    server: Server,
    deliveries: Mutex<Option<DeliveryReceiver>>,
    closing: watch::Sender<bool>,
    /// How long the quorum may be silent.
    patience: Duration,
    /// Serializes closing.
    open: tokio::sync::Mutex<Option<Box<dyn DirLock>>>,
}

impl Raft {
    /// Answers a message of a peer, whatever its bytes are. Everything is in the message: who carries it need not know
    /// from whom it is, only that it came from within the cluster.
    pub fn handle(&self, request: Bytes) -> BoxFuture<'_, Bytes> {
        Box::pin(async move {
            let answer = self.server.handle(request).await;
            process::observe(|| Observed::Answers { epoch: self.journal.known_epoch() });
            answer
        })
    }

    /// Whether this node has neither voted nor logged anything, ever.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.journal.is_empty()
    }

    /// Who this node is in the quorum.
    #[must_use]
    pub fn key(&self) -> VoterKey {
        self.me
    }

    /// Stands for election as soon as no leader is known to live: a hint that the one there was does not. A wrong one
    /// does no harm, for the other voters are asked first whether they hear from a leader.
    pub async fn suspect_leader(&self) {
        // Who has stopped stands for nothing.
        let _ = self.raft.trigger().elect(true).await;
    }

    async fn barrier(&self) -> Result<Offset, NoQuorum> {
        if *self.closing.borrow() {
            return Err(NoQuorum(": it is closed".to_owned()));
        }
        let leader = leadership::leader_of(self.journal.vote().borrow().as_ref());
        let Some((leader, _)) = leader else { return Err(NoQuorum(String::new())) };
        if leader == self.me {
            let asked = tokio::time::timeout(self.patience, self.server.barrier()).await;
            return match asked {
                Ok(Ok(offset)) => Ok(offset),
                Ok(Err(Failure::NotLeader)) | Err(_) => Err(NoQuorum(String::new())),
                Ok(Err(failure)) => Err(NoQuorum(format!(": {failure}"))),
            };
        }
        let endpoints = {
            let metrics = self.raft.server_metrics();
            let metrics = metrics.borrow_watched();
            metrics.membership_config.get_node(&leader).cloned().unwrap_or_default()
        };
        let client = self.network.client(leader, endpoints);
        client.barrier(self.patience).await.map_err(|error| NoQuorum(format!(": {error}")))
    }

    async fn read_from(&self, from: Offset, max_bytes: usize) -> Result<Read, ReadError> {
        if *self.closing.borrow() {
            return Err(ReadError::Closed);
        }
        let (mut records, mut bytes, mut next) = (Vec::new(), 0, from);
        loop {
            let found = match self.machine.find(next) {
                Found::NotYet if records.is_empty() => return Ok(Read::Nothing { end: self.machine.next() }),
                Found::NotYet => break,
                Found::Gone => None,
                Found::Entry(first, id) => self.journal.entry(id.index).map(|entry| (first, entry)),
            };
            let Some((first, entry)) = found else {
                if !records.is_empty() {
                    break;
                }
                return match self.machine.current_snapshot() {
                    Some(snapshot) if snapshot.upto >= from => {
                        Ok(Read::NeedsSnapshot { upto: snapshot.upto })
                    }
                    _ => Err(ReadError::Storage(format!("offset {from} is in no file").into())),
                };
            };
            let Payload::Normal(batch) = entry.payload else { break };
            let skipped = usize::try_from(next.0 - first.0).unwrap_or(0);
            let before = records.len();
            for record in batch.0.iter().skip(skipped) {
                bytes += record.len();
                if bytes > max_bytes && !records.is_empty() {
                    return Ok(Read::Records { first: from, records });
                }
                records.push(record.clone());
            }
            if records.len() == before {
                break;
            }
            next = Offset(first.0 + batch.count());
        }
        Ok(Read::Records { first: from, records })
    }

    async fn take_snapshot(&self, upto: Offset, records: Vec<Bytes>) -> Result<(), SnapshotError> {
        if *self.closing.borrow() {
            return Err(SnapshotError::Closed);
        }
        if let Some(record) = records.iter().find(|record| record.len() + 4 > MAX_BATCH_BYTES) {
            return Err(SnapshotError::TooLarge { bytes: record.len() + 4, most: MAX_BATCH_BYTES });
        }
        self.machine.take_snapshot(upto, &records).await?;
        // Openraft learns of it, and has the log purged.
        self.raft.trigger().snapshot().await.map_err(|_| SnapshotError::Closed)?;
        let purged = self.raft.metrics().borrow_watched().purged;
        if let Some(purged) = purged {
            self.machine.forget(purged.index);
        }
        Ok(())
    }

    async fn stop(&self) {
        let mut open = self.open.lock().await;
        if open.is_none() {
            return;
        }
        if let Some(epoch) = self.leadership.elected()
            && let Some(successor) = successor(&self.raft, self.me)
        {
            // Who leads when the successor does not take over is found out by an election.
            let _ = self.raft.trigger().transfer_leader(successor).await;
            let mut vote = self.journal.vote();
            let passed = vote.wait_for(|_| self.leadership.elected() != Some(epoch));
            let _ = tokio::time::timeout(self.patience, passed).await;
        }
        self.closing.send_replace(true);
        if let Some(epoch) = self.leadership.state().leading {
            self.leadership.end(epoch);
        }
        // It has stopped either way.
        let _ = self.raft.shutdown().await;
        self.server.settle().await;
        self.machine.settle().await;
        self.deliverer.lock().await.end();
        self.journal.close().await;
        *open = None;
    }
}

impl AtomicBroadcast for Raft {
    fn append(&self, epoch: LeadershipEpoch, records: Vec<Bytes>) -> Result<Appending, Refused> {
        self.appends.append(epoch, records)
    }

    fn deliveries(&self) -> Option<DeliveryReceiver> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn leader(&self) -> watch::Receiver<LeaderHint> {
        self.leadership.hint()
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<Offset, NoQuorum>> {
        Box::pin(self.barrier())
    }

    fn read(&self, from: Offset, max_bytes: usize) -> BoxFuture<'_, Result<Read, ReadError>> {
        Box::pin(self.read_from(from, max_bytes))
    }

    fn read_snapshot(
        &self,
        upto: Offset,
        position: u64,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<SnapshotPiece, ReadError>> {
        Box::pin(async move {
            let current = self.machine.current_snapshot().filter(|current| current.upto == upto);
            let current = current.ok_or(ReadError::NoSnapshot(upto))?;
            match current.read(position, max_bytes).await {
                Ok(piece) => Ok(SnapshotPiece { records: piece.records, next: piece.next }),
                Err(error) => Err(ReadError::Position { upto, position, why: error.to_string() }),
            }
        })
    }

    fn snapshot(&self, upto: Offset, records: Vec<Bytes>) -> BoxFuture<'_, Result<(), SnapshotError>> {
        Box::pin(self.take_snapshot(upto, records))
    }

    fn resign(&self, epoch: LeadershipEpoch) {
        if self.leadership.state().leading == Some(epoch) {
            self.leadership.end(epoch);
        }
    }

    fn max_batch_bytes(&self) -> usize {
        MAX_BATCH_BYTES
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.stop())
    }
}
