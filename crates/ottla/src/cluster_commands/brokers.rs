//! `ottla cluster brokers`.

use clap::Args;
use ottla_client::{ClusterBroker, ClusterDescription, Topic};
use serde::Serialize;

use super::{Controller, Overview, partitions};
use crate::cluster::Cluster;
use crate::output::{self, Table};

/// Arguments of `ottla cluster brokers`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla cluster brokers\n  \
    ottla cluster brokers --json\n\n\
    A fenced broker leads nothing: it is believed to be dead, is stopping, or has just started. Brokers older than Kafka 4.0 \
    do not tell of fenced ones. The controller leads the metadata quorum; where there is none, what is shown may be old. `leads` and `keeps` count partitions, and `behind` those that it keeps without being in sync.")]
pub(crate) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Described {
    broker: i32,
    address: String,
    rack: Option<String>,
    /// Whether it is the active controller, where that is known.
    controller: Option<bool>,
    /// Whether it is fenced, where the cluster tells.
    fenced: Option<bool>,
    /// How many partitions it leads.
    leads: usize,
    /// How many partitions it has a replica of.
    keeps: usize,
    /// How many of these replicas are not in sync.
    behind: usize,
}

/// Describes the brokers, by their ids.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let Overview { cluster, topics, controller } = Overview::of(&client).await?;
    let brokers = describe(&cluster, &controller, &topics);
    if let Some(why) = &controller.why_unknown {
        // Not among what programs read.
        output::remark(format!("the controller is unknown, and what is shown may be old: {why}"));
    }
    if arguments.json {
        return output::say_json(&brokers);
    }
    Ok(output::say(text(&brokers))?)
}

fn describe(cluster: &ClusterDescription, controller: &Controller, topics: &[Topic]) -> Vec<Described> {
    let of = |broker: &ClusterBroker| Described::of(broker, controller, topics);
    cluster.brokers.iter().map(of).collect()
}

fn text(brokers: &[Described]) -> String {
    let mut table =
        Table::new(&["broker", "address", "rack", "state", "controller", "leads", "keeps", "behind"]);
    for broker in brokers {
        table.add_row([
            broker.broker.to_string(),
            broker.address.clone(),
            broker.rack.clone().unwrap_or_else(|| "-".to_owned()),
            if broker.fenced == Some(true) { "fenced" } else { "live" }.to_owned(),
            match broker.controller {
                Some(true) => "yes",
                Some(false) => "-",
                None => "unknown",
            }
            .to_owned(),
            broker.leads.to_string(),
            broker.keeps.to_string(),
            broker.behind.to_string(),
        ]);
    }
    table.text()
}

impl Described {
    fn of(broker: &ClusterBroker, controller: &Controller, topics: &[Topic]) -> Self {
        let id = broker.id;
        let kept = || partitions(topics).filter(|partition| partition.replicas.contains(&id));
        Self {
            broker: id.0,
            address: broker.address.to_string(),
            rack: broker.rack.clone(),
            controller: controller.why_unknown.is_none().then(|| controller.id == Some(id)),
            fenced: broker.is_fenced,
            leads: partitions(topics).filter(|partition| partition.leader == Some(id)).count(),
            keeps: kept().count(),
            behind: kept().filter(|partition| !partition.isr.contains(&id)).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_client::{Address, Partition};
    use ottla_types::{BrokerId, ErrorCode, LeaderEpoch, TopicId, TopicName};

    use super::*;

    #[test]
    fn each_broker_is_shown_with_what_it_leads_keeps_and_is_behind_with() {
        let broker = |id, rack: Option<&str>, is_fenced| ClusterBroker {
            id: BrokerId(id),
            address: Address::new("localhost", 9091 + u16::try_from(id).unwrap()),
            rack: rack.map(str::to_owned),
            is_fenced: Some(is_fenced),
        };
        let cluster = ClusterDescription {
            id: "abc".to_owned(),
            controller: Some(BrokerId(1)),
            brokers: vec![broker(1, Some("a"), false), broker(2, None, true)],
        };
        let partition = |index| Partition {
            index,
            error: ErrorCode::None,
            leader: Some(BrokerId(1)),
            leader_epoch: LeaderEpoch(0),
            replicas: vec![BrokerId(1), BrokerId(2)],
            isr: vec![BrokerId(1)],
            offline: Vec::new(),
        };
        let topic = Topic {
            name: TopicName::new("orders").unwrap(),
            id: TopicId([1; 16]),
            error: ErrorCode::None,
            is_internal: false,
            partitions: vec![partition(0), partition(1)],
        };
        let controller = Controller { id: cluster.controller, why_unknown: None };
        let text = text(&describe(&cluster, &controller, &[topic]));
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["1", "localhost:9092", "a", "live", "yes", "2", "2", "0"]);
        assert_eq!(rows[2], ["2", "localhost:9093", "-", "fenced", "-", "0", "2", "2"]);
    }
}
