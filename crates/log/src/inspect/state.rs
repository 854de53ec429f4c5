//! What a log directory says of one partition, and what the batches that went by say of producers and leader epochs.

use std::path::{Path, PathBuf};

use ottla_env::Disk;
use ottla_records::BatchHeader;
use ottla_types::{LeaderEpoch, Offset};

use super::files::{self, SnapshotEntry};
use super::{Problem, Report};
use crate::format::checkpoint::Offsets;
use crate::format::names::{
    CLEAN_SHUTDOWN, DirKind, FileKind, LEADER_EPOCH_CHECKPOINT, LOG_START_CHECKPOINT, META_PROPERTIES,
    RECOVERY_POINT_CHECKPOINT, dir_kind,
};
use crate::producers::Producers;
use crate::{EpochEntry, Error, Result};

/// Beyond so many producers their state is no longer compared, so that memory stays bounded.
const MAX_PRODUCERS: usize = 1_000_000;

/// What a log directory says of its partitions: read once for all of them.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// It is a log directory: the partition's directory was not copied alone.
    known: bool,
    clean: bool,
    recovery_points: Offsets,
    start_offsets: Offsets,
}

impl Surroundings {
    /// Reads what is in the log directory. A checkpoint that cannot be read says nothing; that it cannot is a problem
    /// which [`verify::log_dir`](super::verify::log_dir) tells.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn read(disk: &dyn Disk, log_dir: &Path) -> Result<Self> {
        let beside = disk.list(log_dir).await?;
        let has = |name: &str| beside.iter().any(|entry| entry.name == name);
        let mut points = [Offsets::new(), Offsets::new()];
        for (name, points) in [RECOVERY_POINT_CHECKPOINT, LOG_START_CHECKPOINT].into_iter().zip(&mut points) {
            match files::offsets(disk, &log_dir.join(name)).await {
                Ok(offsets) => *points = offsets.into_iter().collect(),
                Err(Error::Io(e)) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
                Err(_) => {}
            }
        }
        let [recovery_points, start_offsets] = points;
        Ok(Self {
            known: has(META_PROPERTIES) || has(RECOVERY_POINT_CHECKPOINT),
            clean: has(CLEAN_SHUTDOWN),
            recovery_points,
            start_offsets,
        })
    }
}

/// What the log directory says of one partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    known: bool,
    clean: bool,
    recovery_point: Offset,
    pub(super) start_offset: Option<Offset>,
}

impl Standing {
    pub(super) fn of(partition_dir: &Path, around: &Surroundings) -> Self {
        let name = partition_dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let point = |points: &Offsets| match dir_kind(name) {
            DirKind::Log(partition) => points.get(&partition).copied(),
            _ => None,
        };
        Self {
            known: around.known,
            clean: around.clean,
            recovery_point: point(&around.recovery_points).unwrap_or_default(),
            start_offset: point(&around.start_offsets),
        }
    }

    /// Below this offset everything was flushed: nothing may be missing there, and no start cuts anything there.
    pub(super) fn durable_below(&self) -> Offset {
        if self.clean || !self.known { Offset(i64::MAX) } else { self.recovery_point }
    }

    pub(super) fn recovery_point(&self) -> Option<Offset> {
        self.known.then_some(self.recovery_point)
    }
}

/// Leader epochs in batches, held against the checkpoint.
pub(super) struct EpochCheck {
    path: PathBuf,
    entries: Option<Vec<EpochEntry>>,
    latest: LeaderEpoch,
    standing: Standing,
}

