//! `ottla group`: one file per command under it.

mod delete;
mod delete_offsets;
mod describe;
mod list;
mod places;
mod reset_offsets;
mod topics;

use clap::{Args, Subcommand};
use ottla_client::{Client, GroupList, ListedGroup};

use crate::cluster::explain;

/// Arguments of `ottla group`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to do with groups.
    #[command(subcommand)]
    command: GroupCommand,
}

/// The commands on groups.
#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// List the groups
    List(list::Arguments),
    /// Show how far groups have read, who reads for them, or what state they are in
    Describe(describe::Arguments),
    /// Set how far a group has read, while nobody reads for it
    ResetOffsets(reset_offsets::Arguments),
    /// Delete groups without members, and their offsets
    Delete(delete::Arguments),
    /// Delete a group's offsets in topics that it does not read
    DeleteOffsets(delete_offsets::Arguments),
}

/// Runs one of them.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        GroupCommand::List(arguments) => list::run(arguments).await,
        GroupCommand::Describe(arguments) => describe::run(arguments).await,
        GroupCommand::ResetOffsets(arguments) => reset_offsets::run(arguments).await,
        GroupCommand::Delete(arguments) => delete::run(arguments).await,
        GroupCommand::DeleteOffsets(arguments) => delete_offsets::run(arguments).await,
    }
}

/// Fails if there is an error: all but the last are told here, and that one where the command ends.
fn all_of(mut errors: Vec<anyhow::Error>) -> anyhow::Result<()> {
    let last = errors.pop();
    errors.iter().for_each(crate::output::complain);
    last.map_or(Ok(()), Err)
}

/// The groups there are. If some cannot be told, that is said on standard error.
async fn known_groups(
    client: &Client,
    states: &[String],
    types: &[String],
) -> anyhow::Result<Vec<ListedGroup>> {
    let GroupList { groups, gaps } = client.list_groups(states, types).await.map_err(explain)?;
    for gap in gaps {
        tracing::warn!("groups may be missing here: {gap}");
    }
    Ok(groups)
}

/// What a table says where there is nothing to say.
const NOTHING: &str = "-";

/// A value as a table says it.
fn cell<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| value.to_string())
}
