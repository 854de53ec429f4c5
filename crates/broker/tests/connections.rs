//! Connections to a running broker: how many, how long, and what becomes of clients that misbehave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant};

use bytes::{BufMut as _, BytesMut};

use common::configs::BROKER;
use common::records::{sized, text};
use common::requests::{fetch_request, from_offset};
use common::{Client, PATIENCE, TestBroker, Topic, error, framed, produce_request};
use ottla_types::ErrorCode;
use ottla_wire::api_versions::ApiVersionsRequest;
use ottla_wire::fetch::FetchRequest;
use ottla_wire::metadata::MetadataRequest;
use ottla_wire::produce::ProduceRequest;

fn waiting(topic: &Topic, max_wait_ms: i32) -> FetchRequest {
    FetchRequest { max_wait_ms, ..fetch_request(vec![topic.fetch(vec![from_offset(0, 0)])]) }
}

/// Connects as soon as there is room for another connection.
async fn connect_when_there_is_room(broker: &TestBroker) -> Client {
    let begin = Instant::now();
    loop {
        let mut client = broker.connect().await;
        if client.is_served().await {
            return client;
        }
        assert!(begin.elapsed() < PATIENCE, "a closed connection makes room for another");
    }
}

#[tokio::test]
async fn beyond_max_connections_a_connection_is_closed_until_another_ends() {
    let broker = TestBroker::start_with("max.connections=2\n").await;
    let mut first = broker.connect().await;
    let mut second = broker.connect().await;
    assert!(first.is_served().await && second.is_served().await);
    for _ in 0..3 {
        broker.connect().await.expect_closed().await;
    }
    drop(first);
    let mut third = connect_when_there_is_room(&broker).await;
    assert!(second.is_served().await && third.is_served().await);
}

#[tokio::test]
async fn an_address_has_its_own_limit_which_may_be_an_exception() {
    let broker = TestBroker::start_with("max.connections.per.ip=1\n").await;
    let mut first = broker.connect().await;
    assert!(first.is_served().await);
    broker.connect().await.expect_closed().await;

    let excepted = "max.connections.per.ip=0\nmax.connections.per.ip.overrides=127.0.0.1:2,10.0.0.1:7\n";
    let broker = TestBroker::start_with(excepted).await;
    let mut open = [broker.connect().await, broker.connect().await];
    for client in &mut open {
        assert!(client.is_served().await);
    }
    broker.connect().await.expect_closed().await;
}

#[tokio::test]
async fn limits_on_connections_change_while_the_broker_runs() {
    let broker = TestBroker::start().await;
    let mut admin = broker.connect().await;
    let mut second = broker.connect().await;
    assert!(second.is_served().await);
    for (node, key) in
        [("", "max.connections.per.ip"), ("1", "max.connections.per.ip"), ("", "max.connections")]
    {
        admin.configure(BROKER, node, key, "1").await;
        broker.connect().await.expect_closed().await;
        assert!(second.is_served().await, "those that are open stay so");
        admin.configure(BROKER, node, key, "3").await;
        let mut third = connect_when_there_is_room(&broker).await;
        assert!(third.is_served().await);
        drop(third);
        admin.configure(BROKER, node, key, "1000").await;
    }
    admin.configure(BROKER, "", "max.connections.per.ip", "1").await;
    admin.configure(BROKER, "", "max.connections.per.ip.overrides", "127.0.0.1:1000").await;
    admin.configure(BROKER, "1", "max.connections.per.ip", "1").await;
    assert!(broker.connect().await.is_served().await);
}

/// A request that takes this many bytes, most of them behind the message, where they do not matter.
fn padded(size: usize) -> bytes::Bytes {
    let mut body = BytesMut::new();
    body.put_slice(&[0, 18, 0, 0, 0, 0, 0, 9, 0, 0]);
    body.resize(size, 0);
    framed(&body)
}

#[tokio::test]
async fn a_request_may_be_as_large_as_the_limit_and_no_larger() {
    let broker = TestBroker::start_with("socket.request.max.bytes=1000\n").await;
    let mut client = broker.connect().await;
    client.send_bytes(&padded(1000)).await;
    assert_eq!(client.read_frame().await[..4], [0, 0, 0, 9]);
    client.send_bytes(&1001_u32.to_be_bytes()).await;
    client.expect_closed().await;
}

#[tokio::test]
async fn requests_larger_than_the_memory_for_requests_are_served_one_after_another() {
    let broker = TestBroker::start_with("queued.max.request.bytes=20000\n").await;
    let mut admin = broker.connect().await;
    let topic = admin.create_topic("t", 1, &[]).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = broker.connect().await;
        client.send(13, produce_request(1, vec![topic.records(0, sized(50_000))])).await;
        clients.push(client);
    }
    let mut offsets = Vec::new();
    for mut client in clients {
        let response = client.receive::<ProduceRequest>(13).await;
        offsets.push(response.responses[0].partition_responses[0].base_offset);
    }
    offsets.sort_unstable();
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn bytes_may_come_one_at_a_time_and_many_requests_at_once() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for byte in padded(40) {
        client.send_bytes(&[byte]).await;
    }
    assert_eq!(client.read_frame().await[..4], [0, 0, 0, 9]);
    let mut many = BytesMut::new();
    for _ in 0..500 {
        many.put_slice(&padded(40));
    }
    client.send_bytes(&many).await;
    for _ in 0..500 {
        assert_eq!(client.read_frame().await[..4], [0, 0, 0, 9]);
    }
}

