//! Heartbeat: a member says that it is alive (KIP-345).

use ottla_groups::{Generation, Request, request};
use ottla_types::ErrorCode;
use ottla_wire::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::group::{reply_of, respond};
use crate::broker::Core;
use crate::context::Answer;
use crate::coordinator::Reply;

pub(crate) async fn handle(core: &Core, request: HeartbeatRequest) -> Answer {
    let heartbeat = request::Heartbeat {
        group_id: request.group_id.into(),
        generation: Generation(request.generation_id),
        member_id: request.member_id.into(),
        instance_id: request.group_instance_id.map(String::from),
    };
    let group_id = heartbeat.group_id.clone();
    let asked = core.groups.ask(&core.metadata.image(), &group_id, Request::Heartbeat(heartbeat)).await;
    respond(asked, response)
}

fn response(reply: Reply) -> HeartbeatResponse {
    let error = match reply_of!(Heartbeat, reply) {
        // Nobody knows yet who is a member: whoever says so is believed until the group is loaded, as by Kafka.
        Err(ErrorCode::CoordinatorLoadInProgress) => ErrorCode::None,
        Ok(error) | Err(error) => error,
    };
    HeartbeatResponse { error_code: error.code(), ..HeartbeatResponse::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_believed_while_its_group_is_loaded() {
        let code = |error| response(Err(error)).error_code;
        assert_eq!(code(ErrorCode::CoordinatorLoadInProgress), 0);
        assert_eq!(code(ErrorCode::NotCoordinator), ErrorCode::NotCoordinator.code());
    }
}
