//! Whose data directories hold, before they are opened.

use std::path::PathBuf;

use ottla_env::Disk;

use crate::format::atomic;
use crate::format::names::META_PROPERTIES;
use crate::format::properties::MetaProperties;

/// The cluster whose data are in these directories, by the first `meta.properties` that can be read. What is wrong with one
/// that cannot, and whether all are of one cluster, is told where they are opened.
pub async fn cluster_of(disk: &dyn Disk, dirs: &[PathBuf]) -> Option<String> {
    for dir in dirs {
        let read = atomic::read_optional(disk, &dir.join(META_PROPERTIES)).await;
        if let Ok(Some(bytes)) = read
            && let Ok(meta) = MetaProperties::decode(&bytes)
        {
            return Some(meta.cluster_id);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_env::disk::RealDisk;

    #[tokio::test]
    async fn the_first_directory_that_says_so_is_believed_and_a_new_one_belongs_to_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = ["none", "garbage", "data"].map(|name| dir.path().join(name));
        for dir in &dirs[1..] {
            std::fs::create_dir(dir).unwrap();
        }
        assert_eq!(cluster_of(&RealDisk::new(), &dirs).await, None);
        std::fs::write(dirs[1].join(META_PROPERTIES), b"\xff").unwrap();
        std::fs::write(dirs[2].join(META_PROPERTIES), "version=1\ncluster.id=c\nnode.id=1\n").unwrap();
        assert_eq!(cluster_of(&RealDisk::new(), &dirs).await.as_deref(), Some("c"));
    }
}
