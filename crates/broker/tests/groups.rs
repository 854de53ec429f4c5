//! Groups over the life of their broker and of the topics they read: what outlives a restart, what is loaded, and what
//! becomes of offsets that nobody needs any more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use common::configs::TOPIC;
use common::groups::{
    Member, QUICK, Told, commit_request, fetch_request, join_request, simple, sync_request,
};
use common::{Client, Home, PATIENCE, TestBroker, Topic, error};
use ottla_env::{Clock, Env};
use ottla_records::{BatchBuilder, NewRecord};
use ottla_types::ErrorCode;
use ottla_wire::join_group::JoinGroupRequest;
use ottla_wire::list_groups::ListGroupsRequest;
use ottla_wire::offset_commit::OffsetCommitRequest;

const OFFSETS: &str = "__consumer_offsets";

/// Repeats a question until its answer is right.
async fn until<T: std::fmt::Debug>(mut ask: impl AsyncFnMut() -> T, right: impl Fn(&T) -> bool) -> T {
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        if right(&answer) {
            return answer;
        }
        assert!(tokio::time::Instant::now() < patience, "still {answer:?}");
        tokio::task::yield_now().await;
    }
}

/// The error of a group, once it is loaded.
async fn loaded(client: &mut Client, group: &str) -> ErrorCode {
    let ask = async || {
        let response = client.call(8, fetch_request(8, group, None, &[])).await;
        error(response.groups[0].error_code)
    };
    until(ask, |error| *error != ErrorCode::CoordinatorLoadInProgress).await
}

fn at(partition: i32, offset: i64) -> (i32, Result<(i64, i32, String), ErrorCode>) {
    (partition, Ok((offset, -1, format!("{partition} at {offset}"))))
}

fn none(partition: i32) -> (i32, Result<(i64, i32, String), ErrorCode>) {
    (partition, Ok((-1, -1, String::new())))
}

/// A broker with a topic, and a group that has read some of it.
async fn reading(properties: &str) -> (TestBroker, Client, Topic, Member) {
    let broker = TestBroker::start_with(&format!("{QUICK}{properties}")).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let topic = client.create_topic("t", 3, &[]).await;
    let member = client.join_alone("g").await;
    client.commit(9, &member, &topic, &[(0, 1), (1, 1), (2, 1)]).await;
    client.commit(9, &member, &topic, &[(0, 5), (1, 6)]).await;
    (broker, client, topic, member)
}

async fn goes_on_after(broker: TestBroker, topic: &Topic, member: &Member) {
    let mut client = broker.connect().await;
    assert_eq!(loaded(&mut client, "g").await, ErrorCode::None);
    let committed = client.committed(9, "g", topic, &[0, 1, 2]).await;
    assert_eq!(committed, [at(0, 5), at(1, 6), at(2, 1)]);
    assert_eq!(client.heartbeat(4, member).await, ErrorCode::None, "and it still is a member");
    let stranger = Member { id: "x".to_owned(), ..member.clone() };
    assert_eq!(client.heartbeat(4, &stranger).await, ErrorCode::UnknownMemberId);
    let synced = client.sync(5, sync_request(5, member, &[])).await;
    assert_eq!(&synced.assignment[..], b"all");
    assert_eq!(client.commit(9, member, topic, &[(0, 9)]).await, [(0, ErrorCode::None)]);
    assert_eq!(client.committed(9, "g", topic, &[0]).await, [at(0, 9)]);
}

#[tokio::test]
async fn a_restart_keeps_offsets_members_and_generations() {
    let (broker, _client, topic, member) = reading("").await;
    goes_on_after(broker.restart().await, &topic, &member).await;
}

#[tokio::test]
async fn a_broker_that_was_not_stopped_finds_its_groups_again() {
    let (broker, client, topic, member) = reading("").await;
    drop(client);
    goes_on_after(broker.abandon_and_start().await, &topic, &member).await;
}

#[tokio::test]
async fn every_codec_of_the_offsets_topic_is_read_again() {
    for codec in 1..=4 {
        let (broker, _client, topic, member) =
            reading(&format!("offsets.topic.compression.codec={codec}\n")).await;
        goes_on_after(broker.restart().await, &topic, &member).await;
    }
}

