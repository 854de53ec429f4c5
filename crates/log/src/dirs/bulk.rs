//! Making many logs of a directory durable with two syncs of its file system, when it is closed or when too many idle logs
//! hold files open.
//!
//! With few logs it is better to sync these alone: other files of the file system may have much to be written.

use std::sync::Arc;

use super::{LogDir, open};
use crate::log::Written;
use crate::{Error, Log, Result};

/// With more logs than this to be flushed, the file system is synced and not each file.
pub(super) const MANY: usize = 256;

/// So many logs may hold a file open for records that are not durable. When there are more, the idle ones are flushed, so
/// that their files can be closed.
const OPEN_FILES: usize = 1000;

/// Logs are written out a few at a time: it is a few writes to the page cache for each.
const AT_A_TIME: usize = 8;

impl LogDir {
    /// Closes the logs. Returns whether it could be done: if not, each log is to be closed by itself, and so are those to
    /// which something was appended meanwhile.
    ///
    /// # Errors
    /// The first one. Nothing more is durable then than before.
    pub(super) async fn close_many(&self, logs: &[Arc<Log>]) -> Result<bool> {
        let writing = open::at_most(AT_A_TIME, logs.to_vec(), |log| async move {
            let written = log.write_out_to_close().await;
            (log, written)
        });
        let mut written = Vec::with_capacity(logs.len());
        let mut result = Ok(true);
        for (log, outcome) in writing.await {
            match outcome {
                Ok(outcome) => written.push((log, outcome)),
                // It was closed before.
                Err(Error::Closed { .. }) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        if result.is_ok() {
            result = self.sync_written(&written).await;
        }
        settle(&written, &result);
        if matches!(result, Ok(true)) {
            for (log, written) in &written {
                log.close_durable(written).await;
            }
        }
        result
    }

    /// Makes the logs durable. Returns whether it could be done: if not, each is to be flushed by itself.
    async fn flush_many(&self, logs: &[Arc<Log>]) -> Result<bool> {
        let (mut held, mut written) = (Vec::with_capacity(logs.len()), Vec::with_capacity(logs.len()));
        let mut result = Ok(true);
        for log in logs {
            held.push(log.hold_flushes().await);
            match log.write_out().await {
                Ok(outcome) => written.push((Arc::clone(log), outcome)),
                // It was deleted meanwhile.
                Err(Error::Closed { .. }) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        if result.is_ok() {
            result = self.sync_written(&written).await;
        }
        settle(&written, &result);
        result
    }

    async fn sync_written(&self, written: &[(Arc<Log>, Written)]) -> Result<bool> {
        if !self.sync_all_or_fail().await? {
            return Ok(false);
        }
        // An epoch file takes the place of the old one only when it is whole on the device.
        for (log, written) in written {
            log.put_epochs_in_place(written).await?;
        }
        self.sync_all_or_fail().await
    }

    /// A sync that failed is not tried again file by file, as if that could tell what was lost: not every file is open,
    /// and only an open one would be told.
    async fn sync_all_or_fail(&self) -> Result<bool> {
        let synced = self.sync_all().await;
        if let Err(error) = &synced {
            self.fail(format!("its file system cannot be synced: {error}")).await;
        }
        synced
    }

    /// Flushes idle logs, if many hold files open for records that are not durable.
    pub(super) async fn flush_idle(&self, logs: &[Arc<Log>]) {
        let unflushed = logs.iter().filter(|log| log.flushed_offset() < log.end_offset()).count();
        let idle: Vec<Arc<Log>> = logs.iter().filter(|log| log.is_idle_unflushed()).cloned().collect();
        if unflushed <= OPEN_FILES || idle.len() <= MANY || self.failure().is_some() {
            return;
        }
        match self.flush_many(&idle).await {
            Ok(true) => {
                idle.iter().for_each(|log| log.release_idle_files());
                tracing::debug!("{}: flushed {} idle logs", self.path().display(), idle.len());
            }
            Ok(false) => {
                for log in idle.iter().take(MANY) {
                    // A failure has taken the directory offline, loudly.
                    let _reported = log.flush().await;
                }
            }
            Err(error) => self.fail(format!("its idle logs cannot be flushed: {error}")).await,
        }
    }
}

fn settle(written: &[(Arc<Log>, Written)], result: &Result<bool>) {
    for (log, written) in written {
        match result {
            Ok(true) => log.note_durable(written),
            _ => log.take_back(written),
        }
    }
}
