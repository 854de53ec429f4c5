//! Connections and memory of the listeners: Kafka's `socket-server-metrics` and `SocketServer`.

use std::fmt;
use std::sync::PoisonError;

use crate::broker::Core;
use crate::metrics::page::{PLAIN, Page};
use crate::server::TrafficCounts;

pub(super) fn encode(page: &mut Page<'_>, core: &Core) -> fmt::Result {
    let listeners: Vec<(&str, TrafficCounts)> =
        core.traffic.iter().map(|(name, traffic)| (&**name, traffic.counts())).collect();
    let mut open =
        page.gauge("kafka_server_socket_server_metrics_connection_count", "Connections that are open.")?;
    for (listener, counts) in &listeners {
        open.add(&[("listener", listener)], counts.created - counts.closed)?;
    }
    let mut counter = |name, help, of: fn(&TrafficCounts) -> u64| {
        let mut family = page.counter(name, help)?;
        listeners.iter().try_for_each(|(listener, counts)| family.add(&[("listener", listener)], of(counts)))
    };
    counter(
        "kafka_server_socket_server_metrics_connection_creation",
        "Connections that were admitted.",
        |counts| counts.created,
    )?;
    counter("kafka_server_socket_server_metrics_connection_close", "Connections that ended.", |counts| {
        counts.closed
    })?;
    counter("kafka_server_socket_server_metrics_incoming_byte", "Bytes that clients sent.", |counts| {
        counts.bytes_in
    })?;
    counter("kafka_server_socket_server_metrics_outgoing_byte", "Bytes that clients were sent.", |counts| {
        counts.bytes_out
    })?;
    counter(
        "ottla_connections_broken",
        "Connections that the broker ended because it could not go on with what came over them.",
        |counts| counts.broken,
    )?;
    let mut refused = page.counter("ottla_connections_refused", "Connections that a limit refused.")?;
    for (listener, counts) in &listeners {
        refused.add(&[("listener", listener), ("limit", "max.connections")], counts.refused_total)?;
        refused.add(&[("listener", listener), ("limit", "max.connections.per.ip")], counts.refused_per_ip)?;
    }
    memory(page, core)
}

fn memory(page: &mut Page<'_>, core: &Core) -> fmt::Result {
    let (used, total) = core.request_memory.used_and_total();
    let mut gauge = |name, help, value: usize| page.gauge(name, help)?.add(PLAIN, value as u64);
    gauge(
        "kafka_network_socketserver_memorypoolused",
        "Bytes of queued.max.request.bytes that requests take which are being read.",
        used,
    )?;
    gauge(
        "kafka_network_socketserver_memorypoolavailable",
        "Bytes of queued.max.request.bytes that are left.",
        total.saturating_sub(used),
    )?;
    gauge(
        "ottla_unsent_response_bytes",
        "Bytes of answers that clients have not taken yet.",
        core.responses.held(),
    )?;
    let (sessions, partitions) = core.fetch_sessions.lock().unwrap_or_else(PoisonError::into_inner).sizes();
    gauge("kafka_server_fetchsessioncache_numincrementalfetchsessions", "Fetch sessions.", sessions)?;
    gauge(
        "kafka_server_fetchsessioncache_numincrementalfetchpartitionscached",
        "Partitions that fetch sessions remember.",
        partitions,
    )
}