#[tokio::test]
async fn what_is_not_the_protocol_closes_the_connection_and_no_other() {
    let broker = TestBroker::start().await;
    let mut bystander = broker.connect().await;
    let header = |api: i16, version: i16| {
        let mut bytes = BytesMut::new();
        bytes.put_i16(api);
        bytes.put_i16(version);
        bytes.put_slice(&[0, 0, 0, 1, 0, 1, b'c']);
        bytes.put_slice(&[0xff; 40]);
        framed(&bytes)
    };
    let garbage = [
        ("an HTTP request", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".into()),
        ("a TLS hello", bytes::Bytes::from_static(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 7, 7, 7])),
        ("a negative length", (-1_i32).to_be_bytes().to_vec().into()),
        ("an empty frame", framed(&[])),
        ("half a header", framed(&[0, 18, 0])),
        ("an API that there is not", header(999, 0)),
        ("a negative API", header(-1, 0)),
        ("a version that is not served", header(1, 3)),
        ("a version to come", header(1, 19)),
        ("a negative version", header(3, -1)),
        ("a Metadata request that makes no sense", header(3, 12)),
        ("a Produce request that makes no sense", header(0, 3)),
        ("a Fetch request that makes no sense", header(1, 18)),
    ];
    for (what, bytes) in garbage {
        let mut client = broker.connect().await;
        client.send_bytes(&bytes).await;
        client.expect_closed().await;
        assert!(bystander.is_served().await, "after {what}");
    }
}

#[tokio::test]
async fn answers_that_are_ready_go_out_before_garbage_closes_the_connection() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let good = client.frame(4, MetadataRequest::default());
    client.send_bytes(&[&good[..], &good[..], b"\xff\xff\xff\xff"].concat()).await;
    client.read_frame().await;
    client.read_frame().await;
    client.expect_closed().await;
}

#[tokio::test]
async fn a_client_that_sends_nothing_more_gets_the_answers_that_are_ready() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    for _ in 0..50 {
        client.send(0, ApiVersionsRequest::default()).await;
    }
    client.close_write_side().await;
    for _ in 0..50 {
        client.receive::<ApiVersionsRequest>(0).await;
    }
    client.expect_closed().await;
}

#[tokio::test]
async fn nothing_is_waited_for_on_behalf_of_a_client_that_is_gone() {
    let broker = TestBroker::start().await;
    let mut admin = broker.connect().await;
    let topic = admin.create_topic("t", 1, &[]).await;
    let mut client = broker.connect().await;
    client.send(13, waiting(&topic, i32::MAX)).await;
    client.close_write_side().await;
    client.expect_closed().await;
    let mut client = broker.connect().await;
    client.send_bytes(&padded(40)[..20]).await;
    client.close_write_side().await;
    client.expect_closed().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_whose_fetch_waits_is_not() {
    let broker = TestBroker::start_with("connections.max.idle.ms=200\n").await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[]).await;
    let begin = Instant::now();
    let response = client.call(13, waiting(&topic, 1000)).await;
    assert!(begin.elapsed() >= Duration::from_secs(1), "it waited through several idle times");
    assert_eq!(response.responses.len(), 1);
    client.expect_closed().await;
    broker.connect().await.expect_closed().await;
}

#[tokio::test]
async fn a_broker_that_stops_ends_waiting_fetches_and_idle_connections() {
    let broker = TestBroker::start().await;
    let mut idle = broker.connect().await;
    let topic = idle.create_topic("t", 1, &[]).await;
    let mut fetching = broker.connect().await;
    fetching.send(13, waiting(&topic, i32::MAX)).await;
    broker.await_handled(&mut fetching).await;
    let address = broker.address();
    let begin = Instant::now();
    broker.stop().await;
    assert!(begin.elapsed() < Duration::from_secs(4), "connections end by themselves and are not cut");
    idle.expect_closed().await;
    fetching.expect_closed().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_no_other_and_not_the_stop() {
    let broker = TestBroker::start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("t", 1, &[("max.message.bytes", "10000000")]).await;
    let written = client.produce_to(13, 1, &topic, 0, sized(4_000_000)).await;
    assert_eq!(error(written.error_code), ErrorCode::None);
    let mut deaf = broker.connect().await;
    for _ in 0..10 {
        deaf.send(13, waiting(&topic, 0)).await;
    }
    assert!(client.is_served().await);
    let other = client.create_topic("u", 1, &[]).await;
    assert_eq!(client.produce_to(13, 1, &other, 0, text(&["a"])).await.error_code, 0);
    let begin = Instant::now();
    broker.stop().await;
    assert!(begin.elapsed() < Duration::from_secs(4));
}
