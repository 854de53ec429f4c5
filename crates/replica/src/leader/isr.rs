//! Which ISR a leader wants, and which ones may be in force (KIP-497, KIP-841, KIP-903).
//!
//! An error is certain only if no other copy of the request can still arrive: whoever got no answer asks again, and of two
//! copies either may be the one that is decided. What always decides is the partition's epoch: the controller takes no
//! change to a state that is over.

use std::time::Duration;

use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionEpoch};

use super::Leader;
use super::lag::LagSettings;
use super::progress::Progress;
use crate::view::View;

/// The ISR that a leader wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedIsr {
    /// Its leadership.
    pub leader_epoch: LeaderEpoch,
    /// The state that is to change.
    pub partition_epoch: PartitionEpoch,
    /// Who is to be in sync, by which registration: one that registers anew before the controller decides may have lost its
    /// log (KIP-903). An ISR that is asked for also says that the leader has recovered (KIP-704).
    pub members: Vec<(BrokerId, BrokerEpoch)>,
}

/// What became of an ISR that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsrAnswer {
    /// The controller says that this is the partition's epoch now.
    Altered(PartitionEpoch),
    /// It refuses.
    Refused(ErrorCode),
    /// There was no answer, or none that tells. A copy may be on its way.
    Unknown,
}

/// What was asked in the current state of the partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    epoch: PartitionEpoch,
    /// A copy may be on its way of which nobody knows what becomes.
    in_doubt: bool,
    /// The answer says that the state is over: what is replayed will show what came of it.
    is_over: bool,
}

/// How long to wait before a refused change is looked at again, if nothing that is replayed asks for it sooner.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Asked {
    /// Whether the partition has another state by now.
    pub(super) fn is_of_before(&self, epoch: PartitionEpoch) -> bool {
        self.epoch != epoch
    }
}

impl Leader {
    pub(crate) fn wanted_isr(
        &self,
        view: &View,
        high_watermark: Offset,
        eligible: impl Fn(BrokerId) -> Option<BrokerEpoch>,
        settings: &LagSettings,
        now: Duration,
    ) -> Option<WantedIsr> {
        if self.asked.is_some_and(|asked| asked.is_over) {
            return None;
        }
        // Who is fenced or stops is on its way out of the leadership.
        let mine = eligible(self.me)?;
        let others = view.replicas.iter().filter(|replica| !view.isr.contains(replica));
        let mut members = Vec::with_capacity(view.replicas.len());
        for broker in view.isr.iter().chain(others).copied() {
            if broker == self.me {
                members.push((broker, mine));
                continue;
            }
            let Some(follower) = self.followers.iter().find(|follower| follower.broker == broker) else {
                continue;
            };
            let can_be = self.can_be_in_sync(follower, high_watermark, settings, now);
            members.extend(
                registration(follower, eligible(broker)).filter(|_| can_be).map(|epoch| (broker, epoch)),
            );
        }
        let is_so =
            members.len() == view.isr.len() && members.iter().all(|(broker, _)| view.isr.contains(broker));
        if is_so && !view.recovering {
            return None;
        }
        let (leader_epoch, partition_epoch) = (view.leader_epoch, view.partition_epoch);
        Some(WantedIsr { leader_epoch, partition_epoch, members })
    }

    /// Whether its log is good enough. Who would leave does not enter (KAFKA-19996).
    fn can_be_in_sync(
        &self,
        follower: &Progress,
        high_watermark: Offset,
        settings: &LagSettings,
        now: Duration,
    ) -> bool {
        let lags = follower.lags(self.ends.end, settings, now);
        if follower.in_isr {
            return !lags;
        }
        follower.may_enter(high_watermark) && (!lags || is(Sabotage::EntersAtWatermarkAlone))
    }

    pub(crate) fn isr_asked(
        &mut self,
        epoch: PartitionEpoch,
        members: impl IntoIterator<Item = BrokerId>,
        high_watermark: Offset,
    ) -> bool {
        let members = members.into_iter().filter(|member| *member != self.me);
        let followers = self.followers.iter();
        let indexes: Option<Vec<usize>> =
            members.map(|member| followers.clone().position(|follower| follower.broker == member)).collect();
        let Some(indexes) = indexes else { return false };
        let may =
            |follower: &Progress| follower.in_isr || follower.asked || follower.may_enter(high_watermark);
        let is_member = |index: usize| indexes.contains(&index);
        if !self.followers.iter().enumerate().all(|(index, follower)| !is_member(index) || may(follower)) {
            return false;
        }
        if self.asked.is_none_or(|asked| asked.epoch != epoch) {
            self.asked = Some(Asked { epoch, in_doubt: false, is_over: false });
        }
        for (_, follower) in self.followers.iter_mut().enumerate().filter(|(index, _)| is_member(*index)) {
            follower.asked = !is(Sabotage::WatermarkIgnoresProposed);
            follower.hold.end();
        }
        true
    }

    pub(crate) fn isr_answered(&mut self, answer: IsrAnswer, now: Duration) {
        let Some(asked) = &mut self.asked else { return };
        match answer {
            IsrAnswer::Altered(epoch) if epoch > asked.epoch => {
                asked.is_over = true;
                return;
            }
            IsrAnswer::Refused(error) if is_over(error) => {
                asked.is_over = true;
                return;
            }
            IsrAnswer::Altered(_) => {}
            IsrAnswer::Refused(_) => self.looks_at = Some(now.saturating_add(LOOK_AGAIN)),
            IsrAnswer::Unknown => {
                asked.in_doubt = !is(Sabotage::SilenceIsARefusal);
                self.looks_at = Some(now.saturating_add(LOOK_AGAIN));
            }
        }
        if !asked.in_doubt {
            self.forget_asked();
        }
    }

    /// What was asked for is in force, or never will be.
    pub(super) fn forget_asked(&mut self) {
        self.asked = None;
        for follower in &mut self.followers {
            follower.asked = false;
        }
    }
}

/// By which registration a follower is named; `None` if it may not be in sync. One that restarted since it last fetched is not
/// the one that has the records.
fn registration(follower: &Progress, registered: Option<BrokerEpoch>) -> Option<BrokerEpoch> {
    let registered = match registered {
        None if is(Sabotage::FencedBrokerEnters) => follower.broker_epoch,
        registered => registered,
    }?;
    match follower.broker_epoch {
        Some(fetched) if fetched == registered => Some(registered),
        // In sync since before this epoch, and not seen in it.
        None if follower.in_isr => Some(registered),
        _ if is(Sabotage::StaleBrokerEpochEnters) => Some(registered),
        _ => None,
    }
}

/// Whether an error says that the partition has another state by now.
fn is_over(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::InvalidUpdateVersion | ErrorCode::FencedLeaderEpoch | ErrorCode::NewLeaderElected
    )
}
