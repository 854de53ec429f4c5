//! Whose configuration is meant.

use clap::Args;
use ottla_client::{Client, ConfigResource};
use ottla_types::config::Definition;
use ottla_types::config::{broker, settings, topic};
use ottla_types::{BrokerId, TopicName};

use crate::cli::topic_name;
use crate::cluster::explain;

/// Exactly one of these.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Target {
    /// A topic
    #[arg(long, short, value_name = "NAME", value_parser = topic_name)]
    topic: Option<TopicName>,

    /// A broker, by its number
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i32).range(0..))]
    broker: Option<i32>,

    /// What is set at run time for all brokers that have no value of their own
    #[arg(long)]
    broker_default: bool,
}

impl Target {
    /// The resource, once it is known to be there.
    pub(super) async fn resource(&self, client: &Client) -> anyhow::Result<ConfigResource> {
        if let Some(name) = &self.topic {
            client.topic(name).await.map_err(explain)?;
            return Ok(ConfigResource::Topic(name.clone()));
        }
        let Some(id) = self.broker else { return Ok(ConfigResource::AllBrokers) };
        let brokers = &client.metadata().brokers;
        if !brokers.contains_key(&BrokerId(id)) {
            let there: Vec<String> = brokers.keys().map(ToString::to_string).collect();
            anyhow::bail!("the cluster has no broker {id} now: it has {}", there.join(", "));
        }
        Ok(ConfigResource::Broker(BrokerId(id)))
    }

    /// The key of such a resource that looks most like this name, which is none.
    pub(super) fn nearest(&self, name: &str) -> Option<&'static str> {
        let definitions: Box<dyn Iterator<Item = &'static Definition>> = match self.topic {
            Some(_) => Box::new(topic::TOPIC_KEYS.iter().copied()),
            None => Box::new(broker::all()),
        };
        settings::nearest_of(name, definitions)
    }
}
