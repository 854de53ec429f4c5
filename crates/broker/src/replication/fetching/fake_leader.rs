//! A leader's broker of which a test says, request by request, what it answers.

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use ottla_client::Address;
use ottla_env::process;
use ottla_types::LeaderEpoch;
use ottla_wire::api_versions::{ApiVersion, ApiVersionsResponse};
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use ottla_wire::{ApiKey, Records, Request, Response, frame, header};

use super::tests::PATIENCE;
use crate::replication::Key;

/// The session that it gives.
pub(super) const SESSION: i32 = 77;

/// What is done about a request.
enum Reply {
    Answer(FetchResponse),
    /// So many bytes of it, and then the end of the connection.
    Half(FetchResponse, usize),
}

/// A request that waits for its answer. Dropping it closes the connection.
pub(super) struct Asked {
    pub(super) client_id: String,
    pub(super) request: FetchRequest,
    reply: oneshot::Sender<Reply>,
}

pub(super) struct FakeLeader {
    pub(super) address: Address,
    asked: mpsc::UnboundedReceiver<Asked>,
    _task: JoinSet<()>,
}

impl FakeLeader {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::new("127.0.0.1", listener.local_addr().unwrap().port());
        let (tell, asked) = mpsc::unbounded_channel();
        let mut task = JoinSet::new();
        process::spawn_in(&mut task, async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                process::spawn_in(&mut connections, serve(stream, tell.clone()));
            }
        });
        Self { address, asked, _task: task }
    }

    /// The next request.
    pub(super) async fn asked(&mut self) -> Asked {
        let asked = tokio::time::timeout(PATIENCE, self.asked.recv()).await;
        asked.expect("a request in time").expect("the listener is there")
    }

    /// The next request, if there is one already.
    pub(super) fn asked_already(&mut self) -> Option<Asked> {
        self.asked.try_recv().ok()
    }
}

impl Asked {
    /// What it names, and from which offset.
    pub(super) fn offsets(&self) -> Vec<(Key, i64)> {
        self.partitions().iter().map(|(key, partition)| (*key, partition.fetch_offset)).collect()
    }

    pub(super) fn partitions(&self) -> Vec<(Key, FetchPartition)> {
        let topics = self.request.topics.iter();
        topics
            .flat_map(|topic| {
                topic.partitions.iter().map(|part| ((topic.topic_id.into(), part.partition), part.clone()))
            })
            .collect()
    }

    pub(super) fn forgotten(&self) -> Vec<Key> {
        let topics = self.request.forgotten_topics_data.iter();
        topics
            .flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic_id.into(), *index)))
            .collect()
    }

    pub(super) fn answer(self, partitions: Vec<(Key, PartitionData)>) {
        self.answer_with(response(partitions));
    }

    pub(super) fn answer_with(self, response: FetchResponse) {
        drop(self.reply.send(Reply::Answer(response)));
    }

    /// Ends the connection after so many bytes of the answer.
    pub(super) fn answer_half(self, partitions: Vec<(Key, PartitionData)>, bytes: usize) {
        drop(self.reply.send(Reply::Half(response(partitions), bytes)));
    }
}

pub(super) fn response(partitions: Vec<(Key, PartitionData)>) -> FetchResponse {
    let responses = partitions.into_iter().map(|((topic, index), data)| FetchableTopicResponse {
        topic_id: topic.into(),
        partitions: vec![PartitionData { partition_index: index, ..data }],
        ..FetchableTopicResponse::default()
    });
    FetchResponse { session_id: SESSION, responses: responses.collect(), ..FetchResponse::default() }
}

/// An answer with this batch, from a log that starts at 0 and of which nothing more is committed.
pub(super) fn data(records: Bytes, high_watermark: i64) -> PartitionData {
    let mut chunks = Records::new();
    chunks.push(records);
    PartitionData { high_watermark, log_start_offset: 0, records: Some(chunks), ..PartitionData::default() }
}

/// A batch of so many records as a leader of this epoch wrote it at `base`.
pub(super) fn batch(base: i64, epoch: LeaderEpoch, count: usize) -> Bytes {
    let mut builder = ottla_records::BatchBuilder::new();
    for _ in 0..count {
        let record =
            ottla_records::NewRecord { timestamp_ms: 1_000, key: None, value: Some(b"v"), headers: &[] };
        builder.push(&record).unwrap();
    }
    let mut bytes = builder.build().unwrap().to_vec();
    bytes[..8].copy_from_slice(&base.to_be_bytes());
    bytes[12..16].copy_from_slice(&epoch.0.to_be_bytes());
    bytes.into()
}

async fn serve(mut stream: TcpStream, tell: mpsc::UnboundedSender<Asked>) {
    while let Ok(size) = stream.read_u32().await {
        let mut bytes = vec![0; size as usize];
        if stream.read_exact(&mut bytes).await.is_err() {
            return;
        }
        let (head, mut reader) = header::parse_request(bytes.into()).unwrap();
        let encode = |response: Response| {
            frame::encode_response(head.correlation_id, head.api_version, &response).unwrap().into_bytes()
        };
        let answer = match Request::decode(head.api, head.api_version, &mut reader).unwrap() {
            Request::ApiVersions(_) => encode(versions().into()),
            Request::Fetch(request) => {
                let (reply, replied) = oneshot::channel();
                let client_id = head.client_id.as_deref().unwrap_or_default().to_owned();
                if tell.send(Asked { client_id, request, reply }).is_err() {
                    return;
                }
                match replied.await {
                    Ok(Reply::Answer(response)) => encode(response.into()),
                    Ok(Reply::Half(response, bytes)) => {
                        let answer = encode(response.into());
                        stream.write_all(&answer[..bytes]).await.unwrap();
                        return;
                    }
                    Err(_) => return,
                }
            }
            other => panic!("a fetcher asks for {:?}", other.api()),
        };
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn versions() -> ApiVersionsResponse {
    let api = |api: ApiKey| ApiVersion {
        api_key: api.code(),
        min_version: api.versions().first,
        max_version: api.versions().last,
        ..ApiVersion::default()
    };
    let api_keys = [ApiKey::ApiVersions, ApiKey::Fetch].map(api).to_vec();
    ApiVersionsResponse { api_keys, ..ApiVersionsResponse::default() }
}
