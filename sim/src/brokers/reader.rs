//! Consumers: one that reads along while the faults go on, and one that reads everything at the end.

use std::time::Duration;

use ottla_client::{ConsumedRecord, Consumer, ConsumerOptions, OffsetSpec, Start};
use ottla_env::Env;
use ottla_types::{Offset, TopicPartition};

use super::oracle::{Oracle, RecordId, Seen};
use super::program::{self, Servers};
use crate::engine::Timeline;

/// How long to wait after what cannot be read now.
const AGAIN: Duration = Duration::from_millis(200);

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(500);

fn record_of(record: &ConsumedRecord) -> Option<RecordId> {
    record.value.as_deref().and_then(RecordId::of)
}

/// Reads from the start until a time, and then from the start again, and so on: what was read once must not change.
pub(crate) async fn follow(
    env: Env,
    servers: Servers,
    timeline: Timeline,
    partitions: Vec<TopicPartition>,
    oracle: Oracle,
    until_us: u64,
) {
    let mut consumer = Consumer::new(program::client(env, &servers).await, ConsumerOptions::default());
    let mut polls = 0_u64;
    while timeline.now_us() < until_us {
        if polls.is_multiple_of(50) {
            let starts = partitions.iter().map(|partition| (partition.clone(), Start::Offset(Offset(0))));
            if consumer.assign(starts).await.is_err() {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        }
        polls += 1;
        match consumer.poll(POLL).await {
            Ok(records) => note(&oracle, &timeline, &records),
            // It may be beyond the end of a log that lost what was not acknowledged; from the start it can read again.
            Err(_) => {
                polls = 0;
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

fn note(oracle: &Oracle, timeline: &Timeline, records: &[ConsumedRecord]) {
    let at_us = timeline.now_us();
    for record in records {
        let seen = Seen { record: record_of(record), at_us };
        oracle.with(&record.partition, |history| history.note_seen(record.offset.0, seen));
    }
}

/// Reads everything that is there.
pub(crate) async fn all(env: Env, servers: Servers, partitions: Vec<TopicPartition>, oracle: Oracle) {
    let client = program::client(env, &servers).await;
    let ends = loop {
        let wanted = partitions.iter().map(|partition| (partition.clone(), OffsetSpec::Latest));
        match client.offsets(wanted).await {
            Ok(ends) => break ends,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    };
    let mut consumer = Consumer::new(client, ConsumerOptions::default());
    let starts = || partitions.iter().map(|partition| (partition.clone(), Start::Offset(Offset(0))));
    while consumer.assign(starts()).await.is_err() {
        tokio::time::sleep(AGAIN).await;
    }
    let is_done = |consumer: &Consumer| {
        partitions.iter().all(|partition| {
            let end = ends.get(partition).copied().flatten().unwrap_or(Offset(0));
            consumer.position(partition).is_some_and(|position| position >= end)
        })
    };
    while !is_done(&consumer) {
        for record in consumer.poll(POLL).await.unwrap_or_default() {
            let id = record_of(&record);
            oracle.with(&record.partition, |history| history.left.insert(record.offset.0, id));
        }
    }
}
