//! Replicas as their leaders see them: what Kafka counts of in-sync replicas, and how far followers are behind.
//!
//! What is not here: how many partitions lack replicas (`logs`), and what followers count of themselves.

use std::fmt;
use std::sync::Arc;

use crate::broker::Core;
use crate::metrics::page::{PLAIN, Page};
use crate::partition::{Leadership, Partition};

/// A partition that is led here and has several replicas.
struct Row {
    partition: Arc<Partition>,
    leadership: Leadership,
    min_in_sync: usize,
    index: String,
}

impl Row {
    fn of(partition: Arc<Partition>) -> Option<Self> {
        let leadership = partition.leadership();
        let min_in_sync = leadership.min_in_sync(&partition.config());
        let index = partition.id.partition.to_string();
        let is_copied = leadership.is_leader && leadership.replicas > 1;
        is_copied.then_some(Self { partition, leadership, min_in_sync, index })
    }
}

pub(super) fn encode(page: &mut Page<'_>, core: &Core, limit: usize) -> fmt::Result {
    let all = core.partitions.all();
    let is_above = all.len() > limit;
    let rows: Vec<Row> = all.into_iter().filter_map(Row::of).collect();
    let at_min = |row: &&Row| row.leadership.in_sync == row.min_in_sync;
    page.gauge(
        "kafka_server_replicamanager_atminisrpartitioncount",
        "Partitions with several replicas that are led here and have as many in sync as min.insync.replicas asks for.",
    )?
    .add(PLAIN, rows.iter().filter(at_min).count() as u64)?;
    changes(page, core)?;
    let shown = if is_above { &[] } else { rows.as_slice() };
    by_partition(page, shown)?;
    by_follower(page, shown)
}

fn changes(page: &mut Page<'_>, core: &Core) -> fmt::Result {
    let isr = core.replication.signals.isr_counts();
    page.counter(
        "kafka_server_replicamanager_isrshrinks",
        "In-sync replicas of partitions led here that became fewer.",
    )?
    .add(PLAIN, isr.shrinks())?;
    page.counter(
        "kafka_server_replicamanager_isrexpands",
        "In-sync replicas of partitions led here that became more.",
    )?
    .add(PLAIN, isr.expands())?;
    page.counter(
        "kafka_server_replicamanager_failedisrupdates",
        "Changes of in-sync replicas that the active controller refused.",
    )?
    .add(PLAIN, isr.failed())
}

fn by_partition(page: &mut Page<'_>, rows: &[Row]) -> fmt::Result {
    let mut gauge = |name, help, of: fn(&Row) -> u64| {
        let mut family = page.gauge(name, help)?;
        rows.iter().try_for_each(|row| {
            let topic = row.partition.id.topic.as_str();
            family.add(&[("topic", topic), ("partition", &row.index)], of(row))
        })
    };
    gauge("kafka_cluster_partition_replicascount", "Replicas of a partition led here.", |row| {
        row.leadership.replicas as u64
    })?;
    gauge("kafka_cluster_partition_insyncreplicascount", "Of those, replicas that are in sync.", |row| {
        row.leadership.in_sync as u64
    })?;
    gauge("kafka_cluster_partition_underreplicated", "1 where fewer are in sync than there are.", |row| {
        u64::from(row.leadership.in_sync < row.leadership.replicas)
    })?;
    gauge(
        "kafka_cluster_partition_underminisr",
        "1 where fewer are in sync than min.insync.replicas asks for.",
        |row| u64::from(row.leadership.in_sync < row.min_in_sync),
    )?;
    gauge(
        "kafka_cluster_partition_atminisr",
        "1 where as many are in sync as min.insync.replicas asks for.",
        |row| u64::from(row.leadership.in_sync == row.min_in_sync),
    )
}

fn by_follower(page: &mut Page<'_>, rows: &[Row]) -> fmt::Result {
    let mut lag = page.gauge(
        "ottla_partition_follower_lag_records",
        "Records that a follower has yet to copy, as its leader knows it; of one that has not fetched from it, none is given.",
    )?;
    for row in rows {
        for follower in row.partition.followers() {
            let Some(records) = follower.lag_records else { continue };
            let (topic, broker) = (row.partition.id.topic.as_str(), follower.broker.0.to_string());
            lag.add(&[("topic", topic), ("partition", &row.index), ("replica", &broker)], records)?;
        }
    }
    Ok(())
}
