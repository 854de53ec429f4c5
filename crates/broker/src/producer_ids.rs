//! Producer ids, given out one by one from blocks that the controller hands to this broker (KIP-730).

use std::ops::Range;

use tokio::sync::Mutex;

use ottla_metadata::controller::Refused;
use ottla_types::ProducerId;

use crate::broker::Core;

/// What is left of the last block.
#[derive(Debug, Default)]
pub(crate) struct ProducerIdPool {
    left: Mutex<Range<i64>>,
}

impl Core {
    /// A producer id that nobody has or had.
    ///
    /// # Errors
    /// A new block was needed, and could not be had.
    pub(crate) async fn next_producer_id(&self) -> Result<ProducerId, Refused> {
        let mut left = self.producer_ids.left.lock().await;
        if let Some(id) = left.next() {
            return Ok(ProducerId(id));
        }
        let block = self.channel.allocate_producer_ids(self.node_id, self.epoch).await?;
        *left = block.first.0..block.first.0 + i64::from(block.len);
        left.next().map(ProducerId).ok_or_else(|| Refused {
            error: ottla_types::ErrorCode::UnknownServerError,
            message: "the controller gave an empty block of producer ids".to_owned(),
        })
    }
}
