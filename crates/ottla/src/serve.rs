//! `ottla serve`: reads the settings, starts a broker, and stops it when it is told to.
//!
//! The settings are those of a KRaft node of Kafka; what they mean, and what is wrong with them, is known to
//! [`ottla_types::config`]. The broker itself is [`ottla_broker::Broker`].

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::{io, thread};

use anyhow::Context as _;
use clap::Args;
use ottla_broker::Broker;
use ottla_env::Env;
use ottla_types::config::environment;
use ottla_types::config::settings::assignments;
use ottla_types::config::{Assignment, Origin, Settings, Warning};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::KeyValue;
use crate::output;

/// Where a broker without a file listens.
const DEFAULT_LISTENERS: &str = "PLAINTEXT://127.0.0.1:9092";

/// Arguments of `ottla serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla serve\n  \
    ottla serve server.properties\n  \
    ottla serve --override listeners=PLAINTEXT://127.0.0.1:9192 --override log.dirs=/srv/ottla\n  \
    KAFKA_LOG_DIRS=/data KAFKA_NODE_ID=7 ottla serve\n\n\
    Each key can be set by an environment variable too, named as in Kafka's container images: OTTLA_ or KAFKA_, then the \
    key in upper case with _ for a dot, __ for an underscore and ___ for a hyphen. OTTLA_ goes before KAFKA_, variables \
    before the file, and --override before all. `ottla config list` shows the keys. \
    What is wrong with the settings is told all at once, and the exit code is 1.\n\n\
    SIGTERM and SIGINT (Ctrl-C) stop the broker; a second one ends it at once. It stops by itself, with exit code 1, when all \
    its log directories have failed, or its metadata log.")]
pub(crate) struct Arguments {
    /// A server.properties file of Apache Kafka, of a node that is broker, controller or both. Without it, and unless told
    /// otherwise, the broker listens on 127.0.0.1:9092 and keeps its data in ./ottla-data
    file: Option<PathBuf>,

    /// Set a key, whatever the file and the environment say (may be repeated)
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<KeyValue>,

    /// Do not say what could be typed next: `ottla dev` does, for all its brokers together
    #[arg(long, hide = true)]
    no_hints: bool,

    /// Stop when standard input ends, too: `ottla dev` holds it open, and so its brokers outlive no end of it
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

/// Runs a broker until a signal stops it.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (settings, warnings) = settings(&arguments, variables()?)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let log_dirs = settings.log_dirs();
    let mut signals = StopSignals::new(arguments.until_stdin_ends)?;
    let broker = tokio::select! {
        biased;
        started = Broker::start(Env::real(), settings) => started?,
        name = signals.next() => {
            tracing::info!("stopped by {name} before it was started");
            return Ok(());
        }
    };
    // Whoever started the broker without reading what it says wants it to run all the same.
    let is_first_steps = arguments.file.is_none() && !arguments.no_hints;
    let _ = output::say(greeting(broker.listeners(), &log_dirs, is_first_steps));

    let failure = tokio::select! {
        biased;
        failure = broker.failed() => Some(failure),
        name = signals.next() => {
            tracing::info!("stopping after {name}; another signal ends the broker at once");
            None
        }
    };
    if let Some(failure) = &failure {
        tracing::error!("stopping, because {failure}");
    }
    let stopped = tokio::select! {
        biased;
        stopped = broker.stop() => stopped,
        name = signals.next() => anyhow::bail!("ended at once by {name}: the next start recovers what was not closed"),
    };
    match failure {
        // What could not be closed is a consequence of it, and the log names it.
        Some(failure) => Err(anyhow::Error::new(failure).context(
            "the broker stopped by itself: see to its disks and start it again, and it recovers what was not closed",
        )),
        None => stopped.context("the broker did not stop cleanly, and recovers at its next start"),
    }
}

/// The variables of the environment that may set a key.
fn variables() -> anyhow::Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        // A name that is no text is none of ours.
        let Some(name) = name.to_str().filter(|name| environment::has_prefix(name)) else { continue };
        let value = value.into_string().map_err(|value| {
            anyhow::anyhow!(
                "the environment variable {name} has a value that is not UTF-8: {}",
                value.display()
            )
        })?;
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