#[tokio::test]
async fn groups_are_loaded_in_pieces_of_any_size() {
    let (broker, _client, topic, member) = reading("offsets.load.buffer.size=1\n").await;
    goes_on_after(broker.restart().await, &topic, &member).await;
}

#[tokio::test]
async fn what_was_deleted_stays_deleted_after_a_restart() {
    let (broker, mut client, topic, _) = reading("").await;
    client.commit(9, &simple("gone"), &topic, &[(0, 1)]).await;
    let groups_names = vec!["gone".into()];
    let request = ottla_wire::delete_groups::DeleteGroupsRequest { groups_names, ..Default::default() };
    assert_eq!(client.call(2, request).await.results[0].error_code, 0);
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    for group in ["g", "gone"] {
        assert_eq!(loaded(&mut client, group).await, ErrorCode::None);
    }
    assert_eq!(client.committed(9, "gone", &topic, &[0]).await, [none(0)]);
    let listed = until(
        async || client.call(5, ListGroupsRequest::default()).await,
        |listed| error(listed.error_code) != ErrorCode::CoordinatorLoadInProgress,
    )
    .await;
    let names: Vec<_> = listed.groups.iter().map(|group| group.group_id.as_str()).collect();
    assert_eq!(names, ["g"]);
}

/// What there is of two groups of which one cannot be loaded. "g" hashes to 103, and "h" to 104.
async fn only_h_is_there(broker: &TestBroker, topic: &Topic, member: &Member) {
    let mut client = broker.connect().await;
    let refused = ErrorCode::CoordinatorNotAvailable;
    assert_eq!(loaded(&mut client, "g").await, refused);
    assert_eq!(loaded(&mut client, "h").await, ErrorCode::None);
    assert_eq!(client.heartbeat(4, member).await, refused);
    assert_eq!(client.commit(9, member, topic, &[(0, 9)]).await, [(0, refused)]);
    let joined = client.join(9, join_request("g", "", None)).await;
    assert_eq!(error(joined.error_code), refused);
    assert_eq!(client.committed(9, "h", topic, &[0]).await, [at(0, 7)]);
    let listed = client.call(5, ListGroupsRequest::default()).await;
    assert_eq!((error(listed.error_code), listed.groups.len()), (refused, 1), "the list has a gap");
}

