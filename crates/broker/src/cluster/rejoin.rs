//! A voter that lost its metadata directory has itself voted in again: it asks whoever leads, until it votes.
//!
//! What is not here: what the leader does about it (`controller::rejoin`).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use ottla_broadcast::quorum::VoterKey;
use ottla_types::{BrokerId, ErrorCode};
use ottla_wire::private::rejoin_quorum::{RejoinQuorumRequest, RejoinQuorumResponse};

use super::identity::ClusterId;
use super::links::Links;
use crate::server::StateLines;

/// From one question to the next.
const PAUSE: Duration = Duration::from_millis(500);

/// How long an answer may take: the node catches up with the log meanwhile.
const TIMEOUT: Duration = Duration::from_secs(40);

/// Asks.
#[derive(Clone)]
pub(crate) struct Rejoin {
    /// Connections for nothing else, for what is behind such a question waits.
    pub(crate) links: Arc<Links>,
    pub(crate) cluster_id: ClusterId,
    /// The listed voters.
    pub(crate) voters: Vec<BrokerId>,
}

impl Rejoin {
    /// Asks until `me` votes. `leader` is who was heard to lead.
    pub(crate) async fn run(self, me: VoterKey, mut leader: Option<BrokerId>) {
        let mut lines = StateLines::default();
        let others: Vec<BrokerId> = self.voters.iter().copied().filter(|id| *id != me.id).collect();
        let mut turn = others.iter().cycle();
        loop {
            let Some(to) = leader.filter(|id| *id != me.id).or_else(|| turn.next().copied()) else { return };
            let why = match self.ask(me, to).await {
                Ok(answer) if answer.error_code == 0 => {
                    info!(
                        "node {} votes in the metadata quorum again, by its new directory {}",
                        me.id, me.directory
                    );
                    return;
                }
                Ok(answer) => {
                    let is_elsewhere = answer.error_code == ErrorCode::NotController.code();
                    leader =
                        Some(BrokerId(answer.leader_id)).filter(|id| is_elsewhere && id.0 >= 0 && *id != to);
                    answer.error_message.as_deref().unwrap_or("it does not say why").to_owned()
                }
                Err(error) => {
                    leader = None;
                    error.to_string()
                }
            };
            if let Some(suppressed) = lines.admit(&why, Instant::now()) {
                warn!(suppressed, "this node does not vote yet. Node {to}, asked to let it: {why}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask(&self, me: VoterKey, to: BrokerId) -> std::io::Result<RejoinQuorumResponse> {
        let request = RejoinQuorumRequest {
            cluster_id: self.cluster_id.get().map(|id| id.as_ref().into()).unwrap_or_default(),
            node_id: me.id.0,
            directory_id: ottla_wire::Uuid(me.directory.0),
            ..RejoinQuorumRequest::default()
        };
        self.links.call(to, request, TIMEOUT).await
    }
}
