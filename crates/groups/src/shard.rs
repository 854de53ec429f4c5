//! The coordinator of one offsets partition: requests and time in, records and answers out.

use std::collections::VecDeque;
use std::sync::Arc;

use ottla_types::{ErrorCode, Offset, TopicId, TopicName};

use crate::answer::Answer;
use crate::classic::{ClassicGroup, State};
use crate::config::GroupConfig;
use crate::deadlines::{Deadlines, Timer};
use crate::effect::{ChangeId, Decision, Effect, Ticket};
use crate::group::Group;
use crate::groups::{Entry, Groups};
use crate::record::{GroupValue, Key, OffsetValue, RecordError};
use crate::request::Request;
use crate::sweep::Sweep;
use crate::turn::{Followup, Outcome, Staged, Turn};

/// The groups and the offsets of one partition of `__consumer_offsets`.
///
/// A request is decided on the latest state, which is what is committed and what was decided since; its records go to the
/// log, and the answer is released when they are committed. If they cannot be written, the difference is dropped.
#[derive(Debug)]
pub struct Shard {
    config: GroupConfig,
    groups: Groups,
    deadlines: Deadlines,
    /// Decided, and not committed; the oldest first.
    pending: VecDeque<Pending>,
    last_change: ChangeId,
}

/// A change on its way to the log.
#[derive(Debug)]
struct Pending {
    change: ChangeId,
    staged: Vec<Staged>,
    followups: Vec<(usize, Followup)>,
    held: Vec<(Ticket, Answer)>,
}

impl Pending {
    /// Takes out what the first `written` records of the change bring about without the others.
    fn take_written(&mut self, written: usize) -> Self {
        Self {
            change: self.change,
            staged: self.staged.extract_if(.., |staged| staged.takes <= written).collect(),
            followups: self.followups.extract_if(.., |(takes, _)| *takes <= written).collect(),
            held: Vec::new(),
        }
    }
}

/// What became of a record of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// It was replayed.
    Applied,
    /// Its key has a version that is not known: a newer Kafka's, or a kind of group that is not supported. As in Kafka,
    /// it is passed over; the shell may want to say so in its log.
    Skipped {
        /// The version of the key.
        version: i16,
    },
}

/// How much a shard holds, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Groups without members.
    pub empty: usize,
    /// Groups that wait for members to join.
    pub preparing_rebalance: usize,
    /// Groups that wait for their leader's assignment.
    pub completing_rebalance: usize,
    /// Groups whose members have their assignments.
    pub stable: usize,
    /// Members of all groups.
    pub members: usize,
    /// Committed offsets of all groups.
    pub offsets: usize,
}

/// An offset that a group has committed.
#[derive(Debug, Clone, Copy)]
pub struct CommittedOffset<'a> {
    /// The group.
    pub group: &'a Arc<str>,
    /// The topic.
    pub topic: &'a TopicName,
    /// The id of the topic that it was committed for, or [`TopicId::ZERO`] where that is not known.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: i32,
    /// The offset of the next record to read.
    pub offset: Offset,
}

impl Shard {
    /// A shard that holds nothing yet.
    #[must_use]
    pub fn new(config: GroupConfig) -> Self {
        Self {
            config,
            groups: Groups::default(),
            deadlines: Deadlines::default(),
            pending: VecDeque::new(),
            last_change: ChangeId(0),
        }
    }

    /// Replays one record of the log, in the order of the log. Only before [`loaded`](Self::loaded).
    ///
    /// `offset` is the record's; transactional commits will need it to tell which of two commits is the later.
    ///
    /// # Errors
    /// The record cannot be read; nothing changed. As in Kafka, a shard with such a record cannot be served.
    pub fn load(&mut self, key: &[u8], value: Option<&[u8]>, offset: Offset) -> Result<Loaded, RecordError> {
        let _ = offset;
        match Key::decode(key)? {
            Key::Offset { group, topic, partition } => {
                let value = value.map(OffsetValue::decode).transpose()?;
                self.load_offset(group, topic, partition, value)?;
            }
            Key::Group { group } => {
                let value = value.map(GroupValue::decode).transpose()?;
                self.load_group(group, value.as_ref());
            }
            Key::Unknown { version } => return Ok(Loaded::Skipped { version }),
        }
        Ok(Loaded::Applied)
    }

