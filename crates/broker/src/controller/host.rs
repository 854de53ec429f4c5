//! The metadata as far as they are replayed, and the decisions that run ahead of them while this node leads.
//!
//! A request is decided and its records are handed to the log under one lock and without a pause in between, so that the
//! order of decisions is the order of the log, and nobody who gives up waiting leaves a decision half done. What then
//! becomes of it the deliveries of the log say, in order: records are replayed, whether somebody still waits for them or
//! not, and with the end of the leadership all that is decided and not committed is forgotten.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use ottla_broadcast::{Appending, AtomicBroadcast, Refused as NotTaken};
use ottla_metadata::controller::Refused;
use ottla_metadata::image::ReplayError;
use ottla_metadata::{Controller, Decision, Image, Record};
use ottla_types::config::Settings;
use ottla_types::{ErrorCode, LeadershipEpoch, Offset};

/// What a batch takes besides its records, in bytes.
pub(crate) const BATCH_OVERHEAD_BYTES: usize = 256;

/// What a record takes besides its bytes, in bytes.
const RECORD_OVERHEAD_BYTES: usize = 4;

/// What is replayed, and what is decided.
pub(crate) struct ControllerHost {
    log: Arc<dyn AtomicBroadcast>,
    settings: Arc<Settings>,
    role: Mutex<Role>,
    /// The epoch in which this node leads.
    epoch: watch::Sender<Option<LeadershipEpoch>>,
}

enum Role {
    /// Another node decides, or none does.
    Following(Image),
    /// This node decides.
    Leading(Box<Leading>),
}

struct Leading {
    epoch: LeadershipEpoch,
    controller: Controller,
    /// The offset after the last record that is decided: while this node leads, nobody else appends.
    decided_end: Offset,
}

/// A request that is decided, and not yet committed.
pub(crate) struct Decided<A> {
    /// What to answer once everything below `end` is committed.
    pub(crate) answer: A,
    /// The leadership in which it was decided.
    pub(crate) epoch: LeadershipEpoch,
    /// The offset after the last record that was decided by then, those of earlier requests included.
    pub(crate) end: Offset,
    /// What becomes of its own records; `None` where it has none.
    pub(crate) appending: Option<Appending>,
    /// How much room they take while they are under way, in bytes.
    pub(crate) weight: usize,
}

impl ControllerHost {
    pub(crate) fn new(log: Arc<dyn AtomicBroadcast>, settings: Arc<Settings>) -> Self {
        let role = Mutex::new(Role::Following(Image::default()));
        Self { log, settings, role, epoch: watch::Sender::new(None) }
    }

    /// The metadata as far as they are replayed.
    pub(crate) fn image(&self) -> Image {
        self.lock().image().clone()
    }

    /// The epoch in which this node leads, if it does.
    pub(crate) fn epoch(&self) -> watch::Receiver<Option<LeadershipEpoch>> {
        self.epoch.subscribe()
    }

    /// Replays committed records, the first of which is at `first`, and returns what they lead to.
    ///
    /// # Errors
    /// They do not follow: this node must not go on.
    pub(crate) fn replay(&self, first: Offset, records: &[Record]) -> Result<Image, ReplayError> {
        let mut role = self.lock();
        match &mut *role {
            Role::Leading(leading) => leading.controller.replay(first, records)?,
            Role::Following(image) => {
                for (offset, record) in (first.0..).zip(records) {
                    image.replay(Offset(offset), record)?;
                }
            }
        }
        Ok(role.image().clone())
    }

    /// Takes what a snapshot led to for what is replayed. It comes to nodes that do not lead.
    pub(crate) fn replace(&self, image: Image) {
        *self.lock() = Role::Following(image);
        self.epoch.send_replace(None);
    }

    /// This node leads from here on.
    pub(crate) fn lead(&self, epoch: LeadershipEpoch) {
        let mut role = self.lock();
        let image = role.image().clone();
        let decided_end = end_of(&image);
        let controller = Controller::new(image, Arc::clone(&self.settings));
        *role = Role::Leading(Box::new(Leading { epoch, controller, decided_end }));
        drop(role);
        self.epoch.send_replace(Some(epoch));
    }

    /// The leadership is over. What is decided and not committed is forgotten.
    pub(crate) fn follow(&self) {
        let mut role = self.lock();
        let image = role.image().clone();
        *role = Role::Following(image);
        drop(role);
        self.epoch.send_replace(None);
    }

    /// Decides a request on all that was decided before it, and hands its records to the log.
    ///
    /// # Errors
    /// This node does not lead, or the log does not take the records. Nothing is changed then.
    pub(crate) fn decide<A>(
        &self,
        decide: impl FnOnce(&mut Controller) -> Decision<A>,
    ) -> Result<Decided<A>, Refused> {
        let mut role = self.lock();
        let Role::Leading(leading) = &mut *role else { return Err(not_controller()) };
        // A clone costs a few reference counts.
        let before = leading.controller.clone();
        let Decision { records, answer, .. } = decide(&mut leading.controller);
        let epoch = leading.epoch;
        if records.is_empty() {
            return Ok(Decided { answer, epoch, end: leading.decided_end, appending: None, weight: 0 });
        }
        let batch: Vec<Bytes> = records.iter().map(Record::to_bytes).collect();
        let (count, weight) = (batch.len(), weight_of(&batch));
        match self.log.append(epoch, batch) {
            Ok(appending) => {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                leading.decided_end = Offset(leading.decided_end.0.saturating_add(count));
                Ok(Decided { answer, epoch, end: leading.decided_end, appending: Some(appending), weight })
            }
            Err(not_taken) => {
                leading.controller = before;
                Err(refused(&not_taken))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Role> {
        self.role.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Role {
    fn image(&self) -> &Image {
        match self {
            Self::Following(image) => image,
            Self::Leading(leading) => leading.controller.committed(),
        }
    }
}

/// What a batch under way is counted for: its records with their lengths, and what holds them.
fn weight_of(batch: &[Bytes]) -> usize {
    BATCH_OVERHEAD_BYTES + batch.iter().map(|record| record.len() + RECORD_OVERHEAD_BYTES).sum::<usize>()
}

/// The offset after the last record that an image stands for.
pub(crate) fn end_of(image: &Image) -> Offset {
    Offset(image.offset().map_or(0, |last| last.0.saturating_add(1)))
}

/// What a client is told when the log does not take what it asked for.
pub(crate) fn refused(not_taken: &NotTaken) -> Refused {
    let error = match not_taken {
        NotTaken::NotLeading { .. } | NotTaken::Closed => return not_controller(),
        NotTaken::TooLarge { .. } => ErrorCode::PolicyViolation,
        NotTaken::Busy { .. } => ErrorCode::RequestTimedOut,
        NotTaken::Io(_) => ErrorCode::KafkaStorageError,
        NotTaken::Empty => ErrorCode::UnknownServerError,
    };
    Refused { error, message: not_taken.to_string() }
}

/// What a client is told that should ask another node, or again.
pub(crate) fn not_controller() -> Refused {
    let message = "This is not the correct controller for this cluster.".to_owned();
    Refused { error: ErrorCode::NotController, message }
}
