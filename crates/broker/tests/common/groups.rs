//! What consumers in a group ask, in any version.

use bytes::Bytes;

use ottla_types::ErrorCode;
use ottla_wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_wire::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use ottla_wire::heartbeat::HeartbeatRequest;
use ottla_wire::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ottla_wire::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use ottla_wire::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};

use super::{Client, Topic, error};

/// Settings with which groups form at once, on few partitions.
pub(crate) const QUICK: &str = "group.initial.rebalance.delay.ms=0\noffsets.topic.num.partitions=3\n";

/// A member of a group, as it was told to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) group: &'static str,
    pub(crate) id: String,
    pub(crate) generation: i32,
}

/// A commit by nobody in particular.
pub(crate) fn simple(group: &'static str) -> Member {
    Member { group, id: String::new(), generation: -1 }
}

/// Asks to join with two protocols.
pub(crate) fn join_request(group: &str, member_id: &str, instance: Option<&str>) -> JoinGroupRequest {
    let protocol = |name: &str| JoinGroupRequestProtocol {
        name: name.into(),
        metadata: Bytes::from(format!("what {name} needs")),
        ..JoinGroupRequestProtocol::default()
    };
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 60_000,
        member_id: member_id.into(),
        group_instance_id: instance.map(Into::into),
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range"), protocol("roundrobin")],
        ..JoinGroupRequest::default()
    }
}

/// Tells an assignment for each of these members, as their leader, or asks for one's own.
pub(crate) fn sync_request(version: i16, member: &Member, assignments: &[(&str, &str)]) -> SyncGroupRequest {
    let assignment = |&(member, assignment): &(&str, &str)| SyncGroupRequestAssignment {
        member_id: member.into(),
        assignment: Bytes::copy_from_slice(assignment.as_bytes()),
        ..SyncGroupRequestAssignment::default()
    };
    SyncGroupRequest {
        group_id: member.group.into(),
        generation_id: member.generation,
        member_id: member.id.as_str().into(),
        protocol_type: (version >= 5).then(|| "consumer".into()),
        protocol_name: (version >= 5).then(|| "range".into()),
        assignments: assignments.iter().map(assignment).collect(),
        ..SyncGroupRequest::default()
    }
}

/// Commits offsets, with the partition's number and the offset as metadata.
pub(crate) fn commit_request(member: &Member, topic: &Topic, offsets: &[(i32, i64)]) -> OffsetCommitRequest {
    let partition = |&(partition_index, committed_offset): &(i32, i64)| OffsetCommitRequestPartition {
        partition_index,
        committed_offset,
        committed_metadata: Some(format!("{partition_index} at {committed_offset}").into()),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: topic.name.clone(),
        topic_id: topic.id,
        partitions: offsets.iter().map(partition).collect(),
        ..OffsetCommitRequestTopic::default()
    };
    OffsetCommitRequest {
        group_id: member.group.into(),
        generation_id_or_member_epoch: member.generation,
        member_id: member.id.as_str().into(),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    }
}

/// Asks for offsets of one group, in any version's way; without a topic for all.
pub(crate) fn fetch_request(
    version: i16,
    group: &str,
    in_topic: Option<&Topic>,
    partitions: &[i32],
) -> OffsetFetchRequest {
    let mut request = OffsetFetchRequest::default();
    if version >= 8 {
        let topic = |topic: &Topic| OffsetFetchRequestTopics {
            name: topic.name.clone(),
            topic_id: topic.id,
            partition_indexes: partitions.to_vec(),
            ..OffsetFetchRequestTopics::default()
        };
        request.groups.push(OffsetFetchRequestGroup {
            group_id: group.into(),
            topics: in_topic.map(|one| vec![topic(one)]),
            ..OffsetFetchRequestGroup::default()
        });
    } else {
        let topic = |topic: &Topic| OffsetFetchRequestTopic {
            name: topic.name.clone(),
            partition_indexes: partitions.to_vec(),
            ..OffsetFetchRequestTopic::default()
        };
        request.group_id = group.into();
        request.topics = in_topic.map(|one| vec![topic(one)]);
    }
    request
}

/// What a group has committed for partitions of a topic: offset, epoch and metadata, or the error.
pub(crate) type Told = Vec<(i32, Result<(i64, i32, String), ErrorCode>)>;

impl Client {
    /// The port that it is connected to.
    pub(crate) fn port(&self) -> u16 {
        self.stream.peer_addr().unwrap().port()
    }

