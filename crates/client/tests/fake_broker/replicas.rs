//! Claims about replicas: asked for, moved, and forgotten with their broker.

use std::collections::BTreeMap;

use ottla_client::{Error, Reassignment};
use ottla_types::{BrokerId, ErrorCode};
use ottla_wire::alter_partition_reassignments::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use ottla_wire::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use ottla_wire::private::describe_replicas::{
    DescribeReplicasRequest, DescribeReplicasResponse, DescribedPartition, DescribedTopic, ReplicasCursor,
};
use ottla_wire::unregister_broker::UnregisterBrokerResponse;
use ottla_wire::{ApiKey, Request};

use super::fake::{Bound, Reply, TOPIC, alone, at, connect, metadata, versions};

/// A page with the partition that is asked for, and another one behind it if `next` says so.
fn page(request: &DescribeReplicasRequest, next: Option<i32>) -> Reply {
    let partition_index = request.cursor.as_ref().map_or(0, |cursor| cursor.partition_index);
    let topic = DescribedTopic {
        name: TOPIC.into(),
        partitions: vec![DescribedPartition { partition_index, ..DescribedPartition::default() }],
        ..DescribedTopic::default()
    };
    let cursor = |partition_index| ReplicasCursor {
        topic_name: TOPIC.into(),
        partition_index,
        ..ReplicasCursor::default()
    };
    let next_cursor = next.map(cursor);
    DescribeReplicasResponse { topics: vec![topic], next_cursor, ..DescribeReplicasResponse::default() }
        .into()
}

#[tokio::test]
async fn all_pages_of_what_a_broker_leads_are_read() {
    let broker = alone(3, |_, request| {
        let Request::DescribeReplicas(request) = request else { return Reply::HangUp };
        let asked = request.cursor.as_ref().map_or(0, |cursor| cursor.partition_index);
        page(&request, Some(asked + 1).filter(|next| *next < 3))
    })
    .await;
    let led = connect(&broker).await.led_partitions(BrokerId(1), None, false).await.unwrap();
    let found: Vec<_> = led.into_iter().map(|one| one.partition).collect();
    assert_eq!(found, [at(0), at(1), at(2)]);
}

#[tokio::test]
async fn pages_that_do_not_go_on_are_an_error_and_not_asked_for_ever() {
    let broker = alone(1, |_, request| match request {
        Request::DescribeReplicas(request) => page(&request, Some(0)),
        Request::DescribeTopicPartitions(_) => {
            let next = Cursor { topic_name: TOPIC.into(), partition_index: 0, ..Cursor::default() };
            let next_cursor = Some(next);
            DescribeTopicPartitionsResponse { next_cursor, ..DescribeTopicPartitionsResponse::default() }
                .into()
        }
        _ => Reply::HangUp,
    })
    .await;
    let client = connect(&broker).await;
    let error = client.led_partitions(BrokerId(1), None, false).await.unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
    let error = client.eligible_replicas(&[]).await.unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
    assert_eq!(broker.count(ApiKey::DescribeReplicas) + broker.count(ApiKey::DescribeTopicPartitions), 4);
}

#[tokio::test]
async fn a_broker_without_the_api_is_told_apart_and_not_asked() {
    let bound = Bound::new().await;
    let brokers = BTreeMap::from([(1, bound.address.clone())]);
    let broker =
        bound.run_with_versions(
            versions(&[(ApiKey::DescribeReplicas, -1)]),
            move |_, request| match request {
                Request::Metadata(_) => metadata(&brokers, &[1]).into(),
                _ => Reply::HangUp,
            },
        );
    let error = connect(&broker).await.led_partitions(BrokerId(1), None, false).await.unwrap_err();
    assert!(matches!(error, Error::UnsupportedApi { api: ApiKey::DescribeReplicas, .. }), "{error}");
    assert_eq!(broker.count(ApiKey::DescribeReplicas), 0);
}

#[tokio::test]
async fn each_partition_that_moves_has_its_own_result_in_the_order_of_the_request() {
    let result = |partition_index, error: ErrorCode, message: Option<&str>| ReassignablePartitionResponse {
        partition_index,
        error_code: error.code(),
        error_message: message.map(Into::into),
        ..ReassignablePartitionResponse::default()
    };
    let refused = ErrorCode::InvalidReplicaAssignment;
    let partitions = vec![result(0, ErrorCode::None, None), result(1, refused, Some("no broker 9"))];
    let answer = AlterPartitionReassignmentsResponse {
        responses: vec![ReassignableTopicResponse {
            name: TOPIC.into(),
            partitions,
            ..ReassignableTopicResponse::default()
        }],
        ..AlterPartitionReassignmentsResponse::default()
    };
    let broker = alone(3, move |_, request| match request {
        Request::AlterPartitionReassignments(_) => answer.clone().into(),
        _ => Reply::HangUp,
    })
    .await;
    let client = connect(&broker).await;
    let to = |partition| Reassignment { partition: at(partition), replicas: Some(vec![BrokerId(9)]) };
    let results = client.reassign(&[to(1), to(0)]).await.unwrap();
    assert_eq!((&results[0].0, &results[1].0), (&at(1), &at(0)));
    let error = results[0].1.as_ref().unwrap_err();
    assert_eq!(error.code(), Some(refused));
    assert!(error.to_string().contains("no broker 9") && results[1].1.is_ok(), "{error}");
    let error = client.reassign(&[to(2)]).await.unwrap_err();
    assert!(error.to_string().contains("orders-2 is not in it"), "{error}");
}

#[tokio::test]
async fn who_may_lead_is_told_for_topics_that_are_there() {
    let broker = alone(1, |_, request| {
        let Request::DescribeTopicPartitions(request) = request else { return Reply::HangUp };
        assert_eq!(request.topics.len(), 1);
        let partition = DescribeTopicPartitionsResponsePartition {
            eligible_leader_replicas: Some(vec![2]),
            last_known_elr: None,
            ..DescribeTopicPartitionsResponsePartition::default()
        };
        let there = DescribeTopicPartitionsResponseTopic {
            name: Some(TOPIC.into()),
            partitions: vec![partition],
            ..DescribeTopicPartitionsResponseTopic::default()
        };
        let error_code = ErrorCode::UnknownTopicOrPartition.code();
        let gone = DescribeTopicPartitionsResponseTopic {
            name: Some("gone".into()),
            error_code,
            ..DescribeTopicPartitionsResponseTopic::default()
        };
        DescribeTopicPartitionsResponse {
            topics: vec![gone, there],
            ..DescribeTopicPartitionsResponse::default()
        }
        .into()
    })
    .await;
    let eligible = connect(&broker).await.eligible_replicas(&[at(0).topic]).await.unwrap();
    assert_eq!(eligible.len(), 1);
    let told = &eligible[&at(0)];
    assert_eq!((&told.elr, &told.last_known), (&Some(vec![BrokerId(2)]), &None));
}

#[tokio::test]
async fn a_broker_that_cannot_be_forgotten_is_named_with_the_reason() {
    let broker = alone(1, |_, request| {
        let Request::UnregisterBroker(request) = request else { return Reply::HangUp };
        assert_eq!(request.broker_id, 7);
        UnregisterBrokerResponse {
            error_code: ErrorCode::BrokerIdNotRegistered.code(),
            error_message: Some("it is not registered".into()),
            ..UnregisterBrokerResponse::default()
        }
        .into()
    })
    .await;
    let error = connect(&broker).await.unregister_broker(BrokerId(7)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::BrokerIdNotRegistered));
    assert!(
        error.to_string().contains("broker 7") && error.to_string().contains("not registered"),
        "{error}"
    );
}
