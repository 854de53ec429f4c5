//! `ottla broker decommission`: everything that a broker holds moves to others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;
use ottla_client::{Client, ClusterBroker, ClusterDescription, OngoingReassignment, Topic};
use ottla_types::{BrokerId, TopicName, TopicPartition};

use super::forget::forget;
use super::{broker_id, find, remark_if_it_votes};
use crate::cluster::{Cluster, explain};
use crate::cluster_commands::reassign::plan::{self, Place, Placed, Wish};
use crate::cluster_commands::reassign::{self, progress};
use crate::output;

/// How often is looked how far it is.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many topics or partitions are named in an error.
const NAMED: usize = 5;

/// Arguments of `ottla broker decommission`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla broker decommission 3 --dry-run\n  \
    ottla broker decommission 3\n  \
    ottla broker decommission 3 --throttle 50000000\n\n\
    Every replica that broker 3 holds, those of the cluster's own topics included, goes to the broker that holds fewest, in a rack \
    that has none of the partition where that is possible. No other replica moves. The command waits until all are there; it may be \
    ended and run again. Then the broker can be stopped and forgotten. One that is dead already is forgotten at once.")]
pub(super) struct Arguments {
    /// The broker's number
    #[arg(value_name = "ID", value_parser = broker_id)]
    id: BrokerId,

    /// How many bytes a second each broker may send, and fetch, for this; as many as it can if not given
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    throttle: Option<u64>,

    /// Only show where its replicas would go
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    cluster: Cluster,
}

/// Moves everything away from a broker.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let id = arguments.id;
    let mut throttled = BTreeSet::new();
    loop {
        let cluster = client.describe_cluster().await.map_err(explain)?;
        find(&cluster, id)?;
        let topics = client.list_topics().await.map_err(explain)?;
        let ongoing = client.reassignments(None).await.map_err(explain)?;
        let moves = moves(id, &cluster, &topics, &ongoing)?;
        if arguments.dry_run {
            return Ok(output::say(shown(id, &moves))?);
        }
        if !moves.is_empty() {
            let (before, after): (Vec<_>, Vec<_>) = moves.iter().cloned().unzip();
            output::say(format_args!("{} partitions leave broker {id}.", moves.len()))?;
            if arguments.throttle.is_some() {
                throttled.extend(before.iter().map(|placed| placed.at.clone()));
            }
            reassign::begin(&client, &before, &after, &ongoing, arguments.throttle).await?;
        }
        let leaving = leaving(id, &topics, &moves);
        if leaving.is_empty() {
            break;
        }
        let moving = progress::look(&client, Some(&leaving)).await?;
        if moving.is_empty() {
            // The broker that was asked has yet to hear of the end of these moves.
            tokio::time::sleep(INTERVAL).await;
        } else {
            output::say(progress::text(&moving))?;
        }
        progress::wait(&client, Some(&leaving), moving, INTERVAL).await?;
        // A topic that was created meanwhile may have come to it: look again.
    }
    if !throttled.is_empty() && reassign::clear_throttles(&client, &throttled).await? {
        output::remark("nothing moves any more: throttles of moves are taken away");
    }
    finish(&client, id).await
}

/// The partitions that the broker holds now, or is to hold until a move ends.
fn leaving(id: BrokerId, topics: &[Topic], moves: &[(Placed, Placed)]) -> Vec<TopicPartition> {
    let of_topic = |topic: &Topic| -> Vec<TopicPartition> {
        let held = topic.partitions.iter().filter(|partition| partition.replicas.contains(&id));
        held.map(|partition| TopicPartition { topic: topic.name.clone(), partition: partition.index })
            .collect()
    };
    let mut leaving: BTreeSet<_> = topics.iter().flat_map(of_topic).collect();
    leaving.extend(moves.iter().map(|(before, _)| before.at.clone()));
    leaving.into_iter().collect()
}

/// Says how to go on, or forgets the broker where it is gone.
async fn finish(client: &Client, id: BrokerId) -> anyhow::Result<()> {
    let cluster = client.describe_cluster().await.map_err(explain)?;
    if find(&cluster, id)?.is_fenced == Some(true) {
        output::say(format_args!("Broker {id} holds no replicas, and is not there."))?;
        return forget(client, id).await;
    }
    output::say(format_args!(
        "Broker {id} holds no replicas. Stop it by SIGTERM, and then have it forgotten: `ottla broker forget {id}`. Until it is \
         stopped, new topics may be placed on it."
    ))?;
    remark_if_it_votes(client, id).await;
    Ok(())
}

