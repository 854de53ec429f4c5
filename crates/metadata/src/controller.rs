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
//! 2. append its [`Decision::batches`] to the log in their order (none: skip to 4 when everything decided before is
//!    committed);
//! 3. hand each batch that is committed, with its offset, to [`Controller::replay`];
//! 4. send the answer when all of them are.
//!
//! A decision is never given up between 1 and 3: its records may be in the log by then, and an image that passes over
//! them is another one than its peers have. A shell whose tasks can be dropped hosts this machine on one that is not.
//!
//! When an append fails, or leadership ends, it answers everything outstanding with an error and calls
//! [`Controller::abandon`]: at once if nothing is under way, and else when it is known what of it was committed. A node
//! that begins to lead calls [`Controller::activate`] first. NOT_CONTROLLER is the shell's to answer.
//!
//! Time, randomness and settings arrive as arguments. One file per request.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_types::config::Settings;
use ottla_types::{BrokerId, Offset};

use crate::image::{Image, ReplayError};
use crate::record::Record;

mod activate;
pub mod brokers;
pub mod configs;
pub mod create_partitions;
pub mod create_topics;
pub mod decision;
pub mod delete_topics;
pub mod features;
pub mod placement;
pub mod producer_ids;
pub mod replication;

use brokers::heartbeat::Seen;
pub use decision::{Batch, Cuts, Decision, Refused, TooLarge, UncleanElection, WhyUnclean};

/// The most partitions that one request creates, and about the most records that it makes.
pub const MAX_PARTITIONS_PER_REQUEST: usize = 10_000;

/// The machine.
#[derive(Debug, Clone)]
pub struct Controller {
    committed: Image,
    speculative: Image,
    /// How many records are decided and not replayed yet.
    outstanding: usize,
    settings: Arc<Settings>,
    seen: BTreeMap<BrokerId, Seen>,
}

impl Controller {
    /// A controller that continues from an image. The settings are its node's own: they give the defaults.
    #[must_use]
    pub fn new(image: Image, settings: Arc<Settings>) -> Self {
        let mut controller = Self {
            speculative: image.clone(),
            committed: image,
            outstanding: 0,
            settings,
            seen: BTreeMap::new(),
        };
        controller.forget_seen();
        controller
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
            self.see(Offset(offset), record);
        }
        self.outstanding = self.outstanding.saturating_sub(records.len());
        if self.outstanding == 0 {
            // Both say the same now. As one value they take half the memory.
            self.speculative = self.committed.clone();
        }
        Ok(())
    }

    /// Forgets all that is decided and not committed. Some of a decision may be, so who goes on leading calls
    /// [`Self::activate`] next.
    pub fn abandon(&mut self) {
        self.outstanding = 0;
        self.speculative = self.committed.clone();
    }

    /// Takes records over into the speculative image. They are one batch.
    fn decide<A>(&mut self, records: Vec<Record>, answer: A) -> Decision<A> {
        self.decide_cut(records, Cuts::Nowhere, answer)
    }

    /// Takes records over into the speculative image, which may be cut into batches.
    fn decide_cut<A>(&mut self, records: Vec<Record>, cuts: Cuts, answer: A) -> Decision<A> {
        for record in &records {
            let applied = self.speculative.apply(record);
            assert!(applied.is_ok(), "the controller decided a record that does not fit: {applied:?}");
        }
        self.outstanding += records.len();
        Decision { records, cuts, unclean: Vec::new(), answer }
    }

    /// Takes note of where registrations are in the log.
    fn see(&mut self, offset: Offset, record: &Record) {
        match record {
            Record::RegisterBroker(r) => {
                let known = self.seen.get(&r.id).filter(|seen| seen.epoch == r.epoch);
                let replayed = known.and_then(|seen| seen.replayed);
                let seen = Seen { epoch: r.epoch, registered_at: offset, replayed, moved_at: None };
                self.seen.insert(r.id, seen);
            }
            Record::UnregisterBroker(r) => drop(self.seen.remove(&r.id)),
            _ => {}
        }
    }

    /// Where each registration is in the log is not in the image; but it is not behind its end.
    fn forget_seen(&mut self) {
        let registered_at = self.committed.offset().unwrap_or(Offset(-1));
        let brokers = self.committed.brokers().map(|broker| &broker.registration);
        self.seen = brokers
            .map(|r| (r.id, Seen { epoch: r.epoch, registered_at, replayed: None, moved_at: None }))
            .collect();
    }
}
