//! A broker on a free port of the loopback interface, over a directory of its own, and a client that speaks any version
//! of any API, frame by frame.
//!
//! Whatever a test waits for comes within [`PATIENCE`], or the test fails: no test sleeps to be right.

#![allow(dead_code, reason = "each test binary uses a part of this")]

pub(crate) mod cluster;
pub(crate) mod configs;
pub(crate) mod groups;
pub(crate) mod records;
pub(crate) mod requests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::FutureExt as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use ottla_broker::{Broker, Failure, StartError};
use ottla_env::Env;
use ottla_records::BatchBuilder;
use ottla_types::ErrorCode;
use ottla_types::config::Settings;
use ottla_wire::api::ApiRequest;
use ottla_wire::api_versions::ApiVersionsRequest;
use ottla_wire::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ottla_wire::frame::{LENGTH_SIZE, encode_request};
use ottla_wire::header::parse_response;
use ottla_wire::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_wire::produce::PartitionProduceResponse;
use ottla_wire::{Message as _, Request, RequestHeader};

pub(crate) use records::batch;
pub(crate) use requests::{Topic, produce_request};

/// How long a test waits for what must come. No test is right because of it; a wrong one ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A directory of its own, with the properties of the broker that works on it.
pub(crate) struct Home {
    properties: String,
    dir: TempDir,
}

impl Home {
    /// A new directory, for a broker with these properties, in which `{dir}` stands for the directory.
    pub(crate) fn new(properties: &str) -> Self {
        // Tests use timestamps of any age, so that time removes nothing unless they ask for it.
        let mut all = "node.id=1\nlog.dirs={dir}/data\nlog.retention.ms=-1\n".to_owned();
        if !properties.starts_with("listeners=") {
            all.push_str("listeners=PLAINTEXT://127.0.0.1:0\n");
        }
        all.push_str(properties);
        Self { properties: all, dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) async fn start(self) -> TestBroker {
        let broker = self.try_start("").await.unwrap();
        TestBroker { broker, home: self, barriers: AtomicU32::new(0) }
    }

    /// Starts a broker on another disk or clock than the machine's.
    pub(crate) async fn start_in(self, env: Env) -> TestBroker {
        let broker = self.try_start_in(env, "").await.unwrap();
        TestBroker { broker, home: self, barriers: AtomicU32::new(0) }
    }

    /// Starts a broker, with more properties or others.
    pub(crate) async fn try_start(&self, properties: &str) -> Result<Broker, StartError> {
        self.try_start_in(Env::real(), properties).await
    }

    async fn try_start_in(&self, env: Env, properties: &str) -> Result<Broker, StartError> {
        let text = format!("{}{properties}", self.properties);
        let text = text.replace("{dir}", self.dir.path().to_str().unwrap());
        let (settings, _) = Settings::parse("test.properties", &text).unwrap();
        Broker::start(env, settings).await
    }

    /// Says why no broker starts here, be it for its properties or later.
    pub(crate) async fn refusal(&self) -> String {
        let text = self.properties.replace("{dir}", self.dir.path().to_str().unwrap());
        match Settings::parse("test.properties", &text) {
            Err(problems) => problems.to_string(),
            Ok((settings, _)) => match Broker::start(Env::real(), settings).await {
                Err(error) => error.to_string(),
                Ok(_) => panic!("it starts with {text}"),
            },
        }
    }
}

/// A broker that runs until it is stopped or dropped.
pub(crate) struct TestBroker {
    broker: Broker,
    home: Home,
    barriers: AtomicU32,
}

impl TestBroker {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts with more properties, in which `{dir}` stands for the broker's directory.
    pub(crate) async fn start_with(properties: &str) -> Self {
        Home::new(properties).start().await
    }

    /// Stops the broker in order, and starts it again over the same directory. It listens on another port then.
    pub(crate) async fn restart(self) -> Self {
        self.stop().await.start().await
    }

    /// Stops the broker in order.
    pub(crate) async fn stop(self) -> Home {
        self.broker.stop().await.unwrap();
        self.home
    }

