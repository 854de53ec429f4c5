//! Frames in files: reading one, and writing those of a snapshot. What they look like is in [`crate::frame`].

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::Disk;
use ottla_env::disk::{File, OpenMode, remove_if_there};
use ottla_types::Offset;

use crate::frame::{Damage, FRAME_HEAD_LEN, FrameBuilder, FrameHead};

/// How large a snapshot's frames are, unless one record is larger: they are read, and sent, one by one.
const SNAPSHOT_FRAME_BYTES: usize = 256 * 1024;

/// Reads the frame at `at`, unless there is none.
pub(crate) async fn read_frame(file: &dyn File, at: u64) -> io::Result<Result<(FrameHead, Bytes), Damage>> {
    let head = match FrameHead::parse(&file.read_at(at, FRAME_HEAD_LEN).await?) {
        Ok(head) => head,
        Err(damage) => return Ok(Err(damage)),
    };
    let payload = file.read_at(at.saturating_add(FRAME_HEAD_LEN as u64), head.len).await?;
    Ok(if payload.len() == head.len { Ok((head, payload)) } else { Err(Damage::Truncated) })
}

/// The records of the frame at `at`, and where the next one begins. Damage is an error that names the file.
pub(crate) async fn read_records(file: &dyn File, at: u64) -> io::Result<(Vec<Bytes>, u64)> {
    let damaged = |damage| {
        let message = format!("{} at byte {at}: {damage}", file.path().display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    let (head, payload) = read_frame(file, at).await?.map_err(damaged)?;
    let (_, records) = head.records(&payload).map_err(damaged)?;
    let records = records.into_iter().map(|record| payload.slice_ref(record)).collect();
    Ok((records, at + (FRAME_HEAD_LEN + head.len) as u64))
}

/// Records of a snapshot.
pub(crate) struct Piece {
    pub(crate) records: Vec<Bytes>,
    /// Where the next piece begins; `None` after the last.
    pub(crate) next: Option<u64>,
}

/// Adds to the first frame of a piece, with where the next one begins, those behind it: as many as have at most `max_bytes`
/// together. The empty one is the snapshot's end.
pub(crate) async fn read_piece(
    file: &dyn File,
    (mut records, mut next): (Vec<Bytes>, u64),
    max_bytes: usize,
) -> io::Result<Piece> {
    let size = |records: &[Bytes]| records.iter().map(Bytes::len).sum::<usize>();
    let mut bytes = size(&records);
    if records.is_empty() {
        return Ok(Piece { records, next: None });
    }
    loop {
        let (more, after) = read_records(file, next).await?;
        if more.is_empty() {
            return Ok(Piece { records, next: None });
        }
        bytes += size(&more);
        if bytes > max_bytes {
            return Ok(Piece { records, next: Some(next) });
        }
        records.extend(more);
        next = after;
    }
}

/// Makes an empty file, in the place of one that may be there.
pub(crate) async fn create(disk: &dyn Disk, path: &Path) -> io::Result<Arc<dyn File>> {
    // What an earlier attempt left is not written over: nothing that may have been renamed is ever changed.
    remove_if_there(disk, path).await?;
    disk.open(path, OpenMode::CreateNew).await
}

/// Writes a frame. Returns where the next one begins.
pub(crate) async fn write_frame(file: &dyn File, at: u64, frame: FrameBuilder) -> io::Result<u64> {
    let buffers = frame.finish();
    file.write_at(at, &buffers).await?;
    Ok(at + buffers.iter().map(|buffer| buffer.len() as u64).sum::<u64>())
}

/// Writes the frames of a snapshot of the state up to `upto`, with the empty one that ends it, and makes them durable.
pub(crate) async fn write_snapshot_frames(
    file: &dyn File,
    mut at: u64,
    upto: Offset,
    records: &[Bytes],
) -> io::Result<()> {
    let mut frame = FrameBuilder::new(upto);
    for record in records {
        let record = std::slice::from_ref(record);
        if !frame.is_empty() && frame.len() + FrameBuilder::batch_len(record) > SNAPSHOT_FRAME_BYTES {
            at = write_frame(file, at, std::mem::replace(&mut frame, FrameBuilder::new(upto))).await?;
        }
        frame.push(record);
    }
    if !frame.is_empty() {
        at = write_frame(file, at, frame).await?;
    }
    write_frame(file, at, FrameBuilder::new(upto)).await?;
    file.sync().await
}
