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
use crate::server::{StateLines, stopped};

/// How long a broker that stops waits for others to take over what it leads.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// How far a broker is with stopping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// It does not stop.
    #[default]
    No,
    /// It wants to.
    Wanted,
    /// The active controller has given what it led to others, and they know.
    Granted,
}

/// Has others take over what this broker leads, if there is a controller that can see to it. Without one the broker stops as
/// if it had died, which costs clients a moment and no data.
pub(crate) async fn leave(core: &Core) {
    core.leaving.send_replace(Leaving::Wanted);
    let mut leaving = core.leaving.subscribe();
    let granted = leaving.wait_for(|leaving| *leaving == Leaving::Granted);
    if tokio::time::timeout(LEAVE_TIMEOUT, granted).await.is_err() {
        info!("stopping without the active controller's leave");
    }
}

/// Sends heartbeats until the broker stops.
pub(crate) async fn run(core: Arc<Core>, mut stop: watch::Receiver<bool>) {
    let period = u64::try_from(core.settings.get(&BROKER_HEARTBEAT_INTERVAL_MS)).unwrap_or(1).max(1);
    let mut ticks = interval(Duration::from_millis(period));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut lines = StateLines::default();
    let mut was_fenced = true;
    // A heartbeat unfences, and then this broker may be made to lead what it cannot serve.
    tokio::select! {
        biased;
        () = stopped(&mut stop) => return,
        () = core.replication.lost_are_told() => {}
    }
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
            want_shut_down: *core.leaving.borrow() == Leaving::Wanted,
            offline_directories: core.logs.offline(),
        };
        let told = tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            told = core.channel.heartbeat(&heartbeat) => told,
        };
        match told {
            Ok(answer) if answer.should_shut_down => {
                core.leaving.send_replace(Leaving::Granted);
            }
            Ok(answer) if answer.is_fenced != was_fenced => {
                was_fenced = answer.is_fenced;
                info!(epoch = %core.epoch, "this broker is {}", if was_fenced { "fenced" } else { "unfenced" });
            }
            Ok(_) => {}
            Err(refused) => {
                if let Some(suppressed) = lines.admit(&refused.message, Instant::now()) {
                    warn!(suppressed, "a heartbeat was not taken: {}", refused.message);
                }
            }
        }
    }
}
