//! The lists of scenarios, one that every client goes through with one broker and one for three, and how one can end.
//!
//! A client that cannot do what a scenario asks (kcat has no way to alter a config) says so: that is
//! [`Outcome::NotOffered`], and stands as a dash in the table.

/// One thing a client must be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scenario {
    /// Its name on the command line, in the table, and in the client's program.
    pub(crate) name: &'static str,
    /// What holds when it passes.
    pub(crate) claim: &'static str,
    /// What happens to the broker in its middle. A client's own program is then asked for `NAME:before` and `NAME:after`.
    pub(crate) broker: Fate,
}

/// What happens to the broker in the middle of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Undisturbed,
    /// SIGTERM, and a new start.
    Restarted,
    /// SIGKILL, and a new start.
    Killed,
}

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// With what was expected and what was seen.
    Failed(String),
    /// The client has no means for it.
    NotOffered,
}

const fn scenario(name: &'static str, claim: &'static str) -> Scenario {
    Scenario { name, claim, broker: Fate::Undisturbed }
}

const fn over_a_restart(name: &'static str, claim: &'static str) -> Scenario {
    Scenario { name, claim, broker: Fate::Restarted }
}

const fn over_a_kill(name: &'static str, claim: &'static str) -> Scenario {
    Scenario { name, claim, broker: Fate::Killed }
}

