//! Which partitions' ISRs are to be looked at and asked for: one request under way at a time, of so many partitions at most, and
//! those of one that failed again after a rest. Pure: time is an argument.
//!
//! What is asked for is what a partition's machine wants when the request is made, and not when somebody had it looked at. The
//! machine also knows what was asked before, and has a partition looked at again after a refusal.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Key;
use super::outbox::Rests;

/// How many partitions a request names: other decisions of the controller are not to wait for thousands.
const MOST_AT_ONCE: usize = 1_000;

/// What is to be looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Asks {
    waiting: BTreeSet<Key>,
    under_way: Option<BTreeSet<Key>>,
    rests: Rests,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// These are to be looked at; what they want is one request.
    Look(BTreeSet<Key>),
    /// Nothing until then.
    Rest(Duration),
    /// Nothing until something happens.
    Nothing,
}

impl Asks {
    /// Has partitions looked at, also those of the request under way: they may want something else by now.
    pub(super) fn look(&mut self, keys: impl IntoIterator<Item = Key>) {
        self.waiting.extend(keys);
    }

    /// What to look at, if anything. It is under way from then on, until [`Self::done`] or [`Self::failed`].
    pub(super) fn next(&mut self, now: Duration) -> Next {
        if self.under_way.is_some() || self.waiting.is_empty() {
            return Next::Nothing;
        }
        if let Some(until) = self.rests.until(now) {
            return Next::Rest(until);
        }
        let rest = self.waiting.iter().nth(MOST_AT_ONCE).copied();
        let rest = rest.map(|first| self.waiting.split_off(&first)).unwrap_or_default();
        let keys = std::mem::replace(&mut self.waiting, rest);
        self.under_way = Some(keys.clone());
        Next::Look(keys)
    }

    /// What was under way is answered, or nothing was wanted.
    pub(super) fn done(&mut self) {
        self.under_way = None;
    }

    /// The request was answered.
    pub(super) fn answered(&mut self) {
        self.rests.end();
        self.done();
    }

    /// The request failed: its partitions are looked at again after a rest.
    pub(super) fn failed(&mut self, now: Duration) {
        self.rests.begin(now);
        self.waiting.extend(self.under_way.take().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use ottla_types::TopicId;

    use super::*;

    fn keys(indexes: impl IntoIterator<Item = i32>) -> BTreeSet<Key> {
        indexes.into_iter().map(|index| (TopicId([1; 16]), index)).collect()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn requests_go_one_at_a_time() {
        let mut asks = Asks::default();
        asks.look(keys([0, 1]));
        assert_eq!(asks.next(ms(0)), Next::Look(keys([0, 1])));
        asks.look(keys([2]));
        assert_eq!(asks.next(ms(0)), Next::Nothing);
        asks.answered();
        assert_eq!(asks.next(ms(0)), Next::Look(keys([2])));
        asks.done();
        assert_eq!(asks.next(ms(0)), Next::Nothing);
    }

    #[test]
    fn a_partition_that_changes_while_its_request_is_under_way_is_looked_at_after_it() {
        let mut asks = Asks::default();
        asks.look(keys([0]));
        asks.next(ms(0));
        asks.look(keys([0]));
        asks.answered();
        assert_eq!(asks.next(ms(0)), Next::Look(keys([0])));
    }

    #[test]
    fn what_failed_is_looked_at_again_after_a_rest_with_what_came_meanwhile() {
        let mut asks = Asks::default();
        asks.look(keys([0]));
        asks.next(ms(0));
        asks.look(keys([1]));
        asks.failed(ms(10));
        assert_eq!(asks.next(ms(10)), Next::Rest(ms(60)));
        assert_eq!(asks.next(ms(60)), Next::Look(keys([0, 1])));
        asks.failed(ms(60));
        assert_eq!(asks.next(ms(60)), Next::Rest(ms(160)), "rests grow");
        asks.next(ms(160));
        asks.answered();
        asks.look(keys([0]));
        asks.next(ms(160));
        asks.failed(ms(160));
        assert_eq!(asks.next(ms(160)), Next::Rest(ms(210)), "until an answer is there");
    }

    #[test]
    fn ten_thousand_partitions_are_ten_requests() {
        let mut asks = Asks::default();
        asks.look(keys(0..10_000));
        let (mut requests, mut looked_at) = (0, BTreeSet::new());
        while let Next::Look(keys) = asks.next(ms(0)) {
            requests += 1;
            looked_at.extend(keys);
            asks.answered();
        }
        assert_eq!((requests, looked_at), (10, keys(0..10_000)));
    }
}
