//! The two indexes of a segment, held against its batches as these go by: bounded memory, one pass.
//!
//! An entry of the offset index must lead to where a batch starts, and name that batch's last offset. Brokers before
//! Kafka 4.0 named the last offset of the last batch of one append: that of a later batch is accepted too. An entry of the
//! time index must have the highest timestamp up to and including the batch with its offset.

use std::path::{Path, PathBuf};

use ottla_env::Disk;
use ottla_records::{BatchHeader, NO_TIMESTAMP};
use ottla_types::Offset;

use super::files::Entries;
use super::{Problem, Report};
use crate::Result;
use crate::format::index::{Entry, OffsetEntry, TimeEntry};

/// So many wrong entries of one file are told one by one.
const TOLD: usize = 10;

/// Tells the first wrong entries of a file, and counts the others.
struct Teller {
    path: PathBuf,
    wrong: usize,
}

impl Teller {
    fn tell(&mut self, number: u64, size: usize, offset: Offset, what: String, report: &mut dyn Report) {
        self.wrong += 1;
        if self.wrong <= TOLD {
            report.problem(Problem::at(&self.path, number * size as u64, Some(offset), what));
        }
    }

    fn end(&self, report: &mut dyn Report) {
        if self.wrong > TOLD {
            let more = self.wrong - TOLD;
            report.problem(Problem::of_file(&self.path, format!("{more} more entries are wrong")));
        }
    }
}

/// The offset index of a segment, entry by entry.
pub(super) struct OffsetCheck {
    base: Offset,
    entries: Entries<OffsetEntry>,
    next: Option<(u64, OffsetEntry)>,
    last: Option<OffsetEntry>,
    /// An entry whose batch went by, and whose offset a later batch must end with.
    awaiting: Option<(u64, Offset)>,
    teller: Teller,
}

impl OffsetCheck {
    pub(super) async fn open(
        disk: &dyn Disk,
        path: &Path,
        base: Offset,
        report: &mut dyn Report,
    ) -> Result<Self> {
        let entries = Entries::open(disk, path).await?;
        whole_entries(path, &entries, report);
        let teller = Teller { path: path.to_owned(), wrong: 0 };
        let mut check = Self { base, entries, next: None, last: None, awaiting: None, teller };
        check.advance(report).await?;
        Ok(check)
    }

    /// Takes the next entry that is in order.
    async fn advance(&mut self, report: &mut dyn Report) -> Result<()> {
        self.next = None;
        while let Some((number, entry)) = self.entries.next_entry().await? {
            let in_order =
                |last: OffsetEntry| last.relative < entry.relative && last.position < entry.position;
            if self.last.is_none_or(in_order) {
                (self.last, self.next) = (Some(entry), Some((number, entry)));
                return Ok(());
            }
            let offset = self.offset(entry);
            self.tell(number, offset, format!("entry {number} is not above the one in front of it"), report);
        }
        Ok(())
    }

    fn offset(&self, entry: OffsetEntry) -> Offset {
        Offset(self.base.0.saturating_add(i64::from(entry.relative)))
    }

    fn tell(&mut self, number: u64, offset: Offset, what: String, report: &mut dyn Report) {
        self.teller.tell(number, OffsetEntry::SIZE, offset, what, report);
    }

    /// The next batch of the segment.
    pub(super) async fn batch(
        &mut self,
        at: u64,
        header: &BatchHeader,
        report: &mut dyn Report,
    ) -> Result<()> {
        let last_offset = header.last_offset();
        if let Some((number, offset)) = self.awaiting.filter(|(_, offset)| last_offset >= *offset) {
            self.awaiting = None;
            if last_offset != offset {
                self.tell(
                    number,
                    offset,
                    format!("entry {number} names an offset that no batch ends with"),
                    report,
                );
            }
        }
        while let Some((number, entry)) = self.next.filter(|(_, entry)| u64::from(entry.position) <= at) {
            let offset = self.offset(entry);
            if u64::from(entry.position) < at {
                let what = format!(
                    "entry {number} leads to byte {} of the segment, where no batch starts",
                    entry.position
                );
                self.tell(number, offset, what, report);
            } else if offset < last_offset {
                let what = format!(
                    "entry {number} leads to byte {at} of the segment, where the batch ends with offset {last_offset}"
                );
                self.tell(number, offset, what, report);
            } else if offset > last_offset {
                self.awaiting = Some((number, offset));
            }
            self.advance(report).await?;
        }
        Ok(())
    }

