//! When to try again what failed: at once as far as a machine is concerned, and then more and more seldom, up to
//! `replica.fetch.backoff.ms`. Pure: time is an argument.
//!
//! Kafka waits that long every time. But what fails here most is what comes a moment too early: a follower hears of an
//! election before the new leader does, and the leader would have to wait a second for its first follower.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The first rest: about what it takes a change of the metadata to come to all brokers.
const SHORTEST: Duration = Duration::from_millis(5);

/// The rests of one thing that fails.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rest {
    last: Duration,
}

impl Rest {
    /// How long to rest now: twice as long as the last time, and at most so long.
    pub(super) fn next(&mut self, longest: Duration) -> Duration {
        let next = if self.last.is_zero() { SHORTEST } else { self.last.saturating_mul(2) };
        self.last = next.min(longest);
        self.last
    }

    /// It went well.
    pub(super) fn end(&mut self) {
        self.last = Duration::ZERO;
    }
}

/// The rests of many things.
#[derive(Debug)]
pub(super) struct Rests<K> {
    longest: Duration,
    /// Until when each rests. One that may go on keeps its last rest until it goes well.
    by_key: BTreeMap<K, (Rest, Option<Duration>)>,
    by_time: BTreeSet<(Duration, K)>,
}

impl<K: Ord + Copy> Rests<K> {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Has something rest from now on.
    pub(super) fn begin(&mut self, key: K, now: Duration) {
        let (rest, until) = self.by_key.entry(key).or_default();
        if let Some(until) = until.take() {
            self.by_time.remove(&(until, key));
        }
        let at = now.saturating_add(rest.next(self.longest));
        *until = Some(at);
        self.by_time.insert((at, key));
    }

    /// It went well, or is no matter any more.
    pub(super) fn end(&mut self, key: K) {
        if let Some((_, Some(until))) = self.by_key.remove(&key) {
            self.by_time.remove(&(until, key));
        }
    }

    /// Those that have rested long enough.
    pub(super) fn over(&mut self, now: Duration) -> Vec<K> {
        let mut over = Vec::new();
        while let Some(&(until, key)) = self.by_time.first().filter(|(until, _)| *until <= now) {
            self.by_time.remove(&(until, key));
            if let Some((_, until)) = self.by_key.get_mut(&key) {
                *until = None;
            }
            over.push(key);
        }
        over
    }

    /// When the next rest is over.
    pub(super) fn next(&self) -> Option<Duration> {
        self.by_time.first().map(|(until, _)| *until)
    }

    /// When the next rest is over of one that has not rested for its longest yet: somebody waits for it.
    pub(super) fn next_hopeful(&self) -> Option<Duration> {
        let is_hopeful = |key: &K| self.by_key.get(key).is_some_and(|(rest, _)| rest.last < self.longest);
        self.by_time.iter().find(|(_, key)| is_hopeful(key)).map(|(until, _)| *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn rests_double_up_to_the_longest() {
        let mut rest = Rest::default();
        let rests: Vec<_> = (0..6).map(|_| rest.next(ms(60))).collect();
        assert_eq!(rests, [ms(5), ms(10), ms(20), ms(40), ms(60), ms(60)]);
        rest.end();
        assert_eq!(rest.next(ms(60)), ms(5));
    }

    #[test]
    fn a_longest_rest_below_the_shortest_counts() {
        assert_eq!(Rest::default().next(ms(2)), ms(2));
        assert_eq!(Rest::default().next(ms(0)), ms(0));
    }

    #[test]
    fn each_rests_by_itself_and_is_over_in_its_time() {
        let mut rests = Rests::new(ms(1_000));
        rests.begin('a', ms(0));
        rests.begin('b', ms(3));
        assert_eq!(rests.next(), Some(ms(5)));
        assert_eq!(rests.over(ms(4)), []);
        assert_eq!(rests.over(ms(7)), ['a']);
        assert_eq!(rests.over(ms(8)), ['b']);
        assert_eq!(rests.next(), None);
    }

    #[test]
    fn who_fails_again_rests_longer_until_it_goes_well() {
        let mut rests = Rests::new(ms(1_000));
        rests.begin('a', ms(0));
        rests.over(ms(5));
        rests.begin('a', ms(5));
        assert_eq!(rests.next(), Some(ms(15)));
        rests.end('a');
        assert_eq!(rests.next(), None);
        rests.begin('a', ms(20));
        assert_eq!(rests.next(), Some(ms(25)));
    }

    #[test]
    fn nobody_waits_for_those_that_fail_for_long() {
        let mut rests = Rests::new(ms(10));
        rests.begin('a', ms(0));
        rests.over(ms(5));
        rests.begin('a', ms(5));
        rests.begin('b', ms(20));
        assert_eq!((rests.next(), rests.next_hopeful()), (Some(ms(15)), Some(ms(25))));
    }
}
