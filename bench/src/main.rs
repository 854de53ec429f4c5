//! Load on the coordinator of consumer groups, for `bench/groups.py`, which measures the broker meanwhile.
//!
//! One thread, so that it takes no more than a core from the broker. What it measures it prints as a line of JSON.
//!
//! Not here: anything that a real client decides. Members assign nothing and read nothing.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod coordinator;
mod members;
mod offsets;

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use ottla_client::{Address, Connection, ConnectionOptions};
use ottla_env::Env;

/// Puts load on the coordinator of consumer groups.
#[derive(Parser)]
struct Options {
    /// The broker: host:port.
    #[arg(long)]
    bootstrap: Address,
    /// How many groups.
    #[arg(long, default_value_t = 1000)]
    groups: usize,
    /// The topic whose offsets are committed.
    #[arg(long, default_value = "load")]
    topic: String,
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// Members that heartbeat and commit, each on a connection of its own.
    Members {
        /// Members of each group.
        #[arg(long, default_value_t = 10)]
        members: usize,
        /// Commits a second, over all groups; each of one offset.
        #[arg(long, default_value_t = 10_000)]
        commits: u32,
        /// How long, once all groups are stable, before times are taken.
        #[arg(long, default_value_t = 0)]
        warmup: u64,
        /// How long after that.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// Offsets of so many partitions for each group, committed without membership.
    Commit {
        /// Partitions of the topic.
        #[arg(long, default_value_t = 1000)]
        partitions: i32,
    },
    /// Waits until all groups are loaded, by asking each for one offset.
    Await,
    /// Reads the offsets of all groups, when they are loaded, and checks them.
    Fetch {
        /// Partitions of the topic.
        #[arg(long, default_value_t = 1000)]
        partitions: i32,
    },
}

/// How long a broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let env = Env::real();
    let connect = || async {
        let behaviour = ConnectionOptions {
            client_id: "bench".to_owned(),
            connect_timeout: PATIENCE,
            request_timeout: PATIENCE,
            ..ConnectionOptions::default()
        };
        anyhow::Ok(Connection::open(&*env.net, &options.bootstrap, &behaviour).await?)
    };
    let admin = connect().await.context("cannot connect")?;
    coordinator::await_available(&admin, &group(0)).await?;
    let told = match options.load {
        Load::Members { members, commits, warmup, seconds } => {
            let mut connections = Vec::with_capacity(options.groups * members);
            for _ in 0..options.groups * members {
                connections.push(connect().await.context("cannot connect one more member")?);
            }
            let load = members::Load { topic: options.topic, members, commits, warmup, seconds };
            load.run(connections).await?
        }
        Load::Commit { partitions } => {
            offsets::commit(&admin, options.groups, &options.topic, partitions).await?
        }
        Load::Await => offsets::await_loaded(&admin, options.groups, &options.topic).await?,
        Load::Fetch { partitions } => {
            offsets::fetch(&admin, options.groups, &options.topic, partitions).await?
        }
    };
    println!("{told}");
    Ok(())
}

fn group(number: usize) -> String {
    format!("group-{number}")
}
