//! `ottla cluster reassign verify`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use ottla_client::OngoingReassignment;
use ottla_types::{BrokerId, TopicPartition};
use serde::Serialize;

use super::execute::counted;
use super::plan::Placed;
use super::{file, list};
use crate::cluster::{Cluster, explain};
use crate::output::{self, Table};

/// Arguments of `ottla cluster reassign verify`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla cluster reassign verify moves.json\n  \
    ottla cluster reassign verify moves.json --json\n\n\
    The exit code is 0 when all partitions of the file are where it says, and 1 otherwise. When no partition of the cluster \
    moves any more, the throttles of moves are taken away from all brokers and from the file's topics, unless \
    --preserve-throttles says otherwise.")]
pub(super) struct Arguments {
    /// Where partitions are to lie
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Leave throttles as they are
    #[arg(long)]
    preserve_throttles: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

/// What became of the move of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// It is where it was to go.
    Complete,
    /// It is on its way.
    InProgress,
    /// It is elsewhere, and not on its way.
    Elsewhere,
    /// There is no such partition.
    Missing,
}

#[derive(Debug, Serialize)]
struct Verified {
    topic: String,
    partition: i32,
    outcome: Outcome,
    wanted: Vec<i32>,
    replicas: Option<Vec<i32>>,
}

/// Compares a file with what is there.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let wanted = file::read_assignment(&arguments.file)?;
    let client = arguments.cluster.connect().await?;
    // In this order: what ends in between is complete by what is asked later.
    let ongoing = client.reassignments(None).await.map_err(explain)?;
    let topics = client.list_topics().await.map_err(explain)?;
    let verified = compare(&wanted, &super::placed(&topics, &[]), &ongoing);
    if arguments.json {
        output::say_json(&verified)?;
    } else {
        output::say(text(&verified))?;
    }
    if !arguments.preserve_throttles
        && super::clear_throttles(&client, wanted.iter().map(|placed| &placed.at)).await?
    {
        output::remark("nothing moves any more: throttles of moves are taken away");
    }
    let open = verified.iter().filter(|one| one.outcome != Outcome::Complete).count();
    anyhow::ensure!(open == 0, "{open} of {} are not where they should be", counted(verified.len()));
    Ok(())
}

fn compare(wanted: &[Placed], there: &[Placed], ongoing: &[OngoingReassignment]) -> Vec<Verified> {
    let there: BTreeMap<&TopicPartition, &Placed> = there.iter().map(|placed| (&placed.at, placed)).collect();
    let moving: BTreeMap<&TopicPartition, &OngoingReassignment> =
        ongoing.iter().map(|one| (&one.partition, one)).collect();
    let numbers = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
    let verify = |wanted: &Placed| {
        let found = there.get(&wanted.at);
        let outcome = match (found, moving.get(&wanted.at)) {
            (None, _) => Outcome::Missing,
            (Some(_), Some(one)) if one.target() == wanted.replicas => Outcome::InProgress,
            (Some(found), None) if found.replicas == wanted.replicas => Outcome::Complete,
            _ => Outcome::Elsewhere,
        };
        Verified {
            topic: wanted.at.topic.to_string(),
            partition: wanted.at.partition,
            outcome,
            wanted: numbers(&wanted.replicas),
            replicas: found.map(|found| numbers(&found.replicas)),
        }
    };
    wanted.iter().map(verify).collect()
}

fn text(verified: &[Verified]) -> String {
    let mut table = Table::new(&["partition", "move", "wanted", "replicas"]);
    let ids = |ids: &[i32]| list(&ids.iter().copied().map(BrokerId).collect::<Vec<_>>());
    for one in verified {
        let outcome = match one.outcome {
            Outcome::Complete => "complete",
            Outcome::InProgress => "in progress",
            Outcome::Elsewhere => "not going on",
            Outcome::Missing => "no such partition",
        };
        table.add_row([
            format!("{}-{}", one.topic, one.partition),
            outcome.to_owned(),
            ids(&one.wanted),
            one.replicas.as_deref().map_or_else(|| "-".to_owned(), ids),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use ottla_types::TopicName;

    use super::*;

    fn ids(ids: &[i32]) -> Vec<BrokerId> {
        ids.iter().copied().map(BrokerId).collect()
    }

    fn placed(partition: i32, replicas: &[i32]) -> Placed {
        let topic = TopicName::new("t").unwrap();
        Placed { at: TopicPartition { topic, partition }, replicas: ids(replicas) }
    }

    #[test]
    fn each_partition_is_complete_on_its_way_elsewhere_or_missing() {
        let ongoing = |partition, replicas: &[i32], removing: &[i32]| OngoingReassignment {
            partition: placed(partition, &[]).at,
            replicas: ids(replicas),
            adding: Vec::new(),
            removing: ids(removing),
        };
        let wanted = [
            placed(0, &[1, 2]),
            placed(1, &[1, 2]),
            placed(2, &[1, 2]),
            placed(3, &[1, 2]),
            placed(4, &[1, 2]),
        ];
        let there = [placed(0, &[1, 2]), placed(1, &[1, 2, 3]), placed(2, &[2, 1]), placed(3, &[1, 2])];
        // Partition 3 is where it should be, and on its way to another place.
        let moving = [ongoing(1, &[1, 2, 3], &[3]), ongoing(3, &[1, 2], &[1])];
        let outcomes: Vec<_> = compare(&wanted, &there, &moving).iter().map(|one| one.outcome).collect();
        use Outcome::{Complete, Elsewhere, InProgress, Missing};
        assert_eq!(outcomes, [Complete, InProgress, Elsewhere, Elsewhere, Missing]);
        let text = text(&compare(&wanted[4..], &there, &[]));
        assert!(text.contains("t-4") && text.contains("no such partition"), "{text}");
    }
}
