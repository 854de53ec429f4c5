//! OffsetDelete, and the offsets of a group that is deleted.

use std::sync::Arc;

use ottla_types::{ErrorCode, TopicName};

use super::{Offsets, View};
use crate::answer::{Answer, DeleteOffsetsAnswer};
use crate::effect::Ticket;
use crate::group::Group;
use crate::groups::Groups;
use crate::request::DeleteOffsets;
use crate::turn::Turn;

impl Offsets {
    /// The partitions that have an offset.
    pub(crate) fn partitions(&self, which: View) -> Vec<(TopicName, i32)> {
        self.all(which).map(|(topic, partition, _)| (topic.clone(), partition)).collect()
    }
}

impl Groups {
    /// Deletes offsets, but not those of topics that members read (KIP-496).
    pub(crate) fn delete_offsets(&mut self, ticket: Ticket, request: DeleteOffsets, turn: &mut Turn<'_>) {
        if let Err(error) = self.check_delete_offsets(&request.group_id) {
            let answer = DeleteOffsetsAnswer { error, topics: Vec::new() };
            return turn.answer(ticket, Answer::DeleteOffsets(answer));
        }
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let is_read = match self.group(&request.group_id) {
                Some(Group::Classic(group)) => group.is_subscribed_to(topic.topic.as_str()),
                None => false,
            };
            let error = if is_read { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
            if !is_read {
                for &partition in &topic.partitions {
                    self.delete_offset(&request.group_id, &topic.topic, partition, turn);
                }
            }
            let partitions = topic.partitions.into_iter().map(|partition| (partition, error)).collect();
            topics.push((topic.topic, partitions));
        }
        let answer = DeleteOffsetsAnswer { error: ErrorCode::None, topics };
        turn.answer_when_committed(ticket, Answer::DeleteOffsets(answer));
    }

    fn check_delete_offsets(&self, group_id: &str) -> Result<(), ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        match self.group(group_id) {
            None => Err(ErrorCode::GroupIdNotFound),
            Some(Group::Classic(group)) if group.refuses_deleting_offsets() => Err(ErrorCode::NonEmptyGroup),
            Some(Group::Classic(_)) => Ok(()),
        }
    }

    /// Deletes the offset of one partition, if there is one.
    fn delete_offset(&mut self, group_id: &str, topic: &TopicName, partition: i32, turn: &mut Turn<'_>) {
        let offsets = self.offsets(group_id);
        let slot = offsets.and_then(|offsets| offsets.slot(topic.as_str(), partition));
        if slot.is_some_and(|slot| slot.latest().is_some()) {
            self.erase_offset(group_id, topic.clone(), partition, turn);
        }
    }

    /// Deletes all offsets of a group.
    pub(crate) fn delete_all_offsets(&mut self, group_id: &Arc<str>, turn: &mut Turn<'_>) {
        let partitions = self.offsets(group_id).map(|offsets| offsets.partitions(View::Latest));
        for (topic, partition) in partitions.unwrap_or_default() {
            self.erase_offset(group_id, topic, partition, turn);
        }
    }
}
