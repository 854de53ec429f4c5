//! One partition's log in Kafka's on-disk format, and the directories that hold many.
//!
//! - [`Log`]: append, read, look up, truncate one partition's log.
//! - [`LogDirs`]: the `log.dirs` of a broker: locks, `meta.properties`, checkpoints, opening and deleting logs.
//!
//! Everything that touches a disk goes through `env`'s [`Disk`](ottla_env::Disk). Deciding is kept in pure files:
//! `format` (bytes, lines, names), `producers` (idempotence), `epochs` (leader epochs).
//!
//! What is not here: validation of batches (`records`), the high watermark and acknowledgement (`replica`), and clocks:
//! the time comes as an argument. Only `stats` reads one, to tell how long flushes take; nothing is decided by it.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod cache;
mod config;
mod dirs;
mod epochs;
mod error;
mod format;
pub mod inspect;
mod log;
mod producers;
mod sabotage;
mod segment;
pub mod stats;
mod sync;

pub use config::LogConfig;
pub use dirs::{
    DEFAULT_TAIL_CACHE_BYTES, DirInfo, FailedLog, Held, LogDirs, LogDirsConfig, NewLog, OpenedDirs,
    PreviousRun,
};
pub use epochs::EpochEntry;
pub use error::{Error, Result};
pub use log::{ActiveProducer, Appended, FlushObserver, FoundRecord, Log, Read, Replicated};
#[cfg(feature = "sabotage")]
pub use sabotage::Sabotage;
