//! Consumer groups: Kafka's `kafka.server:type=group-coordinator-metrics`, and how far groups are behind.

use std::fmt;

use crate::metrics::groups::GroupsObserved;
use crate::metrics::page::{PLAIN, Page};
use crate::partitions::{Partitions, TopicRef};

pub(super) fn encode(page: &mut Page<'_>, groups: &GroupsObserved, partitions: &Partitions) -> fmt::Result {
    counts(page, groups)?;
    let mut committed = page.gauge(
        "ottla_group_committed_offset",
        "The offset that a group has committed: of the next record it reads.",
    )?;
    for row in &groups.offsets {
        let partition = row.partition.to_string();
        let labels =
            [("group", &*row.group), ("topic", row.topic.as_str()), ("partition", partition.as_str())];
        committed.add(&labels, row.offset.0)?;
    }
    let mut lag = page.gauge(
        "ottla_group_lag_records",
        "Records below the high watermark that a group has not committed yet.",
    )?;
    for row in &groups.offsets {
        // A partition that is elsewhere, or gone, has an end that is not known here.
        let Some(log) = partitions.get(TopicRef::Name(row.topic.as_str()), row.partition) else { continue };
        let partition = row.partition.to_string();
        let labels =
            [("group", &*row.group), ("topic", row.topic.as_str()), ("partition", partition.as_str())];
        lag.add(&labels, log.high_watermark().0.saturating_sub(row.offset.0).max(0))?;
    }
    Ok(())
}

fn counts(page: &mut Page<'_>, groups: &GroupsObserved) -> fmt::Result {
    let census = &groups.census;
    let states = [
        ("Empty", census.empty),
        ("PreparingRebalance", census.preparing_rebalance),
        ("CompletingRebalance", census.completing_rebalance),
        ("Stable", census.stable),
    ];
    page.gauge("kafka_server_group_coordinator_metrics_group_count", "Groups by protocol.")?
        .add(&[("protocol", "classic")], states.iter().map(|(_, count)| *count as u64).sum::<u64>())?;
    let mut by_state =
        page.gauge("kafka_server_group_coordinator_metrics_classic_group_count", "Classic groups by state.")?;
    for (state, count) in states {
        by_state.add(&[("state", state)], count as u64)?;
    }
    page.gauge("kafka_server_group_coordinator_metrics_offset_count", "Offsets that are committed.")?
        .add(PLAIN, census.offsets as u64)?;
    page.gauge("ottla_group_members", "Members of all groups.")?.add(PLAIN, census.members as u64)?;
    let mut shards = page.gauge(
        "kafka_server_group_coordinator_metrics_num_partitions",
        "Partitions of __consumer_offsets that are coordinated here, by state.",
    )?;
    for (state, count) in [("loading", groups.loading), ("active", groups.active), ("failed", groups.failed)]
    {
        shards.add(&[("state", state)], count as u64)?;
    }
    Ok(())
}
