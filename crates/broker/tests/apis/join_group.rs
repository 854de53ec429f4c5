//! JoinGroup, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::join_group::{JoinGroupRequest, JoinGroupResponse};

use crate::common::groups::{Member, QUICK, join_request, sync_request};
use crate::common::{Client, TestBroker, error};

async fn ready(properties: &str) -> (TestBroker, Client) {
    let broker = TestBroker::start_with(&format!("{QUICK}{properties}")).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    (broker, client)
}

#[tokio::test]
async fn every_version_makes_a_member_and_from_4_on_it_is_told_its_id_first() {
    let (_broker, mut client) = ready("").await;
    for version in 0..=9 {
        let group = format!("g{version}");
        let mut joined = client.join(version, join_request(&group, "", None)).await;
        if version >= 4 {
            assert_eq!(error(joined.error_code), ErrorCode::MemberIdRequired);
            assert_eq!((joined.generation_id, joined.leader.as_str()), (-1, ""));
            let id = joined.member_id.clone();
            joined = client.join(version, join_request(&group, &id, None)).await;
            assert_eq!(joined.member_id, id);
        }
        assert_eq!(error(joined.error_code), ErrorCode::None, "version {version}");
        let uuid = joined.member_id.strip_prefix("test-").expect("it begins with the client's id");
        assert_eq!(uuid.len(), 36);
        assert_eq!((joined.generation_id, &joined.leader), (1, &joined.member_id));
        assert_eq!(joined.protocol_type.as_deref(), (version >= 7).then_some("consumer"));
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        let [member] = &joined.members[..] else { panic!("{joined:?}") };
        assert_eq!((&member.member_id, &member.metadata[..]), (&joined.member_id, &b"what range needs"[..]));
        assert!(!joined.skip_assignment);
    }
}

#[tokio::test]
async fn a_static_member_is_known_by_its_instance_from_5_on() {
    let (_broker, mut client) = ready("").await;
    for version in 5..=9 {
        let group = format!("g{version}");
        let joined = client.join(version, join_request(&group, "", Some("i"))).await;
        assert_eq!(error(joined.error_code), ErrorCode::None, "it needs no id first");
        assert!(joined.member_id.starts_with("i-"));
        assert_eq!(joined.members[0].group_instance_id.as_deref(), Some("i"));
    }
}

#[tokio::test]
async fn version_0_has_one_time_for_session_and_rebalance() {
    let (_broker, mut client) = ready("").await;
    let request = JoinGroupRequest { session_timeout_ms: 6_000, ..join_request("g", "", None) };
    let joined = client.join(0, request).await;
    assert_eq!(error(joined.error_code), ErrorCode::None);
}

#[tokio::test]
async fn members_are_answered_together_when_the_last_one_has_joined() {
    let (broker, mut one) = ready("").await;
    let first = one.join_alone("g").await;
    let mut two = broker.connect().await;
    let told = two.join(9, join_request("g", "", None)).await;
    two.send(9, join_request("g", &told.member_id, None)).await;
    broker.await_handled(&mut two).await;
    assert_eq!(one.heartbeat(4, &first).await, ErrorCode::RebalanceInProgress);
    let answers: [JoinGroupResponse; 2] =
        [one.join(9, join_request("g", &first.id, None)).await, two.receive::<JoinGroupRequest>(9).await];
    two.receive_barrier().await;
    for answer in &answers {
        assert_eq!((error(answer.error_code), answer.generation_id), (ErrorCode::None, 2));
        assert_eq!(answer.leader, first.id.as_str());
    }
    assert_eq!((answers[0].members.len(), answers[1].members.len()), (2, 0), "the leader learns of all");
    // The follower asks first, and waits for what the leader says.
    let id = |answer: &JoinGroupResponse| answer.member_id.as_str().to_owned();
    let member = |answer| Member { group: "g", id: id(answer), generation: 2 };
    let (leader, follower) = (member(&answers[0]), member(&answers[1]));
    two.send(5, sync_request(5, &follower, &[])).await;
    broker.await_handled(&mut two).await;
    let all = [(leader.id.as_str(), "of the leader"), (follower.id.as_str(), "of the follower")];
    let synced = one.sync(5, sync_request(5, &leader, &all)).await;
    assert_eq!(&synced.assignment[..], b"of the leader");
    let synced = two.receive::<ottla_wire::sync_group::SyncGroupRequest>(5).await;
    assert_eq!(
        (error(synced.error_code), &synced.assignment[..]),
        (ErrorCode::None, &b"of the follower"[..])
    );
}

#[tokio::test]
async fn a_client_that_goes_while_it_waits_leaves_the_others_alone() {
    let (broker, mut one) = ready("").await;
    let first = one.join_alone("g").await;
    let mut two = broker.connect().await;
    two.send(3, join_request("g", "", None)).await;
    broker.await_handled(&mut two).await;
    drop(two);
    assert_eq!(one.heartbeat(4, &first).await, ErrorCode::RebalanceInProgress);
    let joined = one.join(9, join_request("g", &first.id, None)).await;
    assert_eq!((error(joined.error_code), joined.generation_id), (ErrorCode::None, 2));
}

#[tokio::test]
async fn what_cannot_be_a_member_is_refused() {
    let (_broker, mut client) = ready("group.max.size=1\n").await;
    for (version, protocol_name) in [(0, Some("")), (9, None)] {
        let refused = client.join(version, join_request("", "", None)).await;
        assert_eq!(error(refused.error_code), ErrorCode::InvalidGroupId);
        assert_eq!((refused.generation_id, refused.protocol_name.as_deref()), (-1, protocol_name));
        for session_timeout_ms in [5_999, 1_800_001] {
            let request = JoinGroupRequest { session_timeout_ms, ..join_request("g", "", None) };
            let refused = client.join(version, request).await;
            assert_eq!(error(refused.error_code), ErrorCode::InvalidSessionTimeout);
        }
        let refused = client.join(version, join_request("g", "unknown", None)).await;
        assert_eq!(error(refused.error_code), ErrorCode::UnknownMemberId);
    }
    client.join_alone("full").await;
    let refused = client.join(0, join_request("full", "", None)).await;
    assert_eq!(error(refused.error_code), ErrorCode::GroupMaxSizeReached);
}

#[tokio::test]
async fn without_the_offsets_topic_nobody_is_the_coordinator() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    for version in 0..=9 {
        let refused = client.join(version, join_request("g", "", None)).await;
        assert_eq!(error(refused.error_code), ErrorCode::NotCoordinator);
    }
}
