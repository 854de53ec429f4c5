//! Traffic in all and by topic: Kafka's `kafka.server:type=BrokerTopicMetrics`.
//!
//! As Kafka's own does, each family has one sample without a label for all topics, and one for each.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_types::TopicName;

use crate::metrics::page::{PLAIN, Page};
use crate::metrics::topics::{Counts, TopicMetrics};

pub(super) fn encode(page: &mut Page<'_>, metrics: &TopicMetrics, limit: usize) -> fmt::Result {
    let mut topics = metrics.by_topic();
    if topics.len() > limit {
        topics.clear();
    }
    let mut write =
        |name, help, of: fn(&Counts) -> &AtomicU64| family(page, name, help, of, metrics, &topics);
    write("kafka_server_brokertopicmetrics_messagesin", "Records that were appended.", |counts| {
        &counts.messages_in
    })?;
    write(
        "kafka_server_brokertopicmetrics_bytesin",
        "Bytes of record batches that were appended.",
        |counts| &counts.bytes_in,
    )?;
    write(
        "kafka_server_brokertopicmetrics_bytesout",
        "Bytes of record batches that were given to consumers.",
        |counts| &counts.bytes_out,
    )?;
    write(
        "kafka_server_brokertopicmetrics_bytesrejected",
        "Bytes of record batches that were refused for their size.",
        |counts| &counts.bytes_rejected,
    )?;
    write(
        "kafka_server_brokertopicmetrics_totalproducerequests",
        "Batches that were to be appended, one for each partition of a produce request.",
        |counts| &counts.produce_requests,
    )?;
    write(
        "kafka_server_brokertopicmetrics_failedproducerequests",
        "Of those, batches that were refused.",
        |counts| &counts.failed_produce_requests,
    )?;
    write(
        "kafka_server_brokertopicmetrics_totalfetchrequests",
        "Partitions that fetch requests were answered for.",
        |counts| &counts.fetch_requests,
    )?;
    write(
        "kafka_server_brokertopicmetrics_failedfetchrequests",
        "Of those, partitions that were answered with an error.",
        |counts| &counts.failed_fetch_requests,
    )?;
    page.counter(
        "kafka_server_brokertopicmetrics_replicationbytesout",
        "Bytes of record batches that were given to followers.",
    )?
    .add(PLAIN, metrics.all.replication_bytes_out.load(Ordering::Relaxed))
}

fn family(
    page: &mut Page<'_>,
    name: &'static str,
    help: &str,
    of: fn(&Counts) -> &AtomicU64,
    metrics: &TopicMetrics,
    topics: &[(TopicName, Arc<Counts>)],
) -> fmt::Result {
    let mut counter = page.counter(name, help)?;
    counter.add(PLAIN, of(&metrics.all).load(Ordering::Relaxed))?;
    topics.iter().try_for_each(|(topic, counts)| {
        counter.add(&[("topic", topic.as_str())], of(counts).load(Ordering::Relaxed))
    })
}
