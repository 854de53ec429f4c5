//! InitProducerId, in all its versions.

use std::collections::BTreeSet;

use ottla_types::ErrorCode;
use ottla_wire::init_producer_id::InitProducerIdRequest;

use crate::common::{Client, TestBroker, error};

/// The request of a producer that has this id and epoch; -1 for none.
fn request(producer_id: i64, producer_epoch: i16) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: 60_000,
        producer_id,
        producer_epoch,
        ..InitProducerIdRequest::default()
    }
}

/// Asks for an id. Returns the error, the id and the epoch.
async fn init(client: &mut Client, version: i16, request: InitProducerIdRequest) -> (ErrorCode, i64, i16) {
    let response = client.call(version, request).await;
    (error(response.error_code), response.producer_id, response.producer_epoch)
}

#[tokio::test]
async fn every_producer_gets_an_id_of_its_own_also_after_a_restart() {
    let mut broker = TestBroker::start().await;
    let mut ids = BTreeSet::new();
    for _ in 0..2 {
        let mut client = broker.connect().await;
        for version in 0..=5 {
            let (error, id, epoch) = init(&mut client, version, request(-1, -1)).await;
            assert_eq!((error, epoch), (ErrorCode::None, 0), "version {version}");
            assert!(id >= 0 && ids.insert(id), "{id} was given out before");
        }
        broker = broker.restart().await;
    }
}

#[tokio::test]
async fn a_producer_that_names_its_id_without_a_transactional_one_gets_a_new_id() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let (_, first, _) = init(&mut client, 5, request(-1, -1)).await;
    for version in 3..=5 {
        let (error, id, epoch) = init(&mut client, version, request(first, 0)).await;
        assert_eq!((error, epoch), (ErrorCode::None, 0));
        assert_ne!(id, first);
    }
    for half in [request(first, -1), request(-1, 0)] {
        assert_eq!(init(&mut client, 3, half).await, (ErrorCode::InvalidRequest, -1, -1));
    }
}

#[tokio::test]
async fn a_transactional_id_is_refused_in_every_version() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in 0..=5 {
        let wanted = InitProducerIdRequest { transactional_id: Some("transfers".into()), ..request(-1, -1) };
        assert_eq!(init(&mut client, version, wanted).await, (ErrorCode::UnsupportedVersion, -1, -1));
        let empty = InitProducerIdRequest { transactional_id: Some("".into()), ..request(-1, -1) };
        assert_eq!(init(&mut client, version, empty).await, (ErrorCode::InvalidRequest, -1, -1));
    }
}
