//! Taking records off either end: truncation at the end, deletion and retention at the start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_types::Offset;

use super::{Log, Writer, replay};
use crate::Result;
use crate::format::names::{self, FileKind};
use crate::sabotage::{Sabotage, is};
use crate::segment::Segment;
use crate::sync::lock;

/// Keeps the generation odd while it lives, so that reads of what is being changed start again.
///
/// A change that is dropped in the middle leaves files that are neither the old log nor the new one. They are what a crash
/// leaves, so the directory is taken offline until a start has sorted them out.
pub(super) struct Changing<'a> {
    log: &'a Log,
    is_done: bool,
}

impl<'a> Changing<'a> {
    pub(super) fn begin(log: &'a Log) -> Self {
        log.generation.fetch_add(1, Ordering::AcqRel);
        Self { log, is_done: false }
    }

    /// The change came to its end, well or not.
    pub(super) fn end(mut self) {
        self.is_done = true;
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.log.home().go_offline(format!("{}: a change of the log was not ended", self.log.partition));
        }
        self.log.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl Log {
    /// Removes the records from `offset` on, as a follower does whose log has parted from its leader's (KIP-101). A batch
    /// that contains `offset` is removed whole. Below the start the log is emptied, and goes on at `offset`. Returns the
    /// new end.
    ///
    /// # Errors
    /// [`Error::Io`]: the log directory goes offline, and the next start must recover it.
    pub async fn truncate_to(&self, offset: Offset, now_ms: i64) -> Result<Offset> {
        let mut writer = self.writer.lock().await;
        let _flusher = self.flusher.lock().await;
        self.check_open()?;
        if offset >= self.end_offset() {
            // This replica may have begun an epoch there as a leader and have written nothing: the next leader's records
            // of an earlier epoch belong there (KIP-279). An entry that is in the file too lies at the recovery point at
            // least, from which the next start asks the records.
            lock(&self.epochs).truncate_from_end(self.end_offset());
            return Ok(self.end_offset());
        }
        let changing = Changing::begin(self);
        let result = self.truncate_locked(offset, &mut writer, now_ms).await;
        changing.end();
        self.stir();
        if let Err(error) = &result {
            // Neither the old nor the new end can be relied on.
            self.home()
                .fail(format!("{}: truncation to offset {offset} failed: {error}", self.partition))
                .await;
        }
        result
    }

    /// Removes all records and goes on at `offset`, as a follower does whose leader has nothing below `offset` any more, or
    /// nothing above. What was known of epochs and producers goes too: they come again with the leader's records.
    ///
    /// # Errors
    /// As [`Self::truncate_to`].
    pub async fn restart_at(&self, offset: Offset, now_ms: i64) -> Result<()> {
        let mut writer = self.writer.lock().await;
        self.check_open()?;
        self.restart_locked(offset.max(Offset(0)), &mut writer, now_ms).await
    }

    /// [`Self::restart_at`]. The writer lock is held.
    pub(super) async fn restart_locked(
        &self,
        offset: Offset,
        writer: &mut Writer,
        now_ms: i64,
    ) -> Result<()> {
        let _flusher = self.flusher.lock().await;
        let changing = Changing::begin(self);
        let result = self.empty_to(offset, writer, now_ms).await;
        changing.end();
        self.stir();
        if let Err(error) = &result {
            self.home()
                .fail(format!("{}: beginning anew at offset {offset} failed: {error}", self.partition))
                .await;
        }
        result
    }

    async fn empty_to(&self, offset: Offset, writer: &mut Writer, now_ms: i64) -> Result<()> {
        // What takes the place of records that were durable is not.
        let flushed = self.flushed_offset().min(offset);
        self.flushed.store(flushed.0, Ordering::Release);
        self.home().lower_recovery_point(&self.partition, flushed).await?;
        self.home().lower_high_watermark(&self.partition, offset).await?;
        self.recent.clear();
        self.remove_begun_segment(writer, now_ms).await?;
        self.begin_anew(offset, now_ms).await?;
        self.write_epochs().await?;
        self.reload_producers(offset, writer, now_ms).await?;
        self.end_truncation(offset, writer).await?;
        tracing::info!("{}: emptied, and goes on at offset {offset}", self.partition);
        Ok(())
    }

    /// The file of a segment that was not begun after all must not stand beyond the new end.
    async fn remove_begun_segment(&self, writer: &Writer, now_ms: i64) -> Result<()> {
        if writer.rolling {
            let (disk, dir) = (Arc::clone(&self.disk), self.dir());
            Segment::empty(disk, dir, self.end_offset(), now_ms).remove().await?;
        }
        Ok(())
    }

    /// Makes what was done durable, and notes that all below `flushed` is.
    async fn end_truncation(&self, flushed: Offset, writer: &mut Writer) -> Result<()> {
        self.names_unsynced.store(true, Ordering::Release);
        self.sync_names().await?;
        self.flushed.store(flushed.0, Ordering::Release);
        self.home().note_recovery_point(&self.partition, flushed);
        (writer.in_doubt, writer.rolling) = (false, false);
        Ok(())
    }

    async fn truncate_locked(&self, offset: Offset, writer: &mut Writer, now_ms: i64) -> Result<Offset> {
        // The recovery point comes down first: records that take the place of truncated ones are not durable, though the
        // old ones at the same offsets were.
        let cut = self.cut_offset(offset).await?;
        let flushed = self.flushed_offset().min(cut);
        self.flushed.store(flushed.0, Ordering::Release);
        // Until the new length is durable it lies below the segment that is cut, so that after a kill the next flush does
        // not pass that segment over.
        let segments = self.segments();
        let cut_base = segments.iter().map(|segment| segment.base()).rfind(|base| *base <= offset);
        let point = flushed.min(cut_base.unwrap_or_default());
        self.home().lower_recovery_point(&self.partition, point).await?;
        self.home().lower_high_watermark(&self.partition, cut).await?;
        self.recent.clear();
        self.remove_begun_segment(writer, now_ms).await?;

        let mut end = if offset < self.start_offset() { None } else { self.cut_segments(offset).await? };
        // A start in the middle of the batch that was cut leaves nothing at all.
        end = end.filter(|&end| end >= self.start_offset());
        let (end, flushed) = match end {
            Some(end) => (end, flushed),
            // Of an empty log all is durable.
            None => (self.begin_anew(offset, now_ms).await?, offset),
        };
        lock(&self.epochs).truncate_from_end(end);
        self.write_epochs().await?;
        self.reload_producers(end, writer, now_ms).await?;
        self.end_truncation(flushed, writer).await?;
        tracing::info!("{}: truncated to offset {end}", self.partition);
        Ok(end)
    }

    /// Where the log will end: `offset`, or the start of the batch that contains it.
    async fn cut_offset(&self, offset: Offset) -> Result<Offset> {
        let segments = self.segments();
        let Some(segment) = segments.iter().rfind(|segment| segment.base() <= offset) else {
            return Ok(offset);
        };
        Ok(segment.find(offset).await?.map_or(offset, |(found, _)| offset.min(found.header.base_offset)))
    }

    /// Cuts the segment that contains `offset` and removes those after it; `None` if all of them begin after it.
    async fn cut_segments(&self, offset: Offset) -> Result<Option<Offset>> {
        let segments = self.segments();
        let kept: Vec<Arc<Segment>> =
            segments.iter().filter(|segment| segment.base() <= offset).cloned().collect();
        let Some(active) = kept.last().cloned() else { return Ok(None) };
        self.end.store(offset.0, Ordering::Release);
        self.publish(kept);
        // The later segments go first: a crash in between leaves a log that is too long, and not one with a hole.
        self.remove_segments(segments.iter().filter(|segment| segment.base() > offset)).await?;
        let end = active.truncate(offset).await?;
        self.end.store(end.0, Ordering::Release);
        active.sync().await?;
        Ok(Some(end))
    }

    /// Removes everything and goes on at `offset`.
    async fn begin_anew(&self, offset: Offset, now_ms: i64) -> Result<Offset> {
        self.home().set_start_offset(&self.partition, offset).await?;
        // With the records go the epochs and the producers that wrote them, as in Kafka. An epoch that stayed would be told
        // the leader as the last one here, which may have ended far below `offset` there. Snapshots go before the records:
        // what these say of producers is found again.
        if !is(Sabotage::EpochsNotCleared) {
            lock(&self.epochs).clear();
        }
        self.remove_snapshots(|_| true).await?;
        // The first one goes last, so that a crash in between leaves the front of the log, and not its end alone.
        let segments = self.segments();
        self.remove_segments(segments.iter().skip(1)).await?;
        self.disk.sync_dir(&self.dir()).await?;
        self.remove_segments(segments.iter().take(1)).await?;
        let fresh = self.new_segment(offset, now_ms).await?;
        self.publish(vec![fresh]);
        self.start.store(offset.0, Ordering::Release);
        self.end.store(offset.0, Ordering::Release);
        Ok(offset)
    }

    /// From the last to the first, so that a crash in between leaves no hole.
    async fn remove_segments<'a>(
        &self,
        segments: impl DoubleEndedIterator<Item = &'a Arc<Segment>>,
    ) -> Result<()> {
        for segment in segments.rev() {
            segment.remove().await?;
        }
        Ok(())
    }

