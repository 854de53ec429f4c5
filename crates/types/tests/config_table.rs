//! Claims about the tables of keys.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;

use ottla_types::config::{Definition, Dynamic, Kind, Layers, Settings, TopicConfig, broker, ignored, topic};

fn every_definition() -> impl Iterator<Item = &'static Definition> {
    broker::all().chain(topic::TOPIC_KEYS.iter().copied())
}

#[test]
fn every_default_is_a_valid_value_in_canonical_form() {
    for definition in every_definition() {
        if let Some(default) = definition.default {
            assert_eq!(definition.canonical(default).as_deref(), Ok(default), "{}", definition.name);
        }
    }
}

#[test]
fn every_key_has_documentation_of_one_or_two_sentences() {
    for definition in every_definition() {
        let doc = definition.doc();
        assert!(doc.ends_with('.') && doc.len() > 15, "{}: {doc:?}", definition.name);
        assert!(!doc.contains("  "), "{}: {doc:?}", definition.name);
    }
}

#[test]
fn no_key_is_defined_twice_or_ignored_besides() {
    let mut names = BTreeSet::new();
    for definition in broker::all() {
        assert!(names.insert(definition.name), "{}", definition.name);
        assert_eq!(ignored::why(definition.name), None, "{}", definition.name);
    }
    let topic_names: Vec<_> = topic::TOPIC_KEYS.iter().map(|d| d.name).collect();
    assert!(topic_names.is_sorted_by(|a, b| a < b), "describing a topic answers in this order");
}

#[test]
fn every_synonym_of_a_topic_key_is_a_broker_key_with_the_same_default() {
    for definition in topic::TOPIC_KEYS {
        let synonyms = topic::broker_synonyms(definition.name);
        let defaults: Vec<_> = synonyms
            .iter()
            .filter_map(|synonym| {
                let broker_key = broker::find(synonym.name).expect(synonym.name);
                let default = broker_key.default?;
                Some(if synonym.factor == 1 {
                    default.to_owned()
                } else {
                    (default.parse::<i64>().unwrap() * synonym.factor).to_string()
                })
            })
            .collect();
        if !synonyms.is_empty() {
            assert_eq!(defaults, [definition.default.unwrap()], "{}", definition.name);
        }
    }
}

#[test]
fn the_settings_that_the_project_promises_have_their_defaults() {
    for (name, default) in [
        ("min.insync.replicas", Some("1")),
        ("replica.lag.time.max.ms", Some("30000")),
        ("replica.lag.max.messages", None),
        ("replica.lag.detector", Some("adaptive")),
        ("replica.fetch.wait.max.ms", Some("500")),
        ("offsets.retention.check.interval.ms", Some("600000")),
        ("offsets.topic.segment.bytes", Some("104857600")),
        ("transaction.max.timeout.ms", Some("900000")),
        ("zookeeper.session.timeout.ms", Some("6000")),
        ("broker.session.timeout.ms", Some("6000")),
        ("broker.heartbeat.interval.ms", Some("100")),
        ("controller.quorum.election.timeout.ms", Some("300")),
        ("controller.quorum.fetch.timeout.ms", Some("500")),
        ("zookeeper.sync.time.ms", Some("2000")),
    ] {
        assert_eq!(broker::find(name).expect(name).default, default, "{name}");
    }
}

/// Apache Kafka 4.3.1's topic keys with their defaults, as its `LogConfig` has them.
#[test]
fn every_topic_key_of_kafka_is_there_with_its_default() {
    let kafka = [
        ("cleanup.policy", "delete"),
        ("compression.gzip.level", "-1"),
        ("compression.lz4.level", "9"),
        ("compression.type", "producer"),
        ("compression.zstd.level", "3"),
        ("delete.retention.ms", "86400000"),
        ("file.delete.delay.ms", "60000"),
        ("flush.messages", "9223372036854775807"),
        ("flush.ms", "9223372036854775807"),
        ("follower.replication.throttled.replicas", ""),
        ("index.interval.bytes", "4096"),
        ("leader.replication.throttled.replicas", ""),
        ("local.retention.bytes", "-2"),
        ("local.retention.ms", "-2"),
        ("max.compaction.lag.ms", "9223372036854775807"),
        ("max.message.bytes", "1048588"),
        ("message.timestamp.after.max.ms", "3600000"),
        ("message.timestamp.before.max.ms", "9223372036854775807"),
        ("message.timestamp.type", "CreateTime"),
        ("min.cleanable.dirty.ratio", "0.5"),
        ("min.compaction.lag.ms", "0"),
        ("min.insync.replicas", "1"),
        ("preallocate", "false"),
        ("remote.log.copy.disable", "false"),
        ("remote.log.delete.on.disable", "false"),
        ("remote.storage.enable", "false"),
        ("retention.bytes", "-1"),
        ("retention.ms", "604800000"),
        ("segment.bytes", "1073741824"),
        ("segment.index.bytes", "10485760"),
        ("segment.jitter.ms", "0"),
        ("segment.ms", "604800000"),
        ("unclean.leader.election.enable", "false"),
    ];
    let ours: Vec<_> = topic::TOPIC_KEYS.iter().map(|d| (d.name, d.default.unwrap())).collect();
    assert_eq!(ours, kafka);
}

