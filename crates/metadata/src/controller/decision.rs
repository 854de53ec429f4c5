//! What the controller decides: records, where they may be cut into batches, and what to answer when they are committed.
//!
//! # Large decisions
//!
//! Fencing a broker can make a record for each of its partitions, which may be more than the log takes in one batch. Kafka
//! wraps such changes into metadata transactions (KIP-868); here they are made so that they need none. A decision says
//! between which of its records it may be cut, and keeps this promise: **every state that a cut can leave behind for good
//! is one in which all rules hold**, and which the same request, or [`super::Controller::activate`] of the next
//! controller, leads on from. What makes it so is the order of the records:
//!
//! - Every record about a partition is a whole step of that partition.
//! - What takes something from a broker (fencing, registration, controlled shutdown, a failed directory, unregistration)
//!   first takes it out of its partitions, and then says so of the broker. Cut in the middle, the broker is what it was
//!   before, with fewer leaderships; whoever wanted it fenced still does, since it is not.
//! - What gives something to a broker (unfencing) first says so of the broker, and then elects it. Cut in the middle, some
//!   partitions have no leader although one could lead: `activate` and `elect_leaderless` look for those.
//! - A topic with its partitions, and the changes of one resource's configuration, are never cut.

use bytes::Bytes;
use ottla_types::{BrokerId, ErrorCode, TopicId};

use crate::record::Record;

/// What is decided on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the records must be appended before the answer is given"]
pub struct Decision<A> {
    /// What to append, in this order. Empty: nothing changes.
    pub records: Vec<Record>,
    /// Between which records another batch may begin.
    pub cuts: Cuts,
    /// Leaders that are elected although they may lack records: to be told loudly.
    pub unclean: Vec<UncleanElection>,
    /// What to answer when all records are committed.
    pub answer: A,
}

/// How large batches of a decision become that may be cut anywhere. The leader of the log is heard with each of them: one of
/// tens of thousands of records takes the others longer to write than a leader may be silent.
pub const HANDY_BATCH_BYTES: usize = 256 * 1024;

/// Between which records of a decision another batch may begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cuts {
    /// Nowhere.
    #[default]
    Nowhere,
    /// Between any two.
    Anywhere,
    /// Before the records at these places, which rise.
    At(Vec<usize>),
}

/// A leader that may lack records that were committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UncleanElection {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub index: i32,
    /// Who leads.
    pub leader: BrokerId,
    /// Why it was taken.
    pub why: WhyUnclean,
}

/// Why somebody leads who may lack records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyUnclean {
    /// Nobody is left who is known to hold everything, and it led last (KIP-966).
    LastKnownLeader,
    /// The topic, or the operator, prefers any leader to none: `unclean.leader.election.enable`, or ElectLeaders.
    Allowed,
}

/// A part of a decision that goes into the log as one batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The records.
    pub records: Vec<Record>,
    /// Their bytes, in the same order.
    pub bytes: Vec<Bytes>,
}

/// A part of a decision that must not be cut is larger than a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the change takes {bytes} bytes, and {most} is the most that the metadata log takes at once")]
pub struct TooLarge {
    /// What it takes.
    pub bytes: usize,
    /// What a batch can hold.
    pub most: usize,
}

/// Why a request, or a part of it, is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Kafka's code.
    pub error: ErrorCode,
    /// For the person who reads it.
    pub message: String,
}

impl Refused {
    pub(crate) fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }
}

impl<A> Decision<A> {
    /// Records that go into the log together.
    pub fn whole(records: Vec<Record>, answer: A) -> Self {
        Self { records, cuts: Cuts::Nowhere, unclean: Vec::new(), answer }
    }

    /// Nothing changes, and this is answered: so can whoever only looks, at what is decided by then.
    pub fn unchanged(answer: A) -> Self {
        Self::whole(Vec::new(), answer)
    }

    /// The same with another answer.
    pub fn map<B>(self, answer: impl FnOnce(A) -> B) -> Decision<B> {
        let Self { records, cuts, unclean, answer: old } = self;
        Decision { records, cuts, unclean, answer: answer(old) }
    }

    /// This and then `next`, which was decided on what this leaves; a cut is possible between the two.
    pub(crate) fn then<B>(mut self, next: Decision<B>) -> Decision<B> {
        let (first, second) = (self.records.len(), next.records.len());
        let is_loose = |cuts: &Cuts, records: usize| records < 2 || *cuts == Cuts::Anywhere;
        let cuts = if is_loose(&self.cuts, first) && is_loose(&next.cuts, second) {
            Cuts::Anywhere
        } else {
            let mut places = self.cuts.places(first);
            places.push(first);
            places.extend(next.cuts.places(second).into_iter().map(|place| first + place));
            Cuts::At(places)
        };
        self.records.extend(next.records);
        self.unclean.extend(next.unclean);
        Decision { records: self.records, cuts, unclean: self.unclean, answer: next.answer }
    }

    /// Cuts the decision into batches of at most `most` bytes, four bytes for each record included, and of no more than
    /// [`HANDY_BATCH_BYTES`] where it may be cut so small. They must be appended
    /// in this order, each only if all before it are; who cannot append one resigns, since the next decisions see them
    /// all.
    ///
    /// # Errors
    /// A part that must not be cut is too large: nothing may be appended.
    pub fn batches(self, most: usize) -> Result<(Vec<Batch>, Vec<UncleanElection>, A), TooLarge> {
        let ends = self.cuts.ends(self.records.len());
        let (mut batches, mut batch, mut size) = (Vec::new(), Batch::default(), 0);
        let mut records = self.records.into_iter();
        let mut from = 0;
        for end in ends {
            let part: Vec<Record> = records.by_ref().take(end - from).collect();
            from = end;
            let bytes: Vec<Bytes> = part.iter().map(Record::to_bytes).collect();
            let part_size: usize = bytes.iter().map(|record| record.len() + 4).sum();
            if part_size > most {
                return Err(TooLarge { bytes: part_size, most });
            }
            if size > 0 && size + part_size > most.min(HANDY_BATCH_BYTES) {
                batches.push(std::mem::take(&mut batch));
                size = 0;
            }
            size += part_size;
            batch.records.extend(part);
            batch.bytes.extend(bytes);
        }
        if !batch.records.is_empty() {
            batches.push(batch);
        }
        Ok((batches, self.unclean, self.answer))
    }
}

impl Cuts {
    fn places(self, records: usize) -> Vec<usize> {
        match self {
            Self::Nowhere => Vec::new(),
            Self::Anywhere => (1..records).collect(),
            Self::At(places) => places,
        }
    }

    /// Where the parts end, of this many records.
    fn ends(&self, records: usize) -> Vec<usize> {
        let mut ends = self.clone().places(records);
        ends.retain(|place| *place > 0 && *place < records);
        if records > 0 {
            ends.push(records);
        }
        ends
    }
}
