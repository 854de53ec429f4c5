//! Whether what an earlier process wrote to a directory can still be read, flushed or not: the running mark, written once
//! all logs are open, and taken away when the directory fails.
//!
//! A directory that failed is the dangerous one. What the device refused to write may still be seen in the page cache, as
//! clean: a process that starts then reads it, finds it sound, flushes it with success, and the next power loss takes it.
//! Without a mark recovery writes again what was not flushed, and flushes that, before anything counts on it. A directory
//! that can be neither written nor changed any more is noted in another one.
//!
//! The mark also says for which registration of the broker the process worked. So after a kill the next process can say,
//! as after a stop in order, that nothing of that run is missing, and the broker stays among those that hold everything
//! committed (KIP-966).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::disk::OpenMode;
use ottla_types::BrokerEpoch;

use super::LogDir;
use super::open::FailedLog;
use crate::Result;
use crate::format::atomic;
use crate::format::names::{DISTRUSTED, RUNNING};
use crate::format::running::Running;

/// In place of the id of a page cache that cannot be told from others.
const UNKNOWN: &str = "unknown";

/// What stands between this process and what the one before it wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum PageCache {
    /// All that was written is in it, and will be written to the device.
    Survived,
    /// It is another one than the process before wrote to: what it shows is on the device.
    Fresh,
    /// It may show what the device refused, and take it for written.
    #[default]
    Suspect,
}

impl PageCache {
    /// For a log that the process before did not look through: it may have failed before that one started.
    fn of_unverified(self) -> Self {
        if self == Self::Survived { Self::Suspect } else { self }
    }
}

/// What the process before this one left in a directory.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// What became of what it wrote.
    pub(super) cache: PageCache,
    /// The registration that it worked for, if everything that it wrote can be read.
    pub(super) whole: Option<BrokerEpoch>,
    /// Names of logs that it did not open: nothing is known of them, not even after a stop in order.
    pub(super) unverified: BTreeSet<String>,
    /// Names of logs in which it found damage that no crash explains: they are not to be cut, and not to be trusted after
    /// a stop in order.
    pub(super) damaged: BTreeSet<String>,
}

/// How the run of the broker before this one ended, as far as its log directories tell. The epochs are those of the
/// registration of that run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PreviousRun {
    /// All directories were closed in order.
    Clean(BrokerEpoch),
    /// The process was killed, and all that it wrote, flushed or not, is in the page cache: of all directories.
    Killed(BrokerEpoch),
    /// There was none, or what it wrote last may be missing.
    #[default]
    Unknown,
}

impl PreviousRun {
    /// The registration of whose run nothing is missing.
    pub(super) fn whole(self) -> Option<BrokerEpoch> {
        match self {
            Self::Clean(epoch) | Self::Killed(epoch) => Some(epoch),
            Self::Unknown => None,
        }
    }
}

/// What one directory says of the run before: the registration of which nothing is missing in it, and whether it was closed
/// in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) epoch: BrokerEpoch,
    pub(super) clean: bool,
}

/// What all directories say together: a process may have been killed when it had closed some of them.
pub(super) fn previous_run(ended: &[Option<Ended>], all_are_here: bool) -> PreviousRun {
    let Some(Some(first)) = ended.first() else { return PreviousRun::Unknown };
    let is_same = |dir: &Option<Ended>| dir.is_some_and(|dir| dir.epoch == first.epoch);
    if !ended.iter().all(is_same) {
        return PreviousRun::Unknown;
    }
    match ended.iter().flatten().all(|dir| dir.clean) {
        true => PreviousRun::Clean(first.epoch),
        // What lies in a directory that is not here may be missing, and where replicas lie is not always known.
        false if all_are_here => PreviousRun::Killed(first.epoch),
        false => PreviousRun::Unknown,
    }
}

