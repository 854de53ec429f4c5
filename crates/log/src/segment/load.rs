//! The state of a segment from its files: quickly after a clean stop, by reading everything after another one.

use std::path::Path;
use std::sync::{Arc, Mutex};

use ottla_env::Disk;
use ottla_env::disk::OpenMode;
use ottla_records::NO_TIMESTAMP;
use ottla_types::Offset;

use super::scan::{self, Found, Scan};
use super::tail::{self, IndexTail};
use super::{Newest, Segment, State, relative};
use crate::format::index::{Entry, OffsetEntry, TimeEntry};
use crate::format::names::FileKind;
use crate::{Error, LogConfig, Result};

/// The lengths of a segment's files, as a listing gives them; `None` for a file that is not there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FileSizes {
    pub(crate) log: u64,
    pub(crate) offset_index: Option<u64>,
    pub(crate) time_index: Option<u64>,
}

impl FileSizes {
    /// Whether the index files may belong to the segment: both there, of whole entries.
    pub(crate) fn indexes_look_whole(&self) -> bool {
        let whole = |len: Option<u64>, size: usize| len.is_some_and(|len| len % size as u64 == 0);
        whole(self.offset_index, OffsetEntry::SIZE) && whole(self.time_index, TimeEntry::SIZE)
    }
}

/// So many entries at the end of the time index are compared with the offset index: more than are written at once.
const TIMES_LOOKED_AT: u32 = 512;

/// Where a segment stops to make sense.
#[derive(Debug)]
pub(crate) struct Torn {
    pub(crate) position: u64,
    pub(crate) offset: Offset,
    pub(crate) reason: String,
    /// The file ends within the batch: a write was cut off there, and nothing follows.
    pub(crate) is_cut_off: bool,
}

fn count<E: Entry>(len: Option<u64>) -> u32 {
    u32::try_from(len.unwrap_or(0) / E::SIZE as u64).unwrap_or(u32::MAX)
}

impl Segment {
    /// A segment that is not the last one, taken as its files are. Nothing is read: the next one begins at `next_offset`.
    pub(crate) fn sealed(
        disk: Arc<dyn Disk>,
        dir: Arc<Path>,
        base: Offset,
        sizes: &FileSizes,
        next_offset: Offset,
        now_ms: i64,
    ) -> Self {
        let mut state = State::empty(base, now_ms);
        state.size = sizes.log;
        state.next_offset = next_offset;
        state.newest = None;
        state.offsets = IndexTail::of_file(count::<OffsetEntry>(sizes.offset_index), None);
        state.times = IndexTail::of_file(count::<TimeEntry>(sizes.time_index), None);
        Self { base, dir, disk, file: Mutex::new(None), state: Mutex::new(state) }
    }

    /// Reads what follows the last index entry: the end offset, and what the next append needs. For the last segment
    /// of a log that was closed in order; an error means that [`Self::rebuild`] must tell.
    pub(crate) async fn load_tail(&self) -> Result<()> {
        let (size, offsets, times) = {
            let state = self.state();
            (state.size, state.offsets.len(), state.times.len())
        };
        if size == 0 {
            return self.reset_indexes().await;
        }
        let last_offset = self.last_in_file::<OffsetEntry>(FileKind::OffsetIndex, offsets).await?;
        let last_time = self.last_in_file::<TimeEntry>(FileKind::TimeIndex, times).await?;
        let file = self.file(OpenMode::Existing).await?;
        let first = Scan::new(Arc::clone(&file), 0, size, self.base(), scan::HEADERS).header().await?;

        let start = last_offset.map_or(0, |entry| u64::from(entry.position));
        let mut walk = Scan::new(file, start, size, self.base(), scan::HEADERS);
        let mut newest = self.newest_of(last_time);
        let mut next_offset = self.base();
        let mut walked_from = Offset(i64::MAX);
        let mut checked = last_offset.is_none();
        while let Some(found) = walk.header().await? {
            if !checked
                && last_offset.is_some_and(|entry| self.offset(entry.relative) != found.header.last_offset())
            {
                return Err(Error::malformed(
                    self.path(FileKind::OffsetIndex),
                    format!(
                        "its last entry points to byte {start}, where the batch ends with offset {}",
                        found.header.last_offset()
                    ),
                ));
            }
            checked = true;
            self.check_time(last_time, &found)?;
            walked_from = walked_from.min(found.header.base_offset);
            newest = newest.max(&found);
            next_offset = found.header.next_offset();
        }
        if !checked {
            // Taken as it is, such an entry would end the log where the walk never began.
            return Err(self.beyond_the_file(start, size));
        }
        self.check_time_ahead(last_time, walked_from..next_offset).await?;
        let mut state = self.state();
        state.first_timestamp_ms = first.map(|found| found.header.max_timestamp_ms);
        state.newest = Some(newest);
        state.next_offset = next_offset;
        state.since_index = size - start;
        state.offsets = IndexTail::of_file(offsets, last_offset);
        state.times = IndexTail::of_file(times, last_time);
        Ok(())
    }

