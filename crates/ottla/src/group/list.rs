//! `ottla group list`.

use clap::Args;
use ottla_client::ListedGroup;
use serde::Serialize;

use super::{NOTHING, cell, table};
use crate::cluster::{Cluster, explain};
use crate::output;

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

/// Lists the groups by name.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let groups = client.list_groups(&arguments.states, &arguments.types).await.map_err(explain)?;
    if arguments.json {
        return output::say_json(&groups.iter().map(Listed::of).collect::<Vec<_>>());
    }
    if groups.is_empty() {
        return Ok(());
    }
    Ok(output::say(text(&groups))?)
}

fn text(groups: &[ListedGroup]) -> String {
    let mut table = table(&["group", "state", "type", "protocol type"]);
    for group in groups {
        let protocol_type = if group.protocol_type.is_empty() { NOTHING } else { &group.protocol_type };
        let (state, group_type) = (cell(group.state.as_deref()), cell(group.group_type.as_deref()));
        table.add_row([&group.group, &state, &group_type, protocol_type]);
    }
    table.trim_fmt()
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
}
