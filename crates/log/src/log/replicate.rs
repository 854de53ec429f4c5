//! Appending on a follower: the batches that a leader sent, verified, and kept byte for byte.
//!
//! Offsets and leader epochs are the leader's. Duplicates and gaps of producers are not looked for: the leader did that,
//! and a follower must hold what its leader holds. What is checked is that these are the leader's bytes, and that they
//! follow what is here.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use ottla_records::{BatchError, BatchHeader, HEADER_LEN, batches};
use ottla_types::{LeaderEpoch, Offset};

use super::replay::note_batch;
use super::{Log, Writer};
use crate::cache::Pushed;
use crate::sabotage::{Sabotage, is};
use crate::segment::Segment;
use crate::sync::lock;
use crate::{Error, LogConfig, Result};

/// What became of the batches of a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicated {
    /// Where the log ended before: the first offset that was appended, if one was.
    pub first: Offset,
    /// The end of the log now.
    pub end: Offset,
    /// Bytes appended. 0 where all that came was here already.
    pub appended_bytes: usize,
    /// `flush.messages` records are not durable: the next fetch may acknowledge no more than
    /// [`Log::flushed_offset`], and a flush is to be asked for ([`Log::request_flush`]).
    pub flush_due: bool,
}

/// A batch in what came.
struct Sent {
    at: usize,
    header: BatchHeader,
}

impl Sent {
    fn end(&self) -> usize {
        self.at + self.header.size_bytes()
    }
}

impl Log {
    /// Appends batches as a leader sent them. The last one may be cut off, as in an answer to a fetch, and is left out then;
    /// the first one is whole in every answer (KIP-74). Batches that end below the end of this log are passed over.
    ///
    /// The bytes are written as they are, in one write for each segment that they come to lie in, and are not copied; a
    /// batch above `segment.bytes` gets a segment of its own. In a log without a record the first batch may begin below the
    /// start: where DeleteRecords cut within a batch, a leader sends it whole.
    ///
    /// # Errors
    /// [`Error::BadReplicated`], [`Error::NotNext`], [`Error::StaleLeaderEpoch`]: nothing of it was appended.
    /// [`Error::Io`]: what was written before the failure stays. [`Error::Offline`], [`Error::Closed`].
    pub async fn append_replicated(&self, bytes: Bytes, now_ms: i64) -> Result<Replicated> {
        let config = self.config();
        // Before the lock is taken: most of the work is the checksums.
        let sent = self.verified(&bytes, &config)?;
        let mut writer = self.writer.lock().await;
        self.check_open()?;
        let first = self.end_offset();
        let mut rest = sent.as_slice();
        while let [known, later @ ..] = rest
            && known.header.last_offset() < first
        {
            rest = later;
        }
        self.check_follows(rest, &config)?;
        let start = self.start_offset();
        if let Some(cut) = rest.first().filter(|sent| sent.header.base_offset < first) {
            self.restart_locked(cut.header.base_offset, &mut writer, now_ms).await?;
        }
        let mut appended_bytes = 0;
        while let Some(next) = rest.first() {
            let segment = self.segment_for(&next.header, &config, &mut writer, now_ms).await?;
            let (run, later) = rest.split_at(self.run_len(&segment, rest, &config, now_ms));
            appended_bytes += self.append_run(&bytes, run, &segment, &config, &mut writer, now_ms).await?;
            rest = later;
        }
        self.raise_start(start, now_ms).await?;
        let end = self.end_offset();
        let unflushed = end.0.saturating_sub(self.flushed_offset().0);
        let flush_due = end > first && unflushed >= config.flush_messages;
        Ok(Replicated { first, end, appended_bytes, flush_due })
    }

    /// The whole batches in `bytes`, each seen to be what was written, and to follow the one before it.
    fn verified(&self, bytes: &[u8], config: &LogConfig) -> Result<Vec<Sent>> {
        let mut sent: Vec<Sent> = Vec::new();
        let mut latest = LeaderEpoch::NONE;
        for batch in batches(bytes) {
            let expected = sent.last().map_or_else(|| self.end_offset(), |last| last.header.next_offset());
            let refused = |reason: String| Error::BadReplicated {
                partition: self.partition.clone(),
                offset: expected,
                reason,
            };
            let batch = match batch {
                Ok(batch) => batch,
                Err(BatchError::Truncated { .. }) if !sent.is_empty() => break,
                Err(error) => return Err(refused(error.to_string())),
            };
            if !is(Sabotage::ReplicatedUnverified) {
                batch.verify().map_err(|error| refused(error.to_string()))?;
            }
            let header = *batch.header();
            if !sent.is_empty() {
                self.check_next(&header, expected, config)?;
            }
            self.check_not_older(header.leader_epoch, latest)?;
            latest = latest.max(header.leader_epoch);
            sent.push(Sent { at: sent.last().map_or(0, Sent::end), header });
        }
        Ok(sent)
    }

