//! DescribeCluster: the cluster's id, its brokers as the caller's listener reaches them, and the broker to send
//! administrative requests to (KIP-700, KIP-919, KIP-1073).

use ottla_metadata::Image;
use ottla_metadata::controller::Refused;
use ottla_types::ErrorCode;
use ottla_wire::Str;
use ottla_wire::describe_cluster::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};

use super::authorized::{CLUSTER_OPERATIONS, NOT_ASKED};
use super::each::refuse;
use super::reachable::{controller_among, reachable};
use crate::broker::Core;
use crate::context::RequestContext;

/// `EndpointType`'s numbers.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) fn handle(
    core: &Core,
    context: &RequestContext,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    if let Err(refused) = check_endpoint_type(request.endpoint_type) {
        return DescribeClusterResponse {
            error_code: refused.error.code(),
            error_message: Some(refused.message.into()),
            ..DescribeClusterResponse::default()
        };
    }
    let image = core.metadata.image();
    let brokers = brokers(&image, &context.peer.listener, request.include_fenced_brokers);
    // Whether a fenced one is shown is the caller's choice, and says nothing about whether it can be asked.
    let told: Vec<_> =
        brokers.iter().filter(|broker| !broker.is_fenced).map(|broker| broker.broker_id).collect();
    DescribeClusterResponse {
        cluster_id: core.cluster_id.as_ref().into(),
        controller_id: controller_among(core.node_id, &told),
        brokers,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            NOT_ASKED
        },
        ..DescribeClusterResponse::default()
    }
}

/// Controllers are asked for at a controller's listener, and this is a broker's.
fn check_endpoint_type(endpoint_type: i8) -> Result<(), Refused> {
    match endpoint_type {
        BROKERS => Ok(()),
        CONTROLLERS => Err(refuse(
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
        )),
        unknown => {
            Err(refuse(ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {unknown}")))
        }
    }
}

fn brokers(image: &Image, listener: &str, with_fenced: bool) -> Vec<DescribeClusterBroker> {
    reachable(image, listener)
        .filter(|(broker, _)| with_fenced || !broker.fenced)
        .map(|(broker, endpoint)| DescribeClusterBroker {
            broker_id: broker.registration.id.0,
            host: (&*endpoint.host).into(),
            port: i32::from(endpoint.port),
            rack: broker.registration.rack.as_deref().map(Str::from),
            is_fenced: broker.fenced,
            ..DescribeClusterBroker::default()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use ottla_metadata::record::{
        BrokerFencing, Endpoint, IncarnationId, Record, RegisterBroker, SecurityProtocol,
    };
    use ottla_types::{BrokerEpoch, BrokerId};

    use super::*;

    fn image() -> Image {
        let endpoint = |listener: &str, port| Endpoint {
            listener: listener.into(),
            host: "localhost".into(),
            port,
            security_protocol: SecurityProtocol::Plaintext,
        };
        let mut image = Image::default();
        for (id, port) in [(1, 9000), (2, 9010)] {
            let epoch = BrokerEpoch(i64::from(id));
            let endpoints = vec![endpoint("INTERNAL", port), endpoint("PLAINTEXT", port + 1)];
            let (id, incarnation) = (BrokerId(id), IncarnationId::default());
            let rack = Some("r".into());
            let broker =
                RegisterBroker { id, epoch, incarnation, endpoints, rack, ..RegisterBroker::default() };
            image.apply(&Record::RegisterBroker(broker)).unwrap();
        }
        let unfenced = BrokerFencing { id: BrokerId(1), epoch: BrokerEpoch(1), fenced: false };
        image.apply(&Record::BrokerFencing(unfenced)).unwrap();
        image
    }

    #[test]
    fn brokers_are_shown_at_the_callers_listener_and_fenced_ones_when_asked_for() {
        let shown = |listener, with_fenced| {
            let brokers = brokers(&image(), listener, with_fenced);
            brokers.into_iter().map(|b| (b.broker_id, b.port, b.is_fenced)).collect::<Vec<_>>()
        };
        assert_eq!(shown("PLAINTEXT", false), [(1, 9001, false)]);
        assert_eq!(shown("INTERNAL", true), [(1, 9000, false), (2, 9010, true)]);
        assert_eq!(shown("OTHER", true), []);
    }

    #[test]
    fn controllers_are_not_described_by_a_brokers_listener() {
        let code = |endpoint_type| check_endpoint_type(endpoint_type).map_err(|refused| refused.error);
        assert_eq!(code(BROKERS), Ok(()));
        assert_eq!(code(CONTROLLERS), Err(ErrorCode::MismatchedEndpointType));
        assert_eq!(code(3), Err(ErrorCode::UnsupportedEndpointType));
    }
}
