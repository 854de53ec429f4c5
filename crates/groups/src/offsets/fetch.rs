//! OffsetFetch.

use ottla_types::{ErrorCode, LeaderEpoch, TopicId, TopicName};

use super::commit::NO_OFFSET;
use super::{Offsets, View};
use crate::answer::{Answer, FetchOffsetsAnswer, FetchedPartition, FetchedTopic};
use crate::effect::Ticket;
use crate::groups::Groups;
use crate::record::OffsetValue;
use crate::request::{FetchOffsets, FetchTopic};
use crate::turn::Turn;

impl Groups {
    /// Tells the committed offsets of a group; of one that is not there, that there are none.
    pub(crate) fn fetch_offsets(&self, ticket: Ticket, request: &FetchOffsets, turn: &mut Turn<'_>) {
        // KIP-447: who asks for stable offsets may have taken over from a member whose commit is still on its way. As in
        // Kafka, it waits for that.
        let which = if request.require_stable { View::Latest } else { View::Committed };
        let none = Offsets::default();
        let offsets = self.offsets(&request.group_id).unwrap_or(&none);
        let topics = match &request.topics {
            Some(topics) => topics.iter().map(|topic| offsets.fetch(topic, which)).collect(),
            None => offsets.fetch_all(which),
        };
        let answer = Answer::FetchOffsets(FetchOffsetsAnswer { error: ErrorCode::None, topics });
        match which {
            View::Committed => turn.answer(ticket, answer),
            View::Latest => turn.answer_when_committed(ticket, answer),
        }
    }
}

impl Offsets {
    fn fetch(&self, request: &FetchTopic, which: View) -> FetchedTopic {
        let partitions = request.partitions.iter().map(|&partition| {
            let value = self.slot(request.topic.as_str(), partition).and_then(|slot| slot.view(which));
            fetched(partition, value.filter(|value| value.is_for(request.topic_id)))
        });
        FetchedTopic { topic: request.topic.clone(), partitions: partitions.collect() }
    }

    fn fetch_all(&self, which: View) -> Vec<FetchedTopic> {
        let mut topics: Vec<FetchedTopic> = Vec::new();
        for (topic, partition, value) in self.all(which) {
            push(&mut topics, topic, fetched(partition, Some(value)));
        }
        topics
    }
}

fn push(topics: &mut Vec<FetchedTopic>, topic: &TopicName, partition: FetchedPartition) {
    match topics.last_mut().filter(|last| last.topic == *topic) {
        Some(last) => last.partitions.push(partition),
        None => topics.push(FetchedTopic { topic: topic.clone(), partitions: vec![partition] }),
    }
}

fn fetched(partition: i32, value: Option<&OffsetValue>) -> FetchedPartition {
    FetchedPartition {
        partition,
        topic_id: value.map_or(TopicId::ZERO, |value| value.topic_id),
        offset: value.map_or(NO_OFFSET, |value| value.offset),
        leader_epoch: value.map_or(LeaderEpoch::NONE, |value| value.leader_epoch),
        metadata: value.map(|value| value.metadata.to_string()).unwrap_or_default(),
        error: ErrorCode::None,
    }
}
