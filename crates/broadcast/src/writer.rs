//! The task that writes: one frame at a time, each durable before the next is begun.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_env::Disk;
use ottla_env::disk::{DirLock, File};
use ottla_types::Offset;
use tokio::sync::{mpsc, oneshot};

use crate::frame::{self, FileKind, FrameBuilder, HEADER_LEN, MAX_BATCH_BYTES};
use crate::frame_file::{create, write_snapshot_frames};
use crate::log::AppendError;
use crate::recovery::{self, Recovered, segment_name, snapshot_name};

/// What the writer is asked to do.
pub(crate) enum Command {
    /// Append a batch.
    Append {
        /// Its records.
        records: Vec<Bytes>,
        /// Takes the offset of the first.
        answer: oneshot::Sender<Result<Offset, AppendError>>,
    },
    /// Write a snapshot.
    Snapshot {
        /// The last offset that it stands for.
        upto: Offset,
        /// Its records.
        records: Vec<Bytes>,
        /// Takes the result.
        answer: oneshot::Sender<Result<(), AppendError>>,
    },
}

/// A snapshot that is being written.
const PARTIAL_SNAPSHOT: &str = "snapshot.partial";

type Waiting = (oneshot::Sender<Result<Offset, AppendError>>, Offset);

/// The open end of the log.
pub(crate) struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// The segment that is written to, and where its frames end.
    segment: Arc<dyn File>,
    end: u64,
    /// The offset of the first record of that segment.
    base: Offset,
    /// The offset of the next record.
    next: Offset,
    /// Whether the last frame is an empty one, or there is none.
    is_sealed: bool,
    /// Set when the log's end on disk is not known any more.
    failed: Option<Arc<io::Error>>,
    /// Whether any write that fails is the last.
    is_strict: bool,
    _lock: Box<dyn DirLock>,
}

