//! Reassignments: replicas moved to other brokers, the moves that are going on, and their end (KIP-455).

use std::collections::BTreeMap;

use ottla_types::{BrokerId, TopicName, TopicPartition};
use ottla_wire::ApiKey;
use ottla_wire::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopic,
};
use ottla_wire::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsTopics, OngoingPartitionReassignment,
};

use crate::admin::{bad_answer, broker_timeout_ms};
use crate::by_topic::{by_topic, grouped};
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Error, check};

/// Where a partition is to lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassignment {
    /// Which partition.
    pub partition: TopicPartition,
    /// The brokers that are to hold it, the preferred leader first; `None` ends the move that is going on, and undoes it.
    pub replicas: Option<Vec<BrokerId>>,
}

/// A move that is going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OngoingReassignment {
    /// Which partition.
    pub partition: TopicPartition,
    /// The brokers that hold it, those to come and to go included.
    pub replicas: Vec<BrokerId>,
    /// Those that are to hold it, and did not before.
    pub adding: Vec<BrokerId>,
    /// Those that are to hold it no longer.
    pub removing: Vec<BrokerId>,
}

impl OngoingReassignment {
    /// The brokers that hold it when the move is over, the preferred leader first.
    #[must_use]
    pub fn target(&self) -> Vec<BrokerId> {
        self.replicas.iter().copied().filter(|broker| !self.removing.contains(broker)).collect()
    }
}

/// What became of the request for each partition.
pub type ReassignmentResults = Vec<(TopicPartition, Result<(), Error>)>;

impl Client {
    /// Moves partitions, or ends moves; each has a result of its own, in the order of the request.
    ///
    /// # Errors
    /// If nobody decides. After a lost connection the request is sent again, so that NO_REASSIGNMENT_IN_PROGRESS may be its own
    /// doing.
    pub async fn reassign(&self, wanted: &[Reassignment]) -> Result<ReassignmentResults, Error> {
        let mut retry = self.retry("moving partitions".to_owned());
        loop {
            match self.reassign_once(wanted).await {
                Ok(results) => return Ok(results),
                Err(error) => self.retry_administration(&mut retry, error).await?,
            }
        }
    }

    async fn reassign_once(&self, wanted: &[Reassignment]) -> Result<ReassignmentResults, Error> {
        let connection = self.controller().await?;
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: broker_timeout_ms(connection.request_timeout()),
            topics: topics(wanted),
            ..AlterPartitionReassignmentsRequest::default()
        };
        let response = connection.call(request).await?;
        let message = response.error_message.as_deref();
        let api = ApiKey::AlterPartitionReassignments;
        check(connection.broker(), api, "", response.error_code, message)?;
        results(&connection, &response, wanted)
    }

    /// The moves that are going on: of all partitions, or of those named, where what does not move is left out. By topic and
    /// number.
    ///
    /// # Errors
    /// If nobody tells.
    pub async fn reassignments(
        &self,
        only: Option<&[TopicPartition]>,
    ) -> Result<Vec<OngoingReassignment>, Error> {
        let mut retry = self.retry("listing moves of partitions".to_owned());
        loop {
            match self.reassignments_once(only).await {
                Ok(ongoing) => return Ok(ongoing),
                Err(error) => self.retry_administration(&mut retry, error).await?,
            }
        }
    }

    async fn reassignments_once(
        &self,
        only: Option<&[TopicPartition]>,
    ) -> Result<Vec<OngoingReassignment>, Error> {
        let connection = self.controller().await?;
        let topic = |(name, partition_indexes): (&TopicName, Vec<i32>)| ListPartitionReassignmentsTopics {
            name: name.as_str().into(),
            partition_indexes,
            ..ListPartitionReassignmentsTopics::default()
        };
        let request = ListPartitionReassignmentsRequest {
            timeout_ms: broker_timeout_ms(connection.request_timeout()),
            topics: only.map(|only| by_topic(only).into_iter().map(topic).collect()),
            ..ListPartitionReassignmentsRequest::default()
        };
        let response = connection.call(request).await?;
        let message = response.error_message.as_deref();
        let api = ApiKey::ListPartitionReassignments;
        check(connection.broker(), api, "", response.error_code, message)?;
        let mut ongoing = Vec::new();
        for topic in &response.topics {
            let name = TopicName::new(&topic.name)
                .map_err(|error| bad_answer(&connection, api, error.to_string()))?;
            ongoing.extend(topic.partitions.iter().map(|partition| read_ongoing(&name, partition)));
        }
        ongoing.sort_by(|one, other| one.partition.cmp(&other.partition));
        Ok(ongoing)
    }
}

