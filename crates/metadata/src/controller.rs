//! The controller: decides requests into metadata records.
//!
//! It holds two images. *Committed* is what the log is known to hold. *Speculative* is that and all records decided
//! since, so that the next request sees the one before it although that is not committed yet. A request is decided on
//! the speculative image; its answer is given only when the log has its records, and is void if the log does not get
//! them.
//!
//! The shell that hosts this machine does, for each request:
//!
//! 1. call the request's function, which gives a [`Decision`];
//! 2. append the records to the log as one batch (none: skip to 4 when everything decided before is committed);
//! 3. hand the batch, with its offset, to [`Controller::replay`];
//! 4. send the answer.
//!
//! A decision is never given up between 1 and 3: its records may be in the log by then, and an image that passes over
//! them is another one than its peers have. A shell whose tasks can be dropped hosts this machine on one that is not.
//!
//! When an append fails it calls [`Controller::abandon`], and answers everything outstanding with an error.
//!
//! Time, randomness and settings arrive as arguments. One file per request.

use std::sync::Arc;

use ottla_types::config::Settings;
use ottla_types::{ErrorCode, Offset};

use crate::image::{Image, ReplayError};
use crate::record::Record;

pub mod brokers;
pub mod configs;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_topics;
pub mod placement;
pub mod producer_ids;

/// The most partitions that one request creates, and about the most records that it makes.
pub const MAX_PARTITIONS_PER_REQUEST: usize = 10_000;

/// The machine.
#[derive(Debug, Clone)]
pub struct Controller {
    committed: Image,
    speculative: Image,
    settings: Arc<Settings>,
}

/// What is decided on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the records must be appended before the answer is given"]
pub struct Decision<A> {
    /// What to append, as one batch. Empty: nothing changes.
    pub records: Vec<Record>,
    /// What to answer when they are committed.
    pub answer: A,
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

impl Controller {
    /// A controller that continues from an image. The settings are its node's own: they give the defaults.
    #[must_use]
    pub fn new(image: Image, settings: Arc<Settings>) -> Self {
        Self { speculative: image.clone(), committed: image, settings }
    }

    /// What the log is known to hold.
    #[must_use]
    pub fn committed(&self) -> &Image {
        &self.committed
    }

    /// What it will hold if every append succeeds.
    #[must_use]
    pub fn speculative(&self) -> &Image {
        &self.speculative
    }

    /// Applies records that are committed, in the order of the log; the first is at `offset`.
    ///
    /// # Errors
    /// The records do not follow from the committed image: this node must not go on.
    pub fn replay(&mut self, offset: Offset, records: &[Record]) -> Result<(), ReplayError> {
        for (record, offset) in records.iter().zip(offset.0..) {
            self.committed.replay(Offset(offset), record)?;
        }
        Ok(())
    }

    /// Forgets all that is decided and not committed.
    pub fn abandon(&mut self) {
        self.speculative = self.committed.clone();
    }

    /// Takes records over into the speculative image.
    fn decide<A>(&mut self, records: Vec<Record>, answer: A) -> Decision<A> {
        for record in &records {
            let applied = self.speculative.apply(record);
            assert!(applied.is_ok(), "the controller decided a record that does not fit: {applied:?}");
        }
        Decision { records, answer }
    }
}
