//! What the metadata say of a partition, and how its replica changes its part.
//!
//! # Why nothing of the part before lands after the change
//!
//! An append looks whether this broker leads, in the epoch that it was checked in, while it holds [`Partition::tenure`]
//! together with others, and lets go of it when its batch is in the log and noted. So does whoever copies from a leader, from
//! the look whether the answer is to what would be asked now.
//!
//! A change of the part takes the tenure alone. Whoever begins to *follow* is first said not to lead, and then waits for the
//! tenure: an append that looked before that ends before [`Partition::take`] returns, and one that looks later is refused. Only
//! then does anybody fetch, from the end of the log as it stays. Whoever begins to *lead* takes the tenure first: what was
//! under way is in the log before the epoch is noted at its end, and what comes in the new epoch lies behind. The lock is fair,
//! so that a change is not kept waiting by appends that come after it.

use std::sync::{Arc, PoisonError, RwLockReadGuard};

use tokio::sync::RwLockReadGuard as SharedGuard;
use tracing::info;

use ottla_metadata::record::{LeaderRecovery, PartitionState};
use ottla_replica::View;
use ottla_types::{BrokerId, ErrorCode, LeaderEpoch, PartitionEpoch};

use super::{Partition, PartitionConfig};
use crate::waiters::For;

/// Keeps the part of a replica as it is. It is to be held while something is written, and no longer.
pub(crate) type Tenure<'a> = SharedGuard<'a, ()>;

/// What is known of a partition apart from its records.
pub(super) struct State {
    placed: Placed,
    config: Arc<PartitionConfig>,
}

/// Where a partition lies and who leads it.
#[derive(Debug, Clone)]
struct Placed {
    leader: Option<BrokerId>,
    leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    replicas: Arc<[BrokerId]>,
    isr: Arc<[BrokerId]>,
    recovering: bool,
}

/// Who leads a partition, as the metadata say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leadership {
    /// Whether this broker is the leader.
    pub(crate) is_leader: bool,
    pub(crate) epoch: LeaderEpoch,
    /// How many replicas there are.
    pub(crate) replicas: usize,
    /// How many of them are in sync, the leader included.
    pub(crate) in_sync: usize,
}

impl Leadership {
    /// How many replicas must be in sync for a batch of which all must have it. A topic cannot ask for more than it has:
    /// a broker's `min.insync.replicas` also meets topics with fewer replicas (as in Kafka).
    pub(crate) fn min_in_sync(&self, config: &PartitionConfig) -> usize {
        config.min_insync_replicas.min(self.replicas)
    }
}

impl State {
    /// Of a partition of which nothing is said yet.
    pub(super) fn unplaced(config: PartitionConfig) -> Self {
        let placed = Placed {
            leader: None,
            leader_epoch: LeaderEpoch::NONE,
            partition_epoch: PartitionEpoch(-1),
            replicas: Arc::default(),
            isr: Arc::default(),
            recovering: false,
        };
        Self { placed, config: Arc::new(config) }
    }

    fn view(&self) -> View {
        let Placed { leader, leader_epoch, partition_epoch, replicas, isr, recovering } = self.placed.clone();
        let min_insync = self.config.min_insync_replicas.min(replicas.len());
        View { leader, leader_epoch, partition_epoch, replicas, isr, min_insync, recovering }
    }
}

impl Partition {
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn config(&self) -> Arc<PartitionConfig> {
        Arc::clone(&self.state().config)
    }

    pub(crate) fn leadership(&self) -> Leadership {
        let state = self.state();
        Leadership {
            is_leader: state.placed.leader == Some(self.hosting.me),
            epoch: state.placed.leader_epoch,
            replicas: state.placed.replicas.len(),
            in_sync: state.placed.isr.len(),
        }
    }

    /// Whether a replica is in sync, as the metadata say.
    pub(crate) fn has_in_sync(&self, replica: BrokerId) -> bool {
        self.state().placed.isr.contains(&replica)
    }

    /// Whether the replica here is.
    pub(crate) fn is_in_sync(&self) -> bool {
        self.has_in_sync(self.hosting.me)
    }

