//! Administration: topics created, given more partitions, deleted and listed. Their configuration is in
//! [`crate::configs`].
//!
//! Requests that change something go to the controller as metadata names it; any broker takes and forwards them
//! (KIP-590).

use std::time::Duration;

use ottla_types::{ErrorCode, TopicId, TopicName};
use ottla_wire::ApiKey;
use ottla_wire::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ottla_wire::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ottla_wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest};

use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Error, check};
use crate::metadata::Topic;

/// The first version of CreateTopics in which the cluster may choose the number of partitions and replicas (KIP-464).
const FIRST_CREATE_WITH_DEFAULTS: i16 = 4;

/// The first version of DeleteTopics that has a list of its own for topics by id.
const FIRST_DELETE_BY_STATE: i16 = 6;

/// A topic to create.
#[derive(Debug, Clone)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions; the cluster's default if not said.
    pub partitions: Option<i32>,
    /// How many replicas of each; the cluster's default if not said.
    pub replication_factor: Option<i16>,
    /// Configuration that differs from the cluster's.
    pub configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic for which the cluster's defaults hold.
    #[must_use]
    pub fn new(name: TopicName) -> Self {
        Self { name, partitions: None, replication_factor: None, configs: Vec::new() }
    }
}

/// A topic that was created. Brokers before Kafka 2.4 tell nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id.
    pub id: Option<TopicId>,
    /// How many partitions it has.
    pub partitions: Option<i32>,
    /// How many replicas each has.
    pub replication_factor: Option<i16>,
}

