//! The producers' state from what is on disk: the last snapshot that can be read, and the batches after it.

use std::path::Path;
use std::sync::Arc;

use ottla_env::Disk;
use ottla_env::disk::OpenMode;
use ottla_records::{BatchHeader, Records};
use ottla_types::Offset;

use crate::Result;
use crate::epochs::LeaderEpochs;
use crate::format::names::FileKind;
use crate::producers::{Producers, TxnMarker, snapshot};
use crate::segment::Segment;
use crate::segment::scan::{Found, HEADERS, Scan};

/// Remembers a batch, data or marker, that is in the log.
pub(crate) fn note_batch(producers: &mut Producers, header: &BatchHeader, body: &[u8], now_ms: i64) {
    if !header.attributes.is_control() {
        producers.remember(header, now_ms);
    } else if let Some(marker) = txn_marker(header, body) {
        producers.remember_marker(header, marker, now_ms);
    }
}

/// The end-of-transaction marker in a control batch; `None` for other control records, or for none at all (a cleaned
/// log may have empty control batches).
fn txn_marker(header: &BatchHeader, body: &[u8]) -> Option<TxnMarker> {
    const ABORT: i16 = 0;
    const COMMIT: i16 = 1;
    let record = Records::new(header, body).next()?.ok()?;
    let kind = record.key?.get(2..4)?.first_chunk().copied().map(i16::from_be_bytes)?;
    if !matches!(kind, ABORT | COMMIT) {
        return None;
    }
    let coordinator_epoch = record.value?.get(2..6)?.first_chunk().copied().map(i32::from_be_bytes)?;
    Some(TxnMarker { coordinator_epoch, timestamp_ms: record.timestamp_ms })
}

/// The state as of `end`, and the offset of the snapshot that it began with. `snapshots` are the offsets of those that
/// there are; unreadable ones are passed over.
pub(super) async fn producers_at(
    disk: &dyn Disk,
    dir: &Path,
    snapshots: &[Offset],
    segments: &[Arc<Segment>],
    end: Offset,
    now_ms: i64,
) -> Result<(Producers, Option<Offset>)> {
    let (mut producers, snapshot_at) = latest_snapshot(disk, dir, snapshots, end, now_ms).await?;
    // Records below the start of the log still tell of their producers, as long as they are there.
    let from = snapshot_at.unwrap_or_default();
    for segment in segments.iter().filter(|segment| segment.next_offset() > from) {
        replay(&mut producers, segment, from, end, now_ms).await?;
    }
    Ok((producers, snapshot_at))
}

async fn latest_snapshot(
    disk: &dyn Disk,
    dir: &Path,
    snapshots: &[Offset],
    end: Offset,
    now_ms: i64,
) -> Result<(Producers, Option<Offset>)> {
    let mut offsets: Vec<Offset> = snapshots.iter().copied().filter(|&offset| offset <= end).collect();
    offsets.sort_unstable();
    for offset in offsets.into_iter().rev() {
        let path = FileKind::Snapshot.path(dir, offset);
        match snapshot::decode(&disk.read(&path).await?, now_ms) {
            Ok(producers) => return Ok((producers, Some(offset))),
            Err(reason) => tracing::warn!("{} is passed over: {reason}", path.display()),
        }
    }
    Ok((Producers::default(), None))
}

/// Finds the leader epochs from `from` on. They never fall along a log, so between two batches of one epoch there is no
/// other, and few batches need to be read.
pub(super) async fn epochs_from(
    epochs: &mut LeaderEpochs,
    segments: &[Arc<Segment>],
    from: Offset,
) -> Result<()> {
    for segment in segments.iter().filter(|segment| segment.next_offset() > from) {
        let mut next = segment.find(from.max(segment.base())).await?.map(|(found, _)| found);
        while let Some(found) = next {
            epochs.assign(found.header.leader_epoch, found.header.base_offset);
            next = next_epoch(segment, &found).await?;
        }
        segment.release();
    }
    Ok(())
}

/// The first batch after `current` with another leader epoch.
async fn next_epoch(segment: &Segment, current: &Found) -> Result<Option<Found>> {
    let (mut low, mut high) = (current.header.next_offset().0, segment.next_offset().0);
    let mut other = None;
    // Nearly always the last batch is of the same epoch, and nothing is left to look at.
    let mut middle = high - 1;
    while low < high {
        match segment.find(Offset(middle)).await? {
            Some((found, _)) if found.header.leader_epoch == current.header.leader_epoch => {
                low = found.header.next_offset().0;
            }
            Some((found, _)) => {
                high = middle.min(found.header.base_offset.0);
                other = Some(found);
            }
            None => high = middle,
        }
        middle = low + (high - low) / 2;
    }
    Ok(other)
}

/// Remembers the batches of a segment from `from` to `end`, by their headers alone.
async fn replay(
    producers: &mut Producers,
    segment: &Segment,
    from: Offset,
    end: Offset,
    now_ms: i64,
) -> Result<()> {
    let Some((first, mut scan)) = segment.find(from).await? else { return Ok(()) };
    let mut next = Some(first);
    while let Some(found) = next.filter(|found| found.header.last_offset() < end) {
        if found.header.attributes.is_control() {
            let body = control_body(segment, &found).await?;
            note_batch(producers, &found.header, &body, now_ms);
        } else {
            producers.remember(&found.header, now_ms);
        }
        next = scan.header().await?;
    }
    Ok(())
}

async fn control_body(segment: &Segment, found: &Found) -> Result<bytes::Bytes> {
    let file = segment.file(OpenMode::Existing).await?;
    let mut scan = Scan::new(file, found.position, found.end(), found.header.base_offset, HEADERS);
    let batch = scan.batch().await?;
    Ok(batch.map_or_else(bytes::Bytes::new, |(_, bytes)| {
        bytes.slice(ottla_records::HEADER_LEN.min(bytes.len())..)
    }))
}
