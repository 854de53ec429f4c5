//! The high watermarks of a log directory's replicas, as they were last written down: `replication-offset-checkpoint`.
//!
//! After a restart a replica knows from it what was committed at least. What is lost of it is told anew by the leader; what
//! stands there must have been committed. So a log that is deleted or cut takes its mark with it, durably.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ottla_env::Disk;
use ottla_types::{Offset, TopicPartition};

use super::{LogDirs, dir};
use crate::Result;
use crate::format::atomic;
use crate::format::checkpoint::{self, Offsets};
use crate::format::names::REPLICATION_CHECKPOINT;
use crate::sync::lock;

/// What the file of one directory says, or will say when it is written next.
#[derive(Debug)]
pub(crate) struct HighWatermarks {
    path: PathBuf,
    marks: Mutex<Offsets>,
    /// The file says something else.
    is_changed: AtomicBool,
    /// One writer at a time, so that an older content never replaces a newer one.
    writing: tokio::sync::Mutex<()>,
}

impl HighWatermarks {
    /// Reads the file. One that is missing or damaged says nothing: the leader tells the watermarks again.
    pub(super) async fn read(disk: &dyn Disk, log_dir: &Path) -> Result<Self> {
        let path = log_dir.join(REPLICATION_CHECKPOINT);
        let marks = dir::read_offsets(disk, &path).await?;
        Ok(Self {
            path,
            marks: Mutex::new(marks),
            is_changed: AtomicBool::new(false),
            writing: tokio::sync::Mutex::new(()),
        })
    }

    pub(crate) fn get(&self, partition: &TopicPartition) -> Offset {
        lock(&self.marks).get(partition).copied().unwrap_or_default()
    }

    pub(super) fn note(&self, partition: TopicPartition, mark: Offset) {
        let mut marks = lock(&self.marks);
        if marks.get(&partition) != Some(&mark) {
            marks.insert(partition, mark);
            self.is_changed.store(true, Ordering::Release);
        }
    }

    /// The log ends at `end` now. Returns whether its mark came down with it.
    pub(super) fn lower(&self, partition: &TopicPartition, end: Offset) -> bool {
        let mut marks = lock(&self.marks);
        let Some(mark) = marks.get_mut(partition).filter(|mark| **mark > end) else { return false };
        *mark = end;
        self.is_changed.store(true, Ordering::Release);
        true
    }

    /// Whether the file says something else.
    pub(super) fn is_changed(&self) -> bool {
        self.is_changed.load(Ordering::Acquire)
    }

    /// Forgets the marks that are not to be kept.
    pub(super) fn retain(&self, keep: impl Fn(&TopicPartition) -> bool) {
        let mut marks = lock(&self.marks);
        let before = marks.len();
        marks.retain(|partition, _| keep(partition));
        let forgotten = marks.len() < before;
        self.is_changed.fetch_or(forgotten, Ordering::AcqRel);
    }

    /// Forgets the mark of a log.
    pub(super) fn remove(&self, partition: &TopicPartition) {
        let removed = lock(&self.marks).remove(partition).is_some();
        self.is_changed.fetch_or(removed, Ordering::AcqRel);
    }

    /// Writes the file, durably, if it does not say what is here.
    pub(super) async fn write(&self, disk: &dyn Disk) -> Result<()> {
        let _writing = self.writing.lock().await;
        if !self.is_changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let content = checkpoint::encode_offsets(&lock(&self.marks));
        let written = atomic::replace(disk, &self.path, content.into()).await;
        if written.is_err() {
            self.is_changed.store(true, Ordering::Release);
        }
        written
    }
}

impl LogDirs {
    /// Notes high watermarks, and writes `replication-offset-checkpoint` in each directory in which one of them is new
    /// (`replica.high.watermark.checkpoint.interval.ms`, and before a stop in order). Partitions without a log here are
    /// passed over; of those that are not named the last one stays.
    ///
    /// # Errors
    /// The first [`Error::Io`](crate::Error::Io); that directory is offline then, the others are written.
    pub async fn write_high_watermarks(
        &self,
        marks: impl IntoIterator<Item = (TopicPartition, Offset)>,
    ) -> Result<()> {
        for (partition, mark) in marks {
            if let Some(log) = self.get(&partition) {
                log.home().high_watermarks().note(partition, mark);
            }
        }
        let mut result = Ok(());
        for dir in self.dirs.iter().filter(|dir| dir.failure().is_none()) {
            if let Err(error) = dir.high_watermarks().write(&**dir.disk()).await {
                dir.fail(format!("its high watermarks cannot be written: {error}")).await;
                result = result.and(Err(error));
            }
        }
        result
    }
}