    fn beyond_the_file(&self, position: u64, size: u64) -> Error {
        let reason = format!("its last entry points to byte {position}, and the log has {size} bytes");
        Error::malformed(self.path(FileKind::OffsetIndex), reason)
    }

    /// The batch that an entry of the time index names has the entry's timestamp. Other batches pass.
    fn check_time(&self, entry: Option<TimeEntry>, found: &Found) -> Result<()> {
        let Some(entry) = entry else { return Ok(()) };
        let (offset, header) = (self.offset(entry.relative), &found.header);
        let is_named = header.base_offset <= offset && offset <= header.last_offset();
        if is_named && header.max_timestamp_ms != entry.timestamp_ms {
            let reason = format!(
                "its last entry gives offset {offset} the timestamp {}, and the batch there has {}",
                entry.timestamp_ms, header.max_timestamp_ms
            );
            return Err(Error::malformed(self.path(FileKind::TimeIndex), reason));
        }
        Ok(())
    }

    /// As [`Self::check_time`], for an entry that names a batch outside the range of offsets walked: seldom, since the
    /// newest record is mostly one of the last.
    async fn check_time_ahead(
        &self,
        entry: Option<TimeEntry>,
        walked: std::ops::Range<Offset>,
    ) -> Result<()> {
        let Some(last) = entry.filter(|entry| !walked.contains(&self.offset(entry.relative))) else {
            return Ok(());
        };
        match self.find(self.offset(last.relative)).await? {
            Some((found, _)) => self.check_time(entry, &found),
            None => {
                let reason = format!(
                    "its last entry names offset {}, which is beyond the log",
                    self.offset(last.relative)
                );
                Err(Error::malformed(self.path(FileKind::TimeIndex), reason))
            }
        }
    }

    async fn reset_indexes(&self) -> Result<()> {
        for kind in [FileKind::OffsetIndex, FileKind::TimeIndex] {
            self.cut_index(kind, 0).await?;
        }
        let mut state = self.state();
        *state = State { indexes_unsynced: true, ..State::empty(self.base, state.created_ms) };
        Ok(())
    }

