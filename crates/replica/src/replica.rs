//! The machine: one replica, its part, and its high watermark. What it does as leader and as follower is in files of their
//! own; here is how it comes to be the one or the other.

use std::sync::Arc;
use std::time::Duration;

use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionEpoch};

use crate::change::{Change, Turn};
use crate::follower::{FetchAnswer, FetchFrom, Follower, NextFetch, Step};
use crate::leader::fetches::{EpochEnd, Fetched, FollowerFetch};
use crate::leader::isr::{IsrAnswer, WantedIsr};
use crate::leader::lag::{FollowerState, LagSettings};
use crate::leader::waiting::AckVerdict;
use crate::leader::{Leader, Moment};
use crate::view::{Ends, View};

/// One partition's replica. Each call costs what the partition has replicas, and those of the hot path
/// ([`Self::appended`], [`Self::fetched`], [`Self::copied`]) allocate nothing. `now` is the time since any moment, the same
/// one in all calls.
#[derive(Debug, Clone)]
pub struct Replica {
    pub(crate) me: BrokerId,
    pub(crate) settings: LagSettings,
    pub(crate) view: View,
    pub(crate) high_watermark: Offset,
    pub(crate) role: Role,
}

/// The part it has.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    Leader(Leader),
    Follower(Follower),
    /// Nobody leads.
    Waiting,
    /// It is none of the replicas.
    Stopped,
}

impl Replica {
    /// A replica of which nothing is known yet but its log, and the high watermark that was noted before the start.
    #[must_use]
    pub fn new(me: BrokerId, ends: Ends, checkpointed_high_watermark: Offset, settings: LagSettings) -> Self {
        let view = View {
            leader: None,
            leader_epoch: LeaderEpoch::NONE,
            partition_epoch: PartitionEpoch(-1),
            replicas: Arc::default(),
            isr: Arc::default(),
            min_insync: 1,
            recovering: false,
        };
        let high_watermark = ends.watermark(checkpointed_high_watermark);
        Self { me, settings, view, high_watermark, role: Role::Waiting }
    }

    /// Takes what the metadata say. What is older than what is known is ignored; the same state again may bring another
    /// `min_insync`.
    pub fn view(&mut self, view: View, ends: Ends, now: Duration) -> Change {
        let known = (self.view.leader_epoch, self.view.partition_epoch);
        if (view.leader_epoch, view.partition_epoch) < known {
            return Change::default();
        }
        let before = self.high_watermark;
        let is_new_epoch = view.leader_epoch > known.0;
        let was_stopped = matches!(self.role, Role::Stopped);
        let is_stopped = !view.replicas.contains(&self.me);
        self.view = view;
        let turn = if is_new_epoch || was_stopped != is_stopped { self.turn(ends, now) } else { None };
        self.high_watermark = ends.watermark(self.high_watermark);
        let mut change = Change { turn, ..Change::default() };
        if let Role::Leader(leader) = &mut self.role {
            if turn.is_none() {
                leader.review(&self.view, now);
            }
            change = change.and(leader.settle(moment(&mut self.high_watermark, &self.settings, now)));
            change.look_at_isr = true;
        }
        change.wake_appends = turn.is_some() || !self.has_enough();
        if self.high_watermark != before {
            change.high_watermark = Some(self.high_watermark);
        }
        change
    }

    /// Takes the part that the view gives it.
    fn turn(&mut self, ends: Ends, now: Duration) -> Option<Turn> {
        let epoch = self.view.leader_epoch;
        let (role, turn) = match self.view.leader {
            _ if !self.view.replicas.contains(&self.me) => (Role::Stopped, Turn::Stops),
            None => (Role::Waiting, Turn::Waits),
            Some(leader) if leader == self.me => {
                let before = match &self.role {
                    Role::Leader(leader) => Some(leader),
                    _ => None,
                };
                let leader = Leader::new(self.me, &self.view, ends, before, now);
                let start = leader.epoch_start();
                (Role::Leader(leader), Turn::Leads { epoch, start })
            }
            Some(leader) => (Role::Follower(Follower::new(leader)), Turn::Follows { leader, epoch }),
        };
        self.role = role;
        Some(turn)
    }