    /// Ends the broker without stopping it, as if its process were killed, and starts another over its directory.
    pub(crate) async fn abandon_and_start(self) -> Self {
        let Self { broker, home, .. } = self;
        drop(broker);
        let begin = std::time::Instant::now();
        loop {
            match home.try_start("").await {
                Ok(broker) => return Self { broker, home, barriers: AtomicU32::new(0) },
                // Its tasks end when they are run next, and with them the locks go.
                Err(error) if begin.elapsed() < PATIENCE && error.to_string().contains("process") => {
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Why the broker cannot go on, if that is so already.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.broker.failed().now_or_never()
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn dir(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn cluster_id(&self) -> &str {
        self.broker.cluster_id()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.broker.listeners()[0].1
    }

    /// Where `/metrics` and `/health` are.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.broker.metrics_address().expect("metrics.listener is set")
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address()).await.unwrap())
    }

    /// Connects to the listener of this name.
    pub(crate) async fn connect_to(&self, listener: &str) -> Client {
        let mut listeners = self.broker.listeners().iter();
        let (_, address) = listeners.find(|(name, _)| name == listener).expect("the listener is open");
        Client::new(TcpStream::connect(address).await.unwrap())
    }

    /// Returns when the broker has handled everything that `client` sent so far, up to what answers still wait for.
    /// A request of its own takes effect after those; its answer goes to waste, or `client` receives it.
    pub(crate) async fn await_handled(&self, client: &mut Client) {
        let name = format!("barrier-{}", self.barriers.fetch_add(1, Ordering::Relaxed));
        client.send(7, create_topics(&name, 1, &[])).await;
        let mut observer = self.connect().await;
        let patience = tokio::time::Instant::now() + PATIENCE;
        while observer.find_topic(&name).await.is_none() {
            assert!(tokio::time::Instant::now() < patience, "the broker does not come to {name}");
        }
    }
}

fn create_topics(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreateTopicsRequest {
    let config = |&(name, value): &(&str, &str)| CreatableTopicConfig {
        name: name.into(),
        value: Some(value.into()),
        ..CreatableTopicConfig::default()
    };
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    };
    CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..CreateTopicsRequest::default() }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    pub(crate) client_id: &'static str,
    next_correlation_id: i32,
    /// The requests whose answers are to be received, in their order.
    unanswered: VecDeque<i32>,
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        Self { stream, client_id: "test", next_correlation_id: 1, unanswered: VecDeque::new() }
    }

    /// Connects to an address.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    /// Sends a request in a version, and waits for the answer.
    pub(crate) async fn call<R>(&mut self, version: i16, request: R) -> R::Response
    where
        R: ApiRequest + Into<Request>,
    {
        self.send(version, request).await;
        self.receive::<R>(version).await
    }

    /// Sends a request that is answered, and does not wait.
    pub(crate) async fn send<R>(&mut self, version: i16, request: R)
    where
        R: ApiRequest + Into<Request>,
    {
        let frame = self.frame(version, request);
        self.unanswered.push_back(self.next_correlation_id);
        self.next_correlation_id += 1;
        self.send_bytes(&frame).await;
    }

    /// Sends a request to which no answer is expected.
    pub(crate) async fn send_silent<R>(&mut self, version: i16, request: R)
    where
        R: ApiRequest + Into<Request>,
    {
        let frame = self.frame(version, request);
        self.next_correlation_id += 1;
        self.send_bytes(&frame).await;
    }

    /// A request as it goes over the wire, with the next correlation id.
    pub(crate) fn frame<R>(&self, version: i16, request: R) -> Bytes
    where
        R: ApiRequest + Into<Request>,
    {
        let mut header = RequestHeader::new(R::API, version, self.next_correlation_id);
        header.client_id = Some(self.client_id.into());
        encode_request(&header, &request.into()).unwrap().into_bytes()
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the broker reads").unwrap();
    }

