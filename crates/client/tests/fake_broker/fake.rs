//! A broker that answers each request with what a test's script says, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ottla_client::{Address, Client, ClientOptions};
use ottla_env::Env;
use ottla_types::{ErrorCode, TopicId, TopicName, TopicPartition};
use ottla_wire::api_versions::{ApiVersion, ApiVersionsResponse};
use ottla_wire::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_wire::{ApiKey, Request, RequestHeader, Response, frame, header};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What to do about a request.
pub(crate) enum Reply {
    /// Answer it.
    Answer(Response),
    /// Answer it, in another version than it was asked in.
    AnswerIn(i16, Response),
    /// Send these bytes, after their length and the correlation id.
    Raw(Vec<u8>),
    /// Send these bytes as they are.
    Bytes(Vec<u8>),
    /// Keep the answer, and send it before that to the next request which is not kept.
    Keep(Response),
    /// Say nothing.
    Silence,
    /// Close the connection.
    HangUp,
}

impl<R: Into<Response>> From<R> for Reply {
    fn from(response: R) -> Self {
        Self::Answer(response.into())
    }
}

type Script = Arc<Mutex<dyn FnMut(&RequestHeader, Request) -> Reply + Send>>;
type Seen = Arc<Mutex<Vec<(RequestHeader, Request)>>>;

/// A listener that does not answer yet.
pub(crate) struct Bound {
    pub(crate) address: Address,
    listener: TcpListener,
}

/// A broker that answers.
pub(crate) struct FakeBroker {
    pub(crate) address: Address,
    seen: Seen,
    task: tokio::task::JoinHandle<()>,
}

impl Bound {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { address: Address::new("127.0.0.1", port), listener }
    }

    /// Answers by the script. ApiVersions is answered with every version there is, unless `with_versions` is used.
    pub(crate) fn run(
        self,
        script: impl FnMut(&RequestHeader, Request) -> Reply + Send + 'static,
    ) -> FakeBroker {
        self.run_with_versions(every_version(), script)
    }

    /// The same with another answer to ApiVersions.
    pub(crate) fn run_with_versions(
        self,
        versions: ApiVersionsResponse,
        mut script: impl FnMut(&RequestHeader, Request) -> Reply + Send + 'static,
    ) -> FakeBroker {
        self.run_raw(move |header, request| match request {
            Request::ApiVersions(_) => versions.clone().into(),
            request => script(header, request),
        })
    }

    /// The same, with ApiVersions left to the script.
    pub(crate) fn run_raw(
        self,
        script: impl FnMut(&RequestHeader, Request) -> Reply + Send + 'static,
    ) -> FakeBroker {
        let seen = Seen::default();
        let script: Script = Arc::new(Mutex::new(script));
        let task = tokio::spawn(accept(self.listener, script, Arc::clone(&seen)));
        FakeBroker { address: self.address, seen, task }
    }
}

impl FakeBroker {
    /// The requests so far, but for ApiVersions.
    pub(crate) fn seen(&self) -> Vec<(RequestHeader, Request)> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(header, _)| header.api != ApiKey::ApiVersions).cloned().collect()
    }

    /// How often an API was asked for.
    pub(crate) fn count(&self, api: ApiKey) -> usize {
        self.seen.lock().unwrap().iter().filter(|(header, _)| header.api == api).count()
    }
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, script: Script, seen: Seen) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&script), Arc::clone(&seen)));
    }
}

async fn serve(mut stream: TcpStream, script: Script, seen: Seen) {
    let mut kept = Vec::new();
    while let Ok(size) = stream.read_u32().await {
        let mut bytes = vec![0; size as usize];
        if stream.read_exact(&mut bytes).await.is_err() {
            return;
        }
        let (head, mut reader) = header::parse_request(Bytes::from(bytes)).unwrap();
        let request = Request::decode(head.api, head.api_version, &mut reader).unwrap();
        seen.lock().unwrap().push((head.clone(), request.clone()));
        let reply = (script.lock().unwrap())(&head, request);
        let answer = |version, response: &Response| {
            frame::encode_response(head.correlation_id, version, response).unwrap().into_bytes().to_vec()
        };
        match reply {
            Reply::Answer(response) => kept.extend(answer(head.api_version, &response)),
            Reply::AnswerIn(version, response) => kept.extend(answer(version, &response)),
            Reply::Raw(body) => {
                kept.extend((body.len() as u32 + 4).to_be_bytes());
                kept.extend(head.correlation_id.to_be_bytes());
                kept.extend(body);
            }
            Reply::Bytes(bytes) => kept.extend(bytes),
            Reply::Keep(response) => {
                kept.extend(answer(head.api_version, &response));
                continue;
            }
            Reply::Silence => continue,
            Reply::HangUp => return,
        }
        if stream.write_all(&std::mem::take(&mut kept)).await.is_err() {
            return;
        }
    }
}

