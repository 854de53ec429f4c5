//! Openraft's way to its peers: encodes what it says, and sends a snapshot in chunks.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::RaftNetworkFactory;
use openraft::RaftNetworkV2;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, VoteRequest,
    VoteResponse,
};
use ottla_types::{BrokerId, Offset};

use super::codec::{DecodeError, Decoder};
use super::journal::Journal;
use super::message::{
    AppendAnswer, ChunkAnswer, Envelope, Failure, Request, SnapshotChunk, Transferred, decode_appended,
    decode_barrier, decode_chunk_answer, decode_response, decode_transferred, decode_voted,
};
use super::runtime::limits_itself;
use super::snapshot::SnapshotFile;
use super::types::{Types, Vote};
use crate::atomic::BoxFuture;
use crate::quorum::{VoterEndpoint, VoterKey};

/// For how many times its patience a leader waits for a peer's disk, as long as the peer says that it works.
const SLOW_DISKS: u32 = 120;
/// For how many times its patience a candidate waits for a vote, which is answered for when it is on a disk. It stands for
/// another election sooner ([`Journal::may_stand`]), unless its own disk is as slow.
const SLOW_VOTES: u32 = 20;
/// How many bytes of a snapshot are sent at once.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;

/// Carries requests to the other nodes of the quorum and brings back their answers. What the bytes say is not its
/// concern.
pub trait Peers: Send + Sync + 'static {
    /// Asks a node. `endpoints` are those that the quorum knows of it. There need be no time limit: who asks has one, and
    /// drops the future.
    ///
    /// # Errors
    /// The node cannot be reached, or the connection broke: whether it got the request is not known.
    fn call(
        &self,
        to: BrokerId,
        endpoints: &[VoterEndpoint],
        request: Bytes,
    ) -> BoxFuture<'_, io::Result<Bytes>>;
}

/// Makes clients.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) me: VoterKey,
    pub(crate) peers: Arc<dyn Peers>,
    /// How long an answer to entries or a chunk may take.
    pub(crate) patience: Duration,
    /// Knows whether this node may stand for election.
    pub(crate) journal: Journal,
}

/// Speaks to one peer.
pub(crate) struct Client {
    network: Network,
    to: VoterKey,
    endpoints: Vec<VoterEndpoint>,
    /// Whether what it sends are signs of life, and nothing else.
    is_heart: bool,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: VoterKey, node: &Vec<VoterEndpoint>) -> Client {
        self.client(target, node.clone())
    }

    async fn new_heartbeat_client(&mut self, target: VoterKey, node: &Vec<VoterEndpoint>) -> Client {
        Client { is_heart: true, ..self.client(target, node.clone()) }
    }
}

/// Why a peer gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// It cannot be reached.
    #[error("node {to} cannot be reached: {error}")]
    Io {
        /// The node.
        to: BrokerId,
        /// Why.
        error: io::Error,
    },
    /// It took too long.
    #[error("node {to} did not answer within {timeout:?}")]
    Timeout {
        /// The node.
        to: BrokerId,
        /// How long that is.
        timeout: Duration,
    },
    /// It refused.
    #[error("node {to} refused: {failure}")]
    Refused {
        /// The node.
        to: BrokerId,
        /// Why.
        failure: Failure,
    },
    /// Its answer is none.
    #[error("node {to} gave an answer that is none: {error}")]
    Malformed {
        /// The node.
        to: BrokerId,
        /// What is wrong with it.
        error: DecodeError,
    },
}

/// Why a voter is not asked whether it would vote for this node.
#[derive(Debug, thiserror::Error)]
#[error("the last vote took this node's disk so long that others may need as long for theirs")]
struct TooSoon;

impl CallError {
    fn into_rpc(self) -> RPCError<Types> {
        match self {
            // Openraft waits before it tries again.
            Self::Io { .. } | Self::Refused { .. } => RPCError::Unreachable(Unreachable::new(&self)),
            Self::Timeout { .. } | Self::Malformed { .. } => RPCError::Network(NetworkError::new(&self)),
        }
    }
}

impl Network {
    pub(crate) fn client(&self, to: VoterKey, endpoints: Vec<VoterEndpoint>) -> Client {
        Client { network: self.clone(), to, endpoints, is_heart: false }
    }
}

impl Client {
    async fn call<T>(
        &self,
        request: Request,
        timeout: Duration,
        decode: impl FnOnce(&mut Decoder) -> Result<T, DecodeError>,
    ) -> Result<T, CallError> {
        let to = self.to.id;
        let bytes = Envelope { from: self.network.me, to: self.to, request }.encode();
        let answer = tokio::time::timeout(timeout, self.network.peers.call(to, &self.endpoints, bytes)).await;
        let answer = answer.map_err(|_| CallError::Timeout { to, timeout })?;
        let answer = answer.map_err(|error| CallError::Io { to, error })?;
        let answer = decode_response(answer, decode).map_err(|error| CallError::Malformed { to, error })?;
        answer.map_err(|failure| CallError::Refused { to, failure })
    }

    /// Asks the leader up to where the log is committed for sure.
    pub(crate) async fn barrier(&self, timeout: Duration) -> Result<Offset, CallError> {
        self.call(Request::Barrier, timeout, decode_barrier).await
    }

