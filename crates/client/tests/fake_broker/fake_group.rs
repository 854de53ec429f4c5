//! A broker that coordinates one group of one or two members, and remembers what happened to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ottla_client::{GroupConsumer, GroupConsumerOptions, OffsetSpec};
use ottla_types::ErrorCode;
use ottla_wire::Request;
use ottla_wire::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use ottla_wire::heartbeat::HeartbeatResponse;
use ottla_wire::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use ottla_wire::leave_group::LeaveGroupResponse;
use ottla_wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_wire::offset_fetch::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use ottla_wire::sync_group::SyncGroupResponse;

use super::consumer::{batch, data, offset_response, respond};
use super::fake::{Bound, FakeBroker, Reply, TOPIC, connect, metadata, topic};
use super::groups::found;

/// What the coordinator does next, and what it was told. Partitions have records up to offset 20.
#[derive(Default)]
pub(super) struct Group {
    /// The codes of the next answers to JoinGroup, SyncGroup, heartbeats and commits; then there is no error.
    pub(super) joins: Vec<ErrorCode>,
    pub(super) syncs: Vec<ErrorCode>,
    pub(super) heartbeats: Vec<ErrorCode>,
    pub(super) commits: Vec<ErrorCode>,
    /// How many partitions the topic has; 2 if it is not said.
    pub(super) partitions: Option<usize>,
    pub(super) generation: i32,
    /// Another member leads, and assigned this.
    pub(super) led_by_other: Option<Vec<i32>>,
    pub(super) committed: BTreeMap<i32, i64>,
    pub(super) log_start: i64,
    /// What happened, in order.
    pub(super) history: Vec<String>,
}

pub(super) type Shared = Arc<Mutex<Group>>;

fn next(codes: &mut Vec<ErrorCode>) -> ErrorCode {
    if codes.is_empty() { ErrorCode::None } else { codes.remove(0) }
}

impl Group {
    fn join(&mut self, request: &JoinGroupRequest) -> JoinGroupResponse {
        self.history.push(format!("join as '{}'", request.member_id));
        assert_eq!(
            (request.protocol_type.as_str(), request.protocols[0].name.as_str()),
            ("consumer", "range")
        );
        let said = ConsumerProtocolSubscription::from_bytes(request.protocols[0].metadata.clone()).unwrap();
        assert_eq!(said.topics, [TOPIC]);
        let code = match next(&mut self.joins) {
            ErrorCode::None if request.member_id.is_empty() => ErrorCode::MemberIdRequired,
            code => code,
        };
        let mut response = JoinGroupResponse {
            error_code: code.code(),
            member_id: "me".into(),
            protocol_name: Some("range".into()),
            ..Default::default()
        };
        if code != ErrorCode::None {
            return response;
        }
        self.generation += 1;
        response.generation_id = self.generation;
        response.leader = "me".into();
        if self.led_by_other.is_some() {
            response.leader = "other".into();
            return response;
        }
        response.members.push(JoinGroupResponseMember {
            member_id: "me".into(),
            metadata: request.protocols[0].metadata.clone(),
            ..Default::default()
        });
        response
    }

    fn sync(&mut self, request: &ottla_wire::sync_group::SyncGroupRequest) -> SyncGroupResponse {
        let code = next(&mut self.syncs);
        assert_eq!((request.member_id.as_str(), request.generation_id), ("me", self.generation));
        let assignment = match &self.led_by_other {
            Some(partitions) => {
                assert!(request.assignments.is_empty());
                let topic = TopicPartition {
                    topic: TOPIC.into(),
                    partitions: partitions.clone(),
                    ..Default::default()
                };
                let assigned_partitions = vec![topic];
                let assigned = ConsumerProtocolAssignment { assigned_partitions, ..Default::default() };
                assigned.to_bytes(0).unwrap()
            }
            None => request.assignments.iter().find(|one| one.member_id == "me").unwrap().assignment.clone(),
        };
        SyncGroupResponse { error_code: code.code(), assignment, ..Default::default() }
    }

