//! Claims about finding a cluster, its leaders, and administration.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_client::{Client, Error, NewTopic, OffsetSpec};
use ottla_env::Env;
use ottla_types::{BrokerId, ErrorCode, Offset};
use ottla_wire::create_topics::{CreatableTopicResult, CreateTopicsResponse};
use ottla_wire::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse};
use ottla_wire::{ApiKey, Request};

use super::fake::{
    Bound, Reply, TOPIC, TOPIC_ID, alone, at, connect, metadata, options, topic, unknown_topic,
};

#[tokio::test]
async fn bootstrap_servers_are_tried_in_turn() {
    let dead = Bound::new().await.address;
    let broker = alone(1, |_, _| Reply::Silence).await;
    let servers = vec![dead, broker.address.clone()];
    let client = Client::connect(Env::real(), options(servers)).await.unwrap();
    assert_eq!(client.metadata().brokers.len(), 1);
}

#[tokio::test]
async fn when_no_server_answers_each_is_named() {
    let servers = vec![Bound::new().await.address, Bound::new().await.address];
    let error = Client::connect(Env::real(), options(servers.clone())).await.unwrap_err();
    assert_eq!(error.refused(), servers.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_topic_that_is_not_known_yet_is_asked_for_again() {
    let bound = Bound::new().await;
    let brokers = BTreeMap::from([(1, bound.address.clone())]);
    let mut asked = 0;
    let broker = bound.run(move |_, request| match request {
        Request::Metadata(request) if request.topics.as_ref().is_some_and(|topics| !topics.is_empty()) => {
            asked += 1;
            if asked < 3 { unknown_topic(&brokers).into() } else { metadata(&brokers, &[1]).into() }
        }
        _ => metadata(&brokers, &[]).into(),
    });
    let client = Client::connect(Env::real(), options(vec![broker.address.clone()])).await.unwrap();
    // What the first answer said of the topic is that it has no partitions: forget it.
    client.refresh(&[topic()]).await.unwrap();
    let found = client.topic(&topic()).await.unwrap();
    assert_eq!((found.partitions.len(), found.id), (1, TOPIC_ID));
    assert_eq!(client.leader(&at(0)).unwrap().broker, BrokerId(1));
}

#[tokio::test]
async fn a_topic_that_stays_unknown_is_what_the_broker_says_it_is() {
    let bound = Bound::new().await;
    let brokers = BTreeMap::from([(1, bound.address.clone())]);
    let broker = bound.run(move |_, _| unknown_topic(&brokers).into());
    let mut options = options(vec![broker.address.clone()]);
    options.unknown_topic_timeout = Duration::from_millis(20);
    let client = Client::connect(Env::real(), options).await.unwrap();
    let error = client.topic(&topic()).await.unwrap_err();
    assert!(matches!(error, Error::Answered { code: ErrorCode::UnknownTopicOrPartition, .. }), "{error}");
    assert!(error.to_string().contains("for topic orders"), "{error}");
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let mut hangs_up = true;
    let broker = alone(1, move |_, request| match request {
        Request::CreateTopics(_) if std::mem::take(&mut hangs_up) => Reply::HangUp,
        Request::CreateTopics(_) => created(0, None).into(),
        _ => Reply::Silence,
    })
    .await;
    let client = connect(&broker).await;
    let created = client.create_topic(&NewTopic::new(topic())).await.unwrap();
    assert_eq!(created.partitions, Some(3));
    assert_eq!(broker.count(ApiKey::CreateTopics), 2);
    assert_eq!(broker.count(ApiKey::ApiVersions), 2);
}

#[tokio::test]
async fn an_error_that_stays_is_told_with_the_brokers_words() {
    let broker = alone(1, |_, _| created(ErrorCode::InvalidConfig.code(), Some("no such key")).into()).await;
    let error = connect(&broker).await.create_topic(&NewTopic::new(topic())).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("INVALID_CONFIG to CreateTopics for topic orders: no such key"), "{text}");
    assert!(text.starts_with(&broker.address.to_string()), "{text}");
    assert_eq!(broker.count(ApiKey::CreateTopics), 1);
}

#[tokio::test]
async fn administration_finds_the_new_controller() {
    let (first, second) = (Bound::new().await, Bound::new().await);
    let brokers = BTreeMap::from([(1, first.address.clone()), (2, second.address.clone())]);
    let told = brokers.clone();
    let mut controller_id = 1;
    let first = first.run(move |_, request| match request {
        Request::Metadata(_) => {
            let mut response = metadata(&told, &[]);
            response.controller_id = controller_id;
            response.into()
        }
        _ => {
            controller_id = 2;
            created(ErrorCode::NotController.code(), None).into()
        }
    });
    let second = second.run(|_, _| created(0, None).into());
    let client = connect(&first).await;
    client.create_topic(&NewTopic::new(topic())).await.unwrap();
    assert_eq!(first.count(ApiKey::CreateTopics), 1);
    assert_eq!(second.count(ApiKey::CreateTopics), 1);
}

#[tokio::test]
async fn offsets_are_asked_of_each_leader_and_again_where_leadership_moved() {
    let (first, second) = (Bound::new().await, Bound::new().await);
    let brokers = BTreeMap::from([(1, first.address.clone()), (2, second.address.clone())]);
    let told = brokers.clone();
    let mut leaders = [1, 1];
    let first = first.run(move |_, request| match request {
        Request::Metadata(_) => metadata(&told, &leaders).into(),
        _ => {
            leaders = [1, 2];
            offsets(&[(0, 0, 10), (1, ErrorCode::NotLeaderOrFollower.code(), -1)]).into()
        }
    });
    let told = brokers.clone();
    let second = second.run(move |_, request| match request {
        Request::Metadata(_) => metadata(&told, &[1, 2]).into(),
        _ => offsets(&[(1, 0, 20)]).into(),
    });
    let client = connect(&first).await;
    let wanted = [(at(0), OffsetSpec::Earliest), (at(1), OffsetSpec::Latest)];
    let found = client.offsets(wanted).await.unwrap();
    assert_eq!(found[&at(0)], Some(Offset(10)));
    assert_eq!(found[&at(1)], Some(Offset(20)));
    // What the first broker answered is not asked for again.
    let seen = second.seen();
    let Request::ListOffsets(request) = &seen.last().unwrap().1 else { panic!() };
    assert_eq!(request.topics[0].partitions.len(), 1);
    assert_eq!(request.topics[0].partitions[0].timestamp, -1);
    assert_eq!(request.topics[0].partitions[0].current_leader_epoch, 5);
}

fn created(error_code: i16, message: Option<&str>) -> CreateTopicsResponse {
    CreateTopicsResponse {
        topics: vec![CreatableTopicResult {
            name: TOPIC.into(),
            error_code,
            error_message: message.map(Into::into),
            num_partitions: 3,
            replication_factor: 1,
            ..CreatableTopicResult::default()
        }],
        ..CreateTopicsResponse::default()
    }
}

fn offsets(partitions: &[(i32, i16, i64)]) -> ListOffsetsResponse {
    let partition = |&(partition_index, error_code, offset): &(i32, i16, i64)| ListOffsetsPartitionResponse {
        partition_index,
        error_code,
        offset,
        ..ListOffsetsPartitionResponse::default()
    };
    ListOffsetsResponse {
        topics: vec![ListOffsetsTopicResponse {
            name: TOPIC.into(),
            partitions: partitions.iter().map(partition).collect(),
            ..ListOffsetsTopicResponse::default()
        }],
        ..ListOffsetsResponse::default()
    }
}
