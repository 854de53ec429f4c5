//! Copies of logs in other directories, each to take the place of its log when it holds all of it (KIP-113).
//!
//! A copy lies in `<topic>-<partition>.<unique>-future`. To take the place of the log it is made durable, the log's
//! directory is renamed to `<topic>-<partition>.<unique>-delete`, of the same `<unique>`, and then the copy's to
//! `<topic>-<partition>`, each durably. So a start finds the log, and the copy as what it was; or the log that is to be
//! deleted, whose copy is the log then; or the copy in its place. No crash leaves two logs, or none.
//!
//! What is not here: the copying itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_types::{DirectoryId, Offset, TopicPartition};

use super::open::Found;
use super::{LogDir, LogDirs};
use crate::format::names::{self, DirKind};
use crate::log::OpenLog;
use crate::sync::{lock, read, write};
use crate::{Error, Log, Result};

impl LogDirs {
    /// The copy of a partition's log that is to take its place.
    #[must_use]
    pub fn future(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        read(&self.futures).get(partition).cloned()
    }

    /// All copies that are to take the place of logs, in the order of their names.
    #[must_use]
    pub fn futures(&self) -> Vec<Arc<Log>> {
        read(&self.futures).values().cloned().collect()
    }

    /// Begins a copy of a partition's log in another directory; or returns the one that is there. A copy in a third
    /// directory is removed.
    ///
    /// # Errors
    /// [`Error::Closed`] without a log to be copied, [`Error::AlreadyExists`] if that lies in the directory itself,
    /// [`Error::NoDirOnline`] if the directory is not one of ours or does not work, [`Error::NameTooLong`].
    /// [`Error::Io`].
    pub async fn create_future(
        &self,
        partition: &TopicPartition,
        directory: DirectoryId,
        now_ms: i64,
    ) -> Result<Arc<Log>> {
        let _changing = self.changing.lock().await;
        let log = self.get(partition).ok_or_else(|| Error::Closed { partition: partition.clone() })?;
        if log.directory_id() == directory {
            return Err(Error::AlreadyExists { partition: partition.clone(), path: log.dir().to_path_buf() });
        }
        match self.future(partition) {
            Some(future) if future.directory_id() == directory => return Ok(future),
            Some(_) => self.remove_future_locked(partition, now_ms).await?,
            None => {}
        }
        let home = self.dirs.iter().find(|dir| dir.id() == directory && dir.failure().is_none());
        let home = Arc::clone(home.ok_or(Error::NoDirOnline)?);
        let Some(name) = names::future_dir(partition, self.rng.id_bytes()) else {
            return Err(Error::NameTooLong { partition: partition.clone() });
        };
        // What another log of the partition left there must not be taken for this one's.
        home.forget(partition).await?;
        let future = OpenLog {
            dir: home.path().join(name).into(),
            home,
            partition: partition.clone(),
            config: log.config(),
            clean: false,
            cache: super::PageCache::Fresh,
            recovery_point: Offset(0),
            start_offset: Offset(0),
            now_ms,
        };
        self.disk.create_dir_all(&future.dir).await?;
        let future = Arc::new(future.open().await?);
        if let Some(topic_id) = log.topic_id() {
            future.set_topic_id(topic_id).await?;
        }
        write(&self.futures).insert(partition.clone(), Arc::clone(&future));
        Ok(future)
    }

