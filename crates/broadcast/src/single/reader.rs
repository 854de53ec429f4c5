//! Committed records and snapshots, read from the files while they are written to.
//!
//! Nothing is read behind the committed end, so every frame that is read is whole. Files that a snapshot made superfluous
//! may vanish between two reads: then the snapshot is what is to be read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ottla_env::Disk;
use ottla_env::disk::OpenMode;
use ottla_types::Offset;

use crate::atomic::{Read, ReadError, SnapshotPiece};
use crate::frame::HEADER_LEN;
use crate::frame_file::{Piece, read_piece, read_records};
use crate::recovery::{Files, snapshot_name};
use crate::writer::segment_path;

/// Reads the files of one log.
pub(super) struct Reader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Where the last read ended: most reads go on from there, and need not look for their offset.
    cursor: Mutex<Option<Cursor>>,
}

#[derive(Clone, Copy)]
struct Cursor {
    /// The segment.
    base: Offset,
    /// A frame begins here.
    position: u64,
    /// With a record of this offset.
    offset: Offset,
}

impl Reader {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self { disk, dir: dir.to_owned(), cursor: Mutex::new(None) }
    }

    pub(super) async fn read(&self, from: Offset, end: Offset, max_bytes: usize) -> Result<Read, ReadError> {
        if from >= end {
            return Ok(Read::Nothing { end });
        }
        let files = Files::list(&self.disk, &self.dir).await.map_err(storage)?;
        let needs_snapshot = match files.snapshots.last() {
            Some(upto) => Ok(Read::NeedsSnapshot { upto: *upto }),
            None => Err(ReadError::Storage(format!("offset {from} is in no file").into())),
        };
        let Some(base) = files.segments.iter().copied().rfind(|base| *base <= from) else {
            return needs_snapshot;
        };
        match self.read_segment(base, from, end, max_bytes).await {
            Ok(records) if !records.is_empty() => Ok(Read::Records { first: from, records }),
            // A snapshot may stand for more than the segment that was the last one holds.
            Ok(_) => needs_snapshot,
            // It was deleted between listing and opening.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let files = Files::list(&self.disk, &self.dir).await.map_err(storage)?;
                files
                    .snapshots
                    .last()
                    .map_or_else(|| Err(storage(error)), |upto| Ok(Read::NeedsSnapshot { upto: *upto }))
            }
            Err(error) => Err(storage(error)),
        }
    }

    async fn read_segment(
        &self,
        base: Offset,
        from: Offset,
        end: Offset,
        max_bytes: usize,
    ) -> io::Result<Vec<Bytes>> {
        let file = self.disk.open(&segment_path(&self.dir, base), OpenMode::Read).await?;
        let size = file.size().await?;
        let mut at = self.start(base, from);
        let (mut records, mut bytes) = (Vec::new(), 0);
        while at.position < size && at.offset < end {
            let (frame, next) = read_records(&*file, at.position).await?;
            let count = frame.len() as i64;
            let skipped = usize::try_from(from.0 - at.offset.0).unwrap_or(0);
            for record in frame.into_iter().skip(skipped) {
                bytes += record.len();
                if bytes > max_bytes && !records.is_empty() {
                    self.keep(at);
                    return Ok(records);
                }
                records.push(record);
            }
            at = Cursor { position: next, offset: Offset(at.offset.0 + count), ..at };
        }
        self.keep(at);
        Ok(records)
    }

    fn start(&self, base: Offset, from: Offset) -> Cursor {
        let cursor = *self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = Cursor { base, position: HEADER_LEN as u64, offset: base };
        cursor.filter(|cursor| cursor.base == base && cursor.offset <= from).unwrap_or(begin)
    }

    fn keep(&self, cursor: Cursor) {
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = Some(cursor);
    }

    pub(super) async fn read_snapshot(
        &self,
        upto: Offset,
        position: u64,
        max_bytes: usize,
    ) -> Result<SnapshotPiece, ReadError> {
        let path = self.dir.join(snapshot_name(upto));
        let file = match self.disk.open(&path, OpenMode::Read).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ReadError::NoSnapshot(upto)),
            opened => opened.map_err(storage)?,
        };
        let at = if position == 0 { HEADER_LEN as u64 } else { position };
        let size = file.size().await.map_err(storage)?;
        let wrong = |why: String| ReadError::Position { upto, position, why };
        if at >= size {
            return Err(wrong(format!("the file has {size} bytes")));
        }
        let first = read_records(&*file, at).await.map_err(|error| wrong(error.to_string()))?;
        let Piece { records, next } = read_piece(&*file, first, max_bytes).await.map_err(storage)?;
        Ok(SnapshotPiece { records, next })
    }
}

fn storage(error: io::Error) -> ReadError {
    ReadError::Storage(error.to_string().into())
}
