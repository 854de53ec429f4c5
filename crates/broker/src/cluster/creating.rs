//! Topics that this broker itself wants created: on first use, and those that hold its own state. Where another node is the
//! active controller they are asked for as a client would.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ottla_metadata::controller::Refused;
use ottla_metadata::controller::create_topics::{CreateTopics, CreatedTopic, NewTopic};
use ottla_types::{ErrorCode, TopicName};
use ottla_wire::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use ottla_wire::frame::{LENGTH_SIZE, encode_request};
use ottla_wire::header::parse_response;
use ottla_wire::{ApiKey, Message as _, RequestHeader};

use crate::broker::Core;
use crate::server::{Peer, Principal};

/// How long it may take: whoever waits for it is a client.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The version in which topics are asked for.
const VERSION: i16 = 7;

impl Core {
    /// Creates topics, by whichever node is the active controller, and waits until those that it created are there.
    ///
    /// # Errors
    /// There is no active controller, or the metadata log cannot be written. Each topic may be refused, too.
    pub(crate) async fn create_topics(
        &self,
        topics: Vec<NewTopic>,
    ) -> Result<Vec<Result<CreatedTopic, Refused>>, Refused> {
        let request = CreateTopics { topics, validate_only: false, seed: self.env.rng.next_u64() };
        if !self.channel.has_others() {
            return self.change(|controller| controller.create_topics(&request)).await;
        }
        let header = RequestHeader::new(ApiKey::CreateTopics, VERSION, 0);
        let whole = encode_request(&header, &to_wire(&request).into()).map_err(unreadable)?;
        let whole = whole.into_bytes().slice(LENGTH_SIZE..);
        let peer = Peer {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            listener: "".into(),
            principal: Principal::anonymous(),
        };
        let tries = self.channel.tries(TIMEOUT);
        let Some(answer) = self.channel.forward(&peer, whole, &tries).await? else {
            return self.change(|controller| controller.create_topics(&request)).await;
        };
        let (_, mut body) = parse_response(answer, ApiKey::CreateTopics, VERSION).map_err(unreadable)?;
        let response = CreateTopicsResponse::decode(&mut body, VERSION).map_err(unreadable)?;
        let answers = from_wire(response);
        for created in answers.iter().flatten() {
            let is_there = self.metadata.carried_out_topic(&created.name);
            if tokio::time::timeout(TIMEOUT, is_there).await.is_err() {
                let message = format!("{} was created, and this broker has not heard of it", created.name);
                return Err(Refused { error: ErrorCode::RequestTimedOut, message });
            }
        }
        Ok(answers)
    }
}

fn to_wire(request: &CreateTopics) -> CreateTopicsRequest {
    let topic = |topic: &NewTopic| CreatableTopic {
        name: topic.name.as_str().into(),
        num_partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        configs: topic
            .configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: name.as_str().into(),
                value: value.as_deref().map(Into::into),
                ..CreatableTopicConfig::default()
            })
            .collect(),
        ..CreatableTopic::default()
    };
    CreateTopicsRequest {
        topics: request.topics.iter().map(topic).collect(),
        timeout_ms: i32::try_from(TIMEOUT.as_millis()).unwrap_or(i32::MAX),
        ..CreateTopicsRequest::default()
    }
}

fn from_wire(response: CreateTopicsResponse) -> Vec<Result<CreatedTopic, Refused>> {
    let topic = |topic: ottla_wire::create_topics::CreatableTopicResult| {
        let error = ErrorCode::from_code(topic.error_code).unwrap_or(ErrorCode::UnknownServerError);
        if error.is_error() {
            let message =
                topic.error_message.map_or_else(|| error.to_string(), |message| message.to_string());
            return Err(Refused { error, message });
        }
        let name = TopicName::new(&topic.name)
            .map_err(|why| Refused { error: ErrorCode::UnknownServerError, message: why.to_string() })?;
        Ok(CreatedTopic {
            name,
            id: topic.topic_id.into(),
            partitions: topic.num_partitions,
            replication_factor: topic.replication_factor,
            configs: Vec::new(),
        })
    };
    response.topics.into_iter().map(topic).collect()
}

fn unreadable(error: ottla_wire::Error) -> Refused {
    Refused { error: ErrorCode::UnknownServerError, message: error.to_string() }
}
