//! Snapshots of the metadata log, so that a start replays little. Without one the next start takes longer, and nothing is
//! lost: so a failure is reported, and tried again when the next one is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;
use tracing::warn;

use ottla_metadata::Record;

use super::Metadata;

/// When the next snapshot is due.
pub(super) struct Snapshots {
    /// Bytes of records that a start would have to replay after the last one.
    unsnapshotted_bytes: AtomicUsize,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    every_bytes: usize,
    due: Notify,
}

impl Snapshots {
    pub(super) fn every(every_bytes: usize) -> Self {
        Self { unsnapshotted_bytes: AtomicUsize::new(0), every_bytes, due: Notify::new() }
    }

    /// Takes note of replayed records.
    pub(super) fn note(&self, bytes: usize) {
        let before = self.unsnapshotted_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) >= self.every_bytes {
            self.due.notify_one();
        }
    }

    /// A snapshot was delivered.
    pub(super) fn begin_anew(&self) {
        self.unsnapshotted_bytes.store(0, Ordering::Relaxed);
    }
}

/// Writes snapshots when they are due, until the metadata change no more.
pub(super) async fn run(metadata: Arc<Metadata>) {
    loop {
        tokio::select! {
            biased;
            _ = metadata.over() => return,
            () = metadata.snapshots.due.notified() => metadata.write_snapshot().await,
        }
    }
}

impl Metadata {
    /// Has a snapshot written soon, if there is anything new.
    pub(crate) fn request_snapshot(&self) {
        self.snapshots.due.notify_one();
    }

    pub(super) async fn write_snapshot(&self) {
        if !self.log.keeps_snapshots() {
            return;
        }
        let bytes = self.snapshots.unsnapshotted_bytes.load(Ordering::Relaxed);
        let image = self.host.image();
        let Some(upto) = image.offset().filter(|_| bytes > 0) else { return };
        let records: Vec<Bytes> = image.to_records().iter().map(Record::to_bytes).collect();
        match self.log.snapshot(upto, records).await {
            // What was replayed meanwhile is for the next one.
            Ok(()) => drop(self.snapshots.unsnapshotted_bytes.fetch_update(
                Ordering::Relaxed,
                Ordering::Relaxed,
                |now| Some(now.saturating_sub(bytes)),
            )),
            Err(error) => warn!(%error, "cannot write a snapshot of the metadata"),
        }
    }
}
