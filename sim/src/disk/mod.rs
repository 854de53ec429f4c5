//! A disk in memory, behind [`ottla_env::Disk`], that does to its files what a real one may do.
//!
//! Each file and directory has two states: what running processes see (the page cache), and what is on the device. A
//! change reaches the device when the file, or the directory, is synced. What was not synced when the power fails is kept,
//! lost or torn, each piece independently of the others (`loss`); when only the process dies, everything stays.
//!
//! The rules are at least as harsh as ext4 and XFS in their usual modes, so a program that survives here does not lean on
//! one file system's habits:
//! - A sector of a file holds, after a power loss, what it held at any moment since the last sync; so does the length,
//!   independently. What lies between an old end and a new one may read as zeros.
//! - Entries of a directory come, go or stay independently; a rename is one change, done or not done. Syncing a file does
//!   not make its name durable.
//! - A failed fsync leaves some of the pages on the device, and marks all of them clean: the next fsync succeeds without
//!   them (`fsyncgate`). Readers see them until the process ends; whether the next one does is open.
//! - Errors, a full disk and slowness are in [`Faults`].
//!
//! Everything follows from the seed and the order of the calls. [`SimDisk::trace_hash`] tells two runs apart.

mod change;
mod faults;
mod file;
mod handle;
mod loss;
mod state;
mod trace;

pub use self::faults::Faults;
pub use self::handle::SimDisk;
pub use self::loss::{Crash, CrashPoint};

#[cfg(test)]
mod tests;
