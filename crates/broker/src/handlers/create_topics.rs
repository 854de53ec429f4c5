//! CreateTopics: new topics, or what would become of them (KIP-4, KIP-464, KIP-525).
//!
//! Names, placement and configuration are the controller's to check. Here are only the rules about the request itself.

use std::collections::BTreeMap;

use ottla_metadata::controller::Refused;
use ottla_metadata::controller::create_topics::{CreateTopics, CreatedTopic, NewTopic};
use ottla_types::config::{Described, Layers};
use ottla_types::{BrokerId, ErrorCode, TopicId};
use ottla_wire::Str;
use ottla_wire::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};

use super::each::{decide_each, invalid_request, once_by_name, refuse};
use crate::broker::Core;
use crate::context::RequestContext;

/// The first version whose answer has the new topic's configuration (KIP-525).
const CONFIGS_SINCE: i16 = 5;

/// Kafka keeps its metadata log under this name, and lets nobody have it.
const CLUSTER_METADATA: &str = "__cluster_metadata";

pub(crate) async fn handle(
    core: &Core,
    context: &RequestContext,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let new_id = || TopicId::from_random(core.env.rng.id_bytes());
    let (names, checked): (Vec<_>, Vec<_>) = check(request.topics, new_id).into_iter().unzip();
    let (validate_only, seed) = (request.validate_only, core.env.rng.next_u64());
    let outcomes = decide_each(core, checked, |controller, topics| {
        controller.create_topics(&CreateTopics { topics, validate_only, seed })
    })
    .await;
    let image = core.metadata.image();
    let layers = image.layers(core.node_id, &core.settings);
    let answer = |(name, outcome)| match outcome {
        Ok(topic) if context.version >= CONFIGS_SINCE => with_configs(name, topic, &layers),
        Ok(topic) => created(name, &topic),
        Err(refused) => failed(name, refused),
    };
    CreateTopicsResponse {
        topics: names.into_iter().zip(outcomes).map(answer).collect(),
        ..CreateTopicsResponse::default()
    }
}

fn check(topics: Vec<CreatableTopic>, new_id: impl Fn() -> TopicId) -> Vec<(Str, Result<NewTopic, Refused>)> {
    let check_one = |topic: CreatableTopic| {
        if topic.name == CLUSTER_METADATA {
            let message = format!("Creation of internal topic {CLUSTER_METADATA} is prohibited.");
            return Err(invalid_request(message));
        }
        check_values(&topic)?;
        Ok(new_topic(topic, new_id()))
    };
    once_by_name(topics, |topic| &topic.name, check_one)
}

fn check_values(topic: &CreatableTopic) -> Result<(), Refused> {
    let null = topic.configs.iter().filter(|config| config.value.is_none());
    let null: Vec<_> = null.map(|config| config.name.as_str()).collect();
    if null.is_empty() {
        return Ok(());
    }
    let message = format!("Null value not supported for topic configs: {}", null.join(","));
    Err(refuse(ErrorCode::InvalidConfig, message))
}

fn new_topic(topic: CreatableTopic, id: TopicId) -> NewTopic {
    let brokers = |ids: Vec<i32>| ids.into_iter().map(BrokerId).collect();
    NewTopic {
        name: topic.name.into(),
        id,
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic
            .assignments
            .into_iter()
            .map(|assignment| (assignment.partition_index, brokers(assignment.broker_ids)))
            .collect(),
        configs: topic
            .configs
            .into_iter()
            .map(|config| (config.name.into(), config.value.map(String::from)))
            .collect(),
    }
}

fn created(name: Str, topic: &CreatedTopic) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        topic_id: topic.id.into(),
        error_message: None,
        num_partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        ..CreatableTopicResult::default()
    }
}

fn with_configs(name: Str, topic: CreatedTopic, layers: &Layers<'_>) -> CreatableTopicResult {
    let mut result = created(name, &topic);
    // The topic is not in the image when it is only checked; what it would have is what was decided.
    let overrides: BTreeMap<String, String> = topic.configs.into_iter().collect();
    result.configs = Some(layers.describe_topic(&overrides).into_iter().map(config).collect());
    result
}

fn config(described: Described) -> CreatableTopicConfigs {
    let is_sensitive = described.definition.is_sensitive();
    CreatableTopicConfigs {
        name: Str::from_static(described.definition.name),
        value: described.value.filter(|_| !is_sensitive).map(Str::from),
        read_only: described.read_only,
        config_source: described.source.code(),
        is_sensitive,
        ..CreatableTopicConfigs::default()
    }
}

fn failed(name: Str, refused: Refused) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: refused.error.code(),
        error_message: Some(refused.message.into()),
        ..CreatableTopicResult::default()
    }
}

#[cfg(test)]
mod tests {
    use ottla_types::config::Settings;
    use ottla_wire::create_topics::CreatableTopicConfig;

    use super::*;

    fn named(name: &str) -> CreatableTopic {
        CreatableTopic { name: name.into(), ..CreatableTopic::default() }
    }

    fn checked(topics: Vec<CreatableTopic>) -> Vec<(Str, Result<NewTopic, Refused>)> {
        check(topics, || TopicId([7; 16]))
    }

    #[test]
    fn a_name_that_comes_twice_is_refused_once_and_keeps_no_other_from_being_created() {
        let checked = checked(vec![named("a"), named("b"), named("a"), named("a")]);
        let names: Vec<_> = checked.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(checked[0].1, Err(invalid_request("Duplicate topic name.")));
        assert_eq!(checked[1].1.as_ref().unwrap().name, "b");
    }

    #[test]
    fn the_name_of_the_metadata_log_is_not_for_topics() {
        let refused = checked(vec![named("__cluster_metadata")])[0].1.clone().unwrap_err();
        assert_eq!(refused.error, ErrorCode::InvalidRequest);
        assert!(checked(vec![named("__consumer_offsets")])[0].1.is_ok());
    }

    #[test]
    fn a_configuration_without_a_value_is_refused() {
        let config = CreatableTopicConfig { name: "retention.ms".into(), value: None, ..Default::default() };
        let topic = CreatableTopic { configs: vec![config], ..named("a") };
        let refused = checked(vec![topic])[0].1.clone().unwrap_err();
        assert_eq!(refused.error, ErrorCode::InvalidConfig);
        assert_eq!(refused.message, "Null value not supported for topic configs: retention.ms");
    }

    #[test]
    fn the_answer_has_every_configuration_with_its_source() {
        let topic = CreatedTopic {
            name: ottla_types::TopicName::new("a").unwrap(),
            id: TopicId([7; 16]),
            partitions: 3,
            replication_factor: 1,
            configs: vec![("retention.ms".to_owned(), "1000".to_owned())],
        };
        let settings = Settings::default();
        let result = with_configs("a".into(), topic, &Layers::of(&settings));
        assert_eq!(result.error_message, None);
        assert_eq!((result.error_code, result.num_partitions, result.replication_factor), (0, 3, 1));
        let configs = result.configs.unwrap();
        let config = |name: &str| configs.iter().find(|config| config.name == *name).unwrap();
        assert_eq!(config("retention.ms").value.as_deref(), Some("1000"));
        assert_eq!(config("retention.ms").config_source, 1);
        assert_eq!(config("cleanup.policy").value.as_deref(), Some("delete"));
        assert_eq!(config("cleanup.policy").config_source, 5);
        assert!(!config("cleanup.policy").read_only);
    }
}
