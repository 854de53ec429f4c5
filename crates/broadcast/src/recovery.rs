//! What opening the log makes of what is on disk.
//!
//! A frame was durable before the next one was begun. So of damage there are two kinds. A last frame that is not whole
//! was being written when the power went: nobody was told of it, and it is cut off. A damaged frame with a whole one
//! behind it was answered for: the disk has lost something, and opening fails rather than to go on without it.
//!
//! A process that was killed leaves in the page cache what it had written and not synced. What is found there is counted on
//! from then on, so it is synced before anybody hears of it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_env::Disk;
use ottla_env::disk::{DirLock, File, OpenMode, create_dir_durably};
use ottla_types::Offset;

use crate::frame::{self, Damage, FRAME_HEAD_LEN, FileKind, HEADER_LEN, MARK};
use crate::frame_file::read_frame;
use crate::log::MetadataLog;
use crate::writer::segment_path;

/// An opened log.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: MetadataLog,
    /// The offset of the next record.
    pub next: Offset,
    /// The last offset that the snapshot stands for, where the log begins with one.
    pub snapshot: Option<Offset>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// A record that the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed<'a> {
    /// One of the records that stand for all up to `upto`.
    FromSnapshot {
        /// The last offset that the snapshot stands for.
        upto: Offset,
        /// The record.
        record: &'a [u8],
    },
    /// The record at `offset`.
    Committed {
        /// Its offset.
        offset: Offset,
        /// The record.
        record: &'a [u8],
    },
}

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk failed, or another process has the log.
    #[error("the metadata log: {0}")]
    Io(#[from] io::Error),
    /// Something that was durable is not as it was.
    #[error(
        "the metadata log is damaged: {path} at byte {position}: {damage}. Restore the file from a replica or a copy; \
         nothing was changed"
    )]
    Damaged {
        /// The file.
        path: String,
        /// Where in it.
        position: u64,
        /// What.
        damage: Damage,
    },
    /// Records are missing between two files.
    #[error("the metadata log has a gap: {path} begins at offset {found}, and {expected} was expected")]
    Gap {
        /// The file after the gap.
        path: String,
        /// Its first offset.
        found: Offset,
        /// The offset after the file before it.
        expected: Offset,
    },
    /// A record that whoever replays it does not take.
    #[error(
        "the metadata log holds a record that cannot be replayed: {path} at byte {position}, offset {offset}: {why}"
    )]
    Replay {
        /// The file.
        path: String,
        /// Where its frame is.
        position: u64,
        /// The record's offset.
        offset: Offset,
        /// Why not.
        why: String,
    },
}

pub(crate) struct Recovered {
    pub(crate) segment: Arc<dyn File>,
    pub(crate) end: u64,
    pub(crate) base: Offset,
    pub(crate) next: Offset,
    pub(crate) snapshot: Option<Offset>,
    /// Whether the last frame is an empty one, or there is none.
    pub(crate) is_sealed: bool,
    pub(crate) warnings: Vec<String>,
    pub(crate) lock: Box<dyn DirLock>,
}

type Replay<'a> = dyn FnMut(Replayed<'_>) -> Result<(), String> + Send + 'a;

pub(crate) async fn recover(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    replay: &mut Replay<'_>,
) -> Result<Recovered, OpenError> {
    create_dir_durably(&**disk, dir).await?;
    let lock = disk.lock(&dir.join("lock")).await?;
    let mut warnings = Vec::new();
    let files = Files::list(disk, dir).await?;
    let mut next = Offset(0);
    // Before anything is deleted that a new name stands for.
    disk.sync_dir(dir).await?;
    if let Some(upto) = files.snapshots.last() {
        next = read_snapshot(disk, &dir.join(snapshot_name(*upto)), *upto, replay).await?;
        if let Err(error) = remove_superfluous(disk, dir, *upto).await {
            warnings.push(format!(
                "cannot delete what the metadata snapshot up to {upto} made superfluous: {error}"
            ));
        }
    }
    // The segments that the snapshot does not stand for, the last one with its end.
    let mut last = None;
    for (nth, base) in files.segments.iter().enumerate() {
        let follower = files.segments.get(nth + 1);
        if follower.is_some_and(|follower| *follower <= next) {
            continue;
        }
        let path = segment_path(dir, *base);
        if *base > next {
            return Err(OpenError::Gap { path: path.display().to_string(), found: *base, expected: next });
        }
        let file = disk.open(&path, OpenMode::Existing).await?;
        let scan = Scan { file: &*file, path: &path, is_last: follower.is_none(), replay_from: next };
        match scan.run(*base, replay, &mut warnings).await? {
            Some(scanned) => {
                next = scanned.next.max(next);
                last = Some((file, *base, scanned));
            }
            // It was just being created.
            None => disk.remove_file(&path).await?,
        }
    }
    // A segment that ends elsewhere than the log does cannot be appended to: its offsets would have a gap.
    let (segment, base, scanned) = match last {
        Some((file, base, scanned)) if scanned.next == next => (file, base, scanned),
        _ => (create_segment(disk, dir, next).await?, next, Scanned::empty(next)),
    };
    segment.sync().await?;
    let Scanned { end, is_sealed, .. } = scanned;
    let snapshot = files.snapshots.last().copied();
    Ok(Recovered { segment, end, base, next, snapshot, is_sealed, warnings, lock })
}

