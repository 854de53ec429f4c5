//! What a sender does about batches and producer ids that fail, step by step: no broker is asked.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ottla_env::Env;
use ottla_types::{ProducerEpoch, ProducerId, TopicName, TopicPartition};
use ottla_wire::ApiKey;
use tokio::sync::oneshot;
use tokio::time::{Instant, advance};

use super::accumulator::{Accumulator, Sequence, Turn};
use super::batch::Identity;
use super::sender::Sender;
use super::{ProducerOptions, ProducerRecord, Shared};
use crate::client::{Client, ClientOptions};
use crate::error::Error;

const IDENTITY: Identity = Identity { id: ProducerId(1001), epoch: ProducerEpoch(0) };

fn at(partition: i32) -> TopicPartition {
    TopicPartition { topic: TopicName::new("orders").unwrap(), partition }
}

/// A sender of an idempotent producer, and what it shares with it.
fn sender() -> (Sender, Arc<Shared>) {
    let options = ProducerOptions { is_idempotent: true, linger: Duration::ZERO, ..Default::default() };
    let shared = Arc::new(Shared::new(options));
    let client = Client::unconnected(Env::real(), ClientOptions::new(Vec::new()));
    (Sender::new(client, Arc::clone(&shared)), shared)
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, Accumulator> {
    shared.accumulator.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a record into the partition's batch. Nobody waits for it.
fn push(shared: &Shared, partition: i32) {
    let record = ProducerRecord::new(at(partition).topic, "x");
    let memory = Arc::clone(&shared.memory).try_acquire_owned().unwrap();
    let waiter = oneshot::channel().0;
    lock(shared).push(&at(partition), &record, 0, (waiter, memory), Instant::now()).unwrap();
}

fn disconnected() -> Error {
    Error::Disconnected {
        broker: "127.0.0.1:9092".parse().unwrap(),
        api: ApiKey::Produce,
        reason: "it was cut".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_cannot_be_had_is_looked_for_again_only_while_there_is_something_to_send() {
    let (mut sender, shared) = sender();
    push(&shared, 0);
    sender.identified(Err(disconnected()));
    let again = sender.next_look().unwrap();
    assert!(again <= Instant::now() + Duration::from_secs(1), "the id is asked for again after a pause");

    // The record is given up, and the pause is long over: nothing is to be done until there is another record.
    advance(shared.options.delivery_timeout).await;
    sender.expire();
    assert!(again < Instant::now());
    assert_eq!(sender.next_look(), None);

    push(&shared, 0);
    assert_eq!(sender.next_look(), Some(again));
}

#[tokio::test(start_paused = true)]
async fn each_partition_with_a_batch_given_up_in_doubt_is_numbered_anew_also_where_the_id_is_gone_already() {
    let (mut sender, shared) = sender();
    sender.identity = Some(IDENTITY);
    push(&shared, 0);
    push(&shared, 1);
    let taken = lock(&shared).take_ready(Instant::now(), |_| Turn::Take);
    assert_eq!(taken.len(), 2);
    for (batch, _) in taken {
        lock(&shared).set_sequence(&batch.partition, Some(Sequence { identity: IDENTITY, next: 0 }));
        sender.landed(batch, Err(disconnected().into()));
    }
    // Both may have been appended, and neither is sent again in time. The first one that is given up takes the id with it.
    advance(shared.options.delivery_timeout).await;
    sender.expire();
    assert_eq!(sender.identity, None);
    for partition in [0, 1] {
        let kept = lock(&shared).sequence(&at(partition)).map(|sequence| sequence.next);
        assert_eq!(kept, None, "the next batch of partition {partition} would pass for the one in doubt");
    }
}
