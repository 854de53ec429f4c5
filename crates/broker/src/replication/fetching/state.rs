//! What a fetcher copies and what each partition is about: asked for, at rest after a failure, to be looked at again.
//!
//! No I/O: what is written is written by [`Following`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::following::{Following, Next};
use super::orders::News;
use super::rests::Rests;
use super::session::{Session, Want};
use super::troubles::{Trouble, Troubles};
use crate::replication::Key;

pub(super) struct State {
    pub(super) session: Session,
    followed: BTreeMap<Key, Arc<Following>>,
    /// Of these something else may be wanted than before.
    touched: BTreeSet<Key>,
    /// Whether some of those came since the last request.
    has_new: bool,
    rests: Rests<Key>,
    troubles: Troubles,
}

impl State {
    pub(super) fn new(longest_rest: Duration) -> Self {
        Self {
            session: Session::default(),
            followed: BTreeMap::new(),
            touched: BTreeSet::new(),
            has_new: false,
            rests: Rests::new(longest_rest),
            troubles: Troubles::default(),
        }
    }

    /// Carries out orders. Returns whether there are partitions that were not copied before.
    pub(super) fn take(&mut self, news: News) -> bool {
        let mut has_new = false;
        for (key, following) in news {
            self.leave(key);
            if let Some(following) = following {
                self.followed.insert(key, following);
                self.touched.insert(key);
                has_new = true;
            }
        }
        self.has_new |= has_new;
        has_new
    }

    /// Copies a partition no more.
    pub(super) fn leave(&mut self, key: Key) {
        self.followed.remove(&key);
        self.touched.remove(&key);
        self.session.drop(key);
        self.rests.end(key);
        self.troubles.end(key);
    }

    /// Finds out what is wanted of those that are touched, or have rested. Returns those that are to be flushed first.
    pub(super) fn look(&mut self, now: Duration) -> Vec<Arc<Following>> {
        self.touched.extend(self.rests.over(now));
        self.has_new = false;
        let mut to_flush = Vec::new();
        for key in std::mem::take(&mut self.touched) {
            let Some(following) = self.followed.get(&key) else { continue };
            match following.next() {
                Next::Ask(want) => self.session.put(key, want),
                Next::Nothing => self.session.drop(key),
                Next::Flush => {
                    self.session.drop(key);
                    self.touched.insert(key);
                    to_flush.push(Arc::clone(following));
                }
            }
        }
        to_flush
    }

    /// What an answer is about: what is copied, and what was asked for. It is to be looked at again.
    pub(super) fn asked(&mut self, key: Key) -> Option<(Arc<Following>, Want)> {
        let following = self.followed.get(&key)?;
        let want = *self.session.want(key)?;
        self.touched.insert(key);
        Some((Arc::clone(following), want))
    }

    /// An answer was carried out. Returns whether the log was told of a trouble that is over.
    pub(super) fn goes_on(&mut self, key: Key) -> bool {
        self.rests.end(key);
        self.troubles.end(key)
    }

    /// It failed, and is tried again after a rest. Returns whether the log is to be told.
    pub(super) fn failed(&mut self, key: Key, trouble: Trouble, now: Duration) -> bool {
        self.session.drop(key);
        self.touched.remove(&key);
        self.rests.begin(key, now);
        self.troubles.note(key, trouble)
    }

    /// When the next rest is over.
    pub(super) fn rested_at(&self) -> Option<Duration> {
        self.rests.next()
    }

    /// From when on a request that waits keeps somebody waiting: `None` for never.
    pub(super) fn is_pressing_at(&self) -> Option<Duration> {
        if self.has_new { Some(Duration::ZERO) } else { self.rests.next_hopeful() }
    }
}
