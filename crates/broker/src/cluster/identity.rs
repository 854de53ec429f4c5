//! Who this node is in the metadata quorum, and whose its directory is: what is known before the log is opened.
//!
//! A directory that is wiped loses its id with the votes, and comes back with another one: so nobody votes twice as one. What
//! is kept, and when, is decided elsewhere (`ottla_broadcast::founding`).

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use ottla_broadcast::founding::record::FILE;
use ottla_broadcast::founding::{Problem, Record};
use ottla_broadcast::quorum::VoterKey;
use ottla_env::disk::create_dir_durably;
use ottla_env::{Disk, Env};
use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerId, DirectoryId};

use crate::start::StartError;

/// In which the first builds of this program kept what `founding` now has. None of them was released.
const OLD_FILE: &str = "quorum.properties";

/// The cluster's id, once it is known.
pub(crate) type ClusterId = Arc<OnceLock<Arc<str>>>;

/// Who this node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// It and its metadata directory, as they are kept, or as they are to be called from now on.
    pub(crate) me: VoterKey,
    /// What the directory keeps; `None` where it is empty.
    pub(crate) kept: Option<Record>,
}

impl Identity {
    /// Reads who this node is, or makes up a name for its directory. Nothing is written: the directory is not locked yet.
    ///
    /// # Errors
    /// The disk fails; the directory is another node's, or holds a log that is no quorum's.
    pub(crate) async fn of(env: &Env, dir: &Path, node_id: BrokerId) -> Result<Self, StartError> {
        create_dir_durably(&*env.disk, dir).await.map_err(StartError::Identity)?;
        let kept = Record::load(&*env.disk, dir).await.map_err(StartError::Identity)?;
        let Some(record) = kept else {
            check_empty(&*env.disk, dir).await.map_err(StartError::Identity)?;
            return Ok(Self {
                me: VoterKey { id: node_id, directory: directory_id(env, node_id) },
                kept: None,
            });
        };
        if record.me.id != node_id {
            return Err(Problem::OtherNodesDirectory { node: node_id, found: record.me.id }.into());
        }
        Ok(Self { me: record.me, kept: Some(record) })
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
    if !entries.iter().any(|entry| entry.name == FILE || entry.name == OLD_FILE) {
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

/// A log without an identity is that of a node that was alone: it cannot be made one of many. Votes, or a log of several,
/// without one are found when they are read.
async fn check_empty(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let refused =
        |why: String| Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} {why}", dir.display())));
    for entry in disk.list(dir).await? {
        if entry.name == OLD_FILE {
            return refused(format!(
                "holds {OLD_FILE}, in which builds before the first release kept their quorum: it is not read any more. Name \
                 empty metadata.log.dir and log.dirs on every node"
            ));
        }
        if entry.name == "epoch" || entry.name.ends_with(".segment") {
            return refused(format!(
                "holds {}, the metadata log of a node that was its own quorum, and controller.quorum.voters names several: name \
                 an empty metadata.log.dir and log.dirs, or start it alone",
                entry.name
            ));
        }
    }
    Ok(())
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

    async fn of(dir: &Path, id: i32) -> Result<Identity, StartError> {
        Identity::of(&Env::real(), dir, BrokerId(id)).await
    }

    #[tokio::test]
    async fn a_node_is_who_it_was_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::real();
        let me = of(dir.path(), 1).await.unwrap().me;
        let record = Record { me, founding: None };
        record.store(&*env.disk, dir.path()).await.unwrap();
        assert_eq!(of(dir.path(), 1).await.unwrap(), Identity { me, kept: Some(record) });
        let error = of(dir.path(), 2).await.unwrap_err().to_string();
        assert!(error.contains("node 1's") && error.contains("node.id"), "{error}");
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        let wiped = of(dir.path(), 1).await.unwrap();
        assert_ne!(wiped.me.directory, me.directory, "who has lost its directory is another one");
    }

    #[tokio::test]
    async fn the_log_of_a_node_that_was_alone_is_not_taken_for_a_voters() {
        for name in ["00000000000000000000.segment", "epoch"] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(name), b"x").unwrap();
            let error = of(dir.path(), 1).await.unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("metadata.log.dir"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_quorum_of_before_the_first_release_is_named_and_not_taken_for_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(OLD_FILE), b"node.id=1\n").unwrap();
        let error = of(dir.path(), 1).await.unwrap_err().to_string();
        assert!(error.contains(OLD_FILE) && error.contains("not read any more"), "{error}");
    }

    #[tokio::test]
    async fn a_voters_directory_is_not_taken_for_that_of_a_node_alone() {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::real();
        check_no_voters(&*env.disk, &dir.path().join("none")).await.unwrap();
        check_no_voters(&*env.disk, dir.path()).await.unwrap();
        let me = of(dir.path(), 1).await.unwrap().me;
        Record { me, founding: None }.store(&*env.disk, dir.path()).await.unwrap();
        let error = check_no_voters(&*env.disk, dir.path()).await.unwrap_err().to_string();
        assert!(error.contains("controller.quorum.voters") && error.contains("metadata.log.dir"), "{error}");
    }
}
