//! One segment: a file of batches with its two indexes.
//!
//! A segment does not lock itself against two writers: the log's writer lock does. Readers need no lock: bytes below
//! [`Segment::size`] do not change, except by a truncation, which readers detect by the log's generation.
//!
//! Files are opened when they are first used. What is here: appending, finding, sealing. Making a segment's state
//! from its files is in [`load`].

mod filling;
pub(crate) mod load;
pub(crate) mod scan;
mod tail;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use ottla_env::disk::OpenMode;
use ottla_env::{Disk, File};
use ottla_records::{BatchHeader, NO_TIMESTAMP};
use ottla_types::Offset;

pub(crate) use self::filling::{Filling, RollRules};
use self::scan::{Found, Scan};
use self::tail::{IndexTail, IndexWrite};
use crate::format::index::{Entry, OffsetEntry, TimeEntry};
use crate::format::names::FileKind;
use crate::sync::lock;
use crate::{LogConfig, Result};

/// So many bytes of batches may have no index entry in the file: what is read of a segment after a kill.
const UNINDEXED_BYTES: u64 = 1 << 20;

/// A timestamp, and the last offset of the first batch that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) timestamp_ms: i64,
    pub(crate) last_offset: Offset,
}

/// One segment of a log.
pub(crate) struct Segment {
    base: Offset,
    dir: Arc<Path>,
    disk: Arc<dyn Disk>,
    file: Mutex<Option<Arc<dyn File>>>,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
struct State {
    size: u64,
    next_offset: Offset,
    /// The max timestamp of the first batch, by which a segment rolls.
    first_timestamp_ms: Option<i64>,
    created_ms: i64,
    /// The highest timestamp; `None` while nobody has asked the time index for it.
    newest: Option<Newest>,
    /// Bytes since the batch of the last index entry began.
    since_index: u64,
    offsets: IndexTail<OffsetEntry>,
    times: IndexTail<TimeEntry>,
    /// The index files were written and not fsynced.
    indexes_unsynced: bool,
    /// Bytes beyond the end were cut off, and a power loss may bring them back.
    cut_unsynced: bool,
}

impl State {
    fn empty(base: Offset, now_ms: i64) -> Self {
        Self {
            size: 0,
            next_offset: base,
            first_timestamp_ms: None,
            created_ms: now_ms,
            newest: Some(Newest { timestamp_ms: NO_TIMESTAMP, last_offset: base }),
            since_index: 0,
            offsets: IndexTail::default(),
            times: IndexTail::default(),
            indexes_unsynced: false,
            cut_unsynced: false,
        }
    }

    /// Notes a batch that stands at the end of the segment, with an index entry if it is time for one.
    fn note(&mut self, base: Offset, header: &BatchHeader, index_interval_bytes: u32) {
        let newest = self.newest.unwrap_or(Newest { timestamp_ms: NO_TIMESTAMP, last_offset: base });
        if self.size == 0 {
            self.first_timestamp_ms = Some(header.max_timestamp_ms);
        }
        self.newest = Some(if header.max_timestamp_ms > newest.timestamp_ms {
            Newest { timestamp_ms: header.max_timestamp_ms, last_offset: header.last_offset() }
        } else {
            newest
        });
        if self.since_index > u64::from(index_interval_bytes)
            && let (Some(relative), Ok(position)) =
                (relative(base, header.last_offset()), u32::try_from(self.size))
        {
            self.offsets.push(OffsetEntry { relative, position });
            self.note_newest(base);
            self.since_index = 0;
        }
        self.since_index += header.size_bytes() as u64;
        self.size += header.size_bytes() as u64;
        self.next_offset = header.next_offset();
    }

