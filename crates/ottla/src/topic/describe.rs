//! `ottla topic describe`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use ottla_client::{Client, ConfigEntry, ConfigResource, EligibleReplicas, Error, Topic};
use ottla_types::config::Source;
use ottla_types::{BrokerId, ErrorCode, TopicName, TopicPartition};
use serde::Serialize;

use crate::cli::topic_name;
use crate::cluster::{Cluster, explain};
use crate::output::{self, Table, printable};

/// Arguments of `ottla topic describe`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla topic describe orders\n  \
    ottla topic describe --json\n\n\
    `elr` are replicas that may lead although they are not in sync, since they have all that is committed, and `last known elr` \
    those that were eligible before they stopped in a way that may have cost records (KIP-966); - where the cluster does not \
    tell. `ottla replicas` shows how far each replica is.")]
pub(crate) struct Arguments {
    /// The topics' names; all but the cluster's own if none is given
    #[arg(value_name = "NAME", value_parser = topic_name)]
    names: Vec<TopicName>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Described {
    topic: String,
    id: String,
    internal: bool,
    replication_factor: usize,
    /// Those that are set on the topic.
    configs: Vec<DescribedConfig>,
    partitions: Vec<DescribedPartition>,
}

#[derive(Debug, Serialize)]
struct DescribedConfig {
    key: String,
    value: Option<String>,
}

#[derive(Debug, Serialize)]
struct DescribedPartition {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    /// Null where the cluster does not tell.
    elr: Option<Vec<i32>>,
    last_known_elr: Option<Vec<i32>>,
    offline: Vec<i32>,
    error: Option<&'static str>,
}

/// Describes topics.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let topics = find(&client, &arguments.names).await?;
    let resources: Vec<ConfigResource> =
        topics.iter().map(|topic| ConfigResource::Topic(topic.name.clone())).collect();
    let configs = client.configs(&resources).await.map_err(explain)?;
    let eligible = eligible(&client, &topics).await?;
    let described: Vec<Described> =
        topics.iter().zip(configs).map(|(topic, configs)| Described::of(topic, &eligible, configs)).collect();
    if arguments.json {
        return output::say_json(&described);
    }
    for (index, topic) in described.iter().enumerate() {
        let space = if index > 0 { "\n" } else { "" };
        output::say(format_args!("{space}{}", topic.text()))?;
    }
    Ok(())
}

async fn find(client: &Client, names: &[TopicName]) -> anyhow::Result<Vec<Topic>> {
    if names.is_empty() {
        let mut topics = client.list_topics().await.map_err(explain)?;
        topics.retain(|topic| !topic.is_internal);
        return Ok(topics);
    }
    let mut topics = Vec::new();
    for name in names {
        topics.push(client.topic(name).await.map_err(explain)?);
    }
    Ok(topics)
}

type Eligible = BTreeMap<TopicPartition, EligibleReplicas>;

/// Who may lead without being in sync. Brokers that are too old to tell leave it open.
async fn eligible(client: &Client, topics: &[Topic]) -> anyhow::Result<Eligible> {
    let names: Vec<TopicName> = topics.iter().map(|topic| topic.name.clone()).collect();
    if names.is_empty() {
        return Ok(Eligible::new());
    }
    match client.eligible_replicas(&names).await {
        Ok(eligible) => Ok(eligible),
        Err(Error::UnsupportedApi { .. }) => Ok(Eligible::new()),
        Err(error) => Err(explain(error)),
    }
}

impl Described {
    fn of(topic: &Topic, eligible: &Eligible, configs: Vec<ConfigEntry>) -> Self {
        let numbers = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
        let of = |index: i32| {
            let at = TopicPartition { topic: topic.name.clone(), partition: index };
            eligible.get(&at).cloned().unwrap_or_default()
        };
        let partitions: Vec<DescribedPartition> = topic
            .partitions
            .iter()
            .map(|partition| DescribedPartition {
                partition: partition.index,
                leader: partition.leader.map(|id| id.0),
                leader_epoch: partition.leader_epoch.0,
                replicas: numbers(&partition.replicas),
                isr: numbers(&partition.isr),
                elr: of(partition.index).elr.as_deref().map(numbers),
                last_known_elr: of(partition.index).last_known.as_deref().map(numbers),
                offline: numbers(&partition.offline),
                error: Some(partition.error).filter(|&error| error != ErrorCode::None).map(ErrorCode::name),
            })
            .collect();
        Self {
            topic: topic.name.to_string(),
            id: topic.id.to_string(),
            internal: topic.is_internal,
            replication_factor: partitions.iter().map(|p| p.replicas.len()).max().unwrap_or(0),
            configs: configs
                .into_iter()
                .filter(|config| config.source == Some(Source::TopicConfig))
                .map(|config| DescribedConfig { key: config.name, value: config.value })
                .collect(),
            partitions,
        }
    }

