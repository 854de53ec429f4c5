//! DescribeGroups: a group's state, its members, and which partitions each of them has.

use ottla_types::{ErrorCode, TopicName, TopicPartition};
use ottla_wire::ApiKey;
use ottla_wire::consumer_protocol::ConsumerProtocolAssignment;
use ottla_wire::describe_groups::{DescribeGroupsRequest, DescribedGroup as Described, DescribedGroupMember};

use super::{CONSUMER, subject};
use crate::address::Address;
use crate::admin::one;
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Error, check};

/// The state of a group that does not exist, up to version 5.
const DEAD: &str = "Dead";

/// A group and its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Its id.
    pub group: String,
    /// Its state: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable` or `Dead`.
    pub state: String,
    /// What its members speak: `consumer` for consumers; empty for a group that only has offsets.
    pub protocol_type: String,
    /// The protocol that they agreed on: for consumers their assignor. Empty unless the group is stable.
    pub protocol: String,
    /// The broker that coordinates it.
    pub coordinator: Address,
    /// Its members, by their ids.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// The id that the coordinator gave it.
    pub member_id: String,
    /// `group.instance.id`, for a static member (KIP-345).
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// The address that it joined from, as the broker prints it.
    pub host: String,
    /// The partitions that it has; none while the group rebalances, or where its members are no consumers.
    pub assignment: Vec<TopicPartition>,
}

impl Client {
    /// Describes a group of the classic protocol.
    ///
    /// # Errors
    /// [`Error::Answered`] with GROUP_ID_NOT_FOUND for a group that does not exist, also from brokers that call it dead.
    pub async fn describe_group(&self, group: &str) -> Result<DescribedGroup, Error> {
        let what = format!("describing the group {group}");
        self.with_coordinator(what, group, |connection| describe(connection, group)).await
    }
}

async fn describe(connection: Connection, group: &str) -> Result<DescribedGroup, Error> {
    let api = ApiKey::DescribeGroups;
    let request = DescribeGroupsRequest { groups: vec![group.into()], ..DescribeGroupsRequest::default() };
    let described = one(&connection, api, connection.call(request).await?.groups)?;
    let message = described.error_message.as_deref();
    check(connection.broker(), api, subject(group), described.error_code, message)?;
    if described.group_state == DEAD {
        let code = ErrorCode::GroupIdNotFound.code();
        check(connection.broker(), api, subject(group), code, None)?;
    }
    read(&connection, described)
}

fn read(connection: &Connection, group: Described) -> Result<DescribedGroup, Error> {
    let has_partitions = group.protocol_type == CONSUMER;
    let mut members = Vec::with_capacity(group.members.len());
    for member in group.members {
        members.push(read_member(connection, member, has_partitions)?);
    }
    members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
    Ok(DescribedGroup {
        group: group.group_id.into(),
        state: group.group_state.into(),
        protocol_type: group.protocol_type.into(),
        protocol: group.protocol_data.into(),
        coordinator: connection.broker().clone(),
        members,
    })
}

fn read_member(
    connection: &Connection,
    member: DescribedGroupMember,
    has_partitions: bool,
) -> Result<GroupMember, Error> {
    let mut assignment = Vec::new();
    if has_partitions {
        let bad = |reason: String| {
            let reason = format!("the assignment of the member {} is none: {reason}", member.member_id);
            crate::admin::bad_answer(connection, ApiKey::DescribeGroups, reason)
        };
        let read = ConsumerProtocolAssignment::from_bytes(member.member_assignment)
            .map_err(|error| bad(error.to_string()))?;
        assignment = partitions(&read).map_err(bad)?;
    }
    Ok(GroupMember {
        member_id: member.member_id.into(),
        instance_id: member.group_instance_id.map(Into::into),
        client_id: member.client_id.into(),
        host: member.client_host.into(),
        assignment,
    })
}

/// The partitions of an assignment, in order.
pub(crate) fn partitions(assignment: &ConsumerProtocolAssignment) -> Result<Vec<TopicPartition>, String> {
    let mut partitions = Vec::new();
    for assigned in &assignment.assigned_partitions {
        let topic = TopicName::new(&assigned.topic).map_err(|error| error.to_string())?;
        let at = |&partition: &i32| TopicPartition { topic: topic.clone(), partition };
        partitions.extend(assigned.partitions.iter().map(at));
    }
    partitions.sort();
    Ok(partitions)
}
