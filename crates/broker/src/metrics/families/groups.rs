//! Consumer groups: Kafka's `kafka.coordinator.group:type=GroupMetadataManager` and
//! `kafka.server:type=group-coordinator-metrics`, and how far groups are behind.

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
    let all = census.empty + census.preparing_rebalance + census.completing_rebalance + census.stable;
    page.gauge("kafka_server_group_coordinator_metrics_group_count", "Groups by protocol.")?
        .add(&[("protocol", "classic")], all as u64)?;
    let mut gauge = |name, help, value: usize| page.gauge(name, help)?.add(PLAIN, value as u64);
    gauge("kafka_coordinator_group_groupmetadatamanager_numgroups", "Groups.", all)?;
    gauge(
        "kafka_coordinator_group_groupmetadatamanager_numgroupsempty",
        "Groups without members.",
        census.empty,
    )?;
    gauge(
        "kafka_coordinator_group_groupmetadatamanager_numgroupspreparingrebalance",
        "Groups that wait for members to join.",
        census.preparing_rebalance,
    )?;
    gauge(
        "kafka_coordinator_group_groupmetadatamanager_numgroupscompletingrebalance",
        "Groups that wait for their leader's assignment.",
        census.completing_rebalance,
    )?;
    gauge(
        "kafka_coordinator_group_groupmetadatamanager_numgroupsstable",
        "Groups whose members have their assignments.",
        census.stable,
    )?;
    gauge(
        "kafka_coordinator_group_groupmetadatamanager_numoffsets",
        "Offsets that are committed.",
        census.offsets,
    )?;
    gauge("ottla_group_members", "Members of all groups.", census.members)?;
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
