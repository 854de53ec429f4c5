//! One partition's change: from what is wanted of it to the record that does it.
//!
//! Whatever is wanted, this holds afterwards (KIP-455, KIP-704, KIP-966):
//! - The leader is in the ISR, and can lead; or there is none.
//! - A replica that leaves an ISR smaller than `min.insync.replicas` holds everything committed, since nothing is committed
//!   by fewer: it is kept in the ELR, and leads again when the ISR is empty. An ISR that is large enough voids the ELR.
//! - When neither ISR nor ELR has anybody, the last known leader is remembered, and elected when it is back.
//! - An unclean leader is alone in the ISR, and recovering.
//! - A reassignment ends with the change that brings all its targets into the ISR.

use std::sync::Arc;

use ottla_types::{BrokerId, DirectoryId, TopicId};

use super::super::decision::{UncleanElection, WhyUnclean};
use crate::record::{Assignment, LeaderRecovery, PartitionChange, PartitionState, Reassignment};

/// Who may become leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Election {
    /// The preferred replica if it is in sync; else as `Online`.
    Preferred,
    /// Who holds everything, if the leader cannot go on.
    Online,
    /// Anybody, if nobody else is there.
    Unclean,
}

/// What a partition is to be. It starts as what the partition is.
#[derive(Debug)]
pub(in super::super) struct Target<'a> {
    topic: TopicId,
    index: i32,
    state: &'a PartitionState,
    /// Its replicas with their directories.
    pub(in super::super) replicas: Vec<(BrokerId, DirectoryId)>,
    /// Its ISR.
    pub(in super::super) isr: Vec<BrokerId>,
    /// A replica whose log may have lost its end: it does not hold everything any more.
    pub(in super::super) stranger: Option<BrokerId>,
    /// A replica that begins anew, for the directory that it lay in is gone.
    emptied: Option<BrokerId>,
    /// The move of replicas.
    pub(in super::super) reassignment: Option<Reassignment>,
    /// Whether the leader may lack records.
    pub(in super::super) recovery: LeaderRecovery,
    /// Who may become leader.
    pub(in super::super) election: Election,
}

/// What has to be written.
#[derive(Debug)]
pub(in super::super) struct Changed {
    pub(in super::super) change: PartitionChange,
    pub(in super::super) unclean: Option<UncleanElection>,
}

/// Who leads, with what in sync.
struct Elected {
    leader: Option<BrokerId>,
    isr: Vec<BrokerId>,
    elr: Vec<BrokerId>,
    unclean: Option<WhyUnclean>,
}

/// Whether a broker can lead with a replica in this directory.
type CanLead<'a> = &'a dyn Fn(BrokerId, DirectoryId) -> bool;

impl<'a> Target<'a> {
    pub(in super::super) fn of(
        topic: TopicId,
        index: i32,
        state: &'a PartitionState,
        election: Election,
    ) -> Self {
        Self {
            topic,
            index,
            state,
            replicas: state.replicas.iter().copied().zip(state.directories.iter().copied()).collect(),
            isr: state.isr.to_vec(),
            stranger: None,
            emptied: None,
            reassignment: state.reassignment.clone(),
            recovery: state.recovery,
            election,
        }
    }

