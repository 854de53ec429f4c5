//! What can be typed: the commands, their help, and the small texts that arguments are made of.

use std::str::FromStr;

use clap::{Parser, Subcommand};
use ottla_client::ConfigChange;
use ottla_types::TopicName;

use crate::{
    bench, broker, cluster_commands, completions, config, consume, dev, group, log, produce, replicas, serve,
    topic,
};

/// A partitioned log that speaks Apache Kafka's protocol
///
/// `ottla serve` runs a broker, and `ottla dev` a cluster of them on this machine. `ottla log` reads files on disk.
/// `ottla config list` and `ottla completions` need nothing. The other commands are clients of a broker, ottla or Apache
/// Kafka.
#[derive(Debug, Parser)]
#[command(
    name = "ottla",
    version,
    after_help = "Examples:\n  \
        ottla serve                       # a broker on 127.0.0.1:9092, data in ./ottla-data\n  \
        ottla topic create orders\n  \
        echo hello | ottla produce orders\n  \
        ottla consume orders\n\n\
        Exit codes: 0 done, 1 failed, 2 the command was not understood. What failed is said on standard error."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log to standard error: a level (error, warn, info, debug, trace) or directives such as
    /// `info,ottla_broker=debug`. It goes before RUST_LOG
    // Behind each command's own options in its help.
    #[arg(long, global = true, value_name = "LEVEL", value_parser = crate::logging::check, display_order = 900)]
    pub(crate) log_level: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a broker
    Serve(serve::Arguments),
    /// Run a cluster on this machine to try things on, and pause, kill and restart its brokers
    Dev(dev::Arguments),
    /// Show what a cluster is made of and whether it is healthy; elect leaders, and move replicas
    Cluster(cluster_commands::Arguments),
    /// Show how each replica stands with its leader: in sync or not, how far behind, since when
    Replicas(replicas::Arguments),
    /// Take a broker out of the cluster: move its replicas away, forget it
    Broker(broker::Arguments),
    /// Create, list, describe, alter and delete topics
    Topic(topic::Arguments),
    /// Write lines of standard input to a topic
    Produce(produce::Arguments),
    /// Read records of a topic to standard output
    Consume(consume::Arguments),
    /// List, describe and delete consumer groups, and set how far they have read
    Group(group::Arguments),
    /// Show and change the configuration of topics and brokers, and list the keys there are
    Config(config::Arguments),
    /// Measure a broker: writing, reading, and the way from one to the other
    Bench(bench::Arguments),
    /// Look at segments on disk: dump, verify, see what recovery would do
    Log(log::Arguments),
    /// Print what a shell needs to complete these commands
    Completions(completions::Arguments),
}

/// Two texts with `=` in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyValue {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for KeyValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().to_owned(), value: value.to_owned() })
            }
            _ => Err("expected key=value".to_owned()),
        }
    }
}

/// What `--set` and `--unset` ask for, if no key is named twice.
pub(crate) fn config_changes(set: &[KeyValue], unset: &[String]) -> anyhow::Result<Vec<ConfigChange>> {
    let mut names: Vec<&str> = set.iter().map(|set| set.key.as_str()).collect();
    names.extend(unset.iter().map(String::as_str));
    names.sort_unstable();
    if let Some([twice, _]) = names.array_windows().find(|[a, b]| a == b) {
        anyhow::bail!("{twice} is named twice");
    }
    let set = set.iter().map(|set| ConfigChange::Set(set.key.clone(), set.value.clone()));
    Ok(set.chain(unset.iter().cloned().map(ConfigChange::Unset)).collect())
}

/// Checks a topic's name before a broker has to.
pub(crate) fn topic_name(text: &str) -> Result<TopicName, String> {
    TopicName::new(text).map_err(|error| error.to_string())
}

