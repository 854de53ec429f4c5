//! `ottla cluster reassign plan`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use ottla_client::{Client, ClusterBroker, ClusterDescription};
use ottla_types::{BrokerId, TopicName, TopicPartition};

use super::execute::{count, counted};
use super::file;
use super::plan::{self, Place, Placed, Wish};
use crate::cli::topic_name;
use crate::cluster::{Cluster, explain};
use crate::output;

/// Arguments of `ottla cluster reassign plan`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla cluster reassign plan > moves.json\n  \
    ottla cluster reassign plan --topic orders --broker-list 1,2,4 > moves.json\n  \
    ottla cluster reassign plan --topic orders --replication-factor 3 > moves.json\n\n\
    Nothing is moved: the plan goes to standard output as JSON for `ottla cluster reassign execute` or \
    kafka-reassign-partitions.sh, and how much it moves to standard error. It names only partitions that change. Replicas stay \
    where they are unless their broker is not wanted, their rack holds more of the partition than another one would, or their \
    broker holds at least two more replicas than another one.")]
pub(super) struct Arguments {
    /// Only this topic (may be repeated); all, the cluster's own included, if none is given
    #[arg(long, short, value_name = "NAME", value_parser = topic_name)]
    topic: Vec<TopicName>,

    /// The topics from a file, as Kafka's tool reads it
    #[arg(long, value_name = "FILE", conflicts_with = "topic")]
    topics_to_move_json_file: Option<PathBuf>,

    /// The brokers that are to hold the replicas; all if none is given. Fenced ones keep what they hold, and get nothing
    #[arg(long, value_name = "ID,...", value_delimiter = ',')]
    broker_list: Vec<i32>,

    /// How many replicas each partition is to have; as many as it has if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    replication_factor: Option<u16>,

    /// Place replicas as if brokers had no racks
    #[arg(long)]
    disable_rack_aware: bool,

    #[command(flatten)]
    cluster: Cluster,
}

/// Prints a plan.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let cluster = client.describe_cluster().await.map_err(explain)?;
    let all = super::placed(
        &client.list_topics().await.map_err(explain)?,
        &client.reassignments(None).await.map_err(explain)?,
    );
    let names = arguments.names()?;
    let (wanted, rest): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|placed| names.as_ref().is_none_or(|names| names.contains(&placed.at.topic)));
    if let Some(missing) =
        names.iter().flatten().find(|name| !wanted.iter().any(|placed| placed.at.topic == **name))
    {
        anyhow::bail!("there is no topic {missing}: `ottla topic list` shows those there are");
    }
    let wish = Wish {
        brokers: arguments.brokers(&cluster)?,
        replication_factor: arguments.replication_factor.map(usize::from),
        balance: true,
        others: held(&rest),
    };
    let planned = plan::plan(&wanted, &wish)?;
    let changed: Vec<Placed> = wanted
        .iter()
        .zip(&planned)
        .filter(|(before, after)| before != after)
        .map(|(_, after)| after.clone())
        .collect();
    for line in summary(&wanted, &planned, &sizes(&client, &cluster, &wanted, &planned).await) {
        output::remark(line);
    }
    output::say(file::to_json(&changed)?)?;
    Ok(())
}

impl Arguments {
    /// The topics that are meant; `None` for all.
    fn names(&self) -> anyhow::Result<Option<BTreeSet<TopicName>>> {
        let names = match &self.topics_to_move_json_file {
            Some(path) => file::read_topics(path)?,
            None => self.topic.clone(),
        };
        Ok(Some(names.into_iter().collect()).filter(|names: &BTreeSet<_>| !names.is_empty()))
    }

    fn brokers(&self, cluster: &ClusterDescription) -> anyhow::Result<Vec<Place>> {
        let known: BTreeSet<i32> = cluster.brokers.iter().map(|broker| broker.id.0).collect();
        if let Some(unknown) = self.broker_list.iter().find(|id| !known.contains(id)) {
            anyhow::bail!("there is no broker {unknown}: `ottla cluster brokers` shows those there are");
        }
        let is_wanted = |id: BrokerId| self.broker_list.is_empty() || self.broker_list.contains(&id.0);
        let wanted = cluster.brokers.iter().filter(|broker| is_wanted(broker.id));
        let place = |broker: &ClusterBroker| Place {
            broker: broker.id,
            rack: broker.rack.clone().filter(|_| !self.disable_rack_aware),
            takes_new: broker.is_fenced != Some(true),
        };
        Ok(wanted.map(place).collect())
    }
}

