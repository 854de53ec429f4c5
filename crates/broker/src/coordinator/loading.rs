//! Loads a shard from its partition's log: all of it, from the first record to the last.
//!
//! What cannot be read is never passed over: a shard with a hole would hand out offsets of long ago. Its groups are then
//! answered COORDINATOR_NOT_AVAILABLE, until the log is repaired and the broker started again.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{error, info, warn};

use ottla_groups::{Loaded, RecordError, Shard};
use ottla_records::{Batch, BatchError, ProduceRules};
use ottla_types::Offset;

use super::host::ShardHost;
use crate::waiters::{For, Waiter};

/// Why a shard is not loaded.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Log(#[from] ottla_log::Error),
    #[error("the batch at offset {offset} cannot be read: {error}")]
    Batch { offset: Offset, error: BatchError },
    #[error("the record at offset {offset} has no key")]
    NoKey { offset: Offset },
    #[error("the record at offset {offset} cannot be read: {error}")]
    Record { offset: Offset, error: RecordError },
    #[error("the batch at offset {offset} is of a transaction, and transactions are not available yet")]
    Transactional { offset: Offset },
}

/// A shard that is being loaded.
struct Loading {
    shard: Shard,
    records: u64,
    /// Records of kinds that are not known, by the version of their key.
    skipped: BTreeMap<i16, u64>,
}

/// Loads the shard. `None` if that fails, which is in the broker's log then, or is not wanted any more.
pub(super) async fn load(host: &Arc<ShardHost>) -> Option<Shard> {
    let mut loading =
        Loading { shard: Shard::new(host.settings.groups.clone()), records: 0, skipped: BTreeMap::new() };
    let begin_ms = host.now_ms();
    if let Err(error) = loading.read(host).await {
        error!(partition = %host.partition.id, "cannot load the groups of this partition, which stay unavailable: {error}");
        return None;
    }
    for (version, records) in &loading.skipped {
        warn!(partition = %host.partition.id, "{records} records with keys of version {version} mean nothing here");
    }
    if loading.records > 0 {
        let took_ms = host.now_ms().saturating_sub(begin_ms);
        info!(partition = %host.partition.id, records = loading.records, took_ms, "loaded groups");
    }
    Some(loading.shard)
}

impl Loading {
    async fn read(&mut self, host: &ShardHost) -> Result<(), LoadError> {
        let log = &host.partition.log;
        let (mut next, end) = (log.start_offset(), log.end_offset());
        while next < end && !host.is_stopped() {
            let read = log.read(next, host.settings.load_buffer_bytes, true, end).await?;
            if read.is_empty() {
                // What there was up to the end is compacted away.
                break;
            }
            next = read.next_offset;
            for batch in ottla_records::batches(&read.into_bytes()) {
                let batch = batch.map_err(|error| LoadError::Batch { offset: next, error })?;
                self.replay(&batch)?;
            }
            // A long log is read in one go from the page cache, and others want to run as well.
            tokio::task::yield_now().await;
        }
        until_committed(host, end).await;
        Ok(())
    }

    fn replay(&mut self, batch: &Batch<'_>) -> Result<(), LoadError> {
        let offset = batch.header().base_offset;
        if batch.header().attributes.is_transactional() {
            return Err(LoadError::Transactional { offset });
        }
        if batch.header().attributes.is_control() {
            return Ok(());
        }
        let in_batch = |error| LoadError::Batch { offset, error };
        let bytes = batch.records_bytes(ProduceRules::default().max_decompressed_bytes).map_err(in_batch)?;
        for record in ottla_records::Records::new(batch.header(), &bytes) {
            let record = record.map_err(in_batch)?;
            let offset = record.offset;
            let key = record.key.ok_or(LoadError::NoKey { offset })?;
            self.records += 1;
            match self.shard.load(key, record.value, offset) {
                Ok(Loaded::Applied) => {}
                Ok(Loaded::Skipped { version }) => *self.skipped.entry(version).or_default() += 1,
                Err(error) => return Err(LoadError::Record { offset, error }),
            }
        }
        Ok(())
    }
}

/// Waits until all that was loaded is committed: nobody is told what may still be lost.
async fn until_committed(host: &ShardHost, end: Offset) {
    while !host.is_stopped() {
        let waiter = Waiter::new(1);
        let _place = host.partition.wait(For::Watermark, &waiter);
        if host.committed() >= end {
            return;
        }
        tokio::select! {
            biased;
            () = host.changed.notified() => {}
            () = waiter.wait() => {}
        }
    }
}
