//! The log and the vote, on our own storage.
//!
//! The log is kept as a journal of what happened to it: entries, truncations, purges, one after another in a
//! [`MetadataLog`], whose frames, fsyncs and recovery are those of the one-node log. A truncation is an item like any
//! other: the entries that take the place of what it cut lie behind it, and so are never durable before it. When a purge
//! has made most of the journal superfluous, a snapshot of the journal (what is purged, and the entries that are left)
//! takes its place.
//!
//! All entries that are not purged are in memory too: as many bytes as there are between two snapshots, and a few.
//!
//! The vote is in a file of its own. It is written when everything appended before is durable, as openraft asks for; that a
//! quorum has granted it is not.

mod flushing;
mod items;

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{AsyncRuntime, LogState, OptionalSend, RaftLogReader};
use ottla_env::{Disk, process};
use ottla_types::{LeadershipEpoch, Offset};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::flushing::{Flushing, Then, fail, flush};
use self::items::{Item, State, size};
use super::codec::{Decoder, Encoder};
use super::runtime::Runtime;
use super::types::{Entry, LogId, Types, Vote, epoch};
use crate::frame::{FrameBuilder, MAX_BATCH_BYTES};
use crate::recovery::{OpenError, Replayed};
use crate::{AppendError, MetadataLog, state_file};

/// The directory of the journal, in that of the metadata log.
const JOURNAL_DIR: &str = "log";
/// The file of the vote.
const VOTE_FILE: &str = "vote";
/// How many bytes of entries go into one message to a peer, about.
const MESSAGE_BYTES: usize = 1024 * 1024;
/// From when on a vote takes the disk so long that an election may not come to an end within its timeout.
const SLOW_VOTE: Duration = Duration::from_millis(20);
/// How much of the journal may be superfluous before it is written anew.
const WASTE_BYTES: usize = 4 * 1024 * 1024;

/// The log and the vote of one node.
#[derive(Clone)]
pub(crate) struct Journal(Arc<Shared>);

struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log: tokio::sync::RwLock<Option<MetadataLog>>,
    state: Mutex<State>,
    vote: watch::Sender<Option<Vote>>,
    /// While openraft waits inside a call for the disk: the vote that it holds.
    engaged: watch::Sender<Option<Vote>>,
    flushing: mpsc::UnboundedSender<Flushing>,
    /// Until when this node does not stand for election.
    rests_until: Mutex<Option<Instant>>,
    /// The task that writes the journal anew.
    compacting: Mutex<Option<JoinHandle<()>>>,
    /// Why the storage failed.
    failure: watch::Sender<Option<Arc<str>>>,
}

impl Journal {
    /// Opens the journal in `dir`, which must be there and be this process's alone. Returns what the operator should know.
    pub(crate) async fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<(Self, Vec<String>), OpenError> {
        let mut state = State::default();
        let vote = read_vote(&*disk, dir).await?;
        let mut replay = |replayed: Replayed<'_>| match replayed {
            Replayed::FromSnapshot { record, upto } => {
                state.replay(Item::decode(record)?, record.len())?;
                state.items = upto.0 + 1;
                Ok(())
            }
            Replayed::Committed { record, .. } => state.replay(Item::decode(record)?, record.len()),
        };
        let opened = MetadataLog::open_strict(Arc::clone(&disk), &dir.join(JOURNAL_DIR), &mut replay).await?;
        state.items = opened.next.0;
        let (flushing, inbox) = mpsc::unbounded_channel();
        let journal = Self(Arc::new(Shared {
            disk,
            dir: dir.to_owned(),
            log: tokio::sync::RwLock::new(Some(opened.log)),
            state: Mutex::new(state),
            vote: watch::Sender::new(vote),
            engaged: watch::Sender::new(None),
            flushing,
            rests_until: Mutex::default(),
            compacting: Mutex::default(),
            failure: watch::Sender::new(None),
        }));
        process::spawn(flush(inbox, journal.0.failure.clone()));
        Ok((journal, opened.warnings))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is done under the lock that could panic half way.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vote, as it is on disk: whether a quorum has granted it is known here alone.
    pub(crate) fn vote(&self) -> watch::Receiver<Option<Vote>> {
        self.0.vote.subscribe()
    }

