//! Replication: in-sync replicas, follower fetches, throttles.

use crate::config::key::{Unused, Valid, at_least, keys};

keys! {
    /// The keys of replication.
    REPLICATION_KEYS;

    /// The fewest in-sync replicas, the leader included, with which a write with `acks=all` is accepted.
    MIN_INSYNC_REPLICAS: i32 = "min.insync.replicas", Some("1"), at_least(1), High, ClusterWide;
    /// Let a replica that is not in sync become leader when no other is left, at the price of acknowledged records.
    UNCLEAN_LEADER_ELECTION_ENABLE: bool = "unclean.leader.election.enable",
        Some("false"), Valid::Any, High, ClusterWide;
    /// A follower that has not caught up to the leader's end for this long leaves the in-sync replicas.
    REPLICA_LAG_TIME_MAX_MS: i64 = "replica.lag.time.max.ms", Some("30000"), at_least(1), High, ReadOnly;
    /// With `replica.lag.detector=messages`: a follower this many records behind leaves the in-sync replicas.
    REPLICA_LAG_MAX_MESSAGES: Option<i64> = "replica.lag.max.messages", None, at_least(1), Medium, ReadOnly;
    /// What decides that a follower lags: `time`, `messages`, or `adaptive`, which does as `time` for now.
    REPLICA_LAG_DETECTOR: String = "replica.lag.detector",
        Some("adaptive"), Valid::OneOf(&["adaptive", "time", "messages"]), Medium, ReadOnly;
    /// The longest that a follower's fetch waits for data; not above `replica.lag.time.max.ms`.
    REPLICA_FETCH_WAIT_MAX_MS: i32 = "replica.fetch.wait.max.ms", Some("500"), at_least(0), High, ReadOnly;
    /// The least data for which a follower's fetch is answered before that.
    REPLICA_FETCH_MIN_BYTES: i32 = "replica.fetch.min.bytes", Some("1"), at_least(0), High, ReadOnly;
    /// How much of one partition a follower's fetch asks for; one batch is answered even if it is larger.
    REPLICA_FETCH_MAX_BYTES: i32 = "replica.fetch.max.bytes", Some("1048576"), at_least(0), Medium, ReadOnly;
    /// How much of all partitions a follower's fetch asks for.
    REPLICA_FETCH_RESPONSE_MAX_BYTES: i32 = "replica.fetch.response.max.bytes",
        Some("10485760"), at_least(0), Medium, ReadOnly;
    /// The longest that a follower waits after a failed fetch; it begins with less.
    REPLICA_FETCH_BACKOFF_MS: i32 = "replica.fetch.backoff.ms", Some("1000"), at_least(0), Medium, ReadOnly;
    /// How many connections a follower fetches by, to each leader's broker.
    NUM_REPLICA_FETCHERS: i32 = "num.replica.fetchers", Some("1"), at_least(1), High, ClusterWide;
    /// How long a follower waits for an answer, beyond what the leader may wait.
    REPLICA_SOCKET_TIMEOUT_MS: i32 = "replica.socket.timeout.ms", Some("30000"), at_least(1), High, ReadOnly;
    /// Requested size of a follower's receive buffer; -1 leaves it to the system.
    REPLICA_SOCKET_RECEIVE_BUFFER_BYTES: i32 = "replica.socket.receive.buffer.bytes",
        Some("65536"), at_least(-1), High, ReadOnly,
        Unused::because("connections to other brokers leave their buffers to the system, which adapts them");
    /// How often high watermarks are written down.
    REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS: i64 = "replica.high.watermark.checkpoint.interval.ms",
        Some("5000"), at_least(1), High, ReadOnly;
    /// The most bytes in a second that a leader sends to throttled replicas.
    LEADER_REPLICATION_THROTTLED_RATE: i64 = "leader.replication.throttled.rate",
        Some("9223372036854775807"), at_least(0), Medium, ClusterWide;
    /// The most bytes in a second that a follower fetches for throttled replicas.
    FOLLOWER_REPLICATION_THROTTLED_RATE: i64 = "follower.replication.throttled.rate",
        Some("9223372036854775807"), at_least(0), Medium, ClusterWide;
    /// Which replica consumers are told to read from (KIP-392): the leader, or one in the consumer's rack. By the names of
    /// Kafka's classes.
    REPLICA_SELECTOR_CLASS: Option<String> = "replica.selector.class",
        None, Valid::OneOf(&[
            "org.apache.kafka.common.replica.LeaderSelector",
            "org.apache.kafka.common.replica.RackAwareReplicaSelector",
        ]), Medium, ReadOnly;
    /// The most bytes in a second that are copied between log directories.
    REPLICA_ALTER_LOG_DIRS_IO_MAX_BYTES_PER_SECOND: i64 = "replica.alter.log.dirs.io.max.bytes.per.second",
        Some("9223372036854775807"), at_least(0), Medium, ClusterWide;
}
