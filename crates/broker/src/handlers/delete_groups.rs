//! DeleteGroups: forgets groups without members, and their offsets (KIP-229).

use ottla_groups::{Request, request};
use ottla_types::ErrorCode;
use ottla_wire::Str;
use ottla_wire::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};

use super::group::{each_once, reply_of, respond_to_all};
use crate::broker::Core;
use crate::context::{Answer, RequestContext};
use crate::coordinator::Reply;

pub(crate) async fn handle(core: &Core, context: &RequestContext, request: DeleteGroupsRequest) -> Answer {
    let wanted = match each_once(context.api, request.groups_names) {
        Ok(wanted) => wanted,
        Err(reason) => return Answer::Close(reason),
    };
    let image = core.metadata.image();
    let mut asked = Vec::with_capacity(wanted.len());
    // Each group in a turn of its own, however many there are: others need not wait for all of them.
    for group_id in &wanted {
        let delete = request::Delete { group_id: group_id.as_str().to_owned() };
        asked.push(core.groups.ask(&image, group_id, Request::Delete(delete)).await);
    }
    respond_to_all(asked, move |replies| {
        let results = wanted.into_iter().zip(replies).map(|(group_id, reply)| result(group_id, reply));
        DeleteGroupsResponse { results: results.collect(), ..DeleteGroupsResponse::default() }
    })
}

fn result(group_id: Str, reply: Reply) -> DeletableGroupResult {
    let (Ok(error) | Err(error)): Result<ErrorCode, ErrorCode> = reply_of!(Delete, reply);
    DeletableGroupResult { group_id, error_code: error.code(), ..DeletableGroupResult::default() }
}
