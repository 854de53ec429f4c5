//! Claims about one connection.

use std::time::Duration;

use ottla_client::{Address, Connection, ConnectionOptions, Error};
use ottla_env::net::TcpNet;
use ottla_types::ErrorCode;
use ottla_wire::api_versions::{ApiVersion, ApiVersionsResponse};
use ottla_wire::metadata::{MetadataRequest, MetadataResponse};
use ottla_wire::produce::ProduceRequest;
use ottla_wire::{ApiKey, Request, Response};

use super::fake::{Bound, FakeBroker, Reply, versions};

fn named(name: String) -> MetadataResponse {
    MetadataResponse { cluster_id: Some(name.into()), ..MetadataResponse::default() }
}

/// Answers Metadata with the correlation id as the cluster's id.
async fn telling_correlation_ids() -> FakeBroker {
    Bound::new().await.run(|header, _| named(header.correlation_id.to_string()).into())
}

async fn open(address: &Address) -> Result<Connection, Error> {
    Connection::open(&TcpNet, address, &ConnectionOptions::default()).await
}

async fn open_with(address: &Address, options: ConnectionOptions) -> Connection {
    Connection::open(&TcpNet, address, &options).await.unwrap()
}

const PATIENT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn requests_take_the_highest_version_that_both_sides_know() {
    let broker = Bound::new()
        .await
        .run_with_versions(versions(&[(ApiKey::Metadata, 9)]), |_, _| MetadataResponse::default().into());
    let connection = open(&broker.address).await.unwrap();
    connection.call(MetadataRequest::default()).await.unwrap();
    assert_eq!(broker.seen()[0].0.api_version, 9);
    assert_eq!(connection.version(ApiKey::Fetch).unwrap(), ApiKey::Fetch.served().last);
    assert_eq!(connection.version_up_to(ApiKey::Fetch, 12).unwrap(), 12);
}

#[tokio::test]
async fn an_api_that_the_broker_lacks_is_an_error_that_names_both_sides_versions() {
    let table = versions(&[(ApiKey::Metadata, -1), (ApiKey::Fetch, 3)]);
    let broker = Bound::new().await.run_with_versions(table, |_, _| Reply::Silence);
    let connection = open(&broker.address).await.unwrap();
    let error = connection.call(MetadataRequest::default()).await.unwrap_err();
    assert!(matches!(error, Error::UnsupportedApi { api: ApiKey::Metadata, .. }), "{error}");
    let error = connection.version(ApiKey::Fetch).unwrap_err().to_string();
    assert!(error.contains(&broker.address.to_string()) && error.contains("3 to 3"), "{error}");
}

#[tokio::test]
async fn a_broker_that_does_not_know_our_apiversions_is_asked_again_in_a_version_it_knows() {
    for (told, expected) in [(vec![], 0), (vec![(0, 2)], 2)] {
        let refusal = ApiVersionsResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            api_keys: told
                .into_iter()
                .map(|(min_version, max_version)| ApiVersion {
                    api_key: ApiKey::ApiVersions.code(),
                    min_version,
                    max_version,
                    ..ApiVersion::default()
                })
                .collect(),
            ..ApiVersionsResponse::default()
        };
        let broker = Bound::new().await.run_raw(move |header, request| match request {
            Request::ApiVersions(_) if header.api_version > 2 => Reply::AnswerIn(0, refusal.clone().into()),
            Request::ApiVersions(_) => {
                assert_eq!(header.api_version, expected);
                super::fake::every_version().into()
            }
            _ => MetadataResponse::default().into(),
        });
        let connection = open(&broker.address).await.unwrap();
        connection.call(MetadataRequest::default()).await.unwrap();
    }
}

