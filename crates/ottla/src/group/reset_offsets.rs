//! `ottla group reset-offsets`: sets how far a group has read. Nothing happens without `--execute`.

use clap::Args;
use ottla_client::Client;
use ottla_types::{ErrorCode, TopicPartition};
use serde::Serialize;

use super::cell;
use super::places::{self, Offsets, Rule};
use super::topics::{Topic, existing};
use crate::cluster::{Cluster, explain};
use crate::output::{self, Table};

/// Arguments of `ottla group reset-offsets`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla group reset-offsets readers --topic orders --to-earliest              # shows what would be\n  \
    ottla group reset-offsets readers --topic orders --to-earliest --execute    # does it\n  \
    ottla group reset-offsets readers --topic orders:0,1 --shift-by -10 --execute\n  \
    ottla group reset-offsets readers --all-topics --by-duration PT1H --execute\n  \
    ottla group reset-offsets readers --all-topics --to-datetime 2026-01-31T12:00:00Z --execute\n  \
    ottla group reset-offsets readers --all-topics --to-current --export > offsets.csv\n  \
    ottla group reset-offsets readers --from-file offsets.csv --execute\n\n\
    The group must have no members. One that does not exist comes to be.")]
pub(crate) struct Arguments {
    /// The group
    group: String,

    /// A topic, or a topic and some of its partitions as in orders:0,1 (may be repeated)
    #[arg(long = "topic", value_name = "TOPIC", required_unless_present_any = ["all_topics", "from_file"])]
    topics: Vec<Topic>,

    /// All topics that the group has offsets in
    #[arg(long, conflicts_with = "topics")]
    all_topics: bool,

    #[command(flatten)]
    rule: Rule,

    /// Do it; else it is only shown
    #[arg(long, conflicts_with = "dry_run")]
    execute: bool,

    /// Only show it; so it is without saying
    #[arg(long)]
    dry_run: bool,

    /// Print the new offsets as --from-file reads them
    #[arg(long, conflicts_with = "json")]
    export: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Reset<'a> {
    group: &'a str,
    executed: bool,
    offsets: Vec<ResetOffset>,
}

#[derive(Debug, Serialize)]
struct ResetOffset {
    topic: String,
    partition: i32,
    before: Option<i64>,
    after: i64,
}

/// Sets offsets, or shows what they would be.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let group = arguments.group.as_str();
    refuse_if_active(&client, group).await?;
    let committed = client.committed_offsets(group, None).await.map_err(explain)?;
    let current: Offsets = committed.into_iter().map(|(at, committed)| (at, committed.offset)).collect();
    let partitions = arguments.partitions(&client, &current).await?;
    let after = arguments.rule.apply(&client, &partitions, &current).await?;
    if arguments.execute && !after.is_empty() {
        let offsets = after.iter().map(|(at, &offset)| (at.clone(), offset.into())).collect();
        client.commit_offsets(group, &offsets).await.map_err(explain)?;
    }
    let offsets = after.iter().map(|(at, offset)| ResetOffset {
        topic: at.topic.to_string(),
        partition: at.partition,
        before: current.get(at).map(|offset| offset.0),
        after: offset.0,
    });
    let reset = Reset { group, executed: arguments.execute, offsets: offsets.collect() };
    arguments.show(&reset)
}

/// As Kafka's tool: the offsets of a group with members are theirs to set.
async fn refuse_if_active(client: &Client, group: &str) -> anyhow::Result<()> {
    match client.describe_group(group).await {
        Ok(described) => anyhow::ensure!(
            described.members.is_empty(),
            "the group {group} has {} members and is {}: its offsets can be set when they are gone. \
             `ottla group describe {group} --members` shows them",
            described.members.len(),
            described.state
        ),
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => {}
        Err(error) => return Err(explain(error)),
    }
    Ok(())
}

impl Arguments {
    async fn partitions(&self, client: &Client, current: &Offsets) -> anyhow::Result<Vec<TopicPartition>> {
        let group = &self.group;
        if let Some(path) = &self.rule.from_file {
            let named: Vec<TopicPartition> = places::read_file(path)?.into_keys().collect();
            return self.all_exist(client, named).await;
        }
        if !self.all_topics {
            return existing(client, &self.topics).await;
        }
        anyhow::ensure!(!current.is_empty(), "the group {group} has no offsets: name topics with --topic");
        let mut topics: Vec<Topic> = Vec::new();
        for at in current.keys() {
            if topics.last().is_none_or(|topic| topic.name != at.topic) {
                topics.push(at.topic.clone().into());
            }
        }
        existing(client, &topics).await
    }

    async fn all_exist(
        &self,
        client: &Client,
        named: Vec<TopicPartition>,
    ) -> anyhow::Result<Vec<TopicPartition>> {
        for at in &named {
            let topic = client.topic(&at.topic).await.map_err(explain)?;
            anyhow::ensure!(topic.partition(at.partition).is_some(), "there is no partition {at}");
        }
        Ok(named)
    }

    fn show(&self, reset: &Reset<'_>) -> anyhow::Result<()> {
        if self.json {
            return output::say_json(reset);
        }
        if self.export {
            for ResetOffset { topic, partition, after, .. } in &reset.offsets {
                output::say(format_args!("{topic},{partition},{after}"))?;
            }
            return Ok(());
        }
        let mut table = Table::new(&["topic", "partition", "before", "after"]);
        for ResetOffset { topic, partition, before, after } in &reset.offsets {
            table.add_row([topic.clone(), partition.to_string(), cell(*before), after.to_string()]);
        }
        output::say(table.text())?;
        if !reset.executed {
            output::say("Nothing was changed; --execute does it.")?;
        }
        Ok(())
    }
}
