//! Moving this broker's replicas between its log directories (KIP-113): the task that has their copies catch up, and take
//! their place.
//!
//! - [`copying`]: one step of one copy.
//!
//! One replica is moved at a time, in the order of their names, at `replica.alter.log.dirs.io.max.bytes.per.second` at most.
//! What is not here: what lies on disk meanwhile, and what a start finds of it: `log`.

mod copying;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_env::process;
use ottla_log::Log;
use ottla_types::TopicPartition;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use self::copying::{Step, step};
use crate::broker::Core;
use crate::partitions::TopicRef;
use crate::server::stopped;

/// How long a move rests that failed, as followers do (`replica.fetch.backoff.ms`).
const REST: Duration = Duration::from_secs(1);

/// What the task is told.
#[derive(Default)]
pub(crate) struct Moving {
    begun: Notify,
}

impl Moving {
    /// There may be a copy that is not looked after yet.
    pub(crate) fn wake(&self) {
        self.begun.notify_one();
    }
}

/// Runs until the broker stops.
pub(crate) async fn run(core: Arc<Core>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        biased;
        () = stopped(&mut stop) => {}
        () = work(core) => {}
    }
}

async fn work(core: Arc<Core>) {
    // Those that failed, and until when they rest.
    let mut resting: BTreeMap<TopicPartition, Instant> = BTreeMap::new();
    loop {
        let now = Instant::now();
        resting.retain(|_, until| *until > now);
        let next =
            core.logs.futures().into_iter().find(|copy| {
                !resting.contains_key(copy.partition()) && core.logs.is_online(copy.directory_id())
            });
        let Some(copy) = next else {
            let first = resting.values().min().copied();
            tokio::select! {
                biased;
                () = core.replication.moving.begun.notified() => {}
                () = rest_until(first) => {}
            }
            continue;
        };
        if let Some(closed_for) = core.throttles.moving.closed_for() {
            sleep(closed_for).await;
            continue;
        }
        let partition = copy.partition().clone();
        drop(copy);
        if !advance(&core, &partition).await {
            resting.insert(partition, Instant::now() + REST);
        }
    }
}

async fn rest_until(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Does one step of a move. Returns whether the next may follow at once.
async fn advance(core: &Arc<Core>, partition: &TopicPartition) -> bool {
    let (log, copy) = (core.logs.get(partition), core.logs.future(partition));
    let (Some(log), Some(copy)) = (log, copy) else { return false };
    // On a task of its own, which comes to its end also when the broker stops: logs are cut and renamed in it.
    let (shared, to_be_moved) = (Arc::clone(core), Arc::clone(&log));
    let moving =
        process::spawn(
            async move { step(&shared.logs, &to_be_moved, &copy, shared.env.clock.wall_ms()).await },
        );
    match moving.await {
        Ok(Ok(Step::Copied(bytes))) => {
            core.throttles.moving.spent(bytes);
            true
        }
        Ok(Ok(Step::InPlace)) => {
            in_place(core, &log);
            true
        }
        Ok(Ok(Step::Parted)) => false,
        Ok(Err(error)) => {
            warn!(%partition, %error, "the move to another log directory does not go on; it is tried again");
            false
        }
        // The runtime ends.
        Err(_) => false,
    }
}

/// Tells where a replica lies now.
fn in_place(core: &Core, log: &Log) {
    let id = log.partition();
    info!(partition = %id, directory = %log.log_dir().display(), "moved to another log directory");
    if let Some(partition) = core.partitions.get(TopicRef::Name(id.topic.as_str()), id.partition) {
        core.replication.held.add([(partition.topic_id, id.partition)], []);
    }
}