    /// The producers' state as of a new end; snapshots of later offsets speak of records that are gone.
    async fn reload_producers(&self, end: Offset, writer: &mut Writer, now_ms: i64) -> Result<()> {
        if is(Sabotage::ProducersNotTruncated) {
            return Ok(());
        }
        let snapshots = self.remove_snapshots(|offset| offset > end).await?;
        let segments = self.segments();
        let (producers, snapshot_at) =
            replay::producers_at(&*self.disk, &self.dir(), &snapshots, &segments, end, now_ms).await?;
        *lock(&self.producers) = producers;
        writer.snapshot_at = snapshot_at.filter(|&offset| offset == end);
        Ok(())
    }

    /// Removes some of the producers' snapshots, and says which are left.
    async fn remove_snapshots(&self, remove: impl Fn(Offset) -> bool) -> Result<Vec<Offset>> {
        let mut kept = Vec::new();
        for entry in self.disk.list(&self.dir()).await? {
            match FileKind::parse(&entry.name) {
                Some((FileKind::Snapshot, offset)) if remove(offset) => {
                    self.disk.remove_file(&self.dir().join(&entry.name)).await?;
                }
                Some((FileKind::Snapshot, offset)) => kept.push(offset),
                _ => {}
            }
        }
        Ok(kept)
    }

