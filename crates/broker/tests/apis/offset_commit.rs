//! OffsetCommit, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::Uuid;
use ottla_wire::offset_commit::OffsetCommitRequest;

use crate::common::groups::{Member, QUICK, commit_request, simple};
use crate::common::{Client, TestBroker, Topic, error};

async fn ready() -> (TestBroker, Client, Topic) {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let topic = client.create_topic("t", 2, &[]).await;
    (broker, client, topic)
}

#[tokio::test]
async fn every_version_commits_what_a_member_or_nobody_in_particular_has_read() {
    let (_broker, mut client, topic) = ready().await;
    let member = client.join_alone("g").await;
    for version in 2..=10 {
        let offset = i64::from(version);
        for who in [&member, &simple("simple")] {
            let told = client.commit(version, who, &topic, &[(1, offset), (0, offset + 1)]).await;
            assert_eq!(told, [(1, ErrorCode::None), (0, ErrorCode::None)], "version {version}");
            let committed = client.committed(9, who.group, &topic, &[0, 1]).await;
            let at = |index: i32, offset: i64| (index, Ok((offset, -1, format!("{index} at {offset}"))));
            assert_eq!(committed, [at(0, offset + 1), at(1, offset)]);
        }
    }
}

#[tokio::test]
async fn from_6_on_the_epoch_of_the_last_record_is_kept_with_the_offset() {
    let (_broker, mut client, topic) = ready().await;
    for version in 6..=10 {
        let mut request = commit_request(&simple("g"), &topic, &[(0, 5)]);
        request.topics[0].partitions[0].committed_leader_epoch = 3;
        client.call(version, request).await;
        let committed = client.committed(9, "g", &topic, &[0]).await;
        assert_eq!(committed, [(0, Ok((5, 3, "0 at 5".to_owned())))]);
    }
}

#[tokio::test]
async fn what_is_not_there_is_refused_and_keeps_nothing_else_from_being_committed() {
    let (_broker, mut client, topic) = ready().await;
    for version in 2..=10 {
        let told = client.commit(version, &simple("g"), &topic, &[(2, 1), (1, 4), (-1, 1)]).await;
        let unknown = ErrorCode::UnknownTopicOrPartition;
        assert_eq!(told, [(2, unknown), (1, ErrorCode::None), (-1, unknown)]);
        let other = Topic { name: "u".into(), id: Uuid([9; 16]) };
        let expected = if version >= 10 { ErrorCode::UnknownTopicId } else { unknown };
        assert_eq!(client.commit(version, &simple("g"), &other, &[(0, 1)]).await, [(0, expected)]);
    }
    assert_eq!(client.find_topic("u").await, None, "a commit makes no topic");
}

#[tokio::test]
async fn who_is_no_member_of_the_generation_commits_nothing() {
    let (_broker, mut client, topic) = ready().await;
    let member = client.join_alone("g").await;
    for version in 2..=10 {
        for (who, expected) in [
            (Member { generation: 9, ..member.clone() }, ErrorCode::IllegalGeneration),
            (Member { id: "x".to_owned(), ..member.clone() }, ErrorCode::UnknownMemberId),
            (simple("g"), ErrorCode::UnknownMemberId),
        ] {
            assert_eq!(client.commit(version, &who, &topic, &[(0, 5)]).await, [(0, expected)]);
        }
        let nowhere = Member { group: "no such group", ..member.clone() };
        let expected = if version >= 9 { ErrorCode::GroupIdNotFound } else { ErrorCode::IllegalGeneration };
        assert_eq!(client.commit(version, &nowhere, &topic, &[(0, 5)]).await, [(0, expected)]);
    }
    assert_eq!(client.committed(9, "g", &topic, &[0]).await, [(0, Ok((-1, -1, String::new())))]);
}

#[tokio::test]
async fn metadata_that_is_too_long_is_refused_for_its_partition() {
    let broker = TestBroker::start_with(&format!("{QUICK}offset.metadata.max.bytes=10\n")).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let topic = client.create_topic("t", 2, &[]).await;
    for version in [2, 10] {
        let mut request = commit_request(&simple("g"), &topic, &[(0, 1), (1, 1)]);
        request.topics[0].partitions[0].committed_metadata = Some("elevenbytes".into());
        let response = client.call(version, request).await;
        let told: Vec<_> = response.topics[0].partitions.iter().map(|p| error(p.error_code)).collect();
        assert_eq!(told, [ErrorCode::OffsetMetadataTooLarge, ErrorCode::None]);
    }
}

#[tokio::test]
async fn a_commit_of_nothing_is_answered_with_nothing() {
    let (_broker, mut client, _) = ready().await;
    for version in [2, 10] {
        let request = OffsetCommitRequest { group_id: "g".into(), ..OffsetCommitRequest::default() };
        assert!(client.call(version, request).await.topics.is_empty());
    }
}

#[tokio::test]
async fn without_the_offsets_topic_nobody_is_the_coordinator() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    for version in 2..=10 {
        let told = client.commit(version, &simple("g"), &topic, &[(0, 5), (7, 5)]).await;
        assert_eq!(told, [(0, ErrorCode::NotCoordinator), (7, ErrorCode::UnknownTopicOrPartition)]);
    }
}
