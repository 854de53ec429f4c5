//! `ottla group list`.

use clap::Args;
use ottla_client::ListedGroup;
use serde::Serialize;

use super::{NOTHING, cell, known_groups};
use crate::cluster::Cluster;
use crate::output::{self, Table};

/// Arguments of `ottla group list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla group list\n  \
    ottla group list --state stable --state empty\n  \
    ottla group list --json\n\n\
    States: PreparingRebalance, CompletingRebalance, Stable, Empty, Dead; Assigning and Reconciling in newer types of groups.")]
pub(crate) struct Arguments {
    /// Only groups in this state (may be repeated)
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<String>,

    /// Only groups of this type: classic, consumer, share (may be repeated)
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Listed<'a> {
    group: &'a str,
    state: Option<&'a str>,
    r#type: Option<&'a str>,
    protocol_type: &'a str,
}

/// Lists the groups by name: those that can be told, also where others cannot.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let groups = known_groups(&client, &arguments.states, &arguments.types).await?;
    if arguments.json {
        return output::say_json(&groups.iter().map(Listed::of).collect::<Vec<_>>());
    }
    Ok(output::say(text(&groups))?)
}

fn text(groups: &[ListedGroup]) -> String {
    let mut table = Table::new(&["group", "state", "type", "protocol type"]);
    for group in groups {
        let protocol_type = if group.protocol_type.is_empty() { NOTHING } else { &group.protocol_type };
        let (state, group_type) = (cell(group.state.as_deref()), cell(group.group_type.as_deref()));
        table.add_row([group.group.as_str(), &state, &group_type, protocol_type]);
    }
    table.text()
}

impl<'a> Listed<'a> {
    fn of(group: &'a ListedGroup) -> Self {
        Self {
            group: &group.group,
            state: group.state.as_deref(),
            r#type: group.group_type.as_deref(),
            protocol_type: &group.protocol_type,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_the_broker_does_not_tell() {
        let group = ListedGroup {
            group: "readers".to_owned(),
            protocol_type: String::new(),
            state: Some("Empty".to_owned()),
            group_type: None,
        };
        let text = text(&[group]);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["readers", "Empty", "-", "-"]);
    }

    #[test]
    fn without_groups_there_is_the_head_of_the_table() {
        assert_eq!(text(&[]).trim(), "group  state  type  protocol type");
    }
}
