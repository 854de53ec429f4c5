//! What time brings about: sessions that end, and offsets whose retention is over.

use std::sync::Arc;

use super::{ClassicGroup, State};
use crate::deadlines::Handle;
use crate::record::OffsetValue;
use crate::turn::Turn;

/// From when on an offset's retention counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetentionBase {
    /// From its commit.
    Commit,
    /// From this time.
    Since(i64),
}

impl RetentionBase {
    /// Whether the offset's time is over.
    pub(crate) fn is_over(self, offset: &OffsetValue, retention_ms: i64, now_ms: i64) -> bool {
        if let Some(expire_timestamp_ms) = offset.expire_timestamp_ms {
            // The commit said how long it wants to be kept.
            return now_ms >= expire_timestamp_ms;
        }
        let base_ms = match self {
            Self::Commit => offset.commit_timestamp_ms,
            Self::Since(since_ms) => since_ms,
        };
        now_ms.saturating_sub(base_ms) >= retention_ms
    }
}

impl ClassicGroup {
    /// An entry of a session came up.
    pub(crate) fn session_elapsed(&mut self, member_id: &Arc<str>, handle: Handle, turn: &mut Turn<'_>) {
        let timer = self.session_timer(member_id);
        if let Some(session) = self.pending_members.session_mut(member_id) {
            if session.owns(handle) && session.elapsed(turn.now_ms, turn.deadlines, || timer) {
                self.remove(member_id, turn);
                self.after_expiry_of_one(turn);
            }
        } else if let Some(member) = self.members.get_mut(member_id)
            && member.session.owns(handle)
            && member.session.elapsed(turn.now_ms, turn.deadlines, || timer)
            && !member.is_excused()
        {
            self.remove(member_id, turn);
            if matches!(self.state, State::Stable | State::CompletingRebalance) {
                self.begin_rebalance(turn);
            } else {
                self.after_expiry_of_one(turn);
            }
        }
    }

    fn after_expiry_of_one(&mut self, turn: &mut Turn<'_>) {
        // As in Kafka, this ends even a first rebalance early.
        if self.state == State::PreparingRebalance && self.have_all_joined() {
            self.complete_join(turn);
        }
    }

    /// From when on the retention of this group's offsets counts (KIP-211). `None` while they are not to expire.
    pub(crate) fn retention_base(&self) -> Option<RetentionBase> {
        match self.state {
            // Nobody is ever a member: each offset lives for itself.
            _ if self.protocol_type.is_none() => Some(RetentionBase::Commit),
            State::Empty => Some(self.state_since_ms.map_or(RetentionBase::Commit, RetentionBase::Since)),
            // Topics that no member subscribes to any more; the caller leaves the others alone.
            State::Stable if self.uses_consumer_protocol() && self.subscribed.is_some() => {
                Some(RetentionBase::Commit)
            }
            _ => None,
        }
    }
}