#[tokio::test]
async fn a_damaged_segment_takes_its_own_groups_away_and_no_others() {
    let (broker, mut client, topic, member) = reading("offsets.topic.segment.bytes=1048576\n").await;
    client.commit(9, &simple("h"), &topic, &[(0, 7)]).await;
    // Enough for a second segment: only the last one is looked at when a log is opened.
    for round in 0..300 {
        let mut request = commit_request(&member, &topic, &[(0, round)]);
        request.topics[0].partitions[0].committed_metadata = Some("x".repeat(4_000).into());
        let response = client.call(9, request).await;
        assert_eq!(response.topics[0].partitions[0].error_code, 0);
    }
    let home = broker.stop().await;
    let log = home.path().join("data").join(format!("{OFFSETS}-{}", 103 % 3));
    let path = log.join("00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    only_h_is_there(&home.start().await, &topic, &member).await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_takes_its_own_groups_away_and_no_others() {
    let (broker, mut client, topic, member) = reading("").await;
    client.commit(9, &simple("h"), &topic, &[(0, 7)]).await;
    // Kafka's administrators may write to the topic, and so write what makes no sense.
    client.client_id = "__admin_client";
    let key = b"\x00\x01\x00";
    let mut batch = BatchBuilder::new();
    batch.push(&NewRecord { timestamp_ms: 1, key: Some(key), value: Some(b""), headers: &[] }).unwrap();
    let written = client.produce_batch(OFFSETS, 103 % 3, batch.build().unwrap()).await;
    assert_eq!(error(written.error_code), ErrorCode::None);
    only_h_is_there(&broker.restart().await, &topic, &member).await;
}

#[tokio::test]
async fn a_topic_that_is_deleted_takes_its_offsets_along_for_good() {
    let (broker, mut client, topic, member) = reading("").await;
    let other = client.create_topic("other", 1, &[]).await;
    client.commit(9, &member, &other, &[(0, 3)]).await;
    client.commit(9, &simple("h"), &topic, &[(0, 3)]).await;
    client.delete_topic("t").await;
    let again = client.create_topic("t", 3, &[]).await;
    for group in ["g", "h"] {
        assert_eq!(client.committed(9, group, &again, &[0, 1]).await, [none(0), none(1)]);
    }
    assert_eq!(client.committed(9, "g", &other, &[0]).await, [at(0, 3)]);
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    for group in ["g", "h"] {
        assert_eq!(loaded(&mut client, group).await, ErrorCode::None);
        assert_eq!(client.committed(9, group, &again, &[0, 1]).await, [none(0), none(1)]);
    }
}

#[tokio::test]
async fn offsets_that_a_deleted_topic_left_behind_are_not_those_of_its_successor() {
    let (broker, mut client, topic, member) = reading("offsets.topic.num.partitions=1\n").await;
    let other = client.create_topic("other", 1, &[]).await;
    client.commit(9, &member, &other, &[(0, 3)]).await;
    let offsets = client.find_topic(OFFSETS).await.unwrap();
    let written = client.fetch_from(13, &offsets, 0).await.records.unwrap();
    client.delete_topic("t").await;
    // As if the broker had been killed when the topic was gone and its offsets were not.
    client.client_id = "__admin_client";
    let copied = client.produce_batch(OFFSETS, 0, common::records::in_one_batch(&written)).await;
    assert_eq!(error(copied.error_code), ErrorCode::None);
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    assert_eq!(loaded(&mut client, "g").await, ErrorCode::None);
    assert_eq!(client.committed(9, "g", &topic, &[0]).await, [none(0)]);
    assert_eq!(client.committed(9, "g", &other, &[0]).await, [at(0, 3)]);
    let successor = client.create_topic("t", 3, &[]).await;
    assert_eq!(client.committed(9, "g", &successor, &[0]).await, [none(0)]);
}

#[tokio::test]
async fn without_its_topic_the_coordinator_is_gone_and_with_a_new_one_it_starts_over() {
    let (broker, mut client, topic, member) = reading("").await;
    // Whoever waits for others is told at once.
    let mut waiting = broker.connect().await;
    waiting.send(3, join_request("g", "", None)).await;
    broker.await_handled(&mut waiting).await;
    client.delete_topic(OFFSETS).await;
    let told = waiting.receive::<JoinGroupRequest>(3).await;
    assert_eq!(error(told.error_code), ErrorCode::NotCoordinator);
    assert_eq!(client.heartbeat(4, &member).await, ErrorCode::NotCoordinator);
    client.find_coordinator(6, "g").await;
    assert_eq!(client.committed(9, "g", &topic, &[0]).await, [none(0)]);
    assert_eq!(client.heartbeat(4, &member).await, ErrorCode::UnknownMemberId);
    client.join_alone("g").await;
}

#[tokio::test]
async fn commits_that_must_be_durable_overlap_and_are_there_after_a_kill() {
    let (broker, mut client, topic, member) = reading("").await;
    client.configure(TOPIC, OFFSETS, "flush.messages", "1").await;
    for offset in 10..60 {
        client.send(9, commit_request(&member, &topic, &[(0, offset)])).await;
    }
    for _ in 10..60 {
        let response = client.receive::<OffsetCommitRequest>(9).await;
        assert_eq!(response.topics[0].partitions[0].error_code, 0);
    }
    assert_eq!(client.committed(9, "g", &topic, &[0]).await, [at(0, 59)]);
    let again = client.join_alone_after_leaving(&member).await;
    assert_eq!(client.heartbeat(4, &again).await, ErrorCode::None);
    drop(client);
    let broker = broker.abandon_and_start().await;
    let mut client = broker.connect().await;
    assert_eq!(loaded(&mut client, "g").await, ErrorCode::None);
    assert_eq!(client.committed(9, "g", &topic, &[0]).await, [at(0, 59)]);
    assert_eq!(client.heartbeat(4, &again).await, ErrorCode::None);
}

/// Clocks that go as the test says.
#[derive(Default)]
struct Clocks {
    passed_ms: AtomicI64,
}

const BEGIN_MS: i64 = 1_800_000_000_000;

impl Clock for Clocks {
    fn wall_ms(&self) -> i64 {
        BEGIN_MS + self.passed_ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.passed_ms.load(Ordering::SeqCst).unsigned_abs())
    }
}

