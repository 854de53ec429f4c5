//! Replacing a small file so that a crash leaves the old content or the new, never a mixture.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::disk::OpenMode;
use ottla_env::{Disk, File};

use super::names::LEADER_EPOCH_CHECKPOINT;
use crate::Result;
use crate::sabotage::{Sabotage, is};

/// Writes `content` beside `path`, makes it durable, and renames it over `path`, durably.
pub(crate) async fn replace(disk: &dyn Disk, path: &Path, content: Bytes) -> Result<()> {
    let file = write_beside(disk, path, content).await?;
    if !(is(Sabotage::EpochsNotSynced) && path.ends_with(LEADER_EPOCH_CHECKPOINT)) {
        file.sync().await?;
    }
    put_in_place(disk, path).await?;
    if let Some(dir) = path.parent()
        && !is(Sabotage::NoDirectoryFsync)
        && !(is(Sabotage::EpochsNotSynced) && path.ends_with(LEADER_EPOCH_CHECKPOINT))
    {
        disk.sync_dir(dir).await?;
    }
    Ok(())
}

/// The first step of [`replace`]: writes `content` beside `path`. It must be durable before the next step.
pub(crate) async fn write_beside(disk: &dyn Disk, path: &Path, content: Bytes) -> Result<Arc<dyn File>> {
    let file = disk.open(&beside(path), OpenMode::Create).await?;
    file.set_len(0).await?;
    file.write_at(0, &[content]).await?;
    Ok(file)
}

/// The second step: renames what was written beside `path`. The directory is to be synced then.
pub(crate) async fn put_in_place(disk: &dyn Disk, path: &Path) -> Result<()> {
    Ok(disk.rename(&beside(path), path).await?)
}

fn beside(path: &Path) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Reads a small file; `None` where there is none.
pub(crate) async fn read_optional(disk: &dyn Disk, path: &Path) -> Result<Option<Bytes>> {
    match disk.read(path).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}
