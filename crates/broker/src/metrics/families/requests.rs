//! Requests by API: Kafka's `kafka.network:type=RequestMetrics`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_types::Histogram;

use crate::metrics::page::{NS_IN_MS, Page};
use crate::metrics::requests::{ApiMetrics, RequestMetrics};

pub(super) fn encode(page: &mut Page<'_>, requests: &RequestMetrics) -> fmt::Result {
    // Only APIs that somebody uses: there are dozens, with more than a hundred lines each.
    let used: Vec<&Arc<ApiMetrics>> = requests.used().collect();
    counts(page, &used)?;
    let mut times = |name, help, of: fn(&ApiMetrics) -> &Histogram| {
        let mut family = page.histogram(name, help)?;
        used.iter()
            .try_for_each(|api| family.add(&[("request", api.api.name())], &of(api).counted(), NS_IN_MS))
    };
    times(
        "kafka_network_requestmetrics_totaltimems",
        "Milliseconds from the arrival of a request's last byte until its answer is ready to be sent.",
        |api| &api.total_time,
    )?;
    times(
        "kafka_network_requestmetrics_requestqueuetimems",
        "Milliseconds that a request waited behind those before it on its connection.",
        |api| &api.queue_time,
    )?;
    times("kafka_network_requestmetrics_localtimems", "Milliseconds that a request was worked on.", |api| {
        &api.local_time
    })?;
    times(
        "kafka_network_requestmetrics_remotetimems",
        "Milliseconds that the answers which had to wait did so: for records, for a flush, for other members of a group.",
        |api| &api.remote_time,
    )?;
    sizes(page, &used)?;
    let mut waiting = page.gauge(
        "kafka_server_delayedoperationpurgatory_purgatorysize",
        "Requests whose answers wait for something.",
    )?;
    used.iter().try_for_each(|api| {
        waiting.add(&[("delayedOperation", api.api.name())], api.waiting.load(Ordering::Relaxed))
    })
}

fn counts(page: &mut Page<'_>, used: &[&Arc<ApiMetrics>]) -> fmt::Result {
    let mut requests =
        page.counter("kafka_network_requestmetrics_requests", "Requests by API and version.")?;
    for api in used {
        for (version, count) in (api.first_version..).zip(&api.requests) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                requests.add(&[("request", api.api.name()), ("version", &version.to_string())], count)?;
            }
        }
    }
    let mut errors = page.counter(
        "kafka_network_requestmetrics_errors",
        "Error codes in answers, one for each topic, partition or whatever else was asked for; NONE is success.",
    )?;
    for api in used {
        for (error, count) in api.errors() {
            errors.add(&[("request", api.api.name()), ("error", error.name())], count)?;
        }
    }
    Ok(())
}

fn sizes(page: &mut Page<'_>, used: &[&Arc<ApiMetrics>]) -> fmt::Result {
    let mut sizes = |name, help, of: fn(&ApiMetrics) -> &Histogram| {
        let mut family = page.histogram(name, help)?;
        used.iter().try_for_each(|api| family.add(&[("request", api.api.name())], &of(api).counted(), 1.0))
    };
    sizes("kafka_network_requestmetrics_requestbytes", "Sizes of requests in bytes.", |api| {
        &api.request_bytes
    })?;
    sizes("ottla_response_bytes", "Sizes of answers in bytes.", |api| &api.response_bytes)
}
