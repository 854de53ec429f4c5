//! What a broker does now and then: retention, flushes by time, checkpoints and snapshots, removal of deleted logs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tracing::{error, info};

use ottla_types::config::broker::log::{
    LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS, LOG_FLUSH_SCHEDULER_INTERVAL_MS,
    LOG_FLUSH_START_OFFSET_CHECKPOINT_INTERVAL_MS, LOG_RETENTION_CHECK_INTERVAL_MS,
};
use ottla_types::config::broker::node::METADATA_LOG_MAX_SNAPSHOT_INTERVAL_MS;

use crate::broker::Core;
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
                let removed = core.logs.apply_retention(|log| log.end_offset(), now_ms).await;
                if removed > 0 {
                    info!(removed_bytes = removed, "retention removed old segments");
                }
            }
            _ = checkpoints.tick() => {
                if let Err(error) = core.logs.write_checkpoints().await {
                    error!(%error, "cannot write the checkpoints");
                }
            }
            _ = snapshots.tick(), if snapshot_ms > 0 => core.metadata.request_snapshot(),
        }
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