    /// The segment is over, at this byte.
    pub(super) async fn end(&mut self, at: u64, report: &mut dyn Report) -> Result<()> {
        if let Some((number, offset)) = self.awaiting.take() {
            self.tell(
                number,
                offset,
                format!("entry {number} names an offset beyond the segment's last"),
                report,
            );
        }
        while let Some((number, entry)) = self.next {
            let what = format!(
                "entry {number} leads to byte {} of the segment, and its batches end at byte {at}",
                entry.position
            );
            self.tell(number, self.offset(entry), what, report);
            self.advance(report).await?;
        }
        self.teller.end(report);
        Ok(())
    }
}

/// The time index of a segment, entry by entry.
pub(super) struct TimeCheck {
    base: Offset,
    entries: Entries<TimeEntry>,
    next: Option<(u64, TimeEntry)>,
    last: Option<TimeEntry>,
    newest_ms: i64,
    teller: Teller,
}

impl TimeCheck {
    pub(super) async fn open(
        disk: &dyn Disk,
        path: &Path,
        base: Offset,
        report: &mut dyn Report,
    ) -> Result<Self> {
        let entries = Entries::open(disk, path).await?;
        whole_entries(path, &entries, report);
        let teller = Teller { path: path.to_owned(), wrong: 0 };
        let mut check = Self { base, entries, next: None, last: None, newest_ms: NO_TIMESTAMP, teller };
        check.advance(report).await?;
        Ok(check)
    }

    async fn advance(&mut self, report: &mut dyn Report) -> Result<()> {
        self.next = None;
        while let Some((number, entry)) = self.entries.next_entry().await? {
            let in_order =
                |last: TimeEntry| last.timestamp_ms < entry.timestamp_ms && last.relative <= entry.relative;
            if self.last.is_none_or(in_order) {
                (self.last, self.next) = (Some(entry), Some((number, entry)));
                return Ok(());
            }
            let offset = self.offset(entry);
            self.tell(number, offset, format!("entry {number} is not above the one in front of it"), report);
        }
        Ok(())
    }

    fn offset(&self, entry: TimeEntry) -> Offset {
        Offset(self.base.0.saturating_add(i64::from(entry.relative)))
    }

    fn tell(&mut self, number: u64, offset: Offset, what: String, report: &mut dyn Report) {
        self.teller.tell(number, TimeEntry::SIZE, offset, what, report);
    }

    /// The next batch of the segment.
    pub(super) async fn batch(&mut self, header: &BatchHeader, report: &mut dyn Report) -> Result<()> {
        self.newest_ms = self.newest_ms.max(header.max_timestamp_ms);
        while let Some((number, entry)) = self.next {
            let offset = self.offset(entry);
            if offset > header.last_offset() {
                break;
            }
            if entry.timestamp_ms != self.newest_ms {
                let what = format!(
                    "entry {number} has timestamp {}, and the highest up to its offset is {}",
                    entry.timestamp_ms, self.newest_ms
                );
                self.tell(number, offset, what, report);
            }
            self.advance(report).await?;
        }
        Ok(())
    }

    /// The segment is over, in front of this offset.
    pub(super) async fn end(&mut self, next_offset: Offset, report: &mut dyn Report) -> Result<()> {
        while let Some((number, entry)) = self.next {
            let what =
                format!("entry {number} names an offset beyond the segment, which ends before {next_offset}");
            self.tell(number, self.offset(entry), what, report);
            self.advance(report).await?;
        }
        self.teller.end(report);
        Ok(())
    }
}

fn whole_entries<E: Entry>(path: &Path, entries: &Entries<E>, report: &mut dyn Report) {
    let (len, size) = (entries.len_bytes(), E::SIZE as u64);
    if !len.is_multiple_of(size) {
        report.problem(Problem::at(
            path,
            len - len % size,
            None,
            format!("its {len} bytes are no whole number of entries of {size} bytes"),
        ));
    }
}
