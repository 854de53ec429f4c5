//! Appending: duplicate check, offsets, one write; and rolling to a new segment.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use ottla_env::disk::OpenMode;
use ottla_records::{AssignedBatch, BatchHeader, Prepared};
use ottla_types::{LeaderEpoch, Offset, TopicPartition};

use super::replay::note_batch;
use super::{Log, Writer};
use crate::format::names::FileKind;
use crate::producers::{RememberedBatch, Verdict, snapshot};
use crate::segment::{RollRules, Segment};
use crate::sync::lock;
use crate::{Error, LogConfig, Result};

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// Where the log starts.
    pub log_start_offset: Offset,
    /// Its max timestamp as written: the append time, where the topic's timestamps are that.
    pub max_timestamp_ms: i64,
    /// It had been written before, at these offsets, and was not written again. It waits for its acknowledgement like
    /// the original.
    pub duplicate: bool,
    /// `flush.messages` records are not durable: [`Log::flushed_to`] the end of this batch before it counts as written.
    pub flush_due: bool,
}

impl Appended {
    /// The end of the log as this append left it.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        Offset(self.last_offset.0.saturating_add(1))
    }

    fn written(batch: &AssignedBatch, log_start_offset: Offset, flush_due: bool) -> Self {
        Self {
            base_offset: batch.header.base_offset,
            last_offset: batch.header.last_offset(),
            log_start_offset,
            max_timestamp_ms: batch.header.max_timestamp_ms,
            duplicate: false,
            flush_due,
        }
    }

    fn duplicate(found: &RememberedBatch, log_start_offset: Offset, flush_due: bool) -> Self {
        Self {
            base_offset: found.first_offset(),
            last_offset: found.last_offset,
            log_start_offset,
            max_timestamp_ms: found.timestamp_ms,
            duplicate: true,
            flush_due,
        }
    }
}

impl Log {
    /// Gives a batch its offsets and writes it at the end, as the leader of `epoch`.
    ///
    /// One lock is held for the duplicate check, the offsets and one write to the page cache; nothing is fsynced.
    ///
    /// # Errors
    /// [`Error::OutOfOrderSequence`], [`Error::InvalidProducerEpoch`], [`Error::InvalidTxnState`],
    /// [`Error::BatchTooLarge`], [`Error::StaleLeaderEpoch`]: the batch is refused. [`Error::Io`],
    /// [`Error::Offline`], [`Error::Closed`]: it could not be written. In each case the log is as before.
    pub async fn append(&self, batch: Prepared, epoch: LeaderEpoch, now_ms: i64) -> Result<Appended> {
        let config = self.config();
        let mut writer = self.writer.lock().await;
        self.check_open()?;
        let verdict = lock(&self.producers).check(batch.header(), &self.partition)?;
        if let Verdict::Duplicate(found) = verdict {
            // The original may not be durable yet, and its acknowledgement is what the duplicate waits for.
            let flush_due = config.flush_messages != i64::MAX && self.flushed_offset() <= found.last_offset;
            return Ok(Appended::duplicate(&found, self.start_offset(), flush_due));
        }
        self.check_epoch(epoch)?;
        self.check_size(&batch, &config)?;
        let base_offset = self.end_offset();
        let records = i64::from(batch.header().last_offset_delta) + 1;
        let end_offset = base_offset.checked_add(records).ok_or_else(|| Error::OffsetsExhausted {
            partition: self.partition.clone(),
            end: base_offset,
            records,
        })?;

        let batch = batch.assign(base_offset, epoch);
        let segment = self.segment_for(&batch.header, &config, &mut writer, now_ms).await?;
        lock(&self.epochs).assign(epoch, base_offset);
        let pieces = [batch.head.clone(), batch.body.clone()];
        self.write(&segment, &pieces, std::iter::once(&batch.header), &config, &mut writer).await?;

        note_batch(&mut lock(&self.producers), &batch.header, &batch.body, now_ms);
        // Before the end is published: whoever is woken by it finds the batch here.
        self.recent.push(&batch);
        self.end.store(end_offset.0, Ordering::Release);
        self.stir();
        let unflushed = end_offset.0.saturating_sub(self.flushed_offset().0);
        let appended = Appended::written(&batch, self.start_offset(), unflushed >= config.flush_messages);
        self.write_indexes_if_due(&segment).await;
        Ok(appended)
    }

