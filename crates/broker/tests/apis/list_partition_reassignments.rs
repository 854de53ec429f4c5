//! ListPartitionReassignments on one node, where nothing moves. What three brokers make of it is in
//! `cluster_administration.rs`.

use ottla_types::ErrorCode;
use ottla_wire::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsTopics,
};

use crate::common::{TestBroker, error};

#[tokio::test]
async fn nothing_moves_of_all_of_some_and_of_what_is_not_there() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 2, &[]).await;
    let named = |name: &str, partition_indexes: &[i32]| ListPartitionReassignmentsTopics {
        name: name.into(),
        partition_indexes: partition_indexes.to_vec(),
        ..ListPartitionReassignmentsTopics::default()
    };
    for topics in [None, Some(Vec::new()), Some(vec![named("t", &[0, 1, 2]), named("u", &[0])])] {
        let request =
            ListPartitionReassignmentsRequest { topics, ..ListPartitionReassignmentsRequest::default() };
        let response = client.call(0, request).await;
        assert_eq!((error(response.error_code), response.error_message), (ErrorCode::None, None));
        assert_eq!(response.topics, []);
    }
}
