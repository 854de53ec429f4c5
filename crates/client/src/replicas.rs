//! DescribeReplicas: what the leaders of partitions know of their replicas. Apache Kafka has nothing like it, and is told apart
//! by its ApiVersions.

use std::time::Duration;

use ottla_types::{BrokerId, LeaderEpoch, Offset, PartitionEpoch, TopicId, TopicName, TopicPartition};
use ottla_wire::ApiKey;
use ottla_wire::private::describe_replicas::{
    DescribeReplicasRequest, DescribedPartition, DescribedReplica, DescribedTopic, ReplicasCursor,
};

use crate::admin::bad_answer;
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Error, check};

/// How many partitions are asked for at once.
const PAGE: i32 = 2000;

/// A partition, as its leader describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedPartition {
    /// Which.
    pub partition: TopicPartition,
    /// Of which topic of that name.
    pub topic_id: TopicId,
    /// Who leads, and tells this.
    pub leader: BrokerId,
    /// In which epoch.
    pub leader_epoch: LeaderEpoch,
    /// The number of the state that it has.
    pub partition_epoch: PartitionEpoch,
    /// Where its log starts.
    pub log_start: Offset,
    /// Everything below is committed.
    pub high_watermark: Offset,
    /// Where its log ends.
    pub log_end: Offset,
    /// The size of its log in bytes.
    pub size_bytes: i64,
    /// How many replicas must be in sync for a write with `acks=all`.
    pub min_insync: usize,
    /// The replicas, the preferred leader first.
    pub replicas: Vec<ReplicaDescription>,
}

/// A replica, as its leader describes it. What is not known is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaDescription {
    /// The broker.
    pub broker: BrokerId,
    /// Whether it is in the ISR in force.
    pub is_in_sync: bool,
    /// What the leader has asked the controller for, and is not decided.
    pub asked: Option<IsrWish>,
    /// How it stands.
    pub standing: ReplicaStanding,
    /// Where its log ends, as far as it has told in this leader epoch.
    pub log_end: Option<Offset>,
    /// How many records of the leader's it lacks.
    pub lag_records: Option<i64>,
    /// How long ago it fetched last.
    pub last_fetch: Option<Duration>,
    /// How long ago it is known to have had all that the leader had.
    pub last_caught_up: Option<Duration>,
    /// For how long it has not been in the ISR, as far as this leader knows.
    pub out_of_sync: Option<Duration>,
    /// Why it lags, by a detector that tells.
    pub explanation: Option<String>,
}

/// A change of the ISR that a leader has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsrWish {
    /// The replica is to enter.
    Enter,
    /// The replica is to leave.
    Leave,
}

/// How a replica stands with its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaStanding {
    /// The broker tells something that this client does not know.
    Unknown,
    /// It leads.
    Leads,
    /// It is in sync.
    InSync,
    /// It fetches, and is not in sync.
    CatchesUp,
    /// It has not fetched since this leadership began.
    NotSeen,
    /// Its broker is fenced.
    Fenced,
    /// Its broker is stopping.
    Stopping,
    /// Its log directory is offline.
    DirectoryOffline,
    /// Its broker is not registered.
    Unregistered,
}

impl Client {
    /// The partitions that a broker leads and the replicas of each, by topic and number: of all topics or of those named, and
    /// all or only those of which a replica is not in sync. The broker is asked once for each page.
    ///
    /// # Errors
    /// [`Error::UnsupportedApi`] by brokers that are not ottla's, and whatever keeps the broker from answering.
    pub async fn led_partitions(
        &self,
        broker: BrokerId,
        topics: Option<&[TopicName]>,
        only_under_replicated: bool,
    ) -> Result<Vec<LedPartition>, Error> {
        let connection = self.broker(broker).await?;
        let mut partitions = Vec::new();
        let mut cursor = None;
        loop {
            let request = DescribeReplicasRequest {
                topics: topics.map(|names| names.iter().map(|name| name.as_str().into()).collect()),
                only_under_replicated,
                response_partition_limit: PAGE,
                cursor: cursor.clone(),
                ..DescribeReplicasRequest::default()
            };
            let response = connection.call(request).await?;
            let message = response.error_message.as_deref();
            check(connection.broker(), ApiKey::DescribeReplicas, "", response.error_code, message)?;
            for topic in &response.topics {
                read_topic(&connection, broker, topic, &mut partitions)?;
            }
            let Some(next) = response.next_cursor else { return Ok(partitions) };
            if !goes_on(cursor.as_ref(), &next) {
                let reason = "its next page does not come after this one".to_owned();
                return Err(bad_answer(&connection, ApiKey::DescribeReplicas, reason));
            }
            cursor = Some(next);
        }
    }
}

