//! The families of `/metrics`, and where each one's values come from. `docs/metrics.md` lists them all, and a test holds
//! the list to what is written here.

mod cluster;
mod groups;
mod logs;
mod network;
mod replication;
mod requests;
mod topics;

use std::fmt;

use super::monitor::Scrape;
use super::page::{PLAIN, Page};
use super::process;

/// `BrokerState` as Kafka numbers it.
const STARTING: i64 = 1;
const RUNNING: i64 = 3;

/// Writes all families.
pub(super) fn encode(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    page.info("ottla_build", "The program that runs.", &[("version", env!("CARGO_PKG_VERSION"))])?;
    process::encode(page)?;
    let state = if scrape.broker.is_some() { RUNNING } else { STARTING };
    page.gauge("kafka_server_kafkaserver_brokerstate", "What the broker does: 1 it starts, 3 it serves.")?
        .add(PLAIN, state)?;
    let Some(observed) = &scrape.broker else { return Ok(()) };
    let core = &observed.core;
    requests::encode(page, &core.metrics.requests)?;
    network::encode(page, core)?;
    topics::encode(page, &core.metrics.topics, observed.limit)?;
    logs::encode(page, observed)?;
    replication::encode(page, core, observed.limit)?;
    groups::encode(page, &observed.groups, &core.partitions)?;
    cluster::encode(page, core)
}
