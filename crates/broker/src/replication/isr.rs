//! The task that tells the active controller which ISRs this broker wants for the partitions that it leads: of those that a
//! change of the metadata touches.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info};

use ottla_metadata::Image;
use ottla_metadata::controller::replication::alter_partition::{AlterPartition, PartitionUpdate};
use ottla_types::ErrorCode;

use super::Key;
use super::changes::Touched;
use super::proposals::{Effect, Input, Proposals, Wanted};
use super::wanted::wanted;
use crate::broker::Core;
use crate::partition::Content;
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
    core.replication.led.add([], [core.node_id]);
    loop {
        let input = tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            input = answer_of(&mut asking) => input,
            () = after(began, wake_at) => {
                wake_at = None;
                Input::Tick
            }
            touched = core.replication.led.take() => Input::Wanted(look(&core, touched)),
        };
        for effect in machine.step(began.elapsed(), input) {
            match effect {
                Effect::Send(updates) => asking = Some(Box::pin(ask(Arc::clone(&core), updates))),
                Effect::Look(keys) => core.replication.led.add(keys, []),
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
    let content = partition.map_or(Content::Unknown, |partition| partition.content(state.leader_epoch));
    Wanted {
        key,
        state: Some((state.leader_epoch, state.partition_epoch)),
        update: wanted(image, core.node_id, key, content),
        is_undecided: content == Content::Unknown && state.replicas.len() > 1,
    }
}

async fn ask(core: Arc<Core>, updates: Vec<PartitionUpdate>) -> Input {
    let asked: BTreeSet<Key> = updates.iter().map(|update| (update.topic, update.index)).collect();
    let request = AlterPartition { broker: core.node_id, epoch: core.epoch, partitions: updates };
    match core.channel.alter_partition(&request).await {
        Ok(answers) => {
            let answers: BTreeMap<_, _> =
                answers.into_iter().filter(|(key, _)| asked.contains(key)).collect();
            tell(&answers);
            Input::Answered(answers)
        }
        Err(refused) => {
            debug!(
                "the in-sync replicas of {} partitions are not altered yet: {}",
                asked.len(),
                refused.message
            );
            Input::Failed
        }
    }
}

/// One line for a request: a broker that comes back is one of many partitions.
fn tell<T>(answers: &BTreeMap<Key, Result<T, ErrorCode>>) {
    let done = answers.values().filter(|answer| answer.is_ok()).count();
    if done > 0 {
        info!("the in-sync replicas of {done} partitions are altered");
    }
    for ((topic, index), answer) in answers {
        match answer {
            Ok(_) => {}
            Err(code @ ErrorCode::InvalidRequest) => {
                error!(%topic, index, "the controller takes the in-sync replicas for impossible: {code}");
            }
            Err(code) => debug!(%topic, index, "the in-sync replicas are not altered: {code}"),
        }
    }
}