/// The settings of the file, the environment and the command line, or all that is wrong with them.
fn settings(
    arguments: &Arguments,
    variables: Vec<(String, String)>,
) -> anyhow::Result<(Settings, Vec<Warning>)> {
    let mut all = match &arguments.file {
        Some(path) => read(path)?,
        None => vec![Assignment::built_in("listeners", DEFAULT_LISTENERS)],
    };
    all.extend(environment::assignments(variables));
    all.extend(arguments.overrides.iter().map(|KeyValue { key, value }| Assignment {
        key: key.clone(),
        value: value.clone(),
        origin: Origin::Override,
    }));
    Settings::load(all).map_err(|problems| anyhow::anyhow!("the settings are not valid:\n{problems}"))
}

fn read(path: &Path) -> anyhow::Result<Vec<Assignment>> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    assignments(&name, &text).map_err(|problems| anyhow::anyhow!("the settings are not valid:\n{problems}"))
}

/// What a broker says when it has started.
fn greeting(listeners: &[(String, SocketAddr)], log_dirs: &[String], is_first_steps: bool) -> String {
    let mut text = String::new();
    for (name, address) in listeners {
        // Writing to a String cannot fail.
        let reach = match address.ip() {
            IpAddr::V6(ip) if ip.is_unspecified() => " (all addresses)",
            IpAddr::V4(ip) if ip.is_unspecified() => " (all IPv4 addresses)",
            _ => "",
        };
        let _ = writeln!(text, "Listening on {name}://{address}{reach}");
    }
    let dirs: Vec<String> = log_dirs.iter().map(|dir| absolute(dir)).collect();
    let _ = write!(text, "Data in {}", dirs.join(", "));
    if let (true, Some((_, address))) = (is_first_steps, listeners.first()) {
        // All addresses are none to connect to, and this terminal is on the same machine.
        let mut address = *address;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let option =
            if address.to_string() == "127.0.0.1:9092" { String::new() } else { format!(" -b {address}") };
        let _ = write!(
            text,
            "\n\nTry, in another terminal:\n  \
             ottla topic create orders --partitions 3{option}\n  \
             echo hello | ottla produce orders{option}\n  \
             ottla consume orders{option}\n\
             or any Kafka client:\n  \
             kcat -b {address} -t orders -C -e\n\
             Ctrl-C stops the broker."
        );
    }
    text
}

fn absolute(dir: &str) -> String {
    std::path::absolute(dir).map_or_else(|_| dir.to_owned(), |path| path.display().to_string())
}

/// SIGTERM and SIGINT, and the end of standard input where that counts as one.
struct StopSignals {
    term: Signal,
    interrupt: Signal,
    stdin_ended: mpsc::UnboundedReceiver<()>,
}

