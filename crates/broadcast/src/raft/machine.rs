//! The state machine that openraft drives: it hands committed records over, and keeps snapshots.
//!
//! The records' meaning is elsewhere, so there is no state here but where the deliveries have got to. After a start that
//! is where the snapshot ends: what was committed behind it is delivered again as soon as a leader says that it is.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine, Snapshot};
use openraft::{OptionalSend, RaftSnapshotBuilder};
use ottla_env::{Disk, process};
use ottla_types::Offset;
use tokio::sync::OwnedMutexGuard;

use super::journal::Journal;
use super::leadership::{Deliverer, SharedDeliverer};
use super::snapshot::{self, SnapshotFile};
use super::types::{Applied, Entry, LogId, Payload, SnapshotMeta, StoredMembership, Types, epoch, term_of};
use crate::atomic::{Delivery, SnapshotError};
use crate::pieces::PIECE_BYTES;

/// The state machine, and what others see of it.
#[derive(Clone)]
pub(crate) struct Machine(Arc<Shared>);

struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    deliverer: SharedDeliverer,
    position: Mutex<Position>,
    /// Held while a snapshot takes the place of another.
    snapshots: tokio::sync::Mutex<()>,
}

/// Where the deliveries have got to.
#[derive(Default)]
struct Position {
    last: Option<LogId>,
    membership: StoredMembership,
    /// The offset of the next record.
    next: Offset,
    snapshot: Option<SnapshotFile>,
    /// Of each batch behind the snapshot, or behind an older one: its first offset and its entry.
    batches: VecDeque<(Offset, LogId)>,
    /// The members as they were after entries behind the snapshot, oldest first.
    memberships: VecDeque<StoredMembership>,
}

/// What [`Machine::find`] finds.
pub(crate) enum Found {
    /// The batch that holds the record is in this entry, and its first record has this offset.
    Entry(Offset, LogId),
    /// It is no longer known which entry it is.
    Gone,
    /// It was not delivered yet.
    NotYet,
}

impl Machine {
    /// Opens what is in `dir`. `deliverer` is held until the snapshot was handed over: what comes behind it waits.
    pub(crate) async fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        journal: Journal,
        deliverer: SharedDeliverer,
    ) -> io::Result<Self> {
        let snapshot = snapshot::newest(&*disk, &dir).await?;
        let mut position = Position::default();
        if let Some(snapshot) = &snapshot {
            position.restart(snapshot);
            let held = Arc::clone(&deliverer).lock_owned().await;
            let snapshot = snapshot.clone();
            process::spawn(async move { hand_over_or_fail(&snapshot, held, &journal).await });
        }
        let position = Mutex::new(position);
        let snapshots = tokio::sync::Mutex::new(());
        Ok(Self(Arc::new(Shared { disk, dir, deliverer, position, snapshots })))
    }

    fn position(&self) -> MutexGuard<'_, Position> {
        // Nothing is done under the lock that could panic half way.
        self.0.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The offset after the last record that was delivered.
    pub(crate) fn next(&self) -> Offset {
        self.position().next
    }

    /// The offset after the last record of the log up to the given entry; of what is not delivered yet, nothing is known.
    pub(crate) fn end_at(&self, index: u64) -> Offset {
        let position = self.position();
        let after = position.batches.partition_point(|(_, id)| id.index <= index);
        position.batches.get(after).map_or(position.next, |(first, _)| *first)
    }

    /// The snapshot that is there.
    pub(crate) fn current_snapshot(&self) -> Option<SnapshotFile> {
        self.position().snapshot.clone()
    }

    /// The batch that the record at `offset` is in.
    pub(crate) fn find(&self, offset: Offset) -> Found {
        let position = self.position();
        if offset >= position.next {
            return Found::NotYet;
        }
        let after = position.batches.partition_point(|(first, _)| *first <= offset);
        match after.checked_sub(1).and_then(|nth| position.batches.get(nth)) {
            Some((first, id)) => Found::Entry(*first, *id),
            None => Found::Gone,
        }
    }

    /// Makes a snapshot of the records, which stand for all up to `upto`.
    pub(crate) async fn take_snapshot(&self, upto: Offset, records: &[Bytes]) -> Result<(), SnapshotError> {
        let _turn = self.0.snapshots.lock().await;
        let meta = self.position().meta_at(upto)?;
        let failed = |error: io::Error| SnapshotError::Io(Arc::new(error));
        let (disk, dir) = (&*self.0.disk, &self.0.dir);
        let partial = dir.join(snapshot::PARTIAL);
        snapshot::write(disk, &partial, &meta, upto, records).await.map_err(failed)?;
        let made = snapshot::publish(disk, dir, &partial).await.map_err(failed)?;
        self.position().replace(made.clone());
        if let Err(error) = snapshot::remove_before(disk, dir, &made).await {
            tracing::warn!(%error, "cannot delete what a metadata snapshot made superfluous");
        }
        Ok(())
    }

    /// Waits for a snapshot that is being made. None is begun once the log is closing.
    pub(crate) async fn settle(&self) {
        drop(self.0.snapshots.lock().await);
    }

    /// Forgets which entries records are in that the log does not hold any more.
    pub(crate) fn forget(&self, purged: u64) {
        let mut position = self.position();
        let gone = position.batches.partition_point(|(_, id)| id.index <= purged);
        position.batches.drain(..gone);
    }

    async fn apply_one(&self, deliverer: &mut Deliverer, entry: Entry) -> Applied {
        let id = entry.log_id;
        let applied = match entry.payload {
            Payload::Blank => Applied(None),
            Payload::Normal(batch) => {
                let first = {
                    let mut position = self.position();
                    let first = position.next;
                    position.next = Offset(first.0 + batch.count());
                    position.batches.push_back((first, id));
                    first
                };
                deliverer.deliver(Delivery::Committed { first, records: batch.0.to_vec() }).await;
                Applied(Some(first))
            }
            Payload::Membership(membership) => {
                let stored = StoredMembership::new(Some(id), membership);
                let mut position = self.position();
                position.memberships.push_back(stored.clone());
                position.membership = stored;
                Applied(None)
            }
        };
        self.position().last = Some(id);
        applied
    }
}

