//! The fetchers of a broker, and which partitions each copies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinSet;

use ottla_env::process;
use ottla_types::LeaderEpoch;

use super::Shared;
use super::fetcher::Fetcher;
use super::following::Following;
use super::orders::{News, Orders};
use super::slots::{Slot, slot};
use crate::partition::Partition;
use crate::replication::Key;

/// Copies the partitions that this broker holds and others lead.
pub(crate) struct Fetchers {
    shared: Arc<Shared>,
    inner: Mutex<Inner>,
}

struct Inner {
    /// `num.replica.fetchers`.
    count: u32,
    followed: BTreeMap<Key, Place>,
    fetchers: BTreeMap<Slot, Hired>,
    tasks: JoinSet<()>,
    is_closed: bool,
}

/// A partition that is copied, and by whom.
struct Place {
    slot: Slot,
    epoch: LeaderEpoch,
    following: Arc<Following>,
}

/// A fetcher that runs.
struct Hired {
    orders: Arc<Orders>,
    /// How many partitions it has.
    partitions: usize,
}

impl Fetchers {
    /// Without a fetcher: each is started with its first partition.
    pub(super) fn over(shared: Shared) -> Self {
        let inner = Inner {
            count: 1,
            followed: BTreeMap::new(),
            fetchers: BTreeMap::new(),
            tasks: JoinSet::new(),
            is_closed: false,
        };
        Self { shared: Arc::new(shared), inner: Mutex::new(inner) }
    }

    /// Copies each of these partitions from the broker that it follows now, and from no other; one that follows nobody is
    /// copied no more.
    pub(crate) fn follow(&self, partitions: impl IntoIterator<Item = Arc<Partition>>) {
        let mut inner = self.lock();
        if inner.is_closed {
            return;
        }
        let mut news: BTreeMap<Slot, News> = BTreeMap::new();
        for partition in partitions {
            let key = (partition.topic_id, partition.id.partition);
            let Some((leader, epoch)) = partition.follows() else {
                inner.release(key, &mut news);
                continue;
            };
            let slot = slot(leader, key, inner.count);
            let is_same = |place: &Place| {
                (place.slot, place.epoch) == (slot, epoch)
                    && Arc::ptr_eq(&place.following.partition, &partition)
            };
            if inner.followed.get(&key).is_some_and(is_same) {
                continue;
            }
            inner.release(key, &mut news);
            let following = Arc::new(Following::new(partition, leader));
            news.entry(slot).or_default().insert(key, Some(Arc::clone(&following)));
            inner.hire(&self.shared, slot).partitions += 1;
            inner.followed.insert(key, Place { slot, epoch, following });
        }
        inner.give(news);
    }

    /// Copies these partitions no more. What is being written is written: see [`Partition::retire`].
    pub(crate) fn release(&self, keys: impl IntoIterator<Item = Key>) {
        let mut inner = self.lock();
        let mut news = BTreeMap::new();
        for key in keys {
            inner.release(key, &mut news);
        }
        inner.give(news);
    }

    /// Spreads the partitions over so many fetchers for each broker: `num.replica.fetchers`.
    pub(crate) fn resize(&self, count: u32) {
        let mut inner = self.lock();
        if inner.count == count {
            return;
        }
        inner.count = count;
        let moved: Vec<_> = inner
            .followed
            .iter()
            .filter(|(key, place)| slot(place.slot.leader, **key, count) != place.slot)
            .map(|(_, place)| Arc::clone(&place.following.partition))
            .collect();
        drop(inner);
        self.follow(moved);
    }

    /// Ends all fetchers, and waits until nothing is written by them any more.
    pub(crate) async fn close(&self) {
        let mut tasks = {
            let mut inner = self.lock();
            inner.is_closed = true;
            inner.followed.clear();
            for hired in std::mem::take(&mut inner.fetchers).into_values() {
                hired.orders.end();
            }
            std::mem::take(&mut inner.tasks)
        };
        while tasks.join_next().await.is_some() {}
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The fetcher of a slot, started if it does not run.
    fn hire(&mut self, shared: &Arc<Shared>, slot: Slot) -> &mut Hired {
        self.fetchers.entry(slot).or_insert_with(|| {
            let orders = Arc::<Orders>::default();
            let fetcher = Fetcher::new(Arc::clone(shared), slot, Arc::clone(&orders));
            process::spawn_in(&mut self.tasks, fetcher.run());
            Hired { orders, partitions: 0 }
        })
    }

    fn release(&mut self, key: Key, news: &mut BTreeMap<Slot, News>) {
        let Some(Place { slot, following, .. }) = self.followed.remove(&key) else { return };
        following.release();
        news.entry(slot).or_default().insert(key, None);
        if let Some(hired) = self.fetchers.get_mut(&slot) {
            hired.partitions = hired.partitions.saturating_sub(1);
        }
    }

    /// Gives orders to the fetchers that they are for, and ends those that have nothing to copy any more.
    fn give(&mut self, news: BTreeMap<Slot, News>) {
        for (slot, news) in news {
            let Some(hired) = self.fetchers.get(&slot) else { continue };
            if hired.partitions > 0 {
                hired.orders.give(news);
            } else {
                hired.orders.end();
                self.fetchers.remove(&slot);
            }
        }
        // Of those that ended nothing is kept.
        while self.tasks.try_join_next().is_some() {}
    }
}
