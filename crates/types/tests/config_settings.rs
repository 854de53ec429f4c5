//! Claims about a node's settings as a whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use ottla_types::BrokerId;
use ottla_types::config::broker::{self, coordinators, log, network, node, replication};
use ottla_types::config::environment;
use ottla_types::config::settings::assignments;
use ottla_types::config::{Assignment, Origin, Problems, Settings, Warning};

fn load(text: &str) -> (Settings, Vec<String>) {
    let (settings, warnings) = Settings::parse("server.properties", text).unwrap();
    (settings, warnings.iter().map(Warning::to_string).collect())
}

fn problems(text: &str) -> Vec<String> {
    let Problems(problems) = Settings::parse("server.properties", text).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

/// The keys that Apache Kafka 4.3's own `config/server.properties` sets.
const KAFKAS_OWN: &str = "
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

#[test]
fn the_file_that_comes_with_kafka_is_taken_without_a_word() {
    let (settings, warnings) = load(KAFKAS_OWN);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(settings.node_id(), BrokerId(1));
    assert_eq!(settings.log_dirs(), ["/tmp/kraft-combined-logs"]);
    assert_eq!(settings.get(&coordinators::OFFSETS_TOPIC_REPLICATION_FACTOR), 1);
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let (settings, warnings) = load("");
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(settings.get(&node::NUM_PARTITIONS), 1);
    assert_eq!(settings.get(&network::SOCKET_REQUEST_MAX_BYTES), 100 * 1024 * 1024);
    assert_eq!(settings.get(&replication::REPLICA_LAG_MAX_MESSAGES), None);
    assert_eq!(settings.get(&log::LOG_DIRS), None);
    assert_eq!(settings.metadata_log_dir(), "./ottla-data");
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once_with_line_key_value_and_range() {
    let found =
        problems("num.partitions=0\nlog.segment.bytes=big\n\nmin.insync.replicas=1\nlog.cleanup.policy=drop");
    assert_eq!(
        found,
        [
            "server.properties:1: num.partitions=0 is not valid: expected an int of at least 1",
            "server.properties:2: log.segment.bytes=big is not valid: expected an int of at least 1048576",
            "server.properties:5: log.cleanup.policy=drop is not valid: expected a list of compact, delete separated by \
             commas",
        ]
    );
}

#[test]
fn an_unknown_key_is_warned_of_with_the_nearest_name() {
    let (_, warnings) = load("log.segement.bytes=1073741824\nwholly.made.up=1\nmax.message.bytes=5");
    assert_eq!(
        warnings,
        [
            "server.properties:1: log.segement.bytes is not a key that this program knows: did you mean \
             log.segment.bytes?",
            "server.properties:2: wholly.made.up is not a key that this program knows",
            "server.properties:3: max.message.bytes is a key of topics and not of brokers: did you mean message.max.bytes?",
        ]
    );
}

#[test]
fn a_key_of_kafka_that_means_nothing_here_is_warned_of_with_the_reason() {
    let (_, warnings) =
        load("metric.reporters=x.Y\nssl.keystore.location=/k\nremote.log.storage.system.enable=true");
    assert_eq!(
        warnings,
        [
            "server.properties:1: metric.reporters has no effect: metrics reporters and their samples are the JVM's",
            "server.properties:2: ssl.keystore.location has no effect: TLS is not available yet, and a listener that \
             asks for it is refused",
            "server.properties:3: remote.log.storage.system.enable has no effect: tiered storage is not available yet",
        ]
    );
}

#[test]
fn a_node_that_access_control_protected_does_not_start_open() {
    let text = "super.users=User:admin\nsasl.enabled.mechanisms=PLAIN\n\
                authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    let problems = Settings::parse("server.properties", text).unwrap_err().to_string();
    assert!(problems.starts_with("server.properties:3: authorizer.class.name="), "{problems}");
    assert!(problems.contains("whoever can connect may do everything"), "{problems}");
    assert_eq!(problems.lines().count(), 1, "{problems}");
    // Kafka's default: no authorizer.
    let (_, warnings) = load("authorizer.class.name=");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn a_key_that_nothing_reads_is_warned_of_unless_it_asks_for_nothing() {
    let (settings, warnings) = load(
        "num.io.threads=16\nlog.cleaner.threads=1\nmax.connection.creation.rate=100\n\
         offsets.topic.replication.factor=3\ntransaction.state.log.min.isr=1\ntransaction.state.log.num.partitions=5",
    );
    assert_eq!(
        warnings,
        [
            "server.properties:1: num.io.threads has no effect: there is no thread pool to size, since the runtime \
             follows the machine's cores",
            "server.properties:3: max.connection.creation.rate has no effect: connections are not limited by rate yet: \
             see max.connections.per.ip",
            "server.properties:6: transaction.state.log.num.partitions has no effect: transactions are not available yet",
        ]
    );
    assert_eq!(settings.get(&network::NUM_IO_THREADS), 16, "DescribeConfigs shows what the file says");
}

#[test]
fn of_two_lines_for_one_key_the_last_counts_and_a_warning_says_so() {
    let (settings, warnings) = load("num.partitions=2\nnum.partitions=3");
    assert_eq!(settings.get(&node::NUM_PARTITIONS), 3);
    assert_eq!(
        warnings,
        ["server.properties:2: num.partitions was set on line 1 already; this value counts"]
    );
}

#[test]
fn an_override_replaces_the_file_without_a_warning_and_its_mistakes_name_it() {
    let over = |value: &str| {
        let file = Origin::File { name: "f".to_owned(), line: 1 };
        let assignment = |value: &str, origin| Assignment {
            key: "num.partitions".to_owned(),
            value: value.to_owned(),
            origin,
        };
        Settings::load([assignment("2", file), assignment(value, Origin::Override)])
    };
    let (settings, warnings) = over("5").unwrap();
    assert_eq!((settings.get(&node::NUM_PARTITIONS), warnings), (5, Vec::new()));
    assert_eq!(
        over("-5").unwrap_err().to_string(),
        "--override: num.partitions=-5 is not valid: expected an int of at least 1"
    );
}

#[test]
fn of_file_environment_and_override_the_later_counts_and_each_is_named_in_its_mistakes() {
    let load = |file: &str, variable: &str, option: Option<&str>| {
        let mut all = assignments("f", &format!("num.partitions={file}")).unwrap();
        all.extend(environment::assignments([("KAFKA_NUM_PARTITIONS".to_owned(), variable.to_owned())]));
        all.extend(option.map(|value| Assignment {
            key: "num.partitions".to_owned(),
            value: value.to_owned(),
            origin: Origin::Override,
        }));
        Settings::load(all).map(|(settings, warnings)| (settings.get(&node::NUM_PARTITIONS), warnings))
    };
    assert_eq!(load("2", "3", None).unwrap(), (3, Vec::new()));
    assert_eq!(load("2", "3", Some("4")).unwrap(), (4, Vec::new()));
    assert_eq!(load("none", "3", None).unwrap().0, 3, "a value that does not count is not judged");
    assert_eq!(
        load("2", "many", None).unwrap_err().to_string(),
        "environment variable KAFKA_NUM_PARTITIONS: num.partitions=many is not valid: expected an int of at least 1"
    );
}

#[test]
fn a_variable_that_sets_no_key_is_warned_of_with_the_nearest_name() {
    let variables =
        [("OTTLA_LOG_DRIS", "/a"), ("KAFKA_ZOOKEEPER_CONNECT", "z:1"), ("KAFKA_HEAP_OPTS", "-Xmx1g")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (_, warnings) = Settings::load(environment::assignments(variables)).unwrap();
    let warnings: Vec<String> = warnings.iter().map(Warning::to_string).collect();
    assert_eq!(
        warnings,
        [
            "environment variable KAFKA_ZOOKEEPER_CONNECT: zookeeper.connect has no effect: metadata on a ZooKeeper \
             ensemble is not available yet: this node keeps its own metadata log",
            "environment variable OTTLA_LOG_DRIS: log.dris is not a key that this program knows: did you mean log.dirs?",
        ]
    );
}

#[test]
fn every_key_can_be_set_by_a_variable() {
    for definition in broker::all() {
        let name = definition.name.replace('_', "__").replace('-', "___").replace('.', "_").to_uppercase();
        let variable = (format!("OTTLA_{name}"), "1".to_owned());
        let keys: Vec<String> = environment::assignments([variable]).into_iter().map(|a| a.key).collect();
        assert_eq!(keys, [definition.name]);
    }
}

#[test]
fn a_fetch_wait_above_the_lag_limit_is_refused() {
    let found = problems("replica.fetch.wait.max.ms=31000");
    assert!(
        found[0].starts_with("server.properties:1: replica.fetch.wait.max.ms is 31000, above"),
        "{found:?}"
    );
    load("replica.fetch.wait.max.ms=31000\nreplica.lag.time.max.ms=31000");
}

#[test]
fn a_message_detector_needs_its_limit() {
    assert_eq!(problems("replica.lag.detector=messages").len(), 1);
    let (settings, _) = load("replica.lag.detector=messages\nreplica.lag.max.messages=4000");
    assert_eq!(settings.get(&replication::REPLICA_LAG_MAX_MESSAGES), Some(4000));
}

#[test]
fn the_node_goes_by_the_older_name_of_its_id_too_but_not_by_two_ids() {
    assert_eq!(load("broker.id=7").0.node_id(), BrokerId(7));
    assert_eq!(
        problems("broker.id=7\nnode.id=8"),
        ["server.properties:1: broker.id is 7 and node.id is 8: set one of them"]
    );
}

#[test]
fn log_directories_are_split_and_none_may_be_empty() {
    let (settings, _) = load("log.dirs=/a, /b");
    assert_eq!(settings.log_dirs(), ["/a", "/b"]);
    assert_eq!(settings.metadata_log_dir(), "/a");
    assert_eq!(load("metadata.log.dir=/m").0.metadata_log_dir(), "/m");
    assert_eq!(problems("log.dirs=/a,,/b").len(), 1);
}

#[test]
fn retention_of_zero_is_refused_as_in_kafka() {
    assert_eq!(
        problems("log.retention.hours=0"),
        ["server.properties:1: log.retention.hours=0 is not valid: expected an int of at least 1, or -1"]
    );
}
