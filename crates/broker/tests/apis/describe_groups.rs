//! DescribeGroups, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::describe_groups::{DescribeGroupsRequest, DescribedGroup};

use crate::common::groups::{Member, QUICK, join_request, simple, sync_request};
use crate::common::{Client, TestBroker, error};

async fn describe(client: &mut Client, version: i16, groups: &[&str]) -> Vec<DescribedGroup> {
    let groups = groups.iter().map(|group| (*group).into()).collect();
    client.call(version, DescribeGroupsRequest { groups, ..DescribeGroupsRequest::default() }).await.groups
}

#[tokio::test]
async fn every_version_describes_a_group_with_its_members() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let joined = client.join(9, join_request("g", "", Some("i"))).await;
    let member = Member { group: "g", id: joined.member_id.as_str().to_owned(), generation: 1 };
    client.sync(5, sync_request(5, &member, &[(&member.id, "mine")])).await;
    for version in 0..=6 {
        let groups = describe(&mut client, version, &["g"]).await;
        let [group] = &groups[..] else { panic!("{groups:?}") };
        assert_eq!((error(group.error_code), group.group_id.as_str()), (ErrorCode::None, "g"));
        assert_eq!(group.error_message, None);
        let state = (group.group_state.as_str(), group.protocol_type.as_str(), group.protocol_data.as_str());
        assert_eq!(state, ("Stable", "consumer", "range"));
        assert_eq!(group.authorized_operations, i32::MIN, "nobody asked");
        let [told] = &group.members[..] else { panic!("{group:?}") };
        assert_eq!(told.member_id, member.id.as_str());
        assert_eq!(told.group_instance_id.as_deref(), (version >= 4).then_some("i"));
        assert_eq!((told.client_id.as_str(), told.client_host.as_str()), ("test", "/127.0.0.1"));
        assert_eq!(&told.member_metadata[..], b"what range needs");
        assert_eq!(&told.member_assignment[..], b"mine");
    }
}

#[tokio::test]
async fn groups_of_all_partitions_are_told_each_once_and_in_their_order() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let topic = client.create_topic("t", 1, &[]).await;
    for group in ["a", "b", "c"] {
        client.commit(9, &simple(group), &topic, &[(0, 1)]).await;
    }
    for version in 0..=6 {
        let groups = describe(&mut client, version, &["c", "none", "a", "b", "c"]).await;
        let told: Vec<_> = groups.iter().map(|g| (g.group_id.as_str(), g.group_state.as_str())).collect();
        assert_eq!(told, [("c", "Empty"), ("none", "Dead"), ("a", "Empty"), ("b", "Empty")]);
        let missing = &groups[1];
        let expected = if version >= 6 { ErrorCode::GroupIdNotFound } else { ErrorCode::None };
        assert_eq!(error(missing.error_code), expected);
        assert_eq!(missing.error_message.is_some(), version >= 6);
    }
}

#[tokio::test]
async fn authorized_operations_are_told_from_3_on_when_they_are_asked_for() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    client.join_alone("g").await;
    for version in 3..=6 {
        let request = DescribeGroupsRequest {
            groups: vec!["g".into()],
            include_authorized_operations: true,
            ..DescribeGroupsRequest::default()
        };
        let groups = client.call(version, request).await.groups;
        // Read, delete, describe, and describe and alter the configuration.
        assert_eq!(groups[0].authorized_operations, 0b1101_0100_1000);
    }
}

#[tokio::test]
async fn without_the_offsets_topic_nobody_is_the_coordinator() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    for version in 0..=6 {
        let groups = describe(&mut client, version, &["g"]).await;
        assert_eq!(error(groups[0].error_code), ErrorCode::NotCoordinator);
        assert_eq!((groups[0].group_id.as_str(), groups[0].group_state.as_str()), ("g", ""));
    }
}
