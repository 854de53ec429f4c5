//! InitProducerId: an id and epoch for an idempotent producer (KIP-98, KIP-360).
//!
//! Transactional ids are refused until there are transactions.

use tracing::warn;

use ottla_types::{ErrorCode, ProducerEpoch, ProducerId};
use ottla_wire::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use crate::broker::Core;

/// The epoch of a new producer id.
const FIRST_EPOCH: i16 = 0;

pub(crate) async fn handle(core: &Core, request: InitProducerIdRequest) -> InitProducerIdResponse {
    if let Err(error) = check(&request) {
        return refused(error);
    }
    match core.next_producer_id().await {
        Ok(id) => InitProducerIdResponse {
            producer_id: id.0,
            producer_epoch: FIRST_EPOCH,
            ..InitProducerIdResponse::default()
        },
        Err(error) => {
            warn!("cannot give out a producer id: {}", error.message);
            refused(error.error)
        }
    }
}

fn refused(error: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: error.code(),
        producer_id: ProducerId::NONE.0,
        producer_epoch: ProducerEpoch::NONE.0,
        ..InitProducerIdResponse::default()
    }
}

/// A producer that has an id and epoch may send both (KIP-360), or neither. Without a transactional id they have no
/// further meaning: nobody else can write under the id, and a new one takes its place.
fn check(request: &InitProducerIdRequest) -> Result<(), ErrorCode> {
    let has_id = request.producer_id != ProducerId::NONE.0;
    let has_epoch = request.producer_epoch != ProducerEpoch::NONE.0;
    if has_id != has_epoch {
        return Err(ErrorCode::InvalidRequest);
    }
    match request.transactional_id.as_deref() {
        None => Ok(()),
        Some("") => Err(ErrorCode::InvalidRequest),
        Some(_) => Err(no_transactions()),
    }
}

/// The answer has no place for a message, so the code must speak for itself, and it must not be one that clients try
/// again. The Java client fails for good on every code that is not retriable, and this one reads "The version of API is
/// not supported". librdkafka fails at once only on codes that would be lies here (authorization,
/// fencing, the transaction timeout); with any other its `init_transactions` gives up at its own timeout with that
/// code. It does not come so far, though: like all clients it looks for the coordinator first, and fails at once with
/// "unsupported feature" on a broker that does not advertise FindCoordinator.
fn no_transactions() -> ErrorCode {
    ErrorCode::UnsupportedVersion
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(
        producer_id: i64,
        producer_epoch: i16,
        transactional_id: Option<&str>,
    ) -> InitProducerIdRequest {
        InitProducerIdRequest {
            transactional_id: transactional_id.map(Into::into),
            producer_id,
            producer_epoch,
            ..InitProducerIdRequest::default()
        }
    }

    #[test]
    fn an_id_without_its_epoch_is_invalid_and_so_is_the_reverse() {
        assert_eq!(check(&request(-1, -1, None)), Ok(()));
        assert_eq!(check(&request(7, 0, None)), Ok(()));
        assert_eq!(check(&request(7, -1, None)), Err(ErrorCode::InvalidRequest));
        assert_eq!(check(&request(-1, 0, None)), Err(ErrorCode::InvalidRequest));
        assert_eq!(check(&request(-1, 0, Some("t"))), Err(ErrorCode::InvalidRequest));
    }

    #[test]
    fn a_transactional_id_is_refused_for_good() {
        let error = check(&request(-1, -1, Some("t"))).unwrap_err();
        assert_eq!(error, ErrorCode::UnsupportedVersion);
        assert!(!error.is_retriable());
        assert_eq!(check(&request(-1, -1, Some(""))), Err(ErrorCode::InvalidRequest));
        assert_eq!((refused(error).producer_id, refused(error).producer_epoch), (-1, -1));
    }
}
