//! The task that tells the active controller which ISRs this broker wants for the partitions that it leads: of those that a
//! change of the metadata touches.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error};

use ottla_metadata::Image;
use ottla_metadata::controller::replication::alter_partition::{AlterPartition, PartitionUpdate};
use ottla_replica::{Change, IsrAnswer};
use ottla_types::{ErrorCode, PartitionEpoch};

use super::Key;
use super::changes::Touched;
use super::proposals::{Effect, Input, Proposals, Wanted};
use super::wanted::wanted;
use crate::broker::Core;
use crate::partitions::TopicRef;
use crate::server::stopped;

type Asking = Pin<Box<dyn Future<Output = Input> + Send>>;

/// Runs until the broker stops.
pub(crate) async fn run(core: Arc<Core>, mut stop: watch::Receiver<bool>) {
    let began = Instant::now();
    let mut machine = Proposals::default();
    let mut asking: Option<Asking> = None;
    let mut wake_at: Option<Duration> = None;
    // What was replayed before this task began.
    core.replication.signals.led.add([], [core.node_id]);
    loop {
        let input = tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            input = answer_of(&mut asking) => input,
            () = after(began, wake_at) => {
                wake_at = None;
                Input::Tick
            }
            touched = core.replication.signals.led.take() => Input::Wanted(look(&core, touched)),
        };
        for effect in machine.step(began.elapsed(), input) {
            match effect {
                Effect::Send(updates) => {
                    let updates = note_asked(&core, updates);
                    asking = Some(Box::pin(ask(Arc::clone(&core), updates)));
                }
                Effect::Look(keys) => core.replication.signals.led.add(keys, []),
                Effect::WakeAt(at) => wake_at = Some(at),
            }
        }
    }
}

/// The answer to what is asked, once it is there.
async fn answer_of(asking: &mut Option<Asking>) -> Input {
    let Some(answer) = asking else { return std::future::pending().await };
    let input = answer.await;
    *asking = None;
    input
}

async fn after(began: Instant, at: Option<Duration>) {
    match at {
        Some(at) => sleep_until(began + at).await,
        None => std::future::pending().await,
    }
}

/// What is wanted of the partitions that are touched.
fn look(core: &Core, touched: Touched) -> Vec<Wanted> {
    let image = core.metadata.image();
    let Touched { mut partitions, brokers } = touched;
    if let Some(hosted) = image.hosted(core.node_id) {
        for broker in brokers {
            // Who does not live joins nothing; and whoever leads is touched by its partitions.
            if image.broker(broker).is_some_and(|broker| broker.is_active()) {
                let theirs = image.hosted(broker).into_iter().flat_map(|hosted| hosted.replicas.iter());
                partitions.extend(theirs.filter(|(topic, index)| hosted.leads.contains(*topic, *index)));
            }
        }
    }
    partitions.into_iter().map(|key| wanted_of(core, &image, key)).collect()
}

fn wanted_of(core: &Core, image: &Image, key: Key) -> Wanted {
    let (topic, index) = key;
    let state = image.partition(topic, index).filter(|state| state.leader == Some(core.node_id));
    let Some(state) = state else { return Wanted { key, state: None, update: None, is_undecided: false } };
    let partition = core.partitions.get(TopicRef::Id(topic), index);
    Wanted {
        key,
        state: Some((state.leader_epoch, state.partition_epoch)),
        update: partition.and_then(|partition| wanted(image, key, &partition)),
        is_undecided: false,
    }
}

/// Has the partitions count those whom they ask for, from now on (KIP-497). What is not asked any more is left out.
fn note_asked(core: &Core, mut updates: Vec<PartitionUpdate>) -> Vec<PartitionUpdate> {
    updates.retain(|update| {
        let Some(partition) = core.partitions.get(TopicRef::Id(update.topic), update.index) else {
            return false;
        };
        let members = update.isr.iter().map(|(broker, _)| *broker);
        partition
            .drive(|replica, _, _| (Change::default(), replica.isr_asked(update.partition_epoch, members)))
    });
    updates
}

/// Tells the partitions what became of what they asked for.
fn note_answers(core: &Core, asked: &[(Key, PartitionEpoch)], answer: impl Fn(&Key) -> IsrAnswer) {
    for (key, epoch) in asked {
        if let Some(partition) = core.partitions.get(TopicRef::Id(key.0), key.1) {
            let answer = answer(key);
            partition.drive(|replica, _, now| (replica.isr_answered(*epoch, answer, now), ()));
        }
    }
}

async fn ask(core: Arc<Core>, updates: Vec<PartitionUpdate>) -> Input {
    let asked: Vec<(Key, PartitionEpoch)> =
        updates.iter().map(|update| ((update.topic, update.index), update.partition_epoch)).collect();
    let request = AlterPartition { broker: core.node_id, epoch: core.epoch, partitions: updates };
    match core.channel.alter_partition(&request).await {
        Ok(answers) => {
            let keys: BTreeSet<Key> = asked.iter().map(|(key, _)| *key).collect();
            let answers: BTreeMap<_, _> = answers.into_iter().filter(|(key, _)| keys.contains(key)).collect();
            tell(&core, &answers);
            note_answers(&core, &asked, |key| match answers.get(key) {
                Some(Ok(epoch)) => IsrAnswer::Altered(*epoch),
                Some(Err(error)) => IsrAnswer::Refused(*error),
                None => IsrAnswer::Unknown,
            });
            Input::Answered(answers)
        }
        Err(refused) => {
            debug!(
                "the in-sync replicas of {} partitions are not altered yet: {}",
                asked.len(),
                refused.message
            );
            note_answers(&core, &asked, |_| IsrAnswer::Unknown);
            Input::Failed
        }
    }
}

/// What is altered is told by the partition, when it is in force.
fn tell<T>(core: &Core, answers: &BTreeMap<Key, Result<T, ErrorCode>>) {
    for ((topic, index), answer) in answers {
        if answer.is_err() {
            core.replication.signals.note_isr_refused();
        }
        match answer {
            Ok(_) => {}
            Err(code @ ErrorCode::InvalidRequest) => {
                error!(%topic, index, "the controller takes the in-sync replicas for impossible: {code}");
            }
            Err(code) => debug!(%topic, index, "the in-sync replicas are not altered: {code}"),
        }
    }
}