impl Writer {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, recovered: Recovered, is_strict: bool) -> Self {
        Self {
            disk,
            dir: dir.to_owned(),
            segment: recovered.segment,
            end: recovered.end,
            base: recovered.base,
            next: recovered.next,
            is_sealed: recovered.is_sealed,
            failed: None,
            is_strict,
            _lock: recovered.lock,
        }
    }

    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut backlog = VecDeque::new();
        loop {
            if backlog.is_empty() {
                match inbox.recv().await {
                    Some(command) => backlog.push_back(command),
                    None => return self.seal().await,
                }
            }
            while let Ok(command) = inbox.try_recv() {
                backlog.push_back(command);
            }
            match backlog.pop_front() {
                Some(Command::Append { records, answer }) => {
                    self.append_group(records, answer, &mut backlog).await;
                }
                Some(Command::Snapshot { upto, records, answer }) => {
                    let result = self.snapshot(upto, &records).await;
                    // Whoever asked may have gone.
                    let _ = answer.send(result);
                }
                None => {}
            }
        }
    }

    /// Writes a batch, and with it those that wait right behind it and fit into one frame.
    async fn append_group(
        &mut self,
        records: Vec<Bytes>,
        answer: oneshot::Sender<Result<Offset, AppendError>>,
        backlog: &mut VecDeque<Command>,
    ) {
        let mut frame = FrameBuilder::new(self.next);
        let mut waiting: Vec<Waiting> = vec![(answer, frame.push(&records))];
        while let Some(Command::Append { records, .. }) = backlog.front()
            && frame.len() + FrameBuilder::batch_len(records) <= MAX_BATCH_BYTES
        {
            if let Some(Command::Append { records, answer }) = backlog.pop_front() {
                waiting.push((answer, frame.push(&records)));
            }
        }
        let result = self.write(frame).await;
        for (answer, offset) in waiting {
            let _ = answer.send(result.clone().map(|()| offset));
        }
    }

    async fn write(&mut self, frame: FrameBuilder) -> Result<(), AppendError> {
        self.check()?;
        let next = frame.next();
        let buffers = frame.finish();
        if let Err(error) = self.segment.write_at(self.end, &buffers).await {
            return Err(self.take_back(error).await);
        }
        if let Err(error) = self.segment.sync().await {
            return Err(self.fail(error));
        }
        self.end += buffers.iter().map(|buffer| buffer.len() as u64).sum::<u64>();
        self.is_sealed = self.next == next;
        self.next = next;
        Ok(())
    }

    /// Writes an empty frame behind what was answered for: should the disk lose the last batch while nobody looks, the
    /// whole frame behind it tells that from an interrupted write.
    async fn seal(mut self) {
        if self.is_sealed || self.failed.is_some() {
            return;
        }
        if let Err(error) = self.write(FrameBuilder::new(self.next)).await {
            tracing::warn!(%error, "cannot seal the metadata log");
        }
    }

    fn check(&self) -> Result<(), AppendError> {
        match &self.failed {
            Some(error) => Err(AppendError::Unknown(error.clone())),
            None => Ok(()),
        }
    }

    /// After a failed write (a full disk): if what was written of the frame can be cut off, nothing has happened.
    async fn take_back(&mut self, error: io::Error) -> AppendError {
        let taken_back = async {
            self.segment.set_len(self.end).await?;
            self.segment.sync().await
        };
        match taken_back.await {
            Ok(()) if !self.is_strict => AppendError::Io(Arc::new(error)),
            Ok(()) | Err(_) => self.fail(error),
        }
    }

    /// After a failed fsync the kernel may have dropped what it could not write and call the next fsync a success, so
    /// there is no second try on this file.
    fn fail(&mut self, error: io::Error) -> AppendError {
        let error = Arc::new(error);
        tracing::error!(%error, "the metadata log failed and takes no more records");
        self.failed = Some(error.clone());
        AppendError::Unknown(error)
    }

    /// Writes a snapshot under another name first, so that one with its right name is whole.
    async fn snapshot(&mut self, upto: Offset, records: &[Bytes]) -> Result<(), AppendError> {
        self.check()?;
        if upto >= self.next {
            return Err(AppendError::Rejected("a snapshot up to an offset that the log does not have"));
        }
        let failed = |error: io::Error| AppendError::Io(Arc::new(error));
        let partial = self.dir.join(PARTIAL_SNAPSHOT);
        self.write_snapshot(&partial, upto, records).await.map_err(failed)?;
        self.disk.rename(&partial, &self.dir.join(snapshot_name(upto))).await.map_err(failed)?;
        self.disk.sync_dir(&self.dir).await.map_err(failed)?;
        self.roll().await?;
        // What is left over is deleted now or at the next start.
        if let Err(error) = recovery::remove_superfluous(&self.disk, &self.dir, upto).await {
            tracing::warn!(%error, "cannot delete what a metadata snapshot made superfluous");
        }
        Ok(())
    }

    async fn write_snapshot(&self, path: &Path, upto: Offset, records: &[Bytes]) -> io::Result<()> {
        let file = create(&*self.disk, path).await?;
        file.write_at(0, &[frame::header(FileKind::Snapshot, upto)]).await?;
        write_snapshot_frames(&*file, HEADER_LEN as u64, upto, records).await
    }

    /// Begins a new segment, unless the last one is new.
    async fn roll(&mut self) -> Result<(), AppendError> {
        if self.base == self.next {
            return Ok(());
        }
        match recovery::create_segment(&self.disk, &self.dir, self.next).await {
            Ok(segment) => {
                (self.segment, self.end, self.base) = (segment, HEADER_LEN as u64, self.next);
                self.is_sealed = true;
                Ok(())
            }
            // A segment that is there in part, under the name of the next one, would be taken for the log's end.
            Err(error) => Err(self.fail(error)),
        }
    }
}

/// The path of a segment.
pub(crate) fn segment_path(dir: &Path, base: Offset) -> PathBuf {
    dir.join(segment_name(base))
}
