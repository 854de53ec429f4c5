//! The task that tells the active controller in which log directories this broker's replicas lie, where the metadata say
//! something else (KIP-858), and which of them cannot be used.
//!
//! With one directory there is nothing to tell as a rule: the controller knows it from the registration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use ottla_metadata::Image;
use ottla_metadata::controller::Refused;
use ottla_metadata::controller::replication::directories::AssignReplicasToDirs;
use ottla_metadata::record::LOST_DIRECTORY;
use ottla_types::{DirectoryId, ErrorCode};

use super::Key;
use super::changes::Touched;
use super::outbox::{Next, Outbox};
use crate::broker::Core;
use crate::partitions::TopicRef;
use crate::server::stopped;

/// How many replicas a request names, as by Kafka.
const MOST_AT_ONCE: usize = 2250;

/// Runs until the broker stops. First tells of the replicas that are `lost`: the broker is not to lead them, nor to pass
/// for one that holds what was in them, so it is not unfenced before.
pub(crate) async fn run(core: Arc<Core>, lost: BTreeSet<Key>, mut stop: watch::Receiver<bool>) {
    let began = Instant::now();
    let work = async {
        let mut outbox = Outbox::new(MOST_AT_ONCE);
        for key in lost {
            outbox.wish(key, LOST_DIRECTORY);
        }
        while send(&core, began, &mut outbox).await {}
        core.replication.lost_are_told.send_replace(true);
        // What was replayed before this task began.
        core.replication.held.add([], [core.node_id]);
        loop {
            look(&core, core.replication.held.take().await, &mut outbox);
            while send(&core, began, &mut outbox).await {}
        }
    };
    tokio::select! {
        biased;
        () = stopped(&mut stop) => {}
        () = work => {}
    }
}

/// Wishes what differs between the metadata and the directories.
fn look(core: &Core, touched: Touched, outbox: &mut Outbox<DirectoryId>) {
    let image = core.metadata.image();
    let Touched { mut partitions, brokers } = touched;
    if brokers.contains(&core.node_id) {
        partitions.extend(image.hosted(core.node_id).into_iter().flat_map(|hosted| hosted.replicas.iter()));
    }
    for key in partitions {
        match difference(core, &image, key) {
            Some(directory) => outbox.wish(key, directory),
            None => outbox.withdraw(key),
        }
    }
}

/// Where a replica lies, if the metadata say something else.
fn difference(core: &Core, image: &Image, (topic, index): Key) -> Option<DirectoryId> {
    let known = image.partition(topic, index)?.directory(core.node_id)?;
    let partition = core.partitions.get(TopicRef::Id(topic), index);
    // What is replayed is carried out, so one that is not there could not be opened, or not be made.
    let lies = partition.map_or(LOST_DIRECTORY, |partition| partition.log.directory_id());
    (lies != known).then_some(lies)
}

/// Sends what is wished, if anything is, and takes the answer. Returns whether there was something.
async fn send(core: &Core, began: Instant, outbox: &mut Outbox<DirectoryId>) -> bool {
    match outbox.next(began.elapsed()) {
        Next::Nothing => return false,
        Next::Rest(until) => sleep_until(began + until).await,
        Next::Send(replicas) => match ask(core, &replicas).await {
            Ok(()) => drop(outbox.answered()),
            Err(refused) => {
                debug!("where {} replicas lie is not told yet: {}", replicas.len(), refused.message);
                drop(outbox.failed(began.elapsed()));
            }
        },
    }
    true
}

async fn ask(core: &Core, replicas: &BTreeMap<Key, DirectoryId>) -> Result<(), Refused> {
    let request = AssignReplicasToDirs {
        broker: core.node_id,
        epoch: core.epoch,
        replicas: replicas.iter().map(|((topic, index), directory)| (*directory, *topic, *index)).collect(),
    };
    for ((topic, index), answer) in core.channel.assign_replicas_to_dirs(&request).await? {
        match answer {
            Ok(()) => {}
            // The topic is gone, or the replica moved away: that will be replayed.
            Err(
                code @ (ErrorCode::UnknownTopicId
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::NotLeaderOrFollower),
            ) => debug!(%topic, index, "the controller takes no directory of this replica: {code}"),
            Err(code) => warn!(%topic, index, "the controller takes no directory of this replica: {code}"),
        }
    }
    Ok(())
}
