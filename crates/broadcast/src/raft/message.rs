//! What the nodes of a quorum say to each other, and its bytes.
//!
//! ```text
//! request  := version: u8, kind: u8, from: key, to: key, body
//! response := status: u8 (0 done, else why not), body
//! ```
//!
//! A key is a node's id and the id of its directory: a message to a node that lost its directory is refused, so that
//! nothing counts for the one that it was before. The parts are those of [`super::codec`].

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest, VoteRequest,
    VoteResponse,
};
use ottla_types::Offset;

use super::codec::{DecodeError, Decoder, Encoder};
use super::types::{Entry, LogId, SnapshotMeta, Types, Vote};
use crate::quorum::VoterKey;

const VERSION: u8 = 1;

/// A message, and between whom.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) from: VoterKey,
    pub(crate) to: VoterKey,
    pub(crate) request: Request,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    /// Entries, or none to ask for what was sent before.
    Append(AppendEntriesRequest<Types>),
    /// A vote.
    Vote(VoteRequest<Types>),
    /// Whether a vote would be granted.
    PreVote(VoteRequest<Types>),
    /// To take over leadership, or to let another node.
    Transfer(TransferLeaderRequest<Types>),
    /// To take a piece of a snapshot.
    Snapshot(SnapshotChunk),
    /// Up to where the log is committed for sure. Of the leader only.
    Barrier,
    /// A sign of life: entries that are none. What is answered says whom the node follows, and nothing of its disk.
    Heartbeat(AppendEntriesRequest<Types>),
}

/// What is answered to [`Request::Append`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AppendAnswer {
    /// What openraft says: what it has taken is on the disk.
    Said(AppendEntriesResponse<Types>),
    /// It has not said anything yet, because the disk takes its time, and the node is there. Ask again.
    Working,
}

/// A piece of a snapshot's file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SnapshotChunk {
    /// The leader's.
    pub(crate) vote: Vote,
    /// What the snapshot is of.
    pub(crate) meta: SnapshotMeta,
    /// The file's length.
    pub(crate) total: u64,
    /// Where in the file the bytes are.
    pub(crate) position: u64,
    /// The bytes, and their checksum.
    pub(crate) bytes: Bytes,
    /// CRC32C of the bytes.
    pub(crate) crc: u32,
}

/// What is answered to [`Request::Snapshot`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ChunkAnswer {
    /// The piece at this position is wanted next.
    Next(u64),
    /// All of it is there, or not wanted; the vote says which.
    Done(Vote),
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The message is for another node.
    #[error("it is {0}")]
    WrongNode(VoterKey),
    /// It does not lead.
    #[error("it does not lead")]
    NotLeader,
    /// Its part of the quorum has stopped, or failed.
    #[error("{0}")]
    Stopped(String),
    /// It did not understand the request.
    #[error("it did not understand the request: {0}")]
    Malformed(String),
}

impl Envelope {
    pub(crate) fn encode(&self) -> Bytes {
        let mut encoder = Encoder::new();
        encoder.u8(VERSION).u8(self.request.kind()).key(&self.from).key(&self.to);
        match &self.request {
            Request::Append(append) | Request::Heartbeat(append) => {
                encoder.vote(&append.vote).maybe_log_id(append.prev_log_id.as_ref());
                encoder.maybe_log_id(append.leader_commit.as_ref()).count(append.entries.len());
                for entry in &append.entries {
                    encoder.entry(entry);
                }
            }
            Request::Vote(vote) | Request::PreVote(vote) => {
                encoder.vote(&vote.vote).maybe_log_id(vote.last_log_id.as_ref());
                encoder.bool(vote.leadership_transfer);
            }
            Request::Transfer(transfer) => {
                encoder.vote(transfer.from_leader()).key(transfer.to_node_id());
                encoder.maybe_log_id(transfer.last_log_id());
            }
            Request::Snapshot(chunk) => {
                encoder.vote(&chunk.vote).snapshot_meta(&chunk.meta);
                encoder.u64(chunk.total).u64(chunk.position).u32(chunk.crc).bytes(&chunk.bytes);
            }
            Request::Barrier => {}
        }
        encoder.finish()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        Decoder::all(bytes, |decoder| {
            if decoder.u8()? != VERSION {
                return Err(DecodeError::Invalid("version"));
            }
            let kind = decoder.u8()?;
            let (from, to) = (decoder.key()?, decoder.key()?);
            Ok(Self { from, to, request: Request::decode(kind, decoder)? })
        })
    }
}

