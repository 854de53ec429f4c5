//! One shard under its lock. The lock is held while a request is decided and its records are appended, so that the log
//! has the records in the order of the decisions; and never while somebody waits for their commitment.
//!
//! Whoever asks is not dropped between a decision and the end of its append: connections are not ended in the middle of a
//! request (see `server`), only while they wait for an answer.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, Notify, oneshot};
use tokio::time::Instant;
use tracing::warn;

use ottla_env::{Clock, Env};
use ottla_groups::{Answer, ChangeId, Decision, Effect, Request, Shard, Sweep, Ticket};
use ottla_metadata::Image;
use ottla_types::{ErrorCode, LeaderEpoch, Offset, TopicId, TopicName};

use super::appending::Unwritten;
use super::clock::Epoch;
use super::settings::HostSettings;
use crate::partition::Partition;
use crate::server::LogLimit;

/// What becomes of a request: the shard's answer, or why it could not be asked or answered.
pub(crate) type Reply = Result<Answer, ErrorCode>;

/// What becomes of a request by the time that it has had its effect.
pub(crate) enum Asked {
    /// It is answered.
    Answered(Answer),
    /// It was not decided, for this reason.
    Refused(ErrorCode),
    /// The answer waits for other members, or for records that are not committed yet.
    Waits(oneshot::Receiver<Reply>),
}

impl Asked {
    /// The end of the wait. Whoever waits at a shard that goes is told that it is not here.
    pub(crate) async fn reply(self) -> Reply {
        match self {
            Self::Answered(answer) => Ok(answer),
            Self::Refused(error) => Err(error),
            Self::Waits(reply) => reply.await.unwrap_or(Err(ErrorCode::NotCoordinator)),
        }
    }
}

/// The host of one shard, for as long as this broker leads its partition in one epoch.
pub(crate) struct ShardHost {
    pub(super) partition: Arc<Partition>,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) settings: Arc<HostSettings>,
    clock: Arc<dyn Clock>,
    epoch: Epoch,
    phase: Mutex<Phase>,
    /// There is something to do for the task beside the requests: an earlier deadline, records in flight, or the end.
    pub(super) changed: Notify,
    stopped: AtomicBool,
}

/// What a shard does, as metrics tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShardState {
    /// It is read from its log.
    Loading,
    /// It serves.
    Active,
    /// Its log could not be read.
    Failed,
    /// It is served elsewhere, or not any more.
    Stopped,
}

enum Phase {
    /// The log is being read, as of this image. Topics that are deleted meanwhile are noted.
    Loading {
        image: Arc<Image>,
        forget: BTreeSet<(TopicName, TopicId)>,
    },
    Active(Box<Active>),
    /// The log could not be read.
    Failed,
    Stopped,
}

/// A shard at work.
pub(super) struct Active {
    shard: Shard,
    next_ticket: u64,
    /// Who waits for an answer.
    waiting: HashMap<Ticket, oneshot::Sender<Reply>>,
    /// What is appended and not committed, in the order of the log.
    in_flight: VecDeque<InFlight>,
    /// Whether the task is woken when the high watermark moves.
    is_watched: bool,
    /// The deadline of the shard that the task sleeps for.
    wakes_at_ms: Option<i64>,
    /// Whether the task sleeps no longer than those who wait for records do. The earliest of them counts: whoever comes
    /// later waits longer.
    gives_up: bool,
    failures: LogLimit,
}

/// The records of a decision, on their way to be committed.
struct InFlight {
    change: ChangeId,
    /// The offset after its last record.
    end: Offset,
    /// The requests that wait for it, and not for other members; and until when (`offsets.commit.timeout.ms`).
    tickets: Vec<(Ticket, Instant)>,
}

/// What a shard waits for.
pub(super) struct Waits {
    /// The high watermark.
    pub(super) watermark: bool,
    /// The time.
    pub(super) until: Option<Instant>,
}

impl ShardHost {
    pub(super) fn new(
        env: &Env,
        settings: &Arc<HostSettings>,
        partition: &Arc<Partition>,
        image: &Arc<Image>,
    ) -> Arc<Self> {
        let log = &partition.log;
        let epoch = Epoch::now(&*env.clock);
        let phase = if log.start_offset() == log.end_offset() {
            // Of a topic that was just made: whoever waits for that need not wait for the load of nothing as well.
            Phase::Active(Active::new(Shard::new(settings.groups.clone()), epoch.ms(&*env.clock)))
        } else {
            Phase::Loading { image: Arc::clone(image), forget: BTreeSet::new() }
        };
        Arc::new(Self {
            partition: Arc::clone(partition),
            leader_epoch: partition.leadership().epoch,
            settings: Arc::clone(settings),
            epoch,
            clock: Arc::clone(&env.clock),
            phase: Mutex::new(phase),
            changed: Notify::new(),
            stopped: AtomicBool::new(false),
        })
    }

    pub(super) fn topic_id(&self) -> TopicId {
        self.partition.topic_id
    }

