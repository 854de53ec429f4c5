//! `ottla dev`: a cluster of real brokers on this machine in one command, and faults to try on it.
//!
//! - [`layout`]: which nodes there are, and what each is told.
//! - [`folder`]: the folder that they share.
//! - [`supervisor`]: starts, watches and stops the processes; [`child`] is one of them.
//! - [`control`]: how `ottla dev pause` and its like reach the running cluster.
//! - [`printer`]: what the brokers say, merged.
//!
//! The brokers are processes of their own, each an `ottla serve`, so that what is tried here is what would happen.

mod child;
mod control;
mod folder;
mod layout;
mod printer;
mod supervisor;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::cli::KeyValue;
use crate::output;
use control::Order;
use folder::Folder;
use layout::Layout;
use supervisor::{Options, Supervisor};

/// Where the cluster's data are unless told otherwise.
const DEFAULT_DATA: &str = "./ottla-dev";

/// How long brokers may take to stop. A broker closes its logs and hands its leaderships over in that time.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Signals of one kind that come within this time are one.
const ONE_SIGNAL: Duration = Duration::from_millis(300);

/// Arguments of `ottla dev`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
    ottla dev                                     # one broker on 127.0.0.1:9092, data in ./ottla-dev\n  \
    ottla dev --brokers 3 --ephemeral             # three, on 9092 to 9094, and no data left behind\n  \
    ottla dev --brokers 3 --port 19092 --data /srv/try\n  \
    ottla dev --override log.segment.bytes=1048576\n\n\
    In another terminal, from the same folder:\n  \
    ottla dev pause 2                             # as a long stall would; ottla dev resume 2\n  \
    ottla dev kill 2                              # as a crash would; ottla dev restart 2\n\n\
    Broker 1 listens on the port, each other one on the next. The first three vote on metadata, on their port plus 1000 (one \
    broker alone has nobody to vote with); those after them follow what these decide. Each keeps its data in a folder of its own under --data. What they say is \
    printed with the broker's number in front, in colour on a terminal unless NO_COLOR is set.\n\n\
    Ctrl-C, SIGTERM or SIGHUP stops all; those that have not stopped after 20 s are killed, and so are all by a second signal. \
    Should `ottla dev` itself be killed, its brokers stop, and the data stay. Exit codes: 0 all stopped in order; 1 a broker had to be killed, or none runs any more; 2 the command was not understood."
)]
pub(crate) struct Arguments {
    /// What to do to the running cluster; without it, start one
    #[command(subcommand)]
    command: Option<Fault>,

    #[command(flatten)]
    start: Start,
}

/// How to start a cluster.
#[derive(Debug, Args)]
struct Start {
    /// How many brokers. As many as the folder has data of if it is not given, or one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    brokers: Option<u16>,

    /// The port of broker 1. With 0 the system chooses, for one broker alone
    #[arg(long, value_name = "BASE", default_value_t = 9092)]
    port: u16,

    /// The folder of the cluster's data
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,

    /// Delete the data at the end. The folder must be new or empty
    #[arg(long)]
    ephemeral: bool,

    /// Set a key for all brokers, as `ottla serve` does (may be repeated)
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<KeyValue>,
}

/// What can be done to a broker of the running cluster.
#[derive(Debug, Subcommand)]
enum Fault {
    /// Stop a broker's process where it is, as a long stall would
    #[command(after_help = "Examples:\n  ottla dev pause 2\n  ottla dev pause 2 --data /srv/try\n\n\
        The process gets SIGSTOP: it keeps its connections and answers nothing.")]
    Pause(Target),
    /// Let a paused broker go on
    #[command(after_help = "Examples:\n  ottla dev resume 2")]
    Resume(Target),
    /// Kill a broker's process, as a crash would
    #[command(
        after_help = "Examples:\n  ottla dev kill 2\n\nThe process gets SIGKILL. `ottla dev restart 2` starts it again."
    )]
    Kill(Target),
    /// Stop a broker in order and start it again, or start one that is down
    #[command(after_help = "Examples:\n  ottla dev restart 2\n\n\
        A broker that has not stopped after 20 s is killed.")]
    Restart(Target),
}

/// One broker of a running cluster.
#[derive(Debug, Args)]
struct Target {
    /// The broker's number
    #[arg(value_name = "ID")]
    id: i32,

    /// The folder that the cluster was started with
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
}

