//! Tells the active controller that this broker lives, and how far it has carried out the metadata. It is unfenced when it has
//! its own registration.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use ottla_metadata::controller::brokers::heartbeat::Heartbeat;
use ottla_types::Offset;
use ottla_types::config::broker::node::BROKER_HEARTBEAT_INTERVAL_MS;

use crate::broker::Core;
use crate::server::{LogLimit, stopped};

/// Sends heartbeats until the broker stops.
pub(crate) async fn run(core: Arc<Core>, mut stop: watch::Receiver<bool>) {
    let period = u64::try_from(core.settings.get(&BROKER_HEARTBEAT_INTERVAL_MS)).unwrap_or(1).max(1);
    let mut ticks = interval(Duration::from_millis(period));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut limit = LogLimit::default();
    let mut was_fenced = true;
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            _ = ticks.tick() => {}
        }
        let heartbeat = Heartbeat {
            id: core.node_id,
            epoch: core.epoch,
            metadata_offset: Offset(core.metadata.image().offset().map_or(-1, |offset| offset.0)),
            want_fence: false,
            want_shut_down: false,
            offline_directories: Vec::new(),
        };
        let told = tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            told = core.channel.heartbeat(&heartbeat) => told,
        };
        match told {
            Ok(answer) if answer.is_fenced != was_fenced => {
                was_fenced = answer.is_fenced;
                info!(epoch = %core.epoch, "this broker is {}", if was_fenced { "fenced" } else { "unfenced" });
            }
            Ok(_) => {}
            Err(refused) => {
                if let Some(suppressed) = limit.admit(Instant::now()) {
                    warn!(suppressed, "a heartbeat was not taken: {}", refused.message);
                }
            }
        }
    }
}
