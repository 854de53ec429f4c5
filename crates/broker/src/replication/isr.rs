//! The task that tells the active controller which ISRs this broker wants for the partitions that it leads: of those that a
//! change of the metadata touches, and of those whose machine says so.
//!
//! Nothing is decided here: what is wanted, and which ISR counts until it is certain what became of a request, is the
//! machine's ([`ottla_replica::Replica::ask_isr`], KIP-497).

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error};

use ottla_metadata::controller::replication::alter_partition::{AlterPartition, PartitionUpdate};
use ottla_replica::IsrAnswer;
use ottla_types::{ErrorCode, PartitionEpoch};

use super::Key;
use super::asks::{Asks, Next};
use super::changes::Touched;
use super::wanted::ask_for;
use crate::broker::Core;
use crate::partitions::TopicRef;
use crate::server::stopped;

/// A request under way: whether it was answered.
type Asking = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Runs until the broker stops.
pub(crate) async fn run(core: Arc<Core>, mut stop: watch::Receiver<bool>) {
    let began = Instant::now();
    let mut asks = Asks::default();
    let mut asking: Option<Asking> = None;
    // What was replayed before this task began.
    core.replication.signals.led.add([], [core.node_id]);
    loop {
        let rests_until = send(&core, began.elapsed(), &mut asks, &mut asking);
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            is_answered = answer_of(&mut asking) => match is_answered {
                true => asks.answered(),
                false => asks.failed(began.elapsed()),
            },
            () = after(began, rests_until) => {}
            touched = core.replication.signals.led.take() => asks.look(partitions_of(&core, touched)),
        }
    }
}

/// Begins the next request, if there is something to ask and none is under way. Until when to rest, if that is what there is
/// to do.
fn send(core: &Arc<Core>, now: Duration, asks: &mut Asks, asking: &mut Option<Asking>) -> Option<Duration> {
    loop {
        match asks.next(now) {
            Next::Nothing => return None,
            Next::Rest(until) => return Some(until),
            Next::Look(keys) => {
                let updates = updates(core, &keys);
                if updates.is_empty() {
                    asks.done();
                    continue;
                }
                *asking = Some(Box::pin(ask(Arc::clone(core), updates)));
                return None;
            }
        }
    }
}

/// Whether what is asked is answered, once that is known.
async fn answer_of(asking: &mut Option<Asking>) -> bool {
    let Some(answer) = asking else { return std::future::pending().await };
    let is_answered = answer.await;
    *asking = None;
    is_answered
}

async fn after(began: Instant, at: Option<Duration>) {
    match at {
        Some(at) => sleep_until(began + at).await,
        None => std::future::pending().await,
    }
}

/// The partitions that are touched: those that a broker holds which lives again may want it in sync.
fn partitions_of(core: &Core, touched: Touched) -> BTreeSet<Key> {
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
    partitions
}

/// What is wanted of these partitions now. Their watermarks count it from here on.
fn updates(core: &Core, keys: &BTreeSet<Key>) -> Vec<PartitionUpdate> {
    let image = core.metadata.image();
    let ask = |key: &Key| ask_for(&image, *key, &*core.partitions.get(TopicRef::Id(key.0), key.1)?);
    keys.iter().filter_map(ask).collect()
}

async fn ask(core: Arc<Core>, updates: Vec<PartitionUpdate>) -> bool {
    let asked: BTreeMap<Key, PartitionEpoch> =
        updates.iter().map(|update| ((update.topic, update.index), update.partition_epoch)).collect();
    let request = AlterPartition { broker: core.node_id, epoch: core.epoch, partitions: updates };
    match core.channel.alter_partition(&request).await {
        Ok(answers) => {
            let answers: BTreeMap<Key, Result<PartitionEpoch, ErrorCode>> = answers.into_iter().collect();
            for (key, epoch) in asked {
                let answer = answers.get(&key).copied();
                tell(&core, key, answer);
                note_answer(
                    &core,
                    key,
                    epoch,
                    match answer {
                        Some(Ok(epoch)) => IsrAnswer::Altered(epoch),
                        Some(Err(error)) => IsrAnswer::Refused(error),
                        None => IsrAnswer::Unknown,
                    },
                );
            }
            true
        }
        Err(refused) => {
            let partitions = asked.len();
            debug!(
                "the in-sync replicas of {partitions} partitions are not altered yet: {}",
                refused.message
            );
            for (key, epoch) in asked {
                note_answer(&core, key, epoch, IsrAnswer::Unknown);
            }
            false
        }
    }
}

/// Tells a partition what became of what it asked for.
fn note_answer(core: &Core, key: Key, asked: PartitionEpoch, answer: IsrAnswer) {
    if let Some(partition) = core.partitions.get(TopicRef::Id(key.0), key.1) {
        partition.drive(|replica, _, now| (replica.isr_answered(asked, answer, now), ()));
    }
}

/// Logs and counts a refusal. What is altered is told by the partition, when it is in force.
fn tell(core: &Core, (topic, index): Key, answer: Option<Result<PartitionEpoch, ErrorCode>>) {
    let Some(Err(code)) = answer else { return };
    core.replication.signals.note_isr_refused();
    if code == ErrorCode::InvalidRequest {
        error!(%topic, index, "the controller takes the in-sync replicas for impossible: {code}");
    } else {
        debug!(%topic, index, "the in-sync replicas are not altered: {code}");
    }
}