    /// Sends a sign of life, which must not be late.
    async fn beat(
        &self,
        beat: AppendEntriesRequest<Types>,
        timeout: Duration,
    ) -> Result<AppendEntriesResponse<Types>, CallError> {
        match self.call(Request::Heartbeat(beat), timeout, decode_appended).await? {
            AppendAnswer::Said(answer) => Ok(answer),
            AppendAnswer::Working => Err(self.malformed("answer to a sign of life")),
        }
    }

    /// Sends entries, and waits until they are on the peer's disk for as long as the peer says that it works.
    async fn append(
        &self,
        append: AppendEntriesRequest<Types>,
    ) -> Result<AppendEntriesResponse<Types>, CallError> {
        let patience = self.network.patience;
        let last = append.entries.last().map(|entry| entry.log_id).or(append.prev_log_id);
        // Asks for what was sent: no entries after the last one, which the peer answers for when it has that on its disk.
        let ask = AppendEntriesRequest { prev_log_id: last, entries: Vec::new(), ..append.clone() };
        let are_entries = !append.entries.is_empty();
        let mut request = append;
        for _ in 0..SLOW_DISKS {
            let is_asking = are_entries && request.entries.is_empty();
            match self.call(Request::Append(request), patience, decode_appended).await? {
                AppendAnswer::Working => request = ask.clone(),
                // It was restarted meanwhile, say: they are sent again.
                AppendAnswer::Said(AppendEntriesResponse::Conflict) if is_asking => {
                    return Err(self.malformed("answer to entries: it has lost them"));
                }
                AppendAnswer::Said(answer) => return Ok(answer),
            }
        }
        Err(CallError::Timeout { to: self.to.id, timeout: patience * SLOW_DISKS })
    }

    fn malformed(&self, what: &'static str) -> CallError {
        CallError::Malformed { to: self.to.id, error: DecodeError::Invalid(what) }
    }

    /// Sends the chunks of a snapshot, from where the peer says on, until it has or refuses them all.
    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: &SnapshotFile,
    ) -> Result<Vote, StreamingError<Types>> {
        let mut position = 0;
        loop {
            let bytes = match snapshot.file.read_at(position, CHUNK_BYTES).await {
                Ok(bytes) => bytes,
                // The file may have made way for a newer one: openraft asks for the current one when it tries again.
                Err(error) => return Err(StreamingError::Network(NetworkError::new(&error))),
            };
            let crc = crc_fast::crc32_iscsi(&bytes);
            let (meta, total) = (snapshot.meta.clone(), snapshot.len_bytes);
            let chunk = SnapshotChunk { vote, meta, total, position, bytes, crc };
            // The last answer comes when the snapshot is on the disk, and installed.
            let is_last = chunk.position + chunk.bytes.len() as u64 == total;
            let timeout = self.network.patience * if is_last { SLOW_DISKS } else { 4 };
            let answer = self.call(Request::Snapshot(chunk), timeout, decode_chunk_answer).await;
            match answer.map_err(|error| StreamingError::from(error.into_rpc()))? {
                ChunkAnswer::Done(vote) => return Ok(vote),
                ChunkAnswer::Next(next) => position = next.min(total),
            }
        }
    }
}

impl RaftNetworkV2<Types> for Client {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let (previous, last) = (rpc.prev_log_id, rpc.entries.last().map(|entry| entry.log_id));
        let answer =
            if self.is_heart { self.beat(rpc, option.hard_ttl()).await } else { self.append(rpc).await };
        let answer = answer.map_err(CallError::into_rpc)?;
        // Openraft takes it for granted that an answer fits what was asked.
        let fits = match &answer {
            AppendEntriesResponse::Conflict => previous.is_some(),
            AppendEntriesResponse::PartialSuccess(upto) => *upto >= previous && *upto <= last.or(previous),
            AppendEntriesResponse::Success | AppendEntriesResponse::HigherVote(_) => true,
        };
        if fits { Ok(answer) } else { Err(self.malformed("answer to these entries").into_rpc()) }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let voted = self.call(Request::Vote(rpc), self.network.patience * SLOW_VOTES, decode_voted);
        limits_itself(voted).await.map_err(CallError::into_rpc)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        if !self.network.journal.may_stand() {
            return Err(RPCError::Unreachable(Unreachable::new(&TooSoon)));
        }
        self.call(Request::PreVote(rpc), option.hard_ttl(), decode_voted).await.map_err(CallError::into_rpc)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::alias::SnapshotOf<Types, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let mut cancel = pin!(cancel);
        tokio::select! {
            biased;
            closed = &mut cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, &snapshot.snapshot) => sent.map(SnapshotResponse::new),
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<Transferred, RPCError<Types>> {
        let answer = self.call(Request::Transfer(rpc), option.hard_ttl(), decode_transferred).await;
        answer.map_err(CallError::into_rpc)
    }

    fn backoff(&self) -> Option<Backoff> {
        // Short, for a node that was restarted is wanted soon; a refused connection costs next to nothing.
        let longest = self.network.patience;
        let delays = (0..).map(move |nth: u32| (Duration::from_millis(20) * (1 << nth.min(8))).min(longest));
        Some(Backoff::new(delays))
    }
}
