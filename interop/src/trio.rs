//! Three brokers under test that are a cluster: combined nodes, each a process from a `server.properties` of its own, on
//! loopback, with their data in one temporary folder.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::{
    broker::Program,
    clients::Client,
    command::{self, Owned},
    scenario::{Outcome, Scenario},
    scripts,
    table::Column,
    workshop::Workshop,
};

const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Three running brokers, 1 to 3; they end with their owner.
pub(crate) struct Trio {
    nodes: Vec<Node>,
    /// Removed, with the brokers' data, when they are dropped.
    _folder: TempDir,
}

struct Node {
    id: usize,
    /// `None` once it was stopped.
    process: Option<Owned>,
    address: SocketAddr,
    log: PathBuf,
}

/// Starts three fresh brokers, and runs the scenarios of one client against them.
pub(crate) fn exercise(
    client: &mut dyn Client,
    scenarios: &[Scenario],
    program: &Program,
    workshop: &Workshop,
) -> Column {
    let mut column = Column::new(client.name());
    let started =
        workshop.empty_logs(client.name()).and_then(|logs| Ok((Trio::start(program, &logs)?, logs)));
    let (mut trio, logs) = match started {
        Ok(started) => started,
        Err(error) => return Column::failed(client.name(), format!("the brokers do not start: {error:#}")),
    };
    if let Err(error) = client.start(&trio.bootstrap(), &logs) {
        column.note(format!("the client does not start: {error:#}"));
        return column;
    }
    for scenario in scenarios {
        let started = Instant::now();
        let outcome = match client.hands(scenario.name) {
            Some(hands) => scripts::cluster::run(scenario.name, hands, &mut trio),
            None => Ok(Outcome::NotOffered),
        };
        let outcome = outcome.unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        column.add(*scenario, outcome, started.elapsed());
    }
    client.stop();
    // The last one is left to its owner: without a majority Kafka's does not end on SIGTERM.
    for id in [3, 1] {
        if let Err(error) = trio.stop(id) {
            column.note(format!("broker {id} does not stop cleanly: {error:#}"));
        }
    }
    column
}

impl Trio {
    fn start(program: &Program, logs: &Path) -> Result<Self> {
        let folder = TempDir::with_prefix("ottla-interop-").context("cannot create a temporary folder")?;
        let ports = free_ports(6)?;
        let (clients, controllers) = ports.split_at(3);
        let home = |id: usize| folder.path().join(format!("node-{id}"));
        for id in 1..=3 {
            fs::create_dir(home(id)).context("cannot create a node's folder")?;
            fs::write(config(&home(id)), properties(id, clients, controllers, &home(id)))
                .context("cannot write properties")?;
        }
        // A JVM each: at the same time.
        thread::scope(|scope| {
            let formatting: Vec<_> = (1..=3)
                .map(|id| scope.spawn(move || program.format(&home(id), &config(&home(id)))))
                .collect();
            formatting.into_iter().try_for_each(|one| match one.join() {
                Ok(formatted) => formatted,
                Err(_) => bail!("a directory was not formatted"),
            })
        })?;
        let start = |id: usize| {
            let log = logs.join(format!("broker-{id}.log"));
            let mut command = program.command(&home(id), &config(&home(id)))?;
            let process = Some(Owned::spawn_logged(&mut command, &log)?);
            let port = clients.get(id - 1).copied().context("a node without a port")?;
            Ok(Node { id, process, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), log })
        };
        let nodes = (1..=3).map(start).collect::<Result<Vec<_>>>()?;
        let mut trio = Self { nodes, _folder: folder };
        trio.nodes.iter_mut().try_for_each(Node::wait_until_listening)?;
        Ok(trio)
    }

    /// What clients are given as `bootstrap.servers`.
    fn bootstrap(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(|node| node.address.to_string()).collect();
        addresses.join(",")
    }

    /// SIGTERM, and an end without complaint, if it was not stopped before.
    pub(crate) fn stop(&mut self, id: usize) -> Result<()> {
        let node = self.nodes.iter_mut().find(|node| node.id == id).context("no such broker")?;
        let Some(mut process) = node.process.take() else { return Ok(()) };
        if let Some(status) = process.status()? {
            bail!("it had ended by itself with {status}; {}", node.last_words());
        }
        process.terminate()?;
        let status = process.wait(STOP_LIMIT).with_context(|| node.last_words())?;
        // 143 is how a JVM reports that very signal.
        if !status.success() && status.code() != Some(143) {
            bail!("it ended with {status} on SIGTERM; {}", node.last_words());
        }
        Ok(())
    }
}

impl Node {
    fn wait_until_listening(&mut self) -> Result<()> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let listening = command::until_listening(process, self.address);
        listening.with_context(|| self.last_words())
    }

    fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        format!("{} says: {}", self.log.display(), command::last_lines(&text, 4))
    }
}

/// Ports that nobody used a moment ago: nodes must know those of each other.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let taken =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<Vec<_>, _>>();
    let taken = taken.context("cannot listen on loopback")?;
    let ports: std::io::Result<_> = taken.iter().map(|listener| Ok(listener.local_addr()?.port())).collect();
    ports.context("a listener without address")
}

fn config(home: &Path) -> PathBuf {
    home.join("server.properties")
}

/// A combined node of three, as Kafka's own example file has it. Leaders stay where they are unless a scenario moves them.
fn properties(id: usize, clients: &[u16], controllers: &[u16], home: &Path) -> String {
    let voter = |(index, port): (usize, &u16)| format!("{}@127.0.0.1:{port}", index + 1);
    let voters: Vec<_> = controllers.iter().enumerate().map(voter).collect();
    let (client, controller) = (clients[id - 1], controllers[id - 1]);
    format!(
        "node.id={id}\n\
         process.roles=broker,controller\n\
         controller.quorum.voters={}\n\
         listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=PLAINTEXT\n\
         auto.leader.rebalance.enable=false\n\
         log.dirs={}\n",
        voters.join(","),
        home.join("data").display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_names_all_voters_and_its_own_ports() {
        let text = properties(2, &[1001, 1002, 1003], &[2001, 2002, 2003], Path::new("/home"));
        assert!(
            text.contains("controller.quorum.voters=1@127.0.0.1:2001,2@127.0.0.1:2002,3@127.0.0.1:2003\n")
        );
        assert!(text.contains("listeners=PLAINTEXT://127.0.0.1:1002,CONTROLLER://127.0.0.1:2002\n"));
        assert!(text.contains("log.dirs=/home/data\n"));
    }
}
