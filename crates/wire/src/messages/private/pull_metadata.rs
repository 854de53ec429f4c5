//! PullMetadata (key 16002): a node without a vote reads the committed records of the metadata log, or a snapshot in pieces
//! where the records that it needs are gone.

use bytes::Bytes;

use crate::{Message, Str, UnknownTags, Uuid};

/// Asks for committed records.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 16002, versions = "0", flexible = "0..")]
pub struct PullMetadataRequest {
    /// The cluster that the asking node belongs to; null where it does not know yet.
    #[wire(nullable, default = null)]
    pub cluster_id: Option<Str>,
    /// The asking node's id.
    pub node_id: i32,
    /// The id of its metadata directory; zero where it has none.
    pub directory_id: Uuid,
    /// The first offset that it lacks.
    pub offset: i64,
    /// How many bytes of records the answer may have; one record may be larger.
    pub max_bytes: i32,
    /// How long to wait where there is nothing yet, in milliseconds.
    pub max_wait_ms: i32,
    /// The next piece of a snapshot, where one is being read; null for records.
    #[wire(nullable, default = null)]
    pub snapshot: Option<SnapshotPosition>,
    /// Who leads as far as the asking node knows; -1 where it does not. News of another leadership are answered at once.
    #[wire(default = -1)]
    pub leader_id: i32,
    /// The epoch of that leadership, or the highest that it has heard of; -1 where it has heard of none.
    #[wire(default = -1)]
    pub leader_epoch: i64,
    /// Whether nothing is asked for but the end of all that was committed anywhere before: the answer's `committed_end`. Who
    /// has all below it has nothing older than the question.
    pub is_barrier: bool,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// A place in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct SnapshotPosition {
    /// The last offset that the snapshot stands for: which snapshot it is.
    pub upto: i64,
    /// Where the piece that is asked for begins: 0 for the first, else what the answer before said.
    pub position: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// Committed records, or a piece of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(api = 16002, versions = "0", flexible = "0..")]
pub struct PullMetadataResponse {
    /// The error's code, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[wire(nullable, default = null)]
    pub error_message: Option<Str>,
    /// The cluster's id.
    pub cluster_id: Str,
    /// The answering node's id.
    #[wire(default = -1)]
    pub node_id: i32,
    /// Who leads; -1 where it is not known.
    #[wire(default = -1)]
    pub leader_id: i32,
    /// The name or address at which the leader is reached, where the answering node knows it.
    #[wire(nullable, default = null)]
    pub leader_host: Option<Str>,
    /// The port at which the leader is reached.
    pub leader_port: u16,
    /// The epoch of the leadership; -1 where it is not known.
    #[wire(default = -1)]
    pub leader_epoch: i64,
    /// The end of what the answering node knows to be committed; -1 where it does not.
    #[wire(default = -1)]
    pub committed_end: i64,
    /// The snapshot that the records are a piece of, or that is to be read first where there are none; null where they are
    /// records of the log, from the offset asked for.
    #[wire(nullable, default = null)]
    pub snapshot: Option<SnapshotPiece>,
    /// The records.
    pub records: Vec<Bytes>,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}

/// What part of a snapshot it is.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct SnapshotPiece {
    /// The last offset that the snapshot stands for.
    pub upto: i64,
    /// Where the next piece begins; -1 after the last.
    #[wire(default = -1)]
    pub next_position: i64,
    /// Tagged fields from a newer version.
    pub unknown_tags: UnknownTags,
}
