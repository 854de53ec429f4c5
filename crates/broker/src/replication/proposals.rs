//! The ISRs that this broker has asked for, and those that may be in force because of it (KIP-497). Pure: what comes in, at
//! a time, gives what is to be done.
//!
//! Which ISR counts: from the moment in which a change is sent, the high watermark must count those of the ISR in force and
//! those asked for, until it is certain what became of it. An error is certain only if no other copy of the request can
//! still arrive: whoever got no answer, or one that does not tell what became of the partition, asks again, and of two
//! copies either may be the one that is decided. What always decides is the partition's epoch: the controller takes no
//! change to a state that is over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_metadata::controller::replication::alter_partition::PartitionUpdate;
use ottla_metadata::record::PartitionEpoch;
use ottla_types::{BrokerId, ErrorCode, LeaderEpoch};

use super::Key;
use super::outbox::{Next, Outbox};

/// How many partitions a request names: other decisions of the controller are not to wait for thousands.
const MOST_AT_ONCE: usize = 1_000;

/// How long to wait before a refused change is looked at again, if nothing that is replayed asks for it sooner.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// What is wanted now of some partitions.
    Wanted(Vec<Wanted>),
    /// What became of the request that is under way, by partition: its epoch afterwards, or the error.
    Answered(BTreeMap<Key, Result<PartitionEpoch, ErrorCode>>),
    /// The request that is under way was not answered, or not in a way that tells what became of it.
    Failed,
    /// Time has passed.
    Tick,
}

/// A partition as the metadata have it, and what its leader wants of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) key: Key,
    /// The state of it; `None` if this broker does not lead it.
    pub(super) state: Option<(LeaderEpoch, PartitionEpoch)>,
    /// What it is to be.
    pub(super) update: Option<PartitionUpdate>,
    /// Whether that could not be told yet.
    pub(super) is_undecided: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Send this to the active controller: its answer is [`Input::Answered`] or [`Input::Failed`].
    Send(Vec<PartitionUpdate>),
    /// Say again what is wanted of these.
    Look(Vec<Key>),
    /// Give a [`Input::Tick`] then, instead of when it was said before.
    WakeAt(Duration),
}

/// What was asked of a partition in one state of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    state: (LeaderEpoch, PartitionEpoch),
    /// All who would be in sync by one of the requests.
    members: BTreeSet<BrokerId>,
    /// A copy may be on its way of which nobody knows what becomes.
    in_doubt: bool,
    /// The answer says that the state is over: replaying will show what came of it.
    is_over: bool,
}

/// The machine.
#[derive(Debug, Clone)]
pub(super) struct Proposals {
    outbox: Outbox<PartitionUpdate>,
    asked: BTreeMap<Key, Asked>,
    /// To be looked at again, and when.
    look: BTreeSet<Key>,
    look_at: Duration,
}

impl Default for Proposals {
    fn default() -> Self {
        Self {
            outbox: Outbox::new(MOST_AT_ONCE),
            asked: BTreeMap::new(),
            look: BTreeSet::new(),
            look_at: Duration::ZERO,
        }
    }
}

impl Proposals {
    /// Takes what comes in at `now`, and says what is to be done.
    pub(super) fn step(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        match input {
            Input::Wanted(list) => list.into_iter().for_each(|wanted| self.want(now, wanted)),
            Input::Answered(answers) => self.answered(now, &answers),
            Input::Failed => self.failed(now),
            Input::Tick => {}
        }
        self.effects(now)
    }

    /// All who may be in sync, where `in_force` are so in the state that is replayed: what a high watermark must count.
    #[cfg_attr(not(test), expect(dead_code, reason = "there is no high watermark of several replicas yet"))]
    pub(super) fn may_be_in_sync(&self, key: Key, in_force: &[BrokerId]) -> BTreeSet<BrokerId> {
        let asked = self.asked.get(&key).into_iter().flat_map(|asked| &asked.members);
        in_force.iter().chain(asked).copied().collect()
    }

    fn want(&mut self, now: Duration, wanted: Wanted) {
        let Wanted { key, state, update, is_undecided } = wanted;
        self.look.remove(&key);
        if self.asked.get(&key).is_some_and(|asked| Some(asked.state) != state) {
            self.asked.remove(&key);
        }
        if is_undecided {
            self.look_again(now, key);
        }
        let is_over = self.asked.get(&key).is_some_and(|asked| asked.is_over);
        match update.filter(|_| !is_over) {
            Some(update) => self.outbox.wish(key, update),
            None => self.outbox.withdraw(key),
        }
    }

    fn answered(&mut self, now: Duration, answers: &BTreeMap<Key, Result<PartitionEpoch, ErrorCode>>) {
        for (key, update) in self.outbox.answered() {
            let Some(asked) = self.asked.get_mut(&key).filter(|asked| asked.state == state_of(&update))
            else {
                // It has moved on while the answer was on its way.
                continue;
            };
            match answers.get(&key) {
                Some(Ok(epoch)) if *epoch > update.partition_epoch => asked.is_over = true,
                Some(Err(error)) if is_over(*error) => asked.is_over = true,
                None => {
                    asked.in_doubt = true;
                    self.look_again(now, key);
                }
                Some(answer) => {
                    if !asked.in_doubt {
                        self.asked.remove(&key);
                    }
                    if answer.is_err() {
                        self.look_again(now, key);
                    }
                }
            }
        }
    }

    fn failed(&mut self, now: Duration) {
        for key in self.outbox.failed(now).keys() {
            if let Some(asked) = self.asked.get_mut(key) {
                asked.in_doubt = true;
            }
        }
    }

    fn look_again(&mut self, now: Duration, key: Key) {
        if self.look.is_empty() {
            self.look_at = now + LOOK_AGAIN;
        }
        self.look.insert(key);
    }

    fn effects(&mut self, now: Duration) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !self.look.is_empty() && self.look_at <= now {
            effects.push(Effect::Look(std::mem::take(&mut self.look).into_iter().collect()));
        }
        let rest = match self.outbox.next(now) {
            Next::Send(updates) => {
                self.note_sent(&updates);
                effects.push(Effect::Send(updates.into_values().collect()));
                None
            }
            Next::Rest(until) => Some(until),
            Next::Nothing => None,
        };
        let look = (!self.look.is_empty()).then_some(self.look_at);
        effects.extend(rest.into_iter().chain(look).min().map(Effect::WakeAt));
        effects
    }

    fn note_sent(&mut self, updates: &BTreeMap<Key, PartitionUpdate>) {
        for (key, update) in updates {
            let state = state_of(update);
            let fresh = || Asked { state, members: BTreeSet::new(), in_doubt: false, is_over: false };
            let asked = self.asked.entry(*key).or_insert_with(fresh);
            if asked.state != state {
                *asked = fresh();
            }
            asked.members.extend(update.isr.iter().map(|(broker, _)| *broker));
        }
    }
}

/// The state that an update would change.
fn state_of(update: &PartitionUpdate) -> (LeaderEpoch, PartitionEpoch) {
    (update.leader_epoch, update.partition_epoch)
}

/// Whether an error says that the partition has another state by now.
fn is_over(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::InvalidUpdateVersion | ErrorCode::FencedLeaderEpoch | ErrorCode::NewLeaderElected
    )
}

#[cfg(test)]
#[path = "proposals_tests.rs"]
mod tests;
