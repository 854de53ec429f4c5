//! What the handlers of the group APIs have in common: answers that may come later, and errors as Kafka tells them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ottla_metadata::Image;
use ottla_types::ErrorCode;
use ottla_wire::{Response, Str};

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

/// The groups in their order, each once: a few bytes that name a group again would make the whole answer again.
pub(super) fn each_once(groups: Vec<Str>) -> Vec<Str> {
    let mut seen = HashSet::new();
    groups.into_iter().filter(|group| seen.insert(group.clone())).collect()
}
