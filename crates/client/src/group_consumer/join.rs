//! Becoming a member: JoinGroup, the assignment if the member leads, SyncGroup; again and again until the group is one.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use ottla_types::{ErrorCode, TopicName, TopicPartition};
use ottla_wire::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition as AssignedTopic,
};
use ottla_wire::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ottla_wire::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use ottla_wire::{ApiKey, Str};

use super::assignor::{Assignor, Subscriber};
use super::membership::Membership;
use crate::admin::bad_answer;
use crate::connection::Connection;
use crate::error::{Error, check};
use crate::groups::describe::partitions;
use crate::groups::{CONSUMER, subject};

/// The version of what members tell each other: the last there is, of which older members read the part they know.
const CONTENT_VERSION: i16 = 3;

/// How much longer than the group may take its answer is waited for.
const JOIN_ANSWER_SLACK: Duration = Duration::from_secs(5);

/// What a member got.
#[derive(Debug)]
pub(super) struct Joined {
    /// Its partitions, in order.
    pub(super) assignment: Vec<TopicPartition>,
    /// For the leader: the partitions that it assigned, by topic.
    pub(super) assigned_from: Option<BTreeMap<TopicName, Vec<i32>>>,
}

impl Membership {
    /// Joins the group. Ends when the member has its assignment, or with an error that joining again does not help; what
    /// else goes wrong is tried again for as long as calls may take.
    pub(super) async fn join(&self) -> Result<Joined, Error> {
        let mut retry = self.retry("joining");
        loop {
            let has_id = !self.identity().member_id.is_empty();
            let error = match self.join_group().await {
                Ok((connection, response)) => {
                    // From here on time counts anew: waiting for the others was no failure.
                    retry.counts_anew();
                    match self.sync_group(connection, response).await {
                        Ok(joined) => return Ok(joined),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            self.may_have_moved(&error).await;
            match error.code() {
                // The coordinator gave the member its id, and wants it to come with it (KIP-394).
                Some(ErrorCode::MemberIdRequired) if !has_id => continue,
                _ if retry.is_worth_telling() => {
                    tracing::warn!(group = self.group, %error, "cannot join the group yet, and tries on");
                }
                _ => {}
            }
            match error.code() {
                Some(ErrorCode::UnknownMemberId) => self.loses(false),
                Some(ErrorCode::IllegalGeneration) => self.loses(true),
                Some(ErrorCode::RebalanceInProgress) => {}
                _ => {
                    retry.after(error).await?;
                    continue;
                }
            }
            retry.pause(error).await?;
        }
    }

    async fn join_group(&self) -> Result<(Connection, JoinGroupResponse), Error> {
        let connection = self.connection().await?;
        let version = connection.version(ApiKey::JoinGroup)?;
        let request = self.join_request(&connection)?;
        let timeout = connection.request_timeout().max(self.options.max_poll_interval + JOIN_ANSWER_SLACK);
        let response = connection.start_at(request, version, timeout)?.wait().await?;
        if response.error_code == ErrorCode::MemberIdRequired.code() {
            self.is_now(response.member_id.detached(), -1);
        }
        check(connection.broker(), ApiKey::JoinGroup, subject(&self.group), response.error_code, None)?;
        self.is_now(response.member_id.detached(), response.generation_id);
        Ok((connection, response))
    }

    fn join_request(&self, connection: &Connection) -> Result<JoinGroupRequest, Error> {
        let who = self.identity();
        let subscription = ConsumerProtocolSubscription {
            topics: self.topics.iter().map(|topic| topic.as_str().into()).collect(),
            ..ConsumerProtocolSubscription::default()
        };
        let metadata = encoded(connection, ApiKey::JoinGroup, subscription.to_bytes(CONTENT_VERSION))?;
        let protocol = |assignor: &Assignor| JoinGroupRequestProtocol {
            name: assignor.name().into(),
            metadata: metadata.clone(),
            ..JoinGroupRequestProtocol::default()
        };
        Ok(JoinGroupRequest {
            group_id: who.group,
            session_timeout_ms: millis(self.options.session_timeout),
            rebalance_timeout_ms: millis(self.options.max_poll_interval),
            member_id: who.member_id,
            group_instance_id: who.instance_id,
            protocol_type: CONSUMER.into(),
            protocols: self.options.assignors.iter().map(protocol).collect(),
            ..JoinGroupRequest::default()
        })
    }

    async fn sync_group(&self, connection: Connection, joined: JoinGroupResponse) -> Result<Joined, Error> {
        let api = ApiKey::SyncGroup;
        let version = connection.version(api)?;
        let is_leader = joined.leader == joined.member_id;
        let (assignments, assigned_from) = match is_leader {
            true => self.assign(&connection, &joined).await.map(|(all, from)| (all, Some(from)))?,
            false => (Vec::new(), None),
        };
        let who = self.identity();
        let request = SyncGroupRequest {
            group_id: who.group,
            generation_id: who.generation,
            member_id: who.member_id,
            group_instance_id: who.instance_id,
            protocol_type: Some(CONSUMER.into()),
            protocol_name: joined.protocol_name,
            assignments,
            ..SyncGroupRequest::default()
        };
        let timeout = connection.request_timeout().max(self.options.max_poll_interval + JOIN_ANSWER_SLACK);
        let response = connection.start_at(request, version, timeout)?.wait().await?;
        check(connection.broker(), api, subject(&self.group), response.error_code, None)?;
        let assignment = ConsumerProtocolAssignment::from_bytes(response.assignment)
            .map_err(|error| error.to_string())
            .and_then(|assignment| partitions(&assignment))
            .map_err(|reason| bad_answer(&connection, api, format!("its assignment is none: {reason}")))?;
        tracing::debug!(group = self.group, ?assignment, is_leader, "joined");
        Ok(Joined { assignment, assigned_from })
    }

    /// What the leader assigns, and what there was to assign. Nothing where it is to leave the assignment as it is (KIP-814).
    async fn assign(
        &self,
        connection: &Connection,
        joined: &JoinGroupResponse,
    ) -> Result<(Vec<SyncGroupRequestAssignment>, BTreeMap<TopicName, Vec<i32>>), Error> {
        let api = ApiKey::JoinGroup;
        let chosen = joined.protocol_name.as_ref().map_or("", Str::as_str);
        let assignor = self.options.assignors.iter().find(|assignor| assignor.name() == chosen);
        let assignor = *assignor.ok_or_else(|| {
            bad_answer(connection, api, format!("it chose the assignor \"{chosen}\", which was not offered"))
        })?;
        let members = subscribers(joined).map_err(|reason| bad_answer(connection, api, reason))?;
        let mut topics: Vec<TopicName> = members.iter().flat_map(|member| member.topics.clone()).collect();
        topics.sort();
        topics.dedup();
        let from = self.partitions_of(&topics).await?;
        if joined.skip_assignment {
            return Ok((Vec::new(), from));
        }
        let mut assignments = Vec::new();
        for (member_id, partitions) in assignor.assign(&members, &from) {
            let content = content(&partitions).to_bytes(CONTENT_VERSION);
            assignments.push(SyncGroupRequestAssignment {
                member_id: member_id.into(),
                assignment: encoded(connection, ApiKey::SyncGroup, content)?,
                ..SyncGroupRequestAssignment::default()
            });
        }
        Ok((assignments, from))
    }

    /// The partitions that these topics have now. A topic that is not there (yet) has none.
    pub(super) async fn partitions_of(
        &self,
        topics: &[TopicName],
    ) -> Result<BTreeMap<TopicName, Vec<i32>>, Error> {
        let metadata = self.client.refresh(topics).await?;
        let numbers = |name: &TopicName| {
            let topic = metadata.topics.get(name).filter(|topic| topic.error == ErrorCode::None)?;
            Some((name.clone(), topic.partitions.iter().map(|partition| partition.index).collect()))
        };
        Ok(topics.iter().filter_map(numbers).collect())
    }
}

fn subscribers(joined: &JoinGroupResponse) -> Result<Vec<Subscriber>, String> {
    let mut members = Vec::with_capacity(joined.members.len());
    for member in &joined.members {
        let bad = |reason: String| format!("the subscription of {} is none: {reason}", member.member_id);
        let subscription = ConsumerProtocolSubscription::from_bytes(member.metadata.clone())
            .map_err(|error| bad(error.to_string()))?;
        let topics: Result<Vec<TopicName>, _> =
            subscription.topics.iter().map(|name| TopicName::new(name)).collect();
        members.push(Subscriber {
            member_id: member.member_id.as_str().to_owned(),
            instance_id: member.group_instance_id.as_deref().map(str::to_owned),
            topics: topics.map_err(|error| bad(error.to_string()))?,
        });
    }
    Ok(members)
}

fn content(partitions: &[TopicPartition]) -> ConsumerProtocolAssignment {
    let mut topics: BTreeMap<&TopicName, AssignedTopic> = BTreeMap::new();
    for at in partitions {
        let topic = topics.entry(&at.topic).or_default();
        topic.topic = at.topic.as_str().into();
        topic.partitions.push(at.partition);
    }
    ConsumerProtocolAssignment {
        assigned_partitions: topics.into_values().collect(),
        ..ConsumerProtocolAssignment::default()
    }
}

fn encoded(
    connection: &Connection,
    api: ApiKey,
    result: Result<Bytes, ottla_wire::Error>,
) -> Result<Bytes, Error> {
    result.map_err(|reason| Error::Encode { broker: connection.broker().clone(), api, reason })
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
