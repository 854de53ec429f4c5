//! What becomes of a group when the records of a change are committed, or cannot be written, or take too long.

use ottla_types::ErrorCode;

use crate::group::Group;
use crate::groups::Groups;
use crate::turn::{Followup, Turn};

impl Groups {
    /// What a change meant to bring about is committed.
    pub(crate) fn follow_up(&mut self, followup: Followup, turn: &mut Turn<'_>) {
        match followup {
            Followup::Created { group } => {
                if let Some(entry) = self.entries.get_mut(&group) {
                    entry.is_committed = true;
                }
            }
            Followup::Deleted { group, was: _ } => {
                if let Some(entry) = self.entries.get_mut(&group) {
                    entry.is_committed = false;
                }
                self.tidy(&group);
            }
            Followup::Assign { group, generation, assignments } => {
                if let Some(Group::Classic(group)) = self.group_mut(&group) {
                    group.assignment_committed(generation, assignments, turn);
                }
            }
            Followup::Replaced { group, replacement } => {
                if let Some(Group::Classic(group)) = self.group_mut(&group) {
                    group.replaced(&replacement, turn);
                }
            }
        }
    }

    /// What a change meant to bring about does not come.
    pub(crate) fn undo(&mut self, followup: Followup, error: ErrorCode, turn: &mut Turn<'_>) {
        match followup {
            Followup::Created { group: id } => {
                if let Some(entry) = self.entries.get_mut(&id)
                    && let Some(Group::Classic(mut group)) = entry.group.take()
                {
                    group.dismiss(error, turn);
                }
                self.tidy(&id);
            }
            Followup::Deleted { group: id, was } => {
                let Group::Classic(mut group) = *was;
                group.restore_deadlines(turn.deadlines);
                self.entry(&id).1.group = Some(Group::Classic(group));
            }
            Followup::Assign { group, generation, .. } => {
                if let Some(Group::Classic(group)) = self.group_mut(&group) {
                    group.assignment_failed(generation, error, turn);
                }
            }
            Followup::Replaced { group, replacement } => {
                if let Some(Group::Classic(group)) = self.group_mut(&group) {
                    group.not_replaced(&replacement, error, turn);
                }
            }
        }
    }
}
