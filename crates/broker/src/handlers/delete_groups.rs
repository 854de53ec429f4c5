//! DeleteGroups: forgets groups without members, and their offsets (KIP-229).

use std::collections::HashMap;

use ottla_groups::{Request, request};
use ottla_types::ErrorCode;
use ottla_wire::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};

use super::group::{ByShard, by_shard, each_once, reply_of, respond_to_all};
use crate::broker::Core;
use crate::context::Answer;

pub(crate) async fn handle(core: &Core, request: DeleteGroupsRequest) -> Answer {
    let wanted = each_once(request.groups_names);
    let ByShard { shards, elsewhere } = by_shard(core, &core.metadata.image(), &wanted);
    let mut asked = Vec::with_capacity(shards.len());
    let mut groups = Vec::with_capacity(shards.len());
    for (shard, group_ids) in shards {
        let delete = request::Delete { group_ids: group_ids.clone() };
        asked.push(shard.ask(Request::Delete(delete)).await);
        groups.push(group_ids);
    }
    respond_to_all(asked, move |replies| {
        let mut errors: HashMap<String, ErrorCode> = elsewhere.into_iter().collect();
        for (group_ids, reply) in groups.into_iter().zip(replies) {
            match reply_of!(Delete, reply) {
                Ok(deleted) => errors.extend(deleted),
                Err(error) => errors.extend(group_ids.into_iter().map(|group| (group, error))),
            }
        }
        let results = wanted.into_iter().map(|group_id| DeletableGroupResult {
            error_code: errors.get(group_id.as_str()).unwrap_or(&ErrorCode::UnknownServerError).code(),
            group_id,
            ..DeletableGroupResult::default()
        });
        DeleteGroupsResponse { results: results.collect(), ..DeleteGroupsResponse::default() }
    })
}
