//! One partition as this broker has it: its log, its replica's part in replication, what its topic's configuration asks, and
//! who waits for it.
//!
//! - [`role`]: what the metadata say, and how the replica changes its part: nothing of the part before lands after that.
//! - [`leading`]: appends, the fetches of followers, and who waits for the replicas.
//! - [`following`]: what a fetcher is told and tells.
//! - [`progress`]: the machine and the waits under their lock; [`acks`]: the waits of produce requests.
//! - [`config`]: what the topic's configuration asks of producers. [`observed`]: what a simulation is told.
//!
//! What is not here: the rules of replication (`replica`), the bytes (`log`), and who fetches (`replication::fetching`).
//!
//! The high watermark is the machine's; a copy of it is read without a lock.

mod acks;
mod config;
mod following;
mod leading;
mod observed;
mod progress;
mod role;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ottla_env::{Clock, process};
use ottla_log::Log;
use ottla_metadata::record::PartitionState;
use ottla_replica::{Change, Ends, LagSettings, Replica};
use ottla_types::{BrokerId, LeaderEpoch, Offset, TopicId, TopicPartition};

pub(crate) use self::acks::{AckPlace, Acks};
pub(crate) use self::config::PartitionConfig;
pub(crate) use self::leading::AppendError;
pub use self::observed::{ReplicaCuts, ReplicaMoved};
use self::progress::Progress;
pub(crate) use self::role::Leadership;
use self::role::State;
use crate::metrics::TopicTraffic;
use crate::replication::Signals;
use crate::waiters::{For, Place, Waiter, Waiters};

/// What the partitions of a broker share.
pub(crate) struct Hosting {
    /// This broker.
    pub(crate) me: BrokerId,
    pub(crate) clock: Arc<dyn Clock>,
    /// When a follower lags.
    pub(crate) lag: LagSettings,
    /// Where machines say that they are to be looked at.
    pub(crate) signals: Arc<Signals>,
}

/// A partition with a replica on this broker.
pub(crate) struct Partition {
    pub(crate) id: TopicPartition,
    pub(crate) topic_id: TopicId,
    pub(crate) log: Arc<Log>,
    /// Where what goes in and out is counted.
    pub(crate) traffic: TopicTraffic,
    hosting: Arc<Hosting>,
    waiters: Arc<Waiters>,
    state: RwLock<State>,
    progress: Mutex<Progress>,
    /// The machine's high watermark, for those who only read.
    high_watermark: AtomicI64,
    /// Held by whoever appends, from the look whether it may until the batch is noted; and alone by a change of the part that
    /// this replica has.
    tenure: tokio::sync::RwLock<()>,
}

