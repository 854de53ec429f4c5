//! FindCoordinator: which broker coordinates a group (KIP-699).
//!
//! Whoever looks for the coordinator of a group wants to use groups: `__consumer_offsets` is made then, if it is not there.
//! Kafka has it made and answers COORDINATOR_NOT_AVAILABLE meanwhile; here the client need not ask again.
//!
//! There are no transactions and no share groups yet. Who asks for their coordinators is told so with INVALID_REQUEST, as by
//! a Kafka without share groups: clients give up at once, where after COORDINATOR_NOT_AVAILABLE they would ask for ever.

use ottla_metadata::Image;
use ottla_types::ErrorCode;
use ottla_types::topic::CONSUMER_OFFSETS;
use ottla_wire::Str;
use ottla_wire::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};

use super::group::too_many;
use super::reachable::reachable;
use crate::broker::Core;
use crate::context::{Answer, RequestContext};
use crate::coordinator::partition_of;

/// The first version that asks for several keys (KIP-699).
const BATCHED_SINCE: i16 = 4;

/// `CoordinatorType`'s numbers.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

pub(crate) async fn handle(core: &Core, context: &RequestContext, request: FindCoordinatorRequest) -> Answer {
    if let Some(reason) = too_many(context.api, request.coordinator_keys.len(), 0) {
        return Answer::Close(reason);
    }
    let keys = if context.version >= BATCHED_SINCE { request.coordinator_keys } else { vec![request.key] };
    let refused = match request.key_type {
        GROUP if core.ensure_offsets_topic().await => None,
        GROUP => Some((ErrorCode::CoordinatorNotAvailable, format!("{CONSUMER_OFFSETS} cannot be created"))),
        TRANSACTION => Some((ErrorCode::InvalidRequest, "this broker has no transactions yet".to_owned())),
        SHARE => Some((ErrorCode::InvalidRequest, "this broker has no share groups yet".to_owned())),
        kind => Some((ErrorCode::InvalidRequest, format!("{kind} is no kind of coordinator"))),
    };
    let image = core.metadata.image();
    let mut coordinators = keys.into_iter().map(|key| match &refused {
        Some((error, message)) => not_found(key, *error, message),
        None => find(&image, &context.peer.listener, key),
    });
    if context.version >= BATCHED_SINCE {
        return FindCoordinatorResponse {
            coordinators: coordinators.collect(),
            ..FindCoordinatorResponse::default()
        }
        .into();
    }
    let found = coordinators.next().unwrap_or_default();
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..FindCoordinatorResponse::default()
    }
    .into()
}

/// The leader of the partition that the group belongs to, by the way that the client came itself.
fn find(image: &Image, listener: &str, key: Str) -> Coordinator {
    let leader = image.topic_by_name(CONSUMER_OFFSETS).and_then(|topic| {
        let index = partition_of(&key, topic.partition_count())?;
        topic.partition(index)?.leader
    });
    let endpoint = leader.and_then(|leader| {
        reachable(image, listener).find(|(broker, _)| broker.registration.id == leader && !broker.fenced)
    });
    match endpoint {
        Some((broker, endpoint)) => Coordinator {
            key,
            node_id: broker.registration.id.0,
            host: (&*endpoint.host).into(),
            port: i32::from(endpoint.port),
            ..Coordinator::default()
        },
        None => {
            not_found(key, ErrorCode::CoordinatorNotAvailable, "nobody leads the partition of this group")
        }
    }
}

fn not_found(key: Str, error: ErrorCode, message: &str) -> Coordinator {
    Coordinator {
        key,
        node_id: -1,
        port: -1,
        error_code: error.code(),
        error_message: Some(message.into()),
        ..Coordinator::default()
    }
}
