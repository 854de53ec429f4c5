//! A million offsets: committed by somebody who is no member, and read again after a restart.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use ottla_client::Connection;
use ottla_wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_wire::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic};
use ottla_wire::{ApiKey, Str};
use serde_json::{Value, json};

use crate::coordinator::settled;
use crate::{PATIENCE, group};

/// The newest version that names topics by name.
const COMMIT_BY_NAME: i16 = 9;

/// The newest version that asks for one group.
const FETCH_OF_ONE: i16 = 7;

/// The offset of a partition, different for each.
fn offset(group: usize, partition: i32) -> i64 {
    group as i64 * 1_000_000 + i64::from(partition)
}

/// Commits an offset for each group and partition.
pub(crate) async fn commit(
    connection: &Connection,
    groups: usize,
    topic: &str,
    partitions: i32,
) -> Result<Value> {
    let version = connection.version_up_to(ApiKey::OffsetCommit, COMMIT_BY_NAME)?;
    let started = Instant::now();
    for number in 0..groups {
        let committed = |partition_index| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: offset(number, partition_index),
            committed_metadata: Some(Str::from("")),
            ..Default::default()
        };
        let topics = vec![OffsetCommitRequestTopic {
            name: Str::from(topic),
            partitions: (0..partitions).map(committed).collect(),
            ..Default::default()
        }];
        let request = OffsetCommitRequest { group_id: group(number).into(), topics, ..Default::default() };
        let ask = async || Ok(connection.start_at(request.clone(), version, PATIENCE)?.wait().await?);
        let answer = settled("OffsetCommit", ask, |answer| {
            let mut results = answer.topics.iter().flat_map(|topic| &topic.partitions);
            results.find(|result| result.error_code != 0).map_or(0, |result| result.error_code)
        })
        .await?;
        for result in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            ensure!(result.error_code == 0, "OffsetCommit: error {}", result.error_code);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(json!({ "offsets": groups as i64 * i64::from(partitions), "seconds": seconds }))
}

/// Reads one offset of each group as soon as it is loaded.
pub(crate) async fn await_loaded(connection: &Connection, groups: usize, topic: &str) -> Result<Value> {
    let asked = OffsetFetchRequestTopic {
        name: Str::from(topic),
        partition_indexes: vec![0],
        ..OffsetFetchRequestTopic::default()
    };
    read(connection, groups, topic, Some(vec![asked]), 1).await
}

/// Reads all offsets of each group as soon as they are loaded.
pub(crate) async fn fetch(
    connection: &Connection,
    groups: usize,
    topic: &str,
    partitions: i32,
) -> Result<Value> {
    read(connection, groups, topic, None, partitions).await
}

/// Reads what is `asked` of each group, which must be so many offsets.
async fn read(
    connection: &Connection,
    groups: usize,
    topic: &str,
    asked: Option<Vec<OffsetFetchRequestTopic>>,
    of_each: i32,
) -> Result<Value> {
    let version = connection.version_up_to(ApiKey::OffsetFetch, FETCH_OF_ONE)?;
    let started = Instant::now();
    let mut seen = 0_i64;
    for number in 0..groups {
        let request = OffsetFetchRequest {
            group_id: group(number).into(),
            topics: asked.clone(),
            ..Default::default()
        };
        let ask = async || Ok(connection.start_at(request.clone(), version, PATIENCE)?.wait().await?);
        let answer = settled("OffsetFetch", ask, |answer| answer.error_code).await?;
        ensure!(answer.error_code == 0, "OffsetFetch: error {}", answer.error_code);
        let here = answer.topics.iter().filter(|found| &*found.name == topic);
        for found in here.flat_map(|topic| &topic.partitions) {
            let expected = offset(number, found.partition_index);
            if found.committed_offset != expected {
                bail!("group {number}: offset {} instead of {expected}", found.committed_offset);
            }
            seen += 1;
        }
    }
    let all = groups as i64 * i64::from(of_each);
    ensure!(seen == all, "{seen} offsets of {all} are there");
    Ok(json!({ "offsets": seen, "seconds": started.elapsed().as_secs_f64() }))
}
