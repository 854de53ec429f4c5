//! One turn of the machine: what a decision has at hand, and what it leaves behind.

use std::sync::Arc;

use bytes::Bytes;
use ottla_types::TopicName;

use crate::answer::Answer;
use crate::classic::Replacement;
use crate::config::GroupConfig;
use crate::deadlines::Deadlines;
use crate::effect::{ChangeId, Effect, Record, Ticket};
use crate::group::Group;

/// The time, the settings, the queue of deadlines, and what was decided so far.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now_ms: i64,
    pub(crate) config: &'a GroupConfig,
    pub(crate) deadlines: &'a mut Deadlines,
    /// The name that the records of this turn will have, if there are any.
    pub(crate) change: ChangeId,
    pub(crate) outcome: Outcome,
}

/// What a turn decided.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) records: Vec<Record>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) staged: Vec<Staged>,
    /// Each with the number of this turn's records that it takes: the first so many.
    pub(crate) followups: Vec<(usize, Followup)>,
    pub(crate) held: Vec<(Ticket, Answer)>,
    /// Whether each record is right without the others.
    pub(crate) may_split: bool,
}

/// Names an offset that a change sets or deletes.
#[derive(Debug, Clone)]
pub(crate) struct Staged {
    pub(crate) group: Arc<str>,
    pub(crate) topic: TopicName,
    pub(crate) partition: i32,
    /// How many of the change's records it takes: the first so many.
    pub(crate) takes: usize,
}

/// What a group does when the records of a change are committed, or when they cannot be written.
#[derive(Debug)]
pub(crate) enum Followup {
    /// The group came to be.
    Created { group: Arc<str> },
    /// The group was deleted; it comes back if that fails.
    Deleted { group: Arc<str>, was: Box<Group> },
    /// The leader's assignment of a generation: members are told when it is committed.
    Assign { group: Arc<str>, generation: i32, assignments: Vec<(Arc<str>, Bytes)> },
    /// A static member came back with a new id.
    Replaced { group: Arc<str>, replacement: Box<Replacement> },
}

impl<'a> Turn<'a> {
    pub(crate) fn new(
        now_ms: i64,
        config: &'a GroupConfig,
        deadlines: &'a mut Deadlines,
        change: ChangeId,
    ) -> Self {
        Self { now_ms, config, deadlines, change, outcome: Outcome::default() }
    }

    /// Answers at once.
    pub(crate) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.outcome.effects.push(Effect::Answer { ticket, answer });
    }

    /// Answers when this turn's records are committed; without records, when those of all turns before it are, so that
    /// no answer tells of what may still be dropped.
    pub(crate) fn answer_when_committed(&mut self, ticket: Ticket, answer: Answer) {
        self.outcome.held.push((ticket, answer));
    }

    pub(crate) fn record(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.outcome.records.push(Record { key, value });
    }

    /// Has a group do something once the records so far are committed, or cannot be written.
    pub(crate) fn follow_up(&mut self, followup: Followup) {
        self.outcome.followups.push((self.outcome.records.len(), followup));
    }
}
