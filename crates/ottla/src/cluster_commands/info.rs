//! `ottla cluster info`.

use std::fmt::Write as _;

use clap::Args;
use ottla_client::{ClusterDescription, Topic};
use serde::Serialize;

use super::{Controller, Overview, partitions};
use crate::cluster::Cluster;
use crate::output;

/// Arguments of `ottla cluster info`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla cluster info\n  \
    ottla cluster info -b broker:9092 --json\n\n\
    The controller is the node that leads the metadata quorum, and decides what changes. Without one nothing changes, and what \
    is shown may be old. Brokers older than Kafka 4.0 do not tell of fenced ones.")]
pub(crate) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Info {
    cluster_id: String,
    controller: Option<i32>,
    /// Why no controller is known.
    controller_unknown: Option<String>,
    brokers: usize,
    /// How many of the brokers are fenced, where the cluster tells.
    fenced_brokers: Option<usize>,
    /// The cluster's own topics included.
    topics: usize,
    partitions: usize,
    /// How many partitions nobody leads.
    leaderless_partitions: usize,
    /// How many partitions have fewer replicas in sync than they are assigned.
    under_replicated_partitions: usize,
}

/// Describes the cluster.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let Overview { cluster, topics, controller } = Overview::of(&client).await?;
    let info = Info::of(&cluster, &controller, &topics);
    if arguments.json {
        return output::say_json(&info);
    }
    Ok(output::say(info.text())?)
}

impl Info {
    fn of(cluster: &ClusterDescription, controller: &Controller, topics: &[Topic]) -> Self {
        let is_fenced = cluster.brokers.iter().map(|broker| broker.is_fenced);
        // All brokers tell, or none does.
        let fenced: Option<Vec<bool>> = is_fenced.collect();
        Self {
            cluster_id: cluster.id.clone(),
            controller: controller.id.map(|id| id.0),
            controller_unknown: controller.why_unknown.clone(),
            brokers: cluster.brokers.len(),
            fenced_brokers: fenced.map(|fenced| fenced.into_iter().filter(|&is_fenced| is_fenced).count()),
            topics: topics.len(),
            partitions: partitions(topics).count(),
            leaderless_partitions: partitions(topics).filter(|partition| partition.leader.is_none()).count(),
            under_replicated_partitions: partitions(topics)
                .filter(|partition| partition.isr.len() < partition.replicas.len())
                .count(),
        }
    }

    fn text(&self) -> String {
        let controller = match (&self.controller, &self.controller_unknown) {
            (Some(id), _) => format!("node {id}"),
            (None, Some(why)) => {
                format!("unknown: {}\n            What follows may be old.", output::printable(why))
            }
            (None, None) => "none is named".to_owned(),
        };
        let fenced = match self.fenced_brokers {
            Some(0) | None => String::new(),
            Some(fenced) => format!(", of which {fenced} fenced"),
        };
        let mut text = format!(
            "cluster     {}\ncontroller  {controller}\nbrokers     {}{fenced}\ntopics      {}\npartitions  {}",
            output::printable(&self.cluster_id),
            self.brokers,
            self.topics,
            self.partitions
        );
        for (count, what) in [
            (self.leaderless_partitions, "without a leader"),
            (self.under_replicated_partitions, "with fewer replicas in sync than assigned"),
        ] {
            if count > 0 {
                // Writing to a String cannot fail.
                let _ = write!(text, "\n            {count} {what}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use ottla_client::{Address, ClusterBroker, Partition};
    use ottla_types::{BrokerId, ErrorCode, LeaderEpoch, TopicId, TopicName};

    use super::*;

    fn broker(id: i32, is_fenced: Option<bool>) -> ClusterBroker {
        ClusterBroker { id: BrokerId(id), address: Address::new("localhost", 9092), rack: None, is_fenced }
    }

    fn partition(leader: Option<i32>, isr: &[i32]) -> Partition {
        Partition {
            index: 0,
            error: ErrorCode::None,
            leader: leader.map(BrokerId),
            leader_epoch: LeaderEpoch(0),
            replicas: vec![BrokerId(1), BrokerId(2)],
            isr: isr.iter().copied().map(BrokerId).collect(),
            offline: Vec::new(),
        }
    }

    fn info(fenced: [Option<bool>; 2], partitions: Vec<Partition>) -> Info {
        let brokers = fenced.into_iter().zip(1..).map(|(is_fenced, id)| broker(id, is_fenced)).collect();
        let cluster = ClusterDescription { id: "abc".to_owned(), controller: Some(BrokerId(1)), brokers };
        let topic = Topic {
            name: TopicName::new("orders").unwrap(),
            id: TopicId([1; 16]),
            error: ErrorCode::None,
            is_internal: false,
            partitions,
        };
        let controller = Controller { id: cluster.controller, why_unknown: None };
        Info::of(&cluster, &controller, &[topic])
    }

    #[test]
    fn a_controller_that_is_not_known_is_told_with_the_reason_and_that_the_rest_may_be_old() {
        let cluster =
            ClusterDescription { id: "abc".to_owned(), controller: Some(BrokerId(1)), brokers: vec![] };
        let controller = Controller { id: None, why_unknown: Some("there is no leader".to_owned()) };
        let info = Info::of(&cluster, &controller, &[]);
        let text = info.text();
        assert!(
            text.contains("controller  unknown: there is no leader\n            What follows may be old.\n"),
            "{text}"
        );
        let json = serde_json::to_value(&info).unwrap();
        assert_eq!(
            (&json["controller"], &json["controller_unknown"]),
            (&().into(), &"there is no leader".into())
        );
    }

    #[test]
    fn a_cluster_in_order_is_five_lines() {
        let text = info([Some(false); 2], vec![partition(Some(1), &[1, 2])]).text();
        assert_eq!(text, "cluster     abc\ncontroller  node 1\nbrokers     2\ntopics      1\npartitions  1");
    }

    #[test]
    fn what_is_not_in_order_is_counted() {
        let partitions = vec![partition(None, &[2]), partition(Some(1), &[1]), partition(Some(1), &[1, 2])];
        let text = info([Some(false), Some(true)], partitions).text();
        assert!(text.contains("brokers     2, of which 1 fenced"), "{text}");
        assert!(text.contains("  1 without a leader\n"), "{text}");
        assert!(text.ends_with("  2 with fewer replicas in sync than assigned"), "{text}");
    }

    #[test]
    fn a_cluster_that_does_not_tell_of_fenced_brokers_is_not_said_to_have_none() {
        let json = serde_json::to_value(info([None; 2], Vec::new())).unwrap();
        assert_eq!(json["fenced_brokers"], serde_json::Value::Null);
        assert_eq!(json["brokers"], 2);
    }
}