impl StopSignals {
    fn new(until_stdin_ends: bool) -> anyhow::Result<Self> {
        let term = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
        let (ended, stdin_ended) = mpsc::unbounded_channel();
        if until_stdin_ends {
            // A thread of its own: a read of the runtime's would hold up the end of the broker.
            let read = move || {
                // A failure is an end of it as well.
                let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
                // Nobody listens when the broker ends by itself.
                let _ = ended.send(());
            };
            thread::Builder::new().spawn(read).context("cannot start a thread that reads standard input")?;
        }
        Ok(Self { term, interrupt, stdin_ended })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            biased;
            _ = self.term.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            Some(()) = self.stdin_ended.recv() => "the end of standard input",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use ottla_types::config::broker;

    use super::*;

    fn arguments(file: Option<&Path>, overrides: &[&str]) -> Arguments {
        Arguments {
            file: file.map(Path::to_owned),
            overrides: overrides.iter().map(|text| text.parse().unwrap()).collect(),
            no_hints: false,
            until_stdin_ends: false,
        }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn without_a_file_the_broker_is_on_loopback_and_keeps_its_data_here() {
        let (settings, warnings) = settings(&arguments(None, &[]), Vec::new()).unwrap();
        assert_eq!(settings.get(&broker::network::LISTENERS), [DEFAULT_LISTENERS]);
        assert_eq!(settings.log_dirs(), ["./ottla-data"]);
        assert!(warnings.is_empty());
    }

    #[test]
    fn overrides_go_before_the_file() {
        let file = file("num.partitions=3\nnode.id=7\n");
        let (settings, _) =
            settings(&arguments(Some(file.path()), &["num.partitions=5"]), Vec::new()).unwrap();
        assert_eq!(settings.get(&broker::node::NUM_PARTITIONS), 5);
        assert_eq!(settings.node_id().0, 7);
    }

    #[test]
    fn variables_go_between_the_file_and_the_overrides() {
        let file = file("num.partitions=3\nnode.id=7\nlog.dirs=/file\n");
        let variables =
            [("KAFKA_NUM_PARTITIONS", "4"), ("KAFKA_LOG_DIRS", "/kafka"), ("OTTLA_LOG_DIRS", "/ottla")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (settings, _) =
            settings(&arguments(Some(file.path()), &["num.partitions=5"]), variables.to_vec()).unwrap();
        assert_eq!(settings.get(&broker::node::NUM_PARTITIONS), 5);
        assert_eq!((settings.node_id().0, settings.log_dirs()), (7, vec!["/ottla".to_owned()]));
    }

    #[test]
    fn without_a_file_the_older_name_of_the_log_directory_counts_too() {
        let (settings, _) = settings(&arguments(None, &["log.dir=/old"]), Vec::new()).unwrap();
        assert_eq!(settings.log_dirs(), ["/old"]);
    }

    #[test]
    fn all_problems_are_told_at_once_with_file_and_line() {
        let file = file("num.partitions=none\n\nnode.id=-4\n");
        let variables = vec![("KAFKA_LOG_SEGMENT_BYTES".to_owned(), "big".to_owned())];
        let error =
            settings(&arguments(Some(file.path()), &["log.retention.ms=soon"]), variables).unwrap_err();
        let text = format!("{error:#}");
        let name = file.path().display().to_string();
        assert!(text.contains(&format!("{name}:1: num.partitions=none")), "{text}");
        assert!(text.contains(&format!("{name}:3: node.id=-4")), "{text}");
        assert!(text.contains("--override: log.retention.ms=soon"), "{text}");
        assert!(
            text.contains("environment variable KAFKA_LOG_SEGMENT_BYTES: log.segment.bytes=big"),
            "{text}"
        );
    }

    #[test]
    fn what_does_not_go_together_is_told_where_it_was_set_and_not_where_its_default_is() {
        let everywhere = "PLAINTEXT://0.0.0.0:9192";
        let told = |file: Option<&Path>, overrides: &[&str], variables: &[(&str, &str)]| {
            let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
            format!("{:#}", settings(&arguments(file, overrides), variables.collect()).unwrap_err())
        };
        let listeners = format!("listeners={everywhere}");
        let text = told(None, &[&listeners], &[]);
        assert!(text.contains(&format!("--override: clients cannot connect to {everywhere}")), "{text}");
        let text = told(None, &[], &[("KAFKA_LISTENERS", everywhere)]);
        assert!(text.contains("environment variable KAFKA_LISTENERS: clients cannot connect"), "{text}");
        let file = file(&format!("node.id=1\n{listeners}\n"));
        let text = told(Some(file.path()), &[], &[]);
        assert!(text.contains(&format!("{}:2: clients cannot connect", file.path().display())), "{text}");
        let text = told(None, &["controller.listener.names=PLAINTEXT"], &[]);
        assert!(text.contains("--override: none of the listeners is for clients"), "{text}");
        let text = told(None, &["broker.heartbeat.interval.ms=8000"], &[]);
        assert!(text.contains("--override: broker.session.timeout.ms is "), "{text}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = settings(&arguments(Some(Path::new("no/such.properties")), &[]), Vec::new()).unwrap_err();
        assert!(format!("{error:#}").contains("cannot read no/such.properties"), "{error:#}");
    }

    #[test]
    fn the_greeting_names_the_real_port_and_what_to_type_next() {
        let listeners = [("PLAINTEXT".to_owned(), "127.0.0.1:40123".parse().unwrap())];
        let first_steps = greeting(&listeners, &["/data".to_owned()], true);
        assert!(first_steps.starts_with("Listening on PLAINTEXT://127.0.0.1:40123\nData in /data\n"));
        assert!(first_steps.contains("ottla topic create orders --partitions 3 -b 127.0.0.1:40123"));
        let with_a_file = greeting(&listeners, &["/data".to_owned()], false);
        assert_eq!(with_a_file.lines().count(), 2);
        let everywhere = [("PLAINTEXT".to_owned(), "[::]:9092".parse().unwrap())];
        let text = greeting(&everywhere, &["/data".to_owned()], true);
        assert!(text.starts_with("Listening on PLAINTEXT://[::]:9092 (all addresses)\n"), "{text}");
        assert!(text.contains("kcat -b 127.0.0.1:9092 "), "{text}");
    }
}
