//! `cargo xtask interop`: unchanged Kafka clients against one broker, ottla or Apache Kafka itself.
//!
//! Every client gets a fresh broker on loopback and runs the one list of scenarios ([`scenario`]) as far as it has the
//! means. A scenario that fails against Apache Kafka is a mistake of the scenario; `--against kafka` tells. The clients
//! come from the package registries, into `target/interop/`.
//!
//! Not here: what a client does in a scenario. That is in [`clients`] for command-line clients and in
//! `interop/clients/` for those that are libraries.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod broker;
mod clients;
mod command;
mod driver;
mod scenario;
mod table;
mod tool_host;
mod workshop;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Context as _, Result, bail};
use clap::Parser;

use crate::{
    broker::{Broker, Flavour, Program},
    clients::{Client, Presence},
    scenario::{Outcome, Scenario},
    table::{Column, Table},
    workshop::Workshop,
};

#[derive(Parser)]
#[command(name = "cargo xtask interop", about = "Real Kafka clients against a real broker")]
struct Arguments {
    /// The broker under test
    #[arg(long, value_enum, default_value_t = Flavour::Ottla)]
    against: Flavour,
    /// Only this client, or only this scenario of it; may be given several times
    #[arg(long, value_name = "CLIENT[/SCENARIO]")]
    only: Vec<String>,
    /// The ottla to test; without it one is built with `cargo build`
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
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
    let mut table = Table::default();
    for mut client in clients::all() {
        let scenarios = selection.of(client.name());
        if scenarios.is_empty() {
            continue;
        }
        let started = Instant::now();
        let column = match client.install(&workshop) {
            Err(error) => Column::failed(client.name(), format!("cannot be installed: {error:#}")),
            Ok(Presence::Missing(reason)) if required => Column::failed(client.name(), reason),
            Ok(Presence::Missing(reason)) => Column::skipped(client.name(), reason),
            Ok(Presence::Ready) => exercise(client.as_mut(), &scenarios, &program, &workshop),
        };
        eprintln!("{}: {} ({:.0} s)", client.name(), column.summary(), started.elapsed().as_secs_f64());
        table.add(column);
    }
    print!("{}", table.render());
    println!("{}", table.closing_line());
    Ok(table.passed())
}

/// Starts a fresh broker, and runs the scenarios of one client against it.
fn exercise(
    client: &mut dyn Client,
    scenarios: &[Scenario],
    program: &Program,
    workshop: &Workshop,
) -> Column {
    let logs = workshop.logs(client.name());
    let mut broker = match Broker::start(program, &logs) {
        Ok(broker) => broker,
        Err(error) => return Column::failed(client.name(), format!("the broker does not start: {error:#}")),
    };
    let mut column = Column::new(client.name());
    if let Err(error) = client.start(&broker.bootstrap(), &logs) {
        return Column::failed(client.name(), format!("the client does not start: {error:#}"));
    }
    for scenario in scenarios {
        let started = Instant::now();
        let outcome = match run_scenario(client, *scenario, &mut broker) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
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
    if !scenario.restarts_broker {
        return client.run(scenario.name);
    }
    let before = client.run(&format!("{}:before", scenario.name))?;
    if before != Outcome::Passed {
        return Ok(before);
    }
    broker.restart().context("the broker does not come back")?;
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
                && !scenario::ALL.iter().any(|s| s.name == scenario)
            {
                let names: Vec<_> = scenario::ALL.iter().map(|s| s.name).collect();
                bail!("--only {one}: no scenario `{scenario}`; there are {}", names.join(", "));
            }
            wanted.push((client.to_owned(), scenario.map(str::to_owned)));
        }
        Ok(Self(wanted))
    }

    fn of(&self, client: &str) -> Vec<Scenario> {
        let chosen = |scenario: &Scenario| {
            self.0.is_empty()
                || self.0.iter().any(|(c, s)| c == client && s.as_deref().is_none_or(|s| s == scenario.name))
        };
        scenario::ALL.iter().copied().filter(chosen).collect()
    }
}
