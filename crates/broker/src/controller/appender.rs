//! Takes decided batches to the metadata log, in the order in which they were decided, no more at once than it takes.
//!
//! A decision may be larger than what can be under way. So decisions queue here, and whoever decides does not wait. The
//! first batch that is not committed ends the leadership: what was decided after it was decided on it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use ottla_broadcast::{Appended, Appending, AtomicBroadcast, Refused as NotTaken};
use ottla_types::LeadershipEpoch;

/// How many of the largest batches may be under way: no implementation of the log takes fewer.
const BATCHES_UNDER_WAY: usize = 2;

/// What a batch takes besides its records, in bytes.
const BATCH_OVERHEAD_BYTES: usize = 256;

/// What a record takes besides its bytes, in bytes.
const RECORD_OVERHEAD_BYTES: usize = 4;

/// The batches of one decision, of which there is one at least.
pub(super) struct Decided {
    /// The leadership in which it was decided.
    pub(super) epoch: LeadershipEpoch,
    pub(super) batches: VecDeque<Vec<Bytes>>,
    /// Takes what became of the last one. If that is committed, all are.
    pub(super) done: oneshot::Sender<Appended>,
}

/// The task that appends.
pub(super) struct Appender {
    log: Arc<dyn AtomicBroadcast>,
    /// What is appended and not answered, in the order in which it will be.
    under_way: VecDeque<UnderWay>,
    bytes: usize,
    /// The leadership in which a batch was not committed.
    lost: Option<LeadershipEpoch>,
}

struct UnderWay {
    epoch: LeadershipEpoch,
    appending: Appending,
    weight: usize,
    done: Option<oneshot::Sender<Appended>>,
}

impl Appender {
    pub(super) fn new(log: Arc<dyn AtomicBroadcast>) -> Self {
        Self { log, under_way: VecDeque::new(), bytes: 0, lost: None }
    }

    /// Runs until nobody can decide any more.
    pub(super) async fn run(mut self, mut decided: mpsc::UnboundedReceiver<Decided>) {
        loop {
            let next = if self.under_way.is_empty() {
                decided.recv().await
            } else {
                tokio::select! {
                    biased;
                    () = self.settle() => continue,
                    next = decided.recv() => next,
                }
            };
            match next {
                Some(decided) => self.append(decided).await,
                None => break,
            }
        }
        while !self.under_way.is_empty() {
            self.settle().await;
        }
    }

    async fn append(&mut self, decided: Decided) {
        let Decided { epoch, mut batches, done } = decided;
        let mut done = Some(done);
        while let Some(batch) = batches.pop_front() {
            let done = if batches.is_empty() { done.take() } else { None };
            let weight = weight_of(&batch);
            match self.hand_over(epoch, batch, weight).await {
                Ok(appending) => {
                    self.bytes += weight;
                    self.under_way.push_back(UnderWay { epoch, appending, weight, done });
                }
                Err(why) => {
                    self.lose(epoch);
                    answer(done, Appended::Rejected(why));
                }
            }
        }
    }

    /// Hands a batch to the log when there is room for it.
    async fn hand_over(
        &mut self,
        epoch: LeadershipEpoch,
        batch: Vec<Bytes>,
        weight: usize,
    ) -> Result<Appending, NotTaken> {
        let most = self.log.max_batch_bytes().saturating_mul(BATCHES_UNDER_WAY);
        loop {
            while self.bytes.saturating_add(weight) > most && !self.under_way.is_empty() {
                self.settle().await;
            }
            if self.lost == Some(epoch) {
                return Err(NotTaken::NotLeading { asked: epoch, leader: None });
            }
            match self.log.append(epoch, batch.clone()) {
                Err(NotTaken::Busy { .. }) if !self.under_way.is_empty() => self.settle().await,
                taken => return taken,
            }
        }
    }

    /// Waits for what becomes of the oldest batch, and tells. Safe to cancel.
    async fn settle(&mut self) {
        let Some(oldest) = self.under_way.front_mut() else { return };
        let outcome = (&mut oldest.appending).await;
        let Some(UnderWay { epoch, weight, done, .. }) = self.under_way.pop_front() else { return };
        self.bytes = self.bytes.saturating_sub(weight);
        if !matches!(outcome, Appended::Committed(_)) {
            self.lose(epoch);
        }
        answer(done, outcome);
    }

    fn lose(&mut self, epoch: LeadershipEpoch) {
        self.lost = Some(epoch);
        self.log.resign(epoch);
    }
}

fn answer(done: Option<oneshot::Sender<Appended>>, outcome: Appended) {
    if let Some(done) = done {
        // Whoever asked may have gone.
        let _ = done.send(outcome);
    }
}

/// What a batch under way is counted for: its records with their lengths, and what holds them.
pub(super) fn weight_of(batch: &[Bytes]) -> usize {
    BATCH_OVERHEAD_BYTES + batch.iter().map(|record| record.len() + RECORD_OVERHEAD_BYTES).sum::<usize>()
}
