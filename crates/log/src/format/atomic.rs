//! Replacing a small file so that a crash leaves the old content or the new, never a mixture.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla_env::Disk;
use ottla_env::disk::OpenMode;

use crate::Result;

/// Writes `content` beside `path`, makes it durable, and renames it over `path`, durably.
pub(crate) async fn replace(disk: &dyn Disk, path: &Path, content: Bytes) -> Result<()> {
    let temporary = beside(path);
    let file = disk.open(&temporary, OpenMode::Create).await?;
    file.set_len(0).await?;
    file.write_at(0, &[content]).await?;
    file.sync().await?;
    drop(file);
    disk.rename(&temporary, path).await?;
    if let Some(dir) = path.parent() {
        disk.sync_dir(dir).await?;
    }
    Ok(())
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
