//! UnregisterBroker: forgets a broker that does not come back (KIP-631).
//!
//! As by Kafka a broker that lives may be forgotten, too: it is fenced by that, and comes back when it is started again.

use ottla_types::BrokerId;
use ottla_wire::unregister_broker::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use crate::broker::Core;

pub(crate) async fn handle(core: &Core, request: UnregisterBrokerRequest) -> UnregisterBrokerResponse {
    let id = BrokerId(request.broker_id);
    let outcome = core.change(|controller| controller.unregister_broker(id)).await;
    match outcome.and_then(|outcome| outcome) {
        Ok(()) => UnregisterBrokerResponse { error_message: None, ..UnregisterBrokerResponse::default() },
        Err(refused) => UnregisterBrokerResponse {
            error_code: refused.error.code(),
            error_message: Some(refused.message.into()),
            ..UnregisterBrokerResponse::default()
        },
    }
}
