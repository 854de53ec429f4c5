//! `ottla cluster reassign cancel`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use ottla_client::{OngoingReassignment, Reassignment};
use ottla_types::TopicPartition;

use super::execute::{counted, request};
use super::file;
use crate::cluster::{Cluster, explain};
use crate::output;

/// Arguments of `ottla cluster reassign cancel`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["file", "all"]).required(true)))]
#[command(after_help = "Examples:\n  \
    ottla cluster reassign cancel moves.json\n  \
    ottla cluster reassign cancel --all\n\n\
    Partitions that still move go back to where they were; those that have moved stay. When no partition of the cluster moves \
    any more, the throttles of moves are taken away from all brokers and from these topics, unless --preserve-throttles says \
    otherwise.")]
pub(super) struct Arguments {
    /// The file with which the moves were begun
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// End all moves of the cluster
    #[arg(long)]
    all: bool,

    /// Leave throttles as they are
    #[arg(long)]
    preserve_throttles: bool,

    #[command(flatten)]
    cluster: Cluster,
}

/// Ends moves.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let named: Option<BTreeSet<TopicPartition>> = match &arguments.file {
        Some(path) => Some(file::read_assignment(path)?.into_iter().map(|placed| placed.at).collect()),
        None => None,
    };
    let client = arguments.cluster.connect().await?;
    let ongoing = client.reassignments(None).await.map_err(explain)?;
    let moving = meant(ongoing, named.as_ref());
    if moving.is_empty() {
        output::say("None of these partitions moves.")?;
    } else {
        let end = |at: &TopicPartition| Reassignment { partition: at.clone(), replicas: None };
        request(&client, &moving.iter().map(end).collect::<Vec<_>>(), "left where it was").await?;
        output::say(format_args!("{} go back to where they were.", counted(moving.len())))?;
    }
    let topics = named.unwrap_or_else(|| moving.into_iter().collect());
    if !arguments.preserve_throttles && super::clear_throttles(&client, &topics).await? {
        output::remark("nothing moves any more: throttles of moves are taken away");
    }
    Ok(())
}

/// The partitions whose moves are to end.
fn meant(ongoing: Vec<OngoingReassignment>, named: Option<&BTreeSet<TopicPartition>>) -> Vec<TopicPartition> {
    let moving = ongoing.into_iter().map(|one| one.partition);
    moving.filter(|at| named.is_none_or(|named| named.contains(at))).collect()
}

#[cfg(test)]
mod tests {
    use ottla_types::TopicName;

    use super::*;

    #[test]
    fn only_moves_that_go_on_are_ended_and_of_those_the_ones_that_are_named() {
        let at = |partition| TopicPartition { topic: TopicName::new("t").unwrap(), partition };
        let ongoing = |partition| OngoingReassignment {
            partition: at(partition),
            replicas: Vec::new(),
            adding: Vec::new(),
            removing: Vec::new(),
        };
        let named = BTreeSet::from([at(1), at(2)]);
        assert_eq!(meant(vec![ongoing(0), ongoing(1)], Some(&named)), [at(1)]);
        assert_eq!(meant(vec![ongoing(0), ongoing(1)], None), [at(0), at(1)]);
    }
}
