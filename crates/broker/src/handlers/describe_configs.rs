//! DescribeConfigs: the configuration of topics and brokers, and where each value comes from (KIP-133, KIP-226,
//! KIP-569).

use std::collections::BTreeSet;

use ottla_metadata::Image;
use ottla_metadata::controller::Refused;
use ottla_types::config::{Described, Settings, Synonym};
use ottla_types::{BrokerId, ErrorCode, TopicName};
use ottla_wire::Str;
use ottla_wire::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};

use super::config_changes::{BROKER, BROKER_LOGGER, CLIENT_METRICS, NO_LOGGERS, TOPIC};
use super::each::{invalid_request, refuse};
use crate::broker::Core;

pub(crate) fn handle(core: &Core, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let image = core.metadata.image();
    let describe = Describe {
        image: &image,
        settings: &core.settings,
        this: core.node_id,
        synonyms: request.include_synonyms,
        documentation: request.include_documentation,
    };
    DescribeConfigsResponse { results: describe.all(request.resources), ..DescribeConfigsResponse::default() }
}

/// What is described, and how much is told of it.
struct Describe<'a> {
    image: &'a Image,
    settings: &'a Settings,
    this: BrokerId,
    synonyms: bool,
    documentation: bool,
}

impl Describe<'_> {
    fn all(&self, resources: Vec<DescribeConfigsResource>) -> Vec<DescribeConfigsResult> {
        let mut whole = BTreeSet::new();
        resources
            .into_iter()
            // A few bytes that name a resource give kilobytes of answer. Naming it again gives the same ones, which
            // no client needs, and which would let a request be answered with any multiple of its size.
            .filter(|r| !wants_all(r) || whole.insert((r.resource_type, r.resource_name.clone())))
            .map(|resource| self.result(resource))
            .collect()
    }

    fn result(&self, resource: DescribeConfigsResource) -> DescribeConfigsResult {
        let (error_code, error_message, mut configs) =
            match self.resource(resource.resource_type, &resource.resource_name) {
                // Kafka leaves the message of a success empty, where other responses have null.
                Ok(configs) => (ErrorCode::None.code(), Some(Str::default()), configs),
                Err(refused) => (refused.error.code(), Some(refused.message.into()), Vec::new()),
            };
        if !wants_all(&resource) {
            let keys: BTreeSet<Str> = resource.configuration_keys.into_iter().flatten().collect();
            configs.retain(|config| keys.contains(&config.name));
        }
        DescribeConfigsResult {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            configs,
            ..DescribeConfigsResult::default()
        }
    }

    fn resource(&self, kind: i8, name: &str) -> Result<Vec<DescribeConfigsResourceResult>, Refused> {
        match kind {
            TOPIC => self.topic(name),
            BROKER if name.is_empty() => Ok(self.cluster_default()),
            BROKER => match broker_id(name)? {
                id if id == self.this => Ok(self.broker()),
                _ => Err(invalid_request(format!(
                    "Unexpected broker id, expected {} or empty string, but received {name}",
                    self.this
                ))),
            },
            BROKER_LOGGER if name.is_empty() => Err(invalid_request("Broker id must not be empty")),
            BROKER_LOGGER => match broker_id(name)? {
                id if id == self.this => Err(invalid_request(NO_LOGGERS)),
                _ => Err(invalid_request(format!(
                    "Unexpected broker id, expected {} but received {name}",
                    self.this
                ))),
            },
            CLIENT_METRICS if name.is_empty() => {
                Err(invalid_request("Client metrics subscription name must not be empty"))
            }
            // KIP-714: a subscription that nobody set has no configuration, and nobody can set one here.
            CLIENT_METRICS => Ok(Vec::new()),
            _ => Err(invalid_request(format!("Unexpected resource type {kind} for resource {name}"))),
        }
    }

    fn topic(&self, name: &str) -> Result<Vec<DescribeConfigsResourceResult>, Refused> {
        let name =
            TopicName::new(name).map_err(|why| refuse(ErrorCode::InvalidTopicException, why.to_string()))?;
        if self.image.topic_by_name(name.as_str()).is_none() {
            let message = format!("The topic '{name}' does not exist.");
            return Err(refuse(ErrorCode::UnknownTopicOrPartition, message));
        }
        let layers = self.image.layers(self.this, self.settings);
        let described = layers.describe_topic(self.image.topic_overrides(&name));
        Ok(described.into_iter().map(|described| self.config(described)).collect())
    }

    fn broker(&self) -> Vec<DescribeConfigsResourceResult> {
        let described = self.image.layers(self.this, self.settings).describe_broker();
        described.into_iter().map(|described| self.config(described)).collect()
    }

    fn cluster_default(&self) -> Vec<DescribeConfigsResourceResult> {
        let described = self.image.cluster_layers(self.settings).describe_cluster_default();
        described.into_iter().map(|described| self.config(described)).collect()
    }

    fn config(&self, described: Described) -> DescribeConfigsResourceResult {
        let definition = described.definition;
        let is_sensitive = definition.is_sensitive();
        DescribeConfigsResourceResult {
            name: Str::from_static(definition.name),
            value: described.value.filter(|_| !is_sensitive).map(Str::from),
            read_only: described.read_only,
            config_source: described.source.code(),
            is_sensitive,
            synonyms: if self.synonyms {
                described.synonyms.into_iter().map(synonym).collect()
            } else {
                Vec::new()
            },
            config_type: definition.kind.code(),
            documentation: self.documentation.then(|| Str::from_static(definition.doc())),
            ..DescribeConfigsResourceResult::default()
        }
    }
}

/// Kafka takes an empty list of keys for null.
fn wants_all(resource: &DescribeConfigsResource) -> bool {
    resource.configuration_keys.as_ref().is_none_or(Vec::is_empty)
}

fn broker_id(name: &str) -> Result<BrokerId, Refused> {
    name.parse()
        .map(BrokerId)
        .map_err(|_| invalid_request(format!("Broker id must be an integer, but it is: {name}")))
}

fn synonym(synonym: Synonym) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym {
        name: Str::from_static(synonym.name),
        value: synonym.value.map(Str::from),
        source: synonym.source.code(),
        ..DescribeConfigsSynonym::default()
    }
}

#[cfg(test)]
#[path = "describe_configs_tests.rs"]
mod tests;