    /// Whether this is the host of what `partition` holds, in its present epoch.
    pub(super) fn serves(&self, partition: &Partition) -> bool {
        self.topic_id() == partition.topic_id && self.leader_epoch == partition.leadership().epoch
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// The time of the shard.
    pub(super) fn now_ms(&self) -> i64 {
        self.epoch.ms(&*self.clock)
    }

    /// Has the shard decide a request, and appends what it decides.
    pub(crate) async fn ask(&self, request: Request) -> Asked {
        let mut phase = self.phase.lock().await;
        let active = match &mut *phase {
            Phase::Active(active) => active,
            Phase::Loading { .. } => return Asked::Refused(ErrorCode::CoordinatorLoadInProgress),
            Phase::Failed => return Asked::Refused(ErrorCode::CoordinatorNotAvailable),
            Phase::Stopped => return Asked::Refused(ErrorCode::NotCoordinator),
        };
        let waits_for_members = matches!(request, Request::Join(_) | Request::Sync(_));
        let ticket = Ticket(active.next_ticket);
        active.next_ticket += 1;
        let (give, mut take) = oneshot::channel();
        active.waiting.insert(ticket, give);
        let decision = active.shard.handle(ticket, request, self.now_ms());
        let writes = decision.change.is_some();
        self.carry_out(active, decision).await;
        if (writes || !waits_for_members)
            && active.waiting.contains_key(&ticket)
            && let Some(last) = active.in_flight.back_mut()
        {
            last.tickets.push((ticket, Instant::now() + self.settings.commit_timeout));
            if !active.gives_up {
                self.changed.notify_one();
            }
        }
        drop(phase);
        match take.try_recv() {
            Ok(Ok(answer)) => Asked::Answered(answer),
            Ok(Err(error)) => Asked::Refused(error),
            Err(_) => Asked::Waits(take),
        }
    }

    /// What the shard does, and what `of` sees in it if it is at work. For metrics.
    pub(crate) async fn survey<T>(&self, of: impl FnOnce(&Shard) -> T) -> (ShardState, Option<T>) {
        match &*self.phase.lock().await {
            Phase::Loading { .. } => (ShardState::Loading, None),
            Phase::Active(active) => (ShardState::Active, Some(of(&active.shard))),
            Phase::Failed => (ShardState::Failed, None),
            Phase::Stopped => (ShardState::Stopped, None),
        }
    }

    pub(super) async fn is_loading(&self) -> bool {
        matches!(&*self.phase.lock().await, Phase::Loading { .. })
    }

    /// Deletes the offsets of topics that are no more. The lock is let go between parts.
    pub(super) async fn forget_topics(&self, topics: &[(TopicName, TopicId)]) {
        let mut sweep = Sweep::topics(topics.iter().cloned());
        while !sweep.is_done() {
            match &mut *self.phase.lock().await {
                Phase::Loading { forget, .. } => return forget.extend(topics.iter().cloned()),
                Phase::Active(active) => self.sweep(active, &mut sweep).await,
                Phase::Failed | Phase::Stopped => return,
            }
        }
    }

    /// Does a part of a sweep.
    async fn sweep(&self, active: &mut Active, sweep: &mut Sweep) {
        let decision = active.shard.sweep(sweep, self.now_ms());
        self.carry_out(active, decision).await;
    }

    /// Goes to work with what was loaded, or stays out of it. A shard that is at work already, or stopped, stays as it is.
    pub(super) async fn begin(&self, loaded: Option<Shard>) {
        let mut phase = self.phase.lock().await;
        let Phase::Loading { image, forget } = &mut *phase else { return };
        let (image, mut forget) = (Arc::clone(image), std::mem::take(forget));
        let Some(shard) = loaded else {
            *phase = Phase::Failed;
            return;
        };
        // Of topics that were deleted when the broker had no time left to delete their offsets: one that is made under
        // such a name is another, and must not be read from there.
        let is_gone = |topic: &TopicName, id: TopicId| match image.topic_by_name(topic.as_str()) {
            Some(topic) => !id.is_zero() && topic.id != id,
            None => true,
        };
        for offset in shard.committed_offsets().filter(|offset| is_gone(offset.topic, offset.topic_id)) {
            forget.insert((offset.topic.clone(), offset.topic_id));
        }
        let mut active = Active::new(shard, self.now_ms());
        if !forget.is_empty() {
            let mut sweep = Sweep::topics(forget);
            while !sweep.is_done() {
                self.sweep(&mut active, &mut sweep).await;
            }
        }
        *phase = Phase::Active(active);
    }

    /// Ends the shard: whoever waits is answered with `error`.
    pub(super) async fn stop(&self, error: ErrorCode) {
        self.stopped.store(true, Ordering::Release);
        let phase = std::mem::replace(&mut *self.phase.lock().await, Phase::Stopped);
        if let Phase::Active(mut active) = phase {
            let effects = active.shard.stop(error);
            active.deliver(effects);
        }
        self.changed.notify_one();
    }

    /// Does what is due, and the next part of a sweep if there is one, and tells what to wait for next. `None` when the shard
    /// is not at work.
    ///
    /// The high watermark is watched from before it is looked at, so that no move of it slips between: `watch` is called
    /// if there is something in flight.
    pub(super) async fn look(&self, sweep: Option<&mut Sweep>, watch: impl FnOnce()) -> Option<Waits> {
        let mut phase = self.phase.lock().await;
        let Phase::Active(active) = &mut *phase else { return None };
        if let Some(sweep) = sweep {
            self.sweep(active, sweep).await;
        }
        if active.shard.next_deadline_ms().is_some_and(|deadline| deadline <= self.now_ms()) {
            let decision = active.shard.tick(self.now_ms());
            self.carry_out(active, decision).await;
        }
        if !active.in_flight.is_empty() {
            watch();
        }
        active.settle(self.committed(), self.now_ms());
        active.give_up(Instant::now(), self.now_ms());
        active.is_watched = !active.in_flight.is_empty();
        active.wakes_at_ms = active.shard.next_deadline_ms();
        let due = active.in_flight.iter().find_map(|change| change.tickets.first()).map(|&(_, due)| due);
        active.gives_up = due.is_some();
        let deadline = active.wakes_at_ms.map(|deadline| self.instant(deadline));
        Some(Waits { watermark: active.is_watched, until: due.into_iter().chain(deadline).min() })
    }

    /// Below this all is committed that was appended in this shard's epoch. When that is over nothing more is known to be: what
    /// another leader has at the same offsets is something else.
    pub(super) fn committed(&self) -> Offset {
        self.partition.high_watermark_in(self.leader_epoch).unwrap_or(Offset(0))
    }

    fn instant(&self, deadline_ms: i64) -> Instant {
        let left_ms = deadline_ms.saturating_sub(self.now_ms());
        Instant::now() + super::settings::duration_ms(left_ms)
    }

    /// Appends the records of a decision and carries out its effects.
    async fn carry_out(&self, active: &mut Active, decision: Decision) {
        let Decision { change, records, may_split, effects } = decision;
        active.deliver(effects);
        if let Some(change) = change {
            match self.append(&records, may_split).await {
                Ok(end) => {
                    active.in_flight.push_back(InFlight { change, end, tickets: Vec::new() });
                    active.settle(self.committed(), self.now_ms());
                }
                Err(Unwritten { written, failure }) => {
                    if let Some(suppressed) = active.failures.admit(Instant::now()) {
                        warn!(partition = %self.partition.id, suppressed, "cannot append: {failure}");
                    }
                    let count = written.map_or(0, |(count, _)| count);
                    let effects = active.shard.failed_in_part(change, count, failure.code(), self.now_ms());
                    active.deliver(effects);
                    if let Some((_, end)) = written {
                        active.in_flight.push_back(InFlight { change, end, tickets: Vec::new() });
                        active.settle(self.committed(), self.now_ms());
                    }
                }
            }
        }
        let is_earlier = match (active.shard.next_deadline_ms(), active.wakes_at_ms) {
            (Some(next), Some(wakes_at)) => next < wakes_at,
            (next, _) => next.is_some(),
        };
        if is_earlier || (!active.is_watched && !active.in_flight.is_empty()) {
            self.changed.notify_one();
        }
    }
}

impl Active {
    fn new(mut shard: Shard, now_ms: i64) -> Box<Self> {
        shard.loaded(now_ms);
        Box::new(Self {
            shard,
            next_ticket: 0,
            waiting: HashMap::new(),
            in_flight: VecDeque::new(),
            is_watched: false,
            wakes_at_ms: None,
            gives_up: false,
            failures: LogLimit::lasting(),
        })
    }

