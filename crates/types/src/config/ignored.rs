//! Keys of Kafka that mean nothing here: accepted, with one warning that says why.
//!
//! A name that ends in a dot stands for all keys that begin with it.

/// Why a key of Kafka has no effect here; `None` if it is no such key.
#[must_use]
pub fn why(key: &str) -> Option<&'static str> {
    let names = |name: &&str| if name.ends_with('.') { key.starts_with(name) } else { key == *name };
    TABLE.iter().find(|(_, keys)| keys.iter().any(names)).map(|(why, _)| *why)
}

/// Why a node with this key does not start: who set it counts on a protection that would be gone. A listener that asks for
/// TLS or SASL is refused as such, and without an authorizer the other keys of access control protect nothing.
#[must_use]
pub fn refusal(key: &str, value: &str) -> Option<String> {
    (key == "authorizer.class.name" && !value.trim().is_empty()).then(|| {
        format!(
            "{key}={value} asks for access control, which is not available yet: without it whoever can connect may do \
             everything. Remove the key if that is wanted"
        )
    })
}

/// Reasons, and the keys that they are for.
pub static TABLE: &[(&str, &[&str])] = &[
    (
        "there is no thread pool to size, since the runtime follows the machine's cores",
        &["background.threads", "num.replica.alter.log.dirs.threads", "group.coordinator.background.threads"],
    ),
    (
        "nothing is purged by count, since a request that waits is woken and dropped by what it waits for",
        &[
            "delete.records.purgatory.purge.interval.requests",
            "fetch.purgatory.purge.interval.requests",
            "producer.purgatory.purge.interval.requests",
            "share.fetch.purgatory.purge.interval.requests",
        ],
    ),
    (
        "metrics reporters and their samples are the JVM's",
        &[
            "auto.include.jmx.reporter",
            "kafka.metrics.polling.interval.secs",
            "kafka.metrics.reporters",
            "metric.reporters",
            "metrics.num.samples",
            "metrics.recording.level",
            "metrics.sample.window.ms",
            "telemetry.max.bytes",
        ],
    ),
    (
        "Java classes cannot be loaded",
        &[
            "alter.config.policy.class.name",
            "client.quota.callback.class",
            "config.providers",
            "config.providers.",
            "create.topic.policy.class.name",
            "principal.builder.class",
            "security.providers",
        ],
    ),
    (
        "tiered storage is not available yet",
        &["follower.fetch.last.tiered.offset.enable", "remote.", "rlmm.config.", "rsm.config."],
    ),
    ("TLS is not available yet, and a listener that asks for it is refused", &["password.encoder.", "ssl."]),
    (
        "SASL is not available yet, and a listener that asks for it is refused",
        &[
            "connection.failed.authentication.delay.ms",
            "connections.max.reauth.ms",
            "delegation.token.",
            "sasl.",
        ],
    ),
    (
        "access control is not available yet: whoever can connect may do everything",
        &["allow.everyone.if.no.acl.found", "authorizer.class.name", "super.users"],
    ),
    (
        "quotas are not available yet",
        &[
            "alter.log.dirs.replication.quota.",
            "controller.quota.",
            "quota.consumer.default",
            "quota.producer.default",
            "quota.window.",
            "replication.quota.",
        ],
    ),
    ("share groups are not available yet", &["group.share."]),
    ("groups of the streams protocol are not available yet", &["group.streams."]),
    ("settings of one listener alone are not available yet", &["listener.name."]),
    (
        "metadata on a ZooKeeper ensemble is not available yet: this node keeps its own metadata log",
        &["zookeeper.connect"],
    ),
    (
        "it belongs to Kafka's own use of ZooKeeper, or to the way from there to KRaft",
        &[
            "zookeeper.clientCnxnSocket",
            "zookeeper.connection.timeout.ms",
            "zookeeper.max.in.flight.requests",
            "zookeeper.metadata.migration.",
            "zookeeper.set.acl",
            "zookeeper.ssl.",
            "broker.id.generation.enable",
            "reserved.broker.max.id",
            "controlled.shutdown.max.retries",
            "controlled.shutdown.retry.backoff.ms",
            "control.plane.listener.name",
        ],
    ),
    (
        "Apache Kafka has removed it, or lets nobody depend on it",
        &[
            "advertised.host.name",
            "advertised.port",
            "eligible.leader.replicas.enable",
            "group.coordinator.new.enable",
            "host.name",
            "inter.broker.protocol.version",
            "internal.",
            "log.initial.task.delay.ms",
            "log.message.downconversion.enable",
            "log.message.format.version",
            "log.message.timestamp.difference.max.ms",
            "offsets.commit.required.acks",
            "port",
            "server.max.startup.time.ms",
            "unclean.leader.election.interval.ms",
            "unstable.",
        ],
    ),
    (
        "the metadata log has its own segments, snapshots and rhythm",
        &[
            "controller.performance.",
            "controller.quorum.fetch.max.bytes",
            "controller.quorum.fetch.snapshot.max.bytes",
            "metadata.log.segment.",
            "metadata.max.idle.interval.ms",
            "metadata.max.retention.",
        ],
    ),
    (
        "this program needs no such limit or pause",
        &[
            "add.partitions.to.txn.retry.backoff.max.ms",
            "add.partitions.to.txn.retry.backoff.ms",
            "controller.socket.timeout.ms",
            "cordoned.log.dirs",
            "early.start.listeners",
            "group.consumer.assignment.interval.ms",
            "group.consumer.max.assignment.interval.ms",
            "group.consumer.min.assignment.interval.ms",
            "group.consumer.regex.refresh.interval.ms",
            "group.coordinator.cached.buffer.max.bytes",
            "producer.id.expiration.check.interval.ms",
            "share.coordinator.cached.buffer.max.bytes",
            "share.coordinator.cold.partition.snapshot.interval.ms",
            "share.coordinator.state.topic.prune.interval.ms",
        ],
    ),
];
