//! `ottla cluster health`: one verdict, and the reasons.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use ottla_client::{
    Client, ClusterDescription, Error, LogDir, OngoingReassignment, Partition, QuorumDescription,
    QuorumReplica, Topic,
};
use ottla_types::{BrokerId, TopicName};
use serde::Serialize;

use super::quorum::lag;
use super::said;
use crate::cluster::{Cluster, explain};
use crate::output;
use crate::replicas::gather::min_insync;
use crate::replicas::state;

/// How long a voter may be silent, or lack records. This quorum's own time limits are shorter; Kafka's default
/// (`controller.quorum.fetch.timeout.ms`) is as long.
const LATE_MS: i64 = 2_000;

/// How many partitions are named of a kind.
const NAMED: usize = 3;

/// How long one broker may take to answer. Who asks for health wants to know it now.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may take to come to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Arguments of `ottla cluster health`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla cluster health\n  \
    ottla cluster health -b broker:9092 --json\n  \
    ottla cluster health && echo nothing to do\n\n\
    Looks at the metadata quorum (its leader, and voters that are silent or behind), brokers (fenced, or not answering), log \
    directories that have failed, and partitions (without a leader, with fewer replicas in sync than they are assigned, and of these \
    those with no more than min.insync.replicas asks for, or with fewer). The exit code is 0 if nothing is wrong, and 1 \
    otherwise. `ottla replicas` shows the replicas themselves.")]
pub(crate) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Health {
    healthy: bool,
    problems: Vec<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Problem {
    kind: Kind,
    /// In words.
    what: String,
}

/// What is wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    QuorumWithoutLeader,
    VoterSilent,
    VoterBehind,
    BrokerFenced,
    BrokerUnreachable,
    DirectoryOffline,
    PartitionsWithoutLeader,
    PartitionsUnderMinIsr,
    PartitionsAtMinIsr,
    PartitionsUnderReplicated,
    MinIsrUnknown,
}

/// Tells whether the cluster is in order.
///
/// # Errors
/// It is not.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut options = arguments.cluster.options();
    options.api_timeout = REQUEST_TIMEOUT;
    options.connection.request_timeout = REQUEST_TIMEOUT;
    options.connection.connect_timeout = CONNECT_TIMEOUT;
    let client = arguments.cluster.connect_with(options).await?;
    let (health, looked_at) = look(&client).await?;
    if arguments.json {
        output::say_json(&health)?;
    } else {
        output::say(text(&health, &looked_at))?;
    }
    anyhow::ensure!(health.healthy, "the cluster is not healthy");
    Ok(())
}

/// What is wrong, and what was looked at.
async fn look(client: &Client) -> anyhow::Result<(Health, String)> {
    let cluster = client.describe_cluster().await.map_err(explain)?;
    let mut topics = client.list_topics().await.map_err(explain)?;
    let quorum = client.describe_quorum().await;
    if quorum.is_ok() {
        leave_out_those_to_come(&mut topics, &client.reassignments(None).await.map_err(explain)?);
    }
    let mut dirs = Vec::new();
    for broker in cluster.brokers.iter().filter(|broker| broker.is_fenced != Some(true)) {
        dirs.push((broker.id, client.log_dirs(broker.id).await));
    }
    let mut problems = of_quorum(&quorum);
    problems.extend(of_brokers(&cluster, &dirs));
    problems.extend(of_partitions(&topics, &least_in_sync(client, &topics).await));
    let partitions = super::partitions(&topics).count();
    let looked_at = format!(
        "{}, {}, {}",
        count(quorum.map_or(0, |quorum| quorum.voters.len()), "voter"),
        count(cluster.brokers.len(), "broker"),
        count(partitions, "partition")
    );
    Ok((Health { healthy: problems.is_empty(), problems }, looked_at))
}

fn text(health: &Health, looked_at: &str) -> String {
    if health.healthy {
        return format!("healthy: {looked_at}");
    }
    let problems = health.problems.iter().map(|problem| format!("\n  {}", output::printable(&problem.what)));
    format!("not healthy{}", problems.collect::<String>())
}

fn of_quorum(quorum: &Result<QuorumDescription, Error>) -> Vec<Problem> {
    let quorum = match quorum {
        Ok(quorum) => quorum,
        Err(error) => return vec![Kind::QuorumWithoutLeader.because(said(error))],
    };
    let leader = quorum.voters.iter().find(|voter| voter.id == quorum.leader);
    let now_ms = leader.and_then(|leader| leader.last_fetch_ms).unwrap_or(0);
    quorum.voters.iter().filter_map(|voter| of_voter(voter, quorum, now_ms)).collect()
}

fn of_voter(voter: &QuorumReplica, quorum: &QuorumDescription, now_ms: i64) -> Option<Problem> {
    let id = voter.id;
    let Some(heard_ms) = voter.last_fetch_ms else {
        return Some(Kind::VoterSilent.because(format!(
            "voter {id} has not been heard of since node {} leads the metadata quorum",
            quorum.leader
        )));
    };
    let silent_ms = now_ms.saturating_sub(heard_ms);
    if silent_ms > LATE_MS {
        return Some(
            Kind::VoterSilent.because(format!("voter {id} has been silent for {} s", silent_ms / 1000)),
        );
    }
    let lag = lag(voter, quorum).filter(|lag| *lag > 0)?;
    let since_ms = voter.last_caught_up_ms.map(|at_ms| now_ms.saturating_sub(at_ms));
    if since_ms.is_some_and(|since_ms| since_ms <= LATE_MS) {
        return None;
    }
    let since = since_ms.map_or_else(String::new, |ms| format!(", and has lacked some for {} s", ms / 1000));
    Some(Kind::VoterBehind.because(format!("voter {id} lacks {lag} records of the metadata log{since}")))
}

