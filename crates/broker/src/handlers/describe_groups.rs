//! DescribeGroups: groups with their members (KIP-345, KIP-430, KIP-1043).

use std::collections::HashMap;

use ottla_groups::{Request, answer, request};
use ottla_types::ErrorCode;
use ottla_wire::Str;
use ottla_wire::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

use super::authorized::{GROUP_OPERATIONS, NOT_ASKED};
use super::group::{ByShard, by_shard, each_once, reply_of, respond_to_all};
use crate::broker::Core;
use crate::context::{Answer, RequestContext};
use crate::coordinator::Reply;

/// The first version in which a group that is not there is an error (KIP-1043).
const GROUP_ID_NOT_FOUND_SINCE: i16 = 6;

pub(crate) async fn handle(core: &Core, context: &RequestContext, request: DescribeGroupsRequest) -> Answer {
    let wanted = match each_once(context.api, request.groups) {
        Ok(wanted) => wanted,
        Err(reason) => return Answer::Close(reason),
    };
    let ByShard { shards, elsewhere } = by_shard(core, &core.metadata.image(), &wanted);
    let mut asked = Vec::with_capacity(shards.len());
    let mut groups = Vec::with_capacity(shards.len());
    for (shard, group_ids) in shards {
        let describe = request::Describe { group_ids: group_ids.clone() };
        asked.push(shard.ask(Request::Describe(describe)).await);
        groups.push(group_ids);
    }
    let version = context.version;
    let operations = if request.include_authorized_operations { GROUP_OPERATIONS } else { NOT_ASKED };
    respond_to_all(asked, move |replies| {
        let mut found: HashMap<String, DescribedGroup> =
            elsewhere.into_iter().map(|(group, error)| (group.clone(), failed(group, error))).collect();
        for (group_ids, reply) in groups.into_iter().zip(replies) {
            let groups = of_shard(version, operations, group_ids, reply);
            found.extend(groups.into_iter().map(|group| (group.group_id.clone().into(), group)));
        }
        let groups = wanted.into_iter().map(|group| {
            let missing = || failed(group.as_str().to_owned(), ErrorCode::UnknownServerError);
            found.remove(group.as_str()).unwrap_or_else(missing)
        });
        DescribeGroupsResponse { groups: groups.collect(), ..DescribeGroupsResponse::default() }
    })
}

fn of_shard(version: i16, operations: i32, group_ids: Vec<String>, reply: Reply) -> Vec<DescribedGroup> {
    match reply_of!(Describe, reply) {
        Ok(groups) => groups.into_iter().map(|group| described(version, operations, group)).collect(),
        Err(error) => group_ids.into_iter().map(|group| failed(group, error)).collect(),
    }
}

fn described(version: i16, operations: i32, group: answer::DescribedGroup) -> DescribedGroup {
    let tells = version >= GROUP_ID_NOT_FOUND_SINCE || group.error != ErrorCode::GroupIdNotFound;
    let error = if tells { group.error } else { ErrorCode::None };
    DescribedGroup {
        error_code: error.code(),
        error_message: group.error_message.filter(|_| version >= GROUP_ID_NOT_FOUND_SINCE).map(Str::from),
        group_id: group.group_id.into(),
        group_state: group.state.into(),
        protocol_type: group.protocol_type.into(),
        protocol_data: group.protocol.into(),
        members: group.members.into_iter().map(member).collect(),
        authorized_operations: if error.is_error() { NOT_ASKED } else { operations },
        ..DescribedGroup::default()
    }
}

fn member(member: answer::DescribedMember) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: member.member_id.into(),
        group_instance_id: member.instance_id.map(Str::from),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
        ..DescribedGroupMember::default()
    }
}

fn failed(group: String, error: ErrorCode) -> DescribedGroup {
    DescribedGroup { error_code: error.code(), group_id: group.into(), ..DescribedGroup::default() }
}
