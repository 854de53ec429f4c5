//! Hosts the controller: takes its decisions to the metadata log, and what is committed into the image that the rest of
//! the broker reads.
//!
//! One change at a time goes through decide, append, replay and publish, so that the image is always what a prefix of
//! the log says. What changes besides the image (logs to make or delete) is the caller's, under the same lock.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, MutexGuard, watch};
use tracing::{error, warn};

use ottla_broadcast::{AppendError, MetadataLog};
use ottla_metadata::controller::Refused;
use ottla_metadata::{Controller, Decision, Delta, Image, Record};
use ottla_types::config::Settings;
use ottla_types::config::broker::node::METADATA_LOG_MAX_RECORD_BYTES_BETWEEN_SNAPSHOTS;
use ottla_types::{BrokerId, ErrorCode};

/// The controller with its log.
pub(crate) struct MetadataHost {
    node_id: BrokerId,
    image: watch::Sender<Arc<Image>>,
    deciding: Mutex<Deciding>,
    failed: watch::Receiver<Option<Arc<str>>>,
}

/// What the holder of the decision lock works with.
pub(crate) struct Deciding {
    controller: Controller,
    /// `None` after the broker has stopped.
    log: Option<MetadataLog>,
    /// Why the log takes nothing more. An append whose outcome is unknown cannot be followed by another: what came
    /// after would have been decided on a state that may not be the log's.
    failed: watch::Sender<Option<Arc<str>>>,
    /// Bytes of records that a start would have to replay after the last snapshot.
    unsnapshotted_bytes: usize,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    snapshot_every_bytes: usize,
}

/// A change that is committed.
pub(crate) struct Committed<A> {
    pub(crate) answer: A,
    pub(crate) image: Arc<Image>,
    pub(crate) delta: Delta,
}

impl MetadataHost {
    /// Hosts `controller` on a log of which `replayed_bytes` come after its last snapshot.
    pub(crate) fn new(
        settings: &Settings,
        controller: Controller,
        log: MetadataLog,
        replayed_bytes: usize,
    ) -> Self {
        let (image, _) = watch::channel(Arc::new(controller.committed().clone()));
        let between = settings.get(&METADATA_LOG_MAX_RECORD_BYTES_BETWEEN_SNAPSHOTS);
        let (failed, failure) = watch::channel(None);
        let deciding = Deciding {
            controller,
            log: Some(log),
            failed,
            unsnapshotted_bytes: replayed_bytes,
            snapshot_every_bytes: usize::try_from(between).unwrap_or(usize::MAX),
        };
        Self { node_id: settings.node_id(), image, deciding: Mutex::new(deciding), failed: failure }
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

    /// Why the metadata log takes nothing more, if that is so.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.failed.borrow().clone()
    }

    /// Waits until the metadata log takes nothing more, and tells why. Safe to cancel.
    pub(crate) async fn failed(&self) -> Arc<str> {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(reason)) => Arc::clone(reason),
            // The sender is in `self`.
            Ok(None) | Err(_) => std::future::pending().await,
        }
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
        if let Some(reason) = self.failed.borrow().as_deref() {
            return Err(unavailable(reason));
        }
        if self.log.is_none() {
            return Err(unavailable("the broker stops"));
        }
        let before = self.controller.committed().clone();
        let Decision { records, answer, .. } = decide(&mut self.controller);
        if !records.is_empty() {
            let batch: Vec<Bytes> = records.iter().map(|record| record.to_bytes()).collect();
            let bytes = batch.iter().map(Bytes::len).sum::<usize>();
            if let Err(refused) = self.commit(batch, &records).await {
                // Whatever went wrong, the next request is not decided on what is not committed.
                self.controller.abandon();
                return Err(refused);
            }
            self.unsnapshotted_bytes = self.unsnapshotted_bytes.saturating_add(bytes);
            if self.unsnapshotted_bytes >= self.snapshot_every_bytes {
                self.snapshot().await;
            }
        }
        let delta = Delta::of(&before, self.controller.committed(), &records);
        Ok(Committed { answer, image: Arc::new(self.controller.committed().clone()), delta })
    }

    async fn commit(&mut self, batch: Vec<Bytes>, records: &[Record]) -> Result<(), Refused> {
        let Some(log) = &self.log else { return Err(unavailable("the broker stops")) };
        let failure = match log.append(batch).await {
            Ok(offset) => match self.controller.replay(offset, records) {
                Ok(()) => return Ok(()),
                Err(error) => error.to_string(),
            },
            Err(error @ AppendError::TooLarge { .. }) => {
                return Err(Refused { error: ErrorCode::PolicyViolation, message: error.to_string() });
            }
            Err(error @ (AppendError::Io(_) | AppendError::Rejected(_))) => {
                error!("a change of the metadata is lost, and the next one may succeed: {error}");
                return Err(Refused { error: ErrorCode::KafkaStorageError, message: error.to_string() });
            }
            Err(error @ AppendError::Unknown(_)) => error.to_string(),
        };
        error!("the metadata log takes no more changes until the broker is started again: {failure}");
        self.failed.send_replace(Some(failure.as_str().into()));
        Err(unavailable(&failure))
    }

    /// Writes a snapshot of what is committed, if anything is since the last one. Without it the next start takes longer,
    /// and nothing is lost: so a failure is reported, and tried again when the next one is due.
    pub(crate) async fn snapshot(&mut self) {
        if self.unsnapshotted_bytes == 0 {
            return;
        }
        let image = self.controller.committed();
        let (Some(log), Some(upto)) = (&self.log, image.offset()) else { return };
        let records = image.to_records().iter().map(Record::to_bytes).collect();
        match log.snapshot(upto, records).await {
            Ok(()) => self.unsnapshotted_bytes = 0,
            Err(error) => warn!(%error, "cannot write a snapshot of the metadata"),
        }
    }
}

fn unavailable(reason: &str) -> Refused {
    Refused {
        error: ErrorCode::KafkaStorageError,
        message: format!("the metadata log cannot be written: {reason}"),
    }
}

#[cfg(test)]
#[path = "metadata_host_tests.rs"]
mod tests;
