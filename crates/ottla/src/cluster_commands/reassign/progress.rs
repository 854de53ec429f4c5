//! `ottla cluster reassign progress`: how far moves are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;
use ottla_client::{Client, OngoingReassignment};
use ottla_types::{BrokerId, TopicName, TopicPartition};
use serde::Serialize;

use super::execute::count;
use super::list;
use crate::cluster::{Cluster, explain};
use crate::output::{self, Table};
use crate::replicas::gather::gather;
use crate::replicas::state::{PartitionState, Standing};

/// How often is looked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of `ottla cluster reassign progress`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla cluster reassign progress\n  \
    ottla cluster reassign progress --watch       # until nothing moves any more\n\n\
    Each broker that is to get a replica has a row: what its leader knows of how many records it lacks, which Apache Kafka does \
    not tell, and how many bytes it has of how many.")]
pub(super) struct Arguments {
    /// Print again whenever something changes, until nothing moves any more
    #[arg(long)]
    watch: bool,

    /// Print JSON
    #[arg(long, conflicts_with = "watch")]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

/// A replica that is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Moving {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The broker that is to get it; `None` where replicas only go.
    pub(crate) to: Option<i32>,
    /// The brokers that hold the partition when the move is over.
    pub(crate) target: Vec<i32>,
    /// Those that give it up then.
    pub(crate) removing: Vec<i32>,
    /// Whether it is in sync, and waits only for the rest of the move.
    pub(crate) in_sync: bool,
    /// How many records of the leader's it lacks, where that is known.
    pub(crate) lag_records: Option<i64>,
    /// How many bytes it has.
    pub(crate) size_bytes: Option<i64>,
    /// How many the largest replica has.
    pub(crate) of_bytes: Option<i64>,
    /// The brokers without which the move does not end, and that do nothing for it now: it needs all of its target in sync.
    pub(crate) waits_for: Vec<Awaited>,
}

/// A broker that a move waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Awaited {
    pub(crate) broker: i32,
    /// How its replica stands.
    pub(crate) state: Standing,
}

/// Shows moves.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let moving = look(&client, None).await?;
    if arguments.json {
        return output::say_json(&moving);
    }
    if moving.is_empty() {
        return Ok(output::say("Nothing moves.")?);
    }
    output::say(text(&moving))?;
    if arguments.watch {
        wait(&client, None, moving, INTERVAL).await?;
        output::say("Nothing moves any more.")?;
    }
    Ok(())
}

/// Waits until nothing of this moves any more, and says what changes meanwhile.
pub(crate) async fn wait(
    client: &Client,
    only: Option<&[TopicPartition]>,
    mut before: Vec<Moving>,
    interval: Duration,
) -> anyhow::Result<()> {
    while !before.is_empty() {
        tokio::time::sleep(interval).await;
        let now = look(client, only).await?;
        for line in changes(&before, &now) {
            output::say(line)?;
        }
        before = now;
    }
    Ok(())
}

/// The moves that are going on: of all partitions, or of those named.
pub(crate) async fn look(client: &Client, only: Option<&[TopicPartition]>) -> anyhow::Result<Vec<Moving>> {
    let ongoing = client.reassignments(only).await.map_err(explain)?;
    if ongoing.is_empty() {
        return Ok(Vec::new());
    }
    let mut topics: Vec<TopicName> = ongoing.iter().map(|one| one.partition.topic.clone()).collect();
    topics.dedup();
    let states = gather(client, Some(&topics)).await?;
    let sizes = sizes(client, &ongoing).await;
    Ok(of(&ongoing, &states.partitions, &sizes))
}

type Sizes = BTreeMap<(TopicPartition, BrokerId), i64>;

/// How many bytes brokers have of the partitions. One that does not answer is left out: its moves are shown without.
async fn sizes(client: &Client, ongoing: &[OngoingReassignment]) -> Sizes {
    let mut by_broker: BTreeMap<BrokerId, Vec<TopicPartition>> = BTreeMap::new();
    for one in ongoing {
        for broker in &one.replicas {
            by_broker.entry(*broker).or_default().push(one.partition.clone());
        }
    }
    let mut sizes = Sizes::new();
    for (broker, partitions) in by_broker {
        match client.replica_logs(broker, Some(&partitions)).await {
            Ok(logs) => {
                let logs = logs.into_iter().filter(|log| !log.is_future);
                sizes.extend(logs.map(|log| ((log.partition, broker), log.size_bytes)));
            }
            Err(error) => tracing::debug!(%broker, %error, "it does not tell how large its replicas are"),
        }
    }
    sizes
}