/// In the order in which they run; the restarts come last, when the broker has something to lose.
pub(crate) const ALL: &[Scenario] = &[
    scenario("round-trip", "keys and values come back byte for byte, null and empty told apart, in order"),
    scenario("codec-none", "uncompressed batches come back as written"),
    scenario("codec-gzip", "gzip batches come back as written"),
    scenario("codec-snappy", "snappy batches come back as written"),
    scenario("codec-lz4", "lz4 batches come back as written"),
    scenario("codec-zstd", "zstd batches come back as written"),
    scenario(
        "recompress",
        "a topic with a compression.type of its own gives back what a producer of another codec wrote",
    ),
    scenario("headers", "headers keep order, duplicates, empty and null values"),
    scenario("value-sizes", "values from 1 byte to 10 MB come back as written"),
    scenario("timestamps", "CreateTime is kept as the producer set it"),
    scenario("log-append-time", "LogAppendTime replaces the producer's timestamp with the broker's"),
    scenario(
        "timestamp-limits",
        "timestamps beyond message.timestamp.before.max.ms and .after.max.ms are refused",
    ),
    scenario("idempotent", "an idempotent producer's records come back once and in order"),
    scenario(
        "idempotent-cut",
        "an idempotent producer's records come back once and in order over connections that are cut",
    ),
    scenario("acks-0", "acks=0 records arrive"),
    scenario("acks-1", "acks=1 records are answered with their offsets"),
    scenario("acks-all", "acks=all records are answered with their offsets"),
    scenario("bulk", "100,000 records over 12 partitions come back complete, each partition in order"),
    scenario("older-protocols", "clients held to the versions of Kafka 0.11 to 3.9 write and read"),
    scenario("concurrent-producers", "eight producers at once into one partition: each keeps its order"),
    scenario("segments", "a log of several segments is read, searched and trimmed anywhere"),
    scenario("long-poll", "a consumer that waits at the end gets a record produced later"),
    scenario("fetch-session", "of fifty partitions the one that gets a record is answered, at once"),
    scenario("fetch-from-offset", "a read from an offset in the middle starts there"),
    scenario("offset-out-of-range", "a read beyond the end is answered with OFFSET_OUT_OF_RANGE"),
    scenario("offset-bounds", "earliest and latest offsets of each partition are right"),
    scenario("offset-by-timestamp", "a timestamp finds the first record at or after it"),
    scenario("offset-max-timestamp", "the record with the largest timestamp is found"),
    scenario("offset-specials", "the local log start is the log start, and there is no remote offset"),
    scenario("leader-epoch", "an epoch's end offset is the end of the log"),
    scenario("auto-create", "a first produce creates the topic, with num.partitions partitions"),
    scenario("unknown-topic", "a topic that is not there is reported as that, and not created by a consumer"),
    scenario("record-too-large", "a record above max.message.bytes is refused and the topic goes on"),
    scenario("keyless-compacted", "a compacted topic refuses a record without key"),
    scenario("cluster", "cluster id, brokers and controller are described"),
    scenario("quorum", "the metadata quorum is described, with its leader and how far each node is"),
    scenario("topic-lifecycle", "a topic is created, listed, described, deleted, and created again empty"),
    scenario("topic-exists", "a second creation of a topic is refused"),
    scenario("invalid-topic-name", "a name that Kafka does not allow is refused"),
    scenario("add-partitions", "partitions are added, written and read; fewer than there are is refused"),
    scenario(
        "topic-configs",
        "incremental changes of a topic's configs are seen, take effect, and can be undone",
    ),
    scenario("topic-configs-legacy", "AlterConfigs replaces the topic's whole set of overrides"),
    scenario("bad-config", "an unknown key or a value out of range is refused, at creation and at a change"),
    scenario("broker-configs", "a broker's configs are described; a dynamic one is changed and undone"),
    scenario("config-resources", "topics and brokers are listed as resources with configs"),
    scenario("delete-records", "records below an offset are gone, and the log starts there"),
    scenario("log-dirs", "log directories list each replica with its size"),
    scenario("dump-log", "Kafka's own tool reads the segment on disk"),
    scenario("describe-producers", "an idempotent producer is listed with its id, epoch and last sequence"),
    scenario("performance", "the client's own load generator gets everything acknowledged"),
    scenario("consumer-performance", "the client's own load reader reads what is there"),
    scenario("group-two-members", "two members share a topic, and read each record once"),
    scenario("group-ten-members", "ten members share a topic evenly, and read each record once"),
    scenario("group-join-leave", "members join and leave under load, and no record is missed"),
    scenario("group-member-killed", "what a killed member owned goes to the others, from its last commit"),
    scenario(
        "group-static-restart",
        "a static member that comes back has its partitions, and no one else notices",
    ),
    scenario("group-cooperative", "cooperative-sticky moves only the partitions that change owner"),
    scenario("group-resume", "a group that comes back goes on where it committed"),
    scenario(
        "simple-commit",
        "a consumer without group membership commits offsets and metadata, and finds them",
    ),
    scenario("group-list", "groups are listed with type and state"),
    scenario("group-describe", "a group's state, protocol, members and their partitions are described"),
    scenario("group-delete", "an empty group is deleted with its offsets; one in use is not"),
    scenario(
        "group-delete-offsets",
        "offsets of a topic that nobody reads are deleted; of one in use they are not",
    ),
    scenario("group-alter-offsets", "offsets of an empty group are set; of one in use they are not"),
    scenario("group-lag", "kafka-consumer-groups prints offset, end and lag of each partition"),
    scenario("group-members", "kafka-consumer-groups prints members, assignments and state"),
    scenario("group-records", "Kafka's own tool reads offsets and members from __consumer_offsets on disk"),
    scenario("group-reset-offsets", "kafka-consumer-groups resets offsets in each of its modes"),
    scenario("group-reset-file", "kafka-consumer-groups exports offsets and resets to what a file says"),
    over_a_restart(
        "group-over-restart",
        "a group goes on over a restart of the broker, from what it committed",
    ),
    over_a_kill("group-over-kill", "a group goes on over a kill -9 of the broker, from what it committed"),
    over_a_restart(
        "files-on-disk",
        "Kafka's and ottla's tools read the segments, indexes and snapshots on disk",
    ),
    over_a_restart(
        "over-restart",
        "a producer and a consumer go on over a restart, without loss, double or disorder",
    ),
    over_a_restart(
        "restart",
        "after SIGTERM and a new start, records, topics, configs and deletions are as they were",
    ),
];

/// What is run on three brokers, in this order: the last ones stop one of them.
pub(crate) const ON_THREE: &[Scenario] = &[
    scenario(
        "three-brokers",
        "three brokers, the controller among them, and the levels of features are described",
    ),
    scenario(
        "replicated-topic",
        "60 partitions get three replicas each, all in sync, and leaders on all brokers alike",
    ),
    scenario("own-configs", "the values of each broker are changed and described through any of them"),
    scenario("elect-leaders", "the preferred leaders are elected after replicas were put in another order"),
    scenario("reassign-at-once", "replicas that only change places or only go have done so at once"),
    scenario(
        "reassign-listed",
        "a replica that is to come to a stopped broker is listed, and can be given up",
    ),
    scenario("unregister", "a stopped broker is forgotten, once"),
];
