//! `ottla cluster elect`.

use clap::Args;
use ottla_client::{Client, ElectedPartition, Election};
use ottla_types::{ErrorCode, TopicName, TopicPartition};
use serde::Serialize;

use crate::cli::{partition_number, topic_name};
use crate::cluster::{Cluster, explain};
use crate::output::{self, Table};

/// Arguments of `ottla cluster elect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla cluster elect                                # the preferred leader everywhere\n  \
    ottla cluster elect --topic orders\n  \
    ottla cluster elect --topic orders --partition 0 --partition 3 --json\n  \
    ottla cluster elect --topic orders --unclean --records-may-be-lost\n\n\
    The preferred leader of a partition is the first of its replicas; it can lead if it is in sync. An unclean election is for \
    partitions that nobody leads because no replica in sync is alive: any other that lives takes over, and what only the \
    former ones had is lost for good. Without a topic all partitions are meant, and those that need no election are not shown.")]
pub(crate) struct Arguments {
    /// Only partitions of this topic
    #[arg(long, short, value_name = "NAME", value_parser = topic_name)]
    topic: Option<TopicName>,

    /// Only this partition of the topic (may be repeated)
    #[arg(long, short, value_name = "NUMBER", requires = "topic", value_parser = partition_number)]
    partition: Vec<i32>,

    /// Where nobody leads, let any replica that lives lead
    #[arg(long, requires = "records_may_be_lost")]
    unclean: bool,

    /// Say that records may be lost, as by an unclean election
    #[arg(long, requires = "unclean")]
    records_may_be_lost: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Elected {
    topic: String,
    partition: i32,
    /// Whether it has a new leader.
    elected: bool,
    /// Why not, if that is so: ELECTION_NOT_NEEDED where it has the right one already.
    error: Option<&'static str>,
    message: Option<String>,
}

/// Elects leaders. Fails if a partition that needed one has none.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let partitions = arguments.partitions(&client).await?;
    let election = if arguments.unclean { Election::Unclean } else { Election::Preferred };
    let elected = client.elect_leaders(election, partitions.as_deref()).await.map_err(explain)?;
    let without = elected.iter().filter(|one| is_without(one.error)).count();
    if arguments.json {
        output::say_json(&elected.iter().map(Elected::of).collect::<Vec<_>>())?;
    } else if elected.is_empty() {
        output::say("No partition needs an election.")?;
    } else {
        output::say(text(&elected))?;
    }
    if without > 0 {
        anyhow::bail!("{without} of {} partitions did not get the leader that was asked for", elected.len());
    }
    Ok(())
}

impl Arguments {
    /// The partitions that are meant; `None` for all.
    async fn partitions(&self, client: &Client) -> anyhow::Result<Option<Vec<TopicPartition>>> {
        let Some(topic) = &self.topic else { return Ok(None) };
        let of_topic = |partition: i32| TopicPartition { topic: topic.clone(), partition };
        if !self.partition.is_empty() {
            return Ok(Some(self.partition.iter().copied().map(of_topic).collect()));
        }
        let known = client.topic(topic).await.map_err(explain)?;
        Ok(Some(known.partitions.iter().map(|partition| of_topic(partition.index)).collect()))
    }
}

/// Whether a partition does not have the leader that was asked for.
fn is_without(error: ErrorCode) -> bool {
    !matches!(error, ErrorCode::None | ErrorCode::ElectionNotNeeded)
}

impl Elected {
    fn of(one: &ElectedPartition) -> Self {
        Self {
            topic: one.topic.clone(),
            partition: one.partition,
            elected: one.error == ErrorCode::None,
            error: Some(one.error).filter(|error| error.is_error()).map(ErrorCode::name),
            message: one.message.clone(),
        }
    }
}

fn text(elected: &[ElectedPartition]) -> String {
    let mut table = Table::new(&["topic", "partition", "result"]);
    for one in elected {
        let result = match one.error {
            ErrorCode::None => "elected".to_owned(),
            ErrorCode::ElectionNotNeeded => "not needed".to_owned(),
            error => one.message.clone().unwrap_or_else(|| error.to_string()),
        };
        table.add_row([one.topic.clone(), one.partition.to_string(), result]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    fn of(partition: i32, error: ErrorCode, message: Option<&str>) -> ElectedPartition {
        ElectedPartition { topic: "orders".to_owned(), partition, error, message: message.map(str::to_owned) }
    }

    #[test]
    fn an_unclean_election_is_not_held_without_a_word_about_the_records() {
        let parses = |line: &str| Cli::try_parse_from(line.split_whitespace()).is_ok();
        assert!(parses("ottla cluster elect"));
        assert!(parses("ottla cluster elect --topic orders --partition 0"));
        assert!(parses("ottla cluster elect --unclean --records-may-be-lost"));
        assert!(!parses("ottla cluster elect --unclean"));
        assert!(!parses("ottla cluster elect --records-may-be-lost"));
        assert!(!parses("ottla cluster elect --partition 0"), "of which topic?");
    }

    #[test]
    fn each_partition_is_shown_with_what_became_of_it() {
        let elected = [
            of(0, ErrorCode::None, None),
            of(1, ErrorCode::ElectionNotNeeded, Some("it is")),
            of(2, ErrorCode::PreferredLeaderNotAvailable, Some("it is away")),
        ];
        let text = text(&elected);
        let rows: Vec<_> =
            text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(rows[0], ["orders", "0", "elected"]);
        assert_eq!(rows[1], ["orders", "1", "not", "needed"]);
        assert_eq!(rows[2], ["orders", "2", "it", "is", "away"]);
        let without: Vec<_> = elected.iter().map(|one| is_without(one.error)).collect();
        assert_eq!(without, [false, false, true]);
        let json = serde_json::to_value(Elected::of(&elected[1])).unwrap();
        assert_eq!(
            (json["elected"].as_bool(), json["error"].as_str()),
            (Some(false), Some("ELECTION_NOT_NEEDED"))
        );
    }
}
