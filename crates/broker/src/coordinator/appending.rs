//! From the records of a decision to batches at the end of the partition's log.

use bytes::Bytes;

use ottla_groups::Record;
use ottla_records::{BatchBuilder, BatchError, NewRecord, Prepared, PushError};
use ottla_types::{ErrorCode, LeaderEpoch, Offset};

use super::host::ShardHost;

/// Why records were not appended.
#[derive(Debug, thiserror::Error)]
pub(super) enum AppendFailure {
    #[error("this broker does not lead the partition in epoch {0} any more")]
    NotLeader(LeaderEpoch),
    #[error("{in_sync} replicas are in sync, and min.insync.replicas asks for {needed}")]
    NotEnoughReplicas { in_sync: usize, needed: usize },
    #[error("the records take {size_bytes} bytes, and max.message.bytes of the topic is {limit}")]
    TooLarge { size_bytes: usize, limit: usize },
    #[error(transparent)]
    Push(#[from] PushError),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Log(#[from] ottla_log::Error),
}

impl AppendFailure {
    pub(super) fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader(_) => ErrorCode::NotLeaderOrFollower,
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::TooLarge { .. } | Self::Push(_) => ErrorCode::MessageTooLarge,
            Self::Batch(_) => ErrorCode::UnknownServerError,
            Self::Log(error) => error.code(),
        }
    }
}

impl ShardHost {
    /// Appends records: in one batch, so that all of them or none are there after a crash; or in as many as they need,
    /// where each is right without the others. Returns the offset after the last one.
    pub(super) async fn append(&self, records: &[Record], may_split: bool) -> Result<Offset, AppendFailure> {
        let leadership = self.partition.leadership();
        if !leadership.is_leader || leadership.epoch != self.leader_epoch {
            return Err(AppendFailure::NotLeader(self.leader_epoch));
        }
        let config = self.partition.config();
        let (in_sync, needed) = (leadership.in_sync, leadership.min_in_sync(&config));
        if in_sync < needed {
            return Err(AppendFailure::NotEnoughReplicas { in_sync, needed });
        }
        let limit = config.rules.max_message_bytes;
        let now_ms = self.now_ms();
        let mut end = self.partition.log.end_offset();
        for batch in self.batches(records, may_split, limit, now_ms)? {
            let prepared = Prepared::own(batch, config.rules.max_decompressed_bytes)?;
            end = self.partition.append(prepared, self.leader_epoch, now_ms).await?.end_offset();
        }
        Ok(end)
    }

    fn batches(
        &self,
        records: &[Record],
        may_split: bool,
        limit: usize,
        now_ms: i64,
    ) -> Result<Vec<Bytes>, AppendFailure> {
        let empty = || BatchBuilder::new().compression(self.settings.compression);
        let mut batches = Vec::with_capacity(1);
        let mut builder = empty();
        for record in records {
            let record = NewRecord {
                timestamp_ms: now_ms,
                key: Some(&record.key),
                value: record.value.as_deref(),
                headers: &[],
            };
            if may_split && !builder.is_empty() && builder.size_with(&record) > limit {
                batches.push(std::mem::replace(&mut builder, empty()).build()?);
            }
            builder.push(&record)?;
        }
        batches.push(builder.build()?);
        match batches.iter().map(Bytes::len).max() {
            Some(size_bytes) if size_bytes > limit => Err(AppendFailure::TooLarge { size_bytes, limit }),
            _ => Ok(batches),
        }
    }
}
