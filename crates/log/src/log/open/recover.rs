//! Taking a log's segments as they are, or reading them: what is verified, made anew, written again, and cut.

use std::time::Duration;

use ottla_types::{LeaderEpoch, Offset, TopicPartition};
use std::sync::Arc;

use super::{Files, OpenLog, Parts};
use crate::epochs::LeaderEpochs;
use crate::format::names::FileKind;
use crate::sabotage::{Sabotage, is};
use crate::segment::Segment;
use crate::segment::load::{FileSizes, Torn};
use crate::segment::scan::Found;
use crate::stats::Stats;
use crate::{Error, Result};

/// How often a long recovery of one log tells how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// The clock is asked after so many bytes.
const LOOK_EVERY_BYTES: u64 = 1 << 20;

/// How far the recovery of one log is.
pub(super) struct Progress {
    /// What there is to be read, as far as that is known before.
    total_bytes: u64,
    read_bytes: u64,
    looked_at_bytes: u64,
    told_at: Duration,
}

impl Progress {
    /// Counts a batch that was read. Tells every few seconds: `log` names the log.
    fn note(&mut self, found: &Found, stats: &Stats, log: &TopicPartition) {
        self.read_bytes += found.header.size_bytes() as u64;
        if self.read_bytes - self.looked_at_bytes < LOOK_EVERY_BYTES {
            return;
        }
        self.looked_at_bytes = self.read_bytes;
        let now = stats.now();
        if now.saturating_sub(self.told_at) >= TOLD_EVERY {
            self.told_at = now;
            let percent = (self.read_bytes.saturating_mul(100) / self.total_bytes.max(1)).min(100);
            tracing::info!(
                "{log}: recovery has read {percent} % of {} bytes, up to offset {}",
                self.total_bytes,
                found.header.last_offset()
            );
        }
    }
}

impl OpenLog {
    pub(super) async fn load_segments(&self, files: &Files, epochs: Option<LeaderEpochs>) -> Result<Parts> {
        // After a kill they are looked for at the end, and not batch by batch.
        let search_epochs = epochs.is_none() && !self.cache_survived();
        let progress = Progress {
            total_bytes: self.unflushed_bytes(files),
            read_bytes: 0,
            looked_at_bytes: 0,
            told_at: self.home.stats().now(),
        };
        let mut parts = Parts {
            segments: Vec::new(),
            epochs: epochs.unwrap_or_default(),
            names_changed: false,
            progress,
        };
        let mut bases = files.segments.iter().peekable();
        let mut torn = false;
        while let Some((&base, sizes)) = bases.next() {
            let next_base = bases.peek().map(|(base, _)| **base);
            let segment = self.segment(base, sizes, next_base);
            if torn {
                tracing::warn!(
                    "{} lies beyond the torn end of the log and is removed",
                    segment.path(FileKind::Log).display()
                );
                segment.remove().await?;
                continue;
            }
            if search_epochs {
                find_epochs(&segment, &mut parts.epochs).await?;
            }
            torn = self.load_segment(&segment, sizes, next_base, &mut parts).await?;
            parts.segments.push(Arc::new(segment));
        }
        Ok(parts)
    }

    /// The bytes of the segments that may not be on the device.
    fn unflushed_bytes(&self, files: &Files) -> u64 {
        let ends = files.segments.keys().skip(1).map(Some).chain([None]);
        let segments = files.segments.values().zip(ends);
        let unflushed = segments.filter(|(_, end)| end.is_none_or(|end| *end >= self.recovery_point));
        unflushed.map(|(sizes, _)| sizes.log).sum()
    }

    /// Takes or recovers one segment. Returns whether its end was torn, and so the log's.
    async fn load_segment(
        &self,
        segment: &Segment,
        sizes: &FileSizes,
        next_base: Option<Offset>,
        parts: &mut Parts,
    ) -> Result<bool> {
        if self.cache_survived() && !self.clean {
            return self.load_written(segment, sizes, next_base, parts).await;
        }
        // A segment that ends at the recovery point may have been sealed after the flush, with indexes that are not on
        // the device; one that ends before it was flushed as a whole.
        let durable = self.clean || next_base.is_some_and(|next| next < self.recovery_point);
        if (durable || is(Sabotage::IndexTrusted)) && sizes.indexes_look_whole() {
            if next_base.is_some() {
                return Ok(false);
            }
            match segment.load_tail().await {
                Ok(()) => return Ok(false),
                Err(Error::Io(error)) => return Err(error.into()),
                Err(error) => tracing::warn!("the segment is read whole: {error}"),
            }
        }
        if durable && sizes.log > 0 {
            tracing::warn!("making the indexes of {} again", segment.path(FileKind::Log).display());
        }
        self.recover_segment(segment, sizes.log, durable, next_base, parts).await
    }

