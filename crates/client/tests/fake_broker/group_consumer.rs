//! Claims about being a member of a group: joining, keeping alive, rebalancing, committing, leaving.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ottla_client::{Error, GroupConsumer, GroupConsumerOptions, OffsetSpec};
use ottla_types::{ErrorCode, Offset};
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
use ottla_wire::{ApiKey, Request};

use super::consumer::{batch, data, offset_response, offsets, respond};
use super::fake::{Bound, FakeBroker, Reply, TOPIC, at, connect, metadata, topic};
use super::groups::found;

const SOON: Duration = Duration::from_secs(30);

/// What the coordinator does next, and what it was told. Partitions have records up to offset 20.
#[derive(Default)]
struct Group {
    /// The codes of the next answers to JoinGroup, SyncGroup and heartbeats; then there is no error.
    joins: Vec<ErrorCode>,
    syncs: Vec<ErrorCode>,
    heartbeats: Vec<ErrorCode>,
    generation: i32,
    /// Another member leads, and assigned this.
    led_by_other: Option<Vec<i32>>,
    committed: BTreeMap<i32, i64>,
    log_start: i64,
    /// What happened, in order.
    history: Vec<String>,
}

type Shared = Arc<Mutex<Group>>;

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
        let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
        let mut answers = Vec::new();
        for partition in partitions {
            self.committed.insert(partition.partition_index, partition.committed_offset);
            answers.push(OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
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
async fn group(group: Group) -> (FakeBroker, Shared) {
    let shared: Shared = Arc::new(Mutex::new(group));
    let bound = Bound::new().await;
    let address = bound.address.clone();
    let brokers = BTreeMap::from([(1, address.clone())]);
    let inner = Arc::clone(&shared);
    let broker = bound.run(move |_, request| match request {
        Request::Metadata(_) => metadata(&brokers, &[1, 1]).into(),
        Request::FindCoordinator(request) => found(&request, &address).into(),
        request => inner.lock().unwrap().answer(request),
    });
    (broker, shared)
}

/// Heartbeats come quickly, and commits only when they are asked for.
fn options() -> GroupConsumerOptions {
    let mut options = GroupConsumerOptions::default();
    options.consumer.max_wait = Duration::from_millis(1);
    options.heartbeat_interval = Duration::from_millis(2);
    options.auto_commit_interval = Some(Duration::from_secs(3600));
    options.reset = Some(OffsetSpec::Earliest);
    options
}

async fn consumer(broker: &FakeBroker, options: GroupConsumerOptions) -> GroupConsumer {
    GroupConsumer::new(connect(broker).await, "readers", vec![topic()], options)
}

/// Polls until the history has this, and gives what was read.
async fn poll_until(consumer: &mut GroupConsumer, shared: &Shared, happened: &str) {
    loop {
        consumer.poll(Duration::from_millis(5)).await.unwrap();
        if shared.lock().unwrap().history.iter().any(|event| event == happened) {
            return;
        }
    }
}

fn history(shared: &Shared) -> Vec<String> {
    shared.lock().unwrap().history.clone()
}

#[tokio::test]
async fn a_member_joins_with_the_id_it_gets_reads_from_the_groups_offsets_and_leaves() {
    let committed = BTreeMap::from([(0, 18)]);
    let (broker, shared) = group(Group { committed, ..Group::default() }).await;
    let mut consumer = consumer(&broker, options()).await;
    let mut read = BTreeMap::<i32, Vec<i64>>::new();
    while read.values().map(Vec::len).sum::<usize>() < 22 {
        for record in consumer.poll(SOON).await.unwrap() {
            read.entry(record.partition.partition).or_default().push(record.offset.0);
        }
    }
    assert_eq!(read[&0], [18, 19]);
    assert_eq!(read[&1], (0..20).collect::<Vec<_>>());
    assert_eq!(consumer.assignment(), [at(0), at(1)]);
    consumer.close().await.unwrap();
    let expected = ["join as ''", "join as 'me'", "commit {0: 20, 1: 20}", "leave as 'me'"];
    assert_eq!(history(&shared), expected);
}

#[tokio::test]
async fn who_does_not_lead_takes_what_the_leader_assigned() {
    let led_by_other = Some(vec![1]);
    let (broker, _) = group(Group { led_by_other, ..Group::default() }).await;
    let mut consumer = consumer(&broker, options()).await;
    let records = consumer.poll(SOON).await.unwrap();
    assert_eq!(offsets(&records), [0]);
    assert_eq!(consumer.assignment(), [at(1)]);
}

#[tokio::test]
async fn a_member_without_partitions_reads_nothing_and_stays() {
    let led_by_other = Some(Vec::new());
    let (broker, _) = group(Group { led_by_other, ..Group::default() }).await;
    let mut consumer = consumer(&broker, options()).await;
    while broker.count(ApiKey::Heartbeat) < 3 {
        assert_eq!(consumer.poll(Duration::from_millis(1)).await.unwrap(), []);
    }
    assert!(consumer.is_reading());
}

#[tokio::test]
async fn a_rebalance_commits_what_was_read_before_it_joins_again() {
    let (broker, shared) = group(Group::default()).await;
    let mut consumer = consumer(&broker, options()).await;
    let records = consumer.poll(SOON).await.unwrap();
    let first = records[0].partition.partition;
    shared.lock().unwrap().heartbeats = vec![ErrorCode::RebalanceInProgress];
    while broker.count(ApiKey::JoinGroup) < 3 {
        consumer.poll(Duration::from_millis(1)).await.unwrap();
    }
    let history = history(&shared);
    assert_eq!(history[..2], ["join as ''", "join as 'me'"]);
    assert!(history[2].starts_with("commit {") && history[2].contains(&format!("{first}: ")), "{history:?}");
    assert_eq!(history[3], "join as 'me'");
}

#[tokio::test]
async fn a_member_that_the_group_forgot_joins_as_a_new_one_and_commits_nothing() {
    let (broker, shared) = group(Group::default()).await;
    let mut consumer = consumer(&broker, options()).await;
    consumer.poll(SOON).await.unwrap();
    shared.lock().unwrap().heartbeats = vec![ErrorCode::UnknownMemberId];
    while broker.count(ApiKey::JoinGroup) < 4 {
        consumer.poll(Duration::from_millis(1)).await.unwrap();
    }
    assert_eq!(history(&shared), ["join as ''", "join as 'me'", "join as ''", "join as 'me'"]);
}

#[tokio::test]
async fn a_member_of_an_old_generation_joins_again_with_its_id() {
    let (broker, shared) = group(Group::default()).await;
    let mut consumer = consumer(&broker, options()).await;
    consumer.poll(SOON).await.unwrap();
    shared.lock().unwrap().heartbeats = vec![ErrorCode::IllegalGeneration];
    while broker.count(ApiKey::JoinGroup) < 3 {
        consumer.poll(Duration::from_millis(1)).await.unwrap();
    }
    assert_eq!(history(&shared), ["join as ''", "join as 'me'", "join as 'me'"]);
}

#[tokio::test]
async fn joining_goes_on_through_whatever_may_pass() {
    let joins = vec![
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::NotCoordinator,
        ErrorCode::CoordinatorNotAvailable,
        ErrorCode::None,
        ErrorCode::UnknownMemberId,
    ];
    let syncs = vec![ErrorCode::RebalanceInProgress, ErrorCode::IllegalGeneration];
    let (broker, shared) = group(Group { joins, syncs, ..Group::default() }).await;
    let mut consumer = consumer(&broker, options()).await;
    consumer.poll(SOON).await.unwrap();
    // Thrice until it has an id, which is lost at once; then with a new one until it may stay.
    let expected: Vec<String> =
        ["", "", "", "", "me", "", "me", "me", "me"].map(|id| format!("join as '{id}'")).to_vec();
    assert_eq!(history(&shared), expected);
}

#[tokio::test]
async fn joining_ends_with_an_error_that_does_not_pass() {
    let joins = vec![ErrorCode::InconsistentGroupProtocol];
    let (broker, _) = group(Group { joins, ..Group::default() }).await;
    let mut consumer = consumer(&broker, options()).await;
    let error = consumer.poll(SOON).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::InconsistentGroupProtocol));
    assert_eq!(broker.count(ApiKey::JoinGroup), 1);
    // Who asks again tries again.
    consumer.poll(SOON).await.unwrap();
}