    /// Adds the highest timestamp so far to the time index, if it is higher than the last one there.
    fn note_newest(&mut self, base: Offset) {
        let Some(newest) = self.newest else { return };
        let last = self.times.last().map_or(NO_TIMESTAMP, |entry| entry.timestamp_ms);
        if newest.timestamp_ms > last
            && let Some(relative) = relative(base, newest.last_offset)
        {
            self.times.push(TimeEntry { timestamp_ms: newest.timestamp_ms, relative });
        }
    }
}

/// An offset as indexes keep it: 31 bits from the segment's base.
fn relative(base: Offset, offset: Offset) -> Option<u32> {
    offset.0.checked_sub(base.0).and_then(|n| i32::try_from(n).ok()).and_then(|n| u32::try_from(n).ok())
}

impl Segment {
    /// A segment without a batch; its file is made by the first append.
    pub(crate) fn empty(disk: Arc<dyn Disk>, dir: Arc<Path>, base: Offset, now_ms: i64) -> Self {
        let state = Mutex::new(State::empty(base, now_ms));
        Self { base, dir, disk, file: Mutex::new(None), state }
    }

    /// The same segment, its files now in another directory. They are opened there.
    pub(crate) fn moved_to(&self, dir: &Arc<Path>) -> Self {
        Self {
            base: self.base,
            dir: Arc::clone(dir),
            disk: Arc::clone(&self.disk),
            file: Mutex::new(None),
            state: Mutex::new(self.state().clone()),
        }
    }

    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    pub(crate) fn path(&self, kind: FileKind) -> PathBuf {
        kind.path(&self.dir, self.base)
    }

    /// Bytes of batches.
    pub(crate) fn size(&self) -> u64 {
        self.state().size
    }

    /// The offset after the last batch.
    pub(crate) fn next_offset(&self) -> Offset {
        self.state().next_offset
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The open file of batches.
    pub(crate) async fn file(&self, mode: OpenMode) -> Result<Arc<dyn File>> {
        if let Some(file) = &*lock(&self.file) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&self.path(FileKind::Log), mode).await?;
        Ok(Arc::clone(lock(&self.file).get_or_insert(file)))
    }

    /// Whether the file of batches is open.
    pub(crate) fn is_open(&self) -> bool {
        lock(&self.file).is_some()
    }

    /// Lets go of the open file; the next use opens it again.
    pub(crate) fn release(&self) {
        lock(&self.file).take();
    }

    /// How full the segment is.
    pub(crate) fn filling(&self) -> Filling {
        Filling::of(self.base, &self.state())
    }

    /// Writes batches that follow one another at the end, all at once. On error the segment is as before, though bytes may
    /// lie beyond its end on disk.
    pub(crate) async fn append<'a>(
        &self,
        pieces: &[Bytes],
        headers: impl Iterator<Item = &'a BatchHeader> + Send,
        config: &LogConfig,
    ) -> Result<()> {
        let file = self.file(OpenMode::Create).await?;
        file.write_at(self.size(), pieces).await?;
        let mut state = self.state();
        headers.for_each(|header| state.note(self.base, header, config.index_interval_bytes));
        Ok(())
    }

    /// Cuts what a failed or abandoned write may have left beyond the end.
    pub(crate) async fn cut_beyond_end(&self) -> Result<()> {
        self.file(OpenMode::Create).await?.set_len(self.size()).await?;
        // Not before: a flush beside this takes the note away when it begins.
        self.state().cut_unsynced = true;
        Ok(())
    }

    /// Whether a flush has to take the segment along, though all its batches are durable: garbage that comes back behind
    /// them would end the log there, and take the segments after it away.
    pub(crate) fn has_unsynced_cut(&self) -> bool {
        self.state().cut_unsynced
    }

    pub(crate) fn wants_index_write(&self) -> bool {
        let state = self.state();
        let unwritten =
            state.offsets.first_pending().map_or(0, |first| state.size - u64::from(first.position));
        state.offsets.wants_write() || state.times.wants_write() || unwritten >= UNINDEXED_BYTES
    }

