//! Tells the active controller that this broker lives, and how far it has carried out the metadata. It is unfenced when it has
//! its own registration.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use ottla_metadata::controller::brokers::heartbeat::Heartbeat;
use ottla_metadata::record::RegisterBroker;
use ottla_types::config::broker::node::BROKER_HEARTBEAT_INTERVAL_MS;
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, Offset};

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

/// What a refusal says of a broker whose registration does not stand any more, if it says that: `known` is the one that does.
/// Who was taken for dead, and comes back, is registered as before and fenced; this one has been unregistered, or another
/// broker has its id. It cannot know which of the two is wanted, so it does not register again by itself. Nor do Kafka's.
fn outlived(
    error: ErrorCode,
    id: BrokerId,
    epoch: BrokerEpoch,
    known: Option<&RegisterBroker>,
) -> Option<String> {
    if !matches!(error, ErrorCode::StaleBrokerEpoch | ErrorCode::BrokerIdNotRegistered) {
        return None;
    }
    let what = match known.filter(|known| known.epoch != epoch) {
        Some(other) => {
            let at =
                other.endpoints.first().map_or_else(String::new, |at| format!(" at {}:{}", at.host, at.port));
            format!("another broker{at} has registered with node.id {id} since")
        }
        None => "it was unregistered".to_owned(),
    };
    Some(format!(
        "this broker takes no part in the cluster any more: {what} ({error}). It leads nothing and is in no ISR. Stop it; or, if it \
         is to be broker {id}, see that no other one is, and restart it"
    ))
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
                let image = core.metadata.image();
                let known = image.broker(core.node_id).map(|broker| &broker.registration);
                let why = outlived(refused.error, core.node_id, core.epoch, known);
                let why = why.unwrap_or_else(|| format!("a heartbeat was not taken: {}", refused.message));
                if let Some(suppressed) = lines.admit(&why, Instant::now()) {
                    warn!(suppressed, "{why}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_metadata::record::{Endpoint, IncarnationId, LastRun, SecurityProtocol};

    use super::*;

    fn registered(epoch: i64) -> RegisterBroker {
        RegisterBroker {
            id: BrokerId(4),
            epoch: BrokerEpoch(epoch),
            incarnation: IncarnationId([1; 16]),
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".into(),
                host: "there".into(),
                port: 9192,
                security_protocol: SecurityProtocol::Plaintext,
            }],
            rack: None,
            directories: Vec::new(),
            features: Vec::new(),
            last_run: LastRun::Unclean,
        }
    }

    #[test]
    fn a_broker_whose_registration_is_gone_is_told_why_and_what_to_do() {
        let said =
            |error, known: Option<&RegisterBroker>| outlived(error, BrokerId(4), BrokerEpoch(7), known);
        let unregistered = said(ErrorCode::BrokerIdNotRegistered, None).unwrap();
        assert!(
            unregistered.contains("unregistered") && unregistered.contains("restart it"),
            "{unregistered}"
        );
        let other = said(ErrorCode::StaleBrokerEpoch, Some(&registered(9))).unwrap();
        assert!(other.contains("another broker at there:9192") && other.contains("node.id 4"), "{other}");
        // What this broker has replayed may not tell yet.
        let late = said(ErrorCode::BrokerIdNotRegistered, Some(&registered(7))).unwrap();
        assert!(late.contains("unregistered"), "{late}");
        for passing in [ErrorCode::NotController, ErrorCode::RequestTimedOut] {
            assert_eq!(said(passing, Some(&registered(9))), None, "{passing}");
        }
    }
}
