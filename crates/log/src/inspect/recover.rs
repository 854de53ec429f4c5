//! What a start of the broker would do to a log directory. Nothing is guessed: the directory is opened as the broker opens
//! it, on a disk that keeps the changes in memory, and these are told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_env::{Disk, Env};
use ottla_types::{BrokerId, Offset};

use super::batches::{Item, SegmentReader};
use super::files::{self, Form};
use super::rehearsal::{Change, Rehearsal};
use super::{Problem, files::form};
use crate::dirs::FailedLog;
use crate::format::names::{CLEAN_SHUTDOWN, META_PROPERTIES};
use crate::format::properties::MetaProperties;
use crate::{Error, LogConfig, LogDirs, LogDirsConfig, Result};

/// Something that a start would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Cut the end of a segment off.
    Cut {
        /// The segment.
        path: PathBuf,
        /// Where it ends then.
        position: u64,
        /// Where the log ends then.
        offset: Option<Offset>,
        /// How many bytes go.
        bytes: u64,
        /// Why: what is wrong with the first of them.
        reason: String,
    },
    /// Make an index, a snapshot or a checkpoint again from the records.
    Rebuild(PathBuf),
    /// Remove a file or directory.
    Remove(PathBuf),
}

/// What a start would do.
#[derive(Debug)]
pub struct Plan {
    /// The broker closed the directory in order.
    pub was_closed: bool,
    /// How many logs would be opened.
    pub logs: usize,
    /// What would be changed.
    pub steps: Vec<Step>,
    /// Logs that would not be opened: damage that no start repairs.
    pub refused: Vec<Problem>,
}

/// Finds what a start would do to a log directory; with `only`, to the one partition's directory of this name in it.
///
/// # Errors
/// [`Error::DirInUse`] while a broker runs there. [`Error::Malformed`] for a `meta.properties` that cannot be read.
/// [`Error::Io`].
pub async fn plan(env: &Env, dir: &Path, only: Option<&str>, now_ms: i64) -> Result<Plan> {
    let was_closed = env.disk.list(dir).await?.iter().any(|entry| entry.name == CLEAN_SHUTDOWN);
    let rehearsal = Rehearsal::new(Arc::clone(&env.disk), only.map(|name| (dir.to_owned(), name.to_owned())));
    let pretended = Env { disk: Arc::new(rehearsal.clone()), ..env.clone() };
    let config = LogDirsConfig {
        dirs: vec![dir.to_owned()],
        cluster_id: None,
        node_id: node_id(&*env.disk, dir).await?,
        opened_at_a_time: 1,
    };
    let settings = Arc::new(LogConfig::default());
    let opened = LogDirs::open(&pretended, &config, |_| Arc::clone(&settings), now_ms).await?;
    let ends: BTreeMap<PathBuf, Offset> =
        opened.dirs.list().iter().map(|log| (log.dir().to_path_buf(), log.end_offset())).collect();
    let mut plan = Plan {
        was_closed,
        logs: ends.len(),
        steps: Vec::new(),
        refused: opened.failed_logs.into_iter().map(refusal).collect(),
    };
    for (path, change) in rehearsal.changes().await {
        // A log that is refused is left as it is.
        if !plan.refused.iter().any(|problem| problem.path.parent() == path.parent()) {
            let end = path.parent().and_then(|dir| ends.get(dir)).copied();
            plan.steps.extend(step(&*env.disk, path, change, end).await?);
        }
    }
    plan.steps.extend(rehearsal.removed_dirs().into_iter().map(Step::Remove));
    Ok(plan)
}

async fn node_id(disk: &dyn Disk, dir: &Path) -> Result<BrokerId> {
    let path = dir.join(META_PROPERTIES);
    match disk.read(&path).await {
        Ok(bytes) => match MetaProperties::decode(&bytes) {
            Ok(meta) => Ok(meta.node_id),
            Err(reason) => Err(Error::malformed(path, reason)),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(BrokerId(0)),
        Err(e) => Err(e.into()),
    }
}

fn refusal(failed: FailedLog) -> Problem {
    match failed.error {
        Error::Corrupt { path, position, offset, reason } => {
            Problem::at(path, position, Some(offset), reason)
        }
        Error::Malformed { path, reason } => Problem::of_file(path, reason),
        error => Problem::of_file(failed.path, error.to_string()),
    }
}

async fn step(disk: &dyn Disk, path: PathBuf, change: Change, end: Option<Offset>) -> Result<Option<Step>> {
    // What every start writes tells nothing: whose directory it is, that it is not closed any more, its checkpoints.
    let Some(
        form @ (Form::Segment(_)
        | Form::OffsetIndex(_)
        | Form::TimeIndex(_)
        | Form::TxnIndex(_)
        | Form::Snapshot(_)
        | Form::LeaderEpochs),
    ) = form(&path)
    else {
        return Ok(None);
    };
    Ok(Some(match (form, change) {
        (_, Change::Removed) => Step::Remove(path),
        (Form::Segment(_), Change::Cut { from, to }) => {
            let reason = what_is_wrong(disk, &path, to).await?;
            Step::Cut { path, position: to, offset: end, bytes: from - to, reason }
        }
        // An empty segment is the first of its log.
        (Form::Segment(_), Change::Written) => return Ok(None),
        _ => Step::Rebuild(path),
    }))
}

/// Why a segment is cut at this byte.
async fn what_is_wrong(disk: &dyn Disk, path: &Path, position: u64) -> Result<String> {
    let mut reader = SegmentReader::open(disk, path).await?;
    reader.seek(position);
    Ok(match reader.next_item().await? {
        Some(Item::Unreadable(rest)) => rest.reason,
        Some(Item::Batch(batch)) => match batch.fault {
            Some(fault) => fault.to_string(),
            None => format!(
                "a whole batch of offset {} does not follow what is in front of it",
                batch.header.base_offset
            ),
        },
        None => "nothing is there".to_owned(),
    })
}

/// The log directory and the name of a partition's directory, for [`plan`].
///
/// # Errors
/// [`Error::Io`], and [`Error::Malformed`] for a directory that is neither.
pub async fn target(disk: &dyn Disk, path: &Path) -> Result<(PathBuf, Option<String>)> {
    match files::dir_form(disk, path).await? {
        files::DirForm::LogDir => Ok((path.to_owned(), None)),
        files::DirForm::Partition => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            Ok((parent.unwrap_or(Path::new(".")).to_owned(), Some(name.to_owned())))
        }
        files::DirForm::OttlaMetadata | files::DirForm::Other => {
            Err(Error::malformed(path, "it is neither a log directory nor a partition's directory"))
        }
    }
}
