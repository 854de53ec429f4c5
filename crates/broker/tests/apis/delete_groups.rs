//! DeleteGroups, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::delete_groups::DeleteGroupsRequest;

use crate::common::groups::{QUICK, simple};
use crate::common::{Client, TestBroker, error};

async fn delete(client: &mut Client, version: i16, groups: &[&str]) -> Vec<(String, ErrorCode)> {
    let groups_names = groups.iter().map(|group| (*group).into()).collect();
    let request = DeleteGroupsRequest { groups_names, ..DeleteGroupsRequest::default() };
    let results = client.call(version, request).await.results;
    results.iter().map(|r| (r.group_id.as_str().to_owned(), error(r.error_code))).collect()
}

#[tokio::test]
async fn every_version_deletes_groups_without_members_and_their_offsets() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    client.find_coordinator(6, "g").await;
    let topic = client.create_topic("t", 1, &[]).await;
    client.join_alone("members").await;
    for version in 0..=2 {
        for group in ["a", "b", "c"] {
            client.commit(9, &simple(group), &topic, &[(0, 1)]).await;
        }
        let told = delete(&mut client, version, &["c", "none", "members", "a", "c"]).await;
        let expected = [
            ("c", ErrorCode::None),
            ("none", ErrorCode::GroupIdNotFound),
            ("members", ErrorCode::NonEmptyGroup),
            ("a", ErrorCode::None),
        ];
        assert_eq!(told, expected.map(|(group, error)| (group.to_owned(), error)));
        for (group, offset) in [("a", -1), ("b", 1), ("c", -1)] {
            let committed = client.committed(9, group, &topic, &[0]).await;
            assert_eq!(committed[0].1.as_ref().unwrap().0, offset, "{group}");
        }
    }
}

#[tokio::test]
async fn without_the_offsets_topic_nobody_is_the_coordinator() {
    let broker = TestBroker::start_with(QUICK).await;
    let mut client = broker.connect().await;
    for version in 0..=2 {
        let told = delete(&mut client, version, &["g"]).await;
        assert_eq!(told, [("g".to_owned(), ErrorCode::NotCoordinator)]);
    }
}
