//! LeaveGroup, for several members at once (KIP-345).

use std::sync::Arc;

use ottla_types::ErrorCode;

use super::{ClassicGroup, State};
use crate::answer::LeftMember;
use crate::request::Leaver;
use crate::turn::Turn;

impl ClassicGroup {
    /// Takes the members out, and begins one rebalance for all.
    pub(crate) fn leave(&mut self, leavers: Vec<Leaver>, turn: &mut Turn<'_>) -> Vec<LeftMember> {
        let mut left = Vec::with_capacity(leavers.len());
        let mut has_any_left = false;
        for leaver in leavers {
            let found = self.find_leaver(&leaver);
            let error = found.as_ref().err().copied().unwrap_or_default();
            if let Ok(member_id) = found {
                self.remove(&member_id, turn);
                has_any_left = true;
            }
            left.push(LeftMember { member_id: leaver.member_id, instance_id: leaver.instance_id, error });
        }
        if has_any_left {
            match self.state {
                State::Stable | State::CompletingRebalance => self.begin_rebalance(turn),
                State::PreparingRebalance => self.complete_join_if_all_are_there(turn),
                State::Empty => {}
            }
        }
        left
    }

    fn find_leaver(&self, leaver: &Leaver) -> Result<Arc<str>, ErrorCode> {
        if leaver.member_id.is_empty() {
            // An administrator names a static member by its instance id alone.
            let member_id = leaver.instance_id.as_deref().and_then(|id| self.static_members.get(id));
            return member_id.cloned().ok_or(ErrorCode::UnknownMemberId);
        }
        if let Some(member_id) = self.pending_members.id(&leaver.member_id) {
            return Ok(member_id.clone());
        }
        self.check_member(&leaver.member_id, leaver.instance_id.as_deref())?;
        Ok(leaver.member_id.as_str().into())
    }
}
