//! Claims about being a member of a group: joining, keeping alive, rebalancing, leaving. What it commits, and where it starts, is
//! in [`super::group_offsets`].

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_types::ErrorCode;
use ottla_wire::join_group::JoinGroupResponse;
use ottla_wire::leave_group::LeaveGroupResponse;
use ottla_wire::{ApiKey, Request};

use super::consumer::offsets;
use super::fake::{Bound, Reply, at, metadata};
use super::fake_group::{Group, consumer, group, history, options};
use super::groups::found;

const SOON: Duration = Duration::from_secs(30);

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
async fn the_leader_has_the_group_rebalance_when_a_topic_has_more_partitions() {
    let (broker, shared) = group(Group::default()).await;
    let mut options = options();
    options.metadata_max_age = Duration::from_millis(2);
    let mut consumer = consumer(&broker, options).await;
    consumer.poll(SOON).await.unwrap();
    assert_eq!(consumer.assignment().len(), 2);
    shared.lock().unwrap().partitions = Some(3);
    while consumer.assignment().len() != 3 {
        consumer.poll(Duration::from_millis(1)).await.unwrap();
    }
    let generation = shared.lock().unwrap().generation;
    for _ in 0..10 {
        consumer.poll(Duration::from_millis(1)).await.unwrap();
    }
    assert_eq!(shared.lock().unwrap().generation, generation, "and not again while they stay");
}

#[tokio::test]
async fn a_poll_that_is_over_while_the_member_joins_does_not_make_it_join_twice() {
    let (broker, shared) = group(Group::default()).await;
    let mut consumer = consumer(&broker, options()).await;
    while !consumer.is_reading() {
        consumer.poll(Duration::ZERO).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(history(&shared), ["join as ''", "join as 'me'"]);
}

#[tokio::test]
async fn who_is_closed_before_it_is_in_leaves_without_waiting_for_the_group() {
    let bound = Bound::new().await;
    let address = bound.address.clone();
    let brokers = BTreeMap::from([(1, address.clone())]);
    let broker = bound.run(move |_, request| match request {
        Request::Metadata(_) => metadata(&brokers, &[1, 1]).into(),
        Request::FindCoordinator(request) => found(&request, &address).into(),
        Request::JoinGroup(request) if request.member_id.is_empty() => JoinGroupResponse {
            error_code: ErrorCode::MemberIdRequired.code(),
            member_id: "me".into(),
            protocol_name: Some("range".into()),
            ..Default::default()
        }
        .into(),
        Request::JoinGroup(_) => Reply::Silence,
        Request::LeaveGroup(_) => LeaveGroupResponse::default().into(),
        other => panic!("{other:?}"),
    });
    let mut consumer = consumer(&broker, options()).await;
    while broker.count(ApiKey::JoinGroup) < 2 {
        consumer.poll(Duration::from_millis(1)).await.unwrap();
    }
    consumer.close().await.unwrap();
    let seen = broker.seen();
    let left = seen.iter().find(|(header, _)| header.api == ApiKey::LeaveGroup);
    let (header, _) = left.expect("it leaves");
    assert_eq!(header.correlation_id, 1, "not behind the JoinGroup, which the broker answers first");
}