impl EpochCheck {
    pub(super) async fn open(
        disk: &dyn Disk,
        dir: &Path,
        standing: Standing,
        report: &mut dyn Report,
    ) -> Result<Self> {
        let path = dir.join(LEADER_EPOCH_CHECKPOINT);
        let entries = match files::leader_epochs(disk, &path).await {
            Ok(entries) => Some(entries),
            Err(Error::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(Error::Malformed { path, reason }) => {
                report.problem(Problem::of_file(path, reason));
                None
            }
            Err(error) => return Err(error),
        };
        for pair in entries.iter().flat_map(|entries| entries.windows(2)) {
            if let [a, b] = pair
                && (a.epoch >= b.epoch || a.start_offset >= b.start_offset)
            {
                let what = format!(
                    "epoch {} from offset {} follows epoch {} from offset {}",
                    b.epoch, b.start_offset, a.epoch, a.start_offset
                );
                report.problem(Problem::of_file(&path, what));
            }
        }
        Ok(Self { path, entries, latest: LeaderEpoch::NONE, standing })
    }

    /// The next batch; the answer says what is wrong with its epoch.
    pub(super) fn batch(&mut self, header: &BatchHeader) -> Option<String> {
        let epoch = header.leader_epoch;
        if epoch == LeaderEpoch::NONE || epoch == self.latest {
            return None;
        }
        if epoch < self.latest {
            return Some(format!("leader epoch {epoch} follows epoch {}", self.latest));
        }
        self.latest = epoch;
        let start = self.standing.start_offset.unwrap_or_default();
        let offset = header.base_offset.max(start);
        if header.last_offset() < start || offset >= self.standing.durable_below() {
            return None;
        }
        let Some(entries) = &self.entries else { return None };
        let after = entries.partition_point(|entry| entry.start_offset <= offset);
        match after.checked_sub(1).and_then(|at| entries.get(at)) {
            Some(entry) if entry.epoch == epoch => None,
            // Where a directory is looked at alone, nobody knows where its log starts.
            None if self.standing.start_offset.is_none() => None,
            other => Some(format!(
                "the batch has leader epoch {epoch}, and {} has {} for its offset",
                self.path.display(),
                other.map_or_else(|| "none".to_owned(), |entry| format!("epoch {}", entry.epoch))
            )),
        }
    }

    pub(super) fn end(&self, end: Offset, report: &mut dyn Report) {
        for entry in self.entries.iter().flatten().filter(|entry| entry.start_offset > end) {
            let what = format!(
                "epoch {} begins at offset {}, and the log ends at {end}",
                entry.epoch, entry.start_offset
            );
            report.problem(Problem::of_file(&self.path, what));
        }
        if self.entries.is_none() && self.latest != LeaderEpoch::NONE && end <= self.standing.durable_below()
        {
            let what =
                format!("it is missing or cannot be read, and the log has records of epoch {}", self.latest);
            report.problem(Problem::of_file(&self.path, what));
        }
    }
}

/// Producers in batches, held against the snapshots that are passed.
pub(super) struct ProducerCheck {
    dir: PathBuf,
    /// In descending order, so that the next one is the last.
    snapshots: Vec<Offset>,
    producers: Option<Producers>,
    /// Every offset has had its record so far: compaction has taken none.
    dense: bool,
}

impl ProducerCheck {
    pub(super) fn new(dir: &Path, mut snapshots: Vec<Offset>) -> Self {
        snapshots.sort_unstable_by(|a, b| b.cmp(a));
        Self { dir: dir.to_owned(), snapshots, producers: Some(Producers::default()), dense: true }
    }

    pub(super) fn saw_gap(&mut self) {
        self.dense = false;
    }

    /// From here on nobody can tell what the producers' state is: a batch is damaged.
    pub(super) fn give_up(&mut self) {
        self.producers = None;
    }

    /// Whether the records of a control batch are wanted.
    pub(super) fn is_counting(&self) -> bool {
        self.producers.is_some() && !self.snapshots.is_empty()
    }

    /// Compares the snapshots up to this offset, which the batches have reached.
    pub(super) async fn reached(
        &mut self,
        disk: &dyn Disk,
        offset: Offset,
        report: &mut dyn Report,
    ) -> Result<()> {
        while let Some(at) = self.snapshots.pop_if(|at| *at <= offset) {
            self.compare(disk, at, report).await?;
        }
        Ok(())
    }

    pub(super) fn batch(&mut self, header: &BatchHeader, body: &[u8]) {
        let Some(producers) = &mut self.producers else { return };
        crate::log::replay::note_batch(producers, header, body, 0);
        if producers.iter().len() > MAX_PRODUCERS {
            self.producers = None;
        }
    }

    async fn compare(&self, disk: &dyn Disk, at: Offset, report: &mut dyn Report) -> Result<()> {
        let path = FileKind::Snapshot.path(&self.dir, at);
        let entries = match files::producers(disk, &path).await {
            Ok(entries) => entries,
            Err(Error::Malformed { path, reason }) => {
                report.problem(Problem::of_file(path, reason));
                return Ok(());
            }
            // It was removed meanwhile.
            Err(Error::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in &entries {
            if let Some(what) = self.disagreement(entry, at) {
                let problem = Problem { offset: entry.last_offset, ..Problem::of_file(&path, what) };
                report.problem(problem);
            }
        }
        Ok(())
    }

    fn disagreement(&self, entry: &SnapshotEntry, at: Offset) -> Option<String> {
        let id = entry.producer_id;
        let said = entry.last_offset?;
        if said >= at {
            return Some(format!(
                "producer {id} wrote offset {said}, and the snapshot is of what lies below {at}"
            ));
        }
        let producers = self.producers.as_ref()?;
        // Records that are deleted cannot be asked, and a producer may be forgotten: only what both know is compared.
        let (_, known) = producers.iter().find(|(known, _)| *known == id)?;
        let seen = known.batches.back()?;
        if seen.last_offset < said && !self.dense {
            return None;
        }
        let said = (entry.producer_epoch, entry.last_sequence, said);
        let seen = (known.epoch, seen.last_sequence, seen.last_offset);
        (said != seen).then(|| {
            format!(
                "producer {id} has epoch {}, sequence {} and offset {}, and the log has epoch {}, sequence {} and offset {}",
                said.0, said.1, said.2, seen.0, seen.1, seen.2
            )
        })
    }

    pub(super) fn end(&self, end: Offset, report: &mut dyn Report) {
        for at in &self.snapshots {
            let path = FileKind::Snapshot.path(&self.dir, *at);
            report.problem(Problem::of_file(path, format!("it is beyond the end of the log, offset {end}")));
        }
    }
}