    /// Takes settings that changed.
    pub fn configure(
        &mut self,
        settings: LagSettings,
        min_insync: usize,
        ends: Ends,
        now: Duration,
    ) -> Change {
        self.settings = settings;
        let view = View { min_insync, ..self.view.clone() };
        self.view(view, ends, now)
    }

    /// Time has passed: what [`Change::wake_at`] asked for.
    pub fn tick(&mut self, now: Duration) -> Change {
        match &mut self.role {
            Role::Leader(leader) => leader.tick(moment(&mut self.high_watermark, &self.settings, now)),
            _ => Change::default(),
        }
    }

    /// All below is committed, as far as this replica knows.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// What the metadata said last.
    #[must_use]
    pub fn current(&self) -> &View {
        &self.view
    }

    /// The leader epoch that it is in.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.view.leader_epoch
    }

    /// Whether it leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// Where its leadership starts. Until the high watermark is there, a new leader may know less of what is committed than
    /// the one before (KIP-207).
    #[must_use]
    pub fn epoch_start(&self) -> Option<Offset> {
        self.leader().map(Leader::epoch_start)
    }

    pub(crate) fn leader(&self) -> Option<&Leader> {
        match &self.role {
            Role::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    /// Takes note of records that it appended as the leader.
    pub fn appended(&mut self, ends: Ends, now: Duration) -> Change {
        match &mut self.role {
            Role::Leader(leader) => {
                leader.appended(ends, moment(&mut self.high_watermark, &self.settings, now))
            }
            _ => Change::default(),
        }
    }

    /// Takes note that all below `durable` is fsynced.
    pub fn flushed(&mut self, durable: Offset, now: Duration) -> Change {
        match &mut self.role {
            Role::Leader(leader) => {
                leader.flushed(durable, moment(&mut self.high_watermark, &self.settings, now))
            }
            _ => Change::default(),
        }
    }

    /// Takes a follower's fetch, before its records are read: all below its offset is acknowledged, if the logs agree so far.
    /// `ends` are the leader's own, `epoch_end` its log's end of an epoch (the greatest at or below it, and where the next one
    /// begins), as OffsetForLeaderEpoch answers.
    ///
    /// # Errors
    ///
    /// - NOT_LEADER_OR_FOLLOWER: this replica does not lead; or the fetch is from before a restart of the follower.
    /// - FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH: the follower knows an older or a newer epoch (KIP-320). The second is
    ///   also answered to one that this leader does not know as a replica yet.
    /// - OFFSET_OUT_OF_RANGE: the offset is not in the log.
    pub fn fetched(
        &mut self,
        fetch: &FollowerFetch,
        ends: Ends,
        epoch_end: impl FnOnce(LeaderEpoch) -> Option<(LeaderEpoch, Offset)>,
        now: Duration,
    ) -> Result<Fetched, ErrorCode> {
        let epoch = self.view.leader_epoch;
        let Role::Leader(leader) = &mut self.role else { return Err(ErrorCode::NotLeaderOrFollower) };
        leader.fetched(fetch, epoch, ends, epoch_end, moment(&mut self.high_watermark, &self.settings, now))
    }

    /// The ISR that this leader wants, if it is not the one in force. `eligible` says by which registration a broker may be
    /// in sync: it is unfenced, not about to stop, and the directory of its replica is usable (KIP-841, KIP-858); `None` if
    /// it may not.
    #[must_use]
    pub fn wanted_isr(
        &self,
        eligible: impl Fn(BrokerId) -> Option<BrokerEpoch>,
        now: Duration,
    ) -> Option<WantedIsr> {
        self.leader()?.wanted_isr(&self.view, self.high_watermark, eligible, &self.settings, now)
    }

    /// [`Self::wanted_isr`] and [`Self::isr_asked`] in one: what is wanted is asked for, and is to be sent.
    #[must_use]
    pub fn ask_isr(
        &mut self,
        eligible: impl Fn(BrokerId) -> Option<BrokerEpoch>,
        now: Duration,
    ) -> Option<WantedIsr> {
        let wanted = self.wanted_isr(eligible, now)?;
        let members = wanted.members.iter().map(|(broker, _)| *broker);
        self.isr_asked(wanted.partition_epoch, members).then_some(wanted)
    }

    /// Takes note, before it is sent, that an ISR is asked for. Until it is certain what became of it, the high watermark
    /// counts its members too (KIP-497). Returns whether it may be sent: the partition has that state, and whoever enters
    /// holds all that is committed, as it did when the ISR was wanted. If not, it is to be looked at again.
    #[must_use]
    pub fn isr_asked(
        &mut self,
        partition_epoch: PartitionEpoch,
        members: impl IntoIterator<Item = BrokerId>,
    ) -> bool {
        match &mut self.role {
            Role::Leader(leader) if self.view.partition_epoch == partition_epoch => {
                leader.isr_asked(partition_epoch, members, self.high_watermark)
            }
            _ => false,
        }
    }

    /// Takes what became of the ISR that was asked for in this state of the partition.
    pub fn isr_answered(
        &mut self,
        partition_epoch: PartitionEpoch,
        answer: IsrAnswer,
        now: Duration,
    ) -> Change {
        match &mut self.role {
            Role::Leader(leader) if self.view.partition_epoch == partition_epoch => {
                leader.isr_answered(answer, now);
                leader.settle(moment(&mut self.high_watermark, &self.settings, now))
            }
            _ => Change::default(),
        }
    }

    /// What the leader knows of its followers; empty if it does not lead.
    #[must_use]
    pub fn followers(&self, now: Duration) -> Vec<FollowerState> {
        self.leader().map_or_else(Vec::new, |leader| leader.states(&self.settings, now))
    }

    /// Whether a producer may append, and in which epoch; `all` if it asks for all replicas to have it.
    ///
    /// # Errors
    ///
    /// NOT_LEADER_OR_FOLLOWER; NOT_ENOUGH_REPLICAS, where `all` is asked for and fewer than `min.insync.replicas` are in sync.
    pub fn check_append(&self, all: bool) -> Result<LeaderEpoch, ErrorCode> {
        if !self.is_leader() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if all && !self.has_enough() {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        Ok(self.leader_epoch())
    }

    /// What to answer to one who appended up to `end` in `epoch` and waits for all replicas to have it. For a duplicate of
    /// what is in the log, `end` is the end of the original, and `epoch` the current one.
    #[must_use]
    pub fn acknowledged(&self, epoch: LeaderEpoch, end: Offset) -> AckVerdict {
        AckVerdict::of(self, epoch, end)
    }

    /// Whether as many replicas are in sync as `acks=all` asks for.
    pub(crate) fn has_enough(&self) -> bool {
        self.view.isr.len() >= self.view.min_insync
    }

    /// What to ask the leader next. `last_epoch` is the epoch of the log's last record; of a log without records, none.
    #[must_use]
    pub fn next_fetch(&self, ends: Ends, last_epoch: Option<LeaderEpoch>) -> NextFetch {
        match &self.role {
            Role::Follower(follower) => follower.next_fetch(self.view.leader_epoch, ends, last_epoch),
            _ => NextFetch::Nothing,
        }
    }

    /// Takes the answer to what was `sent`. `own_epoch_end` is as for [`Self::fetched`], of the own log.
    pub fn answered(
        &mut self,
        sent: &FetchFrom,
        answer: &FetchAnswer,
        ends: Ends,
        own_epoch_end: impl FnOnce(LeaderEpoch) -> Option<(LeaderEpoch, Offset)>,
    ) -> Step {
        let is_current = sent.leader_epoch == self.view.leader_epoch && sent.offset == ends.end;
        match &mut self.role {
            Role::Follower(follower) if is_current => {
                let own_epoch_end = |epoch| own_epoch_end(epoch).map(EpochEnd::from);
                follower.answered(answer, ends, self.high_watermark, own_epoch_end)
            }
            _ => Step::Nothing,
        }
    }

    /// Takes note that the log has other ends, by what a [`Step`] asked for.
    pub fn copied(&mut self, ends: Ends) -> Change {
        let Role::Follower(follower) = &self.role else { return Change::default() };
        let high_watermark = follower.watermark(self.high_watermark, ends);
        let moved = (high_watermark != self.high_watermark).then_some(high_watermark);
        self.high_watermark = high_watermark;
        Change { high_watermark: moved, ..Change::default() }
    }
}

fn moment<'a>(high_watermark: &'a mut Offset, settings: &'a LagSettings, now: Duration) -> Moment<'a> {
    Moment { high_watermark, settings, now }
}