    fn text(&self) -> String {
        let Self { topic, id, replication_factor, .. } = self;
        let count = self.partitions.len();
        let mut text =
            format!("{topic}  id {id}  partitions {count}  replication factor {replication_factor}\n");
        for DescribedConfig { key, value } in &self.configs {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {key}={}", printable(value.as_deref().unwrap_or("(not shown)")));
        }
        text.push_str(&self.table());
        text
    }

    fn table(&self) -> String {
        let has_trouble = self.partitions.iter().any(|p| p.error.is_some() || !p.offline.is_empty());
        let mut head = vec!["partition", "leader", "epoch", "replicas", "isr", "elr", "last known elr"];
        if has_trouble {
            head.extend(["offline", "error"]);
        }
        let mut table = Table::new(&head);
        for partition in &self.partitions {
            let mut row = vec![
                partition.partition.to_string(),
                partition.leader.map_or_else(|| "none".to_owned(), |id| id.to_string()),
                partition.leader_epoch.to_string(),
                list(&partition.replicas),
                list(&partition.isr),
                partition.elr.as_deref().map_or_else(unknown, list),
                partition.last_known_elr.as_deref().map_or_else(unknown, list),
            ];
            if has_trouble {
                row.extend([list(&partition.offline), partition.error.unwrap_or("").to_owned()]);
            }
            table.add_row(row);
        }
        table.text()
    }
}

fn unknown() -> String {
    "-".to_owned()
}

fn list(ids: &[i32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use ottla_client::Partition;
    use ottla_types::{LeaderEpoch, TopicId};

    use super::*;

    fn topic(error: ErrorCode) -> Topic {
        let partition = |index, leader| Partition {
            index,
            error,
            leader,
            leader_epoch: LeaderEpoch(4),
            replicas: vec![BrokerId(1), BrokerId(2)],
            isr: vec![BrokerId(2)],
            offline: Vec::new(),
        };
        Topic {
            name: TopicName::new("orders").unwrap(),
            id: TopicId([1; 16]),
            error: ErrorCode::None,
            is_internal: false,
            partitions: vec![partition(0, Some(BrokerId(2))), partition(1, None)],
        }
    }

    fn configs() -> Vec<ConfigEntry> {
        let entry = |name: &str, source| ConfigEntry {
            name: name.to_owned(),
            value: Some("1".to_owned()),
            source: Some(source),
            is_read_only: false,
            is_sensitive: false,
            synonyms: Vec::new(),
        };
        vec![entry("retention.ms", Source::TopicConfig), entry("segment.bytes", Source::DefaultConfig)]
    }

    /// Of partition 1 it is told, of partition 0 it is not.
    fn eligible() -> Eligible {
        let at = TopicPartition { topic: TopicName::new("orders").unwrap(), partition: 1 };
        let told = EligibleReplicas { elr: Some(vec![BrokerId(1)]), last_known: Some(Vec::new()) };
        Eligible::from([(at, told)])
    }

    #[test]
    fn a_topic_is_a_headline_its_own_configs_and_a_table() {
        let text = Described::of(&topic(ErrorCode::None), &eligible(), configs()).text();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "orders  id AQEBAQEBAQEBAQEBAQEBAQ  partitions 2  replication factor 2",
                "retention.ms=1",
                "partition  leader  epoch  replicas  isr  elr  last known elr",
                "0          2       4      1,2       2    -    -",
                "1          none    4      1,2       2    1",
            ],
            "{text}"
        );
    }

    #[test]
    fn a_partition_in_trouble_says_which() {
        let text = Described::of(&topic(ErrorCode::LeaderNotAvailable), &eligible(), Vec::new()).text();
        assert!(text.contains("offline  error"), "{text}");
        assert!(text.contains("LEADER_NOT_AVAILABLE"), "{text}");
    }

    #[test]
    fn json_has_numbers_and_null_for_no_leader() {
        let described = Described::of(&topic(ErrorCode::None), &eligible(), configs());
        let json = serde_json::to_value(&described).unwrap();
        assert_eq!(json["partitions"][0]["leader"], 2);
        assert_eq!(json["partitions"][1]["leader"], serde_json::Value::Null);
        assert_eq!(
            (&json["partitions"][0]["elr"], &json["partitions"][1]["elr"][0]),
            (&().into(), &1.into())
        );
        assert_eq!(json["configs"].as_array().unwrap().len(), 1);
    }
}
