//! Making a log durable, and closing it.
//!
//! Concurrent calls share their fsyncs: whoever waited for the flush lock finds that the one before him covered his
//! records. A failed fsync is never tried again: the kernel may have dropped the pages and report success the next time.
//! So it takes the directory offline.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use ottla_types::Offset;

use super::Log;
use crate::epochs::EpochEntry;
use crate::format::names::{LEADER_EPOCH_CHECKPOINT, PARTITION_METADATA};
use crate::format::{atomic, checkpoint};
use crate::sabotage::{Sabotage, is};
use crate::sync::lock;
use crate::{Error, Result};

impl Log {
    /// Makes everything durable that was appended before the call. Returns the end of what is durable.
    ///
    /// # Errors
    /// [`Error::Io`]: the log directory is offline from then on. [`Error::Offline`], [`Error::Closed`].
    pub async fn flush(&self) -> Result<Offset> {
        self.flush_to(self.end_offset()).await
    }

    /// Makes everything below `offset` durable; ready at once if it is. Returns the end of what is durable, which is
    /// more where others appended meanwhile.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn flush_to(&self, offset: Offset) -> Result<Offset> {
        let flushed = self.flushed_offset();
        if flushed >= offset {
            return Ok(flushed);
        }
        let _flusher = self.flusher.lock().await;
        let flushed = self.flushed_offset();
        if flushed >= offset {
            return Ok(flushed);
        }
        self.check_open()?;
        if is(Sabotage::AckBeforeFsync) {
            self.flushed.store(offset.0, Ordering::Release);
            return Ok(offset);
        }
        self.flush_locked().await
    }

    /// Whether `flush.ms` has passed since the last flush and there is something to flush.
    #[must_use]
    pub fn is_flush_due(&self, now_ms: i64) -> bool {
        let since_ms = now_ms.saturating_sub(self.flushed_at_ms.load(Ordering::Relaxed));
        self.flushed_offset() < self.end_offset() && since_ms >= self.config().flush_ms
    }

    /// Notes the time of a flush, from which `flush.ms` counts.
    pub fn note_flushed_at(&self, now_ms: i64) {
        self.flushed_at_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The flush lock is held, so no truncation takes back what is flushed here.
    pub(super) async fn flush_locked(&self) -> Result<Offset> {
        let end = self.end_offset();
        let began = self.home().stats().now();
        match self.sync_to(end).await {
            Ok(()) => {
                self.home().stats().note_flush(began);
                self.flushed.store(end.0, Ordering::Release);
                self.home().note_recovery_point(&self.partition, end);
                self.turn.tell(Some(end));
                Ok(end)
            }
            Err(error) if is(Sabotage::FsyncRetried) => Err(error),
            Err(error) => {
                self.home().fail(format!("{}: a flush failed: {error}", self.partition)).await;
                Err(error)
            }
        }
    }

    async fn sync_to(&self, end: Offset) -> Result<()> {
        let flushed = self.flushed_offset();
        let segments = self.segments();
        for (i, segment) in segments.iter().enumerate() {
            let has_records = segment.next_offset() > flushed && segment.base() < end;
            if has_records || segment.has_unsynced_cut() {
                segment.sync().await?;
            }
            // The last segment's indexes are made again by recovery; the others are not looked at.
            if i + 1 < segments.len() {
                segment.sync_indexes().await?;
            }
        }
        // Recovery finds the epochs after the recovery point in the batches; those before it must be in the file.
        self.write_epochs().await?;
        self.sync_names().await
    }

    /// Writes the leader epochs' checkpoint, if it is not up to date.
    pub(super) async fn write_epochs(&self) -> Result<()> {
        let Some(entries) = lock(&self.epochs).take_dirty() else { return Ok(()) };
        let written = self.write_epoch_file(&entries).await;
        if written.is_err() {
            lock(&self.epochs).set_dirty();
        }
        written
    }

    async fn write_epoch_file(&self, entries: &[EpochEntry]) -> Result<()> {
        let content = Bytes::from(checkpoint::encode_epochs(entries));
        atomic::replace(&*self.disk, &self.dir().join(LEADER_EPOCH_CHECKPOINT), content).await
    }

    /// Makes the names of new files durable, and with the first flush the directory and its topic id.
    pub(super) async fn sync_names(&self) -> Result<()> {
        if !self.names_unsynced.swap(false, Ordering::AcqRel) || is(Sabotage::NoDirectoryFsync) {
            return Ok(());
        }
        let synced = async {
            if self.topic_id().is_some() {
                let metadata = self.dir().join(PARTITION_METADATA);
                self.disk.open(&metadata, ottla_env::disk::OpenMode::Existing).await?.sync().await?;
            }
            self.disk.sync_dir(&self.dir()).await?;
            self.disk.sync_dir(self.home().path()).await
        };
        synced.await.map_err(|error| {
            self.names_unsynced.store(true, Ordering::Release);
            Error::from(error)
        })
    }

    /// Makes the name of the first segment durable. If that were lost and a later segment were not, recovery would take
    /// the rest for the whole; with it, recovery sees where records are missing.
    ///
    /// Whatever a flush beside this one does: it may not have come to the name yet, or have failed at it, and then a sync
    /// that works says nothing.
    pub(super) async fn sync_first_name(&self) -> Result<()> {
        let Err(error) = self.disk.sync_dir(&self.dir()).await else { return self.check_open() };
        self.home().fail(format!("{}: its directory cannot be synced: {error}", self.partition)).await;
        Err(error.into())
    }

    /// Flushes, writes indexes and producer snapshot, and lets go of all files. What comes after gets
    /// [`Error::Closed`]. Closing again does nothing.
    ///
    /// # Errors
    /// [`Error::Io`]: the log is closed, and the next start must recover it.
    pub async fn close(&self) -> Result<()> {
        let mut writer = self.writer.lock().await;
        let _flusher = self.flusher.lock().await;
        if self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.check_open()?;
        let result = self.close_locked(&mut writer).await;
        self.close_files();
        result
    }

    async fn close_locked(&self, writer: &mut super::Writer) -> Result<()> {
        let end = self.end_offset();
        let active = self.active()?;
        if writer.in_doubt {
            active.cut_beyond_end().await?;
            // What a failed write left must not come back behind the marker of a clean stop.
            active.sync().await?;
            writer.in_doubt = false;
        }
        if writer.snapshot_at != Some(end) && (end.0 > 0 || active.size() > 0) {
            self.write_snapshot(end, writer, true).await?;
        }
        if end.0 == 0 && active.size() == 0 {
            // A log without a record may vanish in a power loss: the next start makes it again, and its epochs with it.
            return Ok(());
        }
        if active.has_unwritten_index() {
            active.seal().await?;
            self.names_unsynced.store(true, Ordering::Release);
        }
        active.sync_indexes().await?;
        self.flush_locked().await?;
        Ok(())
    }

    /// Nothing is appended or read from now on.
    pub(super) fn close_files(&self) {
        self.closed.store(true, Ordering::Release);
        self.recent.clear();
        self.segments().iter().for_each(|segment| segment.release());
    }

    /// Closes the log without making anything durable: it is to be deleted.
    pub(crate) async fn abandon(&self) {
        let _writer = self.writer.lock().await;
        let _flusher = self.flusher.lock().await;
        self.close_files();
    }

    /// Lets go of the files of segments that are flushed and take no appends; their next use opens them again.
    pub fn release_idle_files(&self) {
        let segments = self.segments();
        // With records that are not flushed the file stays open: it is where the kernel reports that it lost them.
        let unflushed = usize::from(self.flushed_offset() < self.end_offset());
        let idle = segments.len().saturating_sub(unflushed);
        segments.iter().take(idle).for_each(|segment| segment.release());
    }
}
