//! What a fetcher is told to fetch and to fetch no more, kept until it looks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::following::Following;
use crate::replication::Key;

/// What is new for a fetcher: by partition, what it is to copy from now on, or `None`.
pub(super) type News = BTreeMap<Key, Option<Arc<Following>>>;

/// Between whoever assigns partitions and one fetcher.
#[derive(Default)]
pub(super) struct Orders {
    inner: Mutex<Inner>,
    added: Notify,
}

#[derive(Default)]
struct Inner {
    news: News,
    is_over: bool,
}

impl Orders {
    /// Gives orders; of two for a partition the later counts.
    pub(super) fn give(&self, news: News) {
        self.lock().news.extend(news);
        self.added.notify_one();
    }

    /// Ends the fetcher.
    pub(super) fn end(&self) {
        self.lock().is_over = true;
        self.added.notify_one();
    }

    /// What was ordered since the last time; `None` at the end.
    pub(super) fn take(&self) -> Option<News> {
        let mut inner = self.lock();
        (!inner.is_over).then(|| std::mem::take(&mut inner.news))
    }

    /// Waits until there may be something to take. For one task. Safe to cancel.
    pub(super) async fn changed(&self) {
        self.added.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
