//! Who lags, by the detector that is configured, and what is told of followers.
//!
//! Entry and exit use the same measure (KAFKA-19996): who would leave does not enter. What each follower did, and when, is in
//! [`super::progress`], for detectors that learn from it.

use std::time::Duration;

use ottla_types::{BrokerEpoch, BrokerId, Offset};

use super::Leader;
use super::progress::Progress;

/// How followers that lag are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LagSettings {
    /// `replica.lag.time.max.ms`: who has not been at the leader's end for so long lags, whatever the detector says.
    pub time_max: Duration,
    /// `replica.lag.detector`.
    pub detector: LagDetector,
}

/// `replica.lag.detector`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LagDetector {
    /// By time alone.
    Time,
    /// By records too: who is behind by that many or more lags at once.
    Messages {
        /// `replica.lag.max.messages`.
        max: i64,
    },
}

/// What the leader knows of a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerState {
    /// Who.
    pub broker: BrokerId,
    /// Its registration, as its fetches of this epoch told.
    pub broker_epoch: Option<BrokerEpoch>,
    /// Whether it is in the ISR in force.
    pub in_isr: bool,
    /// What it acknowledged in this epoch: all below.
    pub end: Option<Offset>,
    /// How many offsets lie between that and the leader's end.
    pub lag_records: Option<i64>,
    /// Where its log starts.
    pub log_start: Option<Offset>,
    /// When it last fetched in this epoch.
    pub last_fetch: Option<Duration>,
    /// When it was last at the leader's end, or the epoch began; `None` while it is there.
    pub behind_since: Option<Duration>,
    /// Since when it has not been in the ISR in force, as far as this leader knows; `None` while it is.
    pub out_since: Option<Duration>,
    /// What an ISR that was asked for, and is not decided, would change for it.
    pub asked: Option<AskedChange>,
    /// How it stands.
    pub standing: Standing,
}

/// A change of who is in the ISR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedChange {
    /// The follower enters.
    Enters,
    /// The follower leaves.
    Leaves,
}

/// How a follower stands with its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has not fetched in this epoch.
    NotSeen,
    /// It has all that the leader has.
    CaughtUp,
    /// It is behind, and the detector does not mind.
    Behind,
    /// It is behind by too much, or for too long.
    Lagging,
}

impl Progress {
    /// Whether it lags behind a leader whose log ends at `leader_end`. At the deadline, not after it.
    pub(super) fn lags(&self, leader_end: Offset, settings: &LagSettings, now: Duration) -> bool {
        let Some(since) = self.behind_since else { return false };
        let is_late = now >= since.saturating_add(settings.time_max);
        is_late
            || match settings.detector {
                LagDetector::Time => false,
                LagDetector::Messages { max } => self.lag(leader_end).is_some_and(|lag| lag >= max),
            }
    }

    /// How many offsets it is behind; `None` if it is not known in this epoch.
    fn lag(&self, leader_end: Offset) -> Option<i64> {
        self.end.map(|end| leader_end.0.saturating_sub(end.0).max(0))
    }
}

impl Leader {
    pub(crate) fn states(&self, settings: &LagSettings, now: Duration) -> Vec<FollowerState> {
        self.followers.iter().map(|follower| self.state(follower, settings, now)).collect()
    }

    fn state(&self, follower: &Progress, settings: &LagSettings, now: Duration) -> FollowerState {
        let standing = match (follower.fetch, follower.behind_since) {
            _ if follower.lags(self.ends.end, settings, now) => Standing::Lagging,
            (None, _) => Standing::NotSeen,
            (Some(_), None) => Standing::CaughtUp,
            (Some(_), Some(_)) => Standing::Behind,
        };
        let asked = match (self.asked.is_some(), follower.in_isr, follower.asked) {
            (true, false, true) => Some(AskedChange::Enters),
            (true, true, false) => Some(AskedChange::Leaves),
            _ => None,
        };
        FollowerState {
            out_since: follower.out_since,
            asked,
            broker: follower.broker,
            broker_epoch: follower.broker_epoch,
            in_isr: follower.in_isr,
            end: follower.end,
            lag_records: follower.lag(self.ends.end),
            log_start: follower.fetch.map(|fetch| fetch.log_start),
            last_fetch: follower.fetch.map(|fetch| fetch.at),
            behind_since: follower.behind_since,
            standing,
        }
    }
}
