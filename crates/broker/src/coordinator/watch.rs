//! The task of a shard: loads it, and then sees to what no request does: deadlines, records that get committed, answers
//! that are overdue, offsets that expire. It sleeps until one of these is due, and polls nothing.

use std::sync::Arc;

use tokio::time::Instant;

use ottla_groups::Sweep;

use super::host::ShardHost;
use super::loading;
use crate::waiters::{For, Waiter};

/// Runs until the shard is stopped.
pub(super) async fn run(host: Arc<ShardHost>) {
    // The shard of a new topic is at work already, and what it has in flight is no reason to wait.
    if host.is_loading().await {
        let loaded = loading::load(&host).await;
        host.begin(loaded).await;
    }
    let mut expires_at = Instant::now() + host.settings.expiry_interval;
    let mut sweep: Option<Sweep> = None;
    loop {
        let now = Instant::now();
        if expires_at <= now {
            expires_at = now + host.settings.expiry_interval;
            sweep.get_or_insert_with(Sweep::expired);
        }
        let waiter = Waiter::new(1);
        let mut place = None;
        let waits =
            host.look(sweep.as_mut(), || place = Some(host.partition.wait(For::Watermark, &waiter))).await;
        let Some(waits) = waits else { return };
        sweep.take_if(|sweep| sweep.is_done());
        if sweep.is_some() {
            // Its next part follows at once, but others come first: requests, and whatever else runs on this thread.
            tokio::task::yield_now().await;
            continue;
        }
        let until = waits.until.map_or(expires_at, |until| until.min(expires_at));
        tokio::select! {
            biased;
            () = host.changed.notified() => {}
            () = waiter.wait(), if waits.watermark => {}
            () = tokio::time::sleep_until(until) => {}
        }
        drop(place);
    }
}
