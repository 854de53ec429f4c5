//! Topics, configs and the cluster, as an administrator sees them.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    cluster_hands::Placed,
    command::eventually,
    hands::{Hands, Producing, Record, SOON, codes, refused, refused_if_offered},
};

pub(super) fn cluster(hands: &mut Hands) -> Result<()> {
    let (mut brokers, controller) = hands.cluster()?;
    brokers.sort();
    let named = (1..).zip(&brokers).all(|(id, broker)| broker.starts_with(&format!("{id}@127.0.0.1:")));
    ensure!(named && i64::try_from(brokers.len())? == hands.brokers(), "brokers: {brokers:?}");
    ensure!((1..=hands.brokers()).contains(&controller), "controller {controller}");
    Ok(())
}

fn listed(hands: &mut Hands, topic: &str) -> Result<bool> {
    Ok(hands.topics()?.iter().any(|name| name == topic))
}

pub(super) fn unknown_topic(hands: &mut Hands) -> Result<()> {
    refused("describing it", codes::UNKNOWN_TOPIC_OR_PARTITION, hands.describe("nowhere"))?;
    refused("deleting it", codes::UNKNOWN_TOPIC_OR_PARTITION, hands.delete("nowhere"))?;
    ensure!(!listed(hands, "nowhere")?, "it was created");
    Ok(())
}

pub(super) fn lifecycle(hands: &mut Hands) -> Result<()> {
    let topic = "lifecycle";
    hands.create(topic, 4, &[("retention.ms", "100000")])?;
    let (placed, all) = (hands.placed(topic)?, (1..=hands.brokers()).collect::<Vec<_>>());
    let is_everywhere = |ids: &[i64]| all.iter().all(|id| ids.contains(id)) && ids.len() == all.len();
    let is_whole =
        |p: &Placed| all.contains(&p.leader) && is_everywhere(&p.replicas) && is_everywhere(&p.isr);
    ensure!(placed.len() == 4 && placed.values().all(is_whole), "described as {placed:?}");
    ensure!(listed(hands, topic)?, "not listed");
    hands.produce(topic, &[Record::of("old")], Producing::default())?;
    hands.delete(topic)?;
    let gone = eventually(SOON, || Ok((!listed(hands, topic)?).then_some(())))?;
    gone.context("still listed after its deletion")?;
    refused("deleting it again", codes::UNKNOWN_TOPIC_OR_PARTITION, hands.delete(topic))?;
    hands.create(topic, 2, &[])?;
    let described = hands.describe(topic)?;
    ensure!(described.len() == 2, "the new topic is described as {described:?}");
    hands.expect_bounds(topic, 0, 0)?;
    let places = hands.produce(topic, &[Record::of("new")], Producing::default())?;
    ensure!(places == [(0, 0)], "the new topic's first record is at {places:?}");
    Ok(())
}

pub(super) fn exists(hands: &mut Hands) -> Result<()> {
    hands.create("exists", 1, &[])?;
    refused("a second creation", codes::TOPIC_ALREADY_EXISTS, hands.try_create("exists", 1, 1, &[]))
}

pub(super) fn invalid_name(hands: &mut Hands) -> Result<()> {
    for name in ["a b", "a/b", "..", &"x".repeat(250)] {
        refused(&format!("topic {name:?}"), codes::INVALID_TOPIC, hands.try_create(name, 1, 1, &[]))?;
    }
    refused("0 partitions", codes::INVALID_PARTITIONS, hands.try_create("no-partitions", 0, 1, &[]))?;
    let too_many = hands.try_create("too-many-replicas", 1, hands.brokers() + 1, &[]);
    refused("more replicas than brokers", codes::INVALID_REPLICATION_FACTOR, too_many)
}

pub(super) fn add_partitions(hands: &mut Hands) -> Result<()> {
    let topic = "add-partitions";
    hands.create(topic, 2, &[])?;
    hands.add_partitions(topic, 5)?;
    let five = eventually(SOON, || Ok((hands.describe(topic)?.len() == 5).then_some(())))?;
    five.context("not five partitions")?;
    let record = Record { partition: 4, ..Record::of("v") };
    let places = hands.produce(topic, &[record], Producing::default())?;
    ensure!(places == [(4, 0)], "the record is at {places:?}");
    refused("fewer", codes::INVALID_PARTITIONS, hands.add_partitions(topic, 3))
}

/// Waits until a config has the value.
fn expect_config(hands: &mut Hands, kind: &str, name: &str, key: &str, value: &Value) -> Result<()> {
    let mut seen = None;
    let same = eventually(SOON, || {
        seen = hands.configs(kind, name)?.remove(key);
        Ok((seen.as_ref() == Some(value)).then_some(()))
    })?;
    same.with_context(|| format!("{key} of {kind} {name} is {seen:?}, not {value}"))
}

pub(super) fn topic_configs(hands: &mut Hands) -> Result<()> {
    let topic = "topic-configs";
    hands.create(topic, 1, &[("retention.ms", "100000")])?;
    expect_config(hands, "topic", topic, "retention.ms", &json!("100000"))?;
    expect_config(hands, "topic", topic, "max.message.bytes", &json!("1048588"))?;
    hands.alter_configs("topic", topic, &json!({"max.message.bytes": "500"}))?;
    expect_config(hands, "topic", topic, "max.message.bytes", &json!("500"))?;
    expect_config(hands, "topic", topic, "retention.ms", &json!("100000"))?;
    let big = [Record::of("x".repeat(1000))];
    refused("1,000 bytes", codes::RECORD_TOO_LARGE, hands.produce(topic, &big, Producing::default()))?;
    hands.alter_configs("topic", topic, &json!({"max.message.bytes": null}))?;
    expect_config(hands, "topic", topic, "max.message.bytes", &json!("1048588"))?;
    hands.produce(topic, &big, Producing::default()).map(|_| ())
}

pub(super) fn bad_config(hands: &mut Hands) -> Result<()> {
    hands.create("bad-config", 1, &[])?;
    let bad = [
        ("no.such.key", "1"),
        ("retention.ms", "soon"),
        ("cleanup.policy", "keep"),
        ("max.message.bytes", "-1"),
    ];
    for (key, value) in bad {
        let created = hands.try_create("not-created", 1, 1, &[(key, value)]);
        refused(&format!("creation with {key}={value}"), codes::INVALID_CONFIG, created)?;
    }
    ensure!(!listed(hands, "not-created")?, "a bad config created a topic");
    for (key, value) in bad {
        let altered = hands.alter_configs("topic", "bad-config", &json!({key: value}));
        refused_if_offered(&format!("change to {key}={value}"), codes::INVALID_CONFIG, altered)?;
    }
    Ok(())
}

pub(super) fn broker_configs(hands: &mut Hands) -> Result<()> {
    expect_config(hands, "broker", "1", "node.id", &json!("1"))?;
    expect_config(hands, "broker", "1", "num.partitions", &json!("12"))?;
    hands.alter_configs("broker", "1", &json!({"log.retention.ms": "7200000"}))?;
    expect_config(hands, "broker", "1", "log.retention.ms", &json!("7200000"))?;
    hands.alter_configs("broker", "1", &json!({"log.retention.ms": null}))?;
    expect_config(hands, "broker", "1", "log.retention.ms", &Value::Null)
}
