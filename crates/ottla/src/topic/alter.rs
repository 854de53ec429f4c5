//! `ottla topic alter`.

use clap::{ArgGroup, Args};
use ottla_client::{Client, ConfigChange, ConfigResource};
use ottla_types::TopicName;
use serde::Serialize;

use crate::cli::{KeyValue, config_changes, topic_name};
use crate::cluster::{Cluster, explain};
use crate::output;

/// Arguments of `ottla topic alter`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").args(["partitions", "set", "unset"]).required(true).multiple(true)))]
#[command(after_help = "Examples:\n  \
    ottla topic alter orders --partitions 12\n  \
    ottla topic alter orders --set retention.ms=86400000 --unset cleanup.policy\n\n\
    Partitions can be added and not removed. Records stay in their partitions: keys may go to other ones from then on.\n\n\
    Nothing is changed unless all of it can be.")]
pub(crate) struct Arguments {
    /// The topic's name
    #[arg(value_parser = topic_name)]
    name: TopicName,

    /// How many partitions it is to have in all
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,

    /// Set a configuration key (may be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<KeyValue>,

    /// Leave a configuration key to the brokers (may be repeated)
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,

    /// Only check whether it could be done
    #[arg(long)]
    dry_run: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Altered<'a> {
    topic: &'a str,
    partitions: Option<i32>,
    set: Vec<Set<'a>>,
    unset: &'a [String],
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Set<'a> {
    key: &'a str,
    value: &'a str,
}

/// Changes a topic.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let changes = config_changes(&arguments.set, &arguments.unset)?;
    let client = arguments.cluster.connect().await?;
    client.topic(&arguments.name).await.map_err(explain)?;
    // The two are requests of their own, and the second must not fail after the first is done.
    if arguments.dry_run || (arguments.partitions.is_some() && !changes.is_empty()) {
        arguments.request(&client, &changes, true).await?;
    }
    if !arguments.dry_run {
        arguments.request(&client, &changes, false).await?;
    }
    if arguments.json { output::say_json(&arguments.altered()) } else { arguments.say() }
}

impl Arguments {
    async fn request(
        &self,
        client: &Client,
        changes: &[ConfigChange],
        only_check: bool,
    ) -> anyhow::Result<()> {
        if !changes.is_empty() {
            let topic = ConfigResource::Topic(self.name.clone());
            client.alter_configs(&topic, changes, only_check).await.map_err(explain)?;
        }
        if let Some(count) = self.partitions {
            client.create_partitions(&self.name, count, only_check).await.map_err(explain)?;
        }
        Ok(())
    }

    fn altered(&self) -> Altered<'_> {
        Altered {
            topic: self.name.as_str(),
            partitions: self.partitions,
            set: self.set.iter().map(|set| Set { key: &set.key, value: &set.value }).collect(),
            unset: &self.unset,
            dry_run: self.dry_run,
        }
    }

    fn say(&self) -> anyhow::Result<()> {
        let name = &self.name;
        if self.dry_run {
            output::say(format_args!("Topic {name} could be changed so; nothing was."))?;
            return Ok(());
        }
        if let Some(count) = self.partitions {
            output::say(format_args!("Topic {name} has {count} partitions."))?;
        }
        for KeyValue { key, value } in &self.set {
            output::say(format_args!("Topic {name}: {key}={value}"))?;
        }
        for key in &self.unset {
            output::say(format_args!("Topic {name}: {key} unset"))?;
        }
        Ok(())
    }
}