    fn load_offset(
        &mut self,
        group: &str,
        topic: &str,
        partition: i32,
        value: Option<OffsetValue>,
    ) -> Result<(), RecordError> {
        let change = match self.groups.entries.get_mut(group).filter(|entry| entry.offsets.has_topic(topic)) {
            // The usual case, by borrowed names alone.
            Some(entry) => entry.offsets.load_known(topic, partition, value),
            None if value.is_none() => 0,
            None => {
                let topic = match self.groups.interned(topic) {
                    Some(topic) => topic,
                    None => {
                        let invalid = |_| RecordError::Invalid {
                            what: "key",
                            field: "topic",
                            reason: "no topic can have this name",
                        };
                        self.groups.intern(&TopicName::new(topic).map_err(invalid)?)
                    }
                };
                self.groups.entry(group).1.offsets.load(topic, partition, value)
            }
        };
        self.groups.offsets_count = self.groups.offsets_count.saturating_add_signed(change);
        Ok(())
    }

    fn load_group(&mut self, group: &str, value: Option<&GroupValue<'_>>) {
        let Some(value) = value else {
            if let Some(entry) = self.groups.entries.get_mut(group) {
                entry.group = None;
            }
            return self.groups.tidy(group);
        };
        let (id, entry) = self.groups.entry(group);
        entry.group = Some(Group::Classic(ClassicGroup::restore(id, value)));
    }

    /// Ends loading: the sessions of the members that were loaded start now.
    pub fn loaded(&mut self, now_ms: i64) {
        self.groups.entries.retain(|_, entry| entry.group.is_some() || !entry.offsets.is_vacant());
        let mut turn = Turn::new(now_ms, &self.config, &mut self.deadlines, self.last_change);
        for (id, entry) in &mut self.groups.entries {
            entry.is_committed = true;
            // Offsets without a group are those of consumers that do without: their group has no record.
            let create = || Group::Classic(ClassicGroup::new(id.clone(), None));
            let Group::Classic(group) = entry.group.get_or_insert_with(create);
            group.loaded(&mut turn);
        }
        let Outcome { records, effects, .. } = turn.outcome;
        debug_assert!(records.is_empty() && effects.is_empty(), "members cannot all have joined already");
    }

    /// Decides a request. It is answered by an effect of this call, or of a later one.
    pub fn handle(&mut self, ticket: Ticket, request: Request, now_ms: i64) -> Decision {
        let mut turn = Turn::new(now_ms, &self.config, &mut self.deadlines, next(self.last_change));
        match request {
            Request::Join(request) => self.groups.join(ticket, &request, &mut turn),
            Request::Sync(request) => self.groups.sync(ticket, &request, &mut turn),
            Request::Heartbeat(request) => self.groups.heartbeat(ticket, &request, &mut turn),
            Request::Leave(request) => self.groups.leave(ticket, request, &mut turn),
            Request::Commit(request) => self.groups.commit(ticket, request, &mut turn),
            Request::FetchOffsets(request) => self.groups.fetch_offsets(ticket, &request, &mut turn),
            Request::DeleteOffsets(request) => self.groups.delete_offsets(ticket, request, &mut turn),
            Request::List(request) => turn.answer(ticket, Answer::List(self.groups.list(&request))),
            Request::Describe(request) => {
                let groups = request.group_ids.iter().map(|group_id| self.groups.describe(group_id));
                turn.answer(ticket, Answer::Describe(groups.collect()));
            }
            Request::Delete(request) => self.groups.delete(ticket, &request, &mut turn),
        }
        let outcome = turn.outcome;
        self.decide(outcome)
    }

