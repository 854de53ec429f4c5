//! An index of a segment: entries in its file, and the newest ones in memory until there are enough for a write.
//!
//! An entry for each 4 KiB of records would mean a second and a third write for most appends. An index can always be made
//! again from the records, so its newest entries may wait; recovery and the clean stop see to it that the file is whole.

use std::path::Path;

use ottla_env::disk::OpenMode;
use ottla_env::{Disk, File};

use crate::Result;
use crate::format::index::{Entry, decode_all, encode_all, floor};

/// So many entries are written at once.
const ENTRIES_PER_WRITE: usize = 128;

/// A range of the file that is searched in memory.
const ENTRIES_PER_READ: u32 = 512;

/// The state of one index in memory.
#[derive(Debug, Clone)]
pub(crate) struct IndexTail<E> {
    /// Entries in the file.
    written: u32,
    /// Entries that are not in the file yet.
    pending: Vec<E>,
    last: Option<E>,
}

/// Entries to be written, and where.
pub(crate) struct IndexWrite {
    pub(crate) entries: usize,
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
}

impl<E: Entry> Default for IndexTail<E> {
    fn default() -> Self {
        Self { written: 0, pending: Vec::new(), last: None }
    }
}

impl<E: Entry> IndexTail<E> {
    /// An index whose file holds `written` entries, the last of them given.
    pub(crate) fn of_file(written: u32, last: Option<E>) -> Self {
        Self { written, pending: Vec::new(), last }
    }

    pub(crate) fn len(&self) -> u32 {
        self.written + u32::try_from(self.pending.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn last(&self) -> Option<E> {
        self.last
    }

    pub(crate) fn push(&mut self, entry: E) {
        self.pending.push(entry);
        self.last = Some(entry);
    }

    /// The first entry that is not in the file.
    pub(crate) fn first_pending(&self) -> Option<E> {
        self.pending.first().copied()
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.pending.len() >= ENTRIES_PER_WRITE
    }

    /// What is to be written; [`Self::wrote`] follows when it is.
    pub(crate) fn to_write(&self) -> Option<IndexWrite> {
        (!self.pending.is_empty()).then(|| IndexWrite {
            entries: self.pending.len(),
            at: u64::from(self.written) * E::SIZE as u64,
            bytes: encode_all(&self.pending),
        })
    }

    pub(crate) fn wrote(&mut self, entries: usize) {
        let entries = entries.min(self.pending.len());
        self.pending.drain(..entries);
        self.written += u32::try_from(entries).unwrap_or(u32::MAX);
    }

    /// The greatest entry at or below `key`, if that can be told from memory; else how many entries of the file are to be
    /// searched ([`search`]).
    pub(crate) fn floor(&self, key: E::Key) -> Result<Option<E>, u32> {
        match self.pending.first() {
            Some(first) if first.key() <= key => Ok(floor(&self.pending, key)),
            // The last entry in the file, when nothing is pending.
            None if self.last.is_some_and(|last| last.key() <= key) => Ok(self.last),
            _ if self.written == 0 => Ok(None),
            _ => Err(self.written),
        }
    }

    /// The greatest entry at or below `key` among those in memory.
    pub(crate) fn floor_in_memory(&self, key: E::Key) -> Option<E> {
        floor(&self.pending, key).or_else(|| self.last.filter(|last| last.key() <= key))
    }
}

/// The greatest entry at or below `key` among the first `count` of an index file. A file that is shorter, as after a
/// truncation meanwhile, is searched as far as it goes.
pub(crate) async fn search<E: Entry>(
    disk: &dyn Disk,
    path: &Path,
    count: u32,
    key: E::Key,
) -> Result<Option<E>> {
    let file = disk.open(path, OpenMode::Existing).await?;
    let (mut low, mut high) = (0, count);
    while high - low > ENTRIES_PER_READ {
        let middle = low + (high - low) / 2;
        match read::<E>(&*file, middle, 1).await?.first() {
            Some(entry) if entry.key() <= key => low = middle,
            _ => high = middle,
        }
    }
    Ok(floor(&read(&*file, low, high - low).await?, key))
}

/// Reads `count` entries from the one with number `from` on.
pub(crate) async fn read<E: Entry>(file: &dyn File, from: u32, count: u32) -> Result<Vec<E>> {
    let bytes = file.read_at(u64::from(from) * E::SIZE as u64, count as usize * E::SIZE).await?;
    Ok(decode_all(&bytes))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ottla_env::disk::RealDisk;

    use super::*;
    use crate::format::index::OffsetEntry;

    fn entry(n: u32) -> OffsetEntry {
        OffsetEntry { relative: n * 10, position: n * 1000 }
    }

    #[tokio::test]
    async fn the_floor_is_found_whether_in_the_file_or_still_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i");
        let disk = RealDisk::new();
        let file = disk.open(&path, OpenMode::Create).await.unwrap();
        let mut tail = IndexTail::default();
        (1..=5000).for_each(|n| tail.push(entry(n)));
        let write = tail.to_write().unwrap();
        file.write_at(write.at, &[Bytes::from(write.bytes)]).await.unwrap();
        tail.wrote(write.entries);
        (5001..=5100).for_each(|n| tail.push(entry(n)));
        assert_eq!((tail.len(), tail.last()), (5100, Some(entry(5100))));

        for key in (0..52_000).step_by(7) {
            let expected = (1..=5100).map(entry).rfind(|e| e.relative <= key);
            let found = match tail.floor(key) {
                Ok(found) => found,
                Err(count) => search(&disk, &path, count, key).await.unwrap(),
            };
            assert_eq!(found, expected, "{key}");
        }
    }
}