    /// Waits until openraft waits inside a call for the disk, and holds this vote meanwhile: it answers nobody then.
    pub(crate) async fn engaged(&self, vote: Vote) {
        // The sender is in `self`.
        let _ = self.0.engaged.subscribe().wait_for(|held| *held == Some(vote)).await;
    }

    /// Whether the vote that openraft holds is this one, as far as is known here.
    pub(crate) fn follows(&self, vote: &Vote) -> bool {
        let engaged = *self.0.engaged.borrow();
        engaged.or(*self.0.vote.borrow()) == Some(*vote)
    }

    /// Notes that openraft holds this vote until what is returned is dropped, and waits for the disk.
    fn engage(&self, vote: Option<Vote>) -> Engaged {
        self.0.engaged.send_replace(vote);
        Engaged(self.clone())
    }

    /// Whether this node may stand for election, as far as its disk goes.
    ///
    /// Openraft begins another election when the one before has not come to an end within an election timeout, and ends that one
    /// by it. Where a vote takes a disk longer than that no election would ever come to an end. So who has voted, for itself or
    /// another, waits for several times as long as that took, and different nodes for different times.
    pub(crate) fn may_stand(&self) -> bool {
        let rests_until = *self.0.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        rests_until.is_none_or(|until| Instant::now() >= until)
    }

    /// Notes how long a vote took the disk.
    fn rest_after(&self, took: Duration) {
        let quarters = u32::try_from(Runtime::thread_rng().number() % 12).unwrap_or(0);
        let rest = (took >= SLOW_VOTE).then(|| Instant::now() + took * (8 + quarters) / 4);
        *self.0.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = rest;
    }

    /// The latest epoch that is known here.
    pub(crate) fn known_epoch(&self) -> LeadershipEpoch {
        self.0.vote.borrow().map_or(LeadershipEpoch(0), |vote| epoch(vote.leader_id.term))
    }

    /// Tells when the storage has failed, and why.
    pub(crate) fn failure(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.0.failure.subscribe()
    }

    /// Notes that the storage has failed.
    pub(crate) fn fail(&self, reason: &str) {
        fail(&self.0.failure, reason);
    }

    /// Whether anything was ever voted for or logged.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.vote.borrow().is_none() && self.state().last().is_none()
    }

    /// The entry with the given index, if it is there.
    pub(crate) fn entry(&self, index: u64) -> Option<Entry> {
        self.state().range(index, index.saturating_add(1)).next().filter(|e| e.log_id.index == index).cloned()
    }

    /// Waits until the journal is not being written anew any more.
    async fn settle(&self) {
        let compacting = self.0.compacting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(compacting) = compacting {
            // However it ended.
            let _ = compacting.await;
        }
    }

    /// Waits until all is written, and closes the journal.
    pub(crate) async fn close(&self) {
        self.settle().await;
        if let Some(log) = self.0.log.write().await.take() {
            log.close().await;
        }
    }

    /// Puts items into the journal, in the order of the calls.
    async fn submit(&self, items: Vec<Item>, then: Then) -> io::Result<()> {
        let mut encoded = Vec::with_capacity(items.len());
        {
            let mut state = self.state();
            for item in items {
                let bytes = item.encode();
                let len = bytes.len();
                state.replay(item, len).map_err(io::Error::other)?;
                encoded.push(bytes);
            }
        }
        let log = self.0.log.read().await;
        let log = log.as_ref().ok_or_else(closed)?;
        let mut written = None;
        // One write takes so much: the journal fails for good with a write, so what comes later is never there without it.
        let mut rest = encoded.into_iter().peekable();
        while rest.peek().is_some() {
            let (mut group, mut bytes) = (Vec::new(), 0);
            while let Some(next) = rest.next_if(|next| group_takes(bytes, next)) {
                bytes += next.len() + 4;
                group.push(next);
            }
            if group.is_empty() {
                return Err(io::Error::other("an entry is larger than the journal takes"));
            }
            if let Some(earlier) = written.replace(log.submit(group).await.map_err(append_error)?) {
                let _ = self.0.flushing.send(Flushing { written: Some(earlier), then: Then::Nothing });
            }
        }
        self.0.flushing.send(Flushing { written, then }).map_err(|_| closed())
    }

    /// Waits until all that was submitted is durable.
    async fn flushed(&self) -> io::Result<()> {
        let (tell, told) = oneshot::channel();
        self.0.flushing.send(Flushing { written: None, then: Then::Tell(tell) }).map_err(|_| closed())?;
        told.await.map_err(|_| closed())?
    }

    /// Writes the journal anew if most of it is superfluous, while others go on.
    fn compact(&self) {
        let (upto, items) = {
            let mut state = self.state();
            let Some(purged) = state.purged else { return };
            if state.journal_bytes.saturating_sub(state.live_bytes) < WASTE_BYTES {
                return;
            }
            let kept = state.entries.iter().cloned().map(Item::Entry);
            let items: Vec<Bytes> =
                std::iter::once(Item::Purge(purged)).chain(kept).map(|item| item.encode()).collect();
            state.journal_bytes = items.iter().map(Bytes::len).sum();
            (Offset(state.items - 1), items)
        };
        let journal = self.clone();
        // Openraft would wait for the disk here, and a leader that does is silent for all the others.
        let compacting = process::spawn(async move {
            let log = journal.0.log.read().await;
            // Once it is closed, the next start has the whole of it.
            let Some(log) = log.as_ref() else { return };
            match log.snapshot(upto, items).await {
                Ok(()) => {}
                Err(error @ AppendError::Unknown(_)) => journal.fail(&error.to_string()),
                Err(error) => {
                    tracing::warn!(%error, "the journal of the metadata log keeps what is superfluous")
                }
            }
        });
        *self.0.compacting.lock().unwrap_or_else(PoisonError::into_inner) = Some(compacting);
    }
}

