//! The broadcast of one node, on a file: nobody has to agree, so it leads for ever.
//!
//! Under it lies [`MetadataLog`]. What is added is the shape of [`AtomicBroadcast`]: an epoch that rises with each start
//! and each append that failed, deliveries, and committed records for those that only read.
//!
//! - `driver`: the task that appends and delivers.
//! - `reader`: committed records and snapshots, from the files.

mod driver;
mod reader;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use ottla_env::{Disk, process};
use ottla_types::{BrokerId, LeadershipEpoch, Offset};
use tokio::sync::{mpsc, oneshot, watch};

use self::driver::{Command, Driver};
use self::reader::Reader;
use crate::atomic::{
    Appended, Appending, AtomicBroadcast, BoxFuture, DeliveryReceiver, LeaderHint, NoQuorum, Read, ReadError,
    Refused, SnapshotError, SnapshotPiece,
};
use crate::frame::{FrameBuilder, MAX_BATCH_BYTES};
use crate::pieces::Pieces;
use crate::recovery::OpenError;
use crate::state_file;
use crate::{MetadataLog, Opened};

/// How much may be under way: what waits for the disk is in memory.
const MAX_UNDER_WAY_BYTES: usize = 4 * MAX_BATCH_BYTES;
/// What a batch counts for besides its records, so that many small ones are bounded too.
const BATCH_OVERHEAD_BYTES: usize = 256;
/// How many deliveries may wait to be taken. Those of a start are as large as [`crate::pieces::PIECE_BYTES`].
const WAITING_DELIVERIES: usize = 64;
/// The file that holds the last epoch.
const EPOCH_FILE: &str = "epoch";

/// The broadcast of one node.
pub struct Single {
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Shared>,
    closing: watch::Sender<bool>,
    deliveries: Mutex<Option<DeliveryReceiver>>,
    leader: watch::Receiver<LeaderHint>,
    reader: Reader,
}

/// A broadcast of one node, opened.
pub struct OpenedSingle {
    /// The broadcast.
    pub broadcast: Arc<Single>,
    /// The offset of the next record.
    pub next: Offset,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// What callers and the driver both see.
#[derive(Default)]
pub(crate) struct Shared(Mutex<State>);

#[derive(Default)]
pub(crate) struct State {
    /// The epoch under which appends are taken.
    leading: Option<LeadershipEpoch>,
    /// The log is closed, or has failed.
    is_over: bool,
    under_way_bytes: usize,
    /// The offset after the last committed record.
    end: Offset,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is done under the lock that could panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Single {
    /// Opens the log in `dir`, or makes an empty one, for the node `id`.
    ///
    /// # Errors
    /// The disk fails, another process has the log, or it is damaged. Errors name the file, and the position where there
    /// is one.
    pub async fn open(disk: Arc<dyn Disk>, dir: &Path, id: BrokerId) -> Result<OpenedSingle, OpenError> {
        let mut pieces = Pieces::default();
        let Opened { log, next, snapshot, warnings } =
            MetadataLog::open(Arc::clone(&disk), dir, &mut |replayed| {
                pieces.push(replayed);
                Ok(())
            })
            .await?;
        let epoch = read_epoch(&*disk, dir).await?;
        let shared = Arc::new(Shared::default());
        shared.lock().end = next;
        let (commands, inbox) = mpsc::unbounded_channel();
        let (delivering, deliveries) = mpsc::channel(WAITING_DELIVERIES);
        let (closing, is_closing) = watch::channel(false);
        let (hint, leader) = watch::channel(LeaderHint { leader: None, epoch });
        let reader = Reader::new(Arc::clone(&disk), dir);
        let driver = Driver {
            id,
            disk,
            dir: dir.to_owned(),
            log: Some(log),
            shared: Arc::clone(&shared),
            deliveries: Some(delivering),
            is_closing,
            hint,
            epoch,
            is_leading: false,
        };
        process::spawn(driver.run(pieces.into_deliveries(snapshot), inbox));
        let deliveries = Mutex::new(Some(deliveries));
        let broadcast = Arc::new(Self { commands, shared, closing, deliveries, leader, reader });
        Ok(OpenedSingle { broadcast, next, warnings })
    }

    /// Counts a batch in, if it can be taken.
    fn admit(&self, epoch: LeadershipEpoch, records: &[Bytes]) -> Result<usize, Refused> {
        let bytes = FrameBuilder::batch_len(records);
        if records.is_empty() {
            return Err(Refused::Empty);
        }
        if bytes > MAX_BATCH_BYTES {
            return Err(Refused::TooLarge { bytes, most: MAX_BATCH_BYTES });
        }
        let mut state = self.shared.lock();
        if state.is_over {
            return Err(Refused::Closed);
        }
        if state.leading != Some(epoch) {
            return Err(Refused::NotLeading { asked: epoch, leader: self.leader.borrow().leader });
        }
        let weight = bytes + BATCH_OVERHEAD_BYTES;
        if state.under_way_bytes + weight > MAX_UNDER_WAY_BYTES {
            return Err(Refused::Busy { bytes: state.under_way_bytes });
        }
        state.under_way_bytes += weight;
        Ok(weight)
    }
}

impl AtomicBroadcast for Single {
    fn append(&self, epoch: LeadershipEpoch, records: Vec<Bytes>) -> Result<Appending, Refused> {
        let weight = self.admit(epoch, &records)?;
        let (answer, answered) = oneshot::channel();
        let command = Command::Append { epoch, records, weight, answer };
        // The driver ends only after it has closed the door that `admit` looks at, or with the runtime.
        self.commands.send(command).map_err(|_| Refused::Closed)?;
        Ok(Box::pin(async move {
            answered.await.unwrap_or_else(|_| Appended::Unknown("the metadata log's task has ended".into()))
        }))
    }