/// Whether a page comes after another one: a broker that goes round in circles must not keep a client for ever.
fn goes_on(this: Option<&ReplicasCursor>, next: &ReplicasCursor) -> bool {
    let place = |cursor: &ReplicasCursor| (cursor.topic_name.clone(), cursor.partition_index);
    this.is_none_or(|this| place(this) < place(next))
}

fn read_topic(
    connection: &Connection,
    leader: BrokerId,
    topic: &DescribedTopic,
    partitions: &mut Vec<LedPartition>,
) -> Result<(), Error> {
    let name = TopicName::new(&topic.name)
        .map_err(|error| bad_answer(connection, ApiKey::DescribeReplicas, error.to_string()))?;
    let read = |partition: &DescribedPartition| LedPartition {
        partition: TopicPartition { topic: name.clone(), partition: partition.partition_index },
        topic_id: topic.topic_id.into(),
        leader,
        leader_epoch: LeaderEpoch(partition.leader_epoch),
        partition_epoch: PartitionEpoch(partition.partition_epoch),
        log_start: Offset(partition.log_start_offset),
        high_watermark: Offset(partition.high_watermark),
        log_end: Offset(partition.log_end_offset),
        size_bytes: partition.size_bytes,
        min_insync: usize::try_from(partition.min_insync_replicas).unwrap_or(0),
        replicas: partition.replicas.iter().map(read_replica).collect(),
    };
    partitions.extend(topic.partitions.iter().map(read));
    Ok(())
}

fn read_replica(replica: &DescribedReplica) -> ReplicaDescription {
    // -1 stands for what is not known.
    let told = |number: i64| Some(number).filter(|number| *number >= 0);
    let age = |ms: i64| u64::try_from(ms).ok().map(Duration::from_millis);
    ReplicaDescription {
        broker: BrokerId(replica.broker_id),
        is_in_sync: replica.is_in_sync,
        asked: match replica.asked {
            1 => Some(IsrWish::Enter),
            2 => Some(IsrWish::Leave),
            _ => None,
        },
        standing: ReplicaStanding::from_code(replica.standing),
        log_end: told(replica.log_end_offset).map(Offset),
        lag_records: told(replica.lag_records),
        last_fetch: age(replica.last_fetch_ms_ago),
        last_caught_up: age(replica.last_caught_up_ms_ago),
        out_of_sync: age(replica.out_of_sync_ms),
        explanation: replica.explanation.as_deref().map(str::to_owned),
    }
}

impl ReplicaStanding {
    fn from_code(code: i8) -> Self {
        match code {
            1 => Self::Leads,
            2 => Self::InSync,
            3 => Self::CatchesUp,
            4 => Self::NotSeen,
            5 => Self::Fenced,
            6 => Self::Stopping,
            7 => Self::DirectoryOffline,
            8 => Self::Unregistered,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_leader_does_not_know_is_not_taken_for_a_number() {
        let read =
            read_replica(&DescribedReplica { broker_id: 3, standing: 4, ..DescribedReplica::default() });
        assert_eq!((read.broker, read.standing), (BrokerId(3), ReplicaStanding::NotSeen));
        assert_eq!((read.log_end, read.lag_records, read.asked), (None, None, None));
        assert_eq!((read.last_fetch, read.last_caught_up, read.out_of_sync), (None, None, None));
        let newer = DescribedReplica { standing: 100, asked: 9, ..DescribedReplica::default() };
        assert_eq!(read_replica(&newer).standing, ReplicaStanding::Unknown);
    }

    #[test]
    fn pages_that_go_round_in_circles_end() {
        let at = |topic: &str, partition_index| ReplicasCursor {
            topic_name: topic.into(),
            partition_index,
            ..ReplicasCursor::default()
        };
        assert!(goes_on(None, &at("a", 0)));
        assert!(goes_on(Some(&at("a", 3)), &at("a", 4)) && goes_on(Some(&at("a", 3)), &at("b", 0)));
        assert!(!goes_on(Some(&at("a", 3)), &at("a", 3)) && !goes_on(Some(&at("b", 0)), &at("a", 9)));
    }
}