    /// Moves the start of the log up to `offset` (DeleteRecords), durably, and deletes segments that lie below it whole:
    /// their files are renamed, and [`Self::remove_deleted`] removes them. An offset at or below the start does nothing.
    /// Returns the start.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] beyond the end; the caller asks for the high watermark at most. [`Error::Io`].
    pub async fn advance_start(&self, offset: Offset, now_ms: i64) -> Result<Offset> {
        let _writer = self.writer.lock().await;
        self.check_open()?;
        if offset > self.end_offset() {
            return Err(self.out_of_range(offset));
        }
        self.raise_start(offset, now_ms).await?;
        Ok(self.start_offset())
    }

    /// [`Self::advance_start`] to an offset that is not beyond the end. The writer lock is held.
    pub(super) async fn raise_start(&self, offset: Offset, now_ms: i64) -> Result<()> {
        if offset <= self.start_offset() {
            return Ok(());
        }
        self.start.store(offset.0, Ordering::Release);
        self.home().set_start_offset(&self.partition, offset).await?;
        lock(&self.epochs).truncate_from_start(offset);
        self.delete_below_start(now_ms).await?;
        Ok(())
    }

    /// Deletes segments that retention no longer keeps (`retention.bytes`, `retention.ms`), below `upper`: the high
    /// watermark. Their files are renamed, and [`Self::remove_deleted`] removes them. Returns how many bytes they have.
    ///
    /// # Errors
    /// [`Error::Io`]: what was deleted stays deleted.
    pub async fn apply_retention(&self, upper: Offset, now_ms: i64) -> Result<u64> {
        let mut writer = self.writer.lock().await;
        self.check_open()?;
        let keep_from = self.retained_from(upper, now_ms).await?;
        let segments = self.segments();
        let Some(active) = segments.last() else { return Ok(0) };
        if keep_from > active.base() {
            // Everything is too old: the records go, and the log goes on at its end.
            self.roll(active, &mut writer, now_ms).await?;
        }
        if keep_from > self.start_offset() {
            self.start.store(keep_from.0, Ordering::Release);
            // Durable before the files go: of files that are removed together a power loss may bring back any.
            self.home().set_start_offset(&self.partition, keep_from).await?;
            lock(&self.epochs).truncate_from_start(keep_from);
        }
        self.delete_below_start(now_ms).await
    }

