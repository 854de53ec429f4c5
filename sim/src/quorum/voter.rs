//! What a machine of the quorum runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_broadcast::quorum::{Voter, VoterEndpoint, VoterKey};
use ottla_broadcast::raft::{InitialiseError, Raft, RaftConfig};
use ottla_broadcast::{Appended, AtomicBroadcast, Delivery, DeliveryReceiver, Read};
use ottla_env::{ListenOptions, process};
use ottla_types::{BrokerId, DirectoryId, LeadershipEpoch, Offset};
use tokio::sync::watch;

use super::oracle::{AppendFate, Oracle, Process};
use super::state::{self, Digest};
use super::transport::{self, Wires};
use crate::engine::{Kind, NodeId};
use crate::rng::SimRng;
use crate::world::{Program, Started, World};

/// Neither of the two is there when a machine is new.
const DIRECTORY: &str = "/data/node/metadata";
const PORT: u16 = 9093;

/// How a voter's user behaves.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The pause between two appends, at most.
    pause: Duration,
    /// Records in a batch, at most.
    records: u64,
    /// Bytes in a record, at most.
    record_bytes: u64,
    /// A snapshot is made after so many records; 0 for never.
    snapshot_every: i64,
    seed: u64,
}

impl Plan {
    pub(super) fn draw(rng: &mut SimRng) -> Self {
        let ms = Duration::from_millis;
        Self {
            pause: ms([10, 60, 300][rng.index(3)]),
            records: [1, 4, 12][rng.index(3)],
            record_bytes: [16, 100, 1_500][rng.index(3)],
            snapshot_every: [0, 20, 200][rng.index(3)],
            seed: rng.next_u64(),
        }
    }
}

fn key(node: NodeId) -> VoterKey {
    VoterKey { id: BrokerId(node.0 as i32), directory: DirectoryId([node.0 as u8; 16]) }
}

fn voters(count: u32) -> Vec<Voter> {
    let endpoint =
        |id| VoterEndpoint { listener: "CONTROLLER".to_owned(), host: format!("voter-{id}"), port: PORT };
    (1..=count).map(|id| Voter { key: key(NodeId(id)), endpoints: vec![endpoint(id)] }).collect()
}

/// A voter of so many.
pub(super) fn program(world: World, oracle: Oracle, plan: Plan, node: NodeId, count: u32) -> Program {
    Arc::new(move |started| {
        let voter = User { world: world.clone(), oracle: oracle.clone(), plan: plan.clone(), node };
        Box::pin(voter.run(started, count))
    })
}

/// Who uses the log on one node.
#[derive(Clone)]
struct User {
    world: World,
    oracle: Oracle,
    plan: Plan,
    node: NodeId,
}

impl User {
    async fn run(self, mut started: Started, count: u32) {
        let env = &started.env;
        let config = RaftConfig {
            me: key(self.node),
            election_timeout: Duration::from_millis(300),
            fetch_timeout: Duration::from_millis(500),
        };
        let peers = Arc::new(Wires::new(Arc::clone(&env.net)));
        let opened =
            Raft::open(Arc::clone(&env.disk), Arc::clone(&env.rng), Path::new(DIRECTORY), config, peers)
                .await;
        let raft = match opened {
            Ok(opened) => opened.raft,
            Err(error) => return self.violated("a_voter_starts", &error),
        };
        let known = raft.leader().borrow().epoch;
        let start = self.oracle.with(|quorum| quorum.starts(self.node, known));
        if raft.is_empty() {
            match raft.initialise(voters(count)).await {
                Ok(()) | Err(InitialiseError::NotEmpty) => {}
                Err(error) => return self.violated("a_voter_starts", &error),
            }
        }
        let listener = match env.net.listen("", PORT, ListenOptions::default()).await {
            Ok(listener) => listener,
            Err(error) => return self.violated("a_voter_starts", &error),
        };
        let (answering, me) = (Arc::clone(&raft), self.clone());
        process::spawn(transport::serve(listener, move |request| {
            let (raft, me) = (Arc::clone(&answering), me.clone());
            async move { me.answer(&raft, request).await }
        }));
        let process = (self.node, start);
        let (leads, leading) = watch::channel(None);
        if let Some(deliveries) = raft.deliveries() {
            process::spawn(self.clone().follow(Arc::clone(&raft), process, deliveries, leads));
        }
        process::spawn(self.clone().append(Arc::clone(&raft), process, leading));
        process::spawn(self.clone().look(Arc::clone(&raft)));
        started.stopped().await;
        raft.close().await;
    }

    fn violated(&self, invariant: &'static str, error: &dyn std::fmt::Display) {
        self.oracle.with(|quorum| quorum.violated(invariant, format!("{}: {error}", self.node)));
    }

    /// Answers a peer. What is known of epochs by then must never be forgotten.
    async fn answer(&self, raft: &Arc<Raft>, request: Bytes) -> Bytes {
        let answer = raft.handle(request).await;
        let known = raft.leader().borrow().epoch;
        self.oracle.with(|quorum| quorum.says(self.node, known));
        answer
    }

