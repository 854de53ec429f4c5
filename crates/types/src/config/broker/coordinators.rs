//! Consumer groups, their offsets, transactions, and the topics that keep their state.

use crate::config::broker::unused;
use crate::config::key::{Valid, at_least, keys};

const I16_MAX: i64 = i16::MAX as i64;

keys! {
    /// The keys of the group, transaction and share coordinators.
    COORDINATOR_KEYS;

    /// The shortest session timeout that a member of a classic group may ask for.
    GROUP_MIN_SESSION_TIMEOUT_MS: i32 = "group.min.session.timeout.ms",
        Some("6000"), at_least(0), Medium, ReadOnly;
    /// The longest session timeout that a member of a classic group may ask for.
    GROUP_MAX_SESSION_TIMEOUT_MS: i32 = "group.max.session.timeout.ms",
        Some("1800000"), at_least(0), Medium, ReadOnly;
    /// How long the first rebalance of an empty group waits for more members.
    GROUP_INITIAL_REBALANCE_DELAY_MS: i32 = "group.initial.rebalance.delay.ms",
        Some("3000"), at_least(0), Medium, ReadOnly;
    /// How many members a classic group may have.
    GROUP_MAX_SIZE: i32 = "group.max.size", Some("2147483647"), at_least(1), Medium, ReadOnly;
    /// The rebalance protocols that groups may use.
    GROUP_COORDINATOR_REBALANCE_PROTOCOLS: Vec<String> = "group.coordinator.rebalance.protocols",
        Some("classic,consumer,streams"),
        Valid::ListOf(&["consumer", "classic", "share", "streams"]),
        Medium, ReadOnly, unused::NEW_GROUPS;
    /// How long the coordinator collects writes before it appends them; -1 adapts to the load.
    GROUP_COORDINATOR_APPEND_LINGER_MS: i32 = "group.coordinator.append.linger.ms",
        Some("-1"), at_least(-1), Medium, ReadOnly, unused::LINGER;
    /// Session timeout of a member of a group with the consumer protocol (KIP-848).
    GROUP_CONSUMER_SESSION_TIMEOUT_MS: i32 = "group.consumer.session.timeout.ms",
        Some("45000"), at_least(1), Medium, ReadOnly, unused::NEW_GROUPS;
    /// The shortest that a group may set it to.
    GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS: i32 = "group.consumer.min.session.timeout.ms",
        Some("45000"), at_least(1), Medium, ReadOnly, unused::NEW_GROUPS;
    /// The longest that a group may set it to.
    GROUP_CONSUMER_MAX_SESSION_TIMEOUT_MS: i32 = "group.consumer.max.session.timeout.ms",
        Some("60000"), at_least(1), Medium, ReadOnly, unused::NEW_GROUPS;
    /// Heartbeat interval of a member of a group with the consumer protocol (KIP-848).
    GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS: i32 = "group.consumer.heartbeat.interval.ms",
        Some("5000"), at_least(1), Medium, ReadOnly, unused::NEW_GROUPS;
    /// The shortest that a group may set it to.
    GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS: i32 = "group.consumer.min.heartbeat.interval.ms",
        Some("5000"), at_least(1), Medium, ReadOnly, unused::NEW_GROUPS;
    /// The longest that a group may set it to.
    GROUP_CONSUMER_MAX_HEARTBEAT_INTERVAL_MS: i32 = "group.consumer.max.heartbeat.interval.ms",
        Some("15000"), at_least(1), Medium, ReadOnly, unused::NEW_GROUPS;
    /// How many members a group with the consumer protocol may have.
    GROUP_CONSUMER_MAX_SIZE: i32 = "group.consumer.max.size",
        Some("2147483647"), at_least(1), Medium, ReadOnly, unused::NEW_GROUPS;
    /// The assignors that the broker offers to groups with the consumer protocol, the default one first.
    GROUP_CONSUMER_ASSIGNORS: Vec<String> = "group.consumer.assignors",
        Some("uniform,range"), Valid::Any, Medium, ReadOnly, unused::NEW_GROUPS;
    /// Which conversions between classic and consumer protocol a group may make while it has members.
    GROUP_CONSUMER_MIGRATION_POLICY: String = "group.consumer.migration.policy",
        Some("bidirectional"),
        Valid::OneOfAnyCase(&["disabled", "downgrade", "upgrade", "bidirectional"]),
        Medium, ReadOnly, unused::NEW_GROUPS;
    /// The longest metadata text that comes with a committed offset.
    OFFSET_METADATA_MAX_BYTES: i32 = "offset.metadata.max.bytes", Some("4096"), at_least(0), High, ReadOnly;
    /// How long a commit may wait for the replicas of the offsets topic.
    OFFSETS_COMMIT_TIMEOUT_MS: i32 = "offsets.commit.timeout.ms", Some("5000"), at_least(1), High, ReadOnly;
    /// How much of the offsets topic is read at once when groups are loaded.
    OFFSETS_LOAD_BUFFER_SIZE: i32 = "offsets.load.buffer.size", Some("5242880"), at_least(1), High, ReadOnly;
    /// How long the offsets of a group without members are kept.
    OFFSETS_RETENTION_MINUTES: i32 = "offsets.retention.minutes", Some("10080"), at_least(1), High, ReadOnly;
    /// How often expired offsets are looked for.
    OFFSETS_RETENTION_CHECK_INTERVAL_MS: i64 = "offsets.retention.check.interval.ms",
        Some("600000"), at_least(1), High, ReadOnly;
    /// Codec of the offsets topic's batches, by number: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    OFFSETS_TOPIC_COMPRESSION_CODEC: i32 = "offsets.topic.compression.codec",
        Some("0"), Valid::Range(0, 4), High, ReadOnly;
    /// How many partitions the offsets topic gets when it is created.
    OFFSETS_TOPIC_NUM_PARTITIONS: i32 = "offsets.topic.num.partitions",
        Some("50"), at_least(1), High, ReadOnly;
    /// How many replicas the offsets topic gets when it is created.
    OFFSETS_TOPIC_REPLICATION_FACTOR: i16 = "offsets.topic.replication.factor",
        Some("3"), Valid::Range(1, I16_MAX), High, ReadOnly;
    /// Segment size of the offsets topic: small, so that compaction and loading stay quick.
    OFFSETS_TOPIC_SEGMENT_BYTES: i32 = "offsets.topic.segment.bytes",
        Some("104857600"), at_least(1), High, ReadOnly;
    /// The longest transaction that a producer may ask for.
    TRANSACTION_MAX_TIMEOUT_MS: i32 = "transaction.max.timeout.ms",
        Some("900000"), at_least(1), High, ReadOnly, unused::TRANSACTIONS;
    /// How long an unused transactional id is remembered.
    TRANSACTIONAL_ID_EXPIRATION_MS: i32 = "transactional.id.expiration.ms",
        Some("604800000"), at_least(1), High, ReadOnly, unused::TRANSACTIONS;
    /// How often transactions that took too long are looked for.
    TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS: i32 = "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        Some("10000"), at_least(1), Low, ReadOnly, unused::TRANSACTIONS;
    /// How often expired transactional ids are looked for.
    TRANSACTION_REMOVE_EXPIRED_TRANSACTION_CLEANUP_INTERVAL_MS: i32 = "transaction.remove.expired.transaction.cleanup.interval.ms",
        Some("3600000"), at_least(1), Low, ReadOnly, unused::TRANSACTIONS;
    /// Check with the transaction coordinator that a partition belongs to a transaction before it is written to.
    TRANSACTION_PARTITION_VERIFICATION_ENABLE: bool = "transaction.partition.verification.enable",
        Some("true"), Valid::Any, Low, ClusterWide, unused::TRANSACTIONS;
    /// Let producers leave a transaction prepared for an outside decision (KIP-939).
    TRANSACTION_TWO_PHASE_COMMIT_ENABLE: bool = "transaction.two.phase.commit.enable",
        Some("false"), Valid::Any, Low, ReadOnly, unused::TRANSACTIONS;
    /// How much of the transaction topic is read at once when transactions are loaded.
    TRANSACTION_STATE_LOG_LOAD_BUFFER_SIZE: i32 = "transaction.state.log.load.buffer.size",
        Some("5242880"), at_least(1), High, ReadOnly, unused::TRANSACTIONS;
    /// `min.insync.replicas` of the transaction topic.
    TRANSACTION_STATE_LOG_MIN_ISR: i32 = "transaction.state.log.min.isr",
        Some("2"), at_least(1), High, ReadOnly, unused::TRANSACTIONS.unless(unused::is_one);
    /// How many partitions the transaction topic gets when it is created.
    TRANSACTION_STATE_LOG_NUM_PARTITIONS: i32 = "transaction.state.log.num.partitions",
        Some("50"), at_least(1), High, ReadOnly, unused::TRANSACTIONS;
    /// How many replicas the transaction topic gets when it is created.
    TRANSACTION_STATE_LOG_REPLICATION_FACTOR: i16 = "transaction.state.log.replication.factor",
        Some("3"), Valid::Range(1, I16_MAX), High, ReadOnly, unused::TRANSACTIONS.unless(unused::is_one);
    /// Segment size of the transaction topic.
    TRANSACTION_STATE_LOG_SEGMENT_BYTES: i32 = "transaction.state.log.segment.bytes",
        Some("104857600"), at_least(1), High, ReadOnly, unused::TRANSACTIONS;
    /// Threads of Kafka's group coordinator; without effect, since this one runs on the runtime's.
    GROUP_COORDINATOR_THREADS: i32 = "group.coordinator.threads", Some("4"), at_least(1), High, ReadOnly,
        unused::THREADS;
    /// How long the share coordinator collects writes before it appends them; -1 adapts to the load.
    SHARE_COORDINATOR_APPEND_LINGER_MS: i32 = "share.coordinator.append.linger.ms",
        Some("-1"), at_least(-1), Medium, ReadOnly, unused::SHARE_GROUPS;
    /// How much of the share state topic is read at once when it is loaded.
    SHARE_COORDINATOR_LOAD_BUFFER_SIZE: i32 = "share.coordinator.load.buffer.size",
        Some("5242880"), at_least(1), High, ReadOnly, unused::SHARE_GROUPS;
    /// How many updates of a share partition's state are written between two snapshots of it.
    SHARE_COORDINATOR_SNAPSHOT_UPDATE_RECORDS_PER_SNAPSHOT: i32 = "share.coordinator.snapshot.update.records.per.snapshot",
        Some("500"), Valid::Range(0, 500), Medium, ReadOnly, unused::SHARE_GROUPS;
    /// Codec of the share state topic's batches, by number: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    SHARE_COORDINATOR_STATE_TOPIC_COMPRESSION_CODEC: i32 = "share.coordinator.state.topic.compression.codec",
        Some("0"), Valid::Range(0, 4), High, ReadOnly, unused::SHARE_GROUPS;
    /// `min.insync.replicas` of the share state topic.
    SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR: i16 = "share.coordinator.state.topic.min.isr",
        Some("2"), Valid::Range(1, I16_MAX), High, ReadOnly, unused::SHARE_GROUPS.unless(unused::is_one);
    /// How many partitions the share state topic gets when it is created.
    SHARE_COORDINATOR_STATE_TOPIC_NUM_PARTITIONS: i32 = "share.coordinator.state.topic.num.partitions",
        Some("50"), at_least(1), High, ReadOnly, unused::SHARE_GROUPS;
    /// How many replicas the share state topic gets when it is created.
    SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR: i16 = "share.coordinator.state.topic.replication.factor",
        Some("3"), Valid::Range(1, I16_MAX), High, ReadOnly, unused::SHARE_GROUPS.unless(unused::is_one);
    /// Segment size of the share state topic.
    SHARE_COORDINATOR_STATE_TOPIC_SEGMENT_BYTES: i32 = "share.coordinator.state.topic.segment.bytes",
        Some("104857600"), at_least(1), High, ReadOnly, unused::SHARE_GROUPS;
    /// Threads of Kafka's share coordinator; without effect here.
    SHARE_COORDINATOR_THREADS: i32 = "share.coordinator.threads", Some("1"), at_least(1), Medium, ReadOnly,
        unused::THREADS;
    /// How long a write of the share coordinator may wait for the replicas of its topic.
    SHARE_COORDINATOR_WRITE_TIMEOUT_MS: i32 = "share.coordinator.write.timeout.ms",
        Some("5000"), at_least(1), High, ReadOnly, unused::SHARE_GROUPS;
}