/// What the broker holds, and where it is to lie instead. What is on its way from it already is left to go on.
fn moves(
    id: BrokerId,
    cluster: &ClusterDescription,
    topics: &[Topic],
    ongoing: &[OngoingReassignment],
) -> anyhow::Result<Vec<(Placed, Placed)>> {
    let (held, rest): (Vec<_>, Vec<_>) =
        reassign::placed(topics, ongoing).into_iter().partition(|placed| placed.replicas.contains(&id));
    let is_live = |broker: &ClusterBroker| broker.is_fenced != Some(true);
    let others: Vec<_> = cluster.brokers.iter().filter(|broker| broker.id != id).collect();
    anyhow::ensure!(
        held.is_empty() || others.iter().any(|broker| is_live(broker)),
        "broker {id} is the last one that lives: there is nowhere for its replicas to go"
    );
    check_readable(id, topics, &held)?;
    // Racks are kept apart where all brokers have one.
    let has_racks = others.iter().all(|broker| broker.rack.is_some());
    let place = |broker: &&ClusterBroker| Place {
        broker: broker.id,
        rack: broker.rack.clone().filter(|_| has_racks),
        takes_new: is_live(broker),
    };
    let places: Vec<_> = others.iter().map(place).collect();
    check_factor(id, &held, &places)?;
    let mut load: BTreeMap<BrokerId, usize> = BTreeMap::new();
    for broker in rest.iter().flat_map(|placed| &placed.replicas) {
        *load.entry(*broker).or_default() += 1;
    }
    let wish = Wish { brokers: places, replication_factor: None, balance: false, others: load };
    let planned = plan::plan(&held, &wish)?;
    Ok(held.into_iter().zip(planned).collect())
}

/// A partition that nobody leads cannot be copied: who has it is away.
fn check_readable(id: BrokerId, topics: &[Topic], held: &[Placed]) -> anyhow::Result<()> {
    let leaderless = |topic: &Topic| -> Vec<TopicPartition> {
        let without = topic.partitions.iter().filter(|partition| partition.leader.is_none());
        without
            .map(|partition| TopicPartition { topic: topic.name.clone(), partition: partition.index })
            .collect()
    };
    let leaderless: BTreeSet<_> = topics.iter().flat_map(leaderless).collect();
    let lost: Vec<String> = held
        .iter()
        .filter(|placed| leaderless.contains(&placed.at))
        .map(|placed| placed.at.to_string())
        .collect();
    anyhow::ensure!(
        lost.is_empty(),
        "nobody leads {} partitions that broker {id} holds ({}), so nobody can copy them: start the brokers that have them; or, if \
         they are gone for good, see `ottla cluster elect --unclean`, or delete the topics",
        lost.len(),
        some_of(&lost)
    );
    Ok(())
}

/// Without it there must be brokers enough.
fn check_factor(id: BrokerId, held: &[Placed], places: &[Place]) -> anyhow::Result<()> {
    let can_hold = |placed: &Placed| {
        let holds = |place: &&Place| place.takes_new || placed.replicas.contains(&place.broker);
        places.iter().filter(holds).count()
    };
    let mut topics: BTreeMap<&TopicName, usize> = BTreeMap::new();
    for placed in held.iter().filter(|placed| placed.replicas.len() > can_hold(placed)) {
        topics.insert(&placed.at.topic, placed.replicas.len());
    }
    let names: Vec<String> =
        topics.iter().map(|(topic, replicas)| format!("{topic} with {replicas} replicas")).collect();
    anyhow::ensure!(
        names.is_empty(),
        "without broker {id} there are not enough brokers for {}: start another one, or give these topics fewer replicas with \
         `ottla cluster reassign plan --replication-factor`",
        some_of(&names)
    );
    Ok(())
}

fn some_of(names: &[String]) -> String {
    let first = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED { format!("{first} and {} more", names.len() - NAMED) } else { first }
}