    /// Takes a segment whose writes are all in the page cache. Only the last one can be torn, where a write was cut off.
    async fn load_written(
        &self,
        segment: &Segment,
        sizes: &FileSizes,
        next_base: Option<Offset>,
        parts: &mut Parts,
    ) -> Result<bool> {
        if next_base.is_none_or(|next| next >= self.recovery_point) {
            segment.note_indexes_unsynced();
        }
        if next_base.is_some() && sizes.indexes_look_whole() {
            return Ok(false);
        }
        if next_base.is_none() && sizes.log == 0 {
            segment.load_tail().await?;
            return Ok(false);
        }
        if next_base.is_none() {
            match segment.resume(sizes, &self.config).await {
                Ok(None) => return Ok(false),
                Ok(Some(torn)) => {
                    self.cut_torn(segment, sizes.log, false, &torn).await?;
                    return Ok(true);
                }
                Err(Error::Io(error)) => return Err(error.into()),
                Err(error) => tracing::warn!("the segment is read whole: {error}"),
            }
        }
        self.recover_segment(segment, sizes.log, true, next_base, parts).await
    }

    async fn recover_segment(
        &self,
        segment: &Segment,
        len: u64,
        durable: bool,
        next_base: Option<Offset>,
        parts: &mut Parts,
    ) -> Result<bool> {
        // The checkpointed epochs may be ahead of, or behind, what became of the records. An epoch found is one that was.
        if !durable {
            parts.epochs.truncate_from_end(segment.base());
        }
        let Parts { epochs, progress, .. } = &mut *parts;
        let stats = self.home.stats();
        let rewritten_from = self.rewritten_from().filter(|_| !durable);
        let torn = segment
            .rebuild(len, &self.config, rewritten_from, |found, _| {
                progress.note(found, stats, &self.partition);
                let epoch = found.header.leader_epoch;
                match epochs.latest() {
                    // Old bytes may come to light behind new ones when a truncation was not durable.
                    Some(latest) if !durable && epoch < latest && epoch != LeaderEpoch::NONE => {
                        Err(format!("leader epoch {epoch} follows epoch {latest}"))
                    }
                    _ if durable => Ok(()),
                    _ => {
                        epochs.assign(epoch, found.header.base_offset);
                        Ok(())
                    }
                }
            })
            .await?;
        match torn {
            None => {
                parts.names_changed = true;
                if rewritten_from.is_some() {
                    segment.sync_rewritten(next_base.is_none()).await?;
                }
                if let Some(next) = next_base {
                    if !durable && self.ends_before(segment, next) {
                        return Ok(true);
                    }
                    segment.seal().await?;
                }
                Ok(false)
            }
            Some(torn) => {
                // After a kill only the last write can be torn, and nothing follows it.
                let may_be_torn = !durable || self.cache_survived() && torn.is_cut_off && next_base.is_none();
                self.cut_torn(segment, len, !may_be_torn, &torn).await?;
                parts.names_changed = true;
                Ok(true)
            }
        }
    }

    /// Whether records are missing between a segment that was not flushed and the next one. A power loss may take whole
    /// batches off the end of a file and leave the file after it.
    fn ends_before(&self, segment: &Segment, next: Offset) -> bool {
        // What lies below the start of the log is on its way out.
        let is_hole = segment.next_offset() < next && next > self.recovery_point.max(self.start_offset);
        if is_hole {
            tracing::warn!(
                "{}: the segment ends at offset {}, and the next one begins at {next}: the log ends here",
                segment.path(FileKind::Log).display(),
                segment.next_offset(),
            );
        }
        is_hole
    }

    async fn cut_torn(&self, segment: &Segment, len: u64, durable: bool, torn: &Torn) -> Result<()> {
        let path = segment.path(FileKind::Log);
        if durable || torn.offset < self.recovery_point {
            return Err(Error::Corrupt {
                path,
                position: torn.position,
                offset: torn.offset,
                reason: format!(
                    "{}. The records there were written whole, so this is damage and no torn write: \
                     restore the file, or remove the directory to copy the partition anew",
                    torn.reason
                ),
            });
        }
        tracing::warn!(
            "{}: the log ends at offset {}, byte {}; {} bytes after it were not flushed before the crash and are cut: {}",
            path.display(),
            torn.offset,
            torn.position,
            len - torn.position,
            torn.reason
        );
        segment.cut_beyond_end().await?;
        segment.sync().await
    }
}

/// Finds the leader epochs of a segment in the headers of its batches.
async fn find_epochs(segment: &Segment, epochs: &mut LeaderEpochs) -> Result<()> {
    let mut next = segment.find(segment.base()).await;
    // A torn tail is recovery's to judge.
    while let Ok(Some((found, mut scan))) = next {
        epochs.assign(found.header.leader_epoch, found.header.base_offset);
        next = match scan.header().await {
            Ok(found) => Ok(found.map(|found| (found, scan))),
            Err(error) => Err(error),
        };
    }
    match next {
        Err(Error::Io(error)) => Err(error.into()),
        _ => Ok(()),
    }
}
