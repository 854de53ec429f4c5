//! Who this node is in the metadata quorum: a file beside the log, written before the node tells anybody.
//!
//! A directory that is wiped loses it with the votes, and comes back with another id: so nobody votes twice as one.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use ottla_env::disk::{OpenMode, create_dir_durably};
use ottla_env::{Disk, Env};
use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerId, DirectoryId, TopicId};

/// The file.
const FILE: &str = "quorum.properties";
/// The file while it is written.
const PARTIAL: &str = "quorum.properties.partial";

/// The cluster's id, once it is known.
pub(crate) type ClusterId = Arc<OnceLock<Arc<str>>>;

/// Who this node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) node_id: BrokerId,
    /// Of the metadata directory.
    pub(crate) directory: DirectoryId,
    /// What the cluster is called if this node may name it.
    pub(crate) proposal: String,
    /// What it is called, once that is agreed on.
    pub(crate) cluster_id: Option<String>,
}

impl Identity {
    /// Reads who this node is, or makes it up.
    ///
    /// # Errors
    /// The disk fails; the directory is another node's, or holds a log that is no quorum's.
    pub(crate) async fn of(env: &Env, dir: &Path, node_id: BrokerId) -> io::Result<Self> {
        create_dir_durably(&*env.disk, dir).await?;
        match env.disk.read(&dir.join(FILE)).await {
            Ok(bytes) => Self::parse(&bytes, dir, node_id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                check_empty(&*env.disk, dir).await?;
                let identity = Self {
                    node_id,
                    directory: directory_id(env, node_id),
                    proposal: TopicId::from_random(env.rng.id_bytes()).to_string(),
                    cluster_id: None,
                };
                identity.write(&*env.disk, dir).await?;
                Ok(identity)
            }
            Err(error) => Err(error),
        }
    }

    fn parse(bytes: &[u8], dir: &Path, node_id: BrokerId) -> io::Result<Self> {
        let path = dir.join(FILE);
        let bad =
            |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
        let text = std::str::from_utf8(bytes).map_err(|_| bad("is no text".to_owned()))?;
        let get = |key: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            value.ok_or_else(|| bad(format!("has no {key}")))
        };
        let found: i32 = get("node.id")?.parse().map_err(|_| bad("node.id is no number".to_owned()))?;
        if found != node_id.0 {
            return Err(bad(format!(
                "it is node {found}'s, and this is node {node_id}: set node.id or metadata.log.dir right"
            )));
        }
        let directory = get("directory.id")?.parse().map_err(|_| bad("directory.id is no id".to_owned()))?;
        let proposal = get("cluster.id.proposal")?.to_owned();
        Ok(Self { node_id, directory, proposal, cluster_id: get("cluster.id").ok().map(str::to_owned) })
    }

    /// Writes what the cluster is called.
    pub(crate) async fn remember(&self, disk: &dyn Disk, dir: &Path, cluster_id: &str) -> io::Result<()> {
        Self { cluster_id: Some(cluster_id.to_owned()), ..self.clone() }.write(disk, dir).await
    }

    async fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let Self { node_id, directory, proposal, cluster_id } = self;
        let mut text =
            format!("node.id={node_id}\ndirectory.id={directory}\ncluster.id.proposal={proposal}\n");
        if let Some(cluster_id) = cluster_id {
            text.push_str(&format!("cluster.id={cluster_id}\n"));
        }
        let partial = dir.join(PARTIAL);
        match disk.remove_file(&partial).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.open(&partial, OpenMode::CreateNew).await?;
        file.write_at(0, &[Bytes::from(text)]).await?;
        file.sync().await?;
        disk.rename(&partial, &dir.join(FILE)).await?;
        disk.sync_dir(dir).await
    }
}

/// Refuses to make a voter's directory the log of a node that is its own quorum: it would go on beside its cluster, under
/// the same name, and what it acknowledged would be lost when it came back.
///
/// # Errors
/// The directory is a voter's, or cannot be listed.
pub(crate) async fn check_no_voters(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let entries = match disk.list(dir).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed?,
    };
    if !entries.iter().any(|entry| entry.name == FILE) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "{} is that of a node that votes in a metadata quorum of several, and controller.quorum.voters does not name them: \
             list the voters there, or name another metadata.log.dir and log.dirs for a node that is alone",
            dir.display()
        ),
    ))
}

/// A log without an identity is that of a node that was alone: it cannot be made one of many.
async fn check_empty(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let entries = disk.list(dir).await?;
    match entries.iter().find(|entry| entry.name != PARTIAL && entry.name != "lock") {
        None => Ok(()),
        Some(entry) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{} holds {}, the metadata log of a node that was its own quorum, and controller.quorum.voters names \
                 several: name an empty metadata.log.dir and log.dirs, or start it alone",
                dir.display(),
                entry.name
            ),
        )),
    }
}

/// A name for a directory that was empty: one that no directory ever had.
fn directory_id(env: &Env, node_id: BrokerId) -> DirectoryId {
    if is(Sabotage::EmptyDirectoryVotes) {
        return DirectoryId([node_id.0 as u8 | 0x80; 16]);
    }
    DirectoryId::from_random(env.rng.id_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_is_who_it_was_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::real();
        let first = Identity::of(&env, dir.path(), BrokerId(1)).await.unwrap();
        assert_eq!(Identity::of(&env, dir.path(), BrokerId(1)).await.unwrap(), first);
        let error = Identity::of(&env, dir.path(), BrokerId(2)).await.unwrap_err().to_string();
        assert!(error.contains("node 1's") && error.contains("node.id"), "{error}");
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        let wiped = Identity::of(&env, dir.path(), BrokerId(1)).await.unwrap();
        assert_ne!(wiped.directory, first.directory, "who has lost its directory is another one");
    }

    #[tokio::test]
    async fn the_log_of_a_node_that_was_alone_is_not_taken_for_a_voters() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("00000000000000000000.log"), b"x").unwrap();
        let error = Identity::of(&Env::real(), dir.path(), BrokerId(1)).await.unwrap_err().to_string();
        assert!(error.contains("00000000000000000000.log") && error.contains("metadata.log.dir"), "{error}");
    }

    #[tokio::test]
    async fn a_voters_directory_is_not_taken_for_that_of_a_node_alone() {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::real();
        check_no_voters(&*env.disk, &dir.path().join("none")).await.unwrap();
        check_no_voters(&*env.disk, dir.path()).await.unwrap();
        Identity::of(&env, dir.path(), BrokerId(1)).await.unwrap();
        let error = check_no_voters(&*env.disk, dir.path()).await.unwrap_err().to_string();
        assert!(error.contains("controller.quorum.voters") && error.contains("metadata.log.dir"), "{error}");
    }
}
