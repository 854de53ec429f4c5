//! The leader's side: appends, the fetches of followers, and who waits for the replicas.

use std::sync::Arc;

use ottla_log::Appended;
use ottla_records::Prepared;
use ottla_replica::{Change, EpochEnd, Fetched, FollowerFetch, FollowerState};
use ottla_types::{BrokerId, ErrorCode, LeaderEpoch, Offset};

use super::Partition;
use super::acks::{AckPlace, Acks};
use super::progress::Progress;
use crate::waiters::For;

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// This broker does not lead the partition in the epoch in which the batch was checked.
    #[error("this broker does not lead the partition in epoch {0} any more")]
    NotLeader(LeaderEpoch),
    #[error(transparent)]
    Log(#[from] ottla_log::Error),
}

impl AppendError {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader(_) => ErrorCode::NotLeaderOrFollower,
            Self::Log(error) => error.code(),
        }
    }
}

impl Partition {
    /// Appends a batch as the leader of `epoch`, and tells those who wait for it: followers at once, and others when it is
    /// committed.
    pub(crate) async fn append(
        &self,
        batch: Prepared,
        epoch: LeaderEpoch,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        let _tenure = self.tenure().await;
        let leadership = self.leadership();
        if !leadership.is_leader || leadership.epoch != epoch {
            return Err(AppendError::NotLeader(epoch));
        }
        let (records, size) = (batch.header().records_count, batch.size_bytes());
        let appended = self.log.append(batch, epoch, now_ms).await?;
        if appended.duplicate {
            self.traffic.note_append(0, 0);
        } else {
            self.traffic.note_append(u64::try_from(records).unwrap_or(0), size);
            let (end, flushed) = (appended.end_offset(), self.log.flushed_offset());
            let note = |progress: &mut Progress| {
                // A flush that ended before the batch was noted here has told nobody of it.
                let counted = if appended.flush_due { flushed } else { end };
                progress.share = progress.share.max(counted);
                progress.note_batch(end, size);
            };
            self.drive_noting(note, |replica, ends, now| (replica.appended(ends, now), ()));
            self.waiters.came(For::End, size);
        }
        if appended.flush_due {
            // Whatever becomes of the producer, and whether or not it waits.
            self.log.request_flush();
        }
        Ok(appended)
    }

    /// Whether what was appended in `epoch`, up to `end`, is committed.
    pub(crate) fn is_committed(&self, epoch: LeaderEpoch, end: Offset) -> bool {
        self.high_watermark_in(epoch).is_some_and(|high_watermark| high_watermark >= end)
    }

    /// Settles `batch` of `acks` when all replicas in sync have what was appended up to `end` in `epoch`, or when it is certain
    /// that nobody will tell here. It may be settled already: then there is no place to keep.
    pub(crate) fn await_replicas(
        self: &Arc<Self>,
        epoch: LeaderEpoch,
        end: Offset,
        acks: &Arc<Acks>,
        batch: usize,
    ) -> Option<AckPlace> {
        let mut progress = self.progress();
        let outcome = progress.replica.acknowledged(epoch, end).error();
        if outcome.is_none() {
            progress.awaited.add(epoch, end, acks, batch);
        }
        drop(progress);
        match outcome {
            Some(outcome) => {
                acks.settle(batch, outcome);
                None
            }
            None => Some(AckPlace { partition: Arc::clone(self), acks: Arc::clone(acks) }),
        }
    }

    /// Takes note of a follower's fetch, which acknowledges all below its offset, before its records are read. The answer is
    /// where the logs part, if they do.
    ///
    /// # Errors
    /// Those of [`ottla_replica::Replica::fetched`].
    pub(crate) fn fetched(&self, fetch: &FollowerFetch) -> Result<Option<EpochEnd>, ErrorCode> {
        let fetched = self.drive(|replica, ends, now| {
            let epoch_end = |epoch| self.log.epoch_end_offset(epoch);
            match replica.fetched(fetch, ends, epoch_end, now) {
                Ok(Fetched::Read(change)) => (change, Ok(None)),
                Ok(Fetched::Diverges(end)) => (Change::default(), Ok(Some(end))),
                Err(error) => (Change::default(), Err(error)),
            }
        });
        if self.waiters.has(For::LowWatermark) {
            self.waiters.came(For::LowWatermark, 1);
        }
        fetched
    }

    /// What this leader knows of its followers; empty if it does not lead.
    pub(crate) fn followers(&self) -> Vec<FollowerState> {
        let now = self.hosting.clock.monotonic();
        self.progress().replica.followers(now)
    }

    /// The lowest start of the logs of all replicas whose brokers live; `None` as long as one of them has not said where its
    /// log starts (KIP-107).
    pub(crate) fn low_watermark(&self, lives: impl Fn(BrokerId) -> bool) -> Option<Offset> {
        let start = self.log.start_offset();
        let others = self.followers().into_iter().filter(|follower| lives(follower.broker));
        others.map(|follower| follower.log_start).try_fold(start, |low, start| Some(low.min(start?)))
    }
}
