//! What a broker does now and then: retention, flushes by time, checkpoints and snapshots, removal of deleted logs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tracing::{error, info};

use ottla_log::Log;
use ottla_types::Offset;
use ottla_types::config::broker::log::{
    LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS, LOG_FLUSH_SCHEDULER_INTERVAL_MS,
    LOG_FLUSH_START_OFFSET_CHECKPOINT_INTERVAL_MS, LOG_RETENTION_CHECK_INTERVAL_MS,
};
use ottla_types::config::broker::node::METADATA_LOG_MAX_SNAPSHOT_INTERVAL_MS;
use ottla_types::config::broker::replication::REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS;

use crate::broker::Core;
use crate::partitions::TopicRef;
use crate::server::stopped;

/// How often logs are looked after where `log.flush.scheduler.interval.ms` says never: `flush.ms` of a topic, producer
/// expiry and deleted logs wait for it.
const TEND_AT_LEAST_MS: i64 = 1_000;

/// Runs until the broker stops.
pub(crate) async fn run(core: Arc<Core>, mut stop: watch::Receiver<bool>) {
    let settings = &core.settings;
    let mut tend = every(settings.get(&LOG_FLUSH_SCHEDULER_INTERVAL_MS).min(TEND_AT_LEAST_MS));
    let mut retention = every(settings.get(&LOG_RETENTION_CHECK_INTERVAL_MS));
    // Both kinds of offsets are written in one go.
    let checkpoint_ms = settings
        .get(&LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS)
        .min(settings.get(&LOG_FLUSH_START_OFFSET_CHECKPOINT_INTERVAL_MS));
    let mut checkpoints = every(i64::from(checkpoint_ms));
    let mut watermarks = every(settings.get(&REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS));
    let snapshot_ms = settings.get(&METADATA_LOG_MAX_SNAPSHOT_INTERVAL_MS);
    let mut snapshots = every(snapshot_ms);
    // A start is no reason for a snapshot.
    snapshots.reset();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            _ = tend.tick() => {
                core.logs.tend(core.env.clock.wall_ms()).await;
                if let Err(error) = core.logs.remove_deleted(core.env.clock.wall_ms()).await {
                    error!(%error, "cannot remove a deleted log; the next attempt follows");
                }
            }
            () = core.logs.many_opened() => core.logs.close_idle().await,
            _ = retention.tick() => {
                let now_ms = core.env.clock.wall_ms();
                let removed = core.logs.apply_retention(|log| committed(&core, log), now_ms).await;
                if removed > 0 {
                    info!(removed_bytes = removed, "retention removed old segments");
                }
            }
            _ = checkpoints.tick() => {
                if let Err(error) = core.logs.write_checkpoints().await {
                    error!(%error, "cannot write the checkpoints");
                }
            }
            _ = watermarks.tick() => write_high_watermarks(&core).await,
            _ = snapshots.tick(), if snapshot_ms > 0 => core.metadata.request_snapshot(),
        }
    }
}

/// What retention may delete of a log: what all replicas in sync have.
fn committed(core: &Core, log: &Log) -> Offset {
    let id = log.partition();
    let partition = core.partitions.get(TopicRef::Name(id.topic.as_str()), id.partition);
    partition.filter(|partition| std::ptr::eq(&*partition.log, log)).map_or_else(
        // Nobody has it: it is about to be deleted, or to be taken up.
        || log.start_offset(),
        |partition| partition.high_watermark(),
    )
}

/// Notes how far replicas know their logs committed: a follower that comes back begins with that. One that is the only replica
/// knows it from its log.
pub(crate) async fn write_high_watermarks(core: &Core) {
    let copied = core.partitions.all().into_iter().filter(|partition| partition.leadership().replicas > 1);
    let marks = copied.map(|partition| (partition.id.clone(), partition.high_watermark()));
    if let Err(error) = core.logs.write_high_watermarks(marks).await {
        error!(%error, "cannot write the high watermarks");
    }
}

/// Longer than any broker runs without a restart, and short enough for every clock to add.
const NEVER_MS: u64 = 100 * 365 * 86_400_000;

/// How long a broker is left alone after its start, as by Kafka: whoever started it may want to change a setting before
/// retention acts on it.
const START_DELAY: Duration = Duration::from_secs(30);

fn every(period_ms: i64) -> Interval {
    let period = Duration::from_millis(u64::try_from(period_ms).unwrap_or(1).clamp(1, NEVER_MS));
    let mut interval = interval_at(Instant::now() + period.min(START_DELAY), period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