    fn deliveries(&self) -> Option<DeliveryReceiver> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn leader(&self) -> watch::Receiver<LeaderHint> {
        self.leader.clone()
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<Offset, NoQuorum>> {
        let state = self.shared.lock();
        let end = if state.is_over { Err(NoQuorum(": it is closed".to_owned())) } else { Ok(state.end) };
        Box::pin(std::future::ready(end))
    }

    fn read(&self, from: Offset, max_bytes: usize) -> BoxFuture<'_, Result<Read, ReadError>> {
        let end = {
            let state = self.shared.lock();
            (!state.is_over).then_some(state.end)
        };
        Box::pin(async move { self.reader.read(from, end.ok_or(ReadError::Closed)?, max_bytes).await })
    }

    fn read_snapshot(
        &self,
        upto: Offset,
        position: u64,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<SnapshotPiece, ReadError>> {
        Box::pin(self.reader.read_snapshot(upto, position, max_bytes))
    }

    fn snapshot(&self, upto: Offset, records: Vec<Bytes>) -> BoxFuture<'_, Result<(), SnapshotError>> {
        let (answer, answered) = oneshot::channel();
        let sent = self.commands.send(Command::Snapshot { upto, records, answer });
        Box::pin(async move {
            sent.map_err(|_| SnapshotError::Closed)?;
            answered.await.unwrap_or(Err(SnapshotError::Closed))
        })
    }

    fn resign(&self, epoch: LeadershipEpoch) {
        // Whoever is closed leads nothing.
        let _ = self.commands.send(Command::Resign(epoch));
    }

    fn max_batch_bytes(&self) -> usize {
        MAX_BATCH_BYTES
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.shared.lock().is_over = true;
        self.closing.send_replace(true);
        let (done, closed) = oneshot::channel();
        let sent = self.commands.send(Command::Close(done));
        Box::pin(async move {
            if sent.is_ok() {
                // The driver drops the sender where it has ended already.
                let _ = closed.await;
            }
        })
    }
}

/// The epoch of the last leadership; 0 before the first.
async fn read_epoch(disk: &dyn Disk, dir: &Path) -> std::io::Result<LeadershipEpoch> {
    let Some(content) = state_file::read(disk, dir, EPOCH_FILE).await? else { return Ok(LeadershipEpoch(0)) };
    match content.as_ref().try_into().map(i64::from_be_bytes) {
        // One that can be counted on from.
        Ok(epoch) if (1..1 << 62).contains(&epoch) => Ok(LeadershipEpoch(epoch)),
        _ => Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("{} holds no epoch", dir.join(EPOCH_FILE).display()),
        )),
    }
}

async fn write_epoch(disk: &dyn Disk, dir: &Path, epoch: LeadershipEpoch) -> std::io::Result<()> {
    state_file::write(disk, dir, EPOCH_FILE, &epoch.0.to_be_bytes()).await
}
