//! ApiVersions, in all its versions: the first request of nearly every client (KIP-35, KIP-511).

use bytes::{Buf as _, BufMut as _, BytesMut};

use ottla_types::ErrorCode;
use ottla_wire::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_wire::{ApiKey, Audience, Message as _, Reader};

use crate::common::{TestBroker, error, framed};

fn by(name: &str, version: &str) -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: name.into(),
        client_software_version: version.into(),
        ..ApiVersionsRequest::default()
    }
}

/// Key, first and last version of every API.
fn table(response: &ApiVersionsResponse) -> Vec<(i16, i16, i16)> {
    response.api_keys.iter().map(|key| (key.api_key, key.min_version, key.max_version)).collect()
}

/// The APIs that clients may ask for.
fn for_clients() -> impl Iterator<Item = &'static ApiKey> {
    ApiKey::ALL.iter().filter(|api| api.audience() == Audience::Clients)
}

fn expected_table() -> Vec<(i16, i16, i16)> {
    let mut table: Vec<_> = for_clients()
        .map(|api| (api.code(), api.request_schema().versions.first, api.request_schema().versions.last))
        .collect();
    table.sort_unstable();
    // KAFKA-18659: librdkafka looks for version 0 of Produce before it compresses.
    assert_eq!(table[0].0, ApiKey::Produce.code());
    table[0].1 = 0;
    table
}

/// A request that has this version in its header, and a body that nobody can know.
fn request(version: i16) -> bytes::Bytes {
    let mut frame = BytesMut::new();
    frame.put_i16(ApiKey::ApiVersions.code());
    frame.put_i16(version);
    frame.put_i32(4711);
    frame.put_i16(1);
    frame.put_slice(b"c");
    frame.put_u8(0);
    frame.put_slice(b"what a coming version may say");
    framed(&frame)
}

#[tokio::test]
async fn every_version_lists_every_api_with_its_versions() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in 0..=4 {
        let response = client.call(version, by("ottla-test", "1.0")).await;
        assert_eq!((error(response.error_code), response.throttle_time_ms), (ErrorCode::None, 0));
        assert_eq!(table(&response), expected_table(), "version {version}");
        assert!(!response.zk_migration_ready);
    }
}

#[tokio::test]
async fn every_version_that_is_listed_is_answered() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let response = client.call(4, by("ottla-test", "1.0")).await;
    let served = table(&response);
    assert_eq!(served.len(), 40);
    for api in for_clients() {
        assert!(served.iter().any(|(key, ..)| *key == api.code()), "{api}");
    }
}

#[tokio::test]
async fn a_version_that_is_not_known_is_answered_in_version_0_with_the_table() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for version in [5, 99, i16::MAX] {
        client.send_bytes(&request(version)).await;
        let mut answer = client.read_frame().await;
        assert_eq!(answer.get_i32(), 4711);
        let mut body = Reader::new(answer);
        let response = ApiVersionsResponse::decode(&mut body, 0).unwrap();
        assert_eq!(body.remaining(), 0);
        assert_eq!(error(response.error_code), ErrorCode::UnsupportedVersion, "version {version}");
        assert_eq!(table(&response), expected_table());
    }
    let response = client.call(4, by("ottla-test", "1.0")).await;
    assert_eq!(response.error_code, 0, "the client asks again on the same connection");
}

#[tokio::test]
async fn a_client_whose_name_or_version_cannot_be_is_refused_and_may_ask_again() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let good = "ottla-test";
    for (name, software_version) in
        [("", "1"), (good, ""), ("a b", "1"), (good, "1 0"), ("-a", "1"), (good, "ä")]
    {
        for version in [3, 4] {
            let response = client.call(version, by(name, software_version)).await;
            assert_eq!(
                error(response.error_code),
                ErrorCode::InvalidRequest,
                "{name:?} {software_version:?}"
            );
            assert_eq!(response.api_keys.len(), 0);
        }
        for version in 0..=2 {
            let response = client.call(version, by(name, software_version)).await;
            assert_eq!(response.error_code, 0, "these versions do not say who asks");
        }
    }
    assert_eq!(client.call(4, by(good, "1.0")).await.error_code, 0);
}