#[tokio::test]
async fn an_instance_that_another_process_took_over_stops() {
    let heartbeats = vec![ErrorCode::FencedInstanceId];
    let (broker, _) = group(Group { heartbeats, ..Group::default() }).await;
    let mut consumer = consumer(&broker, options()).await;
    let error = loop {
        if let Err(error) = consumer.poll(Duration::from_millis(1)).await {
            break error;
        }
    };
    assert_eq!(error.code(), Some(ErrorCode::FencedInstanceId));
    assert_eq!(consumer.assignment(), []);
}

#[tokio::test]
async fn what_poll_gave_is_committed_in_time_once_it_is_called_again() {
    let led_by_other = Some(vec![0]);
    let (broker, shared) = group(Group { led_by_other, ..Group::default() }).await;
    let mut options = options();
    options.auto_commit_interval = Some(Duration::from_millis(1));
    let mut consumer = consumer(&broker, options).await;
    while consumer.poll(SOON).await.unwrap().last().unwrap().offset != Offset(19) {}
    // All is given out, and the last record is not done with before the next call.
    assert_ne!(shared.lock().unwrap().committed.get(&0), Some(&20));
    poll_until(&mut consumer, &shared, "commit {0: 20}").await;
    let commits = broker.count(ApiKey::OffsetCommit);
    for _ in 0..5 {
        consumer.poll(Duration::from_millis(2)).await.unwrap();
    }
    assert_eq!(broker.count(ApiKey::OffsetCommit), commits, "nothing new is not committed");
}

