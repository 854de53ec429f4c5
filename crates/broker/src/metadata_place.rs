//! Where the metadata log is, and whether it can be the one that belongs to the data.
//!
//! Data without their metadata would be taken for logs that belong to no topic. So a start that finds the one and not
//! the other refuses, rather than to put everything aside.

use std::path::{Path, PathBuf};

use ottla_broadcast::DIRECTORY;
use ottla_env::Disk;
use ottla_log::LogDirs;
use ottla_types::config::Settings;
use ottla_types::config::broker::node::METADATA_LOG_DIR;

/// Why the metadata log is not where it should be.
#[derive(Debug, thiserror::Error)]
pub enum MetadataPlaceError {
    /// More than one of `log.dirs` has one.
    #[error(
        "there is a metadata log in {first} and one in {second}: set metadata.log.dir to the one that is right"
    )]
    Two {
        /// The directory of one.
        first: String,
        /// The directory of the other.
        second: String,
    },
    /// There are data, and nothing that says what they are.
    #[error(
        "the metadata log in {place} is new, but log.dirs hold {logs} logs ({example} is one): their topics are not known. \
         Is a directory missing from log.dirs, or not mounted? Name the right one in metadata.log.dir, or move the data away"
    )]
    MissingForData {
        /// Where the metadata log was looked for.
        place: String,
        /// How many logs there are.
        logs: usize,
        /// The directory of one.
        example: String,
    },
}

/// The directory of the metadata log: in `metadata.log.dir`, or in whichever of `log.dirs` has one, or else in the first.
/// So the order of `log.dirs` means nothing once the broker has run.
pub(crate) async fn find(disk: &dyn Disk, settings: &Settings) -> Result<PathBuf, MetadataPlaceError> {
    if let Some(dir) = settings.get(&METADATA_LOG_DIR) {
        return Ok(Path::new(&dir).join(DIRECTORY));
    }
    let mut found: Option<PathBuf> = None;
    for dir in settings.log_dirs() {
        // One that cannot be listed is missing or broken: opening it says so.
        let entries = disk.list(Path::new(&dir)).await.unwrap_or_default();
        if !entries.iter().any(|entry| entry.is_dir && entry.name == DIRECTORY) {
            continue;
        }
        let place = Path::new(&dir).join(DIRECTORY);
        if let Some(first) = &found {
            return Err(MetadataPlaceError::Two {
                first: first.display().to_string(),
                second: place.display().to_string(),
            });
        }
        found = Some(place);
    }
    Ok(found.unwrap_or_else(|| Path::new(&settings.metadata_log_dir()).join(DIRECTORY)))
}

/// Refuses data beside a metadata log that is new.
pub(crate) fn check_new(place: &Path, logs: &LogDirs) -> Result<(), MetadataPlaceError> {
    let logs = logs.list();
    match logs.first() {
        Some(log) => Err(MetadataPlaceError::MissingForData {
            place: place.display().to_string(),
            logs: logs.len(),
            example: log.dir().display().to_string(),
        }),
        None => Ok(()),
    }
}
