//! `ottla config get`.

use clap::Args;
use ottla_client::{ConfigEntry, ConfigResource};
use ottla_types::config::Source;
use serde::Serialize;

use super::target::Target;
use crate::cluster::{Cluster, explain};
use crate::output::{self, Table};

/// Arguments of `ottla config get`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla config get --topic orders                         # what differs from the defaults\n  \
    ottla config get --topic orders retention.ms cleanup.policy\n  \
    ottla config get --broker 1 --all --json\n  \
    ottla config get --broker-default\n\n\
    The source says where a value is set: topic, broker (at run time, for this one), all brokers (at run time), \
    static (the broker's file, environment or command line) or default. With --json each key has all the places \
    where it is set, the one that counts first.")]
pub(crate) struct Arguments {
    /// The keys to show; all that are set somewhere if none is given
    #[arg(value_name = "KEY")]
    keys: Vec<String>,

    #[command(flatten)]
    target: Target,

    /// Show keys with default values too
    #[arg(long, short, conflicts_with = "keys")]
    all: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    key: &'a str,
    value: Option<&'a str>,
    source: Option<&'static str>,
    read_only: bool,
    sensitive: bool,
    synonyms: Vec<ShownSynonym<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownSynonym<'a> {
    key: &'a str,
    value: Option<&'a str>,
    source: Option<&'static str>,
}

/// Shows values.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let resource = arguments.target.resource(&client).await?;
    let mut described = client.configs(std::slice::from_ref(&resource)).await.map_err(explain)?;
    let entries = described.pop().unwrap_or_default();
    let chosen = arguments.choose(&entries, &resource)?;
    if arguments.json {
        let shown: Vec<Shown<'_>> = chosen.into_iter().map(Shown::of).collect();
        return output::say_json(&shown);
    }
    Ok(output::say(table(&chosen))?)
}

impl Arguments {
    /// The entries to show, in the order in which they were asked for.
    fn choose<'a>(
        &self,
        entries: &'a [ConfigEntry],
        resource: &ConfigResource,
    ) -> anyhow::Result<Vec<&'a ConfigEntry>> {
        if self.keys.is_empty() {
            let is_set = |entry: &&ConfigEntry| self.all || entry.source != Some(Source::DefaultConfig);
            return Ok(entries.iter().filter(is_set).collect());
        }
        let find = |key: &String| {
            let found = entries.iter().find(|entry| entry.name == *key);
            found.ok_or_else(|| anyhow::anyhow!(self.absent(key, resource)))
        };
        self.keys.iter().map(find).collect()
    }

    fn absent(&self, key: &str, resource: &ConfigResource) -> String {
        match self.target.nearest(key) {
            Some(name) if name == key => format!("{key} is not set on {resource}"),
            Some(name) => format!("{resource} has no key {key}: did you mean {name}?"),
            None => format!("{resource} has no key {key}: `ottla config list` shows all there are"),
        }
    }
}

impl<'a> Shown<'a> {
    fn of(entry: &'a ConfigEntry) -> Self {
        let synonym = |synonym: &'a ottla_client::ConfigSynonym| ShownSynonym {
            key: &synonym.name,
            value: synonym.value.as_deref(),
            source: synonym.source.map(Source::name),
        };
        Self {
            key: &entry.name,
            value: entry.value.as_deref(),
            source: entry.source.map(Source::name),
            read_only: entry.is_read_only,
            sensitive: entry.is_sensitive,
            synonyms: entry.synonyms.iter().map(synonym).collect(),
        }
    }
}

fn table(entries: &[&ConfigEntry]) -> String {
    let mut table = Table::new(&["key", "value", "source"]);
    for entry in entries {
        let value = match &entry.value {
            Some(value) => value.clone(),
            None if entry.is_sensitive => "(hidden)".to_owned(),
            None => "(none)".to_owned(),
        };
        table.add_row([entry.name.as_str(), &value, source(entry.source)]);
    }
    table.text()
}

fn source(source: Option<Source>) -> &'static str {
    match source {
        Some(Source::TopicConfig) => "topic",
        Some(Source::DynamicBrokerConfig) => "broker",
        Some(Source::DynamicDefaultBrokerConfig) => "all brokers",
        Some(Source::StaticBrokerConfig) => "static",
        Some(Source::DefaultConfig) => "default",
        None => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::config::ConfigCommand;

    fn parse(line: &str) -> Arguments {
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Config(crate::config::Arguments { command: ConfigCommand::Get(arguments) }) => arguments,
            other => panic!("{other:?}"),
        }
    }

    fn entry(name: &str, value: Option<&str>, source: Source) -> ConfigEntry {
        ConfigEntry {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            source: Some(source),
            is_read_only: false,
            is_sensitive: false,
            synonyms: Vec::new(),
        }
    }

    fn entries() -> [ConfigEntry; 2] {
        [
            entry("retention.ms", Some("5"), Source::TopicConfig),
            entry("segment.bytes", Some("9"), Source::DefaultConfig),
        ]
    }

    fn chosen(line: &str) -> Vec<String> {
        let topic = ConfigResource::Topic(ottla_types::TopicName::new("orders").unwrap());
        let entries = entries();
        let chosen = parse(line).choose(&entries, &topic).unwrap();
        chosen.into_iter().map(|entry| entry.name.clone()).collect()
    }

    #[test]
    fn defaults_are_shown_when_they_are_asked_for() {
        assert_eq!(chosen("ottla config get --topic orders"), ["retention.ms"]);
        assert_eq!(chosen("ottla config get --topic orders --all"), ["retention.ms", "segment.bytes"]);
        let named = chosen("ottla config get segment.bytes retention.ms --topic orders");
        assert_eq!(named, ["segment.bytes", "retention.ms"]);
    }

    #[test]
    fn a_key_that_is_not_there_is_answered_with_the_nearest() {
        let arguments = parse("ottla config get --topic orders retentoin.ms");
        let error = arguments.choose(&entries(), &ConfigResource::AllBrokers).unwrap_err();
        assert!(error.to_string().ends_with("did you mean retention.ms?"), "{error}");
        let arguments = parse("ottla config get --broker-default num.partitions");
        let error = arguments.choose(&[], &ConfigResource::AllBrokers).unwrap_err();
        assert_eq!(error.to_string(), "num.partitions is not set on the default of all brokers");
    }

    #[test]
    fn values_come_with_where_they_are_set() {
        let [first, _] = entries();
        let none = entry("broker.rack", None, Source::DefaultConfig);
        let text = table(&[&first, &none]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["retention.ms", "5", "topic"], "{text}");
        assert_eq!(lines[2], ["broker.rack", "(none)", "default"], "{text}");
        assert_eq!(table(&[]).split_whitespace().collect::<Vec<_>>(), ["key", "value", "source"]);
    }
}
