//! SyncGroup, in all its versions. What members wait for is in `join_group`.

use ottla_types::ErrorCode;
use ottla_wire::sync_group::SyncGroupRequest;

use crate::common::groups::{Member, QUICK, join_request, sync_request};
use crate::common::{TestBroker, error};

#[tokio::test]
async fn every_version_gives_a_member_what_the_leader_assigned_to_it() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let joined = client.join(3, join_request("g", "", None)).await;
    let member = Member { group: "g", id: joined.member_id.as_str().to_owned(), generation: 1 };
    let all = [(member.id.as_str(), "mine")];
    for version in 0..=5 {
        let synced = client.sync(version, sync_request(version, &member, &all)).await;
        assert_eq!((error(synced.error_code), &synced.assignment[..]), (ErrorCode::None, &b"mine"[..]));
        let protocol = (synced.protocol_type.as_deref(), synced.protocol_name.as_deref());
        assert_eq!(protocol, if version >= 5 { (Some("consumer"), Some("range")) } else { (None, None) });
    }
}

#[tokio::test]
async fn who_is_no_member_of_the_generation_gets_nothing() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let member = client.join_alone("g").await;
    for version in 0..=5 {
        for (other, expected) in [
            (Member { id: "x".to_owned(), ..member.clone() }, ErrorCode::UnknownMemberId),
            (Member { generation: 7, ..member.clone() }, ErrorCode::IllegalGeneration),
            (Member { group: "", ..member.clone() }, ErrorCode::InvalidGroupId),
        ] {
            let refused = client.sync(version, sync_request(version, &other, &[])).await;
            assert_eq!((error(refused.error_code), refused.assignment.len()), (expected, 0));
        }
    }
}

#[tokio::test]
async fn version_5_must_name_the_protocol_that_was_chosen() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let member = client.join_alone("g").await;
    let request = sync_request(5, &member, &[]);
    for other in [
        SyncGroupRequest { protocol_type: None, ..request.clone() },
        SyncGroupRequest { protocol_name: None, ..request.clone() },
        SyncGroupRequest { protocol_name: Some("roundrobin".into()), ..request.clone() },
    ] {
        let refused = client.sync(5, other).await;
        assert_eq!(error(refused.error_code), ErrorCode::InconsistentGroupProtocol);
    }
    assert_eq!(error(client.sync(5, request).await.error_code), ErrorCode::None);
}
