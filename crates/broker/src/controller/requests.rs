//! What brokers ask of the active controller, in the terms of `metadata`; and how that is said on the wire.

use std::sync::Arc;

use ottla_metadata::controller::Refused;
use ottla_metadata::controller::brokers::Registration;
use ottla_metadata::controller::brokers::heartbeat::{Heartbeat, HeartbeatAnswer};
use ottla_metadata::controller::producer_ids::ProducerIds;
use ottla_metadata::record::{Endpoint, IncarnationId, LastRun, SecurityProtocol, SupportedFeature};
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, ErrorCode, Offset, ProducerId};
use ottla_wire::Uuid;
use ottla_wire::allocate_producer_ids::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};
use ottla_wire::broker_heartbeat::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};
use ottla_wire::broker_registration::{
    BrokerRegistrationRequest, BrokerRegistrationResponse, Feature, Listener,
};

use super::Liveness;
use crate::cluster::Metadata;

/// The controller, as long as this node leads.
#[derive(Clone)]
pub(crate) struct ActiveController {
    pub(crate) metadata: Arc<Metadata>,
    pub(crate) liveness: Arc<Liveness>,
}

impl ActiveController {
    /// Registers a broker.
    ///
    /// # Errors
    /// This node does not lead, or the broker is refused.
    pub(crate) async fn register(&self, broker: &Registration) -> Result<BrokerEpoch, Refused> {
        let has_session = self.liveness.has_session(broker.id);
        self.metadata.commit(|controller| controller.register_broker(broker, has_session)).await?.0
    }

    /// Takes a broker's heartbeat.
    ///
    /// # Errors
    /// This node does not lead, or the broker is not registered so.
    pub(crate) async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatAnswer, Refused> {
        self.liveness.heartbeat(heartbeat.id, heartbeat.epoch);
        self.metadata.commit(|controller| controller.heartbeat(heartbeat)).await?.0
    }

