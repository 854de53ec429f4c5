//! One partition as a fetcher copies it: from a leader, until it is released.
//!
//! What the answer of a leader means is decided by the partition's machine (crate `replica`); here it is carried out on the
//! log. What is not here: requests, and when they are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{info, warn};

use ottla_env::process;
use ottla_replica::{EpochEnd, FetchAnswer, FetchFrom, NextFetch, Step, Truncation};
use ottla_types::{BrokerId, ErrorCode, LeaderEpoch, Offset};
use ottla_wire::Records;
use ottla_wire::fetch::PartitionData;

use super::session::Want;
use super::troubles::Trouble;
use crate::partition::{Partition, ReplicaCuts};
use crate::replication::Key;

/// A partition that is copied from its leader.
pub(super) struct Following {
    pub(super) partition: Arc<Partition>,
    pub(super) leader: BrokerId,
    /// Nobody wants it copied from that leader any more: answers that still come go to waste.
    is_released: AtomicBool,
}

/// What to ask for next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Ask(Want),
    /// Nothing before the log is durable up to its end: a fetch from there would acknowledge it.
    Flush,
    /// Nothing: this broker does not follow that leader any more, and will hear of it.
    Nothing,
}

/// What became of an answer.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The next request asks for more. So many bytes of records were written.
    GoesOn(usize),
    /// It is to be tried again after a rest.
    Failed(Trouble, String),
    /// The disk here failed: it is not tried again.
    Lost(String),
    /// The partition is copied from there no more.
    Released,
}

impl Following {
    pub(super) fn new(partition: Arc<Partition>, leader: BrokerId) -> Self {
        Self { partition, leader, is_released: AtomicBool::new(false) }
    }

    pub(super) fn key(&self) -> Key {
        (self.partition.topic_id, self.partition.id.partition)
    }

    /// Has no more answers carried out. One that is being carried out goes on: a change of what the partition is waits for it.
    pub(super) fn release(&self) {
        self.is_released.store(true, Ordering::Release);
    }

    pub(super) fn next(&self) -> Next {
        match self.partition.next_fetch() {
            NextFetch::Fetch(from) if from.leader == self.leader => Next::Ask(Want {
                leader_epoch: from.leader_epoch,
                offset: from.offset,
                last_fetched_epoch: from.last_fetched_epoch.unwrap_or(LeaderEpoch::NONE),
                log_start: from.log_start,
            }),
            NextFetch::Flush => Next::Flush,
            NextFetch::Fetch(_) | NextFetch::Nothing => Next::Nothing,
        }
    }

    /// Makes the log durable up to its end.
    ///
    /// # Errors
    /// The disk fails.
    pub(super) async fn flush(&self) -> ottla_log::Result<()> {
        let log = &self.partition.log;
        log.flushed_to(log.end_offset()).await.map(drop)
    }

    /// Carries out an answer to what was asked for.
    pub(super) async fn answered(&self, asked: &Want, data: PartitionData, now_ms: i64) -> Outcome {
        // While it is held the partition has the part that it has now.
        let _tenure = self.partition.tenure().await;
        if self.is_released.load(Ordering::Acquire) {
            return Outcome::Released;
        }
        let error = ErrorCode::from_code(data.error_code).unwrap_or(ErrorCode::UnknownServerError);
        let diverging = &data.diverging_epoch;
        let answer = FetchAnswer {
            error,
            high_watermark: Offset(data.high_watermark),
            log_start: Offset(data.log_start_offset),
            diverging: (diverging.end_offset >= 0).then_some(EpochEnd {
                epoch: LeaderEpoch(diverging.epoch),
                end: Offset(diverging.end_offset),
            }),
        };
        let done = match self.partition.answered(&self.fetch(asked), answer) {
            Step::Append { delete_below } => self.append(data.records, delete_below, now_ms).await,
            Step::Truncate(truncation) => self.truncate(truncation, now_ms).await,
            Step::RestartAt(start) => self.restart_at(start, now_ms).await,
            Step::Nothing => Ok(0),
            Step::Retry | Step::WaitForMetadata => {
                let reason = format!("its leader answers {error}");
                return Outcome::Failed(Trouble::Refused(error), reason);
            }
        };
        done.map_or_else(|error| failed(&error), Outcome::GoesOn)
    }

