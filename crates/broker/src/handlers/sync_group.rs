//! SyncGroup: what the leader assigned to each member (KIP-345, KIP-559).

use ottla_groups::{Generation, Request, request};
use ottla_types::ErrorCode;
use ottla_wire::Str;
use ottla_wire::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::group::{reply_of, respond};
use crate::broker::Core;
use crate::context::{Answer, RequestContext};
use crate::coordinator::Reply;

/// The first version in which a member must say which protocol it believes to be chosen (KIP-559).
const PROTOCOL_SINCE: i16 = 5;

pub(crate) async fn handle(core: &Core, context: &RequestContext, request: SyncGroupRequest) -> Answer {
    let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if context.version >= PROTOCOL_SINCE && !names_protocol {
        return failed(ErrorCode::InconsistentGroupProtocol).into();
    }
    let sync = request::Sync {
        group_id: request.group_id.into(),
        generation: Generation(request.generation_id),
        member_id: request.member_id.into(),
        instance_id: request.group_instance_id.map(String::from),
        protocol_type: request.protocol_type.map(String::from),
        protocol_name: request.protocol_name.map(String::from),
        assignments: request
            .assignments
            .into_iter()
            .map(|assignment| (assignment.member_id.into(), assignment.assignment))
            .collect(),
    };
    let group_id = sync.group_id.clone();
    let asked = core.groups.ask(&core.metadata.image(), &group_id, Request::Sync(sync)).await;
    respond(asked, response)
}

fn response(reply: Reply) -> SyncGroupResponse {
    match reply_of!(Sync, reply) {
        Ok(synced) => SyncGroupResponse {
            error_code: synced.error.code(),
            protocol_type: synced.protocol_type.map(Str::from),
            protocol_name: synced.protocol_name.map(Str::from),
            assignment: synced.assignment,
            ..SyncGroupResponse::default()
        },
        Err(error) => failed(error),
    }
}

fn failed(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: error.code(), ..SyncGroupResponse::default() }
}
