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
use crate::replication::throttle::Throttle;

pub(super) struct State {
    pub(super) session: Session,
    followed: BTreeMap<Key, Arc<Following>>,
    /// Of these something else may be wanted than before.
    touched: BTreeSet<Key>,
    /// Whether some of those came since the last request.
    has_new: bool,
    rests: Rests<Key>,
    troubles: Troubles,
    /// Those that a throttle holds back, and until when.
    held_back: BTreeSet<Key>,
    held_until: Option<Duration>,
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
            held_back: BTreeSet::new(),
            held_until: None,
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
        self.held_back.remove(&key);
        self.session.drop(key);
        self.rests.end(key);
        self.troubles.end(key);
    }

    /// Finds out what is wanted of those that are touched, have rested, or were held back by the throttle. Returns those that
    /// are to be flushed first.
    pub(super) fn look(&mut self, now: Duration, throttle: &Throttle) -> Vec<Arc<Following>> {
        self.touched.extend(self.rests.over(now));
        self.touched.append(&mut self.held_back);
        self.held_until = None;
        self.has_new = false;
        let mut to_flush = Vec::new();
        for key in std::mem::take(&mut self.touched) {
            let Some(following) = self.followed.get(&key) else { continue };
            match following.next() {
                Next::Ask(want) => match closed_for(throttle, following) {
                    None => self.session.put(key, want),
                    Some(closed_for) => {
                        self.session.drop(key);
                        self.held_back.insert(key);
                        self.held_until = Some(now + closed_for);
                    }
                },
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

    /// When there may be something to ask for again.
    pub(super) fn next_look(&self) -> Option<Duration> {
        self.rests.next().into_iter().chain(self.held_until).min()
    }

    /// Whether there are partitions that a request which is under way knows nothing of.
    pub(super) fn has_new(&self) -> bool {
        self.has_new
    }

    /// When a request is to be back, since somebody waits for a partition that rests until then.
    pub(super) fn awaited_at(&self) -> Option<Duration> {
        self.rests.next_hopeful()
    }
}

/// How long a partition is held back. One that is in sync is not: acknowledgements wait for it.
fn closed_for(throttle: &Throttle, following: &Following) -> Option<Duration> {
    if !throttle.holds_for(following.key()) || following.partition.is_in_sync() {
        return None;
    }
    throttle.closed_for()
}