impl Before {
    /// What became of what was written to the log in the directory of this name.
    pub(super) fn cache_of(&self, log: &str) -> PageCache {
        if self.unverified.contains(log) { self.cache.of_unverified() } else { self.cache }
    }
}

impl LogDir {
    /// Reads the mark of the process before.
    pub(super) async fn before(&self) -> Result<Before> {
        let Some(bytes) = atomic::read_optional(&**self.disk(), &self.path().join(RUNNING)).await? else {
            return Ok(Before::default());
        };
        let Some(mark) = Running::decode(&bytes) else { return Ok(Before::default()) };
        let is_distrusted = self.is_distrusted().await?;
        let now = self.disk().page_cache_id(self.path()).await?;
        let Running { page_cache_id, broker_epoch, unverified, damaged } = mark;
        let cache = match now {
            _ if is_distrusted => PageCache::Suspect,
            Some(now) if now == page_cache_id => PageCache::Survived,
            Some(_) if page_cache_id != UNKNOWN => PageCache::Fresh,
            _ => PageCache::Suspect,
        };
        let is_whole = cache == PageCache::Survived && unverified.is_empty() && damaged.is_empty();
        Ok(Before { cache, whole: broker_epoch.filter(|_| is_whole), unverified, damaged })
    }

    /// Notes that all logs but these were looked through, and that appends begin. Durable, and with it every name in the
    /// directory. Until the broker has registered, nothing is added to what the run of registration `whole` wrote.
    pub(super) async fn begin_running(&self, failed: &[&FailedLog], whole: Option<BrokerEpoch>) {
        let is_verified = failed.is_empty();
        let Err(error) = self.mark_running(failed, whole).await else { return self.trust_again().await };
        if !is_verified {
            // A stop in order would make the next start take what nobody looked through.
            return self.fail(format!("it cannot be written: {error}")).await;
        }
        // The disk may be full, and retention has yet to make room.
        tracing::warn!("after a kill the next start will read all that was not flushed: {error}");
        self.distrust().await;
    }

    async fn mark_running(&self, failed: &[&FailedLog], whole: Option<BrokerEpoch>) -> Result<()> {
        let names = |cache_survived: bool| {
            let failed = failed.iter().filter(|log| log.cache_survived == cache_survived);
            failed.filter_map(|log| Some(log.path.file_name()?.to_str()?.to_owned())).collect()
        };
        let id = self.disk().page_cache_id(self.path()).await?;
        // Without an id the mark is never equal to another one, and still names what was not verified.
        let page_cache_id = id.unwrap_or_else(|| UNKNOWN.to_owned());
        let mark =
            Running { page_cache_id, broker_epoch: whole, unverified: names(false), damaged: names(true) };
        atomic::replace(&**self.disk(), &self.path().join(RUNNING), mark.encode().into()).await
    }

    /// Notes for which registration the process works from here on, before it writes anything for that one.
    pub(super) async fn note_broker_epoch(&self, epoch: BrokerEpoch) {
        if self.failure().is_some() {
            return;
        }
        if let Err(error) = self.mark_broker_epoch(epoch).await {
            tracing::warn!("after a kill the broker will count as one that may lack records: {error}");
        }
        // A directory that failed meanwhile may have lost its mark before this one was in place.
        if self.failure().is_some() {
            self.distrust().await;
        }
    }

    async fn mark_broker_epoch(&self, epoch: BrokerEpoch) -> Result<()> {
        let (disk, path) = (&**self.disk(), self.path().join(RUNNING));
        let Some(bytes) = atomic::read_optional(disk, &path).await? else { return Ok(()) };
        let Some(mark) = Running::decode(&bytes) else { return Ok(()) };
        let names_logs = !mark.unverified.is_empty() || !mark.damaged.is_empty();
        let content = Bytes::from(Running { broker_epoch: Some(epoch), ..mark }.encode());
        if names_logs || content.len() < bytes.len() {
            return atomic::replace(disk, &path, content).await;
        }
        // One write over the old content, and nothing is synced: the epoch counts only where the page cache survived, and
        // there this is read. A power loss may leave the mark from before, which says as much then, or none.
        Ok(disk.open(&path, OpenMode::Existing).await?.write_at(0, &[content]).await?)
    }

