//! DeleteTopics, by name or by id (KIP-516).

use std::collections::BTreeSet;

use ottla_types::config::broker::node::DELETE_TOPIC_ENABLE;
use ottla_types::{ErrorCode, TopicId, TopicName};

use super::{Controller, Decision, Refused};
use crate::record::{Record, RemoveTopic};

/// How a request names a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicRef {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
}

/// A topic that is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub id: TopicId,
}

impl Controller {
    /// Decides a DeleteTopics. One answer for each topic, in the order of the request.
    pub fn delete_topics(&mut self, topics: &[TopicRef]) -> Decision<Vec<Result<DeletedTopic, Refused>>> {
        let mut deleted = BTreeSet::new();
        let mut records = Vec::new();
        let answer = topics
            .iter()
            .map(|topic| {
                let topic = self.deletable(topic)?;
                if deleted.insert(topic.id) {
                    records.push(Record::RemoveTopic(RemoveTopic { id: topic.id }));
                }
                Ok(topic)
            })
            .collect();
        self.decide(records, answer)
    }

    fn deletable(&self, topic: &TopicRef) -> Result<DeletedTopic, Refused> {
        if !self.settings.get(&DELETE_TOPIC_ENABLE) {
            return Err(Refused::new(ErrorCode::TopicDeletionDisabled, "Topic deletion is disabled."));
        }
        let found = match topic {
            TopicRef::Name(name) => self.speculative.topic_by_name(name).ok_or_else(|| {
                Refused::new(
                    ErrorCode::UnknownTopicOrPartition,
                    "This server does not host this topic-partition.",
                )
            }),
            TopicRef::Id(id) => self.speculative.topic(*id).ok_or_else(|| {
                Refused::new(ErrorCode::UnknownTopicId, "This server does not host this topic ID.")
            }),
        }?;
        Ok(DeletedTopic { name: found.name.clone(), id: found.id })
    }
}
