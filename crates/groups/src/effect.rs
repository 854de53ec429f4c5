//! What a decision consists of, and how the shell names what it asks and what it writes.

use crate::answer::Answer;

/// The shell's name for a request that waits for its answer. Each is answered exactly once, at the latest by
/// [`Shard::stop`](crate::Shard::stop). The shell does not use one twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names the records of one decision. Later decisions have larger ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(pub(crate) u64);

/// A record for the log of the offsets partition, in Kafka's format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// What follows from a request or from the passing of time.
#[derive(Debug, Default)]
#[must_use = "its records are to be appended, and its effects carried out"]
pub struct Decision {
    /// The name of the records; there is one exactly if there are records. The shell appends them in the order of
    /// decisions, and says [`committed`](crate::Shard::committed), [`failed`](crate::Shard::failed) or
    /// [`failed_in_part`](crate::Shard::failed_in_part) later.
    pub change: Option<ChangeId>,
    /// What to append. Records of one request belong into one batch, unless [`may_split`](Self::may_split) is set.
    pub records: Vec<Record>,
    /// Whether the records may go into more than one batch: each of them is right without the others.
    pub may_split: bool,
    /// What to do at once, whether or not the records get written.
    pub effects: Vec<Effect>,
}

/// Something for the shell to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Answer the request that waits under this ticket.
    Answer {
        /// The request.
        ticket: Ticket,
        /// Its answer.
        answer: Answer,
    },
}