impl Request {
    fn kind(&self) -> u8 {
        match self {
            Self::Append(_) => 1,
            Self::Vote(_) => 2,
            Self::PreVote(_) => 3,
            Self::Transfer(_) => 4,
            Self::Snapshot(_) => 5,
            Self::Barrier => 6,
            Self::Heartbeat(_) => 7,
        }
    }

    fn decode(kind: u8, decoder: &mut Decoder) -> Result<Self, DecodeError> {
        match kind {
            1 => decode_append(decoder).map(Self::Append),
            2 => decode_vote(decoder).map(Self::Vote),
            3 => decode_vote(decoder).map(Self::PreVote),
            4 => {
                let (from, to) = (decoder.vote()?, decoder.key()?);
                let last = decoder.option(Decoder::log_id)?;
                Ok(Self::Transfer(TransferLeaderRequest::new(from, to, last)))
            }
            5 => {
                let (vote, meta) = (decoder.vote()?, decoder.snapshot_meta()?);
                let (total, position) = (decoder.number("length")?, decoder.number("position")?);
                let crc = decoder.u32()?;
                let bytes = decoder.bytes()?;
                Ok(Self::Snapshot(SnapshotChunk { vote, meta, total, position, bytes, crc }))
            }
            6 => Ok(Self::Barrier),
            7 => match decode_append(decoder)? {
                beat if beat.entries.is_empty() => Ok(Self::Heartbeat(beat)),
                _ => Err(DecodeError::Invalid("sign of life: it has entries")),
            },
            _ => Err(DecodeError::Invalid("kind of request")),
        }
    }
}

fn decode_append(decoder: &mut Decoder) -> Result<AppendEntriesRequest<Types>, DecodeError> {
    let vote = decoder.vote()?;
    let prev_log_id = decoder.option(Decoder::log_id)?;
    let leader_commit = decoder.option(Decoder::log_id)?;
    // The least that an entry takes.
    let count = decoder.count(17)?;
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    for _ in 0..count {
        let entry = decoder.entry()?;
        let before = entries.last().map(|last| &last.log_id).or(prev_log_id.as_ref());
        // Openraft takes it for granted that entries are in order and without gaps.
        if entry.log_id.index != before.map_or(0, |before| before.index + 1)
            || before.is_some_and(|before| before.leader_id > entry.log_id.leader_id)
        {
            return Err(DecodeError::Invalid("order of entries"));
        }
        entries.push(entry);
    }
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

fn decode_vote(decoder: &mut Decoder) -> Result<VoteRequest<Types>, DecodeError> {
    let (vote, last_log_id) = (decoder.vote()?, decoder.option(Decoder::log_id)?);
    if vote.committed {
        return Err(DecodeError::Invalid("vote: nobody asks for one that is granted"));
    }
    let mut request = VoteRequest::new(vote, last_log_id);
    request.leadership_transfer = decoder.bool()?;
    Ok(request)
}

/// The bytes of an answer.
pub(crate) fn encode_response<T>(result: Result<T, Failure>, encode: impl FnOnce(&mut Encoder, T)) -> Bytes {
    let mut encoder = Encoder::new();
    match result {
        Ok(answer) => encode(encoder.u8(0), answer),
        Err(Failure::WrongNode(key)) => drop(encoder.u8(1).key(&key)),
        Err(Failure::NotLeader) => drop(encoder.u8(2)),
        Err(Failure::Stopped(why)) => drop(encoder.u8(3).bytes(why.as_bytes())),
        Err(Failure::Malformed(why)) => drop(encoder.u8(4).bytes(why.as_bytes())),
    }
    encoder.finish()
}

/// Takes an answer apart.
pub(crate) fn decode_response<T>(
    bytes: Bytes,
    decode: impl FnOnce(&mut Decoder) -> Result<T, DecodeError>,
) -> Result<Result<T, Failure>, DecodeError> {
    Decoder::all(bytes, |decoder| {
        Ok(match decoder.u8()? {
            0 => Ok(decode(decoder)?),
            1 => Err(Failure::WrongNode(decoder.key()?)),
            2 => Err(Failure::NotLeader),
            3 => Err(Failure::Stopped(decoder.text()?)),
            4 => Err(Failure::Malformed(decoder.text()?)),
            _ => return Err(DecodeError::Invalid("status")),
        })
    })
}

pub(crate) fn encode_appended(encoder: &mut Encoder, answer: AppendAnswer) {
    use AppendEntriesResponse::{Conflict, HigherVote, PartialSuccess, Success};
    match answer {
        AppendAnswer::Said(Success) => encoder.u8(0),
        AppendAnswer::Said(PartialSuccess(last)) => encoder.u8(1).maybe_log_id(last.as_ref()),
        AppendAnswer::Said(Conflict) => encoder.u8(2),
        AppendAnswer::Said(HigherVote(vote)) => encoder.u8(3).vote(&vote),
        AppendAnswer::Working => encoder.u8(4),
    };
}

pub(crate) fn decode_appended(decoder: &mut Decoder) -> Result<AppendAnswer, DecodeError> {
    let said = match decoder.u8()? {
        0 => AppendEntriesResponse::Success,
        1 => AppendEntriesResponse::PartialSuccess(decoder.option(Decoder::log_id)?),
        2 => AppendEntriesResponse::Conflict,
        3 => AppendEntriesResponse::HigherVote(decoder.vote()?),
        4 => return Ok(AppendAnswer::Working),
        _ => return Err(DecodeError::Invalid("answer to entries")),
    };
    Ok(AppendAnswer::Said(said))
}

pub(crate) fn encode_voted(encoder: &mut Encoder, answer: VoteResponse<Types>) {
    encoder.vote(&answer.vote).bool(answer.vote_granted).maybe_log_id(answer.last_log_id.as_ref());
}

pub(crate) fn decode_voted(decoder: &mut Decoder) -> Result<VoteResponse<Types>, DecodeError> {
    let (vote, granted) = (decoder.vote()?, decoder.bool()?);
    Ok(VoteResponse::new(vote, decoder.option(Decoder::log_id)?, granted))
}

pub(crate) type Transferred = Result<(), TransferLeaderError<Types>>;

pub(crate) fn encode_transferred(encoder: &mut Encoder, answer: Transferred) {
    match answer {
        Ok(()) => encoder.u8(0),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            encoder.u8(1).vote(&expected).vote(&actual)
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            encoder.u8(2).maybe_log_id(expected.as_ref()).maybe_log_id(actual.as_ref())
        }
    };
}