    /// Checks that this broker leads, and that it does so in the epoch that a client believes in (KIP-320).
    pub(crate) fn check_leader(&self, believed: LeaderEpoch) -> Result<Leadership, ErrorCode> {
        let leadership = self.leadership();
        if believed != LeaderEpoch::NONE && believed < leadership.epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if believed > leadership.epoch {
            return Err(ErrorCode::UnknownLeaderEpoch);
        }
        if leadership.is_leader { Ok(leadership) } else { Err(ErrorCode::NotLeaderOrFollower) }
    }

    /// Keeps the part of this replica as it is until the guard is dropped.
    pub(crate) async fn tenure(&self) -> Tenure<'_> {
        self.tenure.read().await
    }

    /// Takes what the metadata now say, and wakes those who waited under what they said before. When it returns, nothing is
    /// written any more for the part that this replica had: see the module.
    ///
    /// It waits for an append that is under way, and for nothing else.
    pub(crate) async fn take(&self, placed: &PartitionState) {
        let next = Placed {
            leader: placed.leader,
            leader_epoch: placed.leader_epoch,
            partition_epoch: placed.partition_epoch,
            replicas: Arc::clone(&placed.replicas),
            isr: Arc::clone(&placed.isr),
            recovering: placed.recovery == LeaderRecovery::Recovering,
        };
        let before = self.state().placed.clone();
        let leads = next.leader == Some(self.hosting.me);
        if (before.leader, before.leader_epoch) == (next.leader, next.leader_epoch) {
            self.see(next);
            if leads {
                self.tell_of_isr(&before);
            }
        } else if leads {
            let _alone = self.tenure.write().await;
            // KIP-101: a leader notes where its epoch begins before it writes its first record. ListOffsets tells consumers
            // the epoch, and OffsetForLeaderEpoch must know it then: a consumer takes an unknown epoch for a truncation, and
            // starts over.
            // Metadata that are older than the log must not take from it what it knows of later epochs.
            if self.log.latest_epoch().is_none_or(|latest| latest < next.leader_epoch) {
                self.log.begin_epoch(next.leader_epoch).await;
            }
            self.see(next);
        } else {
            self.see(next);
            drop(self.tenure.write().await);
        }
    }

    /// Puts what the metadata say in force.
    fn see(&self, next: Placed) {
        let is_other_leadership = self.drive(|replica, ends, now| {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut state.placed, next);
            let change = replica.view(state.view(), ends, now);
            let now = (state.placed.leader, state.placed.leader_epoch);
            (change, (before.leader, before.leader_epoch) != now)
        });
        if is_other_leadership {
            self.waiters.wake_all();
        } else {
            // A replica whose log starts lower may have died, or be none any more.
            self.waiters.came(For::LowWatermark, 1);
        }
    }

    pub(crate) fn configure(&self, config: PartitionConfig) {
        // `min.insync.replicas` may be another one.
        self.drive(|replica, ends, now| {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.config = Arc::new(config);
            (replica.view(state.view(), ends, now), ())
        });
    }

    /// Ends this replica: it has no leader any more, those who wait are woken, and when this returns, nothing is written to its
    /// log.
    pub(crate) async fn retire(&self) {
        let (epoch, partition_epoch) = {
            let state = self.state();
            (state.placed.leader_epoch, state.placed.partition_epoch)
        };
        let gone = PartitionState { leader_epoch: epoch, partition_epoch, ..PartitionState::default() };
        self.take(&gone).await;
        self.waiters.wake_all();
    }

    /// Logs a change of who is in sync, once.
    fn tell_of_isr(&self, before: &Placed) {
        let isr = Arc::clone(&self.state().placed.isr);
        if before.isr == isr {
            return;
        }
        let (old, new) = (before.isr.len(), isr.len());
        self.hosting.signals.note_isr_change(old, new);
        let what = if new < old { "shrinks" } else { "expands" };
        info!(partition = %self.id, epoch = %self.leadership().epoch,
            "ISR {what} from {:?} to {:?}", ids(&before.isr), ids(&isr));
    }
}

fn ids(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}
