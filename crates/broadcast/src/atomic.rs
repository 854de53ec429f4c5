//! The trait [`AtomicBroadcast`], and what passes through it.
//!
//! It is what the rest of the system knows of agreement: one totally ordered log of records, one leader at a time that
//! may append, and every node is handed the same records in the same order. How nodes agree is an implementation's
//! matter, and no word of it is here: an embedded quorum and a ZooKeeper ensemble must look alike.
//!
//! Records are opaque bytes. Their offsets count from 0 without gaps; a batch of n records takes n offsets.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use ottla_types::{BrokerId, LeadershipEpoch, Offset};
use tokio::sync::{mpsc, watch};

/// A future in a box, so that the trait can be used as an object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What becomes of an append that was taken.
pub type Appending = BoxFuture<'static, Appended>;

/// The end of a node's deliveries that its user holds. Bounded: who leaves deliveries waiting holds up the log of this
/// node, appends included.
pub type DeliveryReceiver = mpsc::Receiver<Delivery>;

/// A totally ordered log that nodes agree on.
///
/// # Leadership
/// A node may append after it was handed [`Delivery::Leading`], under the epoch named there, until that epoch ends. An
/// epoch ends when another node leads, by [`AtomicBroadcast::resign`], and with the first append that was taken and is
/// not committed. So whoever decides on a state that runs ahead of the log drops what runs ahead when the epoch ends, and
/// never in the middle of one.
///
/// # Order
/// Deliveries are one sequence. Before [`Delivery::Leading`] everything was delivered that was ever committed under an
/// earlier epoch. After it, and until the epoch ends, nothing is committed but what this node appends, in the order in
/// which it called [`AtomicBroadcast::append`].
pub trait AtomicBroadcast: Send + Sync + 'static {
    /// Asks for a batch to be appended: as a whole, or not at all. Any number may be under way; their order is that of
    /// the calls, not that in which the futures are polled, and they are answered in it.
    ///
    /// When the future says [`Appended::Committed`], the delivery of the batch is already in the channel. So deliveries
    /// must be taken while an append is waited for.
    ///
    /// # Errors
    /// The batch was not taken: nothing has changed, and nothing of it will ever be in the log. Leadership goes on,
    /// unless the error is that there is none.
    fn append(&self, epoch: LeadershipEpoch, records: Vec<Bytes>) -> Result<Appending, Refused>;

    /// What is committed, and whether this node leads, from the start of the log or from a snapshot on. There is one
    /// receiver: `None` after the first call.
    fn deliveries(&self) -> Option<DeliveryReceiver>;

    /// Who seems to lead. A hint: it may be late, and what is ordered are the deliveries.
    fn leader(&self) -> watch::Receiver<LeaderHint>;

    /// The offset that the next record gets, or a later one: everything that was committed anywhere before the call lies
    /// below it. Who has been delivered all below it has a state that is not older than the call.
    ///
    /// # Errors
    /// That cannot be found out now; asking again later may succeed.
    fn read_barrier(&self) -> BoxFuture<'_, Result<Offset, NoQuorum>>;

    /// Committed records from `from` on: as many as fit into `max_bytes`, and one at least if there is any. Any node
    /// answers from what it knows to be committed, which may be behind.
    fn read(&self, from: Offset, max_bytes: usize) -> BoxFuture<'_, Result<Read, ReadError>>;

    /// A piece of the snapshot up to `upto`, of `max_bytes` or what one write of it took: the first at position 0, the
    /// next where [`SnapshotPiece::next`] says.
    fn read_snapshot(
        &self,
        upto: Offset,
        position: u64,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<SnapshotPiece, ReadError>>;

    /// Whether snapshots are of use here: a node that keeps no log needs none.
    fn keeps_snapshots(&self) -> bool {
        true
    }

    /// Keeps records that lead to the same state as all up to `upto`, which was delivered here; what they make
    /// superfluous may be deleted. Each node makes its own snapshots.
    ///
    /// # Errors
    /// There is no new snapshot, and nothing is lost.
    fn snapshot(&self, upto: Offset, records: Vec<Bytes>) -> BoxFuture<'_, Result<(), SnapshotError>>;

    /// Ends the given epoch, if it is this node's and goes on. Appends that are under way may still be committed.
    fn resign(&self, epoch: LeadershipEpoch);

    /// The largest batch: its records and four bytes for each.
    fn max_batch_bytes(&self) -> usize;

    /// Hands leadership to another node where there is one, ends what is under way, and closes the log. Nothing is
    /// delivered or taken after it; a second call does nothing.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What became of an append that was taken.
#[derive(Debug, Clone)]
pub enum Appended {
    /// It is in the log for good. Its first record has this offset, the others follow it.
    Committed(Offset),
    /// Nothing of it is in the log, nor will it ever be. The epoch has ended.
    Rejected(Refused),
    /// It may be in the log, or come to be: deliveries will tell. The epoch has ended.
    Unknown(Arc<str>),
}

/// Why records are not in the log and never will be.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// This node does not lead, or not under the epoch that was named.
    #[error("this node does not lead the metadata log under epoch {asked}{}", led_by(.leader))]
    NotLeading {
        /// The epoch that was named.
        asked: LeadershipEpoch,
        /// Who seems to lead.
        leader: Option<BrokerId>,
    },
    /// A batch of nothing.
    #[error("the metadata log takes no batch without records")]
    Empty,
    /// The batch is larger than any may be.
    #[error("a batch for the metadata log has {bytes} bytes, and {most} is the most: ask for less at once")]
    TooLarge {
        /// Its length, as [`AtomicBroadcast::max_batch_bytes`] counts.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// So much is under way that no more is taken: ask again when some of it is answered.
    #[error("the metadata log has {bytes} bytes under way, and takes more when some of them are answered")]
    Busy {
        /// How much is under way.
        bytes: usize,
    },
    /// The disk failed before anything was written, or what was written could be taken back.
    #[error("the metadata log cannot be written: {0}")]
    Io(Arc<io::Error>),
    /// The log was closed, or has failed for good.
    #[error("the metadata log is closed")]
    Closed,
}

fn led_by(leader: &Option<BrokerId>) -> String {
    leader.map_or_else(String::new, |leader| format!("; node {leader} seems to"))
}

/// What a node is handed, in one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Records of a snapshot. They stand for all up to `upto`, and for whatever was delivered before: the first piece
    /// begins a new state, and with the last one it is whole. Where something else comes between them, the pieces before
    /// it mean nothing: that snapshot will not be whole.
    Snapshot {
        /// The last offset that the snapshot stands for.
        upto: Offset,
        /// Whether a new state begins here.
        is_first: bool,
        /// Whether the state is whole with this piece.
        is_last: bool,
        /// The piece's records.
        records: Vec<Bytes>,
    },
    /// Committed records: one batch or several, each of them whole.
    Committed {
        /// The offset of the first; the others follow it.
        first: Offset,
        /// The records.
        records: Vec<Bytes>,
    },
    /// This node leads from here on, and may append under this epoch.
    Leading {
        /// Higher than any before it, on any node.
        epoch: LeadershipEpoch,
    },
    /// The leadership announced last is over. Records appended under it may still follow.
    NotLeading {
        /// The epoch that ended.
        epoch: LeadershipEpoch,
        /// Who seems to lead now.
        leader: Option<BrokerId>,
    },
    /// This node's storage has failed: it takes and delivers nothing more until it is started again. The last delivery.
    Failed {
        /// What failed, with the file.
        reason: Arc<str>,
    },
}

