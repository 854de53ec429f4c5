//! `ottla group delete`.

use clap::Args;
use serde::Serialize;

use super::all_of;
use crate::cluster::{Cluster, explain};
use crate::output;

/// Arguments of `ottla group delete`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla group delete readers\n  \
    ottla group delete readers writers --json\n\n\
    There is no question before it, and no way back. A group that has members is not deleted.")]
pub(crate) struct Arguments {
    /// The groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Deleted<'a> {
    group: &'a str,
    error: Option<String>,
}

/// Deletes groups, one after another; what cannot be deleted does not keep the rest.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let mut errors = Vec::new();
    let mut deleted = Vec::new();
    for group in &arguments.groups {
        let error = client.delete_group(group).await.err();
        if error.is_none() && !arguments.json {
            output::say(format_args!("Deleted group {group}."))?;
        }
        deleted.push(Deleted { group, error: error.as_ref().map(ToString::to_string) });
        errors.extend(error.map(explain));
    }
    if arguments.json {
        output::say_json(&deleted)?;
    }
    all_of(errors)
}
