//! Administration from the command line, end to end: configurations, partitions, completions, and the environment.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use common::{Server, ok, ottla, stderr};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_topic_gets_more_partitions_and_other_configs() {
    let server = Server::start(&[]);
    server.ok("topic create orders", "");
    let said =
        server.ok("topic alter orders --partitions 4 --set retention.ms=1000 --set segment.ms=2000", "");
    assert_eq!(
        said,
        "Topic orders has 4 partitions.\nTopic orders: retention.ms=1000\nTopic orders: segment.ms=2000\n"
    );
    server.ok("topic alter orders --unset segment.ms", "");
    let described = &json(&server.ok("topic describe orders --json", ""))[0];
    assert_eq!(described["partitions"].as_array().unwrap().len(), 4);
    assert_eq!(described["configs"], serde_json::json!([{"key": "retention.ms", "value": "1000"}]));
    let altered = json(&server.ok("topic alter orders --partitions 6 --dry-run --json", ""));
    assert_eq!((&altered["partitions"], &altered["dry_run"]), (&6.into(), &true.into()));
    assert_eq!(
        server
            .ok("topic describe orders", "")
            .lines()
            .filter(|l| l.trim_start().starts_with(char::is_numeric))
            .count(),
        4
    );
}

#[test]
fn of_a_change_that_cannot_be_done_in_whole_nothing_is_done() {
    let server = Server::start(&[]);
    server.ok("topic create orders --partitions 3", "");
    for (line, said) in [
        ("topic alter orders --partitions 2 --set retention.ms=1000", "INVALID_PARTITIONS"),
        ("topic alter orders --partitions 9 --set retention.ms=soon", "expected a long of at least -1"),
        ("topic alter orders --set retention.ms=1 --unset retention.ms", "retention.ms is named twice"),
        ("topic alter nowhere --partitions 9", "ottla topic create"),
    ] {
        let output = server.run(line, "");
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
        assert!(stderr(&output).contains(said), "{line}: {}", stderr(&output));
    }
    let described = &json(&server.ok("topic describe orders --json", ""))[0];
    assert_eq!(described["partitions"].as_array().unwrap().len(), 3);
    assert_eq!(described["configs"], serde_json::json!([]));
}

#[test]
fn values_are_got_with_where_they_are_set() {
    let server = Server::start(&["log.retention.hours=5"]);
    server.ok("topic create orders", "");
    let get = |line: &str| -> Vec<Vec<String>> {
        let words =
            |line: &str| line.split("  ").filter(|w| !w.is_empty()).map(|w| w.trim().to_owned()).collect();
        let rows = |rows: String| rows.lines().skip(1).map(words).collect::<Vec<Vec<String>>>();
        let mut rows = rows(server.ok(line, ""));
        // The first controller sets it for all brokers, so that all count by the same number (KIP-966).
        let is_pinned = |row: &[String]| row == ["min.insync.replicas", "1", "all brokers"];
        rows.retain(|row| !is_pinned(row));
        rows
    };
    assert_eq!(get("config get --topic orders"), [["retention.ms", "18000000", "static"]]);
    server.ok("config set --broker-default log.retention.ms=2000", "");
    assert_eq!(get("config get --topic orders"), [["retention.ms", "2000", "all brokers"]]);
    assert_eq!(get("config get --broker-default"), [["log.retention.ms", "2000", "all brokers"]]);
    server.ok("config set --broker 1 log.retention.ms=3000", "");
    assert_eq!(get("config get --topic orders retention.ms"), [["retention.ms", "3000", "broker"]]);
    assert_eq!(get("config get --broker 1 log.retention.ms"), [["log.retention.ms", "3000", "broker"]]);
    server.ok("config set --topic orders retention.ms=4000 cleanup.policy=compact,delete", "");
    let topic = json(&server.ok("config get --topic orders --json retention.ms", ""));
    assert_eq!((&topic[0]["value"], &topic[0]["source"]), (&"4000".into(), &"DYNAMIC_TOPIC_CONFIG".into()));
    let synonyms = topic[0]["synonyms"].as_array().unwrap();
    let sources: Vec<&str> = synonyms.iter().map(|synonym| synonym["source"].as_str().unwrap()).collect();
    assert_eq!(
        sources,
        [
            "DYNAMIC_TOPIC_CONFIG",
            "DYNAMIC_BROKER_CONFIG",
            "DYNAMIC_DEFAULT_BROKER_CONFIG",
            "STATIC_BROKER_CONFIG",
            "DEFAULT_CONFIG",
        ]
        .into_iter()
        .filter(|source| sources.contains(source))
        .collect::<Vec<_>>(),
        "the one that counts first"
    );
    assert!(sources.len() >= 4, "{sources:?}");
    server.ok("config set --topic orders --unset retention.ms --unset cleanup.policy", "");
    server.ok("config set --broker 1 --unset log.retention.ms", "");
    server.ok("config set --broker-default --unset log.retention.ms", "");
    assert_eq!(get("config get --topic orders"), [["retention.ms", "18000000", "static"]]);
    assert!(get("config get --broker-default").is_empty());
    let all = json(&server.ok("config get --topic orders --all --json", ""));
    assert_eq!(all.as_array().unwrap().len(), 33);
}