    /// Writes batches at the end of a segment. The writer lock is held; the end is not published.
    pub(super) async fn write<'a>(
        &self,
        segment: &Segment,
        pieces: &[Bytes],
        headers: impl Iterator<Item = &'a BatchHeader> + Send,
        config: &LogConfig,
        writer: &mut Writer,
    ) -> Result<()> {
        writer.in_doubt = true;
        let opens = !segment.is_open();
        segment.append(pieces, headers, config).await?;
        writer.in_doubt = false;
        if opens {
            self.home().opened().note();
        }
        Ok(())
    }

    pub(super) async fn write_indexes_if_due(&self, segment: &Segment) {
        if segment.wants_index_write()
            && let Err(error) = segment.write_indexes().await
        {
            // The batches are written, and the entries stay in memory: the next append tries again.
            tracing::warn!("{}: index entries wait to be written: {error}", self.partition);
        }
    }

    fn check_epoch(&self, epoch: LeaderEpoch) -> Result<()> {
        match self.latest_epoch() {
            Some(latest) if epoch < latest => {
                Err(Error::StaleLeaderEpoch { partition: self.partition.clone(), epoch, latest })
            }
            _ => Ok(()),
        }
    }

    fn check_size(&self, batch: &Prepared, config: &LogConfig) -> Result<()> {
        if batch.size_bytes() as u64 <= config.max_segment_bytes() {
            return Ok(());
        }
        Err(Error::BatchTooLarge {
            partition: self.partition.clone(),
            size_bytes: batch.size_bytes(),
            segment_bytes: config.segment_bytes,
        })
    }

    /// The segment that takes the batch: the active one, or a new one.
    pub(super) async fn segment_for(
        &self,
        header: &BatchHeader,
        config: &LogConfig,
        writer: &mut Writer,
        now_ms: i64,
    ) -> Result<Arc<Segment>> {
        let active = self.active()?;
        active.cut_failed_write(writer).await?;
        let rules = self.roll_rules(&active, config, now_ms);
        if !writer.rolling && !active.filling().is_full_for(header, &rules) {
            return Ok(active);
        }
        self.roll(&active, writer, now_ms).await
    }

    /// What decides that `segment` is full.
    pub(super) fn roll_rules<'a>(
        &self,
        segment: &Segment,
        config: &'a LogConfig,
        now_ms: i64,
    ) -> RollRules<'a> {
        RollRules { config, jitter_ms: jitter_ms(&self.partition, segment.base(), config), now_ms }
    }

    /// Ends the active segment and begins one at the end of the log. The writer lock is held.
    ///
    /// No record is fsynced here: a flush takes the sealed segment with it, and recovery cuts what a power loss tore.
    pub(super) async fn roll(
        &self,
        active: &Segment,
        writer: &mut Writer,
        now_ms: i64,
    ) -> Result<Arc<Segment>> {
        active.cut_failed_write(writer).await?;
        writer.rolling = true;
        active.seal().await?;
        let base = self.end_offset();
        self.write_snapshot(base, writer, false).await?;
        if self.segments().len() == 1 {
            self.sync_first_name().await?;
        }
        let next = self.new_segment(base, now_ms).await?;
        let mut segments = self.segments().to_vec();
        segments.push(Arc::clone(&next));
        self.publish(segments);
        writer.rolling = false;
        Ok(next)
    }

    /// An empty segment with its file: a restart must find where the log goes on.
    pub(super) async fn new_segment(&self, base: Offset, now_ms: i64) -> Result<Arc<Segment>> {
        let segment = Segment::empty(Arc::clone(&self.disk), self.dir(), base, now_ms);
        segment.file(OpenMode::Create).await?;
        segment.cut_beyond_end().await?;
        self.names_unsynced.store(true, Ordering::Release);
        Ok(Arc::new(segment))
    }

    /// Writes the producers' state as of `offset`, the end of the log.
    pub(super) async fn write_snapshot(&self, offset: Offset, writer: &mut Writer, sync: bool) -> Result<()> {
        let bytes = Bytes::from(snapshot::encode(&lock(&self.producers)));
        let file = self.disk.open(&FileKind::Snapshot.path(&self.dir(), offset), OpenMode::Create).await?;
        file.set_len(0).await?;
        file.write_at(0, &[bytes]).await?;
        self.names_unsynced.store(true, Ordering::Release);
        writer.snapshot_at = Some(offset);
        if sync { Ok(file.sync().await?) } else { Ok(()) }
    }
}

impl Segment {
    /// Cuts off what a write that failed has left behind the end of the active segment.
    pub(super) async fn cut_failed_write(&self, writer: &mut Writer) -> Result<()> {
        if writer.in_doubt {
            self.cut_beyond_end().await?;
            writer.in_doubt = false;
        }
        Ok(())
    }
}

/// What is taken off `segment.ms` for a segment. Not random: a segment keeps its jitter over restarts, and partitions
/// differ in it, which is all that it is for.
fn jitter_ms(partition: &TopicPartition, base: Offset, config: &LogConfig) -> i64 {
    let range = config.segment_jitter_ms.min(config.segment_ms);
    if range <= 0 {
        return 0;
    }
    // FNV-1a.
    let words = [i64::from(partition.partition), base.0].map(i64::to_be_bytes);
    let bytes = partition.topic.as_str().bytes().chain(words.into_iter().flatten());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    i64::try_from(hash >> 1).unwrap_or(0) % range
}