    /// Waits for the answer to the oldest request that was sent and not answered yet.
    pub(crate) async fn receive<R: ApiRequest>(&mut self, version: i16) -> R::Response {
        let answer = self.read_frame().await;
        let expected = self.unanswered.pop_front().expect("a request that is not answered yet");
        let (header, mut body) = parse_response(answer, R::API, version).unwrap();
        assert_eq!(header.correlation_id, expected, "answers keep the order of their requests");
        let response = R::Response::decode(&mut body, version)
            .unwrap_or_else(|error| panic!("{} v{version}: {error}", R::API));
        assert_eq!(body.remaining(), 0, "{} v{version}: bytes after the response", R::API);
        response
    }

    /// Reads a frame, without its length prefix.
    pub(crate) async fn read_frame(&mut self) -> Bytes {
        let read = async {
            let mut length = [0; LENGTH_SIZE];
            self.stream.read_exact(&mut length).await?;
            let mut frame = vec![0; u32::from_be_bytes(length).try_into().unwrap()];
            self.stream.read_exact(&mut frame).await?;
            Ok::<Bytes, std::io::Error>(frame.into())
        };
        timeout(PATIENCE, read).await.expect("an answer in time").expect("an answer")
    }

    /// Waits until the broker closes the connection, which it does without another byte.
    pub(crate) async fn expect_closed(&mut self) {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("closed in time");
        if let Err(error) = read {
            // What the broker had not read when it closed is answered with a reset.
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        assert_eq!(rest, b"", "bytes before the end");
    }

    /// Whether the broker answers on this connection, and does not close it.
    pub(crate) async fn is_served(&mut self) -> bool {
        let frame = self.frame(0, ApiVersionsRequest::default());
        let exchange = async {
            self.stream.write_all(&frame).await?;
            let mut length = [0; LENGTH_SIZE];
            self.stream.read_exact(&mut length).await?;
            let mut answer = vec![0; u32::from_be_bytes(length).try_into().unwrap()];
            self.stream.read_exact(&mut answer).await
        };
        timeout(PATIENCE, exchange).await.expect("an answer or the end in time").is_ok()
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn close_write_side(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    pub(crate) async fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Topic {
        let response = self.call(7, create_topics(name, partitions, configs)).await;
        let topic = &response.topics[0];
        assert_eq!(error(topic.error_code), ErrorCode::None, "{:?}", topic.error_message);
        Topic { name: topic.name.clone(), id: topic.topic_id }
    }

    /// Takes the answer to the barrier of [`TestBroker::await_handled`].
    pub(crate) async fn receive_barrier(&mut self) {
        let response = self.receive::<CreateTopicsRequest>(7).await;
        assert_eq!(error(response.topics[0].error_code), ErrorCode::None);
    }

    /// The topic of this name, if there is one.
    pub(crate) async fn find_topic(&mut self, name: &str) -> Option<Topic> {
        let wanted = MetadataRequestTopic { name: Some(name.into()), ..MetadataRequestTopic::default() };
        let request = MetadataRequest {
            topics: Some(vec![wanted]),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let topic = self.call(12, request).await.topics.remove(0);
        match error(topic.error_code) {
            ErrorCode::None => Some(Topic { name: topic.name.unwrap(), id: topic.topic_id }),
            ErrorCode::UnknownTopicOrPartition => None,
            error => panic!("{name}: {error}"),
        }
    }

    /// Appends records with these timestamps, in one batch. Returns the offset of the first.
    pub(crate) async fn produce(&mut self, topic: &str, partition: i32, timestamps_ms: &[i64]) -> i64 {
        let response = self.produce_batch(topic, partition, batch(BatchBuilder::new(), timestamps_ms)).await;
        assert_eq!(error(response.error_code), ErrorCode::None, "{:?}", response.error_message);
        response.base_offset
    }

    pub(crate) async fn produce_batch(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Bytes,
    ) -> PartitionProduceResponse {
        let topic = Topic::named(topic);
        let mut response = self.call(9, produce_request(-1, vec![topic.records(partition, batch)])).await;
        response.responses.remove(0).partition_responses.remove(0)
    }
}

/// A frame of these bytes.
pub(crate) fn framed(body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u32(u32::try_from(body.len()).unwrap());
    frame.put_slice(body);
    frame.freeze()
}

/// The error of a code, by name.
pub(crate) fn error(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or_else(|| panic!("{code} is no error code"))
}
