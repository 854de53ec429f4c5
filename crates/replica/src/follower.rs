//! The follower's part: what it asks its leader, and what the answer means for its log (KIP-101, 279, 320, 595).
//!
//! What is not here: how answers of many partitions travel, and the log's own checks of what it is given.

use ottla_types::{BrokerId, ErrorCode, LeaderEpoch, Offset};

use crate::leader::fetches::EpochEnd;
use crate::view::Ends;
use ottla_types::sabotage::{Sabotage, is};

/// What to do to fetch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextFetch {
    /// Ask the leader.
    Fetch(FetchFrom),
    /// The log's end is not durable yet, and a fetch from there would acknowledge it: flush, and ask again. (From any other
    /// offset it could not be told whether what lies behind agrees with the leader's log.)
    Flush,
    /// This replica follows nobody.
    Nothing,
}

/// A fetch, as it goes to the leader. It acknowledges all below its offset. One that is sent makes earlier ones void: the
/// answer to the last one counts, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchFrom {
    /// Whom to ask.
    pub leader: BrokerId,
    /// The epoch in which this replica follows it.
    pub leader_epoch: LeaderEpoch,
    /// From where: the end of the own log.
    pub offset: Offset,
    /// The epoch of the record before that (KIP-595): by it the leader sees whether the logs agree so far.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// Where the own log starts.
    pub log_start: Offset,
}

/// What the leader answered, but for the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchAnswer {
    /// The partition's error; [`ErrorCode::None`] if there is none.
    pub error: ErrorCode,
    /// The leader's high watermark.
    pub high_watermark: Offset,
    /// Where the leader's log starts; negative if it is not told.
    pub log_start: Offset,
    /// The leader's log has not what this replica's has: the last epoch that may agree, and where it ends there.
    pub diverging: Option<EpochEnd>,
}

/// What is to be done with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Append the records that came with it, if any; then say [`crate::Replica::copied`]. If `delete_below` lies above the
    /// own start, the log is to begin there then, as far as the own watermark allows: the leader has deleted what lies below.
    Append {
        /// Where the leader's log starts.
        delete_below: Offset,
    },
    /// Cut the log, say [`crate::Replica::copied`], and fetch on. Also where the end stays: an epoch without records that began
    /// there goes.
    Truncate(Truncation),
    /// Drop all, begin again with an empty log at this offset, which the leader still has; say [`crate::Replica::copied`].
    RestartAt(Offset),
    /// The answer is to a question that is not asked any more. Fetch on.
    Nothing,
    /// Fetch again after a rest.
    Retry,
    /// This replica and whom it asked disagree on who leads: what is replayed will tell. Fetch again after a rest.
    WaitForMetadata,
}

/// A cut of the log's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncation {
    /// The end afterwards.
    pub to: Offset,
    /// Records go that this replica took for committed: an unclean election lost them. To be said loudly.
    pub loses_committed: bool,
}

/// What a follower knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Follower {
    pub(crate) leader: BrokerId,
    /// The leader's watermark, as it last told in this epoch to a log that agrees with its own.
    leaders_watermark: Option<Offset>,
}

impl Follower {
    pub(crate) fn new(leader: BrokerId) -> Self {
        Self { leader, leaders_watermark: None }
    }

    pub(crate) fn next_fetch(
        &self,
        epoch: LeaderEpoch,
        ends: Ends,
        last_epoch: Option<LeaderEpoch>,
    ) -> NextFetch {
        if ends.durable < ends.end && !is(Sabotage::UnflushedFollowerAcks) {
            return NextFetch::Flush;
        }
        NextFetch::Fetch(FetchFrom {
            leader: self.leader,
            leader_epoch: epoch,
            offset: ends.end,
            last_fetched_epoch: last_epoch,
            log_start: ends.start,
        })
    }

    /// What an answer means. It is one to what would be asked now.
    pub(crate) fn answered(
        &mut self,
        answer: &FetchAnswer,
        ends: Ends,
        high_watermark: Offset,
        own_epoch_end: impl FnOnce(LeaderEpoch) -> Option<EpochEnd>,
    ) -> Step {
        match answer.error {
            ErrorCode::None => {}
            ErrorCode::OffsetOutOfRange => return out_of_range(answer, ends),
            ErrorCode::FencedLeaderEpoch | ErrorCode::NotLeaderOrFollower => return Step::WaitForMetadata,
            // UNKNOWN_LEADER_EPOCH: the leader has yet to hear of its epoch, or that this is a replica.
            _ => return Step::Retry,
        }
        if is(Sabotage::TruncatesToWatermark) && self.leaders_watermark.is_none() && high_watermark < ends.end
        {
            self.leaders_watermark = Some(high_watermark);
            return Step::Truncate(Truncation { to: high_watermark, loses_committed: false });
        }
        if let Some(diverging) = answer.diverging {
            if is(Sabotage::ExLeaderRaisesWatermark) && self.leaders_watermark.is_none() {
                self.leaders_watermark = Some(answer.high_watermark);
                return Step::Append { delete_below: ends.start };
            }
            let to = common_end(diverging, ends, own_epoch_end);
            return Step::Truncate(Truncation { to, loses_committed: to < high_watermark });
        }
        // KAFKA-14704: the watermark counts only where the logs agree.
        self.leaders_watermark = Some(answer.high_watermark);
        Step::Append { delete_below: answer.log_start }
    }

    /// The watermark of a log with these ends.
    pub(crate) fn watermark(&self, current: Offset, ends: Ends) -> Offset {
        let told = self.leaders_watermark.map_or(current, |told| told.max(current));
        ends.watermark(told)
    }
}

/// Where to cut the own log, as far as one answer tells (KIP-279): the leader's end of the epoch, or the own end of it if that
/// is lower. If the own log has not that epoch, the one before it there ends where ours does at most; the next fetch tells on.
fn common_end(
    leaders: EpochEnd,
    ends: Ends,
    own_epoch_end: impl FnOnce(LeaderEpoch) -> Option<EpochEnd>,
) -> Offset {
    let to = match own_epoch_end(leaders.epoch) {
        _ if is(Sabotage::TruncatesByEndAlone) => leaders.end,
        Some(own) if own.epoch == leaders.epoch => own.end.min(leaders.end),
        Some(own) => own.end,
        None => leaders.end,
    };
    ends.clamp(to)
}

/// The leader has not the offset: its log begins above it. An end above the leader's shows as a divergence, as every record
/// has an epoch.
fn out_of_range(answer: &FetchAnswer, ends: Ends) -> Step {
    let start = answer.log_start;
    if start.0 < 0 || (start <= ends.end && ends.start < ends.end) {
        Step::Retry
    } else {
        Step::RestartAt(start)
    }
}