impl Client {
    /// Creates a topic.
    ///
    /// # Errors
    /// [`Error::Answered`] says why not. After a lost connection the request is sent again, so that
    /// TOPIC_ALREADY_EXISTS may then be its own doing.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<CreatedTopic, Error> {
        let mut retry = self.retry(format!("creating the topic {}", topic.name));
        loop {
            match self.create_topic_once(topic).await {
                Ok(created) => return Ok(created),
                Err(error) => self.retry_administration(&mut retry, error).await?,
            }
        }
    }

    async fn create_topic_once(&self, topic: &NewTopic) -> Result<CreatedTopic, Error> {
        let connection = self.controller().await?;
        let version = connection.version(ApiKey::CreateTopics)?;
        let default = if version >= FIRST_CREATE_WITH_DEFAULTS { -1 } else { 1 };
        let config = |(name, value): &(String, String)| CreatableTopicConfig {
            name: name.into(),
            value: Some(value.into()),
            ..CreatableTopicConfig::default()
        };
        let timeout = connection.request_timeout();
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: topic.name.as_str().into(),
                num_partitions: topic.partitions.unwrap_or(default),
                replication_factor: topic.replication_factor.unwrap_or(default as i16),
                configs: topic.configs.iter().map(config).collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: broker_timeout_ms(timeout),
            ..CreateTopicsRequest::default()
        };
        let response = connection.start_at(request, version, timeout)?.wait().await?;
        let result = one(&connection, ApiKey::CreateTopics, response.topics)?;
        let subject = format!("topic {}", topic.name);
        let message = result.error_message.as_deref();
        check(connection.broker(), ApiKey::CreateTopics, subject, result.error_code, message)?;
        Ok(CreatedTopic {
            id: Some(TopicId::from(result.topic_id)).filter(|id| !id.is_zero()),
            partitions: Some(result.num_partitions).filter(|&count| count > 0),
            replication_factor: Some(result.replication_factor).filter(|&count| count > 0),
        })
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// [`Error::Answered`] says why not.
    pub async fn delete_topic(&self, name: &TopicName) -> Result<(), Error> {
        let mut retry = self.retry(format!("deleting the topic {name}"));
        loop {
            match self.delete_topic_once(name).await {
                Ok(()) => return Ok(()),
                // Elsewhere this error may pass; a topic that is to be deleted is not waited for.
                Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => return Err(error),
                Err(error) => self.retry_administration(&mut retry, error).await?,
            }
        }
    }

    async fn delete_topic_once(&self, name: &TopicName) -> Result<(), Error> {
        let connection = self.controller().await?;
        let version = connection.version(ApiKey::DeleteTopics)?;
        let timeout = connection.request_timeout();
        let mut request =
            DeleteTopicsRequest { timeout_ms: broker_timeout_ms(timeout), ..DeleteTopicsRequest::default() };
        if version >= FIRST_DELETE_BY_STATE {
            let topic = DeleteTopicState { name: Some(name.as_str().into()), ..DeleteTopicState::default() };
            request.topics = vec![topic];
        } else {
            request.topic_names = vec![name.as_str().into()];
        }
        let response = connection.start_at(request, version, timeout)?.wait().await?;
        let result = one(&connection, ApiKey::DeleteTopics, response.responses)?;
        let message = result.error_message.as_deref();
        check(connection.broker(), ApiKey::DeleteTopics, format!("topic {name}"), result.error_code, message)
    }

    /// All topics, in the order of their names.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn list_topics(&self) -> Result<Vec<Topic>, Error> {
        let mut retry = self.retry("listing the topics".to_owned());
        loop {
            match self.refresh_all().await {
                Ok(metadata) => return Ok(metadata.topics.values().cloned().collect()),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// Gives a topic more partitions, so that it has `count` in all (KIP-195); with `validate_only` it is only checked whether
    /// that could be done.
    ///
    /// # Errors
    /// [`Error::Answered`] says why not. After a lost connection the request is sent again, so that INVALID_PARTITIONS,
    /// because the topic has that many already, may then be its own doing.
    pub async fn create_partitions(
        &self,
        name: &TopicName,
        count: i32,
        validate_only: bool,
    ) -> Result<(), Error> {
        let mut retry = self.retry(format!("adding partitions to the topic {name}"));
        loop {
            match self.create_partitions_once(name, count, validate_only).await {
                Ok(()) => return Ok(()),
                // As in deleting: a topic that is to have more partitions is not waited for.
                Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => return Err(error),
                Err(error) => self.retry_administration(&mut retry, error).await?,
            }
        }
    }

    async fn create_partitions_once(
        &self,
        name: &TopicName,
        count: i32,
        validate_only: bool,
    ) -> Result<(), Error> {
        let connection = self.controller().await?;
        let api = ApiKey::CreatePartitions;
        let topic = CreatePartitionsTopic {
            name: name.as_str().into(),
            count,
            assignments: None,
            ..CreatePartitionsTopic::default()
        };
        let request = CreatePartitionsRequest {
            topics: vec![topic],
            timeout_ms: broker_timeout_ms(connection.request_timeout()),
            validate_only,
            ..CreatePartitionsRequest::default()
        };
        let response = connection.call(request).await?;
        let result = one(&connection, api, response.results)?;
        let message = result.error_message.as_deref();
        check(connection.broker(), api, format!("topic {name}"), result.error_code, message)
    }

    /// Pauses after a failed request, having looked again for who the controller is. A broker that says REQUEST_TIMED_OUT has
    /// waited itself before, and says why: that is for the operator.
    pub(crate) async fn retry_administration(
        &self,
        retry: &mut crate::retry::Retry,
        error: Error,
    ) -> Result<(), Error> {
        if error.code() == Some(ErrorCode::RequestTimedOut) {
            return Err(error);
        }
        retry.after(error).await?;
        if let Err(error) = self.refresh(&[]).await {
            tracing::debug!(%error, "metadata could not be refreshed");
        }
        Ok(())
    }
}

/// How long the broker is to try: less than the client waits, so that its answer is heard.
pub(crate) fn broker_timeout_ms(request_timeout: Duration) -> i32 {
    i32::try_from((request_timeout * 9 / 10).as_millis()).unwrap_or(i32::MAX)
}

/// The only element of an answer about one thing.
pub(crate) fn one<T>(connection: &Connection, api: ApiKey, results: Vec<T>) -> Result<T, Error> {
    let count = results.len();
    let mut results = results.into_iter();
    match (results.next(), results.next()) {
        (Some(result), None) => Ok(result),
        _ => Err(bad_answer(connection, api, format!("one result was expected, and it has {count}"))),
    }
}

pub(crate) fn bad_answer(connection: &Connection, api: ApiKey, reason: String) -> Error {
    Error::BadAnswer { broker: connection.broker().clone(), api, reason }
}