    /// Whether the first of the batches follows what is here.
    fn check_follows(&self, rest: &[Sent], config: &LogConfig) -> Result<()> {
        let Some(Sent { header, .. }) = rest.first() else { return Ok(()) };
        let end = self.end_offset();
        let is_empty = self.start_offset() == end;
        if header.base_offset >= end || !is_empty {
            self.check_next(header, end, config)?;
        }
        // An epoch that began here without a record says nothing of those that come: whoever asked for them has settled
        // with the leader where the logs part.
        match lock(&self.epochs).latest_below(end) {
            Some(latest) => self.check_not_older(header.leader_epoch, latest),
            None => Ok(()),
        }
    }

    fn check_next(&self, header: &BatchHeader, expected: Offset, config: &LogConfig) -> Result<()> {
        // Compaction takes records away, and whole batches. How far apart two may be is bounded by what an index can tell.
        let last = header.last_offset();
        let is_near = last.0.saturating_sub(expected.0) < i64::from(i32::MAX);
        let is_gap_of_compaction = config.cleanup_compact && header.base_offset > expected && is_near;
        if header.base_offset == expected || is_gap_of_compaction {
            return Ok(());
        }
        Err(Error::NotNext { partition: self.partition.clone(), first: header.base_offset, last, expected })
    }

    /// Leader epochs never fall along a log. Batches of old brokers have none.
    fn check_not_older(&self, epoch: LeaderEpoch, latest: LeaderEpoch) -> Result<()> {
        if epoch >= latest || epoch == LeaderEpoch::NONE {
            return Ok(());
        }
        Err(Error::StaleLeaderEpoch { partition: self.partition.clone(), epoch, latest })
    }

    /// How many of the batches the segment takes: the first one in any case, for which it was chosen.
    fn run_len(&self, segment: &Segment, rest: &[Sent], config: &LogConfig, now_ms: i64) -> usize {
        let rules = self.roll_rules(segment, config, now_ms);
        let mut filling = segment.filling();
        let mut count = 0;
        for Sent { header, .. } in rest {
            if count > 0 && filling.is_full_for(header, &rules) {
                break;
            }
            filling.note(header, config);
            count += 1;
        }
        count
    }

    /// Writes batches that lie one behind the other in `bytes` to the end of the segment. Returns how many bytes they are.
    async fn append_run(
        &self,
        bytes: &Bytes,
        run: &[Sent],
        segment: &Arc<Segment>,
        config: &LogConfig,
        writer: &mut Writer,
        now_ms: i64,
    ) -> Result<usize> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(0) };
        let pieces = [bytes.slice(first.at..last.end())];
        let headers = run.iter().map(|sent| &sent.header);
        self.write(segment, &pieces, headers, config, writer).await?;
        self.note_run(bytes, run, now_ms);
        // A flush that sees this end finds the epochs there.
        self.end.store(last.header.next_offset().0, Ordering::Release);
        self.stir();
        self.write_indexes_if_due(segment).await;
        Ok(last.end() - first.at)
    }

    /// Remembers of written batches what a leader's append remembers.
    fn note_run(&self, bytes: &Bytes, run: &[Sent], now_ms: i64) {
        let mut epochs = lock(&self.epochs);
        let mut producers = lock(&self.producers);
        if let Some(Sent { header, .. }) = run.first()
            && epochs
                .latest()
                .is_some_and(|latest| LeaderEpoch::NONE < header.leader_epoch && header.leader_epoch < latest)
        {
            // Begun here without a record, by a leader that another one has overtaken.
            epochs.truncate_from_end(header.base_offset);
        }
        for sent in run {
            let header = &sent.header;
            let batch = bytes.get(sent.at..sent.end()).unwrap_or_default();
            let (head, body) = batch.split_at_checked(HEADER_LEN).unwrap_or_default();
            if !is(Sabotage::ReplicatedEpochsNotNoted) {
                epochs.assign(header.leader_epoch, header.base_offset);
            }
            note_batch(&mut producers, header, body, now_ms);
            self.recent.push(Pushed { header, head, body });
        }
    }
}