    fn deliver(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Answer { ticket, answer } => self.reply(ticket, Ok(answer)),
                effect => warn!("an effect that has no meaning here: {effect:?}"),
            }
        }
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply) {
        if let Some(waiting) = self.waiting.remove(&ticket) {
            // Whoever waited may be gone with its connection.
            let _ = waiting.send(reply);
        }
    }

    /// Takes what lies below the high watermark for committed.
    fn settle(&mut self, high_watermark: Offset, now_ms: i64) {
        let mut committed = None;
        while let Some(first) = self.in_flight.front()
            && first.end <= high_watermark
        {
            committed = Some(first.change);
            self.in_flight.pop_front();
        }
        if let Some(upto) = committed {
            let effects = self.shard.committed(upto, now_ms);
            self.deliver(effects);
        }
    }

    /// Answers those who have waited long enough for records to be committed, and those who wait for others of them. The
    /// records stay, and may still be.
    fn give_up(&mut self, now: Instant, now_ms: i64) {
        let mut overdue = Vec::new();
        let mut upto = None;
        for change in &mut self.in_flight {
            let due = change.tickets.partition_point(|&(_, due)| due <= now);
            if due > 0 {
                upto = Some(change.change);
            }
            overdue.extend(change.tickets.drain(..due));
            if !change.tickets.is_empty() {
                break;
            }
        }
        if let Some(upto) = upto {
            let effects = self.shard.timed_out(upto, now_ms);
            self.deliver(effects);
        }
        for (ticket, _) in overdue {
            self.reply(ticket, Err(ErrorCode::RequestTimedOut));
        }
    }
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
