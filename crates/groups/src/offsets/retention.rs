//! Retention: offsets that nobody has use for any more, and empty groups that hold none (KIP-211).

use std::sync::Arc;

use ottla_types::TopicName;

use super::View;
use crate::group::Group;
use crate::groups::Groups;
use crate::turn::Turn;

impl Groups {
    /// Deletes what expired.
    pub(crate) fn expire(&mut self, turn: &mut Turn<'_>) {
        for group_id in self.ids() {
            let holds_none = self.expire_offsets_of(&group_id, turn);
            // Whoever was told an id just now is about to join.
            let is_deserted = match self.group(&group_id) {
                Some(Group::Classic(group)) => group.is_empty() && !group.is_expected(),
                None => false,
            };
            if holds_none && is_deserted {
                self.remove_group(&group_id, turn);
            }
        }
    }

    /// Tells whether no offsets are left.
    fn expire_offsets_of(&mut self, group_id: &Arc<str>, turn: &mut Turn<'_>) -> bool {
        let (Some(Group::Classic(group)), Some(offsets)) = (self.group(group_id), self.offsets(group_id))
        else {
            return false;
        };
        let Some(base) = group.retention_base() else {
            return offsets.all(View::Latest).next().is_none();
        };
        let (retention_ms, now_ms) = (turn.config.offsets_retention_ms, turn.now_ms);
        let mut expired: Vec<(TopicName, i32)> = Vec::new();
        let mut holds_none = true;
        for (topic, partition, value) in offsets.all(View::Latest) {
            if !group.is_subscribed_to(topic.as_str()) && base.is_over(value, retention_ms, now_ms) {
                expired.push((topic.clone(), partition));
            } else {
                holds_none = false;
            }
        }
        for (topic, partition) in expired {
            self.erase_offset(group_id, topic, partition, turn);
        }
        holds_none
    }
}