/// A broker whose time the test tells, and which looks at it all the time.
async fn in_its_own_time(properties: &str) -> (TestBroker, Arc<Clocks>) {
    let clocks = Arc::new(Clocks::default());
    let env = Env { clock: Arc::clone(&clocks) as Arc<dyn Clock>, ..Env::real() };
    let properties = format!("{QUICK}offsets.retention.check.interval.ms=1\n{properties}");
    (Home::new(&properties).start_in(env).await, clocks)
}

#[tokio::test]
async fn offsets_expire_when_their_group_has_been_without_members_for_the_retention() {
    let (broker, clocks) = in_its_own_time("offsets.retention.minutes=1\n").await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let topic = client.create_topic("t", 3, &[]).await;
    client.commit(9, &simple("old"), &topic, &[(0, 1)]).await;
    clocks.passed_ms.store(50_000, Ordering::SeqCst);
    client.commit(9, &simple("young"), &topic, &[(0, 1)]).await;
    clocks.passed_ms.store(60_001, Ordering::SeqCst);
    let expired = |told: &Told| *told == [none(0)];
    until(async || client.committed(9, "old", &topic, &[0]).await, expired).await;
    assert_eq!(client.committed(9, "young", &topic, &[0]).await, [at(0, 1)]);
    // It is gone from the log as well.
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    loaded(&mut client, "old").await;
    assert_eq!(client.committed(9, "old", &topic, &[0]).await, [none(0)]);
}

#[tokio::test]
async fn a_member_that_is_silent_for_its_session_is_none_any_more() {
    let (broker, clocks) = in_its_own_time("").await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let member = client.join_alone("g").await;
    clocks.passed_ms.store(20_000, Ordering::SeqCst);
    assert_eq!(client.heartbeat(4, &member).await, ErrorCode::None);
    clocks.passed_ms.store(49_000, Ordering::SeqCst);
    assert_eq!(client.heartbeat(4, &member).await, ErrorCode::None);
    clocks.passed_ms.store(79_001, Ordering::SeqCst);
    let list = async || client.call(5, ListGroupsRequest::default()).await.groups[0].group_state.clone();
    until(list, |state| *state == "Empty").await;
    assert_eq!(client.heartbeat(4, &member).await, ErrorCode::UnknownMemberId);
}

#[tokio::test]
async fn the_first_members_of_a_group_wait_for_others() {
    let (broker, clocks) = in_its_own_time("group.initial.rebalance.delay.ms=3000\n").await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    client.send(3, join_request("g", "", None)).await;
    broker.await_handled(&mut client).await;
    let mut other = broker.connect().await;
    other.send(3, join_request("g", "", None)).await;
    broker.await_handled(&mut other).await;
    // Each that comes makes the others wait again, up to the time for a rebalance.
    let mut observer = broker.connect().await;
    let later = async || {
        clocks.passed_ms.fetch_add(3_000, Ordering::SeqCst);
        observer.call(5, ListGroupsRequest::default()).await.groups[0].group_state.clone()
    };
    until(later, |state| *state == "CompletingRebalance").await;
    let answers = [client.receive::<JoinGroupRequest>(3).await, other.receive::<JoinGroupRequest>(3).await];
    let told: Vec<_> = answers.iter().map(|a| (error(a.error_code), a.generation_id)).collect();
    assert_eq!(told, [(ErrorCode::None, 1), (ErrorCode::None, 1)], "one generation for both");
    assert_eq!(answers[0].members.len() + answers[1].members.len(), 2);
}