#[test]
fn a_change_that_is_refused_says_why_and_a_dry_run_changes_nothing() {
    let server = Server::start(&[]);
    server.ok("topic create orders", "");
    for (line, said) in [
        ("config set --topic orders retention.ms=soon", "expected a long of at least -1"),
        ("config set --topic orders retentoin.ms=1", "retentoin.ms"),
        ("config set --broker 1 node.id=7", "node.id"),
        ("config set --broker 9 log.retention.ms=1", "the cluster has no broker 9 now: it has 1"),
        ("config set --topic nowhere retention.ms=1", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("config get --topic orders retentoin.ms", "did you mean retention.ms?"),
        ("config get --topic nowhere", "UNKNOWN_TOPIC_OR_PARTITION"),
    ] {
        let output = server.run(line, "");
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
        assert!(stderr(&output).contains(said), "{line}: {}", stderr(&output));
    }
    let said = server.ok("config set --topic orders retention.ms=1000 --dry-run", "");
    assert_eq!(said, "topic orders: retention.ms=1000 (it could be done, and was not)\n");
    let set = server.ok("config get --topic orders", "");
    assert!(set.contains("min.insync.replicas") && !set.contains("retention.ms"), "{set}");
    let changed =
        json(&server.ok("config set --topic orders retention.ms=1000 --unset segment.ms --json", ""));
    assert_eq!(changed[0]["value"], "1000");
    assert_eq!((&changed[1]["key"], &changed[1]["value"]), (&"segment.ms".into(), &Value::Null));
}

#[test]
fn the_table_of_keys_is_what_a_broker_describes() {
    let server = Server::start(&[]);
    for (scope, target) in [("broker", "--broker 1"), ("topic", "--topic orders")] {
        if scope == "topic" {
            server.ok("topic create orders", "");
        }
        let listed = json(&ok(&format!("config list --scope {scope} --json"), ""));
        let described = json(&server.ok(&format!("config get {target} --all --json"), ""));
        let names = |list: &Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&listed), names(&described));
        for (key, described) in listed.as_array().unwrap().iter().zip(described.as_array().unwrap()) {
            assert_eq!(key["update"] == "read-only", described["read_only"] == true, "{key}");
            if described["source"] == "DEFAULT_CONFIG" && described["sensitive"] == false {
                assert_eq!(key["default"], described["value"], "{key}");
            }
        }
    }
    let text = ok("config list log.retention.ms --scope broker", "");
    assert!(text.starts_with("log.retention.ms  (broker, long)\n    default none; allowed: "), "{text}");
    assert_eq!(ottla("config list no.such.key", &[], "").status.code(), Some(1));
}

#[test]
fn the_environment_sets_keys_and_its_mistakes_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data").display().to_string();
    let variables = [
        ("KAFKA_LOG_DIRS", "/nowhere"),
        ("OTTLA_LOG_DIRS", data.as_str()),
        ("KAFKA_LISTENERS", "PLAINTEXT://127.0.0.1:0"),
        ("KAFKA_NODE_ID", "7"),
        ("KAFKA_HEAP_OPTS", "-Xmx1g"),
        ("KAFKA_NUM_PARTITONS", "4"),
    ];
    let server = Server::start_by_environment(directory, &variables);
    let id = json(&server.ok("config get --broker 7 node.id --json", ""));
    assert_eq!((&id[0]["value"], &id[0]["source"]), (&"7".into(), &"STATIC_BROKER_CONFIG".into()));
    let dirs = json(&server.ok("config get --broker 7 log.dirs --json", ""));
    assert_eq!(dirs[0]["value"], data);

    let wrong = [("KAFKA_NUM_PARTITIONS", "many"), ("KAFKA_LOG_SEGMENT_BYTES", "1")];
    let output = ottla("serve --override node.id=-1", &wrong, "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stderr(&output);
    for line in [
        "environment variable KAFKA_NUM_PARTITIONS: num.partitions=many is not valid: expected an int of at least 1",
        "environment variable KAFKA_LOG_SEGMENT_BYTES: log.segment.bytes=1 is not valid: expected an int of at least",
        "--override: node.id=-1 is not valid: expected an int of at least 0",
    ] {
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn an_unknown_variable_is_warned_of_once_with_the_nearest_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners = format!("PLAINTEXT://{}", taken.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().display().to_string();
    // The broker ends by itself, since its address is taken.
    let variables = [("OTTLA_NUM_PARTITONS", "4"), ("KAFKA_OPTS", "-D"), ("OTTLA_LOG_DIRS", data.as_str())];
    let output = ottla(&format!("serve --override listeners={listeners}"), &variables, "");
    let said = stderr(&output);
    let warning = "environment variable OTTLA_NUM_PARTITONS: num.partitons is not a key that this program knows: did \
                   you mean num.partitions?";
    assert_eq!(said.matches(warning).count(), 1, "{said}");
    assert!(!said.contains("KAFKA_OPTS"), "{said}");
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ok(&format!("completions {shell}"), "");
        for word in ["consume", "describe", "bootstrap-server"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}
