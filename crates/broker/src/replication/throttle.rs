//! Throttles of replication (KIP-73): how much a broker sends to, and fetches for, replicas that are being filled.
//!
//! A throttle holds for the replicas that topics name, and for none that is in sync: an acknowledgement never waits for it.
//! It is a budget that fills up with time, at the rate that is set. Whoever copies takes as much as there is to have, and goes
//! on when the debt is paid: over seconds that is the rate. (Kafka counts bytes in windows of a second instead; what comes of
//! it is the same.)

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use ottla_env::Clock;
use ottla_types::config::broker::replication::{
    FOLLOWER_REPLICATION_THROTTLED_RATE, LEADER_REPLICATION_THROTTLED_RATE,
    REPLICA_ALTER_LOG_DIRS_IO_MAX_BYTES_PER_SECOND,
};
use ottla_types::config::{Layers, ThrottledReplicas, TopicConfig};
use ottla_types::{BrokerId, TopicId};

use super::Key;

/// A rate that is none.
const UNLIMITED: i64 = i64::MAX;

/// How long a budget fills up while nobody takes of it: so much may be had at once.
const FILLS_FOR: Duration = Duration::from_secs(1);

/// When to look again where nothing may pass at all.
const CLOSED_FOR: Duration = Duration::from_secs(1);

const NANOS: i128 = 1_000_000_000;

/// The throttles of a broker.
pub(crate) struct Throttles {
    /// Of what is sent to replicas elsewhere.
    pub(crate) leader: Throttle,
    /// Of what is fetched for replicas here.
    pub(crate) follower: Throttle,
    /// Of what is copied between log directories, of all replicas that move.
    pub(crate) moving: Throttle,
}

impl Throttles {
    /// Without a limit.
    pub(crate) fn new(me: BrokerId, clock: &Arc<dyn Clock>) -> Self {
        let throttle = || Throttle::new(me, Arc::clone(clock));
        Self { leader: throttle(), follower: throttle(), moving: throttle() }
    }

    /// Puts the broker's rates in force.
    pub(crate) fn set_rates(&self, layers: &Layers<'_>) {
        self.leader.set_rate(layers.get(&LEADER_REPLICATION_THROTTLED_RATE));
        self.follower.set_rate(layers.get(&FOLLOWER_REPLICATION_THROTTLED_RATE));
        self.moving.set_rate(layers.get(&REPLICA_ALTER_LOG_DIRS_IO_MAX_BYTES_PER_SECOND));
    }

    /// Puts in force which replicas of a topic are throttled.
    pub(crate) fn set_topic(&self, topic: TopicId, config: &TopicConfig) {
        self.leader.set_topic(topic, &config.leader_replication_throttled_replicas);
        self.follower.set_topic(topic, &config.follower_replication_throttled_replicas);
    }

    /// Forgets a topic that was deleted.
    pub(crate) fn forget(&self, topic: TopicId) {
        self.leader.set_topic(topic, &ThrottledReplicas::None);
        self.follower.set_topic(topic, &ThrottledReplicas::None);
    }
}

/// One of them.
pub(crate) struct Throttle {
    me: BrokerId,
    clock: Arc<dyn Clock>,
    budget: Mutex<Budget>,
    /// Whether a topic names any replica: as a rule none does, and then nobody looks further.
    has_topics: AtomicBool,
    topics: RwLock<BTreeMap<TopicId, ThrottledReplicas>>,
}

impl Throttle {
    fn new(me: BrokerId, clock: Arc<dyn Clock>) -> Self {
        let budget = Mutex::new(Budget::new(UNLIMITED, clock.monotonic()));
        Self { me, clock, budget, has_topics: AtomicBool::new(false), topics: RwLock::default() }
    }

    /// Whether this broker's part in the replication of a partition is throttled.
    pub(crate) fn holds_for(&self, (topic, index): Key) -> bool {
        if !self.has_topics.load(Ordering::Acquire) {
            return false;
        }
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(&topic).is_some_and(|replicas| replicas.contains(index, self.me))
    }

    /// How long nothing more may be copied of what is throttled; `None` if something may be now.
    pub(crate) fn closed_for(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.budget().closed_for(now)
    }

    /// Takes note of bytes of what is throttled.
    pub(crate) fn spent(&self, bytes: usize) {
        let now = self.clock.monotonic();
        self.budget().spent(bytes, now);
    }

    fn set_rate(&self, rate: i64) {
        let now = self.clock.monotonic();
        let mut budget = self.budget();
        if budget.rate != rate {
            *budget = Budget::new(rate, now);
        }
    }

