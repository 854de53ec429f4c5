//! Whether the files of a log are right: each batch, and what indexes, snapshots and checkpoints say of them.
//!
//! Everything that Kafka writes is right: gaps of compaction, indexes with room made in advance, an index that is not
//! there yet for the last segment. What lies above the recovery point of a log that was not closed in order may be behind
//! (checkpoint, indexes); it may not be wrong. A torn end is a problem that the next start solves, and told as such.

use std::collections::BTreeMap;
use std::path::Path;

use ottla_env::Disk;
use ottla_records::{Batch, HEADER_LEN, Records};
use ottla_types::{Offset, TopicPartition};

use super::batches::{Item, PlacedBatch, SegmentReader, Unreadable};
use super::files;
use super::indexes::{OffsetCheck, TimeCheck};
pub use super::state::Surroundings;
use super::state::{EpochCheck, ProducerCheck, Standing};
use super::{Problem, Report};
use crate::format::names::{
    FileKind, LOG_START_CHECKPOINT, META_PROPERTIES, PARTITION_METADATA, RECOVERY_POINT_CHECKPOINT,
    REPLICATION_CHECKPOINT,
};
use crate::{Error, Result};

/// Records of one batch are decompressed into at most this.
const MAX_DECOMPRESSED: usize = 1 << 30;

/// What to look at beyond the headers and checksums of all batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Decompress every batch and read its records.
    pub records: bool,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Partitions.
    pub partitions: u64,
    /// Segments.
    pub segments: u64,
    /// Batches.
    pub batches: u64,
    /// Records, as the headers count them.
    pub records: u64,
    /// Bytes of segments.
    pub bytes: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.partitions += other.partitions;
        self.segments += other.segments;
        self.batches += other.batches;
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

