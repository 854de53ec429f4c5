//! `ottla config set`.

use clap::{ArgGroup, Args};
use ottla_client::ConfigChange;
use serde::Serialize;

use super::target::Target;
use crate::cli::{KeyValue, config_changes};
use crate::cluster::{Cluster, explain};
use crate::output;

/// Arguments of `ottla config set`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").args(["values", "unset"]).required(true).multiple(true)))]
#[command(after_help = "Examples:\n  \
    ottla config set --topic orders retention.ms=86400000 cleanup.policy=compact,delete\n  \
    ottla config set --topic orders --unset retention.ms\n  \
    ottla config set --broker-default log.retention.ms=86400000 --dry-run\n\n\
    All of it is done, or none. Other keys stay as they are. `ottla config list` says which keys can be changed while \
    a broker runs.")]
pub(crate) struct Arguments {
    /// Keys and their new values
    #[arg(value_name = "KEY=VALUE")]
    values: Vec<KeyValue>,

    /// A key to leave to the next place where it is set, or to its default (may be repeated)
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,

    #[command(flatten)]
    target: Target,

    /// Only check whether it could be done
    #[arg(long)]
    dry_run: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Changed<'a> {
    resource: String,
    key: &'a str,
    /// Null where the key was unset.
    value: Option<&'a str>,
    dry_run: bool,
}

/// Changes values.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let changes = config_changes(&arguments.values, &arguments.unset)?;
    let client = arguments.cluster.connect().await?;
    let resource = arguments.target.resource(&client).await?;
    client.alter_configs(&resource, &changes, arguments.dry_run).await.map_err(explain)?;
    if arguments.json {
        let changed = |change| {
            let (key, value) = parts(change);
            Changed { resource: resource.to_string(), key, value, dry_run: arguments.dry_run }
        };
        return output::say_json(&changes.iter().map(changed).collect::<Vec<_>>());
    }
    let suffix = if arguments.dry_run { " (it could be done, and was not)" } else { "" };
    for change in &changes {
        match parts(change) {
            (key, Some(value)) => output::say(format_args!("{resource}: {key}={value}{suffix}"))?,
            (key, None) => output::say(format_args!("{resource}: {key} unset{suffix}"))?,
        }
    }
    Ok(())
}

fn parts(change: &ConfigChange) -> (&str, Option<&str>) {
    match change {
        ConfigChange::Set(key, value) => (key, Some(value)),
        ConfigChange::Unset(key) => (key, None),
    }
}
