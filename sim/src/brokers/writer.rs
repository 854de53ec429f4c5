//! Producers: they send bursts of records, and note what they are told of each.

use std::time::Duration;

use ottla_client::{Acks, DeliveryError, Producer, ProducerOptions, ProducerRecord};
use ottla_env::{Env, process};
use ottla_types::TopicPartition;
use tokio::task::JoinSet;

use super::oracle::{Fate, Oracle, RecordId};
use super::program::{self, Servers};
use crate::engine::Timeline;
use crate::rng::SimRng;

/// How one producer behaves.
#[derive(Debug, Clone)]
pub(crate) struct Writing {
    pub(crate) acks: Acks,
    pub(crate) is_idempotent: bool,
    linger: Duration,
    delivery_timeout: Duration,
    /// Records sent at once, at most.
    burst: u64,
    /// The pause between two bursts, at most.
    pause: Duration,
    value_bytes: u64,
    seed: u64,
    /// Its number among those that write the same partitions: by it a record is known.
    pub(crate) number: u32,
}

impl Writing {
    /// One that writes little, and gives up soon.
    pub(crate) fn draw_short(rng: &mut SimRng) -> Self {
        let ms = Duration::from_millis;
        let (pause, delivery_timeout) = (ms(300), ms([2_000, 8_000][rng.index(2)]));
        Self { burst: 2, pause, delivery_timeout, value_bytes: 100, ..Self::draw(rng) }
    }

    /// One that writes little, with any `acks`.
    pub(crate) fn draw_any(rng: &mut SimRng) -> Self {
        let short = Self::draw_short(rng);
        let acks = [Acks::All, Acks::All, Acks::All, Acks::Leader, Acks::None][rng.index(5)];
        Self { acks, is_idempotent: short.is_idempotent && acks == Acks::All, ..short }
    }

    pub(super) fn draw(rng: &mut SimRng) -> Self {
        let ms = Duration::from_millis;
        Self {
            acks: Acks::All,
            is_idempotent: rng.one_in(2),
            linger: ms([0, 5, 50][rng.index(3)]),
            delivery_timeout: ms([2_000, 20_000, 60_000][rng.index(3)]),
            burst: [1, 3, 12][rng.index(3)],
            pause: ms([50, 150, 500][rng.index(3)]),
            value_bytes: [16, 200, 4_000][rng.index(3)],
            seed: rng.next_u64(),
            number: 0,
        }
    }

    fn options(&self) -> ProducerOptions {
        ProducerOptions {
            acks: self.acks,
            linger: self.linger,
            delivery_timeout: self.delivery_timeout,
            is_idempotent: self.is_idempotent,
            ..ProducerOptions::default()
        }
    }
}

/// Sends until a time, and then waits until all records were told of.
pub(crate) async fn run(
    env: Env,
    servers: Servers,
    timeline: Timeline,
    writing: Writing,
    partitions: Vec<TopicPartition>,
    oracle: Oracle,
    until_us: u64,
) {
    let mut rng = SimRng::new(writing.seed);
    let producer = Producer::new(program::client(env, &servers).await, writing.options());
    let mut told = JoinSet::new();
    let mut number = 0;
    while timeline.now_us() < until_us {
        for _ in 0..1 + rng.below(writing.burst) {
            let partition = &partitions[rng.index(partitions.len())];
            let id = RecordId { writer: writing.number, number };
            number += 1;
            oracle.with(partition, |history| history.sent.insert(id, Fate::Unknown));
            let value = id.value(rng.below(writing.value_bytes) as usize);
            let mut record = ProducerRecord::new(partition.topic.clone(), value);
            record.partition = Some(partition.partition);
            match producer.send(record).await {
                Ok(delivery) => {
                    let (oracle, partition) = (oracle.clone(), partition.clone());
                    process::spawn_in(&mut told, async move {
                        let fate = match delivery.wait().await {
                            Ok(delivered) => Fate::Acknowledged(delivered.offset.map(|offset| offset.0)),
                            Err(error) => fate_of(&error),
                        };
                        oracle.told(&partition, id, fate);
                    });
                }
                Err(error) => {
                    let fate = fate_of(&error);
                    oracle.with(partition, |history| history.sent.insert(id, fate));
                }
            }
            while told.try_join_next().is_some() {}
        }
        timeline.sleep(Duration::from_micros(rng.below(writing.pause.as_micros() as u64))).await;
    }
    while told.join_next().await.is_some() {}
}

fn fate_of(error: &DeliveryError) -> Fate {
    match error {
        DeliveryError::Failed { may_be_written: true, .. } | DeliveryError::Closed => Fate::Unknown,
        _ => Fate::Refused,
    }
}