    fn fetch(&self, asked: &Want) -> FetchFrom {
        FetchFrom {
            leader: self.leader,
            leader_epoch: asked.leader_epoch,
            offset: asked.offset,
            last_fetched_epoch: Some(asked.last_fetched_epoch).filter(|epoch| *epoch != LeaderEpoch::NONE),
            log_start: asked.log_start,
        }
    }

    /// Writes what came, as it came, and deletes what the leader has deleted.
    async fn append(
        &self,
        records: Option<Records>,
        delete_below: Offset,
        now_ms: i64,
    ) -> ottla_log::Result<usize> {
        let (log, partition) = (&self.partition.log, &self.partition);
        let written = self.write(records, now_ms).await;
        // What came before an error is in the log, too.
        partition.copied();
        let written_bytes = written?;
        let start = delete_below.min(partition.high_watermark());
        if start > log.start_offset() {
            log.advance_start(start, now_ms).await?;
            partition.copied();
        }
        Ok(written_bytes)
    }

    /// Returns how many bytes were written.
    async fn write(&self, records: Option<Records>, now_ms: i64) -> ottla_log::Result<usize> {
        let mut written_bytes = 0;
        for chunk in records.iter().flat_map(Records::chunks) {
            written_bytes +=
                self.partition.log.append_replicated(chunk.clone(), now_ms).await?.appended_bytes;
        }
        Ok(written_bytes)
    }

    /// Cuts off what the leader does not have (KIP-101, KIP-279).
    async fn truncate(&self, truncation: Truncation, now_ms: i64) -> ottla_log::Result<usize> {
        let (log, partition, leader) = (&self.partition.log, &self.partition.id, self.leader);
        let from = log.end_offset();
        process::observe(|| ReplicaCuts {
            topic_id: self.partition.topic_id,
            partition: partition.partition,
            to: truncation.to,
        });
        log.truncate_to(truncation.to, now_ms).await?;
        self.partition.copied();
        let to = log.end_offset();
        if truncation.loses_committed {
            warn!(
                %partition, %leader,
                "records that passed for committed are lost by an unclean election: the log ended at {from}, and is \
                 cut to {to}, where the leader's parts from it"
            );
        } else if to < from {
            // Where only epochs without records go, nothing happens that anyone would look for.
            info!(%partition, %leader, "the log ended at {from}, and is cut to {to}, where the leader's parts from it");
        }
        Ok(0)
    }

    /// Begins at the leader's start: what was here ends before it.
    async fn restart_at(&self, start: Offset, now_ms: i64) -> ottla_log::Result<usize> {
        let (log, partition, leader) = (&self.partition.log, &self.partition.id, self.leader);
        let (from, to) = (log.start_offset(), log.end_offset());
        log.restart_at(start, now_ms).await?;
        self.partition.copied();
        info!(
            %partition, %leader,
            "the log had offsets {from} to {to}, and begins anew at {start}, where the leader's starts"
        );
        Ok(0)
    }
}

/// A failure of the log here, or what it says of what came.
fn failed(error: &ottla_log::Error) -> Outcome {
    use ottla_log::Error as E;
    match error {
        // It was deleted: whoever did that releases it.
        E::Closed { .. } => Outcome::Released,
        E::Io(_) | E::Offline { .. } | E::Unusable { .. } | E::NoDirOnline => {
            Outcome::Lost(error.to_string())
        }
        _ => Outcome::Failed(Trouble::Corrupt, error.to_string()),
    }
}
