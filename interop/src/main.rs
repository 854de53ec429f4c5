//! `cargo xtask interop`: unchanged Kafka clients against one broker or three, ottla or Apache Kafka itself.
//!
//! Every client gets a fresh broker on loopback, or three that are a cluster, and runs the list of scenarios for it ([`scenario`]) as far as it has the
//! means. A scenario that fails against Apache Kafka is a mistake of the scenario; `--against kafka` tells. The clients
//! come from the package registries, into `target/interop/`.
//!
//! Not here: what happens in a scenario. That is in [`scripts`] for library clients, whose programs in
//! `interop/clients/` lend their [`hands`]; in [`clients`] for command-line clients; and in `interop/clients/` where a
//! library has scenarios of its own.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod broker;
mod clients;
mod cluster_hands;
mod command;
mod cutting_proxy;
mod driver;
mod hands;
mod members;
mod scenario;
mod scripts;
mod table;
mod tool_host;
mod workshop;

use std::{
    num::NonZero,
    path::PathBuf,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use clap::Parser;

use crate::{
    broker::{Broker, CLUSTER, Flavour, Program},
    clients::{Client, Presence},
    scenario::{Fate, Outcome, Scenario},
    table::{Column, Table},
    workshop::Workshop,
};

#[derive(Parser)]
#[command(name = "cargo xtask interop", about = "Real Kafka clients against a real broker")]
struct Arguments {
    /// The broker under test
    #[arg(long, value_enum, default_value_t = Flavour::Ottla)]
    against: Flavour,
    /// How many brokers: 3 are a cluster, in which every topic has three replicas and min.insync.replicas=2
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = one_or_three)]
    brokers: usize,
    /// Only this client, or only this scenario of it; may be given several times
    #[arg(long, value_name = "CLIENT[/SCENARIO]")]
    only: Vec<String>,
    /// The ottla to test; without it one is built with `cargo build`
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
    /// How many clients at a time, each with a broker of its own; by default one for each CPU
    #[arg(long, value_name = "COUNT")]
    jobs: Option<usize>,
}

fn one_or_three(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(CLUSTER),
        _ => Err("there are 1 and 3".to_owned()),
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("interop: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let workshop = Workshop::open()?;
    let selection = Selection::parse(&arguments.only)?;
    let program = Program::prepare(arguments.against, arguments.bin.as_deref(), &workshop)?;
    let required = std::env::var("CI").is_ok_and(|value| value == "true");
    let clients: Vec<_> =
        clients::all().into_iter().filter(|client| !selection.of(client.as_ref()).is_empty()).collect();
    let jobs = arguments.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get));
    let installing = Mutex::new(());
    let columns = side_by_side(clients, jobs, |client| {
        let started = Instant::now();
        // One at a time: what two clients share is installed once.
        let turn = installing.lock().unwrap_or_else(PoisonError::into_inner);
        let presence = client.install(&workshop);
        drop(turn);
        let column = match presence {
            Err(error) => Column::failed(client.name(), format!("cannot be installed: {error:#}")),
            Ok(Presence::Missing(reason)) if required => Column::failed(client.name(), reason),
            Ok(Presence::Missing(reason)) => Column::skipped(client.name(), reason),
            Ok(Presence::Ready) => {
                let scenarios = selection.of(client.as_ref());
                let brokers = if client.is_on_three() { CLUSTER } else { arguments.brokers };
                exercise(client.as_mut(), &scenarios, &program, brokers, &workshop)
            }
        };
        eprintln!("{}: {} ({:.0} s)", client.name(), column.summary(), started.elapsed().as_secs_f64());
        column
    });
    let mut table = Table::default();
    for column in columns {
        table.add(column);
    }
    print!("{}", table.render());
    println!("{}", table.closing_line());
    Ok(table.passed())
}