/// The number of a partition.
pub(crate) fn partition_number(text: &str) -> Result<i32, String> {
    let number = text.parse().ok().filter(|&number: &i32| number >= 0);
    number.ok_or_else(|| "expected the number of a partition: they are counted from 0".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        for line in [
            "ottla serve",
            "ottla dev",
            "ottla dev pause",
            "ottla dev resume",
            "ottla dev kill",
            "ottla dev restart",
            "ottla cluster info",
            "ottla cluster brokers",
            "ottla cluster quorum",
            "ottla cluster health",
            "ottla cluster elect",
            "ottla cluster reassign",
            "ottla cluster reassign plan",
            "ottla cluster reassign execute",
            "ottla cluster reassign verify",
            "ottla cluster reassign cancel",
            "ottla cluster reassign progress",
            "ottla replicas",
            "ottla broker decommission",
            "ottla broker forget",
            "ottla topic create",
            "ottla topic list",
            "ottla topic describe",
            "ottla topic alter",
            "ottla topic delete",
            "ottla produce",
            "ottla consume",
            "ottla group list",
            "ottla group describe",
            "ottla group reset-offsets",
            "ottla group delete",
            "ottla group delete-offsets",
            "ottla config get",
            "ottla config set",
            "ottla config list",
            "ottla bench produce",
            "ottla bench consume",
            "ottla bench e2e",
            "ottla completions",
            "ottla log dump",
            "ottla log verify",
            "ottla log recover",
        ] {
            let error = parse(&format!("{line} --help")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{line}");
            assert!(error.to_string().contains("Examples:"), "{line}: {error}");
        }
    }

    #[test]
    fn usage_errors_exit_with_2_and_name_the_argument() {
        for (line, named) in [
            ("ottla", "Usage"),
            ("ottla fly", "fly"),
            ("ottla serve --override novalue", "novalue"),
            ("ottla dev --brokers 0", "--brokers"),
            ("ottla dev --port 70000", "--port"),
            ("ottla dev pause", "<ID>"),
            ("ottla dev pause two", "two"),
            ("ottla dev --ephemeral kill 1", "--ephemeral"),
            ("ottla replicas --interval 500", "--watch"),
            ("ottla replicas --watch --interval 1", "--interval"),
            ("ottla broker decommission", "<ID>"),
            ("ottla broker forget two", "two"),
            ("ottla cluster reassign plan --replication-factor 0", "--replication-factor"),
            ("ottla cluster reassign plan --topic t --topics-to-move-json-file f", "--topic"),
            ("ottla cluster reassign execute", "<FILE>"),
            ("ottla cluster reassign execute f --throttle 0", "--throttle"),
            ("ottla cluster reassign cancel", "--all"),
            ("ottla cluster reassign cancel f --all", "--all"),
            ("ottla topic create a/b", "a/b"),
            ("ottla topic create orders --partitions many", "many"),
            ("ottla topic create orders --partitions 0", "--partitions"),
            ("ottla produce orders --codec brotli", "brotli"),
            ("ottla produce orders --acks 2", "2"),
            ("ottla consume orders --from yesterday", "yesterday"),
            ("ottla consume orders --follow --exit-at-end", "--exit-at-end"),
            ("ottla consume orders --json --format %s", "--format"),
            ("ottla consume orders --format %q", "%q"),
            ("ottla topic list -b host:port", "host:port"),
            ("ottla log verify", "<DIR>"),
            ("ottla --log-level =x= topic list", "=x="),
            ("ottla --log-level bogus topic list", "error, warn, info, debug, trace"),
            ("ottla --log-level info,bogus topic list", "\"bogus\""),
            ("ottla produce orders -p -1", "counted from 0"),
            ("ottla consume orders -p -1", "counted from 0"),
            ("ottla produce orders --timestamp soon", "ms since 1970"),
            ("ottla produce orders --json -K :", "--key-separator"),
            ("ottla consume orders --to 5 --follow", "--follow"),
            ("ottla consume orders --from -5", "earliest, latest, an offset"),
            ("ottla topic alter orders", "--partitions"),
            ("ottla topic alter orders --set retention.ms", "key=value"),
            ("ottla group describe readers --members --state", "--state"),
            ("ottla group reset-offsets readers --topic orders", "--to-earliest"),
            ("ottla group reset-offsets readers --to-earliest", "--topic"),
            ("ottla group reset-offsets readers --all-topics --to-earliest --to-latest", "--to-latest"),
            ("ottla group reset-offsets readers --all-topics --to-latest --execute --dry-run", "--dry-run"),
            ("ottla group reset-offsets readers --topic orders --from-file x", "--from-file"),
            ("ottla group reset-offsets readers --all-topics --by-duration P1M", "PT2H30M"),
            ("ottla group reset-offsets readers --all-topics --to-offset -1", "--to-offset"),
            ("ottla group reset-offsets readers --topic orders:x --to-latest", "counted from 0"),
            ("ottla group delete", "<GROUP>"),
            ("ottla group delete-offsets readers", "--topic"),
            ("ottla consume orders --group readers --partition 1", "--partition"),
            ("ottla consume orders --instance-id one", "--group"),
            ("ottla config get", "--broker-default"),
            ("ottla config get --topic orders --broker 1", "cannot be used with"),
            ("ottla config get --topic orders --all retention.ms", "--all"),
            ("ottla config set --topic orders", "KEY=VALUE"),
            ("ottla config list --scope cluster", "cluster"),
            ("ottla completions cmd", "cmd"),
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(named), "{line}: {error}");
            assert!(!error.to_string().contains("-- -"), "{line}: {error}");
        }
    }

    #[test]
    fn bootstrap_servers_default_to_the_broker_that_serve_starts() {
        let Command::Topic(arguments) = parse("ottla topic list").unwrap().command else { panic!() };
        let topic::TopicCommand::List(list) = arguments.command else { panic!() };
        // The variable of the environment may be set where the tests run.
        if std::env::var_os(crate::cluster::BOOTSTRAP_VARIABLE).is_none() {
            assert_eq!(list.cluster.bootstrap_server[0].to_string(), "127.0.0.1:9092");
        }
    }

    #[test]
    fn bootstrap_servers_come_as_a_list() {
        let Command::Consume(arguments) = parse("ottla consume -b a:1,b:2 orders").unwrap().command else {
            panic!()
        };
        let servers: Vec<String> =
            arguments.cluster.bootstrap_server.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["a:1", "b:2"]);
    }

    #[test]
    fn a_key_is_changed_once() {
        let set: Vec<KeyValue> = ["a=1", "b=2"].iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(config_changes(&set, &["c".to_owned()]).unwrap().len(), 3);
        let error = config_changes(&set, &["b".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "b is named twice");
    }

    #[test]
    fn a_value_may_hold_equals_signs_and_may_be_empty() {
        let parsed: KeyValue = "a=b=c".parse().unwrap();
        assert_eq!((parsed.key.as_str(), parsed.value.as_str()), ("a", "b=c"));
        assert_eq!("a=".parse::<KeyValue>().unwrap().value, "");
        assert!("=b".parse::<KeyValue>().is_err());
    }
}
