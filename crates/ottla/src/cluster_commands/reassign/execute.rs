//! `ottla cluster reassign execute`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use ottla_client::{Client, OngoingReassignment, Reassignment};
use ottla_types::{BrokerId, TopicPartition};

use super::file;
use super::plan::Placed;
use super::throttle::{self, Move};
use crate::cluster::{Cluster, explain};
use crate::output;

/// How many partitions are moved by one request: the controller decides it at once, and others wait meanwhile.
const AT_ONCE: usize = 1000;

/// Arguments of `ottla cluster reassign execute`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla cluster reassign execute moves.json\n  \
    ottla cluster reassign execute moves.json --throttle 50000000\n  \
    ottla cluster reassign execute moves.json --throttle 90000000 --additional   # another rate\n\n\
    The file is what `ottla cluster reassign plan` or kafka-reassign-partitions.sh prints. What is printed first is where the \
    partitions lie now, as such a file: with it they can be moved back. A throttle stays until `ottla cluster reassign verify` or \
    `cancel` takes it away, and holds back only the copies of these moves.")]
pub(super) struct Arguments {
    /// Where partitions are to lie
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// How many bytes a second each broker may send, and fetch, for these moves; as many as it can if not given
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    throttle: Option<u64>,

    /// Begin although other moves are going on, or change the throttle of those that are
    #[arg(long)]
    additional: bool,

    #[command(flatten)]
    cluster: Cluster,
}

/// Begins moves.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let wanted = file::read_assignment(&arguments.file)?;
    let client = arguments.cluster.connect().await?;
    let ongoing = client.reassignments(None).await.map_err(explain)?;
    anyhow::ensure!(
        ongoing.is_empty() || arguments.additional,
        "{} partitions are moving already: wait for them (`ottla cluster reassign progress`), end them (`cancel`), or say --additional",
        ongoing.len()
    );
    let topics = client.list_topics().await.map_err(explain)?;
    let before = before(&super::placed(&topics, &[]), &wanted)?;
    output::say(format_args!("Where they lie now, to move them back:\n{}", file::to_json(&before)?))?;
    begin(&client, &before, &wanted, &ongoing, arguments.throttle).await?;
    output::say(match arguments.throttle {
        None => format!("{} are moving.", counted(wanted.len())),
        Some(bytes) => format!(
            "{} are moving, at {bytes} bytes a second from and to each broker at most. `ottla cluster reassign verify` takes that \
             limit away when they are done.",
            counted(wanted.len())
        ),
    })?;
    Ok(())
}

/// Where the partitions lie that are to move.
fn before(there: &[Placed], wanted: &[Placed]) -> anyhow::Result<Vec<Placed>> {
    let there: BTreeMap<&TopicPartition, &Placed> = there.iter().map(|placed| (&placed.at, placed)).collect();
    let of = |wanted: &Placed| match there.get(&wanted.at) {
        Some(placed) => Ok((*placed).clone()),
        None => anyhow::bail!("there is no partition {}: nothing is moved", wanted.at),
    };
    wanted.iter().map(of).collect()
}

/// Moves partitions from where they are to where they are wanted.
///
/// # Errors
/// Names what does not move, and why: the others do.
pub(crate) async fn begin(
    client: &Client,
    before: &[Placed],
    wanted: &[Placed],
    ongoing: &[OngoingReassignment],
    throttle: Option<u64>,
) -> anyhow::Result<()> {
    if let Some(bytes_per_second) = throttle {
        throttle::set(client, &moves(before, wanted, ongoing), bytes_per_second).await?;
    }
    let requests: Vec<_> = wanted
        .iter()
        .map(|placed| Reassignment { partition: placed.at.clone(), replicas: Some(placed.replicas.clone()) })
        .collect();
    request(client, &requests, "moved").await
}

/// Has the controller do what is asked for each partition.
pub(super) async fn request(client: &Client, requests: &[Reassignment], done: &str) -> anyhow::Result<()> {
    let mut refused = Vec::new();
    for some in requests.chunks(AT_ONCE) {
        let results = client.reassign(some).await.map_err(explain)?;
        refused.extend(results.into_iter().filter_map(|(at, result)| Some((at, result.err()?))));
    }
    let count = refused.len();
    for (at, error) in &refused {
        output::remark(format!("{at} is not {done}: {}", super::super::said(error)));
    }
    anyhow::ensure!(count == 0, "{count} of {} are not {done}", counted(requests.len()));
    Ok(())
}

/// What is copied from where: by these moves, and by those that are going on and are not changed by them.
fn moves(before: &[Placed], wanted: &[Placed], ongoing: &[OngoingReassignment]) -> Vec<Move> {
    let mut moves: BTreeMap<&TopicPartition, Move> = BTreeMap::new();
    for one in ongoing {
        let from = one.replicas.iter().copied().filter(|broker| !one.adding.contains(broker)).collect();
        moves.insert(&one.partition, Move { at: one.partition.clone(), from, to: one.adding.clone() });
    }
    for (before, wanted) in before.iter().zip(wanted) {
        // Of one that moves already, the brokers that are yet to get it have nothing to give.
        let from = moves.get(&before.at).map_or_else(|| before.replicas.clone(), |one| one.from.clone());
        let to: Vec<BrokerId> =
            wanted.replicas.iter().copied().filter(|broker| !from.contains(broker)).collect();
        moves.insert(&before.at, Move { at: before.at.clone(), from, to });
    }
    moves.into_values().collect()
}

/// A number of partitions.
pub(super) fn counted(partitions: usize) -> String {
    count(partitions, "partition")
}

/// A number of things.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
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
    fn a_partition_that_is_not_there_stops_all_before_anything_moves() {
        let there = [placed(0, &[1])];
        assert_eq!(before(&there, &[placed(0, &[2])]).unwrap(), there);
        let error = before(&there, &[placed(0, &[2]), placed(7, &[2])]).unwrap_err();
        assert_eq!(error.to_string(), "there is no partition t-7: nothing is moved");
    }

    #[test]
    fn of_a_partition_that_moves_already_only_those_send_that_have_it() {
        let ongoing = OngoingReassignment {
            partition: placed(0, &[]).at,
            replicas: ids(&[3, 1, 2]),
            adding: ids(&[3]),
            removing: ids(&[1]),
        };
        let moves = moves(
            &[placed(0, &[3, 1, 2]), placed(1, &[1, 2])],
            &[placed(0, &[4, 2]), placed(1, &[2, 1])],
            &[ongoing],
        );
        assert_eq!((&moves[0].from, &moves[0].to), (&ids(&[1, 2]), &ids(&[4])));
        assert_eq!((&moves[1].from, &moves[1].to), (&ids(&[1, 2]), &ids(&[])));
    }
}