/// Reading every key by its type is what shows that type and table agree: this is the test that `Settings::get` names.
#[test]
fn every_key_can_be_read_where_nothing_is_set() {
    let settings = Settings::default();
    let described = Layers::of(&settings).describe_broker();
    assert_eq!(described.len(), broker::all().count());
    // Resolving reads every topic key that means something.
    let _ = TopicConfig::resolve(&(), &Layers::of(&settings));
    for definition in every_definition() {
        let nullable = definition.default.is_none();
        assert!(!nullable || definition.kind != Kind::Boolean, "{}", definition.name);
    }
}

#[test]
fn whatever_gives_a_topic_its_defaults_at_run_time_can_be_changed_at_run_time() {
    for definition in topic::TOPIC_KEYS {
        if let Some(first) = topic::broker_synonyms(definition.name).first() {
            assert_eq!(broker::find(first.name).unwrap().dynamic, Dynamic::ClusterWide, "{}", first.name);
        }
    }
}

#[test]
fn values_are_checked_as_kafka_checks_them() {
    let check = |key: &str, value: &str| topic::find(key).unwrap().canonical(value).ok();
    assert_eq!(check("retention.ms", " 5 ").as_deref(), Some("5"));
    assert_eq!(check("retention.ms", "+5").as_deref(), Some("5"));
    assert_eq!(check("retention.ms", "-2"), None);
    assert_eq!(check("retention.ms", "1_000"), None);
    assert_eq!(check("retention.ms", ""), None);
    assert_eq!(check("segment.bytes", "2147483648"), None, "more than an int");
    assert_eq!(check("segment.bytes", "1048575"), None);
    assert_eq!(check("preallocate", " TRUE ").as_deref(), Some("true"));
    assert_eq!(check("preallocate", "yes"), None);
    assert_eq!(check("cleanup.policy", "delete, compact").as_deref(), Some("delete,compact"));
    assert_eq!(check("cleanup.policy", "delete,delete").as_deref(), Some("delete"));
    assert_eq!(check("cleanup.policy", "").as_deref(), Some(""));
    assert_eq!(check("cleanup.policy", "delete,"), None);
    assert_eq!(check("cleanup.policy", "Delete"), None);
    assert_eq!(check("compression.type", "zstd").as_deref(), Some("zstd"));
    assert_eq!(check("compression.type", "none"), None);
    assert_eq!(check("compression.gzip.level", "0"), None);
    assert_eq!(check("compression.gzip.level", "-1").as_deref(), Some("-1"));
    assert_eq!(check("min.cleanable.dirty.ratio", "1.0").as_deref(), Some("1.0"));
    assert_eq!(check("min.cleanable.dirty.ratio", "1.5"), None);
    assert_eq!(check("min.cleanable.dirty.ratio", "NaN"), None);
    assert_eq!(check("leader.replication.throttled.replicas", "0:1, 1:2").as_deref(), Some("0:1,1:2"));
    assert_eq!(check("leader.replication.throttled.replicas", "*").as_deref(), Some("*"));
    assert_eq!(check("leader.replication.throttled.replicas", "x"), None);
}

#[test]
fn a_refused_value_is_answered_with_what_is_allowed() {
    let message = |key: &str, value: &str| topic::find(key).unwrap().check(value).unwrap_err().to_string();
    assert_eq!(
        message("retention.ms", "soon"),
        "Invalid value soon for configuration retention.ms: expected a long of at least -1"
    );
    assert_eq!(
        message("compression.gzip.level", "12"),
        "Invalid value 12 for configuration compression.gzip.level: expected an int from 1 to 9, or -1"
    );
    assert_eq!(
        message("message.timestamp.type", "createtime"),
        "Invalid value createtime for configuration message.timestamp.type: expected one of CreateTime, LogAppendTime"
    );
}
