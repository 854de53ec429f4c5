//! Hosts the controller: takes its decisions to the metadata log, and what is committed into the image that the rest of
//! the broker reads.
//!
//! One change at a time goes through decide, append, replay and publish, so that the image is always what a prefix of
//! the log says. What changes besides the image (logs to make or delete) is the caller's, under the same lock.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, MutexGuard, watch};
use tracing::error;

use ottla_broadcast::{AppendError, MetadataLog};
use ottla_metadata::controller::Refused;
use ottla_metadata::{Controller, Decision, Delta, Image, Record};
use ottla_types::{BrokerId, ErrorCode};

/// The controller with its log.
pub(crate) struct MetadataHost {
    node_id: BrokerId,
    image: watch::Sender<Arc<Image>>,
    deciding: Mutex<Deciding>,
}

/// What the holder of the decision lock works with.
pub(crate) struct Deciding {
    controller: Controller,
    /// `None` after the broker has stopped.
    log: Option<MetadataLog>,
    /// Why the log takes nothing more. An append whose outcome is unknown cannot be followed by another: what came
    /// after would have been decided on a state that may not be the log's.
    failed: Option<Arc<str>>,
}

/// A change that is committed.
pub(crate) struct Committed<A> {
    pub(crate) answer: A,
    pub(crate) image: Arc<Image>,
    pub(crate) delta: Delta,
}

impl MetadataHost {
    pub(crate) fn new(node_id: BrokerId, controller: Controller, log: MetadataLog) -> Self {
        let (image, _) = watch::channel(Arc::new(controller.committed().clone()));
        Self { node_id, image, deciding: Mutex::new(Deciding { controller, log: Some(log), failed: None }) }
    }

    /// What is committed, and replayed here.
    pub(crate) fn image(&self) -> Arc<Image> {
        self.image.borrow().clone()
    }

    /// The broker that clients are told to send administrative requests to: any takes them, so it is this one.
    pub(crate) fn controller_id(&self) -> BrokerId {
        self.node_id
    }

    /// Waits for the turn to change the metadata.
    pub(crate) async fn lock(&self) -> MutexGuard<'_, Deciding> {
        self.deciding.lock().await
    }

    /// Closes the metadata log; nothing can be changed any more.
    pub(crate) async fn close(&self) {
        let log = self.deciding.lock().await.log.take();
        if let Some(log) = log {
            log.close().await;
        }
    }

    /// Makes an image what requests see.
    pub(crate) fn publish(&self, image: Arc<Image>) {
        self.image.send_replace(image);
    }
}

impl Deciding {
    /// Decides a request and commits what is decided.
    ///
    /// # Errors
    /// The log cannot be written: nothing is changed, as far as this run of the broker will ever say.
    pub(crate) async fn change<A>(
        &mut self,
        decide: impl FnOnce(&mut Controller) -> Decision<A>,
    ) -> Result<Committed<A>, Refused> {
        if let Some(reason) = &self.failed {
            return Err(unavailable(reason));
        }
        let before = self.controller.committed().clone();
        let Decision { records, answer } = decide(&mut self.controller);
        if !records.is_empty() {
            let batch: Vec<Bytes> = records.iter().map(|record| record.to_bytes()).collect();
            self.commit(batch, &records).await?;
        }
        let delta = Delta::of(&before, self.controller.committed(), &records);
        Ok(Committed { answer, image: Arc::new(self.controller.committed().clone()), delta })
    }
}

impl Deciding {
    async fn commit(&mut self, batch: Vec<Bytes>, records: &[Record]) -> Result<(), Refused> {
        let Some(log) = &self.log else { return Err(unavailable("the broker stops")) };
        let failure = match log.append(batch).await {
            Ok(offset) => match self.controller.replay(offset, records) {
                Ok(()) => return Ok(()),
                Err(error) => error.to_string(),
            },
            Err(AppendError::Rejected(reason)) => {
                self.controller.abandon();
                return Err(Refused { error: ErrorCode::PolicyViolation, message: reason });
            }
            Err(error @ AppendError::Unknown(_)) => error.to_string(),
        };
        error!("the metadata log takes no more changes until the broker is started again: {failure}");
        self.controller.abandon();
        self.failed = Some(failure.as_str().into());
        Err(unavailable(&failure))
    }
}

fn unavailable(reason: &str) -> Refused {
    Refused {
        error: ErrorCode::KafkaStorageError,
        message: format!("the metadata log cannot be written: {reason}"),
    }
}
