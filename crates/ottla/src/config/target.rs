//! Whose configuration is meant.

use std::time::Duration;

use clap::Args;
use ottla_client::{Client, ConfigResource};
use ottla_types::config::Definition;
use ottla_types::config::{broker, settings, topic};
use ottla_types::{BrokerId, TopicName};

use crate::cli::topic_name;
use crate::cluster::explain;

/// How long a broker may take to answer at all.
const REACHED_WITHIN: Duration = Duration::from_secs(5);

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
        // Only a broker itself tells what its configuration is. One that has just died is named for a while.
        let why = match tokio::time::timeout(REACHED_WITHIN, client.broker(BrokerId(id))).await {
            Ok(Ok(_)) => return Ok(ConfigResource::Broker(BrokerId(id))),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", REACHED_WITHIN.as_secs()),
        };
        anyhow::bail!(
            "broker {id} cannot be reached, and only it tells its configuration: {why}\n\
             `ottla cluster brokers` shows which brokers are there."
        )
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
