//! The controller in small: who leads, who is in sync, who else holds all that is committed (KIP-966).

use std::collections::BTreeMap;

use ottla_replica::{IsrAnswer, View, WantedIsr};
use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, PartitionEpoch};

#[derive(Debug, Clone)]
pub(crate) struct Controller {
    /// The registration of each broker, and whether it is fenced.
    pub(crate) brokers: BTreeMap<i32, (i64, bool)>,
    /// All states, by their partition epoch.
    pub(crate) history: Vec<View>,
    /// Who left an ISR that was too small for commits.
    pub(crate) elr: Vec<i32>,
}

impl Controller {
    pub(crate) fn new(replicas: &[i32], min_insync: usize) -> Self {
        let ids: Vec<BrokerId> = replicas.iter().map(|id| BrokerId(*id)).collect();
        let first = View {
            leader: ids.first().copied(),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            replicas: ids.clone().into(),
            isr: ids.into(),
            min_insync: min_insync.min(replicas.len()),
            recovering: false,
        };
        Self { brokers: BTreeMap::new(), history: vec![first], elr: Vec::new() }
    }

    pub(crate) fn state(&self) -> &View {
        self.history.last().expect("there is a first state")
    }

    pub(crate) fn leader(&self) -> Option<i32> {
        self.state().leader.map(|leader| leader.0)
    }

    pub(crate) fn isr(&self) -> Vec<i32> {
        let mut isr: Vec<i32> = self.state().isr.iter().map(|id| id.0).collect();
        isr.sort_unstable();
        isr
    }

    /// A state follows the one in force.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut View)) {
        let mut next = self.state().clone();
        change(&mut next);
        next.partition_epoch.0 += 1;
        if next.leader != self.state().leader {
            next.leader_epoch.0 += 1;
        }
        if next.isr.len() >= next.min_insync {
            self.elr.clear();
        } else {
            self.elr.extend(self.isr());
            self.elr.retain(|member| !next.isr.contains(&BrokerId(*member)));
        }
        self.history.push(next);
    }

    /// A broker registers, and lives.
    pub(crate) fn register(&mut self, broker: i32, registration: i64) {
        self.brokers.insert(broker, (registration, false));
        if self.leader().is_none() {
            self.elect_somebody();
        }
    }

    pub(crate) fn fence(&mut self, broker: i32) {
        if let Some((_, fenced)) = self.brokers.get_mut(&broker) {
            *fenced = true;
        }
        self.leave(broker, false);
    }

    /// A broker leaves the ISR, and with it the leadership.
    fn leave(&mut self, broker: i32, is_stranger: bool) {
        if self.state().isr.contains(&BrokerId(broker)) {
            let leads = self.leader() == Some(broker);
            self.change(|state| {
                state.isr = state.isr.iter().copied().filter(|member| member.0 != broker).collect();
                state.leader = state.leader.filter(|_| !leads);
            });
            self.elr.retain(|member| !is_stranger || *member != broker);
            if leads {
                self.elect_somebody();
            }
        }
    }

    /// A broker lost its log, or the end of it.
    pub(crate) fn make_stranger(&mut self, broker: i32) {
        self.elr.retain(|member| *member != broker);
        self.leave(broker, true);
    }

    fn elect_somebody(&mut self) {
        let lives = |broker: &i32| self.brokers.get(broker).is_some_and(|(_, fenced)| !fenced);
        let candidates = self.isr().into_iter().chain(self.elr.clone());
        if let Some(leader) = candidates.filter(lives).min() {
            self.elect(leader);
        }
    }

    /// Someone leads, in a new epoch.
    pub(crate) fn elect(&mut self, leader: i32) {
        let leader = BrokerId(leader);
        let again = self.state().leader == Some(leader);
        self.change(|state| {
            state.leader = Some(leader);
            state.leader_epoch.0 += i32::from(again);
            if !state.isr.contains(&leader) {
                state.isr = state.isr.iter().copied().chain([leader]).collect();
            }
        });
    }

    /// Somebody leads who may lack what is committed, alone.
    pub(crate) fn elect_uncleanly(&mut self, leader: i32) {
        self.change(|state| {
            state.leader = Some(BrokerId(leader));
            state.isr = [BrokerId(leader)].into();
            state.recovering = true;
        });
    }

    pub(crate) fn eligible(&self, broker: BrokerId) -> Option<BrokerEpoch> {
        let (registration, fenced) = self.brokers.get(&broker.0)?;
        (!fenced).then_some(BrokerEpoch(*registration))
    }

    /// AlterPartition.
    pub(crate) fn alter(&mut self, leader: i32, wanted: &WantedIsr) -> IsrAnswer {
        let state = self.state();
        if wanted.leader_epoch != state.leader_epoch || state.leader != Some(BrokerId(leader)) {
            return IsrAnswer::Refused(ErrorCode::FencedLeaderEpoch);
        }
        if wanted.partition_epoch != state.partition_epoch {
            return IsrAnswer::Refused(ErrorCode::InvalidUpdateVersion);
        }
        for (member, epoch) in &wanted.members {
            let is_eligible = self.eligible(*member) == Some(*epoch);
            if !state.replicas.contains(member) || (!is_eligible && !is(Sabotage::FencedBrokerEnters)) {
                return IsrAnswer::Refused(ErrorCode::IneligibleReplica);
            }
        }
        self.change(|state| {
            state.isr = wanted.members.iter().map(|(member, _)| *member).collect();
            state.recovering = false;
        });
        IsrAnswer::Altered(self.state().partition_epoch)
    }
}