    /// The partition as it is.
    pub(in super::super) fn state(&self) -> &'a PartitionState {
        self.state
    }

    /// Takes a broker out of the ISR, and so of leadership. It is still known to hold what it held.
    pub(in super::super) fn leave_isr(&mut self, broker: BrokerId) {
        self.isr.retain(|member| *member != broker);
    }

    /// Takes a broker out of ISR and ELR.
    pub(in super::super) fn make_stranger(&mut self, broker: BrokerId) {
        self.leave_isr(broker);
        self.stranger = Some(broker);
    }

    /// Takes note that a broker's replica begins anew: the log that it had is gone.
    pub(in super::super) fn make_empty(&mut self, broker: BrokerId) {
        self.make_stranger(broker);
        self.emptied = Some(broker);
    }

    /// Whoever has a log of its own in place of one that lost its own, if anybody has.
    fn or_another(&self, last: BrokerId) -> BrokerId {
        let mut others = self.replicas.iter().map(|(broker, _)| *broker).filter(|other| *other != last);
        if self.emptied == Some(last) { others.next().unwrap_or(last) } else { last }
    }

    /// Says where a broker's replica lies.
    pub(in super::super) fn set_directory(&mut self, broker: BrokerId, directory: DirectoryId) {
        for (_, is) in self.replicas.iter_mut().filter(|(id, _)| *id == broker) {
            *is = directory;
        }
    }

    /// The change that makes the partition what is wanted; `None` if it is that already.
    pub(in super::super) fn change(mut self, min_isr: usize, can_lead: CanLead<'_>) -> Option<Changed> {
        self.complete_reassignment();
        let mut elected = self.elect(self.eligible(min_isr), can_lead);
        if elected.unclean.is_some() {
            self.recovery = LeaderRecovery::Recovering;
        } else if elected.isr != self.isr {
            // An eligible replica that leads may be the only one that was missing.
            self.isr.clone_from(&elected.isr);
            if self.complete_reassignment() {
                elected = self.elect(self.eligible(min_isr), can_lead);
            }
        }
        self.difference(elected)
    }

    /// Ends the reassignment if all replicas that stay are in sync (KIP-455), and says whether it did.
    fn complete_reassignment(&mut self) -> bool {
        let Some(Reassignment { removing, .. }) = &self.reassignment else { return false };
        let stays = |broker: &BrokerId| !removing.contains(broker);
        let isr: Vec<_> = self.isr.iter().copied().filter(stays).collect();
        let mut replicas = self.replicas.iter().filter(|(broker, _)| stays(broker));
        let is_done = !isr.is_empty() && replicas.all(|(broker, _)| isr.contains(broker));
        if is_done {
            self.replicas.retain(|(broker, _)| stays(broker));
            self.isr = isr;
            self.reassignment = None;
        }
        is_done
    }

    /// Who besides the ISR holds everything committed (KIP-966). At most all replicas can be in sync, so fewer replicas
    /// than `min.insync.replicas` are enough if all of them are there.
    fn eligible(&self, min_isr: usize) -> Vec<BrokerId> {
        if self.isr.len() >= min_isr.min(self.replicas.len()) {
            return Vec::new();
        }
        let held = |broker: &BrokerId| self.state.isr.contains(broker) || self.state.elr.contains(broker);
        let brokers = self.replicas.iter().map(|(broker, _)| *broker);
        brokers.filter(|b| held(b) && !self.isr.contains(b) && self.stranger != Some(*b)).collect()
    }

    fn elect(&self, elr: Vec<BrokerId>, can_lead: CanLead<'_>) -> Elected {
        let isr = self.isr.clone();
        let can_lead = |broker: BrokerId| {
            let replica = self.replicas.iter().find(|(id, _)| *id == broker);
            replica.is_some_and(|(_, directory)| can_lead(broker, *directory))
        };
        let holds_all = |b: BrokerId| isr.contains(&b) || isr.is_empty() && elr.contains(&b);
        let is_valid = |broker: BrokerId| holds_all(broker) && can_lead(broker);
        let brokers = || self.replicas.iter().map(|(broker, _)| *broker);
        let preferred = brokers().next().filter(|_| self.election == Election::Preferred);
        let candidates = preferred.into_iter().chain(self.state.leader).chain(brokers());
        if let Some(leader) = candidates.into_iter().find(|broker| is_valid(*broker)) {
            if isr.contains(&leader) {
                return Elected { leader: Some(leader), isr, elr, unclean: None };
            }
            let elr = elr.into_iter().filter(|member| *member != leader).collect();
            return Elected { leader: Some(leader), isr: vec![leader], elr, unclean: None };
        }
        let nobody_is_known = isr.is_empty() && elr.is_empty();
        let last = self.state.last_known_leader.map(|last| self.or_another(last));
        let last = last.filter(|last| nobody_is_known && can_lead(*last));
        let any = || brokers().find(|broker| can_lead(*broker));
        let unclean = match (last, self.election) {
            (Some(last), _) => Some((last, WhyUnclean::LastKnownLeader)),
            (None, Election::Unclean) => any().map(|leader| (leader, WhyUnclean::Allowed)),
            _ => None,
        };
        match unclean {
            Some((leader, why)) => {
                Elected { leader: Some(leader), isr: vec![leader], elr: Vec::new(), unclean: Some(why) }
            }
            None => Elected { leader: None, isr, elr, unclean: None },
        }
    }

    /// Who led last, to be remembered while there is neither leader nor ISR.
    fn last_known_leader(&self, elected: &Elected) -> Option<BrokerId> {
        if elected.leader.is_some() || !elected.isr.is_empty() {
            return None;
        }
        let state = self.state;
        let last = state.last_known_leader.or(state.leader);
        let last = last.or_else(|| state.isr.first().copied()).or_else(|| state.elr.first().copied());
        let is_replica = |last: &BrokerId| self.replicas.iter().any(|(broker, _)| broker == last);
        // Who held everything may be no replica any more: a move was cancelled where the topic allows to go on without.
        let any = || self.replicas.first().map(|(broker, _)| *broker).filter(|_| elected.elr.is_empty());
        last.filter(is_replica).or_else(any).map(|last| self.or_another(last))
    }

    fn difference(self, elected: Elected) -> Option<Changed> {
        let state = self.state;
        let last_known_leader = self.last_known_leader(&elected);
        let Elected { leader, isr, elr, unclean } = elected;
        let (replicas, directories): (Vec<_>, Vec<_>) = self.replicas.into_iter().unzip();
        // Whoever is no replica any more must not take itself for one: a new epoch tells it.
        let drops_replica = state.replicas.iter().any(|broker| !replicas.contains(broker));
        let list = |list: Vec<BrokerId>, old: &[BrokerId]| (list != old).then(|| Arc::from(list));
        let is_moved = *replicas != *state.replicas || *directories != *state.directories;
        let change = PartitionChange {
            topic: self.topic,
            index: self.index,
            isr: list(isr, &state.isr),
            elr: list(elr, &state.elr),
            leader: (leader != state.leader || drops_replica || unclean.is_some()).then_some(leader),
            last_known_leader: (last_known_leader != state.last_known_leader).then_some(last_known_leader),
            reassignment: (self.reassignment != state.reassignment).then_some(self.reassignment),
            recovery: (self.recovery != state.recovery).then_some(self.recovery),
            assignment: is_moved
                .then(|| Assignment { replicas: replicas.into(), directories: directories.into() }),
        };
        let is_nothing = PartitionChange { topic: self.topic, index: self.index, ..Default::default() };
        let unclean = leader.zip(unclean).map(|(leader, why)| UncleanElection {
            topic: self.topic,
            index: self.index,
            leader,
            why,
        });
        (change != is_nothing).then_some(Changed { change, unclean })
    }
}