/// How many replicas each broker holds of partitions.
pub(crate) fn held(partitions: &[Placed]) -> BTreeMap<BrokerId, usize> {
    let mut held = BTreeMap::new();
    for broker in partitions.iter().flat_map(|placed| &placed.replicas) {
        *held.entry(*broker).or_default() += 1;
    }
    held
}

/// How large partitions are that are to be copied, as far as a broker that has them tells.
async fn sizes(
    client: &Client,
    cluster: &ClusterDescription,
    before: &[Placed],
    after: &[Placed],
) -> BTreeMap<TopicPartition, i64> {
    let is_copied = |(before, after): &(&Placed, &Placed)| plan::copied(before, after).next().is_some();
    let copied: Vec<_> =
        before.iter().zip(after).filter(is_copied).map(|(before, _)| before.at.clone()).collect();
    let mut sizes = BTreeMap::new();
    if copied.is_empty() {
        return sizes;
    }
    for broker in super::live(cluster) {
        match client.replica_logs(broker, Some(&copied)).await {
            Ok(logs) => {
                for log in logs.into_iter().filter(|log| !log.is_future) {
                    let largest = sizes.entry(log.partition).or_insert(0);
                    *largest = log.size_bytes.max(*largest);
                }
            }
            Err(error) => {
                output::remark(format!("broker {broker} does not tell how large its replicas are: {error}"))
            }
        }
    }
    sizes
}

/// What a plan moves, and what each broker holds before and after.
fn summary(before: &[Placed], after: &[Placed], sizes: &BTreeMap<TopicPartition, i64>) -> Vec<String> {
    let pairs = || before.iter().zip(after);
    let changed = pairs().filter(|(before, after)| before != after).count();
    let copies = pairs().map(|(before, after)| plan::copied(before, after).count()).sum::<usize>();
    let bytes: i64 = pairs()
        .map(|(before, after)| {
            let count = i64::try_from(plan::copied(before, after).count()).unwrap_or(i64::MAX);
            sizes.get(&before.at).copied().unwrap_or(0).saturating_mul(count)
        })
        .fold(0, i64::saturating_add);
    if changed == 0 {
        return vec!["all is where it should be: nothing is to be moved".to_owned()];
    }
    let mut lines = vec![format!(
        "{changed} of {} to be changed, and {} to be copied: {bytes} bytes as they are now",
        counted(before.len()),
        count(copies, "replica")
    )];
    let leads = |placed: &[Placed]| {
        let firsts = |placed: &Placed| Placed {
            at: placed.at.clone(),
            replicas: placed.replicas.iter().take(1).copied().collect(),
        };
        held(&placed.iter().map(firsts).collect::<Vec<_>>())
    };
    let (held_before, held_after, led_before, led_after) =
        (held(before), held(after), leads(before), leads(after));
    let brokers: BTreeSet<_> = held_before.keys().chain(held_after.keys()).collect();
    let of = |counts: &BTreeMap<BrokerId, usize>, id: &BrokerId| counts.get(id).copied().unwrap_or(0);
    lines.extend(brokers.into_iter().map(|id| {
        format!(
            "broker {id}: replicas {} -> {}, preferred leader of {} -> {}",
            of(&held_before, id),
            of(&held_after, id),
            of(&led_before, id),
            of(&led_after, id)
        )
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(partition: i32, replicas: &[i32]) -> Placed {
        Placed {
            at: TopicPartition { topic: TopicName::new("t").unwrap(), partition },
            replicas: replicas.iter().copied().map(BrokerId).collect(),
        }
    }

    #[test]
    fn a_plan_says_what_it_copies_and_what_brokers_hold_afterwards() {
        let (before, after) =
            ([placed(0, &[1, 2]), placed(1, &[1, 2])], [placed(0, &[1, 3]), placed(1, &[2, 1])]);
        let sizes = BTreeMap::from([(before[0].at.clone(), 1000)]);
        assert_eq!(
            summary(&before, &after, &sizes),
            [
                "2 of 2 partitions to be changed, and 1 replica to be copied: 1000 bytes as they are now",
                "broker 1: replicas 2 -> 2, preferred leader of 2 -> 1",
                "broker 2: replicas 2 -> 1, preferred leader of 0 -> 1",
                "broker 3: replicas 0 -> 1, preferred leader of 0 -> 0",
            ]
        );
        let nothing = summary(&before, &before, &sizes);
        assert_eq!(nothing, ["all is where it should be: nothing is to be moved"]);
    }
}
