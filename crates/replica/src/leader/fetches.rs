//! A follower's fetch: what it acknowledges, and whether the logs agree so far (KIP-320, KIP-595).

use std::time::Duration;

use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset};

use super::Leader;
use super::lag::LagSettings;
use super::progress::{LastFetch, Progress};
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

impl Leader {
    #[allow(clippy::too_many_arguments, reason = "what a fetch is judged by, each of another kind")]
    pub(crate) fn fetched(
        &mut self,
        fetch: &FollowerFetch,
        epoch: LeaderEpoch,
        ends: Ends,
        epoch_end: impl FnOnce(LeaderEpoch) -> Option<(LeaderEpoch, Offset)>,
        high_watermark: &mut Offset,
        settings: &LagSettings,
        now: Duration,
    ) -> Result<Fetched, ErrorCode> {
        if fetch.leader_epoch > epoch {
            return Err(ErrorCode::UnknownLeaderEpoch);
        }
        if fetch.leader_epoch < epoch && !is(Sabotage::AcksOfOldEpochCount) {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        self.note_ends(ends, now);
        let epoch_start = self.epoch_start;
        let follower = self.followers.iter_mut().find(|follower| follower.broker == fetch.follower);
        // The epochs agree, so the follower knows of an assignment that has yet to come here.
        let follower = follower.ok_or(ErrorCode::UnknownLeaderEpoch)?;
        follower.identify(fetch, now)?;
        if let Some(diverging) = divergence(fetch, ends, epoch_end)? {
            return Ok(Fetched::Diverges(diverging));
        }
        follower.acknowledge(fetch, ends, epoch_start, now);
        let was_ready = follower.is_ready;
        let _ = was_ready;
        Ok(Fetched::Read(self.settle(high_watermark, settings, now)))
    }
}

impl Progress {
    /// Whether the fetch is from the run of the broker that is known, or a later one.
    fn identify(&mut self, fetch: &FollowerFetch, now: Duration) -> Result<(), ErrorCode> {
        let Some(epoch) = fetch.broker_epoch else { return Ok(()) };
        if self.broker_epoch.is_some_and(|known| epoch < known) {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if self.broker_epoch.is_none_or(|known| known < epoch) {
            self.restart(epoch, now);
        }
        Ok(())
    }

    /// All below the fetch's offset is acknowledged.
    fn acknowledge(&mut self, fetch: &FollowerFetch, ends: Ends, epoch_start: Offset, now: Duration) {
        let before = self.fetch;
        let has_all_of_before = before.is_some_and(|before| fetch.offset >= before.leader_end);
        self.end = self.end.max(Some(fetch.offset));
        if fetch.offset >= ends.end {
            self.behind_since = None;
        } else if let Some(before) = before.filter(|_| has_all_of_before) {
            self.behind_since = self.behind_since.max(Some(before.at));
        }
        let is_caught_up = has_all_of_before || fetch.offset >= ends.end;
        self.is_ready = is_caught_up && fetch.offset >= epoch_start;
        self.fetch = Some(LastFetch {
            at: now,
            interval: before.map_or(Duration::ZERO, |before| now.saturating_sub(before.at)),
            leader_end: ends.end,
            log_start: fetch.log_start,
        });
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
    if let Some(epoch) = fetch.last_fetched_epoch {
        let known = epoch_end(epoch).map(EpochEnd::from).ok_or(ErrorCode::OffsetOutOfRange)?;
        if known.epoch < epoch || known.end < fetch.offset {
            return Ok(Some(known));
        }
    }
    if fetch.offset > ends.end {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    Ok(None)
}
