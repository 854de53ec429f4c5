//! From the records of a decision to batches at the end of the partition's log.

use bytes::Bytes;

use ottla_groups::Record;
use ottla_records::{BatchBuilder, BatchError, NewRecord, Prepared, PushError};
use ottla_types::{ErrorCode, LeaderEpoch, Offset};

use super::host::ShardHost;
use crate::partition::AppendError;

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
    Append(#[from] AppendError),
}

impl AppendFailure {
    pub(super) fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader(_) => ErrorCode::NotLeaderOrFollower,
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::TooLarge { .. } | Self::Push(_) => ErrorCode::MessageTooLarge,
            Self::Batch(_) => ErrorCode::UnknownServerError,
            Self::Append(error) => error.code(),
        }
    }
}

/// Records that are not in the log, or not all of them.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// How many of them are there, and the offset after the last of those. They stay: other replicas may have them.
    pub(super) written: Option<(usize, Offset)>,
    pub(super) failure: AppendFailure,
}

impl From<AppendFailure> for Unwritten {
    fn from(failure: AppendFailure) -> Self {
        Self { written: None, failure }
    }
}

impl ShardHost {
    /// Appends records: in one batch, so that all of them or none are there after a crash; or in as many as they need,
    /// where each is right without the others. Returns the offset after the last one.
    pub(super) async fn append(&self, records: &[Record], may_split: bool) -> Result<Offset, Unwritten> {
        let leadership = self.partition.leadership();
        if !leadership.is_leader || leadership.epoch != self.leader_epoch {
            return Err(AppendFailure::NotLeader(self.leader_epoch).into());
        }
        let config = self.partition.config();
        let (in_sync, needed) = (leadership.in_sync, leadership.min_in_sync(&config));
        if in_sync < needed {
            return Err(AppendFailure::NotEnoughReplicas { in_sync, needed }.into());
        }
        let limit = config.rules.max_message_bytes;
        let now_ms = self.now_ms();
        let batches = self.batches(records, may_split, limit, now_ms)?;
        let prepare = |batch| Prepared::own(batch, config.rules.max_decompressed_bytes);
        // All of them before the first is appended: what can be refused is refused as a whole.
        let prepared =
            batches.into_iter().map(prepare).collect::<Result<Vec<_>, _>>().map_err(AppendFailure::from)?;
        let mut written = None;
        for batch in prepared {
            let count = usize::try_from(batch.header().records_count).unwrap_or(0);
            match self.partition.append(batch, self.leader_epoch, now_ms).await {
                Ok(appended) => {
                    let before = written.map_or(0, |(before, _)| before);
                    written = Some((before + count, appended.end_offset()));
                }
                Err(error) => return Err(Unwritten { written, failure: error.into() }),
            }
        }
        Ok(written.map_or_else(|| self.partition.log.end_offset(), |(_, end)| end))
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