fn of(ongoing: &[OngoingReassignment], states: &[PartitionState], sizes: &Sizes) -> Vec<Moving> {
    let states: BTreeMap<(&str, i32), &PartitionState> =
        states.iter().map(|state| ((state.topic.as_str(), state.partition), state)).collect();
    let numbers = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
    let of_one = |one: &OngoingReassignment| -> Vec<Moving> {
        let at = &one.partition;
        let state = states.get(&(at.topic.as_str(), at.partition));
        let waits_for = awaited(&one.target(), state.copied());
        let row = |to: Option<BrokerId>| {
            let replica = to.and_then(|to| state?.replicas.iter().find(|replica| replica.broker == to.0));
            let size = |broker: BrokerId| sizes.get(&(at.clone(), broker)).copied();
            Moving {
                topic: at.topic.to_string(),
                partition: at.partition,
                to: to.map(|id| id.0),
                target: numbers(&one.target()),
                removing: numbers(&one.removing),
                in_sync: replica.is_some_and(|replica| replica.in_sync),
                lag_records: replica.and_then(|replica| replica.lag_records),
                size_bytes: to.and_then(size),
                of_bytes: one.replicas.iter().copied().filter_map(size).max(),
                waits_for: waits_for.clone(),
            }
        };
        match one.adding.as_slice() {
            [] => vec![row(None)],
            adding => adding.iter().map(|to| row(Some(*to))).collect(),
        }
    };
    ongoing.iter().flat_map(of_one).collect()
}

/// Those of the target whose replicas cannot come into sync as things are.
fn awaited(target: &[BrokerId], state: Option<&PartitionState>) -> Vec<Awaited> {
    let replicas = state.map_or(&[][..], |state| &state.replicas);
    let is_away =
        |state| matches!(state, Standing::Fenced | Standing::Unregistered | Standing::DirectoryOffline);
    replicas
        .iter()
        .filter(|replica| target.contains(&BrokerId(replica.broker)))
        .filter(|replica| !replica.in_sync && is_away(replica.state))
        .map(|replica| Awaited { broker: replica.broker, state: replica.state })
        .collect()
}

/// The moves as a table, and below it whom they wait for.
pub(crate) fn text(moving: &[Moving]) -> String {
    let mut table = Table::new(&["partition", "to", "state", "lag", "bytes", "of", "at the end", "leaves"]);
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let ids = |ids: &[i32]| match ids {
        [] => "-".to_owned(),
        ids => list(&ids.iter().copied().map(BrokerId).collect::<Vec<_>>()),
    };
    for one in moving {
        table.add_row([
            format!("{}-{}", one.topic, one.partition),
            number(one.to.map(i64::from)),
            if one.in_sync { "in sync" } else { "copies" }.to_owned(),
            number(one.lag_records),
            number(one.size_bytes),
            number(one.of_bytes),
            ids(&one.target),
            ids(&one.removing),
        ]);
    }
    std::iter::once(table.text()).chain(waits(moving)).collect::<Vec<_>>().join("\n")
}

/// A line for each broker that moves wait for.
fn waits(moving: &[Moving]) -> Vec<String> {
    let mut partitions: BTreeMap<Awaited, BTreeSet<(&str, i32)>> = BTreeMap::new();
    for one in moving {
        for awaited in &one.waits_for {
            partitions.entry(*awaited).or_default().insert((&one.topic, one.partition));
        }
    }
    let line = |(Awaited { broker, state }, partitions): (Awaited, BTreeSet<_>)| {
        let what = match state {
            Standing::DirectoryOffline => "has a directory offline",
            Standing::Unregistered => "is not registered",
            _ => "is not there",
        };
        let (moves, wait) =
            (count(partitions.len(), "move"), if partitions.len() == 1 { "waits" } else { "wait" });
        format!("broker {broker} {what}: {moves} {wait} until its replicas are in sync")
    };
    partitions.into_iter().map(line).collect()
}

/// What is worth telling of what happened in between: partitions that have moved, replicas that came into sync, how much is
/// still to be copied, and who is waited for.
fn changes(before: &[Moving], now: &[Moving]) -> Vec<String> {
    let same = |one: &Moving, other: &Moving| {
        (&one.topic, one.partition, one.to) == (&other.topic, other.partition, other.to)
    };
    let mut lines = Vec::new();
    let mut done: Vec<String> = before
        .iter()
        .filter(|one| !now.iter().any(|now| (&now.topic, now.partition) == (&one.topic, one.partition)))
        .map(|one| format!("{}-{}: the move is over", one.topic, one.partition))
        .collect();
    done.dedup();
    lines.extend(done);
    for one in now {
        let was = before.iter().find(|was| same(was, one));
        if let Some(to) = one.to
            && one.in_sync
            && was.is_none_or(|was| !was.in_sync)
        {
            lines.push(format!("{}-{}: broker {to} is in sync", one.topic, one.partition));
        }
    }
    let (left_before, left) = (left(before), left(now));
    if left.replicas > 0 && (left != left_before || !lines.is_empty()) {
        lines.push(left.text());
    }
    let waits_now = waits(now);
    if waits_now != waits(before) {
        lines.extend(waits_now);
    }
    lines
}

/// What is still to be done.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    replicas: usize,
    lag_records: i64,
    bytes: i64,
}

