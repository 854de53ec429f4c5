//! Traffic by topic and over all of them, as Kafka's `BrokerTopicMetrics` counts it.
//!
//! A partition holds the counts of its topic and of the broker, so that nothing is looked up where records go by.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ottla_types::{ErrorCode, TopicId, TopicName};

/// Counts of one topic, or of all.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(super) messages_in: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    /// To followers. Kept for all topics only.
    pub(super) replication_bytes_out: AtomicU64,
    pub(super) bytes_rejected: AtomicU64,
    pub(super) produce_requests: AtomicU64,
    pub(super) failed_produce_requests: AtomicU64,
    pub(super) fetch_requests: AtomicU64,
    pub(super) failed_fetch_requests: AtomicU64,
}

/// Where a topic's traffic is counted: its own, and that of the broker.
#[derive(Debug, Clone)]
pub(crate) struct TopicTraffic {
    own: Arc<Counts>,
    all: Arc<Counts>,
}

/// The traffic of all topics that this broker has partitions of.
#[derive(Debug, Default)]
pub(crate) struct TopicMetrics {
    pub(super) all: Arc<Counts>,
    by_id: Mutex<HashMap<TopicId, (TopicName, Arc<Counts>)>>,
}

impl TopicMetrics {
    /// Where the traffic of a topic is counted.
    pub(crate) fn of(&self, id: TopicId, name: &TopicName) -> TopicTraffic {
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, own) = by_id.entry(id).or_insert_with(|| (name.clone(), Arc::default()));
        TopicTraffic { own: Arc::clone(own), all: Arc::clone(&self.all) }
    }

    /// Forgets a topic that is deleted. It stays in the sum of all.
    pub(crate) fn forget(&self, id: TopicId) {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// A partition that could not be read because this broker does not have it.
    pub(crate) fn note_fetch_of_unknown(&self) {
        self.all.fetched(0, true);
    }

    /// A partition that could not be written to because this broker does not have it.
    pub(crate) fn note_produce_to_unknown(&self) {
        self.all.refused();
    }

    /// The counts by topic, in the order of the names.
    pub(super) fn by_topic(&self) -> Vec<(TopicName, Arc<Counts>)> {
        let by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        let mut topics: Vec<_> = by_id.values().cloned().collect();
        drop(by_id);
        topics.sort_by(|(one, _), (other, _)| one.cmp(other));
        topics
    }
}

impl TopicTraffic {
    /// A batch was appended; of a duplicate nothing was.
    pub(crate) fn note_append(&self, records: u64, size_bytes: usize) {
        for counts in [&self.own, &self.all] {
            counts.produce_requests.fetch_add(1, Ordering::Relaxed);
            counts.messages_in.fetch_add(records, Ordering::Relaxed);
            counts.bytes_in.fetch_add(size_bytes as u64, Ordering::Relaxed);
        }
    }

    /// A batch of `size_bytes` was refused.
    pub(crate) fn note_refused(&self, error: ErrorCode, size_bytes: usize) {
        let too_large = matches!(error, ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge);
        for counts in [&self.own, &self.all] {
            counts.refused();
            if too_large {
                counts.bytes_rejected.fetch_add(size_bytes as u64, Ordering::Relaxed);
            }
        }
    }

    /// A follower was answered for a partition.
    pub(crate) fn note_follower_fetch(&self, size_bytes: usize, failed: bool) {
        for counts in [&self.own, &self.all] {
            counts.fetched(0, failed);
        }
        self.all.replication_bytes_out.fetch_add(size_bytes as u64, Ordering::Relaxed);
    }

    /// A partition was answered for, with `size_bytes` of records or with an error.
    pub(crate) fn note_fetch(&self, size_bytes: usize, failed: bool) {
        for counts in [&self.own, &self.all] {
            counts.fetched(size_bytes, failed);
        }
    }
}

impl Counts {
    fn refused(&self) {
        self.produce_requests.fetch_add(1, Ordering::Relaxed);
        self.failed_produce_requests.fetch_add(1, Ordering::Relaxed);
    }

    fn fetched(&self, size_bytes: usize, failed: bool) {
        self.fetch_requests.fetch_add(1, Ordering::Relaxed);
        if size_bytes > 0 {
            self.bytes_out.fetch_add(size_bytes as u64, Ordering::Relaxed);
        }
        if failed {
            self.failed_fetch_requests.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_is_deleted_stays_in_the_sum() {
        let metrics = TopicMetrics::default();
        let (id, name) = (TopicId::from_random([7; 16]), TopicName::new("t").unwrap());
        metrics.of(id, &name).note_append(3, 100);
        metrics.of(id, &name).note_append(2, 50);
        metrics.of(id, &name).note_refused(ErrorCode::MessageTooLarge, 9);
        metrics.of(id, &name).note_refused(ErrorCode::CorruptMessage, 9);
        let counts = |counts: &Counts| {
            let all =
                [&counts.messages_in, &counts.bytes_in, &counts.bytes_rejected, &counts.produce_requests];
            all.map(|count| count.load(Ordering::Relaxed))
        };
        assert_eq!(counts(&metrics.by_topic()[0].1), [5, 150, 9, 4]);
        metrics.forget(id);
        assert!(metrics.by_topic().is_empty());
        assert_eq!(counts(&metrics.all), [5, 150, 9, 4]);
    }
}