    /// Gives up a copy: it is closed, renamed, and removed by [`Self::remove_deleted`]. One that is not there is gone already.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub async fn remove_future(&self, partition: &TopicPartition, now_ms: i64) -> Result<()> {
        let _changing = self.changing.lock().await;
        self.remove_future_locked(partition, now_ms).await
    }

    /// [`Self::remove_future`]. Nobody else changes logs.
    pub(super) async fn remove_future_locked(&self, partition: &TopicPartition, now_ms: i64) -> Result<()> {
        let Some(future) = write(&self.futures).remove(partition) else { return Ok(()) };
        let name = names::deleted_dir(partition, self.rng.id_bytes());
        let renamed = self.put_aside(&future, &name).await?;
        lock(&self.deleted).push((now_ms, renamed));
        Ok(())
    }

    /// Has the copy of a partition's log take its place, if it holds all that the log does: [`Self::get`] gives the same
    /// log as before, which lies in the other directory then. Returns whether it came to that. The old directory is removed
    /// after `file.delete.delay.ms`.
    ///
    /// To be run to its end: where it is dropped in the middle, a start is needed to sort out what is there.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Offline`]: the log is where it was. The directory that failed is offline.
    pub async fn replace_with_future(&self, partition: &TopicPartition, now_ms: i64) -> Result<bool> {
        let _changing = self.changing.lock().await;
        let (Some(log), Some(future)) = (self.get(partition), self.future(partition)) else {
            return Ok(false);
        };
        let (old_home, old_dir) = (log.home(), log.dir());
        let aside = old_home.path().join(names::deleted_dir(partition, unique_of(&future)));
        let renames =
            async |future: &Log| self.rename_both(&log, future, (&old_home, &old_dir), &aside).await;
        if !log.take_over(&future, now_ms, renames).await? {
            return Ok(false);
        }
        write(&self.futures).remove(partition);
        let due_ms = now_ms.saturating_add(log.config().file_delete_delay_ms.max(0));
        lock(&self.deleted).push((due_ms, aside));
        if let Err(error) = old_home.forget(partition).await {
            // The log is not there any more.
            old_home.fail(format!("its checkpoints cannot be written: {error}")).await;
        }
        Ok(true)
    }

    /// Renames the directories of a log and of its copy, which is durable. Returns the copy's.
    async fn rename_both(
        &self,
        log: &Log,
        future: &Log,
        (old_home, old_dir): (&Arc<LogDir>, &Path),
        aside: &Path,
    ) -> Result<Arc<Path>> {
        let (home, partition) = (future.home(), log.partition());
        let new_dir: Arc<Path> = home.path().join(partition.to_string()).into();
        home.keep_for_future(partition, future.start_offset(), log.checkpointed_high_watermark()).await?;
        self.disk.rename(old_dir, aside).await?;
        let undo = async |failed: &Arc<LogDir>, error: Error| {
            // A start finds out by itself if this fails too.
            let _undone = self.disk.rename(aside, old_dir).await;
            failed.fail(format!("{partition}: moving it to another directory failed: {error}")).await;
            Err(error)
        };
        if let Err(error) = self.disk.sync_dir(old_home.path()).await {
            return undo(old_home, error.into()).await;
        }
        if let Err(error) = self.disk.rename(&future.dir(), &new_dir).await {
            return undo(&home, error.into()).await;
        }
        if let Err(error) = self.disk.sync_dir(home.path()).await {
            // Both may be there after a power loss, as what they were.
            let _undone = self.disk.rename(&new_dir, &future.dir()).await;
            return undo(&home, error.into()).await;
        }
        Ok(new_dir)
    }
}

fn unique_of(future: &Log) -> [u8; 16] {
    let dir = future.dir();
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match names::dir_kind(name) {
        DirKind::Future(_, unique) => unique,
        _ => [0; 16],
    }
}

/// A copy that was found at a start.
pub(super) struct FoundFuture {
    pub(super) log: OpenLog,
    pub(super) unique: [u8; 16],
}

impl Found {
    /// Decides what becomes of the copies that were found: a log whose deletion was begun is the copy that was to take its
    /// place; a copy without its log is removed, if the log is not in a directory that is missing.
    ///
    /// Returns those that go on being copies.
    pub(super) async fn settle_futures(&mut self, all_are_here: bool) -> Result<Vec<OpenLog>> {
        let mut going_on: BTreeMap<TopicPartition, OpenLog> = BTreeMap::new();
        for FoundFuture { mut log, unique } in std::mem::take(&mut self.futures) {
            let aside = names::deleted_dir(&log.partition, unique);
            let current = self.places.get(&log.partition).map(PathBuf::as_path);
            let was_replaced = self.deleted.iter().any(|path| path.ends_with(&aside));
            match current {
                None if was_replaced => {
                    let path = log.home.path().join(log.partition.to_string());
                    log.home.disk().rename(&log.dir, &path).await?;
                    log.home.disk().sync_dir(log.home.path()).await?;
                    tracing::info!("{}: took the place of the log that it is a copy of", path.display());
                    self.places.insert(log.partition.clone(), path.clone());
                    log.dir = path.into();
                    self.logs.push(log);
                }
                Some(current)
                    if current.parent() != log.dir.parent() && !going_on.contains_key(&log.partition) =>
                {
                    going_on.insert(log.partition.clone(), log);
                }
                None if !all_are_here => {
                    tracing::warn!(
                        "{} is left: its log may be in a directory that is missing",
                        log.dir.display()
                    );
                }
                _ => {
                    tracing::warn!("{} is a copy of no log that is here, and is removed", log.dir.display());
                    self.deleted.push(log.dir.to_path_buf());
                }
            }
        }
        Ok(going_on.into_values().collect())
    }
}
