//! ListGroups: the groups that this broker coordinates (KIP-518, KIP-848).

use ottla_groups::{Request, request};
use ottla_types::ErrorCode;
use ottla_wire::Str;
use ottla_wire::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

use super::group::{reply_of, respond_to_all};
use crate::broker::Core;
use crate::context::Answer;
use crate::coordinator::Reply;

pub(crate) async fn handle(core: &Core, request: ListGroupsRequest) -> Answer {
    let list = request::List::new(
        request.states_filter.iter().map(Str::as_str),
        request.types_filter.iter().map(Str::as_str),
    );
    let mut asked = Vec::new();
    for shard in core.groups.shards() {
        asked.push(shard.ask(Request::List(list.clone())).await);
    }
    respond_to_all(asked, response)
}

/// A list that lacks the groups of a shard says so by its error; one that has gone elsewhere is listed there.
fn response(replies: Vec<Reply>) -> ListGroupsResponse {
    let mut response = ListGroupsResponse::default();
    for reply in replies {
        match reply_of!(List, reply) {
            Ok(groups) => response.groups.extend(groups.into_iter().map(listed)),
            Err(ErrorCode::NotCoordinator) => {}
            Err(error) => response.error_code = error.code(),
        }
    }
    response
}

fn listed(group: ottla_groups::answer::ListedGroup) -> ListedGroup {
    ListedGroup {
        group_id: group.group_id.into(),
        protocol_type: group.protocol_type.into(),
        group_state: group.state.into(),
        group_type: group.group_type.into(),
        ..ListedGroup::default()
    }
}

#[cfg(test)]
mod tests {
    use ottla_groups::Answer;

    use super::*;

    #[test]
    fn a_list_with_a_gap_says_so_and_shards_elsewhere_are_no_gap() {
        let of = |error| response(vec![Ok(Answer::List(Vec::new())), Err(error)]).error_code;
        assert_eq!(of(ErrorCode::CoordinatorLoadInProgress), ErrorCode::CoordinatorLoadInProgress.code());
        assert_eq!(of(ErrorCode::CoordinatorNotAvailable), ErrorCode::CoordinatorNotAvailable.code());
        assert_eq!(of(ErrorCode::NotCoordinator), 0);
    }
}
