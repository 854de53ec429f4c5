//! UnregisterBroker on one node. What three brokers make of it is in `cluster_administration.rs`.

use ottla_types::ErrorCode;
use ottla_wire::unregister_broker::UnregisterBrokerRequest;

use crate::common::{TestBroker, error};

#[tokio::test]
async fn a_broker_that_is_not_registered_cannot_be_forgotten() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for id in [2, -1] {
        let request = UnregisterBrokerRequest { broker_id: id, ..UnregisterBrokerRequest::default() };
        let response = client.call(0, request).await;
        assert_eq!(error(response.error_code), ErrorCode::BrokerIdNotRegistered);
        let message = response.error_message.unwrap();
        assert!(message.contains(&format!("Broker ID {id}")), "{message}");
    }
}

#[tokio::test]
async fn the_only_broker_that_is_forgotten_is_back_when_it_is_started_again() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, &[1]).await;
    let request = UnregisterBrokerRequest { broker_id: 1, ..UnregisterBrokerRequest::default() };
    assert_eq!(error(client.call(0, request).await.error_code), ErrorCode::None);
    let broker = broker.restart().await;
    let mut client = broker.connect().await;
    client.produce("t", 0, &[2]).await;
}
