//! ElectLeaders on one node, in all its versions. What three brokers make of it is in `cluster_administration.rs`.

use ottla_types::ErrorCode;
use ottla_wire::elect_leaders::{ElectLeadersRequest, ElectLeadersResponse, TopicPartitions};

use crate::common::{TestBroker, error};

fn of(topic: &str, partitions: &[i32]) -> TopicPartitions {
    TopicPartitions { topic: topic.into(), partitions: partitions.to_vec(), ..TopicPartitions::default() }
}

fn request(partitions: Option<Vec<TopicPartitions>>) -> ElectLeadersRequest {
    ElectLeadersRequest { topic_partitions: partitions, ..ElectLeadersRequest::default() }
}

fn told(response: &ElectLeadersResponse) -> Vec<(&str, Vec<(i32, ErrorCode)>)> {
    let topics = response.replica_election_results.iter();
    topics
        .map(|topic| {
            let partitions = topic.partition_result.iter();
            (&*topic.topic, partitions.map(|p| (p.partition_id, error(p.error_code))).collect())
        })
        .collect()
}

#[tokio::test]
async fn every_version_answers_for_each_partition_in_the_order_of_the_request() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 2, &[]).await;
    for version in 0..=2 {
        let response = client.call(version, request(Some(vec![of("t", &[1, 0, 5]), of("u", &[0])]))).await;
        assert_eq!(error(response.error_code), ErrorCode::None);
        let unneeded = ErrorCode::ElectionNotNeeded;
        let unknown = ErrorCode::UnknownTopicOrPartition;
        let expected =
            vec![("t", vec![(1, unneeded), (0, unneeded), (5, unknown)]), ("u", vec![(0, unknown)])];
        assert_eq!(told(&response), expected, "version {version}");
    }
}

#[tokio::test]
async fn of_all_partitions_those_are_told_that_needed_an_election() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 2, &[]).await;
    for version in 0..=2 {
        assert_eq!(told(&client.call(version, request(None)).await), []);
        assert_eq!(told(&client.call(version, request(Some(Vec::new()))).await), [], "none are none");
    }
}

#[tokio::test]
async fn an_election_of_a_kind_that_there_is_not_is_refused_as_a_whole() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    for version in 1..=2 {
        let request = ElectLeadersRequest { election_type: 2, ..request(Some(vec![of("t", &[0])])) };
        let response = client.call(version, request).await;
        assert_eq!(error(response.error_code), ErrorCode::InvalidRequest);
        assert_eq!(told(&response), [("t", vec![(0, ErrorCode::InvalidRequest)])]);
    }
}
