//! DescribeLogDirs: the directories that a broker keeps logs in, and the replicas in them (KIP-113).

use ottla_types::{BrokerId, ErrorCode, TopicName, TopicPartition};
use ottla_wire::ApiKey;
use ottla_wire::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResponse,
};

use crate::admin::bad_answer;
use crate::by_topic::by_topic;
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Error, check};

/// A directory of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDir {
    /// Its path there.
    pub path: String,
    /// Why it is not used, if it is not; KAFKA_STORAGE_ERROR where it has failed.
    pub error: Option<ErrorCode>,
}

/// A replica in a directory of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaLog {
    /// Of which partition.
    pub partition: TopicPartition,
    /// The directory's path at the broker.
    pub dir: String,
    /// The size of its files in bytes.
    pub size_bytes: i64,
    /// How many records its end is behind, by what the broker itself knows; negative where nothing uses the log.
    pub lag_records: i64,
    /// Whether it is being made, and will replace the one that the broker has in another directory.
    pub is_future: bool,
}

impl Client {
    /// The directories that a broker keeps logs in. It is asked once.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn log_dirs(&self, broker: BrokerId) -> Result<Vec<LogDir>, Error> {
        // No topics: what lies in the directories is not asked for.
        let response = self.describe_log_dirs(broker, Some(&[])).await?.1;
        let dirs = response.results.into_iter().map(|dir| LogDir {
            path: dir.log_dir.into(),
            error: (dir.error_code != 0)
                .then(|| ErrorCode::from_code(dir.error_code).unwrap_or(ErrorCode::UnknownServerError)),
        });
        Ok(dirs.collect())
    }

    /// The replicas that a broker keeps, in directories that are online: of all partitions, or of those named. It is asked
    /// once.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn replica_logs(
        &self,
        broker: BrokerId,
        only: Option<&[TopicPartition]>,
    ) -> Result<Vec<ReplicaLog>, Error> {
        let (connection, response) = self.describe_log_dirs(broker, only).await?;
        let mut logs = Vec::new();
        for dir in response.results {
            for topic in dir.topics {
                let name = TopicName::new(&topic.name)
                    .map_err(|error| bad_answer(&connection, ApiKey::DescribeLogDirs, error.to_string()))?;
                logs.extend(topic.partitions.into_iter().map(|log| ReplicaLog {
                    partition: TopicPartition { topic: name.clone(), partition: log.partition_index },
                    dir: dir.log_dir.to_string(),
                    size_bytes: log.partition_size,
                    lag_records: log.offset_lag,
                    is_future: log.is_future_key,
                }));
            }
        }
        Ok(logs)
    }

    async fn describe_log_dirs(
        &self,
        broker: BrokerId,
        only: Option<&[TopicPartition]>,
    ) -> Result<(Connection, DescribeLogDirsResponse), Error> {
        let connection = self.broker(broker).await?;
        let topic = |(topic, partitions): (&TopicName, Vec<i32>)| DescribableLogDirTopic {
            topic: topic.as_str().into(),
            partitions,
            ..DescribableLogDirTopic::default()
        };
        let topics = only.map(|only| by_topic(only).into_iter().map(topic).collect());
        let request = DescribeLogDirsRequest { topics, ..DescribeLogDirsRequest::default() };
        let response = connection.call(request).await?;
        check(connection.broker(), ApiKey::DescribeLogDirs, "", response.error_code, None)?;
        Ok((connection, response))
    }
}