fn left(moving: &[Moving]) -> Left {
    let open = || moving.iter().filter(|one| !one.in_sync && one.to.is_some());
    let missing = |one: &Moving| {
        let has = one.size_bytes.unwrap_or(0);
        one.of_bytes.map_or(0, |of| of.saturating_sub(has).max(0))
    };
    Left {
        replicas: open().count(),
        lag_records: open().filter_map(|one| one.lag_records).fold(0, i64::saturating_add),
        bytes: open().map(missing).fold(0, i64::saturating_add),
    }
}

impl Left {
    fn text(&self) -> String {
        let Self { replicas, lag_records, bytes } = self;
        format!(
            "still to be copied: {}, about {bytes} bytes, {lag_records} records",
            count(*replicas, "replica")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[i32]) -> Vec<BrokerId> {
        ids.iter().copied().map(BrokerId).collect()
    }

    fn ongoing() -> OngoingReassignment {
        OngoingReassignment {
            partition: TopicPartition { topic: TopicName::new("t").unwrap(), partition: 0 },
            replicas: ids(&[2, 3, 1]),
            adding: ids(&[3]),
            removing: ids(&[1]),
        }
    }

    fn sizes(of: &[(i32, i64)]) -> Sizes {
        of.iter().map(|(broker, size)| ((ongoing().partition, BrokerId(*broker)), *size)).collect()
    }

    #[test]
    fn a_move_is_shown_with_what_the_new_broker_has_of_how_much() {
        let moving = of(&[ongoing()], &[], &sizes(&[(1, 1000), (2, 900), (3, 250)]));
        let row =
            text(&moving).lines().nth(1).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(row, ["t-0", "3", "copies", "-", "250", "1000", "2,3", "1"]);
        let only_goes = OngoingReassignment { adding: Vec::new(), replicas: ids(&[2, 1]), ..ongoing() };
        let moving = of(&[only_goes], &[], &sizes(&[]));
        assert_eq!((moving[0].to, moving[0].removing.as_slice()), (None, &[1][..]));
    }

    #[test]
    fn what_happened_is_told_and_nothing_where_nothing_did() {
        let at = |bytes, in_sync| {
            let moving = of(&[ongoing()], &[], &sizes(&[(1, 1000), (3, bytes)])).remove(0);
            vec![Moving { in_sync, ..moving }]
        };
        assert_eq!(changes(&at(250, false), &at(250, false)), Vec::<String>::new());
        let copied = changes(&at(250, false), &at(400, false));
        assert_eq!(copied, ["still to be copied: 1 replica, about 600 bytes, 0 records"]);
        let came = changes(&at(400, false), &at(1000, true));
        assert_eq!(came[0], "t-0: broker 3 is in sync");
        assert_eq!(changes(&at(1000, true), &[]), ["t-0: the move is over"]);
    }

    #[test]
    fn who_is_not_there_and_is_waited_for_is_named_once_and_again_when_that_changes() {
        use crate::replicas::state::tests::of as state;
        let orders = TopicName::new("orders").unwrap();
        // Broker 1 leaves, and 2 is there already; 3, which is to stay, dies.
        let leaves = |partition| OngoingReassignment {
            partition: TopicPartition { topic: orders.clone(), partition },
            replicas: ids(&[1, 2, 3]),
            adding: ids(&[2]),
            removing: ids(&[1]),
        };
        let look = |isr: &[i32], fenced: &[i32]| {
            let states = [state(0, isr, fenced), state(1, isr, fenced)];
            of(&[leaves(0), leaves(1)], &states, &sizes(&[]))
        };
        let (alive, dead) = (look(&[1, 2, 3], &[]), look(&[1, 2], &[3]));
        let told = "broker 3 is not there: 2 moves wait until its replicas are in sync";
        assert_eq!(text(&dead).lines().last(), Some(told));
        assert!(!text(&alive).contains("not there"));
        assert_eq!(changes(&alive, &dead), [told]);
        assert_eq!(changes(&dead, &dead), Vec::<String>::new());
        assert_eq!(
            changes(&dead, &dead[..1])[1],
            "broker 3 is not there: 1 move waits until its replicas are in sync"
        );
        // Who only leaves is not waited for.
        assert!(look(&[2, 3], &[1]).iter().all(|one| one.waits_for.is_empty()));
    }

    #[test]
    fn where_nothing_is_left_to_copy_no_count_of_nothing_is_told() {
        let (one, two) = (
            Moving { in_sync: true, ..of(&[ongoing()], &[], &sizes(&[])).remove(0) },
            OngoingReassignment {
                partition: TopicPartition { topic: TopicName::new("t").unwrap(), partition: 1 },
                ..ongoing()
            },
        );
        let two = Moving { in_sync: true, ..of(&[two], &[], &sizes(&[])).remove(0) };
        assert_eq!(changes(&[one.clone(), two], &[one]), ["t-1: the move is over"]);
    }
}
