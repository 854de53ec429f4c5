//! Offsets by timestamp, exact to the record (ListOffsets, KIP-79, KIP-734).

use std::sync::Arc;

use ottla_env::disk::OpenMode;
use ottla_records::{Batch, NO_TIMESTAMP};
use ottla_types::{LeaderEpoch, Offset};

use super::Log;
use crate::segment::Segment;
use crate::segment::scan::{Found, HEADERS, Scan};
use crate::{Error, Result};

/// A batch was checked when it was appended, with the broker's limit. This bounds the work that a damaged one may ask for;
/// its records are read from a stream, and are never in memory together.
const MAX_DECOMPRESSED_BYTES: usize = 1 << 30;

/// A record that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundRecord {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp_ms: i64,
    /// The leader epoch that wrote it; [`LeaderEpoch::NONE`] in logs of old brokers.
    pub leader_epoch: LeaderEpoch,
}

impl Log {
    /// The first record, in the order of offsets, with a timestamp of at least `timestamp_ms`. Whether it lies below the
    /// high watermark is the caller's to ask.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Corrupt`] where the batch that must have it is not what was written.
    pub async fn offset_for_timestamp(&self, timestamp_ms: i64) -> Result<Option<FoundRecord>> {
        loop {
            let generation = self.settled_generation().await;
            let result = self.first_at_or_after(timestamp_ms).await;
            self.stir();
            if self.is_generation(generation) {
                self.check_not_closed()?;
                return result;
            }
        }
    }

    /// The first record with the highest timestamp of all; `None` in a log without timestamps.
    ///
    /// # Errors
    /// As [`Self::offset_for_timestamp`].
    pub async fn max_timestamp_record(&self) -> Result<Option<FoundRecord>> {
        loop {
            let generation = self.settled_generation().await;
            let result = self.newest_record().await;
            self.stir();
            if self.is_generation(generation) {
                self.check_not_closed()?;
                return result;
            }
        }
    }

    async fn first_at_or_after(&self, timestamp_ms: i64) -> Result<Option<FoundRecord>> {
        let start = self.start_offset();
        for segment in self.segments().iter().filter(|segment| segment.next_offset() > start) {
            if segment.newest().await?.timestamp_ms < timestamp_ms {
                continue;
            }
            let wanted = |record: &FoundRecord| record.timestamp_ms >= timestamp_ms && record.offset >= start;
            let from = segment.offset_before_timestamp(timestamp_ms).await?.max(start);
            let found = search(segment, from, timestamp_ms, wanted).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn newest_record(&self) -> Result<Option<FoundRecord>> {
        let start = self.start_offset();
        let mut best: Option<(i64, Offset, Arc<Segment>)> = None;
        for segment in self.segments().iter().filter(|segment| segment.next_offset() > start) {
            let newest = segment.newest().await?;
            if newest.timestamp_ms > best.as_ref().map_or(NO_TIMESTAMP, |best| best.0) {
                best = Some((newest.timestamp_ms, newest.last_offset, Arc::clone(segment)));
            }
        }
        let Some((timestamp_ms, last_offset, segment)) = best else { return Ok(None) };
        search(&segment, last_offset.max(start), timestamp_ms, |record| record.timestamp_ms == timestamp_ms)
            .await
    }
}

/// The first record that is wanted, in the batches from the one that contains `from` on. Only batches whose max
/// timestamp is at least `timestamp_ms` are read.
async fn search(
    segment: &Segment,
    from: Offset,
    timestamp_ms: i64,
    wanted: impl Fn(&FoundRecord) -> bool,
) -> Result<Option<FoundRecord>> {
    let Some((first, mut scan)) = segment.find(from).await? else { return Ok(None) };
    let mut next = Some(first);
    while let Some(found) = next {
        if found.header.max_timestamp_ms >= timestamp_ms
            && let Some(record) = search_batch(segment, &found, &wanted).await?
        {
            return Ok(Some(record));
        }
        next = scan.header().await?;
    }
    Ok(None)
}

async fn search_batch(
    segment: &Segment,
    found: &Found,
    wanted: &impl Fn(&FoundRecord) -> bool,
) -> Result<Option<FoundRecord>> {
    let file = segment.file(OpenMode::Existing).await?;
    let mut scan = Scan::new(file, found.position, found.end(), found.header.base_offset, HEADERS);
    let Some((_, bytes)) = scan.batch().await? else { return Ok(None) };
    let leader_epoch = found.header.leader_epoch;
    let of = |offset, timestamp_ms| FoundRecord { offset, timestamp_ms, leader_epoch };
    let record = Batch::parse(&bytes).and_then(|(batch, _)| {
        batch.find(MAX_DECOMPRESSED_BYTES, |offset, timestamp_ms| wanted(&of(offset, timestamp_ms)))
    });
    let record = record.map_err(|error| Error::Corrupt {
        path: scan.path().to_owned(),
        position: found.position,
        offset: found.header.base_offset,
        reason: error.to_string(),
    })?;
    Ok(record.map(|(offset, timestamp_ms)| of(offset, timestamp_ms)))
}