    /// Takes the deliveries, in their order.
    async fn follow(
        self,
        raft: Arc<Raft>,
        process: Process,
        mut deliveries: DeliveryReceiver,
        leads: watch::Sender<Option<LeadershipEpoch>>,
    ) {
        let mut digest = Digest::EMPTY;
        let mut snapshot = Vec::new();
        let mut next_snapshot = self.plan.snapshot_every;
        let mut last_own = None;
        while let Some(delivery) = deliveries.recv().await {
            match delivery {
                Delivery::Snapshot { upto, is_first, is_last, records } => {
                    if is_first {
                        snapshot.clear();
                    }
                    snapshot.extend(records);
                    if is_last {
                        let state = Digest::of_snapshot(&snapshot);
                        self.oracle.with(|quorum| quorum.snapshot_delivered(self.node, upto.0, state));
                        digest = state.unwrap_or(Digest { records: upto.0 + 1, ..digest });
                    }
                }
                Delivery::Committed { first, records } => {
                    if first.0 != digest.records {
                        self.violated(
                            "logs_agree",
                            &format!("handed offset {first} after {} records", digest.records),
                        );
                    }
                    for record in records {
                        self.oracle.with(|quorum| quorum.delivered(self.node, digest.records, &record));
                        digest = digest.with(&record);
                        let leading = *leads.borrow();
                        self.check_own(process, leading, &record, &mut last_own);
                    }
                }
                Delivery::Leading { epoch } => {
                    self.note(1, epoch);
                    self.oracle.with(|quorum| quorum.leads(process, epoch, digest.records));
                    last_own = None;
                    leads.send_replace(Some(epoch));
                }
                Delivery::NotLeading { epoch, .. } => {
                    self.note(2, epoch);
                    leads.send_replace(None);
                }
                Delivery::Failed { reason } => return self.violated("a_voter_runs", &reason),
            }
            if self.plan.snapshot_every > 0 && digest.records >= next_snapshot {
                next_snapshot = digest.records + self.plan.snapshot_every;
                let (raft, upto) = (Arc::clone(&raft), Offset(digest.records - 1));
                let pieces = 1 + digest.records as usize % 50;
                // Of two at once the older may be refused.
                process::spawn(async move { drop(raft.snapshot(upto, digest.snapshot(pieces)).await) });
            }
        }
    }

    /// While a node leads, nothing is committed but what it appended, in that order.
    fn check_own(
        &self,
        process: Process,
        leading: Option<LeadershipEpoch>,
        record: &[u8],
        last: &mut Option<(u64, u32)>,
    ) {
        let Some(epoch) = leading else { return };
        let place = state::append_of(record);
        let append =
            place.and_then(|(number, _)| self.oracle.with(|quorum| quorum.appends.get(&number).copied()));
        let is_own = append.is_some_and(|append| append.process == process && append.epoch == epoch);
        if !is_own || place <= *last {
            let what =
                format!("leads epoch {epoch}, and {place:?} of {append:?} was committed after {last:?}");
            self.violated("a_leader_commits_its_own", &what);
        }
        *last = place;
    }

    fn note(&self, detail: u64, epoch: LeadershipEpoch) {
        let words = if detail == 1 { "leads" } else { "leads no longer" };
        self.world.note(self.node, Kind::Client, detail, || format!("{words}: epoch {epoch}"));
    }

    /// Appends while this node leads.
    async fn append(
        self,
        raft: Arc<Raft>,
        process: Process,
        mut leading: watch::Receiver<Option<LeadershipEpoch>>,
    ) {
        let mut rng = SimRng::new(self.plan.seed ^ u64::from(self.node.0) << 32 ^ process.1);
        loop {
            let pause_us = rng.below(self.plan.pause.as_micros() as u64);
            self.world.timeline().sleep(Duration::from_micros(pause_us)).await;
            let epoch = match leading.wait_for(Option::is_some).await.ok().and_then(|epoch| *epoch) {
                Some(epoch) => epoch,
                None => return,
            };
            let count = 1 + rng.below(self.plan.records) as u32;
            let number = self.oracle.with(|quorum| quorum.append(process, epoch, count));
            let len = rng.below(self.plan.record_bytes) as usize;
            let records = (0..count).map(|nth| state::record(number, nth, len)).collect();
            let me = self.clone();
            match raft.append(epoch, records) {
                Err(_) => me.answered(number, AppendFate::Rejected),
                Ok(appending) => {
                    process::spawn(async move {
                        let fate = match appending.await {
                            Appended::Committed(first) => AppendFate::Committed(first.0),
                            Appended::Rejected(_) => AppendFate::Rejected,
                            Appended::Unknown(_) => AppendFate::Unknown,
                        };
                        me.answered(number, fate);
                    });
                }
            }
        }
    }

    fn answered(&self, number: u64, fate: AppendFate) {
        let now_us = self.world.timeline().now_us();
        self.oracle.with(|quorum| quorum.answered(number, fate, now_us));
    }

    /// Looks at the log now and then, as an observer does, and asks how far it is.
    async fn look(self, raft: Arc<Raft>) {
        let mut at = Offset(0);
        loop {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let before = self.oracle.with(|quorum| quorum.acknowledged_end());
            if let Ok(end) = raft.read_barrier().await
                && end.0 < before
            {
                let what =
                    format!("a read barrier gave {end}, and all below {before} was acknowledged before");
                self.violated("reads_are_linearizable", &what);
            }
            match raft.read(at, 10_000).await {
                Ok(Read::Records { first, records }) => {
                    for (nth, record) in records.iter().enumerate() {
                        self.oracle.with(|quorum| quorum.read(self.node, first.0 + nth as i64, record));
                    }
                    at = Offset(first.0 + records.len() as i64);
                }
                Ok(Read::NeedsSnapshot { upto }) => at = Offset(upto.0 + 1),
                Ok(Read::Nothing { .. }) | Err(_) => {}
            }
        }
    }
}
