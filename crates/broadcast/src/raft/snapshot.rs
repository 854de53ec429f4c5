//! The files of snapshots.
//!
//! A snapshot is a file of frames as [`crate::frame`] has them. Its base is the last offset that it stands for; its first
//! frame holds one record, which says up to which entry of the log that is, and who voted then; the others hold the
//! records of the state; the last one is empty. A file gets its name, the index of that entry, when it is whole and
//! durable. What another node sends is written to a file of another name, and gets its name when all of it was checked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::Disk;
use ottla_env::disk::{File, OpenMode, remove_if_there};
use ottla_types::Offset;

use super::codec::{Decoder, Encoder};
use super::types::SnapshotMeta;
use crate::frame::{self, FileKind, FrameBuilder, HEADER_LEN};
use crate::frame_file::{Piece, create, read_piece, read_records, write_frame, write_snapshot_frames};

/// A snapshot that is being written here.
pub(crate) const PARTIAL: &str = "snapshot.partial";
/// One that another node is sending.
pub(crate) const INCOMING: &str = "incoming.partial";
const SUFFIX: &str = ".snapshot";

/// A whole snapshot in a file.
#[derive(Clone)]
pub(crate) struct SnapshotFile {
    pub(crate) file: Arc<dyn File>,
    pub(crate) meta: SnapshotMeta,
    /// The last offset that it stands for.
    pub(crate) upto: Offset,
    pub(crate) len_bytes: u64,
    /// Where the frames of the state begin.
    body: u64,
}

impl std::fmt::Debug for SnapshotFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.file.path().display(), self.len_bytes)
    }
}

