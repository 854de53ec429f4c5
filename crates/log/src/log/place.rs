//! Where a log lies, and how another log of the partition takes its place: one that was copied to another directory (KIP-113).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_types::DirectoryId;

use super::Log;
use super::read::Hints;
use super::trim::Changing;
use crate::Result;
use crate::dirs::LogDir;
use crate::sync::{lock, read, write};

/// So much of a log may be missing in the copy that takes its place, which is copied while appends wait.
const TAIL_BYTES: usize = 1 << 20;

/// The directory of a partition, and the log directory that holds it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) home: Arc<LogDir>,
    pub(super) dir: Arc<Path>,
}

impl Log {
    /// The partition's directory.
    #[must_use]
    pub fn dir(&self) -> Arc<Path> {
        Arc::clone(&read(&self.place).dir)
    }

    /// The log directory, of the broker's `log.dirs`, that holds the partition's directory.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        read(&self.place).home.path().to_owned()
    }

    /// The id of the log directory that it lies in (KIP-858).
    #[must_use]
    pub fn directory_id(&self) -> DirectoryId {
        read(&self.place).home.id()
    }

    pub(crate) fn home(&self) -> Arc<LogDir> {
        Arc::clone(&read(&self.place).home)
    }

    /// Why the log directory is offline, if it is.
    pub(super) fn home_failure(&self) -> Option<Arc<str>> {
        read(&self.place).home.failure()
    }

    /// Makes `future` this log, if it holds all that this one does, but for a last bit that is copied here: from the return
    /// on this one lies where `future` did, in the directory that `renames` has left it in, and `future` is closed. Whoever
    /// holds this log goes on with it; what is read meanwhile is read again. Returns whether it came to that.
    ///
    /// `renames` is called when `future` is durable and nothing is appended to either; it gives the new directory.
    ///
    /// # Errors
    /// [`Error::Offline`](crate::Error::Offline), [`Error::Closed`](crate::Error::Closed) of either log, what flushing
    /// `future` says, or what `renames` says.
    pub(crate) async fn take_over<F>(&self, future: &Self, now_ms: i64, renames: F) -> Result<bool>
    where
        F: AsyncFnOnce(&Self) -> Result<Arc<Path>>,
    {
        let mut writer = self.writer.lock().await;
        let _flusher = self.flusher.lock().await;
        self.check_open()?;
        // Nobody but the copier appends to the future log, and it waits for this. What was appended here since it looked
        // is little, and nothing more comes now; of a log that is written to without a pause it would never have all.
        let mut left_bytes = TAIL_BYTES;
        while future.end_offset() < self.end_offset() && left_bytes > 0 {
            let tail = self.read(future.end_offset(), left_bytes, true, self.end_offset()).await?;
            left_bytes = left_bytes.saturating_sub(tail.size_bytes.max(1));
            future.append_replicated(tail.into_bytes(), now_ms).await?;
        }
        let is_same =
            future.end_offset() == self.end_offset() && future.latest_below_end() == self.latest_below_end();
        if !is_same || future.start_offset() > self.start_offset() {
            return Ok(false);
        }
        future.advance_start(self.start_offset(), now_ms).await?;
        future.flush().await?;
        let future_writer = future.writer.lock().await;
        let _future_flusher = future.flusher.lock().await;
        future.check_open()?;
        let changing = Changing::begin(self);
        let dir = match renames(future).await {
            Ok(dir) => dir,
            Err(error) => {
                changing.end();
                return Err(error);
            }
        };

        let segments = future.segments().iter().map(|segment| Arc::new(segment.moved_to(&dir))).collect();
        future.close_files();
        // Files that wait to be removed lie in the old directory, which is removed as a whole.
        *lock(&self.deleted) = std::mem::take(&mut *lock(&future.deleted))
            .into_iter()
            .filter_map(|(due_ms, path)| Some((due_ms, dir.join(path.file_name()?))))
            .collect();
        *lock(&self.hints) = Hints::default();
        let old = std::mem::replace(&mut *write(&self.place), Place { home: future.home(), dir });
        self.segments().iter().for_each(|segment| segment.release());
        self.publish(segments);
        // The file there may lack one that began here without a record.
        lock(&self.epochs).set_dirty();
        self.flushed.store(self.end_offset().0, Ordering::Release);
        self.turn.tell(Some(self.end_offset()));
        // A copy without a record was not flushed: the first flush makes its topic id durable.
        self.names_unsynced.store(future.names_unsynced.load(Ordering::Acquire), Ordering::Release);
        (writer.in_doubt, writer.rolling) = (false, false);
        writer.snapshot_at = future_writer.snapshot_at;
        changing.end();
        // Wherever it was noted before, nobody looks there for it.
        self.note_tended();
        self.stir();
        tracing::info!(
            "{}: moved from {} to {}",
            self.partition,
            old.home.path().display(),
            self.log_dir().display()
        );
        Ok(true)
    }
}