fn of_brokers(cluster: &ClusterDescription, dirs: &[(BrokerId, Result<Vec<LogDir>, Error>)]) -> Vec<Problem> {
    let fenced = cluster.brokers.iter().filter(|broker| broker.is_fenced == Some(true)).map(|broker| {
        let what = format!("broker {} is fenced: it is dead, stopping, or has just started", broker.id);
        Kind::BrokerFenced.because(what)
    });
    let mut problems: Vec<_> = fenced.collect();
    for (id, dirs) in dirs {
        match dirs {
            Err(error) => problems.push(Kind::BrokerUnreachable.because(format!("broker {id}: {error}"))),
            Ok(dirs) => problems.extend(dirs.iter().filter_map(|dir| {
                let error = dir.error?;
                Some(Kind::DirectoryOffline.because(format!("broker {id}: {} is offline: {error}", dir.path)))
            })),
        }
    }
    problems
}

/// A replica that a reassignment brings is not missing before it is there: as in Kafka's metrics it counts from then on.
fn leave_out_those_to_come(topics: &mut [Topic], ongoing: &[OngoingReassignment]) {
    for one in ongoing {
        let (name, index) = (&one.partition.topic, one.partition.partition);
        let of =
            topics.iter_mut().filter(|topic| topic.name == *name).flat_map(|topic| &mut topic.partitions);
        for partition in of.filter(|partition| partition.index == index) {
            let isr = &partition.isr;
            partition.replicas.retain(|broker| isr.contains(broker) || !one.adding.contains(broker));
        }
    }
}

/// `min.insync.replicas` of topics, or why it cannot be read of any.
type LeastInSync = Result<BTreeMap<TopicName, usize>, Error>;

/// `min.insync.replicas` of the topics that have partitions with replicas out of sync.
async fn least_in_sync(client: &Client, topics: &[Topic]) -> LeastInSync {
    min_insync(client, &lacking(topics).map(|topic| &topic.name).collect::<Vec<_>>()).await
}

/// The topics with partitions that have replicas out of sync.
fn lacking(topics: &[Topic]) -> impl Iterator<Item = &Topic> {
    topics.iter().filter(|topic| topic.partitions.iter().any(|one| one.isr.len() < one.replicas.len()))
}

fn of_partitions(topics: &[Topic], least_in_sync: &LeastInSync) -> Vec<Problem> {
    let health = |topic: &Topic, partition: &Partition| {
        let least = least_in_sync.as_ref().ok().and_then(|least| least.get(&topic.name)).copied();
        let (in_sync, replicas) = (partition.isr.len(), partition.replicas.len());
        // More than it has replicas cannot be in sync.
        let least = least.map(|least| least.min(replicas));
        state::Health::of(partition.leader.is_some(), in_sync, replicas, least)
    };
    let named = |is_so: &dyn Fn(&Topic, &Partition) -> bool| -> Vec<String> {
        let of_topic = |topic: &Topic| -> Vec<String> {
            let partitions = topic.partitions.iter().filter(|partition| is_so(topic, partition));
            partitions.map(|partition| format!("{}-{}", topic.name, partition.index)).collect()
        };
        topics.iter().flat_map(of_topic).collect()
    };
    let are = |wanted: state::Health| named(&|topic, partition| health(topic, partition) == wanted);
    let partitions = [
        (Kind::PartitionsWithoutLeader, are(state::Health::Offline), "without a leader"),
        (
            Kind::PartitionsUnderMinIsr,
            are(state::Health::UnderMinIsr),
            "with fewer replicas in sync than min.insync.replicas: no producer with acks=all can write to them",
        ),
        (
            Kind::PartitionsAtMinIsr,
            are(state::Health::AtMinIsr),
            "with no more replicas in sync than min.insync.replicas: one less, and no producer with acks=all can write to them",
        ),
        (
            Kind::PartitionsUnderReplicated,
            named(&|_, partition| partition.isr.len() < partition.replicas.len()),
            "with fewer replicas in sync than they are assigned",
        ),
    ];
    let partitions = partitions.into_iter().filter(|(_, partitions, _)| !partitions.is_empty());
    let told = partitions.map(|(kind, partitions, what)| {
        kind.because(format!("{} {what} ({})", count(partitions.len(), "partition"), some_of(&partitions)))
    });
    told.chain(of_min_insync(topics, least_in_sync)).collect()
}

/// Without the number nobody knows whether enough replicas are in sync.
fn of_min_insync(topics: &[Topic], least_in_sync: &LeastInSync) -> Option<Problem> {
    let unknown: Vec<String> = match least_in_sync {
        Ok(least) => {
            let without = lacking(topics).filter(|topic| !least.contains_key(&topic.name));
            without.map(|topic| topic.name.to_string()).collect()
        }
        Err(_) => lacking(topics).map(|topic| topic.name.to_string()).collect(),
    };
    let why = least_in_sync.as_ref().err().map_or_else(String::new, |error| format!(": {}", said(error)));
    let topics = some_of(&unknown);
    let what =
        format!("min.insync.replicas of {} cannot be read ({topics}){why}", count(unknown.len(), "topic"));
    (!unknown.is_empty()).then(|| Kind::MinIsrUnknown.because(what))
}

fn some_of(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

impl Kind {
    fn because(self, what: String) -> Problem {
        Problem { kind: self, what }
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
