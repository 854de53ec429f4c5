//! Claims about changing configurations.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Cluster, on_topic};
use ottla_metadata::controller::configs::{Changes, ConfigOp, Replacement, resource};
use ottla_metadata::record::ConfigResource;
use ottla_types::config::broker::network::MAX_CONNECTIONS;
use ottla_types::config::{Settings, TopicConfig};
use ottla_types::{BrokerId, ErrorCode, TopicName};

fn set(value: &str) -> ConfigOp {
    ConfigOp::Set(value.to_owned())
}

fn shown(cluster: &Cluster, resource: &ConfigResource) -> Vec<(String, String)> {
    let configs = cluster.image().configs(resource);
    configs.into_iter().flat_map(|c| c.iter()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_key_is_set_and_unset() {
    let mut cluster = Cluster::of(1);
    cluster.created("t", 1, 1);
    cluster.configure(on_topic("t"), "retention.ms", set("60000")).unwrap();
    assert_eq!(shown(&cluster, &on_topic("t")), pairs(&[("retention.ms", "60000")]));
    let settings = Settings::default();
    let resolve = |cluster: &Cluster| {
        let name = TopicName::new("t").unwrap();
        let layers = cluster.image().layers(BrokerId(1), &settings);
        TopicConfig::resolve(cluster.image().topic_overrides(&name), &layers).retention_ms
    };
    assert_eq!(resolve(&cluster), Some(60_000));
    cluster.configure(on_topic("t"), "retention.ms", ConfigOp::Delete).unwrap();
    assert_eq!(shown(&cluster, &on_topic("t")), pairs(&[]));
    assert_eq!(resolve(&cluster), Some(604_800_000));
}

#[test]
fn a_list_is_appended_to_and_subtracted_from_beginning_with_its_default() {
    let mut cluster = Cluster::of(1);
    cluster.created("t", 1, 1);
    let mut step = |op: ConfigOp| {
        cluster.configure(on_topic("t"), "cleanup.policy", op).unwrap();
        shown(&cluster, &on_topic("t"))
    };
    let append = |items: &str| ConfigOp::Append(items.to_owned());
    assert_eq!(step(append("compact")), pairs(&[("cleanup.policy", "delete,compact")]));
    assert_eq!(step(append("compact")), pairs(&[("cleanup.policy", "delete,compact")]));
    assert_eq!(step(ConfigOp::Subtract("delete".to_owned())), pairs(&[("cleanup.policy", "compact")]));
}

#[test]
fn what_is_no_list_is_not_appended_to() {
    let mut cluster = Cluster::of(1);
    cluster.created("t", 1, 1);
    let refused = cluster.configure(on_topic("t"), "retention.ms", ConfigOp::Append("1".into())).unwrap_err();
    assert_eq!(refused.error, ErrorCode::InvalidConfig);
    assert_eq!(refused.message, "Can't APPEND to key retention.ms because its type is not LIST.");
}

#[test]
fn one_invalid_key_keeps_all_changes_of_its_resource_back_and_no_others() {
    let mut cluster = Cluster::of(1);
    cluster.created("a", 1, 1);
    cluster.created("b", 1, 1);
    let changes = [
        Changes {
            resource: on_topic("a"),
            ops: vec![("segment.ms".into(), set("1")), ("retention.ms".into(), set("x"))],
        },
        Changes { resource: on_topic("b"), ops: vec![("segment.ms".into(), set("1"))] },
    ];
    let decision = cluster.controller.incremental_alter_configs(&changes, false);
    let answers = cluster.commit(decision);
    assert_eq!(answers[0].as_ref().unwrap_err().error, ErrorCode::InvalidConfig);
    assert!(answers[1].is_ok());
    assert_eq!(shown(&cluster, &on_topic("a")), pairs(&[]));
    assert_eq!(shown(&cluster, &on_topic("b")), pairs(&[("segment.ms", "1")]));
}

#[test]
fn values_that_do_not_go_together_are_refused_in_either_order() {
    let mut cluster = Cluster::of(1);
    cluster.created("t", 1, 1);
    cluster.configure(on_topic("t"), "max.compaction.lag.ms", set("10")).unwrap();
    let refused = cluster.configure(on_topic("t"), "min.compaction.lag.ms", set("11")).unwrap_err();
    assert!(refused.message.contains("min.compaction.lag.ms (11) > max.compaction.lag.ms (10)"));
}

#[test]
fn a_topic_that_is_not_there_has_no_configuration() {
    let mut cluster = Cluster::of(1);
    let refused = cluster.configure(on_topic("t"), "segment.ms", set("1")).unwrap_err();
    assert_eq!(refused.error, ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn the_older_request_replaces_everything() {
    let mut cluster = Cluster::of(1);
    cluster.created("t", 1, 1);
    cluster.configure(on_topic("t"), "segment.ms", set("1")).unwrap();
    cluster.configure(on_topic("t"), "retention.ms", set("2")).unwrap();
    let replacement = Replacement {
        resource: on_topic("t"),
        configs: vec![
            ("retention.ms".into(), Some("2".into())),
            ("flush.ms".into(), Some("3".into())),
            ("segment.bytes".into(), None),
        ],
    };
    let decision = cluster.controller.alter_configs(std::slice::from_ref(&replacement), true);
    assert!(decision.records.is_empty() && decision.answer[0].is_ok(), "only validated");
    let decision = cluster.controller.alter_configs(&[replacement], false);
    assert_eq!(decision.records.len(), 2, "what stays needs no record");
    cluster.commit(decision)[0].clone().unwrap();
    assert_eq!(shown(&cluster, &on_topic("t")), pairs(&[("flush.ms", "3"), ("retention.ms", "2")]));
}

#[test]
fn a_broker_has_values_of_its_own_and_the_clusters_defaults() {
    let mut cluster = Cluster::of(2);
    let one = ConfigResource::Broker(BrokerId(1));
    cluster.configure(ConfigResource::ClusterDefault, "max.connections", set("10")).unwrap();
    cluster.configure(one.clone(), "max.connections", set("20")).unwrap();
    let settings = Settings::default();
    let max = |id| cluster.image().layers(BrokerId(id), &settings).get(&MAX_CONNECTIONS);
    assert_eq!((max(1), max(2)), (20, 10));
}

#[test]
fn broker_keys_that_need_a_restart_or_mean_nothing_are_refused() {
    let mut cluster = Cluster::of(1);
    for (key, value, why) in [
        ("node.id", "2", "Cannot update these configs dynamically: node.id"),
        ("max.connections", "-1", "expected an int of at least 0"),
        ("max.conections", "1", "did you mean max.connections?"),
        ("metric.reporters", "x", "metric.reporters has no effect"),
    ] {
        let refused = cluster.configure(ConfigResource::ClusterDefault, key, set(value)).unwrap_err();
        assert_eq!(refused.error, ErrorCode::InvalidRequest);
        assert!(refused.message.contains(why), "{}", refused.message);
    }
}

#[test]
fn two_changes_of_one_resource_in_a_request_both_count() {
    let mut cluster = Cluster::of(1);
    cluster.created("t", 1, 1);
    let change = |key: &str| Changes { resource: on_topic("t"), ops: vec![(key.to_owned(), set("1"))] };
    let changes = [change("segment.ms"), change("flush.ms")];
    let decision = cluster.controller.incremental_alter_configs(&changes, false);
    cluster.commit(decision);
    assert_eq!(shown(&cluster, &on_topic("t")), pairs(&[("flush.ms", "1"), ("segment.ms", "1")]));
}

#[test]
fn resources_are_named_by_type_and_name() {
    assert_eq!(resource(2, "t"), Ok(on_topic("t")));
    assert_eq!(resource(4, "7"), Ok(ConfigResource::Broker(BrokerId(7))));
    assert_eq!(resource(4, ""), Ok(ConfigResource::ClusterDefault));
    for (kind, name, error) in [
        (2, "", ErrorCode::InvalidRequest),
        (2, "a/b", ErrorCode::InvalidTopicException),
        (4, "x", ErrorCode::InvalidRequest),
        (4, "-1", ErrorCode::InvalidRequest),
        (8, "1", ErrorCode::InvalidRequest),
        (99, "", ErrorCode::InvalidRequest),
    ] {
        assert_eq!(resource(kind, name).unwrap_err().error, error, "{kind} {name}");
    }
}