#[tokio::test]
async fn many_requests_are_in_flight_and_each_gets_its_own_answer() {
    let broker = Bound::new().await.run(|header, _| {
        let answer = named(header.correlation_id.to_string());
        // Nothing is answered before the last request has come: correlation id 0 was ApiVersions'.
        if header.correlation_id < 100 { Reply::Keep(answer.into()) } else { answer.into() }
    });
    let connection = open(&broker.address).await.unwrap();
    let pending: Vec<_> =
        (0..100).map(|_| connection.start(MetadataRequest::default(), PATIENT).unwrap()).collect();
    for (index, pending) in pending.into_iter().enumerate() {
        let answer = pending.wait().await.unwrap();
        assert_eq!(answer.cluster_id.unwrap().as_str(), (index + 1).to_string());
    }
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_does_not_disturb_the_next() {
    let broker = telling_correlation_ids().await;
    let connection = open(&broker.address).await.unwrap();
    drop(connection.start(MetadataRequest::default(), PATIENT).unwrap());
    let answer = connection.call(MetadataRequest::default()).await.unwrap();
    assert_eq!(answer.cluster_id.unwrap().as_str(), "2");
}

#[tokio::test]
async fn a_request_that_times_out_ends_the_connection_and_names_broker_and_api() {
    let broker = Bound::new().await.run(|_, _| Reply::Silence);
    let connection = open(&broker.address).await.unwrap();
    let patient = connection.start(MetadataRequest::default(), PATIENT).unwrap();
    let hasty = connection.start(MetadataRequest::default(), Duration::from_millis(20)).unwrap();
    let error = hasty.wait().await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { api: ApiKey::Metadata, .. }), "{error}");
    assert!(error.to_string().contains(&broker.address.to_string()), "{error}");
    let error = patient.wait().await.unwrap_err();
    assert!(matches!(error, Error::Disconnected { .. }), "{error}");
    assert!(error.is_retriable() && error.leaves_doubt());
    let error = connection.call(MetadataRequest::default()).await.unwrap_err();
    assert!(error.to_string().contains("20 ms"), "{error}");
    assert!(connection.is_closed());
}

#[tokio::test]
async fn a_broker_that_hangs_up_fails_what_is_in_flight() {
    let broker = Bound::new().await.run(|_, _| Reply::HangUp);
    let connection = open(&broker.address).await.unwrap();
    let error = connection.call(MetadataRequest::default()).await.unwrap_err();
    assert!(matches!(error, Error::Disconnected { api: ApiKey::Metadata, .. }), "{error}");
}

#[tokio::test]
async fn bytes_that_are_no_answer_end_the_connection() {
    for (bytes, named) in [
        (vec![0x7f, 0xff, 0xff, 0xff], "larger than the 1000 that are allowed"),
        (vec![0xff; 4], "negative"),
        (vec![0, 0, 0, 4, 0, 0, 0, 99], "belongs to request 1"),
        (vec![0, 0, 0, 1, 0], "belongs to request 1"),
    ] {
        let broker = Bound::new().await.run(move |_, _| Reply::Bytes(bytes.clone()));
        let options = ConnectionOptions { max_response_bytes: 1000, ..ConnectionOptions::default() };
        let connection = open_with(&broker.address, options).await;
        let error = connection.call(MetadataRequest::default()).await.unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_decoded_is_named_by_api_and_field_and_the_connection_goes_on() {
    let mut is_first = true;
    let broker = Bound::new().await.run(move |_, _| {
        if std::mem::take(&mut is_first) { Reply::Raw(vec![0; 3]) } else { named("fine".into()).into() }
    });
    let connection = open(&broker.address).await.unwrap();
    let error = connection.call(MetadataRequest::default()).await.unwrap_err();
    assert!(
        matches!(error, Error::BadAnswer { .. }) && error.to_string().contains("throttle_time_ms"),
        "{error}"
    );
    connection.call(MetadataRequest::default()).await.unwrap();
}

#[tokio::test]
async fn produce_without_acks_ends_when_it_is_written_and_takes_no_answer() {
    let broker = Bound::new().await.run(|header, request| match request {
        Request::Produce(_) => Reply::Silence,
        _ => named(header.correlation_id.to_string()).into(),
    });
    let connection = open(&broker.address).await.unwrap();
    let request = ProduceRequest { transactional_id: None, ..ProduceRequest::default() };
    connection.send_unanswered(request, 9).await.unwrap();
    connection.call(MetadataRequest::default()).await.unwrap();
    assert_eq!(broker.count(ApiKey::Produce), 1);
}

#[tokio::test]
async fn a_refused_connection_names_the_address() {
    let address = Bound::new().await.address;
    let error = open(&address).await.unwrap_err();
    assert_eq!(error.refused(), [&address]);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn what_was_sent_is_answered_even_when_the_connection_is_dropped() {
    let broker = telling_correlation_ids().await;
    let connection = open(&broker.address).await.unwrap();
    let pending = connection.start(MetadataRequest::default(), PATIENT).unwrap();
    drop(connection);
    let answer: MetadataResponse = pending.wait().await.unwrap();
    assert_eq!(Response::from(answer).api(), ApiKey::Metadata);
}