    /// The first offset that retention keeps: the base of a segment, or the end of the log.
    async fn retained_from(&self, upper: Offset, now_ms: i64) -> Result<Offset> {
        let config = self.config();
        let mut keep_from = self.start_offset();
        if !config.cleanup_delete {
            return Ok(keep_from);
        }
        let segments = self.segments();
        let mut size: u64 = segments.iter().map(|segment| segment.size()).sum();
        for segment in segments.iter().filter(|segment| segment.size() > 0) {
            let next = segment.next_offset();
            let left = size.saturating_sub(segment.size());
            let too_large = u64::try_from(config.retention_bytes).is_ok_and(|limit| left >= limit);
            let too_old = config.retention_ms >= 0
                && age_of(segment)
                    .await?
                    .is_some_and(|newest_ms| now_ms.saturating_sub(newest_ms) > config.retention_ms);
            if next > upper || !(too_large || too_old) {
                break;
            }
            size = left;
            keep_from = keep_from.max(next);
        }
        Ok(keep_from)
    }

    /// Deletes the segments that end at or before the start. The writer lock is held.
    async fn delete_below_start(&self, now_ms: i64) -> Result<u64> {
        let start = self.start_offset();
        self.recent.forget_below(start);
        let segments = self.segments();
        let active = segments.len().saturating_sub(1);
        let below = segments.iter().take(active).take_while(|segment| segment.next_offset() <= start).count();
        if below == 0 {
            return Ok(0);
        }
        self.publish(segments.iter().skip(below).cloned().collect());
        // Reads that hold the old list may find a file gone: they start again.
        self.generation.fetch_add(2, Ordering::AcqRel);
        // The name of the segment that the log begins with from now on.
        self.sync_first_name().await?;
        let due_ms = now_ms.saturating_add(self.config().file_delete_delay_ms.max(0));
        let mut removed_bytes = 0;
        for segment in segments.iter().take(below) {
            removed_bytes += segment.size();
            segment.release();
            for kind in FileKind::ALL {
                self.put_aside(&segment.path(kind), due_ms).await?;
            }
        }
        tracing::info!(
            "{}: deleted {below} segments, {removed_bytes} bytes, below offset {start}",
            self.partition
        );
        Ok(removed_bytes)
    }

    /// Renames a file, if it is there, so that it counts no more and is removed later: who reads it now can end that.
    async fn put_aside(&self, path: &Path, due_ms: i64) -> Result<()> {
        let renamed = names::deleted_file(path);
        match self.disk.rename(path, &renamed).await {
            Ok(()) => {
                lock(&self.deleted).push((due_ms, renamed));
                self.stir();
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }

    /// Removes the files of deleted segments whose delay is over (`file.delete.delay.ms`). What a crash leaves of them is
    /// removed by the next start.
    ///
    /// # Errors
    /// [`Error::Io`]: what could not be removed is tried again with the next call.
    pub async fn remove_deleted(&self, now_ms: i64) -> Result<()> {
        let is_due = |(due_ms, _): &&(i64, PathBuf)| *due_ms <= now_ms;
        let due: Vec<PathBuf> =
            lock(&self.deleted).iter().filter(is_due).map(|(_, path)| path.clone()).collect();
        for path in due {
            match self.disk.remove_file(&path).await {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
                _ => lock(&self.deleted).retain(|(_, other)| *other != path),
            }
        }
        Ok(())
    }
}

/// The time from which a segment's age counts: of its newest record, or without timestamps that at which its file was
/// written last, as by Kafka. `None` keeps it.
async fn age_of(segment: &Segment) -> Result<Option<i64>> {
    match segment.newest().await?.timestamp_ms {
        newest_ms @ 0.. => Ok(Some(newest_ms)),
        _ => segment.modified_ms().await,
    }
}