    /// When [`tick`](Self::tick) has something to do next. It may turn out that a heartbeat moved that on.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.deadlines.next_ms()
    }

    /// Does what is due: sessions, rebalance timeouts, the initial delay.
    pub fn tick(&mut self, now_ms: i64) -> Decision {
        let mut turn = Turn::new(now_ms, &self.config, &mut self.deadlines, next(self.last_change));
        while let Some((handle, timer)) = turn.deadlines.pop_due(now_ms) {
            let (Timer::Session { group, .. } | Timer::Join { group } | Timer::Sync { group }) = &timer;
            let Some(Group::Classic(group)) = self.groups.group_mut(group) else { continue };
            match &timer {
                Timer::Session { member, .. } => group.session_elapsed(member, handle, &mut turn),
                Timer::Join { .. } => group.join_elapsed(handle, &mut turn),
                Timer::Sync { .. } => group.sync_elapsed(handle, &mut turn),
            }
        }
        turn.outcome.may_split = true;
        let outcome = turn.outcome;
        self.decide(outcome)
    }

    /// Does the next part of a sweep. To be called again until it [is done](Sweep::is_done), with other calls between as they
    /// come. If the records cannot be written, what they were about stays, and a later sweep finds it again.
    pub fn sweep(&mut self, sweep: &mut Sweep, now_ms: i64) -> Decision {
        let mut turn = Turn::new(now_ms, &self.config, &mut self.deadlines, next(self.last_change));
        self.groups.sweep(sweep, &mut turn);
        turn.outcome.may_split = true;
        let outcome = turn.outcome;
        self.decide(outcome)
    }

    fn decide(&mut self, outcome: Outcome) -> Decision {
        let Outcome { records, mut effects, staged, followups, held, may_split } = outcome;
        if records.is_empty() {
            debug_assert!(staged.is_empty() && followups.is_empty(), "what changes must be written");
            match self.pending.back_mut() {
                Some(last) => last.held.extend(held),
                None => {
                    effects.extend(held.into_iter().map(|(ticket, answer)| Effect::Answer { ticket, answer }))
                }
            }
            return Decision { change: None, records, may_split, effects };
        }
        let change = next(self.last_change);
        self.last_change = change;
        self.pending.push_back(Pending { change, staged, followups, held });
        Decision { change: Some(change), records, may_split, effects }
    }

    /// The change and all before it are committed: what was held back until then is answered.
    pub fn committed(&mut self, upto: ChangeId, now_ms: i64) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(pending) = self.pending.pop_front_if(|pending| pending.change <= upto) {
            let mut turn = Turn::new(now_ms, &self.config, &mut self.deadlines, pending.change);
            for Staged { group, topic, partition, .. } in &pending.staged {
                if let Some(entry) = self.groups.entries.get_mut(group) {
                    let change = entry.offsets.settle(topic.as_str(), *partition, pending.change);
                    self.groups.offsets_count = self.groups.offsets_count.saturating_add_signed(change);
                }
            }
            for (_, followup) in pending.followups {
                self.groups.follow_up(followup, &mut turn);
            }
            for Staged { group, .. } in &pending.staged {
                self.groups.tidy(group);
            }
            debug_assert!(turn.outcome.records.is_empty(), "a commit decides nothing new");
            effects.append(&mut turn.outcome.effects);
            effects
                .extend(pending.held.into_iter().map(|(ticket, answer)| Effect::Answer { ticket, answer }));
        }
        effects
    }

    /// The records of the change could not be written; it and all changes after it are dropped.
    ///
    /// `error` is the log's; who waited is told what Kafka makes of it ([`response_error`]). Members of a group that
    /// could not write its assignment are to join again.
    pub fn failed(&mut self, from: ChangeId, error: ErrorCode, now_ms: i64) -> Vec<Effect> {
        self.failed_in_part(from, 0, error, now_ms)
    }

    /// Of the records of the change only the first `written` could be written: of a change whose records [may go into more
    /// than one batch](Decision::may_split). They hold, and are to be [`committed`](Self::committed) under the name of the
    /// change. The others of it, and all changes after it, are dropped as when it [`failed`](Self::failed); who waited for it
    /// is told so, and finds what is done already when it asks again.
    pub fn failed_in_part(
        &mut self,
        from: ChangeId,
        written: usize,
        error: ErrorCode,
        now_ms: i64,
    ) -> Vec<Effect> {
        let error = response_error(error);
        let mut effects = Vec::new();
        let mut held = Vec::new();
        let parted = self.pending.iter_mut().find(|pending| pending.change == from && written > 0);
        let kept = parted.map(|pending| pending.take_written(written));
        while let Some(pending) = self.pending.pop_back_if(|pending| pending.change >= from) {
            let mut turn = Turn::new(now_ms, &self.config, &mut self.deadlines, pending.change);
            for Staged { group, topic, partition, .. } in &pending.staged {
                if let Some(entry) = self.groups.entries.get_mut(group) {
                    entry.offsets.drop_change(topic.as_str(), *partition, pending.change);
                }
            }
            for (_, followup) in pending.followups.into_iter().rev() {
                self.groups.undo(followup, error, &mut turn);
            }
            for Staged { group, .. } in &pending.staged {
                self.groups.tidy(group);
            }
            debug_assert!(turn.outcome.records.is_empty(), "what failed is not tried again here");
            effects.append(&mut turn.outcome.effects);
            held.extend(pending.held.into_iter().rev());
        }
        self.pending.extend(kept);
        // In the order of their requests.
        effects.extend(held.into_iter().rev().map(|(ticket, answer)| failed_answer(ticket, answer, error)));
        effects
    }

    /// The change and all before it are not committed in time, and may still be. Who waits for the log alone is answered by
    /// the shell; those who wait here for what the log was to bring are told REQUEST_TIMED_OUT, as Kafka makes of it
    /// ([`response_error`]), and are to join again.
    pub fn timed_out(&mut self, upto: ChangeId, now_ms: i64) -> Vec<Effect> {
        let error = response_error(ErrorCode::RequestTimedOut);
        let mut effects = Vec::new();
        let count = self.pending.partition_point(|pending| pending.change <= upto);
        // The latest first, as in `failed`: it began where the one before it ended.
        for pending in self.pending.iter_mut().take(count).rev() {
            let mut turn = Turn::new(now_ms, &self.config, &mut self.deadlines, pending.change);
            let waited_for = |(_, followup): &mut (usize, Followup)| {
                matches!(followup, Followup::Assign { .. } | Followup::Replaced { .. })
            };
            let given_up: Vec<_> = pending.followups.extract_if(.., waited_for).collect();
            for (_, followup) in given_up.into_iter().rev() {
                self.groups.undo(followup, error, &mut turn);
            }
            debug_assert!(turn.outcome.records.is_empty(), "whoever is to join again is still a member");
            effects.append(&mut turn.outcome.effects);
        }
        effects
    }

    /// Ends the shard, as the coordinator moves or the broker stops: whoever waits is answered with `error`, and nothing
    /// is left.
    pub fn stop(&mut self, error: ErrorCode) -> Vec<Effect> {
        let mut turn = Turn::new(0, &self.config, &mut self.deadlines, self.last_change);
        for Entry { group, .. } in self.groups.entries.values_mut() {
            if let Some(Group::Classic(group)) = group {
                group.dismiss(error, &mut turn);
            }
        }
        let mut effects = turn.outcome.effects;
        for pending in self.pending.drain(..) {
            let held = pending.held.into_iter();
            effects.extend(held.map(|(ticket, answer)| failed_answer(ticket, answer, error)));
        }
        self.deadlines.clear();
        self.groups = Groups::default();
        effects
    }

    /// What the shard holds.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census { offsets: self.groups.offsets_count, ..Census::default() };
        for group in self.groups.entries.values().filter(|entry| entry.is_committed) {
            let Some(Group::Classic(group)) = &group.group else { continue };
            census.members += group.members_count();
            *match group.state() {
                State::Empty => &mut census.empty,
                State::PreparingRebalance => &mut census.preparing_rebalance,
                State::CompletingRebalance => &mut census.completing_rebalance,
                State::Stable => &mut census.stable,
            } += 1;
        }
        census
    }

    /// Every committed offset.
    pub fn committed_offsets(&self) -> impl Iterator<Item = CommittedOffset<'_>> {
        self.groups.entries.iter().flat_map(|(group, entry)| {
            entry.offsets.committed().map(move |(topic, partition, value)| CommittedOffset {
                group,
                topic,
                topic_id: value.topic_id,
                partition,
                offset: value.offset,
            })
        })
    }
}

fn next(change: ChangeId) -> ChangeId {
    ChangeId(change.0 + 1)
}

fn failed_answer(ticket: Ticket, answer: Answer, error: ErrorCode) -> Effect {
    Effect::Answer { ticket, answer: answer.into_failed(error) }
}

/// What a member is told when the log refused records: the coordinator is somewhere else, or will be back, or the fault is
/// not to be mended by trying again (Kafka's `CoordinatorOperationExceptionHelper`).
#[must_use]
pub fn response_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::NetworkException => ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        error => error,
    }
}
