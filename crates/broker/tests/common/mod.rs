//! A broker on a free port of the loopback interface, over a directory of its own, and a client that speaks any version
//! of any API, frame by frame.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use bytes::Bytes;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use ottla_broker::Broker;
use ottla_env::Env;
use ottla_records::{BatchBuilder, NewRecord};
use ottla_types::ErrorCode;
use ottla_types::config::Settings;
use ottla_wire::api::ApiRequest;
use ottla_wire::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ottla_wire::frame::{LENGTH_SIZE, encode_request};
use ottla_wire::header::parse_response;
use ottla_wire::produce::{PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData};
use ottla_wire::{Message as _, Request, RequestHeader};

/// A broker that runs until it is stopped or dropped.
pub(crate) struct TestBroker {
    broker: Broker,
    settings: Settings,
    dir: TempDir,
}

impl TestBroker {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts with more properties, in which `{dir}` stands for the broker's directory.
    pub(crate) async fn start_with(properties: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text =
            format!("node.id=1\nlisteners=PLAINTEXT://127.0.0.1:0\nlog.dirs={{dir}}/data\n{properties}");
        let text = text.replace("{dir}", dir.path().to_str().unwrap());
        let (settings, _) = Settings::parse("test.properties", &text).unwrap();
        let broker = Broker::start(Env::real(), settings.clone()).await.unwrap();
        Self { broker, settings, dir }
    }

    /// Stops the broker in order, and starts it again over the same directory. It listens on another port then.
    pub(crate) async fn restart(self) -> Self {
        let Self { broker, settings, dir } = self;
        broker.stop().await.unwrap();
        let broker = Broker::start(Env::real(), settings.clone()).await.unwrap();
        Self { broker, settings, dir }
    }

    pub(crate) async fn stop(self) {
        self.broker.stop().await.unwrap();
    }

    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(crate) async fn connect(&self) -> Client {
        let (_, address) = &self.broker.listeners()[0];
        Client { stream: TcpStream::connect(address).await.unwrap(), correlation_id: 0 }
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    /// Sends a request in a version, and waits for the answer.
    pub(crate) async fn call<R>(&mut self, version: i16, request: R) -> R::Response
    where
        R: ApiRequest + Into<Request>,
    {
        self.correlation_id += 1;
        let mut header = RequestHeader::new(R::API, version, self.correlation_id);
        header.client_id = Some("test".into());
        let frame = encode_request(&header, &request.into()).unwrap().into_bytes();
        self.stream.write_all(&frame).await.unwrap();
        let answer = self.read_frame().await;
        let (header, mut body) = parse_response(answer, R::API, version).unwrap();
        assert_eq!(header.correlation_id, self.correlation_id);
        R::Response::decode(&mut body, version)
            .unwrap_or_else(|error| panic!("{} v{version}: {error}", R::API))
    }

    async fn read_frame(&mut self) -> Bytes {
        let mut length = [0; LENGTH_SIZE];
        self.stream.read_exact(&mut length).await.unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length).try_into().unwrap()];
        self.stream.read_exact(&mut frame).await.unwrap();
        frame.into()
    }

    pub(crate) async fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
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
        let request =
            CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..CreateTopicsRequest::default() };
        let response = self.call(7, request).await;
        assert_eq!(
            error(response.topics[0].error_code),
            ErrorCode::None,
            "{:?}",
            response.topics[0].error_message
        );
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
        let data = PartitionProduceData {
            index: partition,
            records: Some(batch.into()),
            ..PartitionProduceData::default()
        };
        let topic = TopicProduceData {
            name: topic.into(),
            partition_data: vec![data],
            ..TopicProduceData::default()
        };
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![topic],
            ..ProduceRequest::default()
        };
        let mut response = self.call(9, request).await;
        response.responses.remove(0).partition_responses.remove(0)
    }
}

/// A batch of records with these timestamps.
pub(crate) fn batch(mut builder: BatchBuilder, timestamps_ms: &[i64]) -> Bytes {
    for &timestamp_ms in timestamps_ms {
        let record = NewRecord { timestamp_ms, key: Some(b"key"), value: Some(b"value"), headers: &[] };
        builder.push(&record).unwrap();
    }
    builder.build().unwrap()
}

/// The error of a code, by name.
pub(crate) fn error(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or_else(|| panic!("{code} is no error code"))
}
