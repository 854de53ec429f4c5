//! LeaveGroup, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};

use crate::common::groups::{QUICK, join_request};
use crate::common::{Client, TestBroker, error};

async fn leave(client: &mut Client, version: i16, group: &str, members: &[&str]) -> LeaveGroupResponse {
    let mut request = LeaveGroupRequest { group_id: group.into(), ..LeaveGroupRequest::default() };
    if version >= 3 {
        let identity = |id: &&str| MemberIdentity { member_id: (*id).into(), ..MemberIdentity::default() };
        request.members = members.iter().map(identity).collect();
    } else {
        request.member_id = members[0].into();
    }
    client.call(version, request).await
}

#[tokio::test]
async fn in_every_version_who_leaves_is_no_member_any_more() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    for version in 0..=5 {
        let member = client.join_alone("g").await;
        let left = leave(&mut client, version, "g", &[&member.id]).await;
        assert_eq!(error(left.error_code), ErrorCode::None);
        if version >= 3 {
            let told: Vec<_> = left.members.iter().map(|m| (m.member_id.as_str(), m.error_code)).collect();
            assert_eq!(told, [(member.id.as_str(), 0)]);
        }
        assert_eq!(client.heartbeat(4, &member).await, ErrorCode::UnknownMemberId);
    }
}

#[tokio::test]
async fn members_that_leave_together_are_told_each_for_itself_and_one_alone_is_told_in_the_whole() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let member = client.join_alone("g").await;
    for version in 0..=2 {
        let refused = leave(&mut client, version, "g", &["x"]).await;
        assert_eq!(error(refused.error_code), ErrorCode::UnknownMemberId);
        assert_eq!(
            error(leave(&mut client, version, "", &["x"]).await.error_code),
            ErrorCode::InvalidGroupId
        );
        let refused = leave(&mut client, version, "no such group", &["x"]).await;
        assert_eq!(error(refused.error_code), ErrorCode::UnknownMemberId);
    }
    for version in 3..=5 {
        assert_eq!(
            error(leave(&mut client, version, "", &["x"]).await.error_code),
            ErrorCode::InvalidGroupId
        );
        let left = leave(&mut client, version, "g", &["x", &member.id]).await;
        assert_eq!(error(left.error_code), ErrorCode::None);
        let told: Vec<_> = left.members.iter().map(|m| error(m.error_code)).collect();
        let own = if version == 3 { ErrorCode::None } else { ErrorCode::UnknownMemberId };
        assert_eq!(told, [ErrorCode::UnknownMemberId, own]);
    }
}

#[tokio::test]
async fn an_administrator_removes_a_static_member_by_its_instance() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    for version in 3..=5 {
        client.join(9, join_request("g", "", Some("i"))).await;
        let identity = MemberIdentity { group_instance_id: Some("i".into()), ..MemberIdentity::default() };
        let request = LeaveGroupRequest {
            group_id: "g".into(),
            members: vec![identity],
            ..LeaveGroupRequest::default()
        };
        let left = client.call(version, request).await;
        let told: Vec<_> =
            left.members.iter().map(|m| (m.group_instance_id.as_deref(), error(m.error_code))).collect();
        assert_eq!(told, [(Some("i"), ErrorCode::None)]);
    }
}

#[tokio::test]
async fn ten_thousand_members_leave_at_once() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    // As long as the shortest ids that a coordinator gives, which are a UUID behind a dash.
    let ids: Vec<String> = (0..10_000).map(|n| format!("-{n:036}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for version in 3..=5 {
        let left = leave(&mut client, version, "g", &ids).await;
        assert_eq!((error(left.error_code), left.members.len()), (ErrorCode::None, 10_000));
    }
}
