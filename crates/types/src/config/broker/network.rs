//! Listeners, connections and the sizes of what goes through them.

use crate::config::broker::unused;
use crate::config::key::{Unused, Valid, at_least, keys};

keys! {
    /// The keys of listeners and connections.
    NETWORK_KEYS;

    /// Where the node listens: `NAME://host:port` separated by commas. An empty host means all interfaces.
    LISTENERS: Vec<String> = "listeners", Some("PLAINTEXT://:9092"), Valid::Any, High, ReadOnly;
    /// What the broker tells clients to connect to, in the form of `listeners`; that list itself if it is not set.
    ADVERTISED_LISTENERS: Option<Vec<String>> = "advertised.listeners", None, Valid::Any, High, ReadOnly;
    /// Which of the listeners are for the controller. A combined node needs none of its own before it joins others.
    CONTROLLER_LISTENER_NAMES: Vec<String> = "controller.listener.names",
        Some(""), Valid::Any, High, ReadOnly;
    /// The listener on which brokers talk to each other.
    INTER_BROKER_LISTENER_NAME: Option<String> = "inter.broker.listener.name",
        None, Valid::Any, Medium, ReadOnly;
    /// The protocol of the listener on which brokers talk to each other, where that is not given by its name.
    SECURITY_INTER_BROKER_PROTOCOL: String = "security.inter.broker.protocol",
        Some("PLAINTEXT"),
        Valid::OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]),
        Medium, ReadOnly;
    /// The security protocol of each listener: `NAME:PROTOCOL` separated by commas.
    LISTENER_SECURITY_PROTOCOL_MAP: String = "listener.security.protocol.map",
        Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"),
        Valid::Form("a list of LISTENER:PROTOCOL separated by commas, the protocol one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL", is_protocol_map),
        Low, ReadOnly;
    /// Requested size of a connection's send buffer; -1 leaves it to the system.
    SOCKET_SEND_BUFFER_BYTES: i32 = "socket.send.buffer.bytes", Some("102400"), at_least(-1), High, ReadOnly;
    /// Requested size of a connection's receive buffer; -1 leaves it to the system, which lets it grow with what a producer
    /// sends. Kafka's default is 102400, less than a busy producer's request, which then comes in several waves.
    SOCKET_RECEIVE_BUFFER_BYTES: i32 = "socket.receive.buffer.bytes",
        Some("-1"), at_least(-1), High, ReadOnly;
    /// The largest request. A connection that announces a larger one is closed.
    SOCKET_REQUEST_MAX_BYTES: i32 = "socket.request.max.bytes",
        Some("104857600"), at_least(1), High, ReadOnly;
    /// How many connections may wait to be accepted.
    SOCKET_LISTEN_BACKLOG_SIZE: i32 = "socket.listen.backlog.size", Some("50"), at_least(1), Medium, ReadOnly;
    /// Threads of Kafka's network layer; without effect, since the runtime follows the machine's cores.
    NUM_NETWORK_THREADS: i32 = "num.network.threads", Some("3"), at_least(1), High, ClusterWide,
        unused::THREADS;
    /// Threads of Kafka's request handlers; without effect, since the runtime follows the machine's cores.
    NUM_IO_THREADS: i32 = "num.io.threads", Some("8"), at_least(1), High, ClusterWide, unused::THREADS;
    /// How many requests of all connections may be in work before reading stops.
    QUEUED_MAX_REQUESTS: i32 = "queued.max.requests", Some("500"), at_least(1), High, ReadOnly,
        Unused::because("no request waits in a queue, and memory is bounded by queued.max.request.bytes");
    /// How many bytes of requests may be in memory before reading stops; -1 sets no limit by itself.
    QUEUED_MAX_REQUEST_BYTES: i64 = "queued.max.request.bytes", Some("-1"), Valid::Any, Medium, ReadOnly;
    /// How many connections the broker holds.
    MAX_CONNECTIONS: i32 = "max.connections", Some("2147483647"), at_least(0), Medium, ClusterWide;
    /// How many connections the broker holds from one address.
    MAX_CONNECTIONS_PER_IP: i32 = "max.connections.per.ip",
        Some("2147483647"), at_least(0), Medium, ClusterWide;
    /// Exceptions to `max.connections.per.ip`: `address:number` separated by commas. Addresses are numbers: a name is not
    /// looked up.
    MAX_CONNECTIONS_PER_IP_OVERRIDES: String = "max.connections.per.ip.overrides",
        Some(""),
        Valid::Form("a list of IP-address:number separated by commas", is_ip_overrides),
        Medium, ClusterWide;
    /// How many connections are accepted in a second.
    MAX_CONNECTION_CREATION_RATE: i32 = "max.connection.creation.rate",
        Some("2147483647"), at_least(0), Medium, ClusterWide,
        Unused::because("connections are not limited by rate yet: see max.connections.per.ip");
    /// A connection that was silent for this long is closed; a negative value never does.
    CONNECTIONS_MAX_IDLE_MS: i64 = "connections.max.idle.ms", Some("600000"), Valid::Any, Medium, ReadOnly;
    /// The largest record batch that is accepted, as it is stored (compressed).
    MESSAGE_MAX_BYTES: i32 = "message.max.bytes", Some("1048588"), at_least(0), High, ClusterWide;
    /// The most that one fetch answers, whatever the consumer asks for.
    FETCH_MAX_BYTES: i32 = "fetch.max.bytes", Some("57671680"), at_least(1024), Medium, ReadOnly;
    /// How many incremental fetch sessions the broker keeps (KIP-227).
    MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS: i32 = "max.incremental.fetch.session.cache.slots",
        Some("1000"), at_least(0), Medium, ReadOnly;
    /// How many partitions one DescribeTopicPartitions answers.
    MAX_REQUEST_PARTITION_SIZE_LIMIT: i32 = "max.request.partition.size.limit",
        Some("2000"), at_least(1), Medium, ReadOnly;
    /// How long a request of this broker to another one may take.
    REQUEST_TIMEOUT_MS: i32 = "request.timeout.ms", Some("30000"), Valid::Any, High, ReadOnly,
        unused::CLUSTER;
    /// How long this broker waits for a connection to another one to stand, at first.
    SOCKET_CONNECTION_SETUP_TIMEOUT_MS: i64 = "socket.connection.setup.timeout.ms",
        Some("10000"), Valid::Any, Medium, ReadOnly, unused::CLUSTER;
    /// What that wait grows to after failures.
    SOCKET_CONNECTION_SETUP_TIMEOUT_MAX_MS: i64 = "socket.connection.setup.timeout.max.ms",
        Some("30000"), Valid::Any, Medium, ReadOnly, unused::CLUSTER;
}

fn is_protocol_map(text: &str) -> bool {
    text.split(',').all(|entry| {
        entry.trim().split_once(':').is_some_and(|(name, protocol)| {
            !name.trim().is_empty()
                && matches!(
                    protocol.trim().to_ascii_uppercase().as_str(),
                    "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL"
                )
        })
    })
}

fn is_ip_overrides(text: &str) -> bool {
    text.is_empty()
        || text.split(',').all(|entry| {
            // The last colon: an IPv6 address has colons of its own.
            entry.trim().rsplit_once(':').is_some_and(|(address, number)| {
                let address = address.trim().trim_start_matches('[').trim_end_matches(']');
                address.parse::<std::net::IpAddr>().is_ok() && number.trim().parse::<u32>().is_ok()
            })
        })
}
