//! The broadcast as a node sees it that does not vote: it pulls what the voters have committed, and is handed it in order.
//!
//! - [`Observer`]: the implementation of [`AtomicBroadcast`]; `run`: its tasks.
//! - `course`: whom to ask, a pure machine. `progress`: what to ask for, and what to deliver of the answers, another one.
//! - [`Voters`]: how questions travel, which is the broker's matter.
//!
//! Nothing is kept on disk. A broker can do nothing before a controller has registered it, so it cannot start without the
//! quorum whatever it has kept; and what it had kept it could believe only after it had asked the quorum. A snapshot is as
//! small as the metadata are, and comes in pieces. So there is one log less that can tear, and a directory that is lost
//! loses nothing of it.
//!
//! A node that was cut off from the others may be behind, and for long. What it says is committed all the same, so taking
//! it does no harm; but an observer does not stay with it, for it goes to whoever says of itself that it leads, under the
//! highest epoch that anybody knows, and looks around from time to time. What must not be older than a question is asked
//! for by [`AtomicBroadcast::read_barrier`], which only a majority can answer.

mod course;
#[cfg(test)]
mod course_tests;
mod progress;
mod run;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ottla_env::{Clock, process};
use ottla_types::{BrokerId, LeadershipEpoch, Offset};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::course::Course;
use crate::atomic::{
    Appending, AtomicBroadcast, BoxFuture, DeliveryReceiver, LeaderHint, NoQuorum, Read, ReadError, Refused,
    SnapshotError, SnapshotPiece,
};
use crate::frame::MAX_BATCH_BYTES;

/// How many deliveries may wait to be taken. Each has at most what one answer brings.
const WAITING_DELIVERIES: usize = 4;

/// How long a node may take to find out what is committed.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a node is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its name or address, IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What is asked of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The first offset that is lacked.
    pub from: Offset,
    /// A piece of a snapshot instead, by the last offset that it stands for and the position of the piece.
    pub snapshot: Option<(Offset, u64)>,
    /// How many bytes of records are wanted; one record may be larger.
    pub max_bytes: usize,
    /// How long the node may wait for something new.
    pub max_wait: Duration,
    /// Who leads, as far as is known. A node that knows more does not wait.
    pub leader: LeaderHint,
}

/// What a node answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who answers.
    pub node: BrokerId,
    /// Who leads, as far as it knows.
    pub leader: LeaderHint,
    /// Where that one is asked, if it knows.
    pub leader_at: Option<Place>,
    /// What it has.
    pub found: Found,
}

/// What a node has of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Records, from the offset on that was asked for; none where there is nothing new.
    Records(Vec<Bytes>),
    /// Its log does not go back that far: the snapshot does.
    NeedsSnapshot {
        /// The last offset that it stands for.
        upto: Offset,
    },
    /// The piece of the snapshot.
    Piece(SnapshotPiece),
    /// It does not have that snapshot any more, or no piece of it begins there.
    NoSnapshot,
}

/// Carries questions to the nodes that vote.
pub trait Voters: Send + Sync + 'static {
    /// Asks a node, and waits for its answer at most so long. An error says why there is none.
    fn ask<'a>(
        &'a self,
        place: &'a Place,
        question: Question,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Answer, String>>;

    /// Asks a node for the end of all that was committed anywhere before the question.
    fn barrier<'a>(&'a self, place: &'a Place, timeout: Duration) -> BoxFuture<'a, Result<Offset, String>>;

    /// Takes note of where a node was found.
    fn found(&self, node: BrokerId, place: &Place);
}

