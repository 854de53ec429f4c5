//! What goes wrong while the power is on.

use std::ops::Range;
use std::time::Duration;

/// How often calls fail, how large the disk is, and how slow. The default is a perfect disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// So many of a thousand reads fail with an I/O error.
    pub read_errors_per_mille: u32,
    /// So many of a thousand writes fail with an I/O error, after any part of them.
    pub write_errors_per_mille: u32,
    /// So many of a thousand changes of a directory fail, without effect.
    pub name_errors_per_mille: u32,
    /// So many of a thousand syncs, of files and of directories, fail. What they were to make durable may never be.
    pub sync_errors_per_mille: u32,
    /// The bytes that all files together may have. What does not fit is refused, after the part that fits.
    pub capacity_bytes: Option<u64>,
    /// Each call takes so long.
    pub latency: Option<Range<Duration>>,
    /// Each sync of a file or directory takes so long; `None`: as long as any other call.
    pub sync_latency: Option<Range<Duration>>,
}
