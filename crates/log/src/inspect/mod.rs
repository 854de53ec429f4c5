//! Looking at the files of a log without changing one: for `ottla log`, on a stopped broker's directory, on a copy of
//! it, or on what a running broker has there at the moment.
//!
//! - [`batches`]: the batches of a segment, one after another, those that are damaged too.
//! - [`files`]: the small files, and the entries of indexes.
//! - [`verify`]: whether a partition's files are right and agree with each other.
//! - [`recover`]: what a start of the broker would do. It is found by starting on a disk that only pretends to be
//!   changed ([`rehearsal`]).
//!
//! Nothing here takes a directory's lock or writes; memory is bounded by a window of the file and by what one batch or
//! one small file really holds.

pub mod batches;
pub mod files;
mod indexes;
pub mod recover;
mod rehearsal;
mod state;
pub mod verify;

use std::fmt;
use std::path::PathBuf;

use ottla_types::Offset;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or directory.
    pub path: PathBuf,
    /// The byte in the file.
    pub position: Option<u64>,
    /// The offset of the record, or the one expected there.
    pub offset: Option<Offset>,
    /// What is wrong, and what was expected.
    pub what: String,
}

impl Problem {
    pub(crate) fn of_file(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self { path: path.into(), position: None, offset: None, what: what.into() }
    }

    pub(crate) fn at(
        path: impl Into<PathBuf>,
        position: u64,
        offset: Option<Offset>,
        what: impl Into<String>,
    ) -> Self {
        Self { position: Some(position), offset, ..Self::of_file(path, what) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(position) = self.position {
            write!(f, ", byte {position}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, ", offset {offset}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Hears of what is found, while it is found.
pub trait Report: Send {
    /// Something is wrong.
    fn problem(&mut self, problem: Problem);

    /// So many more bytes were read.
    fn progress(&mut self, bytes: u64) {
        let _ = bytes;
    }
}
