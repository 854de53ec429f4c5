//! Configuration of topics and brokers: described with the source of each value (KIP-226), and changed key by key
//! (KIP-339).

use std::fmt;

use ottla_types::config::Source;
use ottla_types::{BrokerId, TopicName};
use ottla_wire::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use ottla_wire::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ottla_wire::{ApiKey, Str};

use crate::admin::{bad_answer, one};
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Error, check};

/// What has a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigResource {
    /// A topic.
    Topic(TopicName),
    /// One broker.
    Broker(BrokerId),
    /// All brokers: what is set at run time for each that has no value of its own.
    AllBrokers,
}

impl ConfigResource {
    /// The number in DescribeConfigs and IncrementalAlterConfigs.
    fn kind(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) | Self::AllBrokers => 4,
        }
    }

    /// The name there; all brokers have none.
    fn name(&self) -> String {
        match self {
            Self::Topic(name) => name.to_string(),
            Self::Broker(id) => id.to_string(),
            Self::AllBrokers => String::new(),
        }
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::AllBrokers => f.write_str("the default of all brokers"),
        }
    }
}

/// A configuration key of a resource, and its value in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: String,
    /// The value; `None` where it is a secret or there is none.
    pub value: Option<String>,
    /// Where the value is set; `None` for a source that only other resources have.
    pub source: Option<Source>,
    /// Whether it cannot be changed at run time.
    pub is_read_only: bool,
    /// Whether the value is a secret, which is never told.
    pub is_sensitive: bool,
    /// All values that are set, the one in force first.
    pub synonyms: Vec<ConfigSynonym>,
}

/// A place where a key, or another one that it falls back on, is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key there.
    pub name: String,
    /// The value there; `None` for a secret.
    pub value: Option<String>,
    /// Which place that is.
    pub source: Option<Source>,
}

/// A change to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// The key gets this value.
    Set(String, String),
    /// The key has no value of its own any more.
    Unset(String),
}

impl Client {
    /// The configuration of resources, in the order given, each with its keys in the order of the broker's answer.
    ///
    /// # Errors
    /// [`Error::Answered`] for the first resource that has none.
    pub async fn configs(&self, resources: &[ConfigResource]) -> Result<Vec<Vec<ConfigEntry>>, Error> {
        let mut configs = Vec::new();
        // A broker tells its own configuration, and any broker that of topics: resources in a row that one broker
        // tells are one request.
        for together in resources.chunk_by(|a, b| owner(a) == owner(b)) {
            let mut retry = self.retry("describing configurations".to_owned());
            configs.extend(loop {
                match self.configs_once(together).await {
                    Ok(found) => break found,
                    Err(error) => retry.after(error).await?,
                }
            });
        }
        Ok(configs)
    }

    async fn configs_once(&self, resources: &[ConfigResource]) -> Result<Vec<Vec<ConfigEntry>>, Error> {
        let connection = match resources.first().and_then(owner) {
            Some(broker) => self.broker(broker).await?,
            None => self.any_broker().await?,
        };
        let resource = |resource: &ConfigResource| DescribeConfigsResource {
            resource_type: resource.kind(),
            resource_name: resource.name().into(),
            configuration_keys: None,
            ..DescribeConfigsResource::default()
        };
        let request = DescribeConfigsRequest {
            resources: resources.iter().map(resource).collect(),
            include_synonyms: true,
            ..DescribeConfigsRequest::default()
        };
        let response = connection.call(request).await?;
        let api = ApiKey::DescribeConfigs;
        let mut configs = Vec::new();
        for resource in resources {
            let name = resource.name();
            let result = response
                .results
                .iter()
                .find(|result| {
                    result.resource_type == resource.kind() && result.resource_name == name.as_str()
                })
                .ok_or_else(|| bad_answer(&connection, api, format!("{resource} is not in it")))?;
            let message = result.error_message.as_deref();
            check(connection.broker(), api, resource, result.error_code, message)?;
            configs.push(result.configs.iter().map(config_entry).collect());
        }
        Ok(configs)
    }

    /// Changes keys of one resource, all of them or none; with `validate_only` it is only checked whether that could be
    /// done.
    ///
    /// # Errors
    /// [`Error::Answered`] says why not.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        changes: &[ConfigChange],
        validate_only: bool,
    ) -> Result<(), Error> {
        let mut retry = self.retry(format!("changing the configuration of {resource}"));
        loop {
            let connection = match owner(resource) {
                Some(broker) => self.broker(broker).await,
                None => self.controller().await,
            };
            let result = match connection {
                Ok(connection) => alter_once(&connection, resource, changes, validate_only).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => return Ok(()),
                Err(error) => self.retry_administration(&mut retry, error).await?,
            }
        }
    }
}

/// The broker that must be asked about a resource; `None` if any will do.
fn owner(resource: &ConfigResource) -> Option<BrokerId> {
    match resource {
        ConfigResource::Broker(id) => Some(*id),
        ConfigResource::Topic(_) | ConfigResource::AllBrokers => None,
    }
}

async fn alter_once(
    connection: &Connection,
    resource: &ConfigResource,
    changes: &[ConfigChange],
    validate_only: bool,
) -> Result<(), Error> {
    let change = |change: &ConfigChange| {
        let (name, config_operation, value) = match change {
            ConfigChange::Set(name, value) => (name, 0, Some(value)),
            ConfigChange::Unset(name) => (name, 1, None),
        };
        AlterableConfig {
            name: name.into(),
            config_operation,
            value: value.map(Into::into),
            ..AlterableConfig::default()
        }
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: resource.kind(),
            resource_name: resource.name().into(),
            configs: changes.iter().map(change).collect(),
            ..AlterConfigsResource::default()
        }],
        validate_only,
        ..IncrementalAlterConfigsRequest::default()
    };
    let api = ApiKey::IncrementalAlterConfigs;
    let response = connection.call(request).await?;
    let result = one(connection, api, response.responses)?;
    check(connection.broker(), api, resource, result.error_code, result.error_message.as_deref())
}

fn config_entry(entry: &DescribeConfigsResourceResult) -> ConfigEntry {
    let text = |text: &Str| text.as_str().to_owned();
    ConfigEntry {
        name: text(&entry.name),
        value: entry.value.as_ref().map(text),
        source: Source::from_code(entry.config_source),
        is_read_only: entry.read_only,
        is_sensitive: entry.is_sensitive,
        synonyms: entry
            .synonyms
            .iter()
            .map(|synonym| ConfigSynonym {
                name: text(&synonym.name),
                value: synonym.value.as_ref().map(text),
                source: Source::from_code(synonym.source),
            })
            .collect(),
    }
}