/// The answer to ApiVersions of a broker that serves all that is known here.
pub(crate) fn every_version() -> ApiVersionsResponse {
    versions(&[])
}

/// The same, with other highest versions for some APIs; below their lowest for none at all.
pub(crate) fn versions(highest: &[(ApiKey, i16)]) -> ApiVersionsResponse {
    let api_keys = ApiKey::ALL
        .iter()
        .map(|&api| {
            let served = api.versions();
            let last = highest.iter().find(|(named, _)| *named == api).map_or(served.last, |(_, last)| *last);
            ApiVersion {
                api_key: api.code(),
                min_version: served.first.min(last),
                max_version: last,
                ..ApiVersion::default()
            }
        })
        .collect();
    ApiVersionsResponse { api_keys, ..ApiVersionsResponse::default() }
}

/// The topic of these tests.
pub(crate) const TOPIC: &str = "orders";

/// Its id.
pub(crate) const TOPIC_ID: TopicId = TopicId([7; 16]);

pub(crate) fn topic() -> TopicName {
    TopicName::new(TOPIC).unwrap()
}

pub(crate) fn at(partition: i32) -> TopicPartition {
    TopicPartition { topic: topic(), partition }
}

/// A description of the cluster: brokers by id, and the leader of each partition of the topic.
pub(crate) fn metadata(brokers: &BTreeMap<i32, Address>, leaders: &[i32]) -> MetadataResponse {
    let broker = |(&id, address): (&i32, &Address)| MetadataResponseBroker {
        node_id: id,
        host: address.host().into(),
        port: i32::from(address.port()),
        ..MetadataResponseBroker::default()
    };
    let partition = |(index, &leader): (usize, &i32)| MetadataResponsePartition {
        partition_index: index as i32,
        leader_id: leader,
        leader_epoch: 5,
        replica_nodes: vec![leader],
        isr_nodes: vec![leader],
        ..MetadataResponsePartition::default()
    };
    MetadataResponse {
        brokers: brokers.iter().map(broker).collect(),
        controller_id: brokers.keys().next().copied().unwrap_or(-1),
        topics: vec![MetadataResponseTopic {
            name: Some(TOPIC.into()),
            topic_id: TOPIC_ID.into(),
            partitions: leaders.iter().enumerate().map(partition).collect(),
            ..MetadataResponseTopic::default()
        }],
        ..MetadataResponse::default()
    }
}

/// The topic does not exist.
pub(crate) fn unknown_topic(brokers: &BTreeMap<i32, Address>) -> MetadataResponse {
    let mut response = metadata(brokers, &[]);
    response.topics[0].error_code = ErrorCode::UnknownTopicOrPartition.code();
    response
}

/// One broker, number 1, that leads `partitions` partitions of the topic, and answers the rest by the script.
pub(crate) async fn alone(
    partitions: usize,
    mut script: impl FnMut(&RequestHeader, Request) -> Reply + Send + 'static,
) -> FakeBroker {
    let bound = Bound::new().await;
    let brokers = BTreeMap::from([(1, bound.address.clone())]);
    bound.run(move |header, request| match request {
        Request::Metadata(_) => metadata(&brokers, &vec![1; partitions]).into(),
        request => script(header, request),
    })
}

/// Options that lose no time.
pub(crate) fn options(bootstrap_servers: Vec<Address>) -> ClientOptions {
    let mut options = ClientOptions::new(bootstrap_servers);
    options.retry_backoff = Duration::from_millis(1);
    options.retry_backoff_max = Duration::from_millis(5);
    options
}

pub(crate) async fn connect(broker: &FakeBroker) -> Client {
    Client::connect(Env::real(), options(vec![broker.address.clone()])).await.unwrap()
}