    /// Whether closing has entries to add to the index files.
    pub(crate) fn has_unwritten_index(&self) -> bool {
        let state = self.state();
        let newest = state.newest.map_or(NO_TIMESTAMP, |newest| newest.timestamp_ms);
        let indexed = state.times.last().map_or(NO_TIMESTAMP, |entry| entry.timestamp_ms);
        state.size > 0
            && (newest > indexed || state.offsets.to_write().is_some() || state.times.to_write().is_some())
    }

    /// Writes the index entries that are only in memory so far.
    pub(crate) async fn write_indexes(&self) -> Result<()> {
        let (offsets, times) = {
            let state = self.state();
            (state.offsets.to_write(), state.times.to_write())
        };
        // In this order, so that the offset index never covers batches whose timestamps are not indexed: after a kill only
        // those behind its last entry are read.
        if let Some(write) = times {
            let entries = self.write_index(FileKind::TimeIndex, write).await?;
            self.state().times.wrote(entries);
        }
        if let Some(write) = offsets {
            let entries = self.write_index(FileKind::OffsetIndex, write).await?;
            self.state().offsets.wrote(entries);
        }
        Ok(())
    }

    async fn write_index(&self, kind: FileKind, write: IndexWrite) -> Result<usize> {
        self.state().indexes_unsynced = true;
        let file = self.disk.open(&self.path(kind), OpenMode::Create).await?;
        file.write_at(write.at, &[Bytes::from(write.bytes)]).await?;
        Ok(write.entries)
    }

