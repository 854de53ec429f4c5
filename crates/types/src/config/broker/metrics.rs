//! What the broker tells monitoring, and where. The keys are ottla's own: Kafka leaves this to its Java platform.

use crate::config::key::{Valid, at_least, keys};
use crate::config::listeners::split_host_port;

keys! {
    /// The keys of `/metrics` and `/health`.
    METRICS_KEYS;

    /// Where `/metrics` and `/health` are served, by HTTP, as `host:port`; without a host on all addresses, with port 0 on
    /// one that the system chooses. Off if it is not set. There is neither encryption nor authentication on it.
    METRICS_LISTENER: Option<String> = "metrics.listener",
        None, Valid::Form("host:port, with a port from 0 to 65535", is_host_port), Medium, ReadOnly;
    /// How many partitions `/metrics` shows one by one, and so with topics, and with the offsets that groups have
    /// committed. Of what the broker has more, only sums are shown: 100,000 partitions would overwhelm whoever collects.
    METRICS_MAX_PARTITIONS: i32 = "metrics.max.partitions", Some("10000"), at_least(0), Low, ReadOnly;
}

fn is_host_port(text: &str) -> bool {
    split_host_port(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_a_host_and_a_port() {
        for text in ["127.0.0.1:9308", ":9308", "localhost:0", "[::1]:65535"] {
            assert!(METRICS_LISTENER.definition.check(text).is_ok(), "{text}");
        }
        for text in
            ["", "9308", "localhost", "localhost:65536", "localhost:-1", "::1:9308", "http://localhost:9308"]
        {
            assert!(METRICS_LISTENER.definition.check(text).is_err(), "{text}");
        }
    }
}