    fn set_topic(&self, topic: TopicId, replicas: &ThrottledReplicas) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if *replicas == ThrottledReplicas::None {
            topics.remove(&topic);
        } else {
            topics.insert(topic, replicas.clone());
        }
        self.has_topics.store(!topics.is_empty(), Ordering::Release);
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What may be copied. Pure: time is an argument.
#[derive(Debug)]
struct Budget {
    /// Bytes in a second.
    rate: i64,
    /// Billionths of bytes, so that a slow rate that is asked often loses nothing. Below 0 it is a debt.
    left: i128,
    at: Duration,
}

impl Budget {
    fn new(rate: i64, now: Duration) -> Self {
        Self { rate, left: 0, at: now }
    }

    fn fill(&mut self, now: Duration) {
        let rate = i128::from(self.rate);
        let nanos = |of: Duration| i128::try_from(of.as_nanos()).unwrap_or(i128::from(i64::MAX));
        let passed = nanos(now.saturating_sub(self.at));
        self.left = self.left.saturating_add(rate.saturating_mul(passed)).min(rate * nanos(FILLS_FOR));
        self.at = now;
    }

    fn closed_for(&mut self, now: Duration) -> Option<Duration> {
        match self.rate {
            UNLIMITED => None,
            ..1 => Some(CLOSED_FOR),
            rate => {
                self.fill(now);
                let nanos = (-self.left).checked_div(i128::from(rate)).unwrap_or(0);
                (self.left < 0).then(|| Duration::from_nanos(u64::try_from(nanos + 1).unwrap_or(u64::MAX)))
            }
        }
    }

    fn spent(&mut self, bytes: usize, now: Duration) {
        if self.rate == UNLIMITED {
            return;
        }
        self.fill(now);
        let bytes = i128::try_from(bytes).unwrap_or(i128::from(i64::MAX));
        self.left = self.left.saturating_sub(bytes.saturating_mul(NANOS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn without_a_rate_nothing_is_held_back() {
        let mut budget = Budget::new(UNLIMITED, ms(0));
        budget.spent(usize::MAX, ms(0));
        assert_eq!(budget.closed_for(ms(0)), None);
    }

    #[test]
    fn what_was_taken_is_waited_for_at_the_rate() {
        let mut budget = Budget::new(1_000, ms(0));
        assert_eq!(budget.closed_for(ms(0)), None);
        budget.spent(3_000, ms(0));
        let left = budget.closed_for(ms(1_000)).unwrap();
        assert!(left > ms(1_999) && left <= ms(2_001), "{left:?}");
        assert!(budget.closed_for(ms(2_999)).is_some());
        assert_eq!(budget.closed_for(ms(3_001)), None);
    }

    #[test]
    fn over_time_the_rate_is_met_however_it_is_taken() {
        let (mut budget, mut taken) = (Budget::new(10_000, ms(0)), 0);
        for now in 0..60_000 {
            if budget.closed_for(ms(now)).is_none() {
                budget.spent(700, ms(now));
                taken += 700;
            }
        }
        assert!((600_000..=600_700).contains(&taken), "{taken}");
    }

    #[test]
    fn a_slow_rate_that_is_asked_often_fills_up_all_the_same() {
        let mut budget = Budget::new(1, ms(0));
        budget.spent(1, ms(0));
        let open = (1..3_000).find(|now| budget.closed_for(ms(*now)).is_none());
        assert!((1_000..=1_001).contains(&open.unwrap()), "{open:?}");
    }

    #[test]
    fn who_waits_long_may_take_no_more_than_a_second_gives() {
        let mut budget = Budget::new(1_000, ms(0));
        budget.closed_for(ms(60_000));
        budget.spent(1_500, ms(60_000));
        assert!(budget.closed_for(ms(60_000)).is_some());
    }

    #[test]
    fn a_rate_of_nothing_lets_nothing_pass() {
        assert_eq!(Budget::new(0, ms(0)).closed_for(ms(9_000)), Some(CLOSED_FOR));
    }

    #[test]
    fn only_replicas_that_their_topic_names_are_throttled() {
        let clock = ottla_env::Env::real().clock;
        let throttle = Throttle::new(BrokerId(1), clock);
        let topic = TopicId([1; 16]);
        assert!(!throttle.holds_for((topic, 0)));
        throttle.set_topic(topic, &ThrottledReplicas::from_items(["0:1", "1:2"]));
        assert!(throttle.holds_for((topic, 0)));
        assert!(!throttle.holds_for((topic, 1)) && !throttle.holds_for((TopicId([2; 16]), 0)));
        throttle.set_topic(topic, &ThrottledReplicas::None);
        assert!(!throttle.holds_for((topic, 0)));
    }
}
