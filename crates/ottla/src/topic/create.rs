//! `ottla topic create`.

use clap::Args;
use ottla_client::{CreatedTopic, NewTopic};
use ottla_types::TopicName;
use serde::Serialize;

use crate::cli::{KeyValue, topic_name};
use crate::cluster::{Cluster, explain};
use crate::output;

/// Arguments of `ottla topic create`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla topic create orders\n  \
    ottla topic create orders --partitions 12 --config retention.ms=86400000\n  \
    ottla topic create users --config cleanup.policy=compact")]
pub(crate) struct Arguments {
    /// The topic's name
    #[arg(value_parser = topic_name)]
    name: TopicName,

    /// How many partitions; the broker's num.partitions if not given
    #[arg(long, short, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,

    /// How many replicas of each partition; the broker's default.replication.factor if not given
    #[arg(long, short, value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,

    /// A configuration key of the topic (may be repeated)
    #[arg(long = "config", short, value_name = "KEY=VALUE")]
    configs: Vec<KeyValue>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Created<'a> {
    topic: &'a str,
    id: Option<String>,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
}

/// Creates a topic.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let topic = NewTopic {
        name: arguments.name.clone(),
        partitions: arguments.partitions,
        replication_factor: arguments.replication_factor,
        configs: arguments.configs.into_iter().map(|config| (config.key, config.value)).collect(),
    };
    let created = client.create_topic(&topic).await.map_err(explain)?;
    if arguments.json {
        return output::say_json(&Created {
            topic: arguments.name.as_str(),
            id: created.id.map(|id| id.to_string()),
            partitions: created.partitions,
            replication_factor: created.replication_factor,
        });
    }
    output::say(sentence(&arguments.name, &created))?;
    Ok(())
}

fn sentence(name: &TopicName, created: &CreatedTopic) -> String {
    let partitions = created.partitions.map(|count| match count {
        1 => "1 partition".to_owned(),
        count => format!("{count} partitions"),
    });
    let replicas = created.replication_factor.map(|count| format!("replication factor {count}"));
    let details: Vec<String> = partitions.into_iter().chain(replicas).collect();
    if details.is_empty() {
        format!("Created topic {name}.")
    } else {
        format!("Created topic {name} with {}.", details.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_what_the_broker_told() {
        let name = TopicName::new("orders").unwrap();
        let told = CreatedTopic { id: None, partitions: Some(3), replication_factor: Some(1) };
        assert_eq!(sentence(&name, &told), "Created topic orders with 3 partitions, replication factor 1.");
        let silent = CreatedTopic { id: None, partitions: None, replication_factor: None };
        assert_eq!(sentence(&name, &silent), "Created topic orders.");
    }
}