    /// Takes the directory offline: nothing is appended to its logs until the next start, and that start trusts nothing
    /// that was not flushed, for the page cache may have lost what the device did not take, or show it all the same.
    pub(crate) async fn fail(&self, reason: String) {
        self.go_offline(reason);
        self.distrust().await;
    }

    /// Makes the next start look through everything that was not flushed.
    pub(super) async fn distrust(&self) {
        let path = self.path().join(RUNNING);
        let Err(error) = self.disk().remove_file(&path).await else { return };
        if error.kind() == std::io::ErrorKind::NotFound {
            return;
        }
        // Where names cannot be changed any more, a length may still be.
        let emptied = async { self.disk().open(&path, OpenMode::Existing).await?.set_len(0).await }.await;
        let Err(second) = emptied else { return };
        if !self.note_elsewhere().await {
            tracing::error!(
                "remove {} by hand before the next start, or it trusts what this failure may have lost: {error}; {second}",
                path.display()
            );
        }
    }

    /// Where the other directories say that this one is not to be trusted.
    fn notes(&self) -> Vec<(Arc<Self>, PathBuf)> {
        let name = format!("{DISTRUSTED}{}", self.id());
        self.others().into_iter().map(|other| (Arc::clone(&other), other.path().join(&name))).collect()
    }

    /// Says in another directory, durably, that this one failed, since it cannot say so itself.
    async fn note_elsewhere(&self) -> bool {
        for (other, note) in self.notes() {
            let noted = async {
                self.disk().open(&note, OpenMode::Create).await?;
                self.disk().sync_dir(other.path()).await
            };
            match noted.await {
                Ok(()) => {
                    tracing::warn!("noted in {} that {} failed", note.display(), self.path().display());
                    return true;
                }
                Err(error) => tracing::warn!("{error}"),
            }
        }
        false
    }

    async fn is_distrusted(&self) -> Result<bool> {
        for (_, note) in self.notes() {
            match self.disk().open(&note, OpenMode::Read).await {
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    /// Takes the notes away: everything was looked through. One that stays costs the next start that again.
    async fn trust_again(&self) {
        for (_, note) in self.notes() {
            match self.disk().remove_file(&note).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => tracing::warn!("{error}"),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ended_as_its_directories_say_together() {
        let clean = |epoch| Some(Ended { epoch: BrokerEpoch(epoch), clean: true });
        let killed = |epoch| Some(Ended { epoch: BrokerEpoch(epoch), clean: false });
        let of = |ended: &[Option<Ended>]| previous_run(ended, true);
        assert_eq!(of(&[clean(5), clean(5)]), PreviousRun::Clean(BrokerEpoch(5)));
        assert_eq!(of(&[killed(5), killed(5)]), PreviousRun::Killed(BrokerEpoch(5)));
        assert_eq!(
            of(&[clean(5), killed(5)]),
            PreviousRun::Killed(BrokerEpoch(5)),
            "killed while it stopped"
        );
        assert_eq!(of(&[killed(5), killed(6)]), PreviousRun::Unknown);
        assert_eq!(of(&[clean(5), None]), PreviousRun::Unknown);
        assert_eq!(of(&[killed(5), None]), PreviousRun::Unknown);
        assert_eq!(of(&[None]), PreviousRun::Unknown);
        assert_eq!(of(&[]), PreviousRun::Unknown);
        assert_eq!(
            previous_run(&[killed(5)], false),
            PreviousRun::Unknown,
            "what lay elsewhere may be missing"
        );
        assert_eq!(previous_run(&[clean(5)], false), PreviousRun::Clean(BrokerEpoch(5)));
    }
}
