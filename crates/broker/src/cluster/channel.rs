//! The way to the active controller: this node where it leads, and else the one that seems to.

use std::sync::Arc;
use std::time::Duration;

use ottla_metadata::controller::Refused;
use ottla_metadata::controller::brokers::Registration;
use ottla_metadata::controller::brokers::heartbeat::{Heartbeat, HeartbeatAnswer};
use ottla_metadata::controller::producer_ids::ProducerIds;
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode};

use super::identity::ClusterId;
use super::links::Links;
use crate::controller::{
    ActiveController, Quorum, heartbeat_request, producer_ids, producer_ids_request, refused_code,
    registration_request,
};

/// How long one attempt may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a heartbeat may take: the next one is due.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long to wait before asking again.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Asks the active controller.
pub(crate) struct Channel {
    pub(crate) controller: ActiveController,
    pub(crate) cluster_id: ClusterId,
    /// To the other nodes; `None` where there are none.
    pub(crate) links: Option<Arc<Links>>,
    /// The same for what clients ask, which may take its time: heartbeats and changes of replicas do not wait behind it.
    pub(crate) links_for_clients: Option<Arc<Links>>,
    /// The nodes that vote.
    pub(crate) quorum: Quorum,
}

impl Channel {
    /// The way to the active controller by these links, or here where there are none.
    pub(crate) fn new(
        controller: ActiveController,
        cluster_id: ClusterId,
        links: Option<Arc<Links>>,
        quorum: Quorum,
    ) -> Self {
        let links_for_clients = links.as_ref().map(|links| Arc::new(links.beside()));
        Self { controller, cluster_id, links, links_for_clients, quorum }
    }

    /// Whether another node may be the active controller.
    pub(crate) fn has_others(&self) -> bool {
        self.links.is_some()
    }

    /// Registers this broker.
    ///
    /// # Errors
    /// The active controller cannot be reached or refuses.
    pub(crate) async fn register(&self, broker: &Registration) -> Result<BrokerEpoch, Refused> {
        let Some((links, leader)) = self.to_leader()? else { return self.controller.register(broker).await };
        let cluster_id = self.cluster_id.get().map(AsRef::as_ref).unwrap_or_default();
        let request = registration_request(broker, cluster_id);
        let response = links.call(leader, request, TIMEOUT).await.map_err(unreachable)?;
        refused_code(response.error_code)?;
        Ok(BrokerEpoch(response.broker_epoch))
    }

    /// Tells that this broker lives.
    ///
    /// # Errors
    /// The active controller cannot be reached or refuses.
    pub(crate) async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatAnswer, Refused> {
        let Some((links, leader)) = self.to_leader()? else {
            return self.controller.heartbeat(heartbeat).await;
        };
        let request = heartbeat_request(heartbeat);
        let response = links.call(leader, request, HEARTBEAT_TIMEOUT).await.map_err(unreachable)?;
        refused_code(response.error_code)?;
        Ok(HeartbeatAnswer {
            is_caught_up: response.is_caught_up,
            is_fenced: response.is_fenced,
            in_controlled_shutdown: false,
            should_shut_down: response.should_shut_down,
        })
    }

    /// Gets a block of producer ids.
    ///
    /// # Errors
    /// The active controller cannot be reached or refuses.
    pub(crate) async fn allocate_producer_ids(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<ProducerIds, Refused> {
        let Some((links, leader)) = self.to_leader()? else {
            return self.controller.allocate_producer_ids(broker, epoch).await;
        };
        let response = links.call(leader, producer_ids_request(broker, epoch), TIMEOUT).await;
        producer_ids(&response.map_err(unreachable)?)
    }

    /// The way to another node, if that one seems to lead; `None` if this one does.
    pub(super) fn to_leader(&self) -> Result<Option<(&Links, BrokerId)>, Refused> {
        self.elsewhere_by(self.links.as_deref())
    }

    /// The same way for what a client asks.
    pub(super) fn elsewhere(&self) -> Result<Option<(&Links, BrokerId)>, Refused> {
        self.elsewhere_by(self.links_for_clients.as_deref())
    }

    fn elsewhere_by<'a>(&self, links: Option<&'a Links>) -> Result<Option<(&'a Links, BrokerId)>, Refused> {
        let metadata = &self.controller.metadata;
        let Some(links) = links.filter(|_| !metadata.is_leading()) else { return Ok(None) };
        let leader = metadata.leader().borrow().leader;
        match leader.filter(|leader| *leader != metadata.node_id()) {
            Some(leader) => Ok(Some((links, leader))),
            None => Err(Refused {
                error: ErrorCode::NotController,
                message: "no leader of the metadata quorum is known".to_owned(),
            }),
        }
    }
}

/// Whoever cannot be reached leads no longer, for all that is known here: to be asked again.
pub(super) fn unreachable(error: std::io::Error) -> Refused {
    Refused { error: ErrorCode::NotController, message: format!("the active controller: {error}") }
}
