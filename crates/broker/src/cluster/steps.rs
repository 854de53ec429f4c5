//! What is replayed and waits to be carried out. Replaying must not wait for a slow disk, so that a leader can go on to
//! decide; and what waits is bounded, so that a disk that is stuck costs no memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use ottla_metadata::{Image, Record};

/// How many bytes of records may wait. Beyond that they are forgotten, and what to do is found by comparing images, which
/// looks at everything.
const MAX_WAITING_BYTES: usize = 16 << 20;

/// How many steps may wait.
const MAX_WAITING: usize = 10_000;

/// A way to go from one image to another.
pub(super) struct Step {
    /// Where it leads.
    pub(super) image: Arc<Image>,
    /// What leads there; `None` where that is not known any more.
    pub(super) records: Option<Vec<Record>>,
}

/// Steps, in their order.
#[derive(Default)]
pub(super) struct Steps {
    queue: Mutex<Queue>,
    added: Notify,
}

#[derive(Default)]
struct Queue {
    steps: VecDeque<Step>,
    bytes: usize,
    /// There will be no more.
    is_over: bool,
}

impl Steps {
    /// Adds a step of records that took `bytes` in the log.
    pub(super) fn add(&self, image: Image, records: Vec<Record>, bytes: usize) {
        let image = Arc::new(image);
        let mut queue = self.lock();
        queue.bytes = queue.bytes.saturating_add(bytes);
        if queue.bytes > MAX_WAITING_BYTES || queue.steps.len() >= MAX_WAITING {
            queue.replace(image);
        } else {
            queue.steps.push_back(Step { image, records: Some(records) });
        }
        drop(queue);
        self.added.notify_one();
    }

    /// Puts an image in place of all steps.
    pub(super) fn replace(&self, image: Image) {
        self.lock().replace(Arc::new(image));
        self.added.notify_one();
    }

    /// There will be no more.
    pub(super) fn end(&self) {
        self.lock().is_over = true;
        self.added.notify_one();
    }

    /// The next step, if there is one.
    pub(super) fn take(&self) -> Option<Step> {
        let mut queue = self.lock();
        let step = queue.steps.pop_front();
        if queue.steps.is_empty() {
            queue.bytes = 0;
        }
        step
    }

    /// Waits for the next step; `None` when there will be no more. For one task at a time. Safe to cancel.
    pub(super) async fn next(&self) -> Option<Step> {
        loop {
            if let Some(step) = self.take() {
                return Some(step);
            }
            if self.lock().is_over {
                return None;
            }
            self.added.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn replace(&mut self, image: Arc<Image>) {
        self.steps.clear();
        self.bytes = 0;
        self.steps.push_back(Step { image, records: None });
    }
}

#[cfg(test)]
mod tests {
    use ottla_metadata::record::{Config, ConfigResource};
    use ottla_types::Offset;

    use super::*;

    fn image(offset: i64) -> Image {
        let mut image = Image::default();
        let config = Config { resource: ConfigResource::ClusterDefault, key: "k".into(), value: None };
        for at in 0..=offset {
            image.replay(Offset(at), &Record::Config(config.clone())).unwrap();
        }
        image
    }

    #[tokio::test]
    async fn steps_come_in_their_order_and_end() {
        let steps = Steps::default();
        steps.add(image(0), Vec::new(), 1);
        steps.add(image(1), Vec::new(), 1);
        steps.end();
        assert_eq!(steps.next().await.unwrap().image.offset(), Some(Offset(0)));
        assert_eq!(steps.next().await.unwrap().image.offset(), Some(Offset(1)));
        assert!(steps.next().await.is_none());
    }

    #[test]
    fn what_would_take_too_much_memory_is_forgotten_but_for_where_it_leads() {
        let steps = Steps::default();
        steps.add(image(0), Vec::new(), MAX_WAITING_BYTES);
        steps.add(image(1), Vec::new(), 1);
        let step = steps.take().unwrap();
        assert_eq!(step.image.offset(), Some(Offset(1)));
        assert!(step.records.is_none());
        assert!(steps.take().is_none());
        steps.add(image(2), Vec::new(), MAX_WAITING_BYTES);
        assert!(steps.take().unwrap().records.is_some(), "what was taken counts no more");
    }
}