/// The segments and snapshots of a directory, by offset.
pub(crate) struct Files {
    pub(crate) segments: Vec<Offset>,
    pub(crate) snapshots: Vec<Offset>,
}

impl Files {
    pub(crate) async fn list(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<Self> {
        let mut files = Self { segments: Vec::new(), snapshots: Vec::new() };
        for entry in disk.list(dir).await? {
            if let Some(base) = offset_in(&entry.name, SEGMENT_SUFFIX) {
                files.segments.push(base);
            }
            if let Some(upto) = offset_in(&entry.name, SNAPSHOT_SUFFIX) {
                files.snapshots.push(upto);
            }
        }
        files.segments.sort_unstable();
        files.snapshots.sort_unstable();
        Ok(files)
    }
}

const SEGMENT_SUFFIX: &str = ".segment";
const SNAPSHOT_SUFFIX: &str = ".snapshot";

pub(crate) fn segment_name(base: Offset) -> String {
    format!("{:020}{SEGMENT_SUFFIX}", base.0)
}

pub(crate) fn snapshot_name(upto: Offset) -> String {
    format!("{:020}{SNAPSHOT_SUFFIX}", upto.0)
}

fn offset_in(name: &str, suffix: &str) -> Option<Offset> {
    let digits = name.strip_suffix(suffix).filter(|digits| digits.len() == 20)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok().map(Offset))?
}

/// Makes an empty segment, durably.
pub(crate) async fn create_segment(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    base: Offset,
) -> io::Result<Arc<dyn File>> {
    let file = disk.open(&segment_path(dir, base), OpenMode::Create).await?;
    file.set_len(0).await?;
    file.write_at(0, &[frame::header(FileKind::Segment, base)]).await?;
    file.sync().await?;
    disk.sync_dir(dir).await?;
    Ok(file)
}

/// Deletes the segments and snapshots that the snapshot up to `upto` stands for.
pub(crate) async fn remove_superfluous(disk: &Arc<dyn Disk>, dir: &Path, upto: Offset) -> io::Result<()> {
    let files = Files::list(disk, dir).await?;
    for snapshot in files.snapshots.iter().filter(|other| **other < upto) {
        disk.remove_file(&dir.join(snapshot_name(*snapshot))).await?;
    }
    for (segment, follower) in files.segments.iter().zip(files.segments.iter().skip(1)) {
        if follower.0 <= upto.0.saturating_add(1) {
            disk.remove_file(&segment_path(dir, *segment)).await?;
        }
    }
    Ok(())
}

/// What a segment was found to hold.
struct Scanned {
    /// Where its frames end.
    end: u64,
    /// The offset after its last record.
    next: Offset,
    /// Whether its last frame is an empty one, or there is none.
    is_sealed: bool,
}

impl Scanned {
    fn empty(base: Offset) -> Self {
        Self { end: HEADER_LEN as u64, next: base, is_sealed: true }
    }
}

/// Reads one segment.
struct Scan<'a> {
    file: &'a dyn File,
    path: &'a Path,
    is_last: bool,
    /// Records before this offset are in the snapshot.
    replay_from: Offset,
}