    /// Makes the indexes complete: no batch follows, or the log is closed.
    pub(crate) async fn seal(&self) -> Result<()> {
        self.newest().await?;
        self.state().note_newest(self.base);
        self.write_indexes().await?;
        // An index without an entry is a file too: one that is missing would be made again from the records.
        self.state().indexes_unsynced = true;
        for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
            self.disk.open(&self.path(kind), OpenMode::Create).await?;
        }
        Ok(())
    }

    /// Makes the batches durable, and that there are no more of them.
    pub(crate) async fn sync(&self) -> Result<()> {
        let file = self.file(OpenMode::Create).await?;
        self.state().cut_unsynced = false;
        Ok(file.sync().await?)
    }

    /// Makes the index files durable, if they were written since they last were.
    pub(crate) async fn sync_indexes(&self) -> Result<()> {
        if !self.state().indexes_unsynced {
            return Ok(());
        }
        for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
            self.disk.open(&self.path(kind), OpenMode::Create).await?.sync().await?;
        }
        self.state().indexes_unsynced = false;
        Ok(())
    }

    /// When the file of batches was last written to, if that can be told.
    pub(crate) async fn modified_ms(&self) -> Result<Option<i64>> {
        Ok(self.disk.modified_ms(&self.path(FileKind::Log)).await?)
    }

    /// Removes the segment's files, the batches first: indexes without them are removed by the next open.
    pub(crate) async fn remove(&self) -> Result<()> {
        self.release();
        for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TxnIndex] {
            match self.disk.remove_file(&self.path(kind)).await {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// The highest timestamp in the segment.
    pub(crate) async fn newest(&self) -> Result<Newest> {
        let (known, entries) = {
            let state = self.state();
            (state.newest, state.times.len())
        };
        if let Some(newest) = known {
            return Ok(newest);
        }
        let last = self.last_in_file::<TimeEntry>(FileKind::TimeIndex, entries).await?;
        let newest = self.newest_of(last);
        self.state().newest = Some(newest);
        Ok(newest)
    }

    fn newest_of(&self, entry: Option<TimeEntry>) -> Newest {
        entry.map_or(Newest { timestamp_ms: NO_TIMESTAMP, last_offset: self.base }, |entry| Newest {
            timestamp_ms: entry.timestamp_ms,
            last_offset: self.offset(entry.relative),
        })
    }

    fn offset(&self, relative: u32) -> Offset {
        Offset(self.base.0.saturating_add(i64::from(relative)))
    }

    /// The first batch that ends at or after `offset`, and the walk that goes on behind it.
    pub(crate) async fn find(&self, offset: Offset) -> Result<Option<(Found, Scan)>> {
        if self.size() == 0 {
            return Ok(None);
        }
        let mut scan = self.scan_from_index(offset, scan::HEADERS).await?;
        while let Some(found) = scan.header().await? {
            if found.header.last_offset() >= offset {
                return Ok(Some((found, scan)));
            }
        }
        Ok(None)
    }

    /// A walk from a batch at or before `offset`, as far as the offset index knows; from the start without it.
    ///
    /// The index is not trusted: if no batch with the entry's offset stands where the entry says, the walk begins at the
    /// start of the segment.
    pub(crate) async fn scan_from_index(&self, offset: Offset, window_len: usize) -> Result<Scan> {
        let limit = self.size();
        let file = self.file(OpenMode::Existing).await?;
        let entry = match relative(self.base, offset) {
            Some(key) => self.offset_floor(key).await?,
            None if offset < self.base => None,
            None => self.offset_floor(u32::MAX).await?,
        };
        if let Some(OffsetEntry { relative, position }) = entry {
            let position = u64::from(position);
            let mut probe = Scan::new(Arc::clone(&file), position, limit, self.base, window_len);
            match probe.header().await {
                Ok(Some(found)) if found.header.last_offset() == self.offset(relative) => {
                    probe.back_to(&found);
                    return Ok(probe);
                }
                Ok(None) if position == limit => {}
                _ => tracing::error!(
                    "{}: the entry for offset {} points to byte {position}, where no such batch starts; reading the segment from its start",
                    self.path(FileKind::OffsetIndex).display(),
                    self.offset(relative),
                ),
            }
        }
        Ok(Scan::new(file, 0, limit, self.base, window_len))
    }

    async fn offset_floor(&self, key: u32) -> Result<Option<OffsetEntry>> {
        let floor = self.state().offsets.floor(key);
        match floor {
            Ok(found) => Ok(found),
            Err(count) => self.search_index(FileKind::OffsetIndex, count, key).await,
        }
    }

    /// An offset from which a walk finds the first record with a timestamp of at least `timestamp_ms`.
    pub(crate) async fn offset_before_timestamp(&self, timestamp_ms: i64) -> Result<Offset> {
        let floor = self.state().times.floor(timestamp_ms);
        let entry = match floor {
            Ok(found) => found,
            Err(count) => self.search_index::<TimeEntry>(FileKind::TimeIndex, count, timestamp_ms).await?,
        };
        Ok(entry.map_or(self.base, |entry| self.offset(entry.relative)))
    }

    /// Searches an index file. One that cannot be read costs speed, not truth: the walk begins further ahead.
    async fn search_index<E: Entry>(&self, kind: FileKind, count: u32, key: E::Key) -> Result<Option<E>> {
        let path = self.path(kind);
        tail::search(&*self.disk, &path, count, key).await.or_else(|error| {
            tracing::warn!("{} cannot be used, the segment is read from its start: {error}", path.display());
            Ok(None)
        })
    }

    async fn last_in_file<E: Entry>(&self, kind: FileKind, count: u32) -> Result<Option<E>> {
        let Some(last) = count.checked_sub(1) else { return Ok(None) };
        let file = self.disk.open(&self.path(kind), OpenMode::Existing).await?;
        Ok(tail::read(&*file, last, 1).await?.first().copied())
    }

    /// Bytes from about `offset` to the end, without I/O: exact to an index interval near the end, else in proportion.
    pub(crate) fn bytes_from(&self, offset: Offset) -> u64 {
        let state = self.state();
        if offset >= state.next_offset {
            return 0;
        }
        let Some(key) = relative(self.base, offset) else { return state.size };
        if let Some(entry) = state.offsets.floor_in_memory(key) {
            return state.size.saturating_sub(u64::from(entry.position));
        }
        let (records, left) = (state.next_offset.0 - self.base.0, state.next_offset.0 - offset.0);
        let part = i128::from(state.size) * i128::from(left) / i128::from(records.max(1));
        u64::try_from(part).unwrap_or(state.size)
    }
}
