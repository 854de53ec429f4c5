//! LeaveGroup: members leave, or are removed (KIP-345, KIP-800).

use ottla_groups::Request;
use ottla_groups::request::{Leave, Leaver};
use ottla_types::ErrorCode;
use ottla_wire::Str;
use ottla_wire::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};

use super::group::{reply_of, respond};
use crate::broker::Core;
use crate::context::{Answer, RequestContext};
use crate::coordinator::Reply;

/// The first version in which several members may leave at once.
const BATCHED_SINCE: i16 = 3;

pub(crate) async fn handle(core: &Core, context: &RequestContext, request: LeaveGroupRequest) -> Answer {
    let is_batched = context.version >= BATCHED_SINCE;
    let members = if is_batched {
        let leaver = |member: ottla_wire::leave_group::MemberIdentity| Leaver {
            member_id: member.member_id.into(),
            instance_id: member.group_instance_id.map(String::from),
        };
        request.members.into_iter().map(leaver).collect()
    } else {
        vec![Leaver { member_id: request.member_id.into(), instance_id: None }]
    };
    let leave = Leave { group_id: request.group_id.into(), members };
    let group_id = leave.group_id.clone();
    let asked = core.groups.ask(&core.metadata.image(), &group_id, Request::Leave(leave)).await;
    respond(asked, move |reply| response(is_batched, reply))
}

fn response(is_batched: bool, reply: Reply) -> LeaveGroupResponse {
    let left = match reply_of!(Leave, reply) {
        Ok(left) => left,
        Err(error) => {
            return LeaveGroupResponse { error_code: error.code(), ..LeaveGroupResponse::default() };
        }
    };
    if !is_batched {
        // The one member's error is that of the whole.
        let of_member = left.members.first().map_or(ErrorCode::None, |member| member.error);
        let error = if left.error.is_error() { left.error } else { of_member };
        return LeaveGroupResponse { error_code: error.code(), ..LeaveGroupResponse::default() };
    }
    let member = |member: ottla_groups::answer::LeftMember| MemberResponse {
        member_id: member.member_id.into(),
        group_instance_id: member.instance_id.map(Str::from),
        error_code: member.error.code(),
        ..MemberResponse::default()
    };
    LeaveGroupResponse {
        error_code: left.error.code(),
        members: left.members.into_iter().map(member).collect(),
        ..LeaveGroupResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use ottla_groups::answer::{Answer, LeaveAnswer, LeftMember};

    use super::*;

    #[test]
    fn where_one_leaves_alone_its_error_is_that_of_the_whole() {
        let member = |error| LeftMember { member_id: "m".to_owned(), instance_id: None, error };
        let code = |error, of_member| {
            let left = LeaveAnswer { error, members: vec![member(of_member)] };
            response(false, Ok(Answer::Leave(left))).error_code
        };
        assert_eq!(code(ErrorCode::None, ErrorCode::UnknownMemberId), ErrorCode::UnknownMemberId.code());
        assert_eq!(code(ErrorCode::InvalidGroupId, ErrorCode::None), ErrorCode::InvalidGroupId.code());
        assert_eq!(code(ErrorCode::None, ErrorCode::None), 0);
    }
}