impl Scan<'_> {
    /// Replays the segment's records. `None` for a last segment without a whole header, which holds nothing yet.
    async fn run(
        &self,
        base: Offset,
        replay: &mut Replay<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Scanned>, OpenError> {
        let size = self.file.size().await?;
        let header = self.file.read_at(0, HEADER_LEN).await?;
        match frame::parse_header(&header, FileKind::Segment) {
            Ok(found) if found == base => {}
            Ok(found) => {
                let path = self.path.display().to_string();
                return Err(OpenError::Gap { path, found, expected: base });
            }
            // The header is durable before the first frame is written.
            Err(damage) if self.is_last && size <= HEADER_LEN as u64 && !damage.is_from_later() => {
                return Ok(None);
            }
            Err(damage) => return Err(self.damaged(0, damage)),
        }
        let mut scanned = Scanned::empty(base);
        while scanned.end < size {
            let at = scanned.end;
            match self.frame(at, scanned.next, replay).await? {
                Ok((end, next)) => scanned = Scanned { end, next, is_sealed: next == scanned.next },
                Err(damage) => {
                    self.check_torn(at, size, damage.clone()).await?;
                    self.file.set_len(at).await?;
                    self.file.sync().await?;
                    warnings.push(format!(
                        "{}: cut off {} bytes at byte {at}, written without being answered for when the node \
                         stopped ({damage})",
                        self.path.display(),
                        size - at
                    ));
                    break;
                }
            }
        }
        Ok(Some(scanned))
    }

    /// Replays the frame at `at`, or says why there is none.
    async fn frame(
        &self,
        at: u64,
        expected: Offset,
        replay: &mut Replay<'_>,
    ) -> Result<Result<(u64, Offset), Damage>, OpenError> {
        let (head, payload) = match read_frame(self.file, at).await? {
            Ok(read) => read,
            Err(damage) => return Ok(Err(damage)),
        };
        let (base, records) = match head.records(&payload) {
            Ok(parsed) => parsed,
            Err(damage) => return Ok(Err(damage)),
        };
        if base != expected {
            let path = format!("{} at byte {at}", self.path.display());
            return Err(OpenError::Gap { path, found: base, expected });
        }
        let mut offset = base;
        for record in records {
            if offset >= self.replay_from {
                replay(Replayed::Committed { offset, record })
                    .map_err(|why| replay_error(self.path, at, offset, why))?;
            }
            offset = Offset(offset.0 + 1);
        }
        Ok(Ok((at + (FRAME_HEAD_LEN + head.len) as u64, offset)))
    }

    /// Fails unless the damage at `at` can be the end of an interrupted write: nothing whole comes behind it.
    async fn check_torn(&self, at: u64, size: u64, damage: Damage) -> Result<(), OpenError> {
        if !self.is_last {
            return Err(self.damaged(at, damage));
        }
        let mut from = at + 1;
        while from < size {
            let window = self.file.read_at(from, SEARCH_WINDOW).await?;
            for (nth, candidate) in window.windows(MARK.len()).enumerate() {
                if candidate == MARK
                    && let Ok((head, payload)) = read_frame(self.file, from + nth as u64).await?
                    && head.records(&payload).is_ok()
                {
                    return Err(self.damaged(at, damage));
                }
            }
            // A mark may lie across two windows.
            from += (SEARCH_WINDOW - MARK.len() + 1) as u64;
        }
        Ok(())
    }

    fn damaged(&self, position: u64, damage: Damage) -> OpenError {
        OpenError::Damaged { path: self.path.display().to_string(), position, damage }
    }
}

const SEARCH_WINDOW: usize = 1024 * 1024;

fn replay_error(path: &Path, position: u64, offset: Offset, why: String) -> OpenError {
    OpenError::Replay { path: path.display().to_string(), position, offset, why }
}

/// Replays a snapshot. It got its name when it was whole, so any damage is a loss.
async fn read_snapshot(
    disk: &Arc<dyn Disk>,
    path: &PathBuf,
    upto: Offset,
    replay: &mut Replay<'_>,
) -> Result<Offset, OpenError> {
    let file = disk.open(path, OpenMode::Existing).await?;
    let scan = Scan { file: &*file, path, is_last: false, replay_from: Offset(0) };
    let header = file.read_at(0, HEADER_LEN).await?;
    match frame::parse_header(&header, FileKind::Snapshot) {
        Ok(found) if found == upto => {}
        Ok(found) => {
            return Err(OpenError::Gap { path: path.display().to_string(), found, expected: upto });
        }
        Err(damage) => return Err(scan.damaged(0, damage)),
    }
    let mut at = HEADER_LEN as u64;
    loop {
        let (head, payload) = read_frame(&*file, at).await?.map_err(|damage| scan.damaged(at, damage))?;
        let (_, records) = head.records(&payload).map_err(|damage| scan.damaged(at, damage))?;
        if records.is_empty() {
            return Ok(Offset(upto.0 + 1));
        }
        for record in records {
            replay(Replayed::FromSnapshot { upto, record })
                .map_err(|why| replay_error(path, at, upto, why))?;
        }
        at += (FRAME_HEAD_LEN + head.len) as u64;
    }
}
