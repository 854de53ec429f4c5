//! ListGroups, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::list_groups::{ListGroupsRequest, ListedGroup};

use crate::common::groups::{QUICK, simple};
use crate::common::{Client, TestBroker, error};

async fn list(client: &mut Client, version: i16, states: &[&str], types: &[&str]) -> Vec<ListedGroup> {
    let request = ListGroupsRequest {
        states_filter: states.iter().map(|state| (*state).into()).collect(),
        types_filter: types.iter().map(|kind| (*kind).into()).collect(),
        ..ListGroupsRequest::default()
    };
    let mut response = client.call(version, request).await;
    assert_eq!(error(response.error_code), ErrorCode::None);
    response.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    response.groups
}

fn names(groups: &[ListedGroup]) -> Vec<&str> {
    groups.iter().map(|group| group.group_id.as_str()).collect()
}

#[tokio::test]
async fn every_version_lists_the_groups_of_all_partitions() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    assert!(list(&mut client, 0, &[], &[]).await.is_empty(), "also before there is an offsets topic");
    client.find_coordinator(6, "g").await;
    let topic = client.create_topic("t", 1, &[]).await;
    for group in ["a", "b", "c", "d"] {
        client.commit(9, &simple(group), &topic, &[(0, 1)]).await;
    }
    client.join_alone("e").await;
    for version in 0..=5 {
        let groups = list(&mut client, version, &[], &[]).await;
        assert_eq!(names(&groups), ["a", "b", "c", "d", "e"]);
        let told = |group: &ListedGroup| {
            (group.protocol_type.clone(), group.group_state.clone(), group.group_type.clone())
        };
        let of = |state: &'static str| if version >= 4 { state.into() } else { "".into() };
        let kind = || if version >= 5 { "classic".into() } else { "".into() };
        assert_eq!(told(&groups[0]), ("".into(), of("Empty"), kind()));
        assert_eq!(told(&groups[4]), ("consumer".into(), of("Stable"), kind()));
    }
}

#[tokio::test]
async fn groups_can_be_picked_by_state_and_type() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let topic = client.create_topic("t", 1, &[]).await;
    client.commit(9, &simple("offsets"), &topic, &[(0, 1)]).await;
    client.join_alone("members").await;
    for version in 4..=5 {
        assert_eq!(names(&list(&mut client, version, &["stable"], &[]).await), ["members"]);
        assert_eq!(names(&list(&mut client, version, &["Empty", "Dead"], &[]).await), ["offsets"]);
        assert!(list(&mut client, version, &["Dead"], &[]).await.is_empty());
    }
    assert_eq!(names(&list(&mut client, 5, &[], &["Classic"]).await), ["members", "offsets"]);
    assert_eq!(names(&list(&mut client, 5, &["Empty"], &["classic"]).await), ["offsets"]);
    assert!(list(&mut client, 5, &[], &["share"]).await.is_empty());
}