/// A node that does not vote.
pub struct Observer {
    shared: Arc<Shared>,
    deliveries: Mutex<Option<DeliveryReceiver>>,
    /// Dropped with the observer, and joined when it is closed.
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

/// What the tasks of an observer share.
struct Shared {
    voters: Arc<dyn Voters>,
    clock: Arc<dyn Clock>,
    course: Mutex<Course>,
    hint: watch::Sender<LeaderHint>,
    closing: watch::Sender<bool>,
    /// How long a node may be silent.
    patience: Duration,
}

impl Observer {
    /// Begins to pull from whichever of these nodes leads. `patience` is how long a node may be silent before another one
    /// is asked (`controller.quorum.fetch.timeout.ms`).
    #[must_use]
    pub fn start(
        voters: Arc<dyn Voters>,
        clock: Arc<dyn Clock>,
        places: impl IntoIterator<Item = Place>,
        patience: Duration,
    ) -> Arc<Self> {
        let (sender, receiver) = mpsc::channel(WAITING_DELIVERIES);
        let shared = Arc::new(Shared {
            voters,
            clock,
            course: Mutex::new(Course::new(places)),
            hint: watch::Sender::default(),
            closing: watch::Sender::default(),
            patience,
        });
        let mut tasks = JoinSet::new();
        process::spawn_in(&mut tasks, run::pull(Arc::clone(&shared), sender));
        process::spawn_in(&mut tasks, run::look_around(Arc::clone(&shared)));
        let tasks = tokio::sync::Mutex::new(tasks);
        Arc::new(Self { shared, deliveries: Mutex::new(Some(receiver)), tasks })
    }
}

impl Shared {
    fn course(&self) -> MutexGuard<'_, Course> {
        // Nothing is done under the lock that could panic half way.
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what a node says of itself and of the leader.
    fn heard(&self, place: &Place, answer: &Answer) {
        self.voters.found(answer.node, place);
        if let (Some(leader), Some(at)) = (answer.leader.leader, &answer.leader_at) {
            self.voters.found(leader, at);
        }
        let hint = {
            let mut course = self.course();
            course.answered(self.clock.monotonic(), place, answer);
            course.hint()
        };
        self.hint.send_if_modified(|old| std::mem::replace(old, hint) != hint);
    }

    fn failed(&self, place: &Place) {
        self.course().failed(self.clock.monotonic(), place);
    }

    async fn barrier(&self) -> Result<Offset, NoQuorum> {
        let places = self.course().by_promise();
        let mut why = Vec::new();
        for place in places {
            if *self.closing.borrow() {
                return Err(NoQuorum(": it is closed".to_owned()));
            }
            match self.voters.barrier(&place, BARRIER_TIMEOUT).await {
                Ok(end) => return Ok(end),
                Err(reason) => why.push(format!("{place}: {reason}")),
            }
        }
        Err(NoQuorum(format!(": {}", why.join("; "))))
    }
}

impl AtomicBroadcast for Observer {
    /// Nobody appends here.
    fn append(&self, epoch: LeadershipEpoch, _records: Vec<Bytes>) -> Result<Appending, Refused> {
        Err(Refused::NotLeading { asked: epoch, leader: self.shared.hint.borrow().leader })
    }

    fn deliveries(&self) -> Option<DeliveryReceiver> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn leader(&self) -> watch::Receiver<LeaderHint> {
        self.shared.hint.subscribe()
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<Offset, NoQuorum>> {
        Box::pin(self.shared.barrier())
    }

    fn read(&self, _from: Offset, _max_bytes: usize) -> BoxFuture<'_, Result<Read, ReadError>> {
        Box::pin(async { Err(keeps_nothing()) })
    }

    fn read_snapshot(
        &self,
        upto: Offset,
        _position: u64,
        _max_bytes: usize,
    ) -> BoxFuture<'_, Result<SnapshotPiece, ReadError>> {
        Box::pin(async move { Err(ReadError::NoSnapshot(upto)) })
    }

    fn keeps_snapshots(&self) -> bool {
        false
    }

    fn snapshot(&self, upto: Offset, _records: Vec<Bytes>) -> BoxFuture<'_, Result<(), SnapshotError>> {
        let why = "a node that does not vote keeps none";
        Box::pin(async move { Err(SnapshotError::Offset { upto, why }) })
    }

    fn resign(&self, _epoch: LeadershipEpoch) {}

    fn max_batch_bytes(&self) -> usize {
        MAX_BATCH_BYTES
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.shared.closing.send_replace(true);
            let mut tasks = self.tasks.lock().await;
            while tasks.join_next().await.is_some() {}
        })
    }
}

fn keeps_nothing() -> ReadError {
    ReadError::Storage("a node that does not vote keeps no metadata log: ask one that does".into())
}
