//! AllocateProducerIds: blocks of ids that a broker gives to its producers (KIP-730).

use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, ProducerId};

use super::{Controller, Decision, Refused};
use crate::record::{ProducerIdsBlock, Record};

/// How many ids a block has, as in Kafka.
pub const BLOCK_LEN: i32 = 1000;

/// A block of producer ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIds {
    /// The first one.
    pub first: ProducerId,
    /// How many.
    pub len: i32,
}

impl Controller {
    /// Gives a block to a broker.
    pub fn allocate_producer_ids(
        &mut self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Decision<Result<ProducerIds, Refused>> {
        if let Err(refused) = self.check_registration(broker, epoch) {
            return Decision::unchanged(Err(refused));
        }
        let first = self.speculative.next_producer_id();
        let Some(next) = first.0.checked_add(i64::from(BLOCK_LEN)) else {
            let refused = Refused::new(ErrorCode::UnknownServerError, "All producer ids are given away.");
            return Decision::unchanged(Err(refused));
        };
        let record = Record::ProducerIdsBlock(ProducerIdsBlock { broker, epoch, next: ProducerId(next) });
        self.decide(vec![record], Ok(ProducerIds { first, len: BLOCK_LEN }))
    }
}