fn shown(id: BrokerId, moves: &[(Placed, Placed)]) -> String {
    if moves.is_empty() {
        return format!("Broker {id} is to hold no replicas: nothing would move.");
    }
    let ids = |ids: &[BrokerId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut table = output::Table::new(&["partition", "replicas", "would be"]);
    for (before, after) in moves {
        table.add_row([before.at.to_string(), ids(&before.replicas), ids(&after.replicas)]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use ottla_client::{Address, Partition};
    use ottla_types::{ErrorCode, LeaderEpoch, TopicId};

    use super::*;

    fn ids(ids: &[i32]) -> Vec<BrokerId> {
        ids.iter().copied().map(BrokerId).collect()
    }

    fn cluster(fenced: &[(i32, bool)]) -> ClusterDescription {
        let broker = |(id, is_fenced): &(i32, bool)| ClusterBroker {
            id: BrokerId(*id),
            address: Address::new("localhost", 9092),
            rack: None,
            is_fenced: Some(*is_fenced),
        };
        ClusterDescription {
            id: "abc".to_owned(),
            controller: None,
            brokers: fenced.iter().map(broker).collect(),
        }
    }

    fn topic(name: &str, partitions: &[(Option<i32>, &[i32])]) -> Topic {
        let partition = |(index, (leader, replicas)): (i32, &(Option<i32>, &[i32]))| Partition {
            index,
            error: ErrorCode::None,
            leader: leader.map(BrokerId),
            leader_epoch: LeaderEpoch(0),
            replicas: ids(replicas),
            isr: ids(replicas),
            offline: Vec::new(),
        };
        Topic {
            name: TopicName::new(name).unwrap(),
            id: TopicId([1; 16]),
            error: ErrorCode::None,
            is_internal: name.starts_with("__"),
            partitions: (0..).zip(partitions).map(partition).collect(),
        }
    }

    fn refused(id: i32, fenced: &[(i32, bool)], topics: &[Topic]) -> String {
        moves(BrokerId(id), &cluster(fenced), topics, &[]).unwrap_err().to_string()
    }

    #[test]
    fn only_what_it_holds_moves_internal_topics_too_and_the_rest_stays() {
        let topics = [
            topic("__consumer_offsets", &[(Some(3), &[3, 1]), (Some(1), &[1, 2])]),
            topic("orders", &[(Some(1), &[1, 3]), (Some(2), &[2, 1])]),
        ];
        let live = [(1, false), (2, false), (3, false)];
        let moves = moves(BrokerId(3), &cluster(&live), &topics, &[]).unwrap();
        let moved: Vec<_> =
            moves.iter().map(|(_, after)| (after.at.to_string(), after.replicas.clone())).collect();
        assert_eq!(
            moved,
            [("__consumer_offsets-0".to_owned(), ids(&[1, 2])), ("orders-0".to_owned(), ids(&[1, 2]))]
        );
        assert_eq!(leaving(BrokerId(3), &topics, &moves).len(), 2);
    }

    #[test]
    fn what_leaves_already_is_left_to_go_on() {
        let topics = [topic("orders", &[(Some(3), &[2, 3])])];
        let ongoing = OngoingReassignment {
            partition: TopicPartition { topic: TopicName::new("orders").unwrap(), partition: 0 },
            replicas: ids(&[2, 3]),
            adding: ids(&[2]),
            removing: ids(&[3]),
        };
        let live = cluster(&[(2, false), (3, false)]);
        assert!(moves(BrokerId(3), &live, &topics, &[ongoing]).unwrap().is_empty());
        assert_eq!(leaving(BrokerId(3), &topics, &[]).len(), 1, "and is waited for");
    }

    #[test]
    fn what_keeps_a_broker_in_the_cluster_is_told_by_name() {
        let one = [topic("orders", &[(Some(1), &[1])])];
        let last = refused(1, &[(1, false), (2, true)], &one);
        assert!(last.contains("the last one that lives"), "{last}");
        let three = [topic("orders", &[(Some(1), &[1, 2, 3])])];
        let few = refused(3, &[(1, false), (2, false), (3, false)], &three);
        assert!(few.contains("not enough brokers for orders with 3 replicas"), "{few}");
        let lost = refused(3, &[(1, false), (2, false), (3, true)], &[topic("orders", &[(None, &[3])])]);
        assert!(lost.contains("nobody leads 1 partitions that broker 3 holds (orders-0)"), "{lost}");
    }

    #[test]
    fn replicas_on_others_that_are_away_stay_there() {
        let topics = [topic("orders", &[(Some(1), &[1, 2, 3])])];
        let brokers = cluster(&[(1, false), (2, true), (3, true), (4, false)]);
        let moves = moves(BrokerId(3), &brokers, &topics, &[]).unwrap();
        assert_eq!(moves[0].1.replicas, ids(&[1, 2, 4]));
    }
}