pub(crate) fn decode_transferred(decoder: &mut Decoder) -> Result<Transferred, DecodeError> {
    let maybe_log_id =
        |decoder: &mut Decoder| -> Result<Option<LogId>, DecodeError> { decoder.option(Decoder::log_id) };
    match decoder.u8()? {
        0 => Ok(Ok(())),
        1 => Ok(Err(TransferLeaderError::VoteChanged { expected: decoder.vote()?, actual: decoder.vote()? })),
        2 => Ok(Err(TransferLeaderError::LogNotFlushed {
            expected: maybe_log_id(decoder)?,
            actual: maybe_log_id(decoder)?,
        })),
        _ => Err(DecodeError::Invalid("answer to a transfer")),
    }
}

pub(crate) fn encode_chunk_answer(encoder: &mut Encoder, answer: ChunkAnswer) {
    match answer {
        ChunkAnswer::Next(position) => encoder.u8(0).u64(position),
        ChunkAnswer::Done(vote) => encoder.u8(1).vote(&vote),
    };
}

pub(crate) fn decode_chunk_answer(decoder: &mut Decoder) -> Result<ChunkAnswer, DecodeError> {
    match decoder.u8()? {
        0 => decoder.number("position").map(ChunkAnswer::Next),
        1 => decoder.vote().map(ChunkAnswer::Done),
        _ => Err(DecodeError::Invalid("answer to a snapshot")),
    }
}

pub(crate) fn encode_barrier(encoder: &mut Encoder, answer: Offset) {
    encoder.i64(answer.0);
}

pub(crate) fn decode_barrier(decoder: &mut Decoder) -> Result<Offset, DecodeError> {
    let offset = decoder.i64()?;
    if (0..1 << 62).contains(&offset) { Ok(Offset(offset)) } else { Err(DecodeError::Invalid("offset")) }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