#[tokio::test]
async fn without_auto_commit_only_commit_commits() {
    let led_by_other = Some(vec![0]);
    let (broker, shared) = group(Group { led_by_other, ..Group::default() }).await;
    let mut options = options();
    options.auto_commit_interval = None;
    let mut consumer = consumer(&broker, options).await;
    consumer.poll(SOON).await.unwrap();
    consumer.commit().await.unwrap();
    consumer.poll(SOON).await.unwrap();
    consumer.close().await.unwrap();
    assert_eq!(shared.lock().unwrap().committed, BTreeMap::from([(0, 1)]));
}

#[tokio::test]
async fn a_position_that_was_sought_is_what_is_read_and_committed() {
    let led_by_other = Some(vec![0]);
    let (broker, shared) = group(Group { led_by_other, ..Group::default() }).await;
    let mut consumer = consumer(&broker, options()).await;
    consumer.poll(SOON).await.unwrap();
    consumer.seek(&at(0), Offset(7));
    assert_eq!(offsets(&consumer.poll(SOON).await.unwrap())[0], 7);
    consumer.seek(&at(0), Offset(3));
    consumer.pause(&at(0));
    assert_eq!(consumer.poll(Duration::from_millis(20)).await.unwrap(), []);
    consumer.close().await.unwrap();
    assert_eq!(shared.lock().unwrap().committed, BTreeMap::from([(0, 3)]));
}

#[tokio::test]
async fn a_static_member_does_not_leave() {
    let (broker, shared) = group(Group::default()).await;
    let mut options = options();
    options.instance_id = Some("reader-1".to_owned());
    let mut consumer = consumer(&broker, options).await;
    consumer.poll(SOON).await.unwrap();
    consumer.close().await.unwrap();
    assert_eq!(broker.count(ApiKey::LeaveGroup), 0);
    let joined = broker.seen().into_iter().find_map(|(_, request)| match request {
        Request::JoinGroup(request) => request.group_instance_id,
        _ => None,
    });
    assert_eq!(joined.as_deref(), Some("reader-1"));
    drop(shared);
}

#[tokio::test]
async fn who_does_not_come_back_for_records_leaves_and_joins_anew_when_it_does() {
    let (broker, shared) = group(Group::default()).await;
    let mut options = options();
    options.max_poll_interval = Duration::from_millis(20);
    let mut consumer = consumer(&broker, options).await;
    consumer.poll(SOON).await.unwrap();
    while broker.count(ApiKey::LeaveGroup) == 0 {
        tokio::task::yield_now().await;
    }
    while !history(&shared).ends_with(&["leave as 'me'".into(), "join as ''".into(), "join as 'me'".into()]) {
        consumer.poll(Duration::from_millis(1)).await.unwrap();
    }
}

#[tokio::test]
async fn an_offset_that_is_gone_is_replaced_by_the_rule_or_is_an_error() {
    let gone = || Group {
        led_by_other: Some(vec![0]),
        committed: BTreeMap::from([(0, 2)]),
        log_start: 5,
        ..Group::default()
    };
    let (broker, _) = group(gone()).await;
    let mut by_rule = consumer(&broker, options()).await;
    assert_eq!(offsets(&by_rule.poll(SOON).await.unwrap())[0], 5);

    let (broker, _) = group(gone()).await;
    let mut options = options();
    options.reset = None;
    let mut without = consumer(&broker, options).await;
    let error = without.poll(SOON).await.unwrap_err();
    assert!(matches!(error, Error::OffsetOutOfRange { log_start: Offset(5), .. }), "{error}");
}

#[tokio::test]
async fn a_partition_without_an_offset_needs_a_rule() {
    let (broker, _) = group(Group::default()).await;
    let mut options = options();
    options.reset = None;
    let mut consumer = consumer(&broker, options).await;
    let error = consumer.poll(SOON).await.unwrap_err();
    assert!(matches!(error, Error::NoCommittedOffset { .. }), "{error}");
}
