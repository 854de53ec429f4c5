//! The keys of a broker: Kafka 4.3's that this project honours, and its own.
//!
//! One file per area. A key of Kafka that is in none of them is in [`super::ignored`].

use std::collections::HashMap;
use std::sync::LazyLock;

use super::key::Definition;

pub mod coordinators;
pub mod log;
pub mod metrics;
pub mod network;
pub mod node;
pub mod replication;
mod unused;

/// Every broker key, by area.
pub static TABLES: &[&[&Definition]] = &[
    node::NODE_KEYS,
    network::NETWORK_KEYS,
    log::LOG_KEYS,
    replication::REPLICATION_KEYS,
    coordinators::COORDINATOR_KEYS,
    metrics::METRICS_KEYS,
];

/// Every broker key.
pub fn all() -> impl Iterator<Item = &'static Definition> {
    TABLES.iter().flat_map(|table| table.iter().copied())
}

/// The definition of a broker key.
#[must_use]
pub fn find(name: &str) -> Option<&'static Definition> {
    static BY_NAME: LazyLock<HashMap<&str, &Definition>> =
        LazyLock::new(|| all().map(|d| (d.name, d)).collect());
    BY_NAME.get(name).copied()
}
