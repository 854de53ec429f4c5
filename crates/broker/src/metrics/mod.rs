//! What the broker tells whoever watches it: `/metrics` and `/health`.
//!
//! - `requests`, `topics`: what is counted where requests are handled, by atomics that are found without a lookup.
//! - `groups`: what is read off the group coordinator. `families`: what each scrape reads off the rest of the broker, and the names under which it all appears.
//! - `page`: the text. `process`: what the operating system knows of the process.
//! - `health`: whether the broker works. `monitor`, `http`, `places`, `watched`: who asks, and how.
//!
//! Names are Kafka's as Prometheus' JMX exporter writes them, by the rule in `docs/metrics.md`; what Kafka does not have
//! begins with `ottla_`. What is not here: the counts of connections (`server::traffic`) and of logs (`ottla_log::stats`).

mod families;
mod groups;
mod health;
mod http;
mod monitor;
mod page;
mod places;
mod process;
mod requests;
mod topics;
mod watched;

pub(crate) use http::HttpServer;
pub(crate) use monitor::Monitor;
pub(crate) use requests::{Begun, RequestMetrics};
pub(crate) use topics::{TopicMetrics, TopicTraffic};

/// What handlers count.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) requests: RequestMetrics,
    pub(crate) topics: TopicMetrics,
}
