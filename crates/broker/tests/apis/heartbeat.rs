//! Heartbeat, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::heartbeat::HeartbeatRequest;

use crate::common::groups::{Member, QUICK, join_request};
use crate::common::{TestBroker, error};

#[tokio::test]
async fn every_version_tells_a_member_whether_it_is_one() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let member = client.join_alone("g").await;
    for version in 0..=4 {
        for (who, expected) in [
            (member.clone(), ErrorCode::None),
            (Member { id: "x".to_owned(), ..member.clone() }, ErrorCode::UnknownMemberId),
            (Member { generation: 2, ..member.clone() }, ErrorCode::IllegalGeneration),
            (Member { group: "other", ..member.clone() }, ErrorCode::UnknownMemberId),
            (Member { group: "", ..member.clone() }, ErrorCode::InvalidGroupId),
        ] {
            assert_eq!(client.heartbeat(version, &who).await, expected, "version {version}");
        }
    }
}

#[tokio::test]
async fn from_3_on_a_static_member_may_be_fenced_by_its_instance() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let joined = client.join(9, join_request("g", "", Some("i"))).await;
    for version in 3..=4 {
        let request = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: joined.generation_id,
            member_id: "another".into(),
            group_instance_id: Some("i".into()),
            ..HeartbeatRequest::default()
        };
        assert_eq!(error(client.call(version, request).await.error_code), ErrorCode::FencedInstanceId);
    }
}
