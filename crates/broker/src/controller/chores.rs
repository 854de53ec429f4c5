//! What the active controller looks at from time to time: leaderships that should go back to preferred replicas, and
//! partitions without a leader that may have one now.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::debug;

use ottla_metadata::Controller;
use ottla_types::config::Settings;
use ottla_types::config::broker::node::LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS;

use crate::cluster::Metadata;

/// How many partitions change at once: other decisions are not to wait for thousands.
const MOST_AT_ONCE: usize = 1_000;

/// Runs for ever; does something only while this node leads.
pub(crate) async fn run(metadata: Arc<Metadata>, settings: Arc<Settings>) {
    let seconds = settings.get(&LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS);
    // Longer than any node runs, and short enough for every clock to add.
    let period = Duration::from_secs(u64::try_from(seconds).unwrap_or(1).clamp(1, 100 * 365 * 86_400));
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !metadata.is_leading() {
            continue;
        }
        while may_be_more(&metadata, Controller::elect_leaderless).await {}
        while may_be_more(&metadata, Controller::balance_leaders).await {}
    }
}

/// Does a part of a chore, and tells whether there may be more of it.
async fn may_be_more(
    metadata: &Metadata,
    chore: impl FnOnce(&mut Controller, usize) -> ottla_metadata::Decision<bool> + Send,
) -> bool {
    match metadata.commit(|controller| chore(controller, MOST_AT_ONCE)).await {
        Ok((more, _)) => more,
        Err(refused) => {
            // The next controller has the same chores.
            debug!("the controller's chores are left undone: {}", refused.message);
            false
        }
    }
}