fn topics(wanted: &[Reassignment]) -> Vec<ReassignableTopic> {
    let partition = |one: &Reassignment| ReassignablePartition {
        partition_index: one.partition.partition,
        replicas: one.replicas.as_ref().map(|replicas| replicas.iter().map(|id| id.0).collect()),
        ..ReassignablePartition::default()
    };
    let partitions = wanted.iter().map(|one| (&one.partition.topic, partition(one)));
    let topic = |(name, partitions): (&TopicName, _)| ReassignableTopic {
        name: name.as_str().into(),
        partitions,
        ..ReassignableTopic::default()
    };
    grouped(partitions).into_iter().map(topic).collect()
}

/// What is said of each partition that was asked about.
fn results(
    connection: &Connection,
    response: &AlterPartitionReassignmentsResponse,
    wanted: &[Reassignment],
) -> Result<ReassignmentResults, Error> {
    let api = ApiKey::AlterPartitionReassignments;
    let told: BTreeMap<(&str, i32), &ReassignablePartitionResponse> = response
        .responses
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|one| ((&*topic.name, one.partition_index), one)))
        .collect();
    let result = |Reassignment { partition: at, .. }: &Reassignment| {
        let found = told
            .get(&(at.topic.as_str(), at.partition))
            .ok_or_else(|| bad_answer(connection, api, format!("{at} is not in it")))?;
        let message = found.error_message.as_deref();
        Ok((at.clone(), check(connection.broker(), api, at, found.error_code, message)))
    };
    wanted.iter().map(result).collect()
}

fn read_ongoing(topic: &TopicName, partition: &OngoingPartitionReassignment) -> OngoingReassignment {
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
    OngoingReassignment {
        partition: TopicPartition { topic: topic.clone(), partition: partition.partition_index },
        replicas: ids(&partition.replicas),
        adding: ids(&partition.adding_replicas),
        removing: ids(&partition.removing_replicas),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_each_partition_goes_by_topic_and_an_end_is_null() {
        let at = |topic: &str, partition| TopicPartition { topic: TopicName::new(topic).unwrap(), partition };
        let to = |partition, brokers: &[i32]| Reassignment {
            partition,
            replicas: Some(brokers.iter().copied().map(BrokerId).collect()),
        };
        let wanted = [
            to(at("b", 0), &[1, 2]),
            Reassignment { partition: at("a", 3), replicas: None },
            to(at("b", 2), &[3]),
        ];
        let asked: Vec<_> = topics(&wanted)
            .into_iter()
            .map(|topic| {
                let partitions = topic.partitions.into_iter();
                let partitions =
                    partitions.map(|one| (one.partition_index, one.replicas)).collect::<Vec<_>>();
                (topic.name.to_string(), partitions)
            })
            .collect();
        assert_eq!(
            asked,
            [
                ("a".to_owned(), vec![(3, None)]),
                ("b".to_owned(), vec![(0, Some(vec![1, 2])), (2, Some(vec![3]))]),
            ]
        );
    }

    #[test]
    fn the_target_of_a_move_is_what_stays_in_its_order() {
        let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
        let ongoing = OngoingReassignment {
            partition: TopicPartition { topic: TopicName::new("a").unwrap(), partition: 0 },
            replicas: ids(&[4, 2, 1]),
            adding: ids(&[4]),
            removing: ids(&[1]),
        };
        assert_eq!(ongoing.target(), ids(&[4, 2]));
    }
}
