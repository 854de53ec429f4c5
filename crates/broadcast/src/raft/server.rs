//! What a node does with the messages of its peers.
//!
//! # What an answer says
//!
//! Openraft's follower answers when all that it was sent before is on its disk, signs of life too, so that disks which are
//! busy for half a second would look like voters that are gone. Here:
//!
//! - *Entries* are answered by openraft alone, when they are on the disk: only that counts towards what is committed. Where it
//!   takes long, the leader is told that the node works on it, and asks again; so no connection is held up, and nothing is sent
//!   twice.
//! - *A sign of life* is answered when openraft has taken it, whatever the disk does. The leader makes nothing of the answer
//!   but that this node follows it: the matching log of a follower never comes from it.
//!
//! That is enough for what a leader does with it. It may go on leading, and take appends, for that is a matter of liveness: an
//! entry is committed by entries answered for. It may answer reads: they rest on no leader of a later term having been elected
//! before the question was asked. A majority had voted for that one, each durably before it said so, and one of them is
//! among any majority that answers the signs of life sent since. That node knows the later term in memory, before a restart
//! (the vote is taken in memory first) and after one (it is on its disk): it answers with that vote, and not that it follows.
//! Whether the vote for the leader that it does follow is on its disk does not matter for that: were the node to forget it, it
//! could help another candidate of the same term, and no such one gets a majority, since the leader has that.
//!
//! While openraft waits for its storage inside of a call, a vote being saved say, it answers nothing at all. What it would say
//! to its leader is known: the vote that it holds is the one that the journal was told ([`Journal::engaged`]), and nothing can
//! change it before the call returns.

use std::future::pending;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::ReadPolicy;
use openraft::errors::{Infallible, RaftError};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use openraft::storage::Snapshot;
use ottla_env::Disk;
use ottla_env::disk::File;
use ottla_types::Offset;
use tokio::sync::{Mutex, watch};

use super::OpenRaft;
use super::journal::Journal;
use super::machine::Machine;
use super::message::{
    AppendAnswer, ChunkAnswer, Envelope, Failure, Request, SnapshotChunk, encode_appended, encode_barrier,
    encode_chunk_answer, encode_response, encode_transferred, encode_voted,
};
use super::snapshot::{self, SnapshotFile};
use super::types::{SnapshotMeta, Types, Vote};
use crate::frame_file;
use crate::quorum::VoterKey;

/// Answers peers.
pub(crate) struct Server {
    pub(crate) me: VoterKey,
    pub(crate) raft: OpenRaft,
    pub(crate) journal: Journal,
    pub(crate) machine: Machine,
    /// How long entries are waited for before the leader is told that the node works on them.
    pub(crate) working_after: Duration,
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
            Request::Append(append) => encode_response(self.append(append).await, encode_appended),
            Request::Heartbeat(beat) => {
                encode_response(self.heartbeat(beat).await.map(AppendAnswer::Said), encode_appended)
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

    /// Takes entries.
    async fn append(&self, append: AppendEntriesRequest<Types>) -> Result<AppendAnswer, Failure> {
        let vote = append.vote;
        let said = self.raft.append_entries(append);
        match tokio::time::timeout(self.working_after, said).await {
            Ok(said) => said.map(AppendAnswer::Said).map_err(stopped),
            // That it works is said to the leader that it follows, and to no other.
            Err(_) if self.journal.follows(&vote) => Ok(AppendAnswer::Working),
            Err(_) => Err(Failure::Stopped("it is busy with something else".to_owned())),
        }
    }

    /// Takes a sign of life.
    async fn heartbeat(
        &self,
        beat: AppendEntriesRequest<Types>,
    ) -> Result<AppendEntriesResponse<Types>, Failure> {
        let vote = beat.vote;
        let said = pin!(self.raft.append_entries(beat));
        tokio::select! {
            biased;
            // What openraft says goes first: a conflict, or that it follows another leader.
            said = said => said.map_err(stopped),
            () = self.has_taken(vote) => Ok(AppendEntriesResponse::Success),
            () = self.journal.engaged(vote) => Ok(AppendEntriesResponse::Success),
        }
    }

    /// Waits until openraft has taken what was handed to it before, if it follows the leader with this vote then; else for
    /// ever.
    async fn has_taken(&self, vote: Vote) {
        // It does one thing after another.
        let known = self.raft.with_raft_state(|state| *state.vote_ref()).await;
        if known.ok() != Some(vote) {
            pending::<()>().await;
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

fn stopped(error: RaftError<Types, Infallible>) -> Failure {
    Failure::Stopped(error.to_string())
}

fn refuse(failure: Failure) -> Bytes {
    encode_response::<()>(Err(failure), |_, ()| {})
}