    /// Gives a broker a block of producer ids.
    ///
    /// # Errors
    /// This node does not lead, or the broker is not registered so.
    pub(crate) async fn allocate_producer_ids(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<ProducerIds, Refused> {
        self.metadata.commit(|controller| controller.allocate_producer_ids(broker, epoch)).await?.0
    }
}

/// An answer without a message: the code says it all.
pub(crate) fn refused(code: i16) -> Result<(), Refused> {
    let error = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
    if error.is_error() { Err(Refused { error, message: error.to_string() }) } else { Ok(()) }
}

/// A registration as it is sent.
pub(crate) fn registration_request(broker: &Registration, cluster_id: &str) -> BrokerRegistrationRequest {
    BrokerRegistrationRequest {
        broker_id: broker.id.0,
        cluster_id: cluster_id.into(),
        incarnation_id: Uuid(broker.incarnation.0),
        listeners: broker
            .endpoints
            .iter()
            .map(|endpoint| Listener {
                name: (&*endpoint.listener).into(),
                host: (&*endpoint.host).into(),
                port: endpoint.port,
                security_protocol: endpoint.security_protocol as i16,
                ..Listener::default()
            })
            .collect(),
        features: broker
            .features
            .iter()
            .map(|feature| Feature {
                name: (&*feature.name).into(),
                min_supported_version: feature.min_level,
                max_supported_version: feature.max_level,
                ..Feature::default()
            })
            .collect(),
        rack: broker.rack.as_deref().map(Into::into),
        log_dirs: broker.directories.iter().map(|directory| Uuid(directory.0)).collect(),
        // Of a run that was killed alone nothing is missing either, which is what is asked here.
        previous_broker_epoch: broker.last_run.whole().map_or(-1, |epoch| epoch.0),
        ..BrokerRegistrationRequest::default()
    }
}

/// A registration as it is received.
///
/// # Errors
/// An endpoint speaks what is not known.
pub(crate) fn registration(request: BrokerRegistrationRequest) -> Result<Registration, Refused> {
    let mut endpoints = Vec::with_capacity(request.listeners.len());
    for listener in request.listeners {
        let known = [
            SecurityProtocol::Plaintext,
            SecurityProtocol::Ssl,
            SecurityProtocol::SaslPlaintext,
            SecurityProtocol::SaslSsl,
        ];
        let protocol = known.into_iter().find(|known| *known as i16 == listener.security_protocol);
        let security_protocol = protocol.ok_or_else(|| Refused {
            error: ErrorCode::InvalidRequest,
            message: format!("{} is no security protocol.", listener.security_protocol),
        })?;
        endpoints.push(Endpoint {
            listener: (&*listener.name).into(),
            host: (&*listener.host).into(),
            port: listener.port,
            security_protocol,
        });
    }
    let feature = |feature: Feature| SupportedFeature {
        name: (&*feature.name).into(),
        min_level: feature.min_supported_version,
        max_level: feature.max_supported_version,
    };
    let last_run = match request.previous_broker_epoch {
        epoch if epoch >= 0 => LastRun::Clean(BrokerEpoch(epoch)),
        _ => LastRun::Unclean,
    };
    Ok(Registration {
        id: BrokerId(request.broker_id),
        incarnation: IncarnationId(request.incarnation_id.0),
        endpoints,
        rack: request.rack.map(|rack| rack.to_string()),
        directories: request.log_dirs.iter().map(|id| DirectoryId(id.0)).collect(),
        features: request.features.into_iter().map(feature).collect(),
        last_run,
    })
}

/// The answer to a registration.
pub(crate) fn registration_response(answer: Result<BrokerEpoch, Refused>) -> BrokerRegistrationResponse {
    match answer {
        Ok(epoch) => {
            BrokerRegistrationResponse { broker_epoch: epoch.0, ..BrokerRegistrationResponse::default() }
        }
        Err(refused) => BrokerRegistrationResponse {
            error_code: refused.error.code(),
            ..BrokerRegistrationResponse::default()
        },
    }
}

/// A heartbeat as it is sent.
pub(crate) fn heartbeat_request(heartbeat: &Heartbeat) -> BrokerHeartbeatRequest {
    BrokerHeartbeatRequest {
        broker_id: heartbeat.id.0,
        broker_epoch: heartbeat.epoch.0,
        current_metadata_offset: heartbeat.metadata_offset.0,
        want_fence: heartbeat.want_fence,
        want_shut_down: heartbeat.want_shut_down,
        offline_log_dirs: heartbeat.offline_directories.iter().map(|id| Uuid(id.0)).collect(),
        ..BrokerHeartbeatRequest::default()
    }
}

/// A heartbeat as it is received.
pub(crate) fn heartbeat(request: &BrokerHeartbeatRequest) -> Heartbeat {
    Heartbeat {
        id: BrokerId(request.broker_id),
        epoch: BrokerEpoch(request.broker_epoch),
        metadata_offset: Offset(request.current_metadata_offset),
        want_fence: request.want_fence,
        want_shut_down: request.want_shut_down,
        offline_directories: request.offline_log_dirs.iter().map(|id| DirectoryId(id.0)).collect(),
    }
}

/// The answer to a heartbeat.
pub(crate) fn heartbeat_response(answer: Result<HeartbeatAnswer, Refused>) -> BrokerHeartbeatResponse {
    match answer {
        Ok(answer) => BrokerHeartbeatResponse {
            is_caught_up: answer.is_caught_up,
            is_fenced: answer.is_fenced,
            should_shut_down: answer.should_shut_down,
            ..BrokerHeartbeatResponse::default()
        },
        Err(refused) => {
            BrokerHeartbeatResponse { error_code: refused.error.code(), ..BrokerHeartbeatResponse::default() }
        }
    }
}

/// A request for producer ids as it is sent.
pub(crate) fn producer_ids_request(broker: BrokerId, epoch: BrokerEpoch) -> AllocateProducerIdsRequest {
    AllocateProducerIdsRequest {
        broker_id: broker.0,
        broker_epoch: epoch.0,
        ..AllocateProducerIdsRequest::default()
    }
}

/// The answer to it.
pub(crate) fn producer_ids_response(answer: Result<ProducerIds, Refused>) -> AllocateProducerIdsResponse {
    match answer {
        Ok(block) => AllocateProducerIdsResponse {
            producer_id_start: block.first.0,
            producer_id_len: block.len,
            ..AllocateProducerIdsResponse::default()
        },
        Err(refused) => AllocateProducerIdsResponse {
            error_code: refused.error.code(),
            ..AllocateProducerIdsResponse::default()
        },
    }
}

/// The same as it is received.
pub(crate) fn producer_ids(response: &AllocateProducerIdsResponse) -> Result<ProducerIds, Refused> {
    refused(response.error_code)?;
    Ok(ProducerIds { first: ProducerId(response.producer_id_start), len: response.producer_id_len })
}
