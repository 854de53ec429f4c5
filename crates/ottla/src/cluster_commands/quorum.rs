//! `ottla cluster quorum`.

use std::fmt::Write as _;

use clap::Args;
use ottla_client::{QuorumDescription, QuorumReplica};
use serde::Serialize;

use crate::cluster::{Cluster, explain};
use crate::output::{self, Table};

/// Arguments of `ottla cluster quorum`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla cluster quorum\n  \
    ottla cluster quorum -b broker:9092 --json\n\n\
    The quorum's leader is the active controller. `lag` counts records of the metadata log that a node lacks; `answered` and \
    `caught up` tell how long ago the leader heard from it, and for how long at most it has lacked any. Changes of metadata \
    need more than half of the voters.")]
pub(crate) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Quorum {
    leader: i32,
    epoch: i64,
    high_watermark: i64,
    replicas: Vec<Replica>,
}

#[derive(Debug, Serialize)]
struct Replica {
    node: i32,
    /// `leader`, `voter` or `observer`.
    role: &'static str,
    directory: Option<String>,
    /// Where it is reached, as `LISTENER://host:port`.
    endpoints: Vec<String>,
    log_end: Option<i64>,
    /// How many records it lacks.
    lag: Option<i64>,
    /// How long ago the leader heard from it.
    answered_ms_ago: Option<i64>,
    /// For how long it may have lacked records.
    caught_up_ms_ago: Option<i64>,
}

/// Describes the quorum.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let quorum = Quorum::of(&client.describe_quorum().await.map_err(explain)?);
    if arguments.json {
        return output::say_json(&quorum);
    }
    Ok(output::say(quorum.text())?)
}

impl Quorum {
    fn of(described: &QuorumDescription) -> Self {
        let voters = described.voters.iter().map(|replica| {
            let role = if replica.id == described.leader { "leader" } else { "voter" };
            Replica::of(replica, role, described)
        });
        let observers = described.observers.iter().map(|replica| Replica::of(replica, "observer", described));
        Self {
            leader: described.leader.0,
            epoch: described.epoch.0,
            high_watermark: described.high_watermark.0,
            replicas: voters.chain(observers).collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "leader          node {}\nepoch           {}\nhigh watermark  {}\n\n",
            self.leader, self.epoch, self.high_watermark
        );
        let mut table =
            Table::new(&["node", "role", "log end", "lag", "answered", "caught up", "directory", "endpoint"]);
        for replica in &self.replicas {
            let number = |number: Option<i64>| number.map_or_else(nothing, |number| number.to_string());
            table.add_row([
                replica.node.to_string(),
                replica.role.to_owned(),
                number(replica.log_end),
                number(replica.lag),
                ago(replica.answered_ms_ago),
                ago(replica.caught_up_ms_ago),
                replica.directory.clone().unwrap_or_else(nothing),
                if replica.endpoints.is_empty() { nothing() } else { replica.endpoints.join(", ") },
            ]);
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{}", table.text());
        text
    }
}

impl Replica {
    fn of(replica: &QuorumReplica, role: &'static str, quorum: &QuorumDescription) -> Self {
        // What a leader says of itself is its own time.
        let leader = quorum.voters.iter().find(|voter| voter.id == quorum.leader);
        let now_ms = leader.and_then(|leader| leader.last_fetch_ms);
        let ago = |at_ms: Option<i64>| Some(now_ms?.saturating_sub(at_ms?).max(0));
        Self {
            node: replica.id.0,
            role,
            directory: replica.directory.map(|id| id.to_string()),
            endpoints: replica
                .endpoints
                .iter()
                .map(|(listener, address)| format!("{listener}://{address}"))
                .collect(),
            log_end: replica.log_end.map(|end| end.0),
            lag: lag(replica, quorum),
            answered_ms_ago: ago(replica.last_fetch_ms),
            caught_up_ms_ago: ago(replica.last_caught_up_ms),
        }
    }
}

/// How many records of the leader's a node lacks.
pub(super) fn lag(replica: &QuorumReplica, quorum: &QuorumDescription) -> Option<i64> {
    let leader = quorum.voters.iter().find(|voter| voter.id == quorum.leader)?;
    Some(leader.log_end?.0.saturating_sub(replica.log_end?.0).max(0))
}

fn nothing() -> String {
    "-".to_owned()
}

fn ago(ms: Option<i64>) -> String {
    match ms {
        None => "never".to_owned(),
        Some(ms) => format!("{}.{} s ago", ms / 1000, ms % 1000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use ottla_client::Address;
    use ottla_types::{BrokerId, DirectoryId, LeadershipEpoch, Offset};

    use super::*;

    fn replica(id: i32, end: Option<i64>, at_ms: Option<i64>) -> QuorumReplica {
        QuorumReplica {
            id: BrokerId(id),
            directory: Some(DirectoryId([7; 16])),
            endpoints: vec![("CONTROLLER".to_owned(), Address::new("localhost", 9093))],
            log_end: end.map(Offset),
            last_fetch_ms: at_ms,
            last_caught_up_ms: at_ms,
        }
    }

    #[test]
    fn replicas_are_shown_with_what_they_lack_and_since_when_by_the_leaders_clock() {
        let quorum = Quorum::of(&QuorumDescription {
            leader: BrokerId(2),
            epoch: LeadershipEpoch(5),
            high_watermark: Offset(120),
            voters: vec![
                replica(1, Some(100), Some(98_700)),
                replica(2, Some(120), Some(100_000)),
                replica(3, None, None),
            ],
            observers: vec![replica(4, Some(120), Some(99_999))],
        });
        let text = quorum.text();
        assert!(
            text.starts_with("leader          node 2\nepoch           5\nhigh watermark  120\n\n"),
            "{text}"
        );
        let rows: Vec<Vec<&str>> = text
            .lines()
            .skip(5)
            .map(|line| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect())
            .collect();
        let directory = DirectoryId([7; 16]).to_string();
        let at = "CONTROLLER://localhost:9093";
        assert_eq!(rows[0], ["1", "voter", "100", "20", "1.3 s ago", "1.3 s ago", &directory, at]);
        assert_eq!(rows[1], ["2", "leader", "120", "0", "0.0 s ago", "0.0 s ago", &directory, at]);
        assert_eq!(rows[2], ["3", "voter", "-", "-", "never", "never", &directory, at]);
        assert_eq!(rows[3], ["4", "observer", "120", "0", "0.0 s ago", "0.0 s ago", &directory, at]);
    }
}
