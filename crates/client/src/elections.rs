//! ElectLeaders: new leaders for partitions, when somebody asks for them (KIP-183, KIP-460).

use ottla_types::{ErrorCode, TopicName, TopicPartition};
use ottla_wire::ApiKey;
use ottla_wire::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, TopicPartitions,
};

use crate::admin::broker_timeout_ms;
use crate::by_topic::by_topic;
use crate::client::Client;
use crate::error::{Error, check};

/// Who is to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// The first of the replicas, if it is in sync.
    Preferred,
    /// Where nobody leads, any replica that lives, be it in sync or not: records that were acknowledged may be lost.
    Unclean,
}

/// What became of the election in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElectedPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// None: it has a new leader. ELECTION_NOT_NEEDED: it has the right one already. Anything else says why it has none.
    pub error: ErrorCode,
    /// The same in words.
    pub message: Option<String>,
}

impl Client {
    /// Elects leaders of the partitions, or of all where none are given; then those that need no election are left out of
    /// the answer.
    ///
    /// # Errors
    /// If nobody decides. What becomes of a single partition is in the answer.
    pub async fn elect_leaders(
        &self,
        election: Election,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Vec<ElectedPartition>, Error> {
        let mut retry = self.retry("electing leaders".to_owned());
        loop {
            match self.elect_leaders_once(election, partitions).await {
                Ok(elected) => return Ok(elected),
                Err(error) => self.retry_administration(&mut retry, error).await?,
            }
        }
    }

    async fn elect_leaders_once(
        &self,
        election: Election,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Vec<ElectedPartition>, Error> {
        let connection = self.controller().await?;
        let request = ElectLeadersRequest {
            election_type: match election {
                Election::Preferred => 0,
                Election::Unclean => 1,
            },
            topic_partitions: partitions.map(topics),
            timeout_ms: broker_timeout_ms(connection.request_timeout()),
            ..ElectLeadersRequest::default()
        };
        let response = connection.call(request).await?;
        let message = whole_message(&response);
        check(connection.broker(), ApiKey::ElectLeaders, "", response.error_code, message)?;
        Ok(elected(response))
    }
}

fn topics(partitions: &[TopicPartition]) -> Vec<TopicPartitions> {
    let topic = |(topic, partitions): (&TopicName, Vec<i32>)| TopicPartitions {
        topic: topic.as_str().into(),
        partitions,
        ..TopicPartitions::default()
    };
    by_topic(partitions).into_iter().map(topic).collect()
}

/// What is said of an error of the whole request: it has no words of its own, but the partitions have.
fn whole_message(response: &ElectLeadersResponse) -> Option<&str> {
    let mut partitions = response.replica_election_results.iter().flat_map(|topic| &topic.partition_result);
    let same = partitions.find(|partition| partition.error_code == response.error_code)?;
    same.error_message.as_deref()
}

fn elected(response: ElectLeadersResponse) -> Vec<ElectedPartition> {
    let topics = response.replica_election_results.into_iter();
    let of_topic = |topic: ottla_wire::elect_leaders::ReplicaElectionResult| {
        let name = topic.topic;
        topic.partition_result.into_iter().map(move |result: PartitionResult| ElectedPartition {
            topic: name.to_string(),
            partition: result.partition_id,
            error: ErrorCode::from_code(result.error_code).unwrap_or(ErrorCode::UnknownServerError),
            message: result.error_message.map(String::from),
        })
    };
    topics.flat_map(of_topic).collect()
}

#[cfg(test)]
mod tests {
    use ottla_wire::elect_leaders::ReplicaElectionResult;

    use super::*;

    #[test]
    fn an_error_of_the_whole_request_has_the_words_of_a_partition() {
        let partition = |error_code, message: &str| PartitionResult {
            error_code,
            error_message: Some(message.into()),
            ..PartitionResult::default()
        };
        let topic = ReplicaElectionResult {
            partition_result: vec![partition(3, "no such partition"), partition(7, "no leader: 1 of 3")],
            ..ReplicaElectionResult::default()
        };
        let told = |error_code, results: &[ReplicaElectionResult]| {
            let replica_election_results = results.to_vec();
            let response = ElectLeadersResponse {
                error_code,
                replica_election_results,
                ..ElectLeadersResponse::default()
            };
            whole_message(&response).map(str::to_owned)
        };
        assert_eq!(told(7, std::slice::from_ref(&topic)).as_deref(), Some("no leader: 1 of 3"));
        assert_eq!(told(41, &[topic]), None);
        assert_eq!(told(7, &[]), None);
    }
}
