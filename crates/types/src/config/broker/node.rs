//! Who this node is: roles, ids, the metadata quorum, ZooKeeper.

use crate::config::broker::unused;
use crate::config::key::{Valid, at_least, keys};
use crate::config::listeners::split_host_port;

keys! {
    /// The keys of the node and of the metadata quorum.
    NODE_KEYS;

    /// What the node does: `broker` serves clients, `controller` votes on metadata; both by default.
    PROCESS_ROLES: Option<Vec<String>> = "process.roles",
        None, Valid::ListOf(&["broker", "controller"]), High, ReadOnly;
    /// The number of this node, unlike that of any other in the cluster.
    NODE_ID: Option<i32> = "node.id", None, at_least(0), High, ReadOnly;
    /// The older name of `node.id`.
    BROKER_ID: i32 = "broker.id", Some("-1"), Valid::Any, High, ReadOnly;
    /// Where the broker stands (rack, availability zone). Replicas of a partition are spread over racks, and consumers
    /// can read from their own.
    BROKER_RACK: Option<String> = "broker.rack", None, Valid::Any, Medium, ReadOnly;
    /// The voters of the metadata quorum as `id@host:port`, the same list on every node.
    CONTROLLER_QUORUM_VOTERS: Vec<String> = "controller.quorum.voters",
        Some(""), Valid::Form("a list of id@host:port separated by commas", is_text), High, ReadOnly;
    /// Addresses `host:port` at which to find the metadata quorum that this node joins.
    CONTROLLER_QUORUM_BOOTSTRAP_SERVERS: Vec<String> = "controller.quorum.bootstrap.servers",
        Some(""), Valid::Form("a list of host:port separated by commas", is_host_ports), High, ReadOnly;
    /// Whether a controller that finds a quorum by its bootstrap servers asks to vote in it.
    CONTROLLER_QUORUM_AUTO_JOIN_ENABLE: bool = "controller.quorum.auto.join.enable",
        Some("false"), Valid::Any, Low, ReadOnly, unused::CLUSTER;
    /// The shortest time without a leader after which a voter stands for election; drawn at random above it.
    CONTROLLER_QUORUM_ELECTION_TIMEOUT_MS: i32 = "controller.quorum.election.timeout.ms",
        Some("300"), at_least(0), High, ReadOnly;
    /// How long a voter hears nothing from the quorum's leader before it asks for an election.
    CONTROLLER_QUORUM_FETCH_TIMEOUT_MS: i32 = "controller.quorum.fetch.timeout.ms",
        Some("500"), at_least(0), High, ReadOnly;
    /// The longest pause before a candidate that lost stands again.
    CONTROLLER_QUORUM_ELECTION_BACKOFF_MAX_MS: i32 = "controller.quorum.election.backoff.max.ms",
        Some("1000"), at_least(0), High, ReadOnly, unused::CLUSTER;
    /// How long the quorum's leader collects records before it writes them.
    CONTROLLER_QUORUM_APPEND_LINGER_MS: i32 = "controller.quorum.append.linger.ms",
        Some("25"), at_least(0), Medium, ReadOnly, unused::CLUSTER;
    /// How long a request within the quorum may take.
    CONTROLLER_QUORUM_REQUEST_TIMEOUT_MS: i32 = "controller.quorum.request.timeout.ms",
        Some("2000"), at_least(0), Medium, ReadOnly, unused::CLUSTER;
    /// The pause before a request within the quorum is tried again.
    CONTROLLER_QUORUM_RETRY_BACKOFF_MS: i32 = "controller.quorum.retry.backoff.ms",
        Some("20"), at_least(0), Low, ReadOnly, unused::CLUSTER;
    /// Where the metadata log lies; the first log directory if it is not set.
    METADATA_LOG_DIR: Option<String> = "metadata.log.dir", None, Valid::Any, High, ReadOnly;
    /// Write a metadata snapshot when this many bytes of records have come since the last one.
    METADATA_LOG_MAX_RECORD_BYTES_BETWEEN_SNAPSHOTS: i64 = "metadata.log.max.record.bytes.between.snapshots",
        Some("20971520"), at_least(1), High, ReadOnly;
    /// Write a metadata snapshot after this time if there are new records; 0 never does.
    METADATA_LOG_MAX_SNAPSHOT_INTERVAL_MS: i64 = "metadata.log.max.snapshot.interval.ms",
        Some("3600000"), at_least(0), High, ReadOnly;
    /// How often a broker tells the controller that it lives. Its rhythm is what a missed heartbeat is measured by.
    BROKER_HEARTBEAT_INTERVAL_MS: i32 = "broker.heartbeat.interval.ms",
        Some("100"), at_least(1), Medium, ReadOnly;
    /// A broker that was silent for this long is dead, whatever else is known of it.
    BROKER_SESSION_TIMEOUT_MS: i32 = "broker.session.timeout.ms", Some("6000"), at_least(1), Medium, ReadOnly;
    /// How long a starting broker tries to register before it gives up.
    INITIAL_BROKER_REGISTRATION_TIMEOUT_MS: i32 = "initial.broker.registration.timeout.ms",
        Some("60000"), Valid::Any, Medium, ReadOnly;
    /// With ZooKeeper: without a keep-alive for this long the broker is dead.
    ZOOKEEPER_SESSION_TIMEOUT_MS: i32 = "zookeeper.session.timeout.ms",
        Some("6000"), at_least(1), High, ReadOnly, unused::ZOOKEEPER;
    /// How far a broker's metadata may lag behind the committed log before it stops answering as if it were current.
    ZOOKEEPER_SYNC_TIME_MS: i32 = "zookeeper.sync.time.ms", Some("2000"), at_least(1), Low, ReadOnly,
        unused::ZOOKEEPER;
    /// Move leaderships away before the broker stops.
    CONTROLLED_SHUTDOWN_ENABLE: bool = "controlled.shutdown.enable",
        Some("true"), Valid::Any, Medium, ReadOnly;
    /// Move leadership back to the preferred replicas when a broker leads fewer partitions than it should.
    AUTO_LEADER_REBALANCE_ENABLE: bool = "auto.leader.rebalance.enable",
        Some("true"), Valid::Any, High, ReadOnly;
    /// How many percent of a broker's preferred partitions others may lead before that.
    LEADER_IMBALANCE_PER_BROKER_PERCENTAGE: i32 = "leader.imbalance.per.broker.percentage",
        Some("10"), at_least(0), High, ReadOnly;
    /// How often leaderships are looked at for that.
    LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS: i64 = "leader.imbalance.check.interval.seconds",
        Some("300"), at_least(1), High, ReadOnly;
    /// Let clients delete topics.
    DELETE_TOPIC_ENABLE: bool = "delete.topic.enable", Some("true"), Valid::Any, High, ReadOnly;
    /// Create a topic that does not exist when a client asks for its metadata and wants it created. Producers ask before
    /// they write.
    AUTO_CREATE_TOPICS_ENABLE: bool = "auto.create.topics.enable", Some("true"), Valid::Any, High, ReadOnly;
    /// How many partitions a topic gets when its creator does not say.
    NUM_PARTITIONS: i32 = "num.partitions", Some("1"), at_least(1), Medium, ReadOnly;
    /// How many replicas a partition gets when its topic's creator does not say.
    DEFAULT_REPLICATION_FACTOR: i32 = "default.replication.factor",
        Some("1"), Valid::Range(1, i16::MAX as i64), Medium, ReadOnly;
}

fn is_host_port(text: &str) -> bool {
    split_host_port(text).is_some_and(|(host, _)| !host.is_empty())
}

fn is_host_ports(text: &str) -> bool {
    text.is_empty() || text.split(',').all(is_host_port)
}

/// Its entries are looked at one by one, so that the wrong one is named (`config/voters.rs`).
fn is_text(_: &str) -> bool {
    true
}