    /// Looks for the coordinator of a group, which makes the offsets topic.
    pub(crate) async fn find_coordinator(&mut self, version: i16, group: &str) -> FindCoordinatorResponse {
        let mut request = FindCoordinatorRequest::default();
        if version >= 4 {
            request.coordinator_keys.push(group.into());
        } else {
            request.key = group.into();
        }
        self.call(version, request).await
    }

    pub(crate) async fn join(&mut self, version: i16, request: JoinGroupRequest) -> JoinGroupResponse {
        self.call(version, request).await
    }

    pub(crate) async fn sync(&mut self, version: i16, request: SyncGroupRequest) -> SyncGroupResponse {
        self.call(version, request).await
    }

    /// Makes this client the only member of a group, with an assignment.
    pub(crate) async fn join_alone(&mut self, group: &'static str) -> Member {
        let told = self.join(9, join_request(group, "", None)).await;
        assert_eq!(error(told.error_code), ErrorCode::MemberIdRequired);
        let joined = self.join(9, join_request(group, &told.member_id, None)).await;
        assert_eq!(error(joined.error_code), ErrorCode::None);
        let id = joined.member_id.as_str().to_owned();
        let member = Member { group, id, generation: joined.generation_id };
        let synced = self.sync(5, sync_request(5, &member, &[(&member.id, "all")])).await;
        assert_eq!((error(synced.error_code), &synced.assignment[..]), (ErrorCode::None, &b"all"[..]));
        member
    }

    /// Leaves a group and makes this client its only member again.
    pub(crate) async fn join_alone_after_leaving(&mut self, member: &Member) -> Member {
        let identity = MemberIdentity { member_id: member.id.as_str().into(), ..MemberIdentity::default() };
        let request = LeaveGroupRequest {
            group_id: member.group.into(),
            members: vec![identity],
            ..LeaveGroupRequest::default()
        };
        assert_eq!(self.call(5, request).await.error_code, 0);
        self.join_alone(member.group).await
    }

    pub(crate) async fn delete_topic(&mut self, name: &str) {
        let topic = DeleteTopicState { name: Some(name.into()), ..DeleteTopicState::default() };
        let request =
            DeleteTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..DeleteTopicsRequest::default() };
        assert_eq!(self.call(6, request).await.responses[0].error_code, 0);
    }

    pub(crate) async fn heartbeat(&mut self, version: i16, member: &Member) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: member.group.into(),
            generation_id: member.generation,
            member_id: member.id.as_str().into(),
            ..HeartbeatRequest::default()
        };
        error(self.call(version, request).await.error_code)
    }

    /// Commits offsets, and tells how each fared.
    pub(crate) async fn commit(
        &mut self,
        version: i16,
        member: &Member,
        topic: &Topic,
        offsets: &[(i32, i64)],
    ) -> Vec<(i32, ErrorCode)> {
        let response = self.call(version, commit_request(member, topic, offsets)).await;
        let [topic] = &response.topics[..] else { panic!("{response:?}") };
        topic.partitions.iter().map(|p| (p.partition_index, error(p.error_code))).collect()
    }

    /// The offsets of a group in some partitions of a topic.
    pub(crate) async fn committed(
        &mut self,
        version: i16,
        group: &str,
        topic: &Topic,
        partitions: &[i32],
    ) -> Told {
        let response = self.call(version, fetch_request(version, group, Some(topic), partitions)).await;
        let one = |index, code, offset, epoch, metadata: &Option<ottla_wire::Str>| {
            let told = (offset, epoch, metadata.as_deref().unwrap().to_owned());
            (index, if code == 0 { Ok(told) } else { Err(error(code)) })
        };
        if version >= 8 {
            let [group] = &response.groups[..] else { panic!("{response:?}") };
            assert_eq!(error(group.error_code), ErrorCode::None);
            let partitions = group.topics[0].partitions.iter();
            return partitions
                .map(|p| {
                    let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
                    one(p.partition_index, p.error_code, offset, epoch, &p.metadata)
                })
                .collect();
        }
        assert_eq!(error(response.error_code), ErrorCode::None);
        let partitions = response.topics[0].partitions.iter();
        partitions
            .map(|p| {
                let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
                one(p.partition_index, p.error_code, offset, epoch, &p.metadata)
            })
            .collect()
    }
}
