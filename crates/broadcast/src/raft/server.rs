//! What a node does with the messages of its peers.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use openraft::ReadPolicy;
use openraft::errors::{Infallible, RaftError};
use openraft::storage::Snapshot;
use ottla_env::Disk;
use ottla_env::disk::File;
use ottla_types::Offset;
use tokio::sync::{Mutex, watch};

use super::OpenRaft;
use super::machine::Machine;
use super::message::{
    ChunkAnswer, Envelope, Failure, Request, SnapshotChunk, encode_appended, encode_barrier,
    encode_chunk_answer, encode_response, encode_transferred, encode_voted,
};
use super::snapshot::{self, SnapshotFile};
use super::types::{SnapshotMeta, Vote};
use crate::frame_file;
use crate::quorum::VoterKey;

/// Answers peers.
pub(crate) struct Server {
    pub(crate) me: VoterKey,
    pub(crate) raft: OpenRaft,
    pub(crate) machine: Machine,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) incoming: Mutex<Option<Incoming>>,
    pub(crate) is_closing: watch::Receiver<bool>,
}

/// A snapshot that is being received.
pub(crate) struct Incoming {
    vote: Vote,
    meta: SnapshotMeta,
    total: u64,
    file: Arc<dyn File>,
    /// How much of it is there.
    len_bytes: u64,
}

impl Server {
    /// Answers a request. Any bytes are answered.
    pub(crate) async fn handle(&self, request: Bytes) -> Bytes {
        let envelope = match Envelope::decode(request) {
            Ok(envelope) => envelope,
            Err(error) => return refuse(Failure::Malformed(error.to_string())),
        };
        if envelope.to != self.me {
            return refuse(Failure::WrongNode(self.me));
        }
        if *self.is_closing.borrow() {
            return refuse(Failure::Stopped("it is closed".to_owned()));
        }
        match envelope.request {
            Request::Append(append) => {
                encode_response(self.raft.append_entries(append).await.map_err(stopped), encode_appended)
            }
            Request::Vote(vote) => encode_response(self.raft.vote(vote).await.map_err(stopped), encode_voted),
            Request::PreVote(vote) => {
                encode_response(self.raft.pre_vote(vote).await.map_err(stopped), encode_voted)
            }
            Request::Transfer(transfer) => {
                let answer = self.raft.handle_transfer_leader(transfer).await;
                let answer = answer.map_err(|error| Failure::Stopped(error.to_string()));
                encode_response(answer, encode_transferred)
            }
            Request::Snapshot(chunk) => encode_response(self.receive(chunk).await, encode_chunk_answer),
            Request::Barrier => encode_response(self.barrier().await, encode_barrier),
        }
    }

    /// The offset that the next record gets, or a later one; by the leader only.
    pub(crate) async fn barrier(&self) -> Result<Offset, Failure> {
        let linearizer = match self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) => linearizer,
            Err(RaftError::APIError(_)) => return Err(Failure::NotLeader),
            Err(RaftError::Fatal(error)) => return Err(Failure::Stopped(error.to_string())),
        };
        match linearizer.await_ready(&self.raft).await {
            Ok(_) => Ok(self.machine.next()),
            Err(error) => Err(Failure::Stopped(error.to_string())),
        }
    }

    /// Waits for what is being received. Nothing more is, once the log is closing.
    pub(crate) async fn settle(&self) {
        *self.incoming.lock().await = None;
    }

    /// Takes a piece of a snapshot, and installs it with the last one.
    async fn receive(&self, chunk: SnapshotChunk) -> Result<ChunkAnswer, Failure> {
        if crc_fast::crc32_iscsi(&chunk.bytes) != chunk.crc {
            return Err(Failure::Malformed("the checksum of a piece of a snapshot is wrong".to_owned()));
        }
        // A leader of the past has nothing to send; what it is told makes it notice.
        let known = self.raft.with_raft_state(|state| *state.vote_ref()).await;
        let known = known.map_err(|error| Failure::Stopped(error.to_string()))?;
        if chunk.vote < known {
            return Ok(ChunkAnswer::Done(known));
        }
        let mut incoming = self.incoming.lock().await;
        let failed = |error: std::io::Error| Failure::Stopped(error.to_string());
        if chunk.position == 0 {
            let file =
                frame_file::create(&*self.disk, &self.dir.join(snapshot::INCOMING)).await.map_err(failed)?;
            let SnapshotChunk { vote, ref meta, total, .. } = chunk;
            *incoming = Some(Incoming { vote, meta: meta.clone(), total, file, len_bytes: 0 });
        }
        let Some(begun) = incoming.as_mut().filter(|begun| {
            begun.vote == chunk.vote && begun.meta == chunk.meta && begun.total == chunk.total
        }) else {
            return Ok(ChunkAnswer::Next(0));
        };
        if chunk.position != begun.len_bytes {
            return Ok(ChunkAnswer::Next(begun.len_bytes));
        }
        let len = chunk.bytes.len() as u64;
        if len == 0 || len > begun.total - begun.len_bytes {
            return Err(Failure::Malformed(
                "a snapshot is longer or shorter than it was said to be".to_owned(),
            ));
        }
        begun.file.write_at(chunk.position, &[chunk.bytes]).await.map_err(failed)?;
        begun.len_bytes += len;
        if begun.len_bytes < begun.total {
            return Ok(ChunkAnswer::Next(begun.len_bytes));
        }
        begun.file.sync().await.map_err(failed)?;
        *incoming = None;
        // Held until it is installed: another one would be written to the same file.
        self.install(chunk.vote, &chunk.meta).await
    }

    async fn install(&self, vote: Vote, meta: &SnapshotMeta) -> Result<ChunkAnswer, Failure> {
        let path = self.dir.join(snapshot::INCOMING);
        let checked = async {
            let received = SnapshotFile::open(&*self.disk, &path).await?;
            received.check().await?;
            Ok::<_, std::io::Error>(received)
        };
        let received = checked.await.map_err(|error| Failure::Malformed(error.to_string()))?;
        if received.meta != *meta {
            return Err(Failure::Malformed("a snapshot is of something else than was said".to_owned()));
        }
        let snapshot = Snapshot { meta: meta.clone(), snapshot: received };
        match self.raft.install_full_snapshot(vote, snapshot).await {
            Ok(answer) => Ok(ChunkAnswer::Done(answer.vote)),
            Err(error) => Err(Failure::Stopped(error.to_string())),
        }
    }
}

fn stopped(error: RaftError<super::types::Types, Infallible>) -> Failure {
    Failure::Stopped(error.to_string())
}

fn refuse(failure: Failure) -> Bytes {
    encode_response::<()>(Err(failure), |_, ()| {})
}
