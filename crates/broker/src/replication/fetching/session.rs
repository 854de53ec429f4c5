//! One connection's fetch session, on the follower's side (KIP-227): a request names only the partitions of which something
//! else is wanted than the leader's broker remembers. Pure.
//!
//! What is not here: which partitions are fetched at all, and what becomes of an answer.

use std::collections::{BTreeMap, BTreeSet};

use ottla_types::{LeaderEpoch, Offset};

use crate::replication::Key;

/// The id of a request without a session.
const NO_SESSION: i32 = 0;

/// The epoch of a request that asks for a new session, and closes the one that it names.
const INITIAL_EPOCH: i32 = 0;

/// What is wanted of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Want {
    /// In which epoch the leader is believed to lead.
    pub(super) leader_epoch: LeaderEpoch,
    /// From where on.
    pub(super) offset: Offset,
    /// The epoch of the last record here; [`LeaderEpoch::NONE`] without one.
    pub(super) last_fetched_epoch: LeaderEpoch,
    /// Where the log here starts.
    pub(super) log_start: Offset,
}

/// A request, as far as the session is concerned.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) session_id: i32,
    pub(super) session_epoch: i32,
    /// The partitions that are new or changed, in order.
    pub(super) ask: Vec<(Key, Want)>,
    /// The partitions that are fetched no more, in order.
    pub(super) forget: Vec<Key>,
}

/// What is fetched by a connection, and what the other side remembers of it.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: i32,
    /// Of the next request; 0 asks for a new session.
    epoch: i32,
    /// Whether a request was made since the session began anew, so that the other side knows what it named.
    is_made: bool,
    wants: BTreeMap<Key, Want>,
    /// What differs from what the other side remembers; where there is no session that is all of it.
    unsent: BTreeSet<Key>,
    /// What the other side remembers and is to forget.
    forgotten: BTreeSet<Key>,
}

impl Session {
    /// Whether nothing is fetched.
    pub(super) fn is_empty(&self) -> bool {
        self.wants.is_empty()
    }

    /// What is wanted of a partition, if it is fetched.
    pub(super) fn want(&self, key: Key) -> Option<&Want> {
        self.wants.get(&key)
    }

    /// Fetches a partition, or fetches it otherwise than before.
    pub(super) fn put(&mut self, key: Key, want: Want) {
        self.forgotten.remove(&key);
        if self.wants.insert(key, want) != Some(want) {
            self.unsent.insert(key);
        }
    }

    /// Fetches a partition no more.
    pub(super) fn drop(&mut self, key: Key) {
        if self.wants.remove(&key).is_none() {
            return;
        }
        self.unsent.remove(&key);
        if self.is_made {
            // It may never have been sent; what the other side does not know it forgets all the same.
            self.forgotten.insert(key);
        }
    }

    /// The next request. What it says counts as known to the other side: an answer that does not come is a
    /// [`Self::restart`].
    pub(super) fn next(&mut self) -> Plan {
        self.is_made = true;
        let keys = if self.epoch == INITIAL_EPOCH {
            self.unsent.clear();
            self.forgotten.clear();
            return Plan {
                session_id: self.id,
                session_epoch: INITIAL_EPOCH,
                ask: self.wants.iter().map(|(key, want)| (*key, *want)).collect(),
                forget: Vec::new(),
            };
        } else {
            std::mem::take(&mut self.unsent)
        };
        Plan {
            session_id: self.id,
            session_epoch: self.epoch,
            ask: keys.into_iter().filter_map(|key| Some((key, *self.wants.get(&key)?))).collect(),
            forget: std::mem::take(&mut self.forgotten).into_iter().collect(),
        }
    }

    /// Takes the session's id from an answer without an error.
    pub(super) fn answered(&mut self, session_id: i32) {
        if session_id == NO_SESSION {
            // The other side has no room for a session: every request says everything.
            self.restart();
            return;
        }
        self.id = session_id;
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
    }

    /// Begins anew with the next request: the other side does not know the session, or may not know what was sent last. The
    /// old session is named, so that it is closed if it is there. Returns whether there was one.
    pub(super) fn restart(&mut self) -> bool {
        self.is_made = false;
        std::mem::replace(&mut self.epoch, INITIAL_EPOCH) != INITIAL_EPOCH
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