/// Who seems to lead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeaderHint {
    /// The node, if any seems to.
    pub leader: Option<BrokerId>,
    /// The highest epoch known here; 0 before the first.
    pub epoch: LeadershipEpoch,
}

/// What [`AtomicBroadcast::read`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// Records, as they lie in the log.
    Records {
        /// The offset of the first.
        first: Offset,
        /// The records.
        records: Vec<Bytes>,
    },
    /// The log does not go back that far any more: [`AtomicBroadcast::read_snapshot`] does, and the records behind it
    /// are here.
    NeedsSnapshot {
        /// The last offset that the newest snapshot stands for.
        upto: Offset,
    },
    /// There is nothing yet at that offset.
    Nothing {
        /// The offset after the last record that is known here to be committed.
        end: Offset,
    },
}

/// A piece of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPiece {
    /// Its records.
    pub records: Vec<Bytes>,
    /// Where the next piece begins; `None` after the last.
    pub next: Option<u64>,
}

/// Why something cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// There is no such snapshot, any more or at all: begin again with [`AtomicBroadcast::read`].
    #[error("there is no metadata snapshot up to offset {0} here")]
    NoSnapshot(Offset),
    /// No piece of the snapshot begins there.
    #[error("no piece of the metadata snapshot up to offset {upto} begins at {position}: {why}")]
    Position {
        /// The snapshot.
        upto: Offset,
        /// What was asked for.
        position: u64,
        /// What is found there.
        why: String,
    },
    /// The disk failed, or what is on it is damaged.
    #[error("the metadata log cannot be read: {0}")]
    Storage(Arc<str>),
    /// The log was closed, or has failed for good.
    #[error("the metadata log is closed")]
    Closed,
}

/// Why there is no new snapshot.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SnapshotError {
    /// That offset was not delivered here, or an equal or newer snapshot is there.
    #[error("no metadata snapshot up to offset {upto} can be made: {why}")]
    Offset {
        /// What was asked for.
        upto: Offset,
        /// Why not.
        why: &'static str,
    },
    /// A record is larger than any batch may be.
    #[error("a record for a metadata snapshot has {bytes} bytes, and {most} is the most")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// The disk failed.
    #[error("the metadata snapshot cannot be written: {0}")]
    Io(Arc<io::Error>),
    /// The log was closed, or has failed for good.
    #[error("the metadata log is closed")]
    Closed,
}

/// Too few nodes agree now on who leads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the metadata log has no leader that a majority follows{}", .0)]
pub struct NoQuorum(pub String);
