//! The folder of a local cluster: one running cluster at a time, a socket to reach it, and its data.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::layout::{MOST_VOTERS, folder_of, node_of};

const LOCK: &str = "lock";
const SOCKET: &str = "control.sock";

/// A folder that is this process's own while it runs.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Held for as long as the cluster runs, however it ends.
    _lock: File,
    is_ephemeral: bool,
    /// Whether the folder was made for this cluster.
    is_new: bool,
}

impl Folder {
    /// Takes the folder, and makes it if need be. One that is to be deleted later must be empty.
    pub(super) fn claim(path: &Path, is_ephemeral: bool) -> anyhow::Result<Self> {
        let shown = path.display();
        let is_new = !path.exists();
        fs::create_dir_all(path).with_context(|| format!("cannot make the folder {shown}"))?;
        let path = fs::canonicalize(path).with_context(|| format!("cannot find the folder {shown}"))?;
        let was_claimed_before = path.join(LOCK).exists();
        let lock = File::options().create(true).append(true).open(path.join(LOCK));
        let lock = lock.with_context(|| format!("cannot write to the folder {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "a cluster of `ottla dev` runs in {} already: stop it, or name another folder with --data",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.join(LOCK).display()));
            }
        }
        let folder = Self { path, _lock: lock, is_ephemeral, is_new };
        // All that is there at the end will be deleted, so nothing may be there now. A lock that was there may be anybody's.
        let is_others = |name: &String| name != LOCK || was_claimed_before;
        if is_ephemeral && let Some(found) = folder.entries()?.into_iter().find(is_others) {
            if !was_claimed_before {
                let lock = folder.path.join(LOCK);
                fs::remove_file(&lock).with_context(|| format!("cannot remove {}", lock.display()))?;
            }
            bail!(
                "{} has {found} in it, and --ephemeral would delete it: name a new or empty folder with --data",
                folder.path.display()
            );
        }
        Ok(folder)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many brokers the cluster has: those that are asked for, if the data that are there allow it.
    pub(super) fn cluster_size(&self, asked: Option<u16>) -> anyhow::Result<u16> {
        let known = self.entries()?.iter().filter_map(|name| node_of(name)).max();
        let Some(known) = known else { return Ok(asked.unwrap_or(1)) };
        let asked = asked.unwrap_or(known);
        // Who votes is decided when a cluster is founded.
        if asked.min(MOST_VOTERS) != known.min(MOST_VOTERS) {
            bail!(
                "{} holds a cluster of {known}, and one of {asked} has other voters: name another folder with --data, \
                 or delete this one to begin anew",
                self.path.display()
            );
        }
        Ok(asked)
    }

    /// Where the cluster is reached. What an earlier one left there is removed: it does not run any more.
    pub(super) fn fresh_socket(&self) -> anyhow::Result<PathBuf> {
        let socket = socket_in(&self.path);
        if fs::symlink_metadata(&socket).is_ok_and(|found| !found.file_type().is_socket()) {
            bail!(
                "{} is no socket, and where that of the cluster would be: name another folder with --data",
                socket.display()
            );
        }
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", socket.display()))
            }
            _ => Ok(socket),
        }
    }

    /// Removes what is not to stay: the socket, and all data of an ephemeral cluster.
    pub(super) fn leave(self) -> anyhow::Result<()> {
        self.fresh_socket()?;
        if !self.is_ephemeral {
            return Ok(());
        }
        let removed = if self.is_new {
            fs::remove_dir_all(&self.path)
        } else {
            let nodes = self.entries()?.iter().filter_map(|name| node_of(name)).collect::<Vec<_>>();
            let data =
                nodes.into_iter().try_for_each(|node| fs::remove_dir_all(self.path.join(folder_of(node))));
            data.and_then(|()| fs::remove_file(self.path.join(LOCK)))
        };
        removed.with_context(|| format!("cannot delete the data in {}", self.path.display()))
    }

    fn entries(&self) -> anyhow::Result<Vec<String>> {
        let cannot = || format!("cannot read the folder {}", self.path.display());
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).with_context(cannot)? {
            names.push(entry.with_context(cannot)?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }
}

/// Where the cluster of a folder is reached.
pub(super) fn socket_in(folder: &Path) -> PathBuf {
    folder.join(SOCKET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_cluster_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("new");
        let folder = Folder::claim(&path, false).unwrap();
        let error = Folder::claim(&path, false).unwrap_err().to_string();
        assert!(error.contains("already") && error.contains("--data"), "{error}");
        folder.leave().unwrap();
        Folder::claim(&path, false).unwrap();
    }

    #[test]
    fn an_ephemeral_cluster_leaves_nothing_and_touches_nothing_that_was_there() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("new");
        let folder = Folder::claim(&path, true).unwrap();
        fs::create_dir(path.join("broker-1")).unwrap();
        folder.leave().unwrap();
        assert!(!path.exists());

        let folder = Folder::claim(parent.path(), true).unwrap();
        fs::create_dir(parent.path().join("broker-1")).unwrap();
        folder.leave().unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "a folder that was there stays");

        fs::write(parent.path().join("thesis.txt"), "").unwrap();
        let error = Folder::claim(parent.path(), true).unwrap_err().to_string();
        assert!(error.contains("thesis.txt"), "{error}");
        assert_eq!(
            fs::read_dir(parent.path()).unwrap().count(),
            1,
            "and nothing is added to what is refused"
        );
    }

    #[test]
    fn files_that_are_called_as_ours_and_were_there_before_stay() {
        for (name, other) in [(LOCK, SOCKET), (SOCKET, LOCK)] {
            let parent = tempfile::tempdir().unwrap();
            fs::write(parent.path().join(name), "their own").unwrap();
            let error = Folder::claim(parent.path(), true).unwrap_err().to_string();
            assert!(error.contains(&format!(" has {name} in it")), "{error}");
            assert_eq!(fs::read_to_string(parent.path().join(name)).unwrap(), "their own");
            assert!(!parent.path().join(other).exists());
        }
        // A cluster that stays shares the folder with what is there, but for the socket, which needs its place.
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join(SOCKET), "their own").unwrap();
        let folder = Folder::claim(parent.path(), false).unwrap();
        let error = folder.fresh_socket().unwrap_err().to_string();
        assert!(error.contains("control.sock is no socket") && error.contains("--data"), "{error}");
        assert_eq!(fs::read_to_string(parent.path().join(SOCKET)).unwrap(), "their own");
    }

    #[test]
    fn data_decide_how_many_brokers_there_are_unless_more_are_asked_for() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::claim(parent.path(), false).unwrap();
        assert_eq!((folder.cluster_size(None).unwrap(), folder.cluster_size(Some(5)).unwrap()), (1, 5));
        for node in 1..=4 {
            fs::create_dir(parent.path().join(folder_of(node))).unwrap();
        }
        assert_eq!((folder.cluster_size(None).unwrap(), folder.cluster_size(Some(5)).unwrap()), (4, 5));
        let error = folder.cluster_size(Some(2)).unwrap_err().to_string();
        assert!(error.contains("holds a cluster of 4, and one of 2 has other voters"), "{error}");
    }
}
