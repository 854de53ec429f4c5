//! What log directories hold, before they are opened.

use std::path::{Path, PathBuf};

use ottla_env::Disk;

use crate::format::atomic;
use crate::format::names::{DirKind, META_PROPERTIES, dir_kind};
use crate::format::properties::MetaProperties;

/// What there is in log directories. What cannot be read is left out: opening the directories tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// The cluster that they belong to, by the first `meta.properties` there is.
    pub cluster_id: Option<String>,
    /// The log of a partition, if there is any.
    pub log: Option<PathBuf>,
}

impl Held {
    /// Looks into the directories.
    pub async fn look(disk: &dyn Disk, dirs: &[PathBuf]) -> Self {
        let mut held = Self::default();
        for dir in dirs {
            if held.cluster_id.is_none() {
                held.cluster_id = cluster_of(disk, dir).await;
            }
            if held.log.is_none() {
                let entries = disk.list(dir).await.unwrap_or_default();
                let log = entries
                    .iter()
                    .find(|entry| entry.is_dir && matches!(dir_kind(&entry.name), DirKind::Log(_)));
                held.log = log.map(|log| dir.join(&log.name));
            }
        }
        held
    }
}

async fn cluster_of(disk: &dyn Disk, dir: &Path) -> Option<String> {
    let bytes = atomic::read_optional(disk, &dir.join(META_PROPERTIES)).await.ok().flatten()?;
    Some(MetaProperties::decode(&bytes).ok()?.cluster_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_env::disk::RealDisk;

    #[tokio::test]
    async fn what_is_there_is_found_and_what_cannot_be_read_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = ["none", "garbage", "data"].map(|name| dir.path().join(name));
        for dir in &dirs[1..] {
            std::fs::create_dir(dir).unwrap();
        }
        assert_eq!(Held::look(&RealDisk::new(), &dirs).await, Held::default());
        std::fs::write(dirs[1].join(META_PROPERTIES), b"\xff").unwrap();
        std::fs::create_dir(dirs[1].join("ottla-metadata")).unwrap();
        std::fs::write(dirs[2].join(META_PROPERTIES), "version=1\ncluster.id=c\nnode.id=1\n").unwrap();
        let log = dirs[2].join("t-0");
        std::fs::create_dir(&log).unwrap();
        let expected = Held { cluster_id: Some("c".to_owned()), log: Some(log) };
        assert_eq!(Held::look(&RealDisk::new(), &dirs).await, expected);
    }
}
