//! A follower's fetch: what it acknowledges, and whether the logs agree so far (KIP-320, KIP-595).

use std::time::Duration;

use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset};

use super::lag::LagSettings;
use super::progress::Progress;
use super::{Leader, Moment};
use crate::change::Change;
use crate::view::Ends;

/// A fetch by a follower, of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerFetch {
    /// Who.
    pub follower: BrokerId,
    /// Its registration (KIP-903); without it, it never enters an ISR.
    pub broker_epoch: Option<BrokerEpoch>,
    /// The epoch in which it follows.
    pub leader_epoch: LeaderEpoch,
    /// From where it fetches: it has all below.
    pub offset: Offset,
    /// The epoch of its last record.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// Where its log starts.
    pub log_start: Offset,
}

/// An epoch, and where it ends in somebody's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The offset after its last record.
    pub end: Offset,
}

impl From<(LeaderEpoch, Offset)> for EpochEnd {
    fn from((epoch, end): (LeaderEpoch, Offset)) -> Self {
        Self { epoch, end }
    }
}

/// What a fetch comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fetched {
    /// It is to be answered with records from its offset on.
    Read(Change),
    /// The follower's log has what the leader's has not: it is to be answered with this, and no records.
    Diverges(EpochEnd),
}

/// How often it is told at most that a follower could enter, while nothing comes of it: its broker is fenced, perhaps.
const QUIET: Duration = Duration::from_secs(1);

impl Leader {
    pub(crate) fn fetched(
        &mut self,
        fetch: &FollowerFetch,
        epoch: LeaderEpoch,
        ends: Ends,
        epoch_end: impl FnOnce(LeaderEpoch) -> Option<(LeaderEpoch, Offset)>,
        moment: Moment<'_>,
    ) -> Result<Fetched, ErrorCode> {
        if fetch.leader_epoch > epoch {
            return Err(ErrorCode::UnknownLeaderEpoch);
        }
        if fetch.leader_epoch < epoch && !is(Sabotage::AcksOfOldEpochCount) {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        let now = moment.now;
        self.note_ends(ends, now);
        let epoch_start = self.epoch_start;
        let follower = self.followers.iter_mut().find(|follower| follower.broker == fetch.follower);
        // The epochs agree, so the follower knows of an assignment that has yet to come here.
        let follower = follower.ok_or(ErrorCode::UnknownLeaderEpoch)?;
        follower.identify(fetch, now)?;
        if is(Sabotage::DivergentFetchCounts) {
            follower.acknowledge(fetch, ends, epoch_start, now);
        }
        if let Some(diverging) = divergence(fetch, ends, epoch_end)? {
            return Ok(Fetched::Diverges(diverging));
        }
        follower.acknowledge(fetch, ends, epoch_start, now);
        let enters = follower.approach(*moment.high_watermark, moment.settings, now);
        let change = self.settle(moment);
        Ok(Fetched::Read(Change { look_at_isr: change.look_at_isr || enters, ..change }))
    }
}

impl Progress {
    /// After a fetch: has the watermark wait for it, if it could enter by its next one. Whether it could now, which is to be
    /// told.
    fn approach(&mut self, high_watermark: Offset, settings: &LagSettings, now: Duration) -> bool {
        if self.in_isr || self.asked || !self.is_ready {
            return false;
        }
        let interval = self.fetch.map_or(Duration::ZERO, |fetch| fetch.interval);
        self.hold.begin(interval, settings.time_max, now);
        let is_due = self.hold.until(now).is_some() || self.quiet_until <= now;
        if !is_due || !self.may_enter(high_watermark) {
            return false;
        }
        self.quiet_until = now.saturating_add(QUIET);
        true
    }
}

/// Where the leader's log parts from the follower's, if it does (KIP-595).
fn divergence(
    fetch: &FollowerFetch,
    ends: Ends,
    epoch_end: impl FnOnce(LeaderEpoch) -> Option<(LeaderEpoch, Offset)>,
) -> Result<Option<EpochEnd>, ErrorCode> {
    if fetch.offset < ends.start {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let last_fetched_epoch = fetch.last_fetched_epoch.filter(|_| !is(Sabotage::LeaderComparesNoEpochs));
    if let Some(epoch) = last_fetched_epoch {
        let known = epoch_end(epoch).map(EpochEnd::from).ok_or(ErrorCode::OffsetOutOfRange)?;
        // KIP-279: if this log has not that epoch, the follower's records of it are not here, wherever the one before it ends.
        let is_another = known.epoch < epoch && !is(Sabotage::TruncatesByEndAlone);
        if is_another || known.end < fetch.offset {
            return Ok(Some(known));
        }
    }
    if fetch.offset > ends.end {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    Ok(None)
}