/// Starts a cluster and waits for its end, or does something to one that runs.
pub(crate) async fn run(arguments: Arguments, log_level: Option<&str>) -> anyhow::Result<()> {
    let (order, target) = match arguments.command {
        None => return start(arguments.start, log_level).await,
        Some(Fault::Pause(target)) => (Order::Pause, target),
        Some(Fault::Resume(target)) => (Order::Resume, target),
        Some(Fault::Kill(target)) => (Order::Kill, target),
        Some(Fault::Restart(target)) => (Order::Restart, target),
    };
    let done = control::ask(&target.data, order, target.id).await?;
    output::say(done)?;
    Ok(())
}

async fn start(start: Start, log_level: Option<&str>) -> anyhow::Result<()> {
    // Before anything is there that a signal should clean up.
    let stops = stop_signals()?;
    let folder = Folder::claim(&start.data, start.ephemeral)?;
    let ended = run_in(&folder, start, log_level, stops).await;
    let cleaned = folder.leave();
    ended.and(cleaned)
}

async fn run_in(
    folder: &Folder,
    start: Start,
    log_level: Option<&str>,
    stops: mpsc::UnboundedReceiver<&'static str>,
) -> anyhow::Result<()> {
    let brokers = folder.cluster_size(start.brokers)?;
    let layout = Layout { brokers, port: start.port, data: folder.path().to_owned() };
    layout.check_ports()?;
    let overrides: Vec<String> =
        start.overrides.iter().map(|KeyValue { key, value }| format!("{key}={value}")).collect();
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let nodes = layout.nodes(&program, log_level, &overrides)?;
    let requests = control::serve(folder)?;
    let (lines, printed) = printer::start();
    let options = Options {
        stop_within: STOP_WITHIN,
        greeting: greeting(&layout, folder, &start.data, start.ephemeral),
    };
    let supervisor = Supervisor::start(nodes, options, lines);
    let ended = supervisor.run(requests, stops).await;
    // What was said last is printed before the end; who closed standard output has seen enough.
    let printed = printed.await.context("the printer failed")?;
    match (ended, printed) {
        (Err(error), _) => Err(error),
        (Ok(()), printed) => Ok(printed?),
    }
}

/// What is said when all brokers listen.
fn greeting(layout: &Layout, folder: &Folder, data: &Path, is_ephemeral: bool) -> String {
    let brokers = match layout.brokers {
        1 => "1 broker runs".to_owned(),
        n => format!("{n} brokers run"),
    };
    let fate = if is_ephemeral { ", deleted at the end" } else { "" };
    let option = |name: &str, value: String, is_default: bool| {
        if is_default { String::new() } else { format!(" {name} {value}") }
    };
    // The system's choice is told where the broker says that it listens.
    let port = if layout.port == 0 { "PORT".to_owned() } else { layout.port.to_string() };
    let server = option("-b", format!("127.0.0.1:{port}"), layout.port == 9092);
    let data = option("--data", folder.path().display().to_string(), data == Path::new(DEFAULT_DATA));
    let last = layout.brokers;
    // A replica on each of three brokers, where there are so many, so that there is something to see when one dies.
    let (copies, watch) = match last {
        1 => (String::new(), String::new()),
        n => (format!(" --replication-factor {}", n.min(3)), format!("ottla replicas --watch{server}\n  ")),
    };
    format!(
        "{brokers}, data in {}{fate}. Try, in another terminal:\n  \
         ottla topic create orders --partitions 3{copies}{server}\n  \
         {watch}\
         ottla dev pause {last}{data}\n  \
         ottla dev kill {last}{data}\n  \
         ottla dev restart {last}{data}\n\
         Ctrl-C stops all.",
        folder.path().display()
    )
}

/// The names of the signals that end the cluster, as they come.
fn stop_signals() -> anyhow::Result<mpsc::UnboundedReceiver<&'static str>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let kinds = [
        (SignalKind::interrupt(), "SIGINT"),
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::hangup(), "SIGHUP"),
    ];
    for (kind, name) in kinds {
        let mut stream = signal(kind).with_context(|| format!("cannot listen to {name}"))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() && sender.send(name).is_ok() {
                // `timeout` and its like send one signal twice: to the process and to its group.
                let end = Instant::now() + ONE_SIGNAL;
                while let Ok(Some(())) = timeout_at(end, stream.recv()).await {}
            }
        });
    }
    Ok(receiver)
}