impl SnapshotFile {
    /// Opens a file and reads what it is of. Whether all of it is sound is not looked at.
    pub(crate) async fn open(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let file = disk.open(path, OpenMode::Read).await?;
        let damaged = |at: u64, why: &dyn std::fmt::Display| {
            let message = format!("the metadata snapshot {} is damaged at byte {at}: {why}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        };
        let header = file.read_at(0, HEADER_LEN).await?;
        let upto = frame::parse_header(&header, FileKind::Snapshot).map_err(|damage| damaged(0, &damage))?;
        let at = HEADER_LEN as u64;
        let (records, body) = read_records(&*file, at).await?;
        let [meta] =
            <[Bytes; 1]>::try_from(records).map_err(|_| damaged(at, &"it does not say what it is of"))?;
        let meta = Decoder::all(meta, Decoder::snapshot_meta).map_err(|error| damaged(at, &error))?;
        let len_bytes = file.size().await?;
        Ok(Self { file, meta, upto, len_bytes, body })
    }

    /// Reads a piece of at most `max_bytes`, or one frame: the first at position 0.
    pub(crate) async fn read(&self, position: u64, max_bytes: usize) -> io::Result<Piece> {
        let at = if position == 0 { self.body } else { position };
        let first = read_records(&*self.file, at).await?;
        read_piece(&*self.file, first, max_bytes).await
    }

    /// Reads all of it, to see that it is sound and ends where it should.
    pub(crate) async fn check(&self) -> io::Result<()> {
        let mut at = self.body;
        loop {
            let (records, next) = read_records(&*self.file, at).await?;
            if records.is_empty() && next == self.len_bytes {
                return Ok(());
            }
            if records.is_empty() || next >= self.len_bytes {
                let path = self.file.path().display();
                let message = format!("the metadata snapshot {path} does not end where it should");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            at = next;
        }
    }
}

/// Writes a snapshot under a name that it does not keep.
pub(crate) async fn write(
    disk: &dyn Disk,
    path: &Path,
    meta: &SnapshotMeta,
    upto: Offset,
    records: &[Bytes],
) -> io::Result<()> {
    let file = create(disk, path).await?;
    file.write_at(0, &[frame::header(FileKind::Snapshot, upto)]).await?;
    let mut encoder = Encoder::new();
    encoder.snapshot_meta(meta);
    let mut first = FrameBuilder::new(upto);
    first.push(&[encoder.finish()]);
    let body = write_frame(&*file, HEADER_LEN as u64, first).await?;
    write_snapshot_frames(&*file, body, upto, records).await
}

/// Gives a snapshot that is durable the name by which it is found, durably, and opens it.
pub(crate) async fn publish(disk: &dyn Disk, dir: &Path, from: &Path) -> io::Result<SnapshotFile> {
    let partial = SnapshotFile::open(disk, from).await?;
    let index = partial.meta.last_log_id.map_or(0, |last| last.index);
    let path = path(dir, index);
    disk.rename(from, &path).await?;
    disk.sync_dir(dir).await?;
    SnapshotFile::open(disk, &path).await
}

/// Opens the newest snapshot in `dir`, and removes what it makes superfluous.
pub(crate) async fn newest(disk: &dyn Disk, dir: &Path) -> io::Result<Option<SnapshotFile>> {
    for partial in [PARTIAL, INCOMING] {
        remove_if_there(disk, &dir.join(partial)).await?;
    }
    let Some(index) = indexes(disk, dir).await?.pop() else { return Ok(None) };
    // Whoever made it may have been killed before its name was durable.
    disk.sync_dir(dir).await?;
    let newest = SnapshotFile::open(disk, &path(dir, index)).await?;
    remove_before(disk, dir, &newest).await?;
    Ok(Some(newest))
}

/// Removes the snapshots that `newest` takes the place of.
pub(crate) async fn remove_before(disk: &dyn Disk, dir: &Path, newest: &SnapshotFile) -> io::Result<()> {
    let index = newest.meta.last_log_id.map_or(0, |last| last.index);
    for older in indexes(disk, dir).await?.into_iter().filter(|older| *older < index) {
        remove_if_there(disk, &path(dir, older)).await?;
    }
    Ok(())
}

async fn indexes(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<u64>> {
    let entries = disk.list(dir).await?;
    let digits = entries.iter().filter_map(|entry| entry.name.strip_suffix(SUFFIX));
    let named = digits.filter(|digits| digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()));
    let mut indexes: Vec<u64> = named.filter_map(|digits| digits.parse().ok()).collect();
    indexes.sort_unstable();
    Ok(indexes)
}

fn path(dir: &Path, index: u64) -> PathBuf {
    dir.join(format!("{index:020}{SUFFIX}"))
}

#[cfg(test)]
mod tests {
    use super::super::types::log_id;
    use super::*;
    use ottla_env::disk::RealDisk;

    fn meta(index: u64) -> SnapshotMeta {
        SnapshotMeta { last_log_id: Some(log_id(3, index)), ..SnapshotMeta::default() }
    }

    async fn all(snapshot: &SnapshotFile, max_bytes: usize) -> (Vec<Bytes>, usize) {
        let (mut records, mut position, mut pieces) = (Vec::new(), 0, 0);
        loop {
            let piece = snapshot.read(position, max_bytes).await.unwrap();
            records.extend(piece.records);
            pieces += 1;
            match piece.next {
                Some(next) => position = next,
                None => return (records, pieces),
            }
        }
    }

    #[tokio::test]
    async fn a_snapshot_is_read_in_pieces_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::new();
        let partial = dir.path().join(PARTIAL);
        for records in [vec![], (0..9).map(|n| Bytes::from(vec![n; 200_000])).collect::<Vec<_>>()] {
            write(&disk, &partial, &meta(7), Offset(99), &records).await.unwrap();
            let snapshot = publish(&disk, dir.path(), &partial).await.unwrap();
            snapshot.check().await.unwrap();
            assert_eq!((snapshot.upto, &snapshot.meta), (Offset(99), &meta(7)));
            let (read, pieces) = all(&snapshot, 1).await;
            assert_eq!((read, pieces), (records.clone(), records.len().max(1)));
            assert_eq!(all(&snapshot, usize::MAX).await, (records, 1));
        }
    }

    #[tokio::test]
    async fn the_newest_is_found_and_those_before_it_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::new();
        assert!(newest(&disk, dir.path()).await.unwrap().is_none());
        for index in [5, 12] {
            let partial = dir.path().join(PARTIAL);
            write(&disk, &partial, &meta(index), Offset(1), &[]).await.unwrap();
            publish(&disk, dir.path(), &partial).await.unwrap();
        }
        std::fs::write(dir.path().join(INCOMING), "half").unwrap();
        assert_eq!(newest(&disk, dir.path()).await.unwrap().unwrap().meta, meta(12));
        assert_eq!(indexes(&disk, dir.path()).await.unwrap(), [12]);
        assert!(!dir.path().join(INCOMING).exists());
    }

    #[tokio::test]
    async fn no_flipped_bit_and_no_cut_passes_the_check() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::new();
        let path = dir.path().join(PARTIAL);
        write(&disk, &path, &meta(7), Offset(99), &[Bytes::from_static(b"record")]).await.unwrap();
        let whole = std::fs::read(&path).unwrap();
        let check = async || SnapshotFile::open(&disk, &path).await?.check().await;
        check().await.unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            assert!(check().await.is_err(), "flipped at {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(check().await.is_err(), "cut at {at}");
        }
    }
}