    fn commit(&mut self, request: &OffsetCommitRequest) -> OffsetCommitResponse {
        assert_eq!(request.generation_id_or_member_epoch, self.generation);
        let code = next(&mut self.commits);
        let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
        let mut answers = Vec::new();
        for partition in partitions {
            if code == ErrorCode::None {
                self.committed.insert(partition.partition_index, partition.committed_offset);
            }
            answers.push(OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code.code(),
                ..Default::default()
            });
        }
        self.history.push(format!("commit {:?}", self.committed));
        let topic =
            OffsetCommitResponseTopic { name: TOPIC.into(), partitions: answers, ..Default::default() };
        OffsetCommitResponse { topics: vec![topic], ..Default::default() }
    }

    fn offsets(&self, request: &ottla_wire::offset_fetch::OffsetFetchRequest) -> OffsetFetchResponse {
        assert!(request.require_stable);
        let asked = request.groups[0].topics.as_ref().unwrap();
        let partitions = asked[0].partition_indexes.iter().map(|index| OffsetFetchResponsePartitions {
            partition_index: *index,
            committed_offset: self.committed.get(index).copied().unwrap_or(-1),
            ..Default::default()
        });
        let topic = OffsetFetchResponseTopics {
            name: TOPIC.into(),
            partitions: partitions.collect(),
            ..Default::default()
        };
        let group = OffsetFetchResponseGroup {
            group_id: "readers".into(),
            topics: vec![topic],
            ..Default::default()
        };
        OffsetFetchResponse { groups: vec![group], ..Default::default() }
    }

    fn answer(&mut self, request: Request) -> Reply {
        match request {
            Request::JoinGroup(request) => self.join(&request).into(),
            Request::SyncGroup(request) => self.sync(&request).into(),
            Request::Heartbeat(_) => {
                let code = next(&mut self.heartbeats);
                HeartbeatResponse { error_code: code.code(), ..Default::default() }.into()
            }
            Request::LeaveGroup(request) => {
                self.history.push(format!("leave as '{}'", request.members[0].member_id));
                LeaveGroupResponse::default().into()
            }
            Request::OffsetCommit(request) => self.commit(&request).into(),
            Request::OffsetFetch(request) => self.offsets(&request).into(),
            Request::ListOffsets(request) => offset_response(&request, |time| match time {
                -2 => self.log_start,
                _ => 20,
            })
            .into(),
            Request::Fetch(request) => {
                let log_start = self.log_start;
                respond(&request, |_, offset| match offset {
                    20.. => data(ErrorCode::None, Bytes::new()),
                    offset if offset < log_start => data(ErrorCode::OffsetOutOfRange, Bytes::new()),
                    offset => data(ErrorCode::None, batch(&[offset])),
                })
                .into()
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A broker with two partitions and the group, which begins as given.
pub(super) async fn group(group: Group) -> (FakeBroker, Shared) {
    let shared: Shared = Arc::new(Mutex::new(group));
    let bound = Bound::new().await;
    let address = bound.address.clone();
    let brokers = BTreeMap::from([(1, address.clone())]);
    let inner = Arc::clone(&shared);
    let broker = bound.run(move |_, request| match request {
        Request::Metadata(_) => {
            let partitions = inner.lock().unwrap().partitions.unwrap_or(2);
            metadata(&brokers, &vec![1; partitions]).into()
        }
        Request::FindCoordinator(request) => found(&request, &address).into(),
        request => inner.lock().unwrap().answer(request),
    });
    (broker, shared)
}

/// Heartbeats come quickly, and commits only when they are asked for.
pub(super) fn options() -> GroupConsumerOptions {
    let mut options = GroupConsumerOptions::default();
    options.consumer.max_wait = Duration::from_millis(1);
    options.heartbeat_interval = Duration::from_millis(2);
    options.auto_commit_interval = Some(Duration::from_secs(3600));
    options.reset = Some(OffsetSpec::Earliest);
    options
}

pub(super) async fn consumer(broker: &FakeBroker, options: GroupConsumerOptions) -> GroupConsumer {
    GroupConsumer::new(connect(broker).await, "readers", vec![topic()], options)
}

/// Polls until the history has this, and gives what was read.
pub(super) async fn poll_until(consumer: &mut GroupConsumer, shared: &Shared, happened: &str) {
    loop {
        consumer.poll(Duration::from_millis(5)).await.unwrap();
        if shared.lock().unwrap().history.iter().any(|event| event == happened) {
            return;
        }
    }
}

pub(super) fn history(shared: &Shared) -> Vec<String> {
    shared.lock().unwrap().history.clone()
}
