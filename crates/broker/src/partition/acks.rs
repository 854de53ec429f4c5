//! The waits of produce requests for the replicas that must have their batches (`acks=all`).
//!
//! A request waits for all of its partitions and is woken once. What becomes of each batch is decided where it happens, by
//! the change that settles it: the watermark that passes it, or the end of the leadership that it was appended in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI16, AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use ottla_types::{ErrorCode, LeaderEpoch, Offset};

use super::Partition;

/// Of a batch whose fate is open. No error has this code.
const OPEN: i16 = i16::MIN;

/// What becomes of the batches of one request.
#[derive(Debug)]
pub(crate) struct Acks {
    outcomes: Box<[AtomicI16]>,
    open: AtomicUsize,
    done: Notify,
}

impl Acks {
    /// For so many batches.
    pub(crate) fn new(batches: usize) -> Arc<Self> {
        Arc::new(Self {
            outcomes: (0..batches).map(|_| AtomicI16::new(OPEN)).collect(),
            open: AtomicUsize::new(batches),
            done: Notify::new(),
        })
    }

    /// Says what became of a batch. The first word counts.
    pub(crate) fn settle(&self, batch: usize, outcome: ErrorCode) {
        let Some(place) = self.outcomes.get(batch) else { return };
        let settled =
            place.compare_exchange(OPEN, outcome.code(), Ordering::AcqRel, Ordering::Acquire).is_ok();
        if settled && self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }

    /// Waits until all batches are settled, or until `deadline`. What is open then is REQUEST_TIMED_OUT.
    pub(crate) async fn settled(&self, deadline: Instant) -> Vec<ErrorCode> {
        if self.is_open() {
            // What is open at the deadline is seen below.
            let _elapsed = timeout_at(deadline, self.done.notified()).await;
        }
        let outcome = |place: &AtomicI16| match place.load(Ordering::Acquire) {
            OPEN => ErrorCode::RequestTimedOut,
            code => ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError),
        };
        self.outcomes.iter().map(outcome).collect()
    }
}

/// A batch that waits at its partition.
#[derive(Debug)]
struct Awaited {
    end: Offset,
    epoch: LeaderEpoch,
    acks: Arc<Acks>,
    batch: usize,
}

/// The batches that wait at one partition, by their ends.
#[derive(Debug, Default)]
pub(super) struct AwaitedBatches(VecDeque<Awaited>);

impl AwaitedBatches {
    /// Adds a batch that was appended in `epoch` and ends at `end`.
    pub(super) fn add(&mut self, epoch: LeaderEpoch, end: Offset, acks: &Arc<Acks>, batch: usize) {
        // Nearly always the last one.
        let behind = self.0.iter().rev().take_while(|awaited| awaited.end > end).count();
        self.0.insert(self.0.len() - behind, Awaited { end, epoch, acks: Arc::clone(acks), batch });
    }

    /// Takes out those that `high_watermark` has passed, as it came to do in the epoch of all of them.
    pub(super) fn committed(&mut self, high_watermark: Offset, settled: &mut Settled) {
        while let Some(first) = self.0.front()
            && first.end <= high_watermark
        {
            settled.0.extend(self.0.pop_front().map(|awaited| (awaited, ErrorCode::None)));
        }
    }

    /// Takes out those of which `verdict` knows what became of them.
    pub(super) fn review(
        &mut self,
        verdict: impl Fn(LeaderEpoch, Offset) -> Option<ErrorCode>,
        settled: &mut Settled,
    ) {
        for awaited in std::mem::take(&mut self.0) {
            match verdict(awaited.epoch, awaited.end) {
                Some(outcome) => settled.0.push((awaited, outcome)),
                None => self.0.push_back(awaited),
            }
        }
    }

    fn forget(&mut self, acks: &Arc<Acks>) {
        self.0.retain(|awaited| !Arc::ptr_eq(&awaited.acks, acks));
    }
}

/// Batches whose fate is known, to be told when no lock is held.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Settled(Vec<(Awaited, ErrorCode)>);

impl Settled {
    pub(super) fn tell(self) {
        for (Awaited { acks, batch, .. }, outcome) in self.0 {
            acks.settle(batch, outcome);
        }
    }
}

/// A request's place at a partition, which it leaves when dropped: its client may be gone, or its time be over.
pub(crate) struct AckPlace {
    pub(super) partition: Arc<Partition>,
    pub(super) acks: Arc<Acks>,
}

impl Drop for AckPlace {
    fn drop(&mut self) {
        if self.acks.is_open() {
            self.partition.progress().awaited.forget(&self.acks);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const EPOCH: LeaderEpoch = LeaderEpoch(1);

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[tokio::test]
    async fn a_request_is_woken_once_when_the_last_of_its_batches_is_settled() {
        let acks = Acks::new(2);
        let mut wait = Box::pin(acks.settled(later()));
        assert!(futures_util::poll!(&mut wait).is_pending());
        acks.settle(1, ErrorCode::None);
        assert!(futures_util::poll!(&mut wait).is_pending());
        acks.settle(0, ErrorCode::NotLeaderOrFollower);
        acks.settle(0, ErrorCode::None);
        assert_eq!(wait.await, [ErrorCode::NotLeaderOrFollower, ErrorCode::None]);
    }

    #[tokio::test]
    async fn what_is_open_when_the_time_is_over_has_timed_out() {
        let acks = Acks::new(2);
        acks.settle(0, ErrorCode::None);
        assert_eq!(acks.settled(Instant::now()).await, [ErrorCode::None, ErrorCode::RequestTimedOut]);
    }

    #[tokio::test]
    async fn a_watermark_settles_what_it_has_passed_in_whatever_order_it_came() {
        let acks = Acks::new(3);
        let mut awaited = AwaitedBatches::default();
        for (batch, end) in [10, 30, 20].into_iter().enumerate() {
            awaited.add(EPOCH, Offset(end), &acks, batch);
        }
        let mut settled = Settled::default();
        awaited.committed(Offset(20), &mut settled);
        assert_eq!(awaited.0.len(), 1);
        awaited.review(|_, end| (end > Offset(30)).then_some(ErrorCode::None), &mut settled);
        assert_eq!(awaited.0.len(), 1, "nobody knows what becomes of it");
        awaited.review(|_, _| Some(ErrorCode::NotEnoughReplicasAfterAppend), &mut settled);
        settled.tell();
        let expected = [ErrorCode::None, ErrorCode::NotEnoughReplicasAfterAppend, ErrorCode::None];
        assert_eq!(acks.settled(later()).await, expected);
        assert!(awaited.0.is_empty());
    }

    #[test]
    fn who_leaves_is_forgotten_and_others_stay() {
        let (gone, there) = (Acks::new(1), Acks::new(1));
        let mut awaited = AwaitedBatches::default();
        awaited.add(EPOCH, Offset(1), &gone, 0);
        awaited.add(EPOCH, Offset(2), &there, 0);
        awaited.forget(&gone);
        assert_eq!(awaited.0.len(), 1);
        assert!(Arc::ptr_eq(&awaited.0[0].acks, &there));
    }
}
