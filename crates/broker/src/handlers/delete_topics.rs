//! DeleteTopics: deletes topics, by name or by id (KIP-4, KIP-516).

use std::collections::BTreeSet;

use ottla_metadata::Image;
use ottla_metadata::controller::Refused;
use ottla_metadata::controller::delete_topics::{DeletedTopic, TopicRef};
use ottla_types::{ErrorCode, TopicId};
use ottla_wire::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use ottla_wire::{Str, Uuid};

use super::each::{decide_each, invalid_request, repeated};
use crate::broker::Core;
use crate::context::RequestContext;

/// The first version that knows TOPIC_DELETION_DISABLED.
const DELETION_DISABLED_SINCE: i16 = 3;

pub(crate) async fn handle(
    core: &Core,
    context: &RequestContext,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let (named, checked): (Vec<_>, Vec<_>) =
        check(&core.metadata.image(), wanted(request)).into_iter().unzip();
    let outcomes = decide_each(core, checked, |controller, topics| controller.delete_topics(&topics)).await;
    let answer = |(named, outcome)| match outcome {
        Ok(topic) => deleted(&topic),
        Err(refused) => failed(named, refused, context.version),
    };
    DeleteTopicsResponse {
        responses: named.into_iter().zip(outcomes).map(answer).collect(),
        ..DeleteTopicsResponse::default()
    }
}

fn wanted(request: DeleteTopicsRequest) -> Vec<DeleteTopicState> {
    let by_name = |name| DeleteTopicState { name: Some(name), ..DeleteTopicState::default() };
    request.topic_names.into_iter().map(by_name).chain(request.topics).collect()
}

/// The topics as the request names them. One that is named twice is there once, and refused.
fn check(image: &Image, topics: Vec<DeleteTopicState>) -> Vec<(DeleteTopicState, Result<TopicRef, Refused>)> {
    let key = |topic: &DeleteTopicState| (topic.name.clone(), topic.topic_id);
    let repeated = repeated(topics.iter().map(key));
    let ids: BTreeSet<TopicId> =
        topics.iter().filter(|topic| topic.name.is_none()).map(|topic| topic.topic_id.into()).collect();
    let by_name: BTreeSet<TopicId> = topics
        .iter()
        .filter_map(|topic| Some(image.topic_by_name(topic.name.as_deref()?)?.id))
        .filter(|id| ids.contains(id))
        .collect();
    let mut answered = BTreeSet::new();
    let mut checked = Vec::with_capacity(topics.len());
    for topic in topics {
        let again = repeated.contains(&key(&topic));
        if again && !answered.insert(key(&topic)) {
            continue;
        }
        let outcome = topic_ref(&topic).and_then(|wanted| match &wanted {
            TopicRef::Name(_) if again => Err(invalid_request("Duplicate topic name.")),
            TopicRef::Id(_) if again => Err(invalid_request("Duplicate topic id.")),
            _ if is_one_of(image, &wanted, &by_name) => {
                Err(invalid_request("The provided topic name maps to an ID that was already supplied."))
            }
            _ => Ok(wanted),
        });
        checked.push((topic, outcome));
    }
    checked
}

fn topic_ref(topic: &DeleteTopicState) -> Result<TopicRef, Refused> {
    match &topic.name {
        Some(name) if topic.topic_id.is_zero() => Ok(TopicRef::Name(name.clone().into())),
        Some(_) => Err(invalid_request("You may not specify both topic name and topic id.")),
        None if topic.topic_id.is_zero() => Err(invalid_request("Neither topic name nor id were specified.")),
        None => Ok(TopicRef::Id(topic.topic_id.into())),
    }
}

fn is_one_of(image: &Image, topic: &TopicRef, ids: &BTreeSet<TopicId>) -> bool {
    match topic {
        TopicRef::Name(name) => image.topic_by_name(name).is_some_and(|topic| ids.contains(&topic.id)),
        TopicRef::Id(id) => ids.contains(id),
    }
}

fn deleted(topic: &DeletedTopic) -> DeletableTopicResult {
    DeletableTopicResult {
        name: Some(topic.name.as_str().into()),
        topic_id: topic.id.into(),
        ..DeletableTopicResult::default()
    }
}

fn failed(named: DeleteTopicState, refused: Refused, version: i16) -> DeletableTopicResult {
    let (name, topic_id): (Option<Str>, Uuid) = (named.name, named.topic_id);
    let error = match refused.error {
        ErrorCode::TopicDeletionDisabled if version < DELETION_DISABLED_SINCE => ErrorCode::InvalidRequest,
        error => error,
    };
    DeletableTopicResult {
        name,
        topic_id,
        error_code: error.code(),
        error_message: Some(refused.message.into()),
        ..DeletableTopicResult::default()
    }
}

#[cfg(test)]
mod tests {
    use ottla_metadata::record::{Record, Topic};
    use ottla_types::TopicName;

    use super::*;

    const ID: TopicId = TopicId([7; 16]);
    const OTHER: TopicId = TopicId([8; 16]);

    fn image() -> Image {
        let mut image = Image::default();
        let topic = Topic { name: TopicName::new("known").unwrap(), id: ID };
        image.apply(&Record::Topic(topic)).unwrap();
        image
    }

    fn name(name: &str) -> DeleteTopicState {
        DeleteTopicState { name: Some(name.into()), ..DeleteTopicState::default() }
    }

    fn id(id: TopicId) -> DeleteTopicState {
        DeleteTopicState { topic_id: id.into(), ..DeleteTopicState::default() }
    }

    fn outcomes(topics: Vec<DeleteTopicState>) -> Vec<Result<TopicRef, String>> {
        check(&image(), topics).into_iter().map(|(_, outcome)| outcome.map_err(|r| r.message)).collect()
    }

    #[test]
    fn names_and_ids_go_to_the_controller_as_they_are() {
        let expected = [Ok(TopicRef::Name("known".to_owned())), Ok(TopicRef::Id(OTHER))];
        assert_eq!(outcomes(vec![name("known"), id(OTHER)]), expected);
    }

    #[test]
    fn a_topic_that_is_named_twice_is_refused_once() {
        let expected = [Err("Duplicate topic name.".to_owned()), Err("Duplicate topic id.".to_owned())];
        assert_eq!(outcomes(vec![name("a"), id(OTHER), name("a"), id(OTHER), id(OTHER)]), expected);
    }

    #[test]
    fn a_name_and_the_id_of_one_topic_are_both_refused() {
        let message = "The provided topic name maps to an ID that was already supplied.".to_owned();
        let expected = [Err(message.clone()), Err(message), Ok(TopicRef::Name("other".to_owned()))];
        assert_eq!(outcomes(vec![id(ID), name("known"), name("other")]), expected);
    }

    #[test]
    fn a_topic_is_named_by_name_or_by_id_and_not_by_both_or_neither() {
        let both = DeleteTopicState { name: Some("known".into()), ..id(ID) };
        let expected = [
            Err("You may not specify both topic name and topic id.".to_owned()),
            Err("Neither topic name nor id were specified.".to_owned()),
        ];
        assert_eq!(outcomes(vec![both, DeleteTopicState::default()]), expected);
    }

    #[test]
    fn old_clients_learn_of_disabled_deletion_by_a_code_they_know() {
        let refused = Refused {
            error: ErrorCode::TopicDeletionDisabled,
            message: "Topic deletion is disabled.".to_owned(),
        };
        let code = |version| failed(name("a"), refused.clone(), version).error_code;
        assert_eq!(code(2), ErrorCode::InvalidRequest.code());
        assert_eq!(code(3), ErrorCode::TopicDeletionDisabled.code());
    }
}