impl Position {
    /// Goes to where a snapshot ends.
    fn restart(&mut self, snapshot: &SnapshotFile) {
        self.last = snapshot.meta.last_log_id;
        self.membership = snapshot.meta.last_membership.clone();
        self.next = Offset(snapshot.upto.0 + 1);
        self.batches.clear();
        self.memberships.clear();
        self.snapshot = Some(snapshot.clone());
    }

    /// Takes a snapshot of what was delivered.
    fn replace(&mut self, snapshot: SnapshotFile) {
        let last = snapshot.meta.last_log_id;
        let is_before = |stored: &StoredMembership| stored.log_id().as_ref() <= last.as_ref();
        while self.memberships.front().is_some_and(is_before) {
            self.memberships.pop_front();
        }
        self.snapshot = Some(snapshot);
    }

    /// What a snapshot up to `upto` is of.
    fn meta_at(&self, upto: Offset) -> Result<SnapshotMeta, SnapshotError> {
        let refused = |why| SnapshotError::Offset { upto, why };
        if upto >= self.next {
            return Err(refused("it was not delivered yet"));
        }
        if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.upto >= upto) {
            return Err(refused("a snapshot up to it, or beyond, is there"));
        }
        let after = self.batches.partition_point(|(first, _)| *first <= upto);
        let Some((_, id)) = after.checked_sub(1).and_then(|nth| self.batches.get(nth)) else {
            return Err(refused("the log does not know it any more"));
        };
        let end = self.batches.get(after).map_or(self.next, |(first, _)| *first);
        if end.0 != upto.0 + 1 {
            return Err(refused("it is not the last of its batch"));
        }
        let before = |stored: &&StoredMembership| stored.log_id().as_ref() <= Some(id);
        let from_snapshot = self.snapshot.as_ref().map(|snapshot| &snapshot.meta.last_membership);
        let last_membership =
            self.memberships.iter().rfind(before).or(from_snapshot).cloned().unwrap_or_default();
        Ok(SnapshotMeta { last_log_id: Some(*id), last_membership })
    }
}

/// Delivers the records of a snapshot.
async fn hand_over(snapshot: &SnapshotFile, deliverer: &mut Deliverer) -> io::Result<()> {
    let (mut position, upto) = (0, snapshot.upto);
    loop {
        let piece = snapshot.read(position, PIECE_BYTES).await?;
        let (is_first, is_last) = (position == 0, piece.next.is_none());
        deliverer.deliver(Delivery::Snapshot { upto, is_first, is_last, records: piece.records }).await;
        match piece.next {
            Some(next) => position = next,
            None => return Ok(()),
        }
    }
}

async fn hand_over_or_fail(
    snapshot: &SnapshotFile,
    mut deliverer: OwnedMutexGuard<Deliverer>,
    journal: &Journal,
) {
    if let Err(error) = hand_over(snapshot, &mut deliverer).await {
        journal.fail(&error.to_string());
        deliverer.fail(error.to_string().into()).await;
    }
}

/// Tells openraft of the snapshot that is there: it is made before openraft is told to make one.
pub(crate) struct Builder(Option<SnapshotFile>);

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<openraft::alias::SnapshotOf<Types, SnapshotFile>> {
        let snapshot = self.0.clone().ok_or_else(|| io::Error::other("there is no metadata snapshot yet"))?;
        Ok(Snapshot { meta: snapshot.meta.clone(), snapshot })
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let position = self.position();
        Ok((position.last, position.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut deliverer = self.0.deliverer.lock().await;
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let (is_blank, term) = (matches!(entry.payload, Payload::Blank), term_of(&entry.log_id));
            let applied = self.apply_one(&mut deliverer, entry).await;
            if is_blank {
                // A leader's first entry in its term is a blank one: all earlier ones have been delivered.
                deliverer.lead(epoch(term)).await;
            }
            if let Some(responder) = responder {
                responder.send(applied);
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        let current = self.current_snapshot();
        (force || current.is_some()).then_some(Builder(current))
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder(self.current_snapshot())
    }

    async fn install_snapshot(&mut self, _meta: &SnapshotMeta, snapshot: SnapshotFile) -> io::Result<()> {
        let mut deliverer = self.0.deliverer.lock().await;
        let turn = self.0.snapshots.lock().await;
        let (disk, dir) = (&*self.0.disk, &self.0.dir);
        let installed = snapshot::publish(disk, dir, snapshot.file.path()).await?;
        self.position().restart(&installed);
        snapshot::remove_before(disk, dir, &installed).await?;
        drop(turn);
        hand_over(&installed, &mut deliverer).await
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<openraft::alias::SnapshotOf<Types, SnapshotFile>>> {
        let current = self.current_snapshot();
        Ok(current.map(|snapshot| Snapshot { meta: snapshot.meta.clone(), snapshot }))
    }
}
