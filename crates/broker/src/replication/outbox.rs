//! What waits to be asked of the active controller: one request under way at a time, of so many partitions at most, and
//! asked again after a rest where it failed. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Key;

/// The first rest after a failure: about what a controller's tick takes.
const SHORTEST_REST: Duration = Duration::from_millis(50);

/// The longest: a controller that is back is not to be waited for.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// What is wished for partitions, until it is answered.
#[derive(Debug, Clone)]
pub(super) struct Outbox<T> {
    /// How many partitions a request names at most.
    most: usize,
    wishes: BTreeMap<Key, T>,
    /// Of those, what is to be sent.
    waiting: BTreeSet<Key>,
    under_way: Option<BTreeMap<Key, T>>,
    rests: Rests,
}

/// The rests after requests that failed: they grow until one is answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Rests {
    until: Duration,
    failures: u32,
}

impl Rests {
    /// Until when to rest; `None` if there is no need to.
    pub(super) fn until(&self, now: Duration) -> Option<Duration> {
        (now < self.until).then_some(self.until)
    }

    /// A request failed.
    pub(super) fn begin(&mut self, now: Duration) {
        let rest = SHORTEST_REST.saturating_mul(1 << self.failures.min(10)).min(LONGEST_REST);
        self.until = now + rest;
        self.failures = self.failures.saturating_add(1);
    }

    /// A request was answered.
    pub(super) fn end(&mut self) {
        self.failures = 0;
    }
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    /// A request is to be sent.
    Send(BTreeMap<Key, T>),
    /// Nothing until then.
    Rest(Duration),
    /// Nothing until something happens.
    Nothing,
}

impl<T: Clone + PartialEq> Outbox<T> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            wishes: BTreeMap::new(),
            waiting: BTreeSet::new(),
            under_way: None,
            rests: Rests::default(),
        }
    }

    /// Wishes something for a partition, instead of what was wished before.
    pub(super) fn wish(&mut self, key: Key, wish: T) {
        let is_under_way = self.under_way.as_ref().and_then(|sent| sent.get(&key)) == Some(&wish);
        if is_under_way {
            self.waiting.remove(&key);
        } else {
            self.waiting.insert(key);
        }
        self.wishes.insert(key, wish);
    }

    /// Wishes nothing for a partition any more. What is under way stays so.
    pub(super) fn withdraw(&mut self, key: Key) {
        self.wishes.remove(&key);
        self.waiting.remove(&key);
    }

    /// What to send, if anything. It is under way from then on.
    pub(super) fn next(&mut self, now: Duration) -> Next<T> {
        if self.under_way.is_some() || self.waiting.is_empty() {
            return Next::Nothing;
        }
        if let Some(until) = self.rests.until(now) {
            return Next::Rest(until);
        }
        let keys: Vec<Key> = self.waiting.iter().take(self.most).copied().collect();
        let mut sent = BTreeMap::new();
        for key in keys {
            self.waiting.remove(&key);
            sent.extend(self.wishes.get(&key).map(|wish| (key, wish.clone())));
        }
        self.under_way = Some(sent.clone());
        Next::Send(sent)
    }

    /// The request under way was answered. Returns what it asked; that is not wished any more.
    pub(super) fn answered(&mut self) -> BTreeMap<Key, T> {
        self.rests.end();
        let sent = self.under_way.take().unwrap_or_default();
        for (key, wish) in &sent {
            if self.wishes.get(key) == Some(wish) {
                self.withdraw(*key);
            }
        }
        sent
    }

    /// The request under way failed: what is still wished is asked again after a rest. Returns what it asked.
    pub(super) fn failed(&mut self, now: Duration) -> BTreeMap<Key, T> {
        self.rests.begin(now);
        let sent = self.under_way.take().unwrap_or_default();
        self.waiting.extend(sent.keys().filter(|key| self.wishes.contains_key(key)));
        sent
    }
}

#[cfg(test)]
mod tests {
    use ottla_types::TopicId;

    use super::*;

    const fn key(index: i32) -> Key {
        (TopicId([1; 16]), index)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn send<T: Clone>(sent: &[(i32, T)]) -> Next<T> {
        Next::Send(sent.iter().map(|(index, wish)| (key(*index), wish.clone())).collect())
    }

    #[test]
    fn requests_go_one_at_a_time_and_name_so_many_partitions_at_most() {
        let mut outbox = Outbox::new(2);
        for index in 0..3 {
            outbox.wish(key(index), 'a');
        }
        assert_eq!(outbox.next(ms(0)), send(&[(0, 'a'), (1, 'a')]));
        assert_eq!(outbox.next(ms(0)), Next::Nothing);
        assert_eq!(outbox.answered().len(), 2);
        assert_eq!(outbox.next(ms(0)), send(&[(2, 'a')]));
        outbox.answered();
        assert_eq!(outbox.next(ms(0)), Next::Nothing);
    }

    #[test]
    fn what_failed_is_asked_again_after_rests_that_grow_and_end() {
        let mut outbox = Outbox::new(2);
        outbox.wish(key(0), 'a');
        let mut now = ms(0);
        let mut rests = Vec::new();
        for _ in 0..8 {
            assert_eq!(outbox.next(now), send(&[(0, 'a')]));
            outbox.failed(now);
            let Next::Rest(until) = outbox.next(now) else { panic!("it does not rest") };
            rests.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(rests, [50, 100, 200, 400, 800, 1000, 1000, 1000]);
        assert_eq!(outbox.next(now), send(&[(0, 'a')]));
        outbox.answered();
        outbox.wish(key(0), 'b');
        assert_eq!(outbox.next(now), send(&[(0, 'b')]));
        outbox.failed(now);
        assert_eq!(outbox.next(now), Next::Rest(now + ms(50)));
    }

    #[test]
    fn a_wish_that_changes_under_way_is_sent_after_and_one_that_does_not_is_not() {
        let mut outbox = Outbox::new(2);
        outbox.wish(key(0), 'a');
        outbox.next(ms(0));
        outbox.wish(key(0), 'a');
        outbox.answered();
        assert_eq!(outbox.next(ms(0)), Next::Nothing);

        outbox.wish(key(0), 'b');
        outbox.next(ms(0));
        outbox.wish(key(0), 'c');
        outbox.answered();
        assert_eq!(outbox.next(ms(0)), send(&[(0, 'c')]));
        outbox.withdraw(key(0));
        outbox.failed(ms(0));
        assert_eq!(outbox.next(ms(5000)), Next::Nothing, "nobody wishes it any more");
    }
}
