//! Flushing and closing many logs at once: their last bytes are written, the whole file system is synced, and only then is
//! it noted that they are durable. An fsync of each file, of which a log has several, takes minutes for 10,000 logs.
//!
//! The steps are separate calls, for the sync between them is one for all logs: see `dirs::bulk`.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use ottla_types::Offset;
use tokio::sync::MutexGuard;

use super::{Log, Writer};
use crate::Result;
use crate::format::names::LEADER_EPOCH_CHECKPOINT;
use crate::format::{atomic, checkpoint};
use crate::sync::lock;

/// What the first step wrote for a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    end: Offset,
    generation: u64,
    /// The leader epochs lie beside their file.
    epochs: bool,
}

impl Log {
    /// Whether nothing was appended since the last call, though there are records that are not durable.
    pub(crate) fn is_idle_unflushed(&self) -> bool {
        let end = self.end_offset();
        self.seen_end.swap(end.0, Ordering::AcqRel) == end.0 && self.flushed_offset() < end
    }

    /// Keeps others from flushing or truncating the log until all steps are done.
    pub(crate) async fn hold_flushes(&self) -> MutexGuard<'_, ()> {
        self.flusher.lock().await
    }

    /// The first step for a log that is to be closed: writes all that its next start needs.
    pub(crate) async fn write_out_to_close(&self) -> Result<Written> {
        let mut writer = self.writer.lock().await;
        let _flusher = self.flusher.lock().await;
        self.check_open()?;
        let end = self.end_offset();
        if end.0 > 0 || self.active()?.size() > 0 {
            self.write_for_close(&mut writer, end).await?;
        }
        self.write_out().await
    }

    /// The first step: writes what a flush would. Flushes are held.
    pub(crate) async fn write_out(&self) -> Result<Written> {
        self.check_open()?;
        let (end, generation) = (self.end_offset(), self.generation.load(Ordering::Acquire));
        let mut written = Written { end, generation, epochs: false };
        if end.0 == 0 && self.active()?.size() == 0 {
            return Ok(written);
        }
        let dirty = lock(&self.epochs).take_dirty();
        if let Some(entries) = dirty {
            written.epochs = true;
            let content = Bytes::from(checkpoint::encode_epochs(&entries));
            let path = self.dir().join(LEADER_EPOCH_CHECKPOINT);
            if let Err(error) = atomic::write_beside(&*self.disk, &path, content).await {
                lock(&self.epochs).set_dirty();
                return Err(error);
            }
        }
        Ok(written)
    }

    async fn write_for_close(&self, writer: &mut Writer, end: Offset) -> Result<()> {
        let active = self.active()?;
        active.cut_failed_write(writer).await?;
        if writer.snapshot_at != Some(end) {
            self.write_snapshot(end, writer, false).await?;
        }
        if active.has_unwritten_index() {
            active.seal().await?;
        }
        Ok(())
    }

    /// The second step, after everything was synced once.
    pub(crate) async fn put_epochs_in_place(&self, written: &Written) -> Result<()> {
        if written.epochs {
            atomic::put_in_place(&*self.disk, &self.dir().join(LEADER_EPOCH_CHECKPOINT)).await?;
        }
        Ok(())
    }

    /// The steps did not come to their end: what they would have made durable is to be written again.
    pub(crate) fn take_back(&self, written: &Written) {
        if written.epochs {
            lock(&self.epochs).set_dirty();
        }
    }

    /// The last step, after everything was synced again: what was there at the first step is durable.
    pub(crate) fn note_durable(&self, written: &Written) {
        // A truncation in between took back what was written.
        if self.is_generation(written.generation) && self.flushed_offset() < written.end {
            self.flushed.store(written.end.0, Ordering::Release);
            self.home().note_recovery_point(&self.partition, written.end);
            // A flush that comes after finds nothing to do, and would tell nobody.
            self.turn.tell(Some(written.end));
        }
    }

    /// Closes the log after the last step, if nothing came after the first one. Returns whether it did.
    pub(crate) async fn close_durable(&self, written: &Written) -> bool {
        let writer = self.writer.lock().await;
        let _flusher = self.flusher.lock().await;
        let is_same = self.end_offset() == written.end && self.is_generation(written.generation);
        if !is_same || writer.in_doubt || self.flushed_offset() < written.end {
            return false;
        }
        self.close_files();
        true
    }
}