    async fn cut_index(&self, kind: FileKind, len: u64) -> Result<()> {
        self.state().indexes_unsynced = true;
        let path = self.path(kind);
        match self.disk.open(&path, OpenMode::Existing).await {
            Ok(file) => Ok(file.set_len(len).await?),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Reads the whole segment of `len` bytes, verifies every checksum, and makes the indexes anew. `visit` sees each
    /// batch. Where the batches stop to make sense the segment ends in memory; the file is not cut.
    ///
    /// `accept` says what else is wrong with a batch, for example a leader epoch below the last one. Batches that end at
    /// `rewritten_from` or after it are written again as they are: [`Self::sync_rewritten`] makes them durable.
    pub(crate) async fn rebuild(
        &self,
        len: u64,
        config: &LogConfig,
        rewritten_from: Option<Offset>,
        mut accept: impl FnMut(&Found, &[u8]) -> Result<(), String>,
    ) -> Result<Option<Torn>> {
        self.reset_indexes().await?;
        if len == 0 {
            return Ok(None);
        }
        let file = self.file(OpenMode::Existing).await?;
        let mut walk = Scan::new(Arc::clone(&file), 0, len, self.base, scan::WHOLE);
        loop {
            let at = (walk.position(), walk.next_offset());
            let torn = |reason| Some(Torn { position: at.0, offset: at.1, reason, is_cut_off: false });
            match walk.batch().await {
                Ok(None) => break,
                Ok(Some((found, bytes))) => {
                    if relative(self.base, found.header.last_offset()).is_none() {
                        return Ok(torn("its offsets are beyond a segment's reach".to_owned()));
                    }
                    if let Err(reason) = accept(&found, &bytes) {
                        return Ok(torn(reason));
                    }
                    if rewritten_from.is_some_and(|from| from <= found.header.last_offset()) {
                        file.write_at(found.position, &[bytes]).await?;
                    }
                    self.state().note(self.base, &found.header, config.index_interval_bytes);
                }
                Err(Error::Corrupt { reason, .. }) => {
                    let is_cut_off = walk.is_cut_off().await?;
                    return Ok(torn(reason).map(|torn| Torn { is_cut_off, ..torn }));
                }
                Err(other) => return Err(other),
            }
            if self.wants_index_write() {
                self.write_indexes().await?;
            }
        }
        Ok(None)
    }

    /// Makes durable what was written again, and the length too, of the last segment: an earlier cut may be one that the
    /// device refused. Between the two lengths a crash leaves a byte too many, which is cut where nothing follows it.
    pub(crate) async fn sync_rewritten(&self, is_last: bool) -> Result<()> {
        let file = self.file(OpenMode::Existing).await?;
        if is_last {
            let size = self.size();
            file.set_len(size + 1).await?;
            file.set_len(size).await?;
        }
        Ok(file.sync().await?)
    }

    /// Takes the last segment as a process that was killed left it, its writes in the page cache: reads, with their
    /// checksums, the batches that follow the last index entry in the file. They are no more than what the index keeps in
    /// memory. Returns where the last write was cut off, if it was.
    ///
    /// An error means that [`Self::rebuild`] must tell.
    pub(crate) async fn resume(&self, sizes: &FileSizes, config: &LogConfig) -> Result<Option<Torn>> {
        let offsets = count::<OffsetEntry>(sizes.offset_index);
        let last_offset = self.last_in_file::<OffsetEntry>(FileKind::OffsetIndex, offsets).await?;
        let times = self.times_up_to(last_offset, count::<TimeEntry>(sizes.time_index)).await?;
        let last_time = self.last_in_file::<TimeEntry>(FileKind::TimeIndex, times).await?;
        for (kind, is, was) in [
            (FileKind::OffsetIndex, offsets as usize * OffsetEntry::SIZE, sizes.offset_index),
            (FileKind::TimeIndex, times as usize * TimeEntry::SIZE, sizes.time_index),
        ] {
            if was.is_some_and(|was| was != is as u64) {
                self.cut_index(kind, is as u64).await?;
            }
        }
        let file = self.file(OpenMode::Existing).await?;
        let first = Scan::new(Arc::clone(&file), 0, sizes.log, self.base, scan::HEADERS).header().await?;
        let start = last_offset.map_or(0, |entry| u64::from(entry.position));
        {
            let mut state = self.state();
            let newest = last_time.map(|_| self.newest_of(last_time));
            *state =
                State { size: start, indexes_unsynced: true, ..State::empty(self.base, state.created_ms) };
            state.first_timestamp_ms = first.map(|found| found.header.max_timestamp_ms);
            state.newest = newest.or(state.newest);
            state.offsets = IndexTail::of_file(offsets, last_offset);
            state.times = IndexTail::of_file(times, last_time);
        }
        let indexed = last_offset.map(|entry| self.offset(entry.relative));
        let walk = Scan::new(file, start, sizes.log, self.base, scan::WHOLE);
        let torn = self.note_from(walk, indexed, config).await?;
        self.check_time_ahead(last_time, Offset(i64::MAX)..Offset(i64::MAX)).await?;
        Ok(torn)
    }

    /// Notes the batches of a walk; the first one ends with the offset `indexed`, if that is known.
    async fn note_from(
        &self,
        mut walk: Scan,
        mut indexed: Option<Offset>,
        config: &LogConfig,
    ) -> Result<Option<Torn>> {
        loop {
            let at = (walk.position(), walk.next_offset());
            match walk.batch().await {
                Ok(None) if indexed.is_some() => return Err(self.beyond_the_file(at.0, walk.limit())),
                Ok(None) => return Ok(None),
                Ok(Some((found, _))) => {
                    if indexed.take().is_some_and(|offset| offset != found.header.last_offset()) {
                        let reason =
                            format!("its last entry points to byte {}, where another batch starts", at.0);
                        return Err(Error::malformed(self.path(FileKind::OffsetIndex), reason));
                    }
                    self.state().note(self.base, &found.header, config.index_interval_bytes);
                }
                Err(Error::Corrupt { reason, .. }) if indexed.is_none() && walk.is_cut_off().await? => {
                    return Ok(Some(Torn { position: at.0, offset: at.1, reason, is_cut_off: true }));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// How many entries of the time index are not beyond the offset index, which is written after it.
    async fn times_up_to(&self, last: Option<OffsetEntry>, written: u32) -> Result<u32> {
        let Some(last) = last.filter(|_| written > 0) else { return Ok(0) };
        let from = written.saturating_sub(TIMES_LOOKED_AT);
        let path = self.path(FileKind::TimeIndex);
        let file = self.disk.open(&path, OpenMode::Existing).await?;
        let entries = tail::read::<TimeEntry>(&*file, from, written - from).await?;
        let kept = entries.partition_point(|entry| entry.relative <= last.relative);
        if kept == 0 && from > 0 {
            return Err(Error::malformed(path, "it goes far beyond the offset index"));
        }
        Ok(from + u32::try_from(kept).unwrap_or(u32::MAX))
    }

    /// The index files are as they were written, and not known to be on the device.
    pub(crate) fn note_indexes_unsynced(&self) {
        self.state().indexes_unsynced = true;
    }

    /// Cuts the segment before the first batch that ends at or after `offset`. Returns the offset where it ends then:
    /// `offset`, unless that lies within the batch that was cut.
    ///
    /// On error the state in memory is as before, and the files are to be recovered.
    pub(crate) async fn truncate(&self, offset: Offset) -> Result<Offset> {
        let Some((found, _)) = self.find(offset).await? else { return Ok(offset.min(self.next_offset())) };
        self.write_indexes().await?;
        let end = offset.min(found.header.base_offset);
        let (offsets, times) = {
            let state = self.state();
            (state.offsets.len(), state.times.len())
        };
        let offsets = self
            .cut_entries::<OffsetEntry>(FileKind::OffsetIndex, offsets, |e| {
                u64::from(e.position) < found.position
            })
            .await?;
        let times = self
            .cut_entries::<TimeEntry>(FileKind::TimeIndex, times, |e| self.offset(e.relative) < end)
            .await?;
        self.file(OpenMode::Existing).await?.set_len(found.position).await?;
        {
            let mut state = self.state();
            state.size = found.position;
            state.next_offset = end;
            state.offsets = IndexTail::of_file(offsets, None);
            state.times = IndexTail::of_file(times, None);
        }
        self.load_tail().await?;
        // A gap that compaction left before `offset` stays one.
        let mut state = self.state();
        state.next_offset = end.max(state.next_offset);
        Ok(state.next_offset)
    }

    /// Keeps the first entries of an index file, as long as `keep` says so. Returns how many.
    async fn cut_entries<E: Entry>(
        &self,
        kind: FileKind,
        written: u32,
        keep: impl Fn(&E) -> bool,
    ) -> Result<u32> {
        if written == 0 {
            return Ok(0);
        }
        let file = self.disk.open(&self.path(kind), OpenMode::Existing).await?;
        let entries = tail::read::<E>(&*file, 0, written).await?;
        let kept = entries.partition_point(keep);
        self.state().indexes_unsynced = true;
        file.set_len((kept * E::SIZE) as u64).await?;
        Ok(u32::try_from(kept).unwrap_or(u32::MAX))
    }
}

impl Newest {
    /// The later of the two, the first of equals.
    fn max(self, found: &Found) -> Self {
        let timestamp_ms = found.header.max_timestamp_ms;
        if timestamp_ms > self.timestamp_ms && timestamp_ms > NO_TIMESTAMP {
            Self { timestamp_ms, last_offset: found.header.last_offset() }
        } else {
            self
        }
    }
}
