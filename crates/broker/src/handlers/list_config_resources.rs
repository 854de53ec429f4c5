//! ListConfigResources: what has, or can have, a configuration of its own (KIP-714, KIP-1142).

use ottla_metadata::Image;
use ottla_types::ErrorCode;
use ottla_wire::Str;
use ottla_wire::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use super::config_changes::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::broker::Core;
use crate::context::RequestContext;

/// The kinds that a client can ask for, in the order of Kafka's answer. Of loggers, client metrics and groups there
/// are none that could be described here, and so none in the answer.
const KINDS: &[i8] = &[GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC];

pub(crate) fn handle(
    core: &Core,
    context: &RequestContext,
    request: &ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    list(&core.metadata.image(), &context.peer.listener, kinds(context.version, request))
}

/// The kinds asked for: by version 0 client metrics, which is all that it knows.
fn kinds(version: i16, request: &ListConfigResourcesRequest) -> &[i8] {
    match request.resource_types.as_slice() {
        _ if version == 0 => &[CLIENT_METRICS],
        [] => KINDS,
        kinds => kinds,
    }
}

fn list(image: &Image, listener: &str, kinds: &[i8]) -> ListConfigResourcesResponse {
    if kinds.iter().any(|kind| !KINDS.contains(kind)) {
        return ListConfigResourcesResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            ..ListConfigResourcesResponse::default()
        };
    }
    let mut config_resources = Vec::new();
    if kinds.contains(&BROKER) {
        let here = image.brokers().map(|broker| &broker.registration).filter(|registration| {
            registration.endpoints.iter().any(|endpoint| &*endpoint.listener == listener)
        });
        config_resources
            .extend(here.map(|registration| resource(BROKER, registration.id.to_string().into())));
    }
    if kinds.contains(&TOPIC) {
        config_resources.extend(image.topics().map(|topic| resource(TOPIC, topic.name.as_str().into())));
    }
    ListConfigResourcesResponse { config_resources, ..ListConfigResourcesResponse::default() }
}

fn resource(resource_type: i8, resource_name: Str) -> ConfigResource {
    ConfigResource { resource_name, resource_type, ..ConfigResource::default() }
}

#[cfg(test)]
mod tests {
    use ottla_metadata::record::{Endpoint, IncarnationId, Record, RegisterBroker, SecurityProtocol, Topic};
    use ottla_types::{BrokerEpoch, BrokerId, TopicId, TopicName};

    use super::*;

    fn image() -> Image {
        let endpoint = |listener: &str| Endpoint {
            listener: listener.into(),
            host: "localhost".into(),
            port: 9092,
            security_protocol: SecurityProtocol::Plaintext,
        };
        let broker = |id, listener: &str| RegisterBroker {
            id: BrokerId(id),
            epoch: BrokerEpoch(i64::from(id)),
            incarnation: IncarnationId::default(),
            endpoints: vec![endpoint(listener)],
            ..RegisterBroker::default()
        };
        let mut image = Image::default();
        image.apply(&Record::RegisterBroker(broker(1, "PLAINTEXT"))).unwrap();
        image.apply(&Record::RegisterBroker(broker(2, "INTERNAL"))).unwrap();
        let topic = Topic { name: TopicName::new("orders").unwrap(), id: TopicId([7; 16]) };
        image.apply(&Record::Topic(topic)).unwrap();
        image
    }

    fn listed(version: i16, types: &[i8]) -> Result<Vec<(i8, String)>, i16> {
        let request = ListConfigResourcesRequest {
            resource_types: types.to_vec(),
            ..ListConfigResourcesRequest::default()
        };
        let response = list(&image(), "PLAINTEXT", kinds(version, &request));
        if response.error_code != 0 {
            return Err(response.error_code);
        }
        Ok(response.config_resources.into_iter().map(|r| (r.resource_type, r.resource_name.into())).collect())
    }

    #[test]
    fn no_kind_means_all_and_brokers_are_those_of_the_callers_listener() {
        let (broker, topic) = ((BROKER, "1".to_owned()), (TOPIC, "orders".to_owned()));
        assert_eq!(listed(1, &[]), Ok(vec![broker.clone(), topic.clone()]));
        assert_eq!(listed(1, &[TOPIC]), Ok(vec![topic]));
        assert_eq!(listed(1, &[BROKER, GROUP]), Ok(vec![broker]));
    }

    #[test]
    fn the_first_version_knows_client_metrics_only() {
        assert_eq!(listed(0, &[]), Ok(Vec::new()));
    }

    #[test]
    fn a_kind_that_kafka_does_not_have_fails_the_request() {
        assert_eq!(listed(1, &[TOPIC, 3]), Err(ErrorCode::UnsupportedVersion.code()));
    }
}
