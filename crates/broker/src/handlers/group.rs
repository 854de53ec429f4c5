//! What the handlers of the group APIs have in common: answers that may come later, and errors as Kafka tells them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ottla_metadata::Image;
use ottla_types::ErrorCode;
use ottla_wire::{ApiKey, Response, Str};

use crate::broker::Core;
use crate::context::Answer;
use crate::coordinator::{Asked, Reply, ShardHost};

/// The answer of this variant, or why there is none.
macro_rules! reply_of {
    ($variant:ident, $reply:expr) => {
        match $reply {
            Ok(ottla_groups::Answer::$variant(answer)) => Ok(answer),
            Ok(_) => Err(ottla_types::ErrorCode::UnknownServerError),
            Err(error) => Err(ottla_groups::response_error(error)),
        }
    };
}

pub(super) use reply_of;

/// Responds now if the shard has answered, or else when it does.
pub(super) fn respond<R>(asked: Asked, response: impl FnOnce(Reply) -> R + Send + 'static) -> Answer
where
    R: Into<Response>,
{
    match asked {
        Asked::Answered(answer) => Answer::Now(response(Ok(answer)).into()),
        Asked::Refused(error) => Answer::Now(response(Err(error)).into()),
        waits @ Asked::Waits(_) => {
            Answer::Later(Box::pin(async move { response(waits.reply().await).into() }))
        }
    }
}

/// Responds when all of several shards have answered.
pub(super) fn respond_to_all<R>(
    asked: Vec<Asked>,
    response: impl FnOnce(Vec<Reply>) -> R + Send + 'static,
) -> Answer
where
    R: Into<Response>,
{
    let mut replies = Vec::with_capacity(asked.len());
    let mut asked = asked.into_iter();
    while let Some(next) = asked.next() {
        match next {
            Asked::Answered(answer) => replies.push(Ok(answer)),
            Asked::Refused(error) => replies.push(Err(error)),
            waits @ Asked::Waits(_) => {
                return Answer::Later(Box::pin(async move {
                    replies.push(waits.reply().await);
                    for next in asked {
                        replies.push(next.reply().await);
                    }
                    response(replies).into()
                }));
            }
        }
    }
    Answer::Now(response(replies).into())
}

/// Groups with the shard that they belong to.
pub(super) struct ByShard {
    /// Each shard with its groups.
    pub(super) shards: Vec<(Arc<ShardHost>, Vec<String>)>,
    /// Groups that belong to none of this broker's.
    pub(super) elsewhere: Vec<(String, ErrorCode)>,
}

/// Sorts groups by the shard that they belong to.
pub(super) fn by_shard(core: &Core, image: &Image, groups: &[Str]) -> ByShard {
    let mut shards: BTreeMap<usize, (Arc<ShardHost>, Vec<String>)> = BTreeMap::new();
    let mut elsewhere = Vec::new();
    for group in groups {
        match core.groups.shard_of(image, group) {
            Ok(shard) => {
                let entry = shards.entry(Arc::as_ptr(&shard) as usize).or_insert((shard, Vec::new()));
                entry.1.push(group.as_str().to_owned());
            }
            Err(error) => elsewhere.push((group.as_str().to_owned(), error)),
        }
    }
    ByShard { shards: shards.into_values().collect(), elsewhere }
}

/// The most groups that one request may name, and the most partitions that it may name in them. In a request each takes a few
/// bytes, and in its answer hundreds: without a bound a small request would have the broker hold a large answer.
const MOST_GROUPS: usize = 100_000;
const MOST_PARTITIONS: usize = 500_000;

/// Why a request is not answered that names this many groups and partitions, or keys of coordinators.
pub(super) fn too_many(api: ApiKey, groups: usize, partitions: usize) -> Option<String> {
    if groups > MOST_GROUPS {
        Some(format!("{api} names {groups} groups, and {MOST_GROUPS} are the most"))
    } else if partitions > MOST_PARTITIONS {
        Some(format!("{api} names {partitions} partitions, and {MOST_PARTITIONS} are the most"))
    } else {
        None
    }
}

/// The groups in their order, each once: a few bytes that name a group again would make the whole answer again.
///
/// # Errors
/// They are more than are answered.
pub(super) fn each_once(api: ApiKey, groups: Vec<Str>) -> Result<Vec<Str>, String> {
    if let Some(reason) = too_many(api, groups.len(), 0) {
        return Err(reason);
    }
    let mut seen = HashSet::new();
    Ok(groups.into_iter().filter(|group| seen.insert(group.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_names_more_groups_than_can_be_answered_is_refused() {
        let named = |count: usize| (0..count).map(|n| Str::from(n.to_string())).collect();
        assert_eq!(each_once(ApiKey::DescribeGroups, named(100_000)).unwrap().len(), 100_000);
        let reason = each_once(ApiKey::DescribeGroups, named(100_001)).unwrap_err();
        assert_eq!(reason, "DescribeGroups names 100001 groups, and 100000 are the most");
        let twice = vec![Str::from("b"), Str::from("a"), Str::from("b")];
        assert_eq!(each_once(ApiKey::DeleteGroups, twice).unwrap(), [Str::from("b"), Str::from("a")]);
    }
}
