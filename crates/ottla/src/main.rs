//! `ottla`: the broker and its command line in one binary. One file per command.
//!
//! - [`cli`]: what can be typed.
//! - [`serve`]: runs a broker. [`dev`]: runs a cluster of them on this machine.
//! - [`topic`], [`produce`], [`consume`], [`group`]: clients of a broker, ottla's or Kafka's.
//! - [`cluster_commands`]: what a cluster is made of. [`replicas`]: how each replica stands. [`broker`]: a broker taken out of it.
//! - [`config`]: the configuration of topics and brokers, and the table of keys. [`bench`]: measures a broker.
//! - [`log`]: looks at segments on disk, without a broker.
//! - [`cluster`]: how the clients find their broker, and what they say when they do not.
//! - [`completions`]: scripts for shells. [`progress`]: bars and counters where a person waits. [`moment`]: times as they are typed.
//! - [`output`]: standard output, and who stopped reading it. [`logging`]: what goes to standard error.
//!
//! Exit codes: 0 for done, 1 for failed, 2 for a command that was not understood.

#![forbid(unsafe_code)]

mod bench;
mod broker;
mod cli;
mod cluster;
mod cluster_commands;
mod completions;
mod config;
mod consume;
mod dev;
mod group;
mod log;
mod logging;
mod moment;
mod output;
mod produce;
mod progress;
mod replicas;
mod serve;
mod topic;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads the output has seen enough: `ottla consume orders | head -1` is no failure.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let level = match cli.command {
        Command::Serve(_) => "info",
        _ => "warn",
    };
    logging::start(cli.log_level.as_deref(), level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(arguments) => serve::run(arguments).await,
            Command::Dev(arguments) => dev::run(arguments, cli.log_level.as_deref()).await,
            Command::Cluster(arguments) => cluster_commands::run(arguments).await,
            Command::Replicas(arguments) => replicas::run(arguments).await,
            Command::Broker(arguments) => broker::run(arguments).await,
            Command::Topic(arguments) => topic::run(arguments).await,
            Command::Produce(arguments) => produce::run(arguments).await,
            Command::Consume(arguments) => consume::run(arguments).await,
            Command::Group(arguments) => group::run(arguments).await,
            Command::Config(arguments) => config::run(arguments).await,
            Command::Bench(arguments) => bench::run(arguments).await,
            Command::Log(arguments) => log::run(arguments).await,
            Command::Completions(arguments) => completions::run(&arguments),
        }
    });
    // What still runs is of no use to anybody, and standard input may never end.
    runtime.shutdown_background();
    result
}