/// Verifies the files that a log directory holds beside its partitions.
///
/// # Errors
/// [`Error::Io`].
pub async fn log_dir(disk: &dyn Disk, dir: &Path, report: &mut dyn Report) -> Result<()> {
    let told = |result: Result<()>, report: &mut dyn Report| match result {
        Ok(()) => Ok(()),
        Err(Error::Malformed { path, reason }) => {
            report.problem(Problem::of_file(path, reason));
            Ok(())
        }
        Err(Error::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    told(files::meta_properties(disk, &dir.join(META_PROPERTIES)).await.map(drop), report)?;
    for name in [RECOVERY_POINT_CHECKPOINT, LOG_START_CHECKPOINT, REPLICATION_CHECKPOINT] {
        told(files::offsets(disk, &dir.join(name)).await.map(drop), report)?;
    }
    Ok(())
}

/// Verifies the directory of one partition. `around` is what the directory above says.
///
/// # Errors
/// [`Error::Io`].
pub async fn partition(
    disk: &dyn Disk,
    dir: &Path,
    around: &Surroundings,
    options: Options,
    report: &mut dyn Report,
) -> Result<Totals> {
    let standing = Standing::of(dir, around);
    let listing = Listing::read(disk, dir, report).await?;
    let mut walk = Walk {
        disk,
        dir,
        options,
        standing,
        epochs: EpochCheck::open(disk, dir, standing, report).await?,
        producers: ProducerCheck::new(dir, listing.snapshots),
        next_offset: None,
        totals: Totals { partitions: 1, ..Totals::default() },
    };
    let mut segments = listing.segments.iter().peekable();
    while let Some((&base, indexes)) = segments.next() {
        let next_base = segments.peek().map(|(base, _)| **base);
        walk.segment(base, next_base, *indexes, report).await?;
    }
    walk.end(report).await
}

/// Which index files a segment has.
#[derive(Debug, Clone, Copy, Default)]
struct Indexes {
    offset: bool,
    time: bool,
}

/// The files of a partition.
struct Listing {
    segments: BTreeMap<Offset, Indexes>,
    snapshots: Vec<Offset>,
}

impl Listing {
    async fn read(disk: &dyn Disk, dir: &Path, report: &mut dyn Report) -> Result<Self> {
        let mut listing = Self { segments: BTreeMap::new(), snapshots: Vec::new() };
        let entries = disk.list(dir).await?;
        let files = || entries.iter().filter(|entry| !entry.is_dir);
        for entry in files() {
            let path = dir.join(&entry.name);
            match FileKind::parse(&entry.name) {
                Some((FileKind::Log, base)) => drop(listing.segments.insert(base, Indexes::default())),
                Some((FileKind::Snapshot, offset)) => listing.snapshots.push(offset),
                None if entry.name == PARTITION_METADATA => match files::topic_id(disk, &path).await {
                    Err(Error::Malformed { path, reason }) => report.problem(Problem::of_file(path, reason)),
                    other => drop(other?),
                },
                None if [".swap", ".cleaned"].iter().any(|suffix| entry.name.ends_with(suffix)) => {
                    report.problem(Problem::of_file(path, "a compaction was interrupted and left it"));
                }
                _ => {}
            }
        }
        for entry in files() {
            let Some((kind, base)) = FileKind::parse(&entry.name) else { continue };
            let segment = listing.segments.get_mut(&base);
            match (kind, segment) {
                (FileKind::OffsetIndex, Some(indexes)) => indexes.offset = true,
                (FileKind::TimeIndex, Some(indexes)) => indexes.time = true,
                (FileKind::OffsetIndex | FileKind::TimeIndex | FileKind::TxnIndex, None) => {
                    report.problem(Problem::of_file(
                        dir.join(&entry.name),
                        "it is an index, and its segment is missing",
                    ));
                }
                _ => {}
            }
        }
        Ok(listing)
    }
}

/// One pass over a partition.
struct Walk<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    options: Options,
    standing: Standing,
    epochs: EpochCheck,
    producers: ProducerCheck,
    /// The next batch starts here or above; `None` in front of the first segment.
    next_offset: Option<Offset>,
    totals: Totals,
}

impl Walk<'_> {
    async fn segment(
        &mut self,
        base: Offset,
        next_base: Option<Offset>,
        has: Indexes,
        report: &mut dyn Report,
    ) -> Result<()> {
        let path = FileKind::Log.path(self.dir, base);
        // The indexes first: those of a running broker grow, and never beyond the records that are there.
        let (mut offsets, mut times) = self.indexes(base, next_base, has, report).await?;
        let mut reader = match SegmentReader::open(self.disk, &path).await {
            Ok(reader) => reader,
            // Retention took it meanwhile.
            Err(Error::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        self.begin(base, &path, report);
        let mut end = 0;
        while let Some(item) = reader.next_item().await? {
            let batch = match item {
                Item::Batch(batch) => batch,
                Item::Unreadable(rest) => {
                    self.unreadable(&path, &rest, next_base.is_none(), report);
                    break;
                }
            };
            self.batch(&path, &batch, &mut reader, report).await?;
            if let Some(check) = &mut offsets {
                check.batch(batch.position, &batch.header, report).await?;
            }
            if let Some(check) = times.as_mut().filter(|_| batch.fault.is_none()) {
                check.batch(&batch.header, report).await?;
            }
            report.progress(batch.end() - batch.position);
            end = batch.end();
        }
        let next_offset = self.next_offset.unwrap_or(base);
        if let Some(mut check) = offsets {
            check.end(end, report).await?;
        }
        if let Some(mut check) = times {
            check.end(next_offset, report).await?;
        }
        self.totals.segments += 1;
        self.totals.bytes += reader.len_bytes();
        Ok(())
    }

    /// A segment begins where the one in front of it ended, or later.
    fn begin(&mut self, base: Offset, path: &Path, report: &mut dyn Report) {
        match self.next_offset {
            Some(next) if base < next => {
                let what =
                    format!("it begins at offset {base}, and the segment in front of it ends at {next}");
                report.problem(Problem::of_file(path, what));
            }
            Some(next) if base > next => self.producers.saw_gap(),
            _ => {}
        }
        self.next_offset = Some(self.next_offset.map_or(base, |next| next.max(base)));
    }

    async fn indexes(
        &self,
        base: Offset,
        next_base: Option<Offset>,
        has: Indexes,
        report: &mut dyn Report,
    ) -> Result<(Option<OffsetCheck>, Option<TimeCheck>)> {
        // The last segment may have none yet, and so may those that no flush has covered.
        let needed = next_base.is_some_and(|next| next <= self.standing.durable_below());
        let (offset, time) =
            (FileKind::OffsetIndex.path(self.dir, base), FileKind::TimeIndex.path(self.dir, base));
        for (path, there) in [(&offset, has.offset), (&time, has.time)] {
            if needed && !there {
                report.problem(Problem::of_file(path, "the index is missing"));
            }
        }
        let offsets = match has.offset {
            true => present(OffsetCheck::open(self.disk, &offset, base, report).await)?,
            false => None,
        };
        let times = match has.time {
            true => present(TimeCheck::open(self.disk, &time, base, report).await)?,
            false => None,
        };
        Ok((offsets, times))
    }

    fn unreadable(&mut self, path: &Path, rest: &Unreadable, is_last: bool, report: &mut dyn Report) {
        self.producers.give_up();
        let offset = self.next_offset.unwrap_or_default();
        let outlook = if offset >= self.standing.durable_below() {
            "they were not flushed, and the next start cuts them"
        } else if is_last {
            "the log is torn there"
        } else {
            "what follows is not looked at"
        };
        let what =
            format!("{}; {} bytes to the end of the file are no batch: {outlook}", rest.reason, rest.bytes);
        report.problem(Problem::at(path, rest.position, Some(offset), what));
        report.progress(rest.bytes);
    }

    async fn batch(
        &mut self,
        path: &Path,
        batch: &PlacedBatch,
        reader: &mut SegmentReader,
        report: &mut dyn Report,
    ) -> Result<()> {
        let header = &batch.header;
        let expected = self.next_offset.unwrap_or_default();
        let mut tell =
            |what: String| report.problem(Problem::at(path, batch.position, Some(header.base_offset), what));
        self.totals.batches += 1;
        self.totals.records += u64::try_from(header.records_count).unwrap_or(0);
        if let Some(fault) = &batch.fault {
            tell(fault.to_string());
            self.producers.give_up();
        }
        if header.base_offset < expected {
            tell(format!("the batch starts at offset {}, and {expected} is the least", header.base_offset));
            self.producers.give_up();
        } else if header.base_offset > expected {
            self.producers.saw_gap();
        }
        if let Some(what) = self.epochs.batch(header) {
            tell(what);
        }
        self.producers.reached(self.disk, header.base_offset, report).await?;
        self.next_offset = Some(expected.max(header.next_offset()));
        if batch.fault.is_some() {
            return Ok(());
        }
        let is_wanted =
            self.options.records || header.attributes.is_control() && self.producers.is_counting();
        let bytes = if is_wanted { reader.read(batch).await? } else { bytes::Bytes::new() };
        self.producers.batch(header, bytes.get(HEADER_LEN..).unwrap_or_default());
        if self.options.records
            && let Err(what) = check_records(&bytes)
        {
            report.problem(Problem::at(path, batch.position, Some(header.base_offset), what));
        }
        Ok(())
    }

    async fn end(mut self, report: &mut dyn Report) -> Result<Totals> {
        let end = self.next_offset.unwrap_or_else(|| self.standing.start_offset.unwrap_or_default());
        self.producers.reached(self.disk, end, report).await?;
        self.producers.end(end, report);
        self.epochs.end(end, report);
        let points =
            [("recovery point", self.standing.recovery_point()), ("log start", self.standing.start_offset)];
        for (name, point) in points {
            if let Some(point) = point.filter(|point| *point > end) {
                let what = format!("its {name} is offset {point}, and the log ends at {end}");
                report.problem(Problem::of_file(self.dir, what));
            }
        }
        Ok(self.totals)
    }
}

fn present<T>(opened: Result<T>) -> Result<Option<T>> {
    match opened {
        Ok(check) => Ok(Some(check)),
        Err(Error::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads all records of a batch: as many as the header says, with offsets that ascend within its range.
fn check_records(bytes: &[u8]) -> std::result::Result<(), String> {
    let (batch, _) = Batch::parse(bytes).map_err(|e| e.to_string())?;
    let header = batch.header();
    let body = batch.records_bytes(MAX_DECOMPRESSED).map_err(|e| e.to_string())?;
    let mut least = header.base_offset;
    for record in Records::new(header, &body) {
        let record = record.map_err(|e| e.to_string())?;
        if record.offset < least || record.offset > header.last_offset() {
            return Err(format!(
                "a record has offset {}, and {least} to {} was expected",
                record.offset,
                header.last_offset()
            ));
        }
        least = Offset(record.offset.0.saturating_add(1));
    }
    Ok(())
}

/// The bytes of segments that a partition's directory holds: what verifying it will read.
///
/// # Errors
/// [`Error::Io`].
pub async fn size_bytes(disk: &dyn Disk, dir: &Path) -> Result<u64> {
    let entries = disk.list(dir).await?;
    let segments =
        entries.iter().filter(|entry| matches!(FileKind::parse(&entry.name), Some((FileKind::Log, _))));
    Ok(segments.map(|entry| entry.len_bytes).sum())
}

/// Partitions that more than one of the directories holds: a broker refuses to start with these.
#[must_use]
pub fn duplicates(found: &[(TopicPartition, std::path::PathBuf)]) -> Vec<Problem> {
    let mut first: BTreeMap<&TopicPartition, &Path> = BTreeMap::new();
    let mut problems = Vec::new();
    for (partition, path) in found {
        match first.get(partition) {
            None => drop(first.insert(partition, path)),
            Some(other) => {
                let what = format!("{partition} is in {} too", other.display());
                problems.push(Problem::of_file(path, what));
            }
        }
    }
    problems
}
