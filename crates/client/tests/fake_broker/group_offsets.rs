//! Claims about where a member of a group starts to read, and what it commits.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_client::Error;
use ottla_types::{ErrorCode, Offset};
use ottla_wire::ApiKey;

use super::consumer::offsets;
use super::fake::at;
use super::fake_group::{Group, consumer, group, history, options, poll_until};

const SOON: Duration = Duration::from_secs(30);

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

#[tokio::test]
async fn a_commit_that_comes_too_late_is_an_error_and_the_member_joins_again() {
    let commits = vec![ErrorCode::CoordinatorLoadInProgress, ErrorCode::IllegalGeneration];
    let (broker, shared) = group(Group { commits, ..Group::default() }).await;
    let mut options = options();
    // So that nothing but the commit can tell.
    options.heartbeat_interval = Duration::from_secs(3600);
    let mut consumer = consumer(&broker, options).await;
    consumer.poll(SOON).await.unwrap();
    let error = consumer.commit().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::IllegalGeneration), "the first one passed");
    consumer.poll(SOON).await.unwrap();
    assert_eq!(history(&shared).iter().filter(|event| *event == "join as 'me'").count(), 2);
}

#[tokio::test]
async fn who_is_a_member_no_more_commits_nothing_even_if_the_coordinator_would_take_it() {
    let (broker, _) = group(Group::default()).await;
    let mut options = options();
    options.max_poll_interval = Duration::from_millis(20);
    let mut consumer = consumer(&broker, options).await;
    consumer.poll(SOON).await.unwrap();
    while broker.count(ApiKey::LeaveGroup) == 0 {
        tokio::task::yield_now().await;
    }
    let error = consumer.commit().await.unwrap_err();
    assert!(matches!(error, Error::LeftOut { .. }), "{error}");
    assert_eq!(broker.count(ApiKey::OffsetCommit), 0);
}