/// Openraft waits for the disk while this is there.
struct Engaged(Journal);

impl Drop for Engaged {
    fn drop(&mut self) {
        self.0.0.engaged.send_replace(None);
    }
}

fn group_takes(bytes: usize, next: &Bytes) -> bool {
    bytes + FrameBuilder::batch_len(std::slice::from_ref(next)) <= MAX_BATCH_BYTES
}

fn closed() -> io::Error {
    io::Error::other("the metadata log is closed")
}

fn append_error(error: AppendError) -> io::Error {
    io::Error::other(error)
}

/// Whether all that is new of a vote is that a quorum has granted it. That need not be on the disk: whom this node voted for
/// is, and it votes for nobody else in that term either way. (Openraft itself takes it for not granted after a start, where the
/// vote is its own.) An election costs a voter one wait for its disk then, and not two.
fn is_granted_now(known: Option<&Vote>, vote: &Vote) -> bool {
    vote.committed && known.is_some_and(|known| known.leader_id == vote.leader_id)
}

async fn read_vote(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Vote>> {
    let Some(content) = state_file::read(disk, dir, VOTE_FILE).await? else { return Ok(None) };
    match Decoder::all(content, Decoder::vote) {
        Ok(vote) => Ok(Some(vote)),
        Err(error) => {
            let path = dir.join(VOTE_FILE);
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged: {error}", path.display())))
        }
    }
}

impl RaftLogReader<Types> for Journal {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        Ok(self.state().range(from, end).cloned().collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(*self.0.vote.borrow())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let mut bytes = 0;
        let state = self.state();
        let fitting = state.range(start, end).take_while(|entry| {
            let is_first = bytes == 0;
            bytes += size(entry);
            is_first || bytes <= MESSAGE_BYTES
        });
        Ok(fitting.cloned().collect())
    }
}

impl RaftLogStorage<Types> for Journal {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let state = self.state();
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: state.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let _engaged = self.engage(Some(*vote));
        let began = Instant::now();
        self.flushed().await?;
        if is_granted_now(self.0.vote.borrow().as_ref(), vote) {
            self.0.vote.send_replace(Some(*vote));
            return Ok(());
        }
        let mut encoder = Encoder::new();
        encoder.vote(vote);
        if let Err(error) = state_file::write(&*self.0.disk, &self.0.dir, VOTE_FILE, &encoder.finish()).await
        {
            self.fail(&format!("cannot write the vote: {error}"));
            return Err(error);
        }
        self.rest_after(began.elapsed());
        self.0.vote.send_replace(Some(*vote));
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let items = entries.into_iter().map(Item::Entry).collect();
        self.submit(items, Then::Append(callback)).await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let vote = *self.0.vote.borrow();
        let _engaged = self.engage(vote);
        self.submit(vec![Item::TruncateAfter(last_log_id)], Then::Nothing).await?;
        self.flushed().await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.submit(vec![Item::Purge(log_id)], Then::Nothing).await?;
        self.compact();
        Ok(())
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
