//! Claims about what overrides what.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;

use ottla_types::config::topic::{RETENTION_MS, SEGMENT_BYTES};
use ottla_types::config::topic_config::{InvalidTopicConfig, validate};
use ottla_types::config::{
    CompressionType, Layers, Settings, Source, TimestampType, TopicConfig, broker, dynamic,
};

type Map = BTreeMap<String, String>;

fn map(pairs: &[(&str, &str)]) -> Map {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn settings(text: &str) -> Settings {
    Settings::parse("f", text).unwrap().0
}

#[test]
fn a_topic_value_comes_from_the_strongest_layer_that_sets_it() {
    let (broker, cluster) = (map(&[("log.retention.ms", "2")]), map(&[("log.retention.ms", "3")]));
    let file = settings("log.retention.ms=4");
    let topic = map(&[("retention.ms", "1")]);
    let all = Layers { broker: &broker, cluster: &cluster, settings: &file };
    assert_eq!(all.topic_value(&topic, &RETENTION_MS), 1);
    assert_eq!(all.topic_value(&(), &RETENTION_MS), 2);
    assert_eq!(Layers { broker: &(), ..all }.topic_value(&(), &RETENTION_MS), 3);
    assert_eq!(Layers::of(&file).topic_value(&(), &RETENTION_MS), 4);
    assert_eq!(Layers::of(&Settings::default()).topic_value(&(), &RETENTION_MS), 7 * 24 * 3_600_000);
}

#[test]
fn coarser_units_count_where_finer_ones_are_not_set() {
    let resolve = |text: &str| TopicConfig::resolve(&(), &Layers::of(&settings(text))).retention_ms;
    assert_eq!(resolve("log.retention.hours=2"), Some(2 * 3_600_000));
    assert_eq!(resolve("log.retention.hours=2\nlog.retention.minutes=3"), Some(3 * 60_000));
    assert_eq!(resolve("log.retention.hours=2\nlog.retention.minutes=3\nlog.retention.ms=4"), Some(4));
    assert_eq!(resolve("log.retention.hours=-1"), None, "no limit in any unit");
    assert_eq!(resolve("log.retention.hours=2147483647"), Some(2_147_483_647 * 3_600_000));
    let cluster = map(&[("log.retention.ms", "5")]);
    let file = settings("log.retention.ms=4\nlog.retention.minutes=3");
    let layers = Layers { broker: &(), cluster: &cluster, settings: &file };
    assert_eq!(layers.topic_value(&(), &RETENTION_MS), 5);
}

#[test]
fn a_topic_is_resolved_with_kafkas_defaults() {
    let config = TopicConfig::resolve(&(), &Layers::of(&Settings::default()));
    assert_eq!(config.segment_bytes, 1 << 30);
    assert_eq!(config.max_message_bytes, 1_048_588);
    assert_eq!(config.compression_type, CompressionType::Producer);
    assert_eq!(config.message_timestamp_type, TimestampType::CreateTime);
    assert_eq!(config.message_timestamp_after_max_ms, 3_600_000);
    assert_eq!((config.flush_messages, config.flush_ms, config.retention_bytes), (None, None, None));
    assert!(config.cleanup_policy.delete && !config.cleanup_policy.compact);
}

#[test]
fn a_topic_is_resolved_with_what_is_set_on_it() {
    let topic = map(&[
        ("cleanup.policy", "compact"),
        ("compression.type", "zstd"),
        ("compression.zstd.level", "7"),
        ("message.timestamp.type", "LogAppendTime"),
        ("flush.messages", "1"),
        ("retention.ms", "-1"),
    ]);
    let config = TopicConfig::resolve(&topic, &Layers::of(&Settings::default()));
    assert!(config.cleanup_policy.compact && !config.cleanup_policy.delete);
    assert_eq!(config.compression_type, CompressionType::Zstd(7));
    assert_eq!(config.message_timestamp_type, TimestampType::LogAppendTime);
    assert_eq!((config.flush_messages, config.retention_ms), (Some(1), None));
}

#[test]
fn a_stored_value_that_is_not_valid_any_more_counts_as_not_set() {
    let topic = map(&[("segment.bytes", "14")]);
    let defaults = Settings::default();
    let layers = Layers::of(&defaults);
    let value = TopicConfig::resolve(&topic, &layers).segment_bytes;
    assert_eq!(value, layers.topic_value(&(), &SEGMENT_BYTES));
}

#[test]
fn describing_a_topic_shows_every_key_with_its_source_and_all_it_won_against() {
    let cluster = map(&[("log.retention.ms", "3")]);
    let file = settings("log.retention.minutes=4");
    let layers = Layers { broker: &(), cluster: &cluster, settings: &file };
    let described = layers.describe_topic(&map(&[("retention.ms", "1")]));
    assert_eq!(described.len(), 33);
    let retention = described.iter().find(|d| d.definition.name == "retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), retention.source), (Some("1"), Source::TopicConfig));
    assert!(!retention.read_only);
    let chain: Vec<_> =
        retention.synonyms.iter().map(|s| (s.name, s.value.as_deref().unwrap(), s.source.code())).collect();
    assert_eq!(
        chain,
        [
            ("retention.ms", "1", 1),
            ("log.retention.ms", "3", 3),
            ("log.retention.minutes", "4", 4),
            ("log.retention.hours", "168", 5),
        ]
    );
    let untouched = described.iter().find(|d| d.definition.name == "segment.bytes").unwrap();
    assert_eq!((untouched.value.as_deref(), untouched.source), (Some("1073741824"), Source::DefaultConfig));
    let topic_only = described.iter().find(|d| d.definition.name == "remote.storage.enable").unwrap();
    assert_eq!(topic_only.synonyms.len(), 1);
}

#[test]
fn a_topic_value_from_a_coarser_key_is_shown_in_the_topics_unit() {
    let described = Layers::of(&settings("log.retention.hours=1")).describe_topic(&());
    let retention = described.iter().find(|d| d.definition.name == "retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), retention.source), (Some("3600000"), Source::StaticBrokerConfig));
}

#[test]
fn describing_a_broker_shows_every_key_and_which_are_read_only() {
    let broker = map(&[("max.connections", "10")]);
    let file = settings("max.connections=20\nnode.id=4");
    let described = Layers { broker: &broker, cluster: &(), settings: &file }.describe_broker();
    assert!(described.is_sorted_by_key(|d| d.definition.name));
    let find = |name: &str| described.iter().find(|d| d.definition.name == name).unwrap();
    let connections = find("max.connections");
    assert_eq!((connections.value.as_deref(), connections.source), (Some("10"), Source::DynamicBrokerConfig));
    assert_eq!(connections.synonyms.len(), 3);
    assert!(!connections.read_only);
    for (key, value) in [("node.id", "4"), ("broker.id", "4"), ("process.roles", "broker,controller")] {
        let described = find(key);
        assert_eq!((described.value.as_deref(), described.read_only), (Some(value), true), "{key}");
        assert_eq!(described.source, Source::StaticBrokerConfig, "{key}");
    }
    assert_eq!(find("node.id").synonyms.len(), 1, "Kafka has no default for it");
    assert_eq!(find("process.roles").synonyms.len(), 1, "Kafka has no default for it");
    assert_eq!(
        (find("broker.rack").value.as_deref(), find("broker.rack").source),
        (None, Source::DefaultConfig)
    );
}

#[test]
fn describing_the_cluster_default_shows_only_what_is_set_there() {
    let cluster = map(&[("max.connections", "10")]);
    let file = settings("max.connections=20");
    let described = Layers { broker: &(), cluster: &cluster, settings: &file }.describe_cluster_default();
    let shown: Vec<_> = described.iter().map(|d| (d.definition.name, d.source)).collect();
    assert_eq!(shown, [("max.connections", Source::DynamicDefaultBrokerConfig)]);
}

#[test]
fn a_dynamic_value_reaches_whoever_asks_for_a_broker_key() {
    let cluster = map(&[("max.connections", "10"), ("node.id", "9")]);
    let file = settings("max.connections=20\nnode.id=4");
    let layers = Layers { broker: &(), cluster: &cluster, settings: &file };
    assert_eq!(layers.get(&broker::network::MAX_CONNECTIONS), 10);
    assert_eq!(layers.get(&broker::node::NODE_ID), Some(4), "a read-only key does not change at run time");
}

fn invalid(pairs: &[(&str, &str)]) -> String {
    validate(pairs.iter().copied(), &Layers::of(&Settings::default())).unwrap_err().to_string()
}

#[test]
fn topic_configurations_are_checked_by_name_value_and_together() {
    let fine = [("min.compaction.lag.ms", "5"), ("retention.ms", "-1"), ("remote.storage.enable", "false")];
    assert_eq!(validate(fine, &Layers::of(&Settings::default())), Ok(()));
    assert_eq!(invalid(&[("retention.mss", "1")]), "Unknown topic config name: retention.mss");
    assert_eq!(
        invalid(&[("retention.ms", "x")]),
        "Invalid value x for configuration retention.ms: expected a long of at least -1"
    );
    assert_eq!(
        invalid(&[("min.compaction.lag.ms", "5"), ("max.compaction.lag.ms", "1")]),
        "conflict topic config setting min.compaction.lag.ms (5) > max.compaction.lag.ms (1)"
    );
    assert!(invalid(&[("remote.storage.enable", "true")]).contains("Tiered storage"));
    let cluster = map(&[("log.cleaner.max.compaction.lag.ms", "1")]);
    let file = Settings::default();
    let layers = Layers { broker: &(), cluster: &cluster, settings: &file };
    let result = validate([("min.compaction.lag.ms", "5")], &layers);
    assert!(matches!(result, Err(InvalidTopicConfig::Together(_))), "{result:?}");
}

#[test]
fn only_dynamic_broker_keys_are_set_at_run_time() {
    assert_eq!(dynamic::validate([("log.retention.ms", "1"), ("min.insync.replicas", "2")], true), Ok(()));
    for (pairs, why) in [
        ([("node.id", "1")], "Cannot update these configs dynamically: node.id"),
        ([("log.retention.ms", "0")], "expected a long of at least 1, or -1"),
        ([("log.retention.mss", "1")], "did you mean log.retention.ms?"),
        ([("ssl.keystore.location", "/k")], "TLS is not available yet"),
        ([("num.io.threads", "16")], "num.io.threads has no effect: there is no thread pool"),
        (
            [("log.cleaner.threads", "1")],
            "log.cleaner.threads has no effect: compaction is not available yet",
        ),
    ] {
        let message = dynamic::validate(pairs, false).unwrap_err().to_string();
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn sources_are_known_by_their_numbers() {
    for code in 1..=5 {
        assert_eq!(Source::from_code(code).map(Source::code), Some(code));
    }
    assert_eq!(Source::from_code(0), None);
    assert_eq!(Source::TopicConfig.name(), "DYNAMIC_TOPIC_CONFIG");
}
