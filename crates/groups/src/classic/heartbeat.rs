//! Heartbeat, and the commit of offsets as far as it is one.

use ottla_types::ErrorCode;

use super::{ClassicGroup, State};
use crate::request::{Commit, Generation, Heartbeat};
use crate::turn::Turn;

impl ClassicGroup {
    /// Takes a sign of life, and tells the member whether it is to join again.
    pub(crate) fn heartbeat(&mut self, request: &Heartbeat, turn: &mut Turn<'_>) -> ErrorCode {
        if let Err(error) = self.check_member(&request.member_id, request.instance_id.as_deref()) {
            return error;
        }
        if request.generation.0 != self.generation {
            return ErrorCode::IllegalGeneration;
        }
        self.touch(&request.member_id, turn);
        match self.state {
            State::PreparingRebalance => ErrorCode::RebalanceInProgress,
            State::CompletingRebalance | State::Stable => ErrorCode::None,
            // An empty group has no members that could have passed the check.
            State::Empty => ErrorCode::UnknownMemberId,
        }
    }

    /// Checks whether offsets may be committed.
    ///
    /// # Errors
    /// Who commits is no member of this generation; or the group has members, and who commits says to be none.
    pub(crate) fn check_commit(&self, request: &Commit) -> Result<(), ErrorCode> {
        let is_outside = request.generation < Generation(0);
        if is_outside && self.is_empty() {
            return Ok(());
        }
        if is_outside && request.member_id.is_empty() && request.instance_id.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation.0 != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.state == State::CompletingRebalance {
            // The member knows the new generation, and may already read other partitions than it commits.
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// A commit is a sign of life, too.
    pub(crate) fn committing(&mut self, member_id: &str, turn: &mut Turn<'_>) {
        if matches!(self.state, State::Stable | State::PreparingRebalance) {
            self.touch(member_id, turn);
        }
    }
}
