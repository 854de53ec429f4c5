//! DescribeTopicPartitions: the partitions of topics in the order of the topics' names, one page at a time, with
//! their eligible leader replicas (KIP-966).

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_metadata::Image;
use ottla_metadata::image::TopicImage;
use ottla_metadata::record::PartitionState;
use ottla_types::config::broker::network::MAX_REQUEST_PARTITION_SIZE_LIMIT;
use ottla_types::{BrokerId, ErrorCode, TopicName};
use ottla_wire::Str;
use ottla_wire::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic, TopicRequest,
};

use super::authorized::TOPIC_OPERATIONS;
use super::metadata::offline;
use crate::broker::Core;

pub(crate) fn handle(
    core: &Core,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let most = core.settings.get(&MAX_REQUEST_PARTITION_SIZE_LIMIT);
    let limit = request.response_partition_limit.min(most).max(1);
    describe(&core.metadata.image(), request, limit)
}

fn describe(
    image: &Image,
    request: DescribeTopicPartitionsRequest,
    limit: i32,
) -> DescribeTopicPartitionsResponse {
    let start = Start::from(request.cursor);
    if !start.fits(&request.topics) {
        return invalid(request.topics);
    }
    let mut page = Page { image, room: limit, topics: Vec::new(), next_cursor: None };
    if request.topics.is_empty() {
        page.fill(all_from(image, &start.topic).map(Wanted::Known), &start);
    } else {
        let names: BTreeSet<Str> = request.topics.into_iter().map(|topic| topic.name).collect();
        let from = names.into_iter().filter(|name| *name >= start.topic);
        page.fill(from.map(|name| wanted(image, name)), &start);
    }
    DescribeTopicPartitionsResponse {
        topics: page.topics,
        next_cursor: page.next_cursor,
        ..DescribeTopicPartitionsResponse::default()
    }
}

/// Where the page starts; the first one before everything.
struct Start {
    topic: Str,
    partition: i32,
    given: bool,
}

impl From<Option<Cursor>> for Start {
    fn from(cursor: Option<Cursor>) -> Self {
        match cursor {
            Some(cursor) => Self { topic: cursor.topic_name, partition: cursor.partition_index, given: true },
            None => Self { topic: Str::default(), partition: 0, given: false },
        }
    }
}

impl Start {
    /// Whether a cursor of this request can have come from an answer to it.
    fn fits(&self, topics: &[TopicRequest]) -> bool {
        let is_listed = topics.is_empty() || topics.iter().any(|topic| topic.name == self.topic);
        !self.given || (is_listed && self.partition >= 0)
    }
}

/// INVALID_REQUEST has no place of its own in this response, so each topic carries it.
fn invalid(topics: Vec<TopicRequest>) -> DescribeTopicPartitionsResponse {
    let invalid = |topic: TopicRequest| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(topic.name),
        ..DescribeTopicPartitionsResponseTopic::default()
    };
    let topics = topics.into_iter().map(invalid).collect();
    DescribeTopicPartitionsResponse { topics, ..DescribeTopicPartitionsResponse::default() }
}

enum Wanted<'a> {
    Known(&'a Arc<TopicImage>),
    Unknown(Str, ErrorCode),
}

impl Wanted<'_> {
    fn name(&self) -> Str {
        match self {
            Self::Known(topic) => topic.name.as_str().into(),
            Self::Unknown(name, _) => name.clone(),
        }
    }
}

fn wanted(image: &Image, name: Str) -> Wanted<'_> {
    match image.topic_by_name(&name) {
        Some(topic) => Wanted::Known(topic),
        None if TopicName::new(&name).is_err() => Wanted::Unknown(name, ErrorCode::InvalidTopicException),
        None => Wanted::Unknown(name, ErrorCode::UnknownTopicOrPartition),
    }
}

/// The topics whose names are `start` or come after it.
fn all_from<'a>(image: &'a Image, start: &Str) -> Box<dyn Iterator<Item = &'a Arc<TopicImage>> + 'a> {
    match TopicName::new(start) {
        Ok(name) => Box::new(image.topics_from(&name)),
        // No topic has this name; some may come after it all the same.
        Err(_) => {
            let start = start.clone();
            Box::new(image.topics().filter(move |topic| topic.name.as_str() >= start.as_str()))
        }
    }
}

struct Page<'a> {
    image: &'a Image,
    room: i32,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
    next_cursor: Option<Cursor>,
}

impl<'a> Page<'a> {
    /// Takes topics until there is no room for another partition, and then says where to go on.
    fn fill(&mut self, topics: impl Iterator<Item = Wanted<'a>>, start: &Start) {
        for wanted in topics {
            if self.room == 0 {
                self.next_cursor = Some(cursor(wanted.name(), 0));
                return;
            }
            match wanted {
                Wanted::Unknown(name, error) => self.topics.push(failed(name, error)),
                Wanted::Known(topic) => {
                    let first = if start.topic == topic.name.as_str() { start.partition } else { 0 };
                    self.topic(topic, first);
                    if self.next_cursor.is_some() {
                        return;
                    }
                }
            }
        }
    }

    fn topic(&mut self, topic: &TopicImage, first: i32) {
        let mut rest = topic.partitions().skip_while(|(index, _)| *index < first);
        let room = usize::try_from(self.room).unwrap_or(0);
        let image = self.image;
        let partitions: Vec<_> =
            rest.by_ref().take(room).map(|(index, state)| partition(image, index, state)).collect();
        self.room = self.room.saturating_sub(i32::try_from(partitions.len()).unwrap_or(i32::MAX));
        self.next_cursor = rest.next().map(|(index, _)| cursor(topic.name.as_str().into(), index));
        self.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(topic.name.as_str().into()),
            topic_id: topic.id.into(),
            is_internal: topic.name.is_internal(),
            partitions,
            topic_authorized_operations: TOPIC_OPERATIONS,
            ..DescribeTopicPartitionsResponseTopic::default()
        });
    }
}

fn cursor(topic_name: Str, partition_index: i32) -> Cursor {
    Cursor { topic_name, partition_index, ..Cursor::default() }
}

fn failed(name: Str, error: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    let is_internal = TopicName::new(&name).is_ok_and(|name| name.is_internal());
    DescribeTopicPartitionsResponseTopic {
        error_code: error.code(),
        name: Some(name),
        is_internal,
        // What may be done to a topic does not depend on whether it is there.
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn partition(image: &Image, index: i32, state: &PartitionState) -> DescribeTopicPartitionsResponsePartition {
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|id| id.0).collect::<Vec<_>>();
    DescribeTopicPartitionsResponsePartition {
        partition_index: index,
        leader_id: state.leader.map_or(-1, |id| id.0),
        leader_epoch: state.leader_epoch.0,
        replica_nodes: ids(&state.replicas),
        isr_nodes: ids(&state.isr),
        eligible_leader_replicas: Some(ids(&state.elr)),
        // Of the last known ELR the leader is what is kept: it is who is elected (KIP-966).
        last_known_elr: Some(ids(state.last_known_leader.as_slice())),
        offline_replicas: offline(image, state),
        ..DescribeTopicPartitionsResponsePartition::default()
    }
}

#[cfg(test)]
#[path = "describe_topic_partitions_tests.rs"]
mod tests;
