//! DescribeCluster, in all its versions.

use ottla_types::ErrorCode;
use ottla_wire::describe_cluster::DescribeClusterRequest;

use crate::common::{TestBroker, error};

#[tokio::test]
async fn every_version_tells_the_cluster_its_controller_and_its_brokers() {
    let broker = TestBroker::start_with("broker.rack=r1\n").await;
    let mut client = broker.connect().await;
    for version in 0..=2 {
        let response = client.call(version, DescribeClusterRequest::default()).await;
        assert_eq!((error(response.error_code), &response.error_message), (ErrorCode::None, &None));
        assert_eq!(response.cluster_id, broker.cluster_id());
        assert_eq!((response.controller_id, response.endpoint_type), (1, 1));
        assert_eq!(response.cluster_authorized_operations, i32::MIN, "nobody asked");
        let [node] = &response.brokers[..] else { panic!("{response:?}") };
        assert_eq!((node.broker_id, node.host.as_str()), (1, "127.0.0.1"));
        assert_eq!((node.port, node.rack.as_deref()), (i32::from(broker.address().port()), Some("r1")));
        assert!(!node.is_fenced);
    }
}

#[tokio::test]
async fn authorized_operations_are_told_when_they_are_asked_for() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in 0..=2 {
        let request =
            DescribeClusterRequest { include_cluster_authorized_operations: true, ..Default::default() };
        let response = client.call(version, request).await;
        assert_eq!(response.cluster_authorized_operations, 0b1_1111_1010_0000);
    }
}

#[tokio::test]
async fn fenced_brokers_may_be_asked_for_and_there_are_none() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let request = DescribeClusterRequest { include_fenced_brokers: true, ..Default::default() };
    assert_eq!(client.call(2, request).await.brokers.len(), 1);
}

#[tokio::test]
async fn controllers_are_not_described_at_a_brokers_listener() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in [1, 2] {
        for (endpoint_type, expected) in [
            (2, ErrorCode::MismatchedEndpointType),
            (0, ErrorCode::UnsupportedEndpointType),
            (3, ErrorCode::UnsupportedEndpointType),
        ] {
            let request = DescribeClusterRequest { endpoint_type, ..DescribeClusterRequest::default() };
            let response = client.call(version, request).await;
            assert_eq!(error(response.error_code), expected);
            assert!(response.error_message.is_some() && response.brokers.is_empty());
        }
    }
}
