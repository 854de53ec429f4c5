//! What DescribeConfigs answers, by resource and by option.

use ottla_metadata::record::{Config, ConfigResource, Record, Topic};
use ottla_types::TopicId;
use ottla_types::config::Source;

use super::*;

const THIS: BrokerId = BrokerId(1);

fn image() -> Image {
    let mut image = Image::default();
    let name = TopicName::new("orders").unwrap();
    let mut apply = |record| image.apply(&record).unwrap();
    apply(Record::Topic(Topic { name: name.clone(), id: TopicId([7; 16]) }));
    let mut set = |resource, key: &str, value: &str| {
        apply(Record::Config(Config { resource, key: key.into(), value: Some(value.into()) }));
    };
    set(ConfigResource::Topic(name), "retention.ms", "1000");
    set(ConfigResource::Broker(THIS), "log.retention.ms", "2000");
    set(ConfigResource::ClusterDefault, "log.retention.ms", "3000");
    image
}

fn with<T>(act: impl FnOnce(&mut Describe<'_>) -> T) -> T {
    let image = image();
    let (settings, _) = Settings::parse("server.properties", "log.retention.hours=24\n").unwrap();
    let mut describe =
        Describe { image: &image, settings: &settings, this: THIS, synonyms: false, documentation: false };
    act(&mut describe)
}

fn wanted(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: keys.map(|keys| keys.iter().map(|key| Str::from(*key)).collect()),
        ..DescribeConfigsResource::default()
    }
}

fn one(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResult {
    with(|describe| describe.all(vec![wanted(kind, name, keys)])).remove(0)
}

fn refusal(kind: i8, name: &str) -> (i16, String) {
    let result = one(kind, name, None);
    assert!(result.configs.is_empty());
    (result.error_code, result.error_message.unwrap().into())
}

#[test]
fn a_topic_shows_its_own_value_before_the_brokers() {
    let result = one(TOPIC, "orders", Some(&["retention.ms"]));
    assert_eq!((result.error_code, result.configs.len()), (0, 1));
    let config = &result.configs[0];
    assert_eq!(config.value.as_deref(), Some("1000"));
    assert_eq!(config.config_source, Source::TopicConfig.code());
    assert_eq!((config.config_type, config.read_only, config.is_sensitive), (5, false, false));
    assert!(config.synonyms.is_empty());
    assert_eq!(config.documentation, None);
}

#[test]
fn synonyms_and_documentation_come_when_they_are_asked_for() {
    let result = with(|describe| {
        describe.synonyms = true;
        describe.documentation = true;
        describe.all(vec![wanted(TOPIC, "orders", Some(&["retention.ms"]))]).remove(0)
    });
    let config = &result.configs[0];
    let synonyms: Vec<_> =
        config.synonyms.iter().map(|s| (s.name.as_str(), s.value.as_deref().unwrap(), s.source)).collect();
    let expected = [
        ("retention.ms", "1000", 1),
        ("log.retention.ms", "2000", 2),
        ("log.retention.ms", "3000", 3),
        ("log.retention.hours", "24", 4),
        ("log.retention.hours", "168", 5),
    ];
    assert_eq!(synonyms, expected);
    assert!(config.documentation.as_ref().unwrap().contains("policy `delete`"));
}

#[test]
fn no_keys_and_null_both_ask_for_all() {
    let all = one(TOPIC, "orders", None).configs;
    assert!(all.len() > 30);
    assert_eq!(one(TOPIC, "orders", Some(&[])).configs, all);
}

#[test]
fn this_broker_shows_all_its_keys_and_the_default_only_what_is_set() {
    let broker = one(BROKER, "1", None).configs;
    let find = |name: &str| broker.iter().find(|config| config.name == *name).unwrap();
    assert_eq!(find("log.retention.ms").value.as_deref(), Some("2000"));
    assert_eq!(find("log.retention.hours").config_source, Source::StaticBrokerConfig.code());
    assert!(find("log.retention.hours").read_only);
    assert!(!find("log.retention.ms").read_only);
    let default = one(BROKER, "", Some(&["log.retention.ms"])).configs;
    assert_eq!(default[0].value.as_deref(), Some("3000"));
    assert_eq!(one(BROKER, "", None).configs.len(), 1);
}

#[test]
fn unknown_and_impossible_topics_are_told_apart() {
    assert_eq!(refusal(TOPIC, "absent").0, ErrorCode::UnknownTopicOrPartition.code());
    assert_eq!(refusal(TOPIC, "not/a/topic").0, ErrorCode::InvalidTopicException.code());
}

#[test]
fn another_brokers_configuration_is_not_answered() {
    let expected = "Unexpected broker id, expected 1 or empty string, but received 2".to_owned();
    assert_eq!(refusal(BROKER, "2"), (ErrorCode::InvalidRequest.code(), expected));
    assert!(refusal(BROKER, "one").1.contains("must be an integer"));
}

#[test]
fn kinds_without_configuration_say_so() {
    assert!(refusal(BROKER_LOGGER, "1").1.contains("no loggers"));
    assert!(refusal(BROKER_LOGGER, "").1.contains("must not be empty"));
    assert!(refusal(BROKER_LOGGER, "2").1.contains("expected 1 but received 2"));
    assert!(refusal(32, "group").1.contains("resource type 32"));
    assert!(refusal(CLIENT_METRICS, "").1.contains("must not be empty"));
    assert_eq!(one(CLIENT_METRICS, "subscription", None).error_code, 0);
}

#[test]
fn a_resource_that_is_asked_for_again_as_a_whole_is_answered_once() {
    let all = || wanted(TOPIC, "orders", None);
    let some = || wanted(TOPIC, "orders", Some(&["retention.ms"]));
    let sizes = |resources| with(|d| d.all(resources)).iter().map(|r| r.configs.len()).collect::<Vec<_>>();
    let whole = sizes(vec![all()])[0];
    assert_eq!(sizes(vec![all(), some(), all(), some()]), [whole, 1, 1]);
}
