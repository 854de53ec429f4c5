//! The coordinator of one offsets partition.

use ottla_types::{ErrorCode, Offset, TopicName};

use crate::config::GroupConfig;
use crate::effect::{ChangeId, Decision, Effect, Ticket};
use crate::record::RecordError;
use crate::request::Request;

/// The groups and the offsets of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct Shard {
    config: GroupConfig,
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

impl Shard {
    /// A shard that holds nothing yet.
    #[must_use]
    pub fn new(config: GroupConfig) -> Self {
        Self { config }
    }

    /// Replays one record of the log. Only before [`loaded`](Self::loaded).
    ///
    /// # Errors
    /// The record cannot be read; nothing changed.
    pub fn load(&mut self, key: &[u8], value: Option<&[u8]>, offset: Offset) -> Result<Loaded, RecordError> {
        let _ = (key, value, offset);
        Ok(Loaded::Applied)
    }

    /// Ends loading: the sessions of the members that were loaded start now.
    pub fn loaded(&mut self, now_ms: i64) {
        let _ = now_ms;
    }

    /// Decides a request.
    pub fn handle(&mut self, ticket: Ticket, request: Request, now_ms: i64) -> Decision {
        let _ = (ticket, request, now_ms, &self.config);
        Decision::default()
    }

    /// When [`tick`](Self::tick) has something to do next.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<i64> {
        None
    }

    /// Does what is due: sessions, rebalance timeouts, the initial delay.
    pub fn tick(&mut self, now_ms: i64) -> Decision {
        let _ = now_ms;
        Decision::default()
    }

    /// Deletes offsets whose retention is over, and empty groups without offsets. To be called every
    /// `offsets.retention.check.interval.ms`.
    pub fn expire_offsets(&mut self, now_ms: i64) -> Decision {
        let _ = now_ms;
        Decision::default()
    }

    /// Deletes the offsets of deleted topics in every group.
    pub fn delete_topic_offsets(&mut self, topics: &[TopicName], now_ms: i64) -> Decision {
        let _ = (topics, now_ms);
        Decision::default()
    }

    /// The change and all before it are committed: what was held back until then is answered.
    pub fn committed(&mut self, upto: ChangeId) -> Vec<Effect> {
        let _ = upto;
        Vec::new()
    }

    /// The records of the change could not be written; it and all changes after it are dropped.
    ///
    /// `error` is the log's; who waited is told what Kafka makes of it.
    pub fn failed(&mut self, from: ChangeId, error: ErrorCode, now_ms: i64) -> Vec<Effect> {
        let _ = (from, error, now_ms);
        Vec::new()
    }

    /// Ends the shard, as the coordinator moves or the broker stops: whoever waits is answered with `error`.
    pub fn stop(&mut self, error: ErrorCode) -> Vec<Effect> {
        let _ = error;
        Vec::new()
    }

    /// What the shard holds.
    #[must_use]
    pub fn census(&self) -> Census {
        Census::default()
    }
}