/// Does `work` on each client, on `jobs` of them at a time; the results are in the clients' order.
fn side_by_side(
    clients: Vec<Box<dyn Client>>,
    jobs: usize,
    work: impl Fn(&mut Box<dyn Client>) -> Column + Sync,
) -> Vec<Column> {
    let count = clients.len();
    let waiting = Mutex::new(clients.into_iter().enumerate());
    let done = Mutex::new(Vec::with_capacity(count));
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, count.max(1)) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((place, mut client)) = next else { return };
                    let column = work(&mut client);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((place, column));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, column)| column).collect()
}

/// Starts fresh brokers, and runs the scenarios of one client against them.
fn exercise(
    client: &mut dyn Client,
    scenarios: &[Scenario],
    program: &Program,
    brokers: usize,
    workshop: &Workshop,
) -> Column {
    let start = |logs: PathBuf| Ok((Broker::start(program, brokers, &logs)?, logs));
    let ready = workshop.empty_logs(client.name()).and_then(start);
    let (mut broker, logs) = match ready {
        Ok(ready) => ready,
        Err(error) => return Column::failed(client.name(), format!("the broker does not start: {error:#}")),
    };
    let mut column = Column::new(client.name());
    let mut client_is_sound = false;
    for scenario in scenarios {
        if !client_is_sound {
            client.stop();
            if let Err(error) = client.start(&broker.target(), &logs) {
                column.note(format!("the client does not start: {error:#}"));
                break;
            }
        }
        let started = Instant::now();
        let outcome = run_scenario(client, *scenario, &mut broker)
            .unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        // What a failure leaves behind in the client would fail the next scenario too.
        client_is_sound = !matches!(outcome, Outcome::Failed(_));
        column.add(*scenario, outcome, started.elapsed());
    }
    client.stop();
    // A broker that does not end on SIGTERM, or ends badly, is a finding like any other.
    if let Err(error) = broker.stop() {
        column.note(format!("the broker does not stop cleanly: {error:#}"));
    }
    column
}

fn run_scenario(client: &mut dyn Client, scenario: Scenario, broker: &mut Broker) -> Result<Outcome> {
    let is_on_three = client.is_on_three();
    if let Some(hands) = client.hands(scenario.name) {
        let run = if is_on_three { scripts::cluster::run } else { scripts::run };
        return run(scenario.name, hands, broker);
    }
    if scenario.broker == Fate::Undisturbed {
        return client.run(scenario.name);
    }
    let before = client.run(&format!("{}:before", scenario.name))?;
    if before != Outcome::Passed {
        return Ok(before);
    }
    broker.meet(scenario.broker).context("the broker does not come back")?;
    client.run(&format!("{}:after", scenario.name))
}

/// What `--only` leaves.
struct Selection(Vec<(String, Option<String>)>);

impl Selection {
    fn parse(only: &[String]) -> Result<Self> {
        let mut wanted = Vec::new();
        for one in only {
            let (client, scenario) = match one.split_once('/') {
                Some((client, scenario)) => (client, Some(scenario)),
                None => (one.as_str(), None),
            };
            if !clients::all().iter().any(|c| c.name() == client) {
                let names: Vec<_> = clients::all().iter().map(|c| c.name()).collect();
                bail!("--only {one}: no client `{client}`; there are {}", names.join(", "));
            }
            if let Some(scenario) = scenario
                && !every_scenario().any(|s| s.name == scenario)
            {
                let names: Vec<_> = every_scenario().map(|s| s.name).collect();
                bail!("--only {one}: no scenario `{scenario}`; there are {}", names.join(", "));
            }
            wanted.push((client.to_owned(), scenario.map(str::to_owned)));
        }
        Ok(Self(wanted))
    }

    fn of(&self, client: &dyn Client) -> Vec<Scenario> {
        let name = client.name();
        let chosen = |scenario: &Scenario| {
            self.0.is_empty()
                || self.0.iter().any(|(c, s)| c == name && s.as_deref().is_none_or(|s| s == scenario.name))
        };
        let all = if client.is_on_three() { scenario::ON_THREE } else { scenario::ALL };
        all.iter().copied().filter(chosen).collect()
    }
}

fn every_scenario() -> impl Iterator<Item = &'static Scenario> {
    scenario::ALL.iter().chain(scenario::ON_THREE)
}
