//! The log as its users see it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::{Disk, process};
use ottla_types::Offset;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::frame::{FrameBuilder, MAX_BATCH_BYTES};
use crate::recovery::{self, OpenError, Opened, Replayed};
use crate::writer::{Command, Writer};

/// How many appends may wait for their turn before callers wait to ask.
const QUEUE_LEN: usize = 1024;

/// The metadata log of one node, open. Appends go to a task of its own, which writes what has come together and makes
/// it durable by one fsync.
#[derive(Debug)]
pub struct MetadataLog {
    commands: mpsc::Sender<Command>,
    writer: JoinHandle<()>,
}

/// Why records are not in the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// What is asked for cannot be: a batch of nothing, or a snapshot of what is not there. Nothing was written.
    #[error("the metadata log refused: {0}")]
    Rejected(&'static str),
    /// The batch is larger than any may be. Nothing was written.
    #[error(
        "a batch for the metadata log has {bytes} bytes, and {MAX_BATCH_BYTES} is the most: ask for less at once"
    )]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The disk failed, and nothing was written: the same can be asked for again, when there is room for it.
    #[error("the metadata log cannot be written: {0}")]
    Io(Arc<io::Error>),
    /// The records may or may not be found when the log is opened again. It takes no more until then.
    #[error("the metadata log failed, and whether the last records are in it is not known: {0}")]
    Unknown(Arc<io::Error>),
}

impl MetadataLog {
    /// Opens the log in `dir`, or makes an empty one, and hands over what it holds: the records of the snapshot, if
    /// there is one, and those that came after it, in order.
    ///
    /// # Errors
    /// The disk fails, another process has the log, or it is damaged; `replay` gives up. Errors name the file, and the
    /// position where there is one.
    pub async fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        replay: &mut (dyn FnMut(Replayed<'_>) -> Result<(), String> + Send),
    ) -> Result<Opened, OpenError> {
        Self::open_with(disk, dir, replay, false).await
    }

    /// As [`Self::open`], for a log in which nothing may come after what is missing: it takes no more after any write
    /// that failed, even where what was written could be taken back.
    pub(crate) async fn open_strict(
        disk: Arc<dyn Disk>,
        dir: &Path,
        replay: &mut (dyn FnMut(Replayed<'_>) -> Result<(), String> + Send),
    ) -> Result<Opened, OpenError> {
        Self::open_with(disk, dir, replay, true).await
    }

    async fn open_with(
        disk: Arc<dyn Disk>,
        dir: &Path,
        replay: &mut (dyn FnMut(Replayed<'_>) -> Result<(), String> + Send),
        is_strict: bool,
    ) -> Result<Opened, OpenError> {
        let recovered = recovery::recover(&disk, dir, replay).await?;
        let (next, snapshot, warnings) = (recovered.next, recovered.snapshot, recovered.warnings.clone());
        let (commands, inbox) = mpsc::channel(QUEUE_LEN);
        let writer = process::spawn(Writer::new(disk, dir, recovered, is_strict).run(inbox));
        Ok(Opened { log: Self { commands, writer }, next, snapshot, warnings })
    }

    /// Appends a batch, and answers when it is durable with the offset of its first record. The others follow it. The
    /// batch is in the log as a whole or not at all. Batches get their offsets in the order in which they are asked
    /// for, and are answered in that order.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn append(&self, records: Vec<Bytes>) -> Result<Offset, AppendError> {
        let len = FrameBuilder::batch_len(&records);
        if records.is_empty() {
            return Err(AppendError::Rejected("a batch without records"));
        }
        if len > MAX_BATCH_BYTES {
            return Err(AppendError::TooLarge { bytes: len });
        }
        self.ask(|answer| Command::Append { records, answer }).await?
    }

    /// As [`Self::append`], and returns when the batch has its turn: what comes of it is told later.
    pub(crate) async fn submit(
        &self,
        records: Vec<Bytes>,
    ) -> Result<oneshot::Receiver<Result<Offset, AppendError>>, AppendError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::Append { records, answer }).await.map_err(|_| ended())?;
        Ok(answered)
    }

    /// Writes a snapshot: records that lead to the same state as all records up to `upto`. What it makes superfluous
    /// is deleted.
    ///
    /// # Errors
    /// See [`AppendError`]; a snapshot that fails with anything but `Unknown` changes nothing.
    pub async fn snapshot(&self, upto: Offset, records: Vec<Bytes>) -> Result<(), AppendError> {
        self.ask(|answer| Command::Snapshot { upto, records, answer }).await?
    }

    /// Waits until everything asked for is done, and closes the log.
    pub async fn close(self) {
        drop(self.commands);
        // A task that panicked has nothing more to do either.
        let _ = self.writer.await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, AppendError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }
}

fn ended() -> AppendError {
    AppendError::Unknown(Arc::new(io::Error::other("the metadata log's task has ended")))
}
