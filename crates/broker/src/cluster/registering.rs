//! A broker that starts registers: here where it is its own quorum, and else with whichever node leads.
//!
//! What is not here: what a registration says (`start`), and what the controller makes of it (`metadata`).

use std::time::Duration;

use tracing::info;

use ottla_metadata::Image;
use ottla_metadata::controller::Refused;
use ottla_metadata::controller::brokers::Registration;
use ottla_types::config::Settings;
use ottla_types::config::broker::node;
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode};

use super::taken::Taken;
use super::{Channel, Metadata};
use crate::server::StateLines;
use crate::start::StartError;

/// How long to wait before asking again to be registered.
const REGISTER_PAUSE: Duration = Duration::from_millis(50);

/// Registers the broker, and waits until this node has replayed that.
///
/// # Errors
/// [`StartError::IdTaken`] or [`StartError::Register`].
pub(crate) async fn register(
    settings: &Settings,
    channel: &Channel,
    registration: &Registration,
) -> Result<BrokerEpoch, StartError> {
    let metadata = &channel.controller.metadata;
    let registered = match channel.has_others() {
        false => register_here(metadata, registration).await,
        true => register_with_quorum(settings, channel, registration).await,
    };
    registered.map_err(|refused| match refused.error {
        ErrorCode::DuplicateBrokerRegistration => id_taken(&metadata.image(), registration.id),
        _ => StartError::Register(refused),
    })
}

/// Registers the broker of a node that is its own quorum.
async fn register_here(metadata: &Metadata, registration: &Registration) -> Result<BrokerEpoch, Refused> {
    metadata.commit(|controller| controller.register_broker(registration, false)).await?.0
}

/// Unfences it: on one node it has replayed its own registration as soon as it is committed.
pub(crate) async fn unfence(metadata: &Metadata, id: BrokerId, epoch: BrokerEpoch) -> Result<(), StartError> {
    let unfenced = metadata.commit(|controller| controller.set_fenced(id, epoch, false)).await;
    unfenced.and_then(|(answer, _)| answer).map_err(StartError::Register)?;
    metadata.skip_steps();
    Ok(())
}

fn id_taken(image: &Image, id: BrokerId) -> StartError {
    let endpoint = image.broker(id).and_then(|other| other.registration.endpoints.first());
    let at = endpoint.map_or_else(String::new, |endpoint| format!(" at {}:{}", endpoint.host, endpoint.port));
    StartError::IdTaken { id, at }
}

/// Registers with whichever node leads the quorum, and waits until this one has replayed that. Its heartbeats unfence it.
async fn register_with_quorum(
    settings: &Settings,
    channel: &Channel,
    registration: &Registration,
) -> Result<BrokerEpoch, Refused> {
    let timeout = u64::try_from(settings.get(&node::INITIAL_BROKER_REGISTRATION_TIMEOUT_MS)).unwrap_or(0);
    let deadline = tokio::time::Instant::now() + Duration::from_millis(timeout);
    let mut lines = StateLines::default();
    let mut taken = Taken::new(settings);
    let epoch = loop {
        let refused = match channel.register(registration).await {
            Ok(epoch) => break epoch,
            // The controller may not know yet that the run before is over: [`Taken`].
            Err(refused)
                if matches!(
                    refused.error,
                    ErrorCode::NotController | ErrorCode::DuplicateBrokerRegistration
                ) =>
            {
                refused
            }
            Err(refused) => return Err(refused),
        };
        let now = tokio::time::Instant::now();
        let leader = *channel.controller.metadata.leader().borrow();
        if taken.note(refused.error, leader, now) || now >= deadline {
            return Err(refused);
        }
        if let Some(suppressed) = lines.admit(&refused.message, now) {
            let why = match refused.error {
                ErrorCode::DuplicateBrokerRegistration => {
                    "another broker has this node.id, or this one's last run counts as alive"
                }
                _ => &refused.message,
            };
            info!(suppressed, "waiting to be registered: {why}");
        }
        tokio::time::sleep(REGISTER_PAUSE).await;
    };
    let metadata = &channel.controller.metadata;
    match tokio::time::timeout_at(deadline, metadata.replayed_registration(registration.id, epoch)).await {
        Ok(replayed) => replayed?,
        Err(_) => {
            let message = format!(
                "it is registered, and has not seen that in the metadata log within {timeout} ms \
                 (initial.broker.registration.timeout.ms): the quorum has lost its majority, or cannot be reached from here"
            );
            return Err(Refused { error: ErrorCode::RequestTimedOut, message });
        }
    }
    metadata.skip_steps();
    Ok(epoch)
}