impl Partition {
    /// Takes up the replica of a log that was just opened or made.
    pub(crate) async fn new(
        hosting: &Arc<Hosting>,
        id: TopicPartition,
        topic_id: TopicId,
        log: Arc<Log>,
        placed: &PartitionState,
        config: PartitionConfig,
        traffic: TopicTraffic,
    ) -> Arc<Self> {
        let (flushed, end) = (log.flushed_offset(), log.end_offset());
        let waits_for_flush = log.config().flush_messages != i64::MAX && flushed < end;
        let start = log.start_offset();
        let share = if waits_for_flush { flushed.max(start) } else { end };
        let ends = Ends { start, end, durable: share };
        let replica = Replica::new(hosting.me, ends, log.checkpointed_high_watermark(), hosting.lag);
        let partition = Arc::new(Self {
            high_watermark: AtomicI64::new(replica.high_watermark().0),
            progress: Mutex::new(Progress::new(replica, share)),
            state: RwLock::new(State::unplaced(config)),
            hosting: Arc::clone(hosting),
            waiters: Arc::default(),
            tenure: tokio::sync::RwLock::default(),
            id,
            topic_id,
            log,
            traffic,
        });
        if waits_for_flush {
            // Whoever waits for what was there before the start is woken by its flush too.
            let size = usize::try_from(partition.log.size_bytes()).unwrap_or(usize::MAX);
            partition.progress().note_batch(end, size);
        }
        let observer = Arc::downgrade(&partition);
        partition.log.observe_flushes(Arc::new(move |flushed| {
            if let Some(partition) = observer.upgrade() {
                partition.flushed(flushed);
            }
        }));
        if waits_for_flush {
            partition.log.request_flush();
        }
        partition.take(placed).await;
        partition
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the machine do something, and carries out what that changes. The log's ends are read under the lock, so that a
    /// later call never brings an earlier state.
    pub(crate) fn drive<T>(
        &self,
        with: impl FnOnce(&mut Replica, Ends, std::time::Duration) -> (Change, T),
    ) -> T {
        self.drive_noting(|_| (), with)
    }

    /// The same, after `note` was noted.
    fn drive_noting<T>(
        &self,
        note: impl FnOnce(&mut Progress),
        with: impl FnOnce(&mut Replica, Ends, std::time::Duration) -> (Change, T),
    ) -> T {
        let now = self.hosting.clock.monotonic();
        let mut progress = self.progress();
        note(&mut progress);
        let ends = progress.ends(self.log.start_offset(), self.log.end_offset());
        let (change, result) = with(&mut progress.replica, ends, now);
        let wakes = progress.carry(&change);
        if let Some(high_watermark) = wakes.high_watermark {
            self.high_watermark.store(high_watermark.0, Ordering::Release);
            process::observe(|| ReplicaMoved {
                topic_id: self.topic_id,
                partition: self.id.partition,
                leader_epoch: progress.replica.leader_epoch(),
                is_leader: progress.replica.is_leader(),
                high_watermark,
            });
        }
        drop(progress);
        wakes.settled.tell();
        // The watermark may move before the batch that it passes is noted, by the append of another one.
        let readable_bytes = wakes.readable_bytes.max(usize::from(wakes.high_watermark.is_some()));
        if readable_bytes > 0 {
            self.waiters.came(For::Watermark, readable_bytes);
        }
        let key = (self.topic_id, self.id.partition);
        if change.look_at_isr {
            self.hosting.signals.look(key);
        }
        if let Some(at) = change.wake_at {
            self.hosting.signals.wake_at(key, at);
        }
        result
    }

    /// Notes what is durable.
    fn flushed(&self, flushed: Offset) {
        self.drive_noting(
            |progress| progress.share = progress.share.max(flushed),
            |replica, ends, now| (replica.flushed(ends.durable, now), ()),
        );
    }

    /// Everything below is committed and may be read.
    pub(crate) fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.load(Ordering::Acquire)).min(self.log.end_offset())
    }

    /// The high watermark, if this broker leads in `epoch`: all below was appended in that epoch or before. Takes no lock that an
    /// append holds.
    pub(crate) fn high_watermark_in(&self, epoch: LeaderEpoch) -> Option<Offset> {
        // In this order: a watermark of a later epoch may have passed other records. Who does not lead any more says so before
        // anything is cut from its log.
        let high_watermark = self.high_watermark();
        let leadership = self.leadership();
        (leadership.is_leader && leadership.epoch == epoch).then_some(high_watermark)
    }

    /// No transaction is open below. Without transactions, that is the high watermark.
    pub(crate) fn last_stable_offset(&self) -> Offset {
        self.high_watermark()
    }

    /// Tells `waiter` of what it waits for until the place is dropped.
    pub(crate) fn wait(&self, what: For, waiter: &Arc<Waiter>) -> Place {
        self.waiters.register(what, waiter)
    }

    /// Whether `place` was given by this very partition, and not by another of the same name.
    pub(crate) fn gave(&self, place: &Place) -> bool {
        place.is_among(&self.waiters)
    }
}

#[cfg(test)]
impl Hosting {
    /// Of a broker of tests.
    pub(crate) fn for_tests(me: BrokerId) -> Self {
        let time_max = std::time::Duration::from_secs(30);
        let lag = LagSettings { time_max, detector: ottla_replica::LagDetector::Time };
        Self { me, clock: ottla_env::Env::real().clock, lag, signals: Arc::default() }
    }
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partition")
            .field("id", &self.id)
            .field("topic_id", &self.topic_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
