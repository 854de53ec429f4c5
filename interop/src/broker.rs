//! The broker under test, or three that are a cluster: combined KRaft nodes, each from one `server.properties`, on ports of
//! their own, on loopback, with their data in a temporary folder. ottla takes that file as it is; Apache Kafka needs its
//! directory formatted first.

use std::{
    fmt, fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use tempfile::TempDir;

use crate::{
    command::{self, Owned},
    cutting_proxy::CuttingProxy,
    scenario::Fate,
    workshop::Workshop,
};

/// Partitions of a topic that nobody said a number for; scenarios rely on it.
pub(crate) const NUM_PARTITIONS: usize = 12;

/// Kafka wants to be told how its cluster is called.
const CLUSTER_ID: &str = "AAAAAAAAAAAAAAAAAAAAAQ";

const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flavour {
    Ottla,
    Kafka,
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ottla => "ottla",
            Self::Kafka => "kafka",
        })
    }
}

/// How many brokers are a cluster here, where it is not one alone.
pub(crate) const CLUSTER: usize = 3;

/// A broker that is ready to be started any number of times.
pub(crate) enum Program {
    Ottla { bin: PathBuf },
    Kafka { class_path: String },
}

impl Program {
    pub(crate) fn prepare(flavour: Flavour, bin: Option<&Path>, workshop: &Workshop) -> Result<Self> {
        match (flavour, bin) {
            (Flavour::Ottla, bin) => {
                if let Some(bin) = bin {
                    workshop.use_ottla(bin).context("--bin")?;
                }
                Ok(Self::Ottla { bin: workshop.ottla()? })
            }
            (Flavour::Kafka, Some(bin)) => bail!("--bin {} is for --against ottla", bin.display()),
            (Flavour::Kafka, None) => {
                Ok(Self::Kafka { class_path: workshop.kafka_jars()?.map_err(anyhow::Error::msg)? })
            }
        }
    }

    /// Makes a node ready for its first start. No format step to forget: ottla makes its own directory.
    fn format(&self, folder: &Path, config: &Path) -> Result<()> {
        let Self::Kafka { class_path } = self else { return Ok(()) };
        let mut format = java(class_path, &logging(folder)?);
        format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(config);
        command::run(&mut format).map(|_| ())
    }

    fn command(&self, folder: &Path, config: &Path) -> Result<Command> {
        Ok(match self {
            Self::Ottla { bin } => {
                let mut command = Command::new(bin);
                command.arg("serve").arg(config);
                command
            }
            Self::Kafka { class_path } => {
                let mut command = java(class_path, &logging(folder)?);
                command.arg("kafka.Kafka").arg(config);
                command
            }
        })
    }
}

/// What a client is to reach.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target {
    /// What it is given as `bootstrap.servers`: all of them, broker 1 first.
    pub(crate) bootstrap: String,
    /// How many brokers there are; its topics get as many replicas.
    pub(crate) brokers: usize,
}

impl Target {
    /// Where broker 1 is.
    pub(crate) fn first(&self) -> &str {
        self.bootstrap.split(',').next().unwrap_or_default()
    }
}

/// A running broker, or three of them, 1 to 3; they end with their owner.
pub(crate) struct Broker {
    nodes: Vec<Node>,
    /// Removed, with the brokers' data, when the broker is dropped.
    _folder: TempDir,
}

struct Node {
    id: usize,
    /// `None` once it was stopped for good.
    process: Option<Owned>,
    command: Command,
    address: SocketAddr,
    proxy: CuttingProxy,
    log: PathBuf,
}

impl Broker {
    /// Starts `count` new ones, with their output in files under `logs`, and waits until they listen.
    pub(crate) fn start(program: &Program, count: usize, logs: &Path) -> Result<Self> {
        let folder = TempDir::with_prefix("ottla-interop-").context("cannot create a temporary folder")?;
        let mut proxies = (0..count).map(|_| CuttingProxy::listen()).collect::<Result<Vec<_>>>()?;
        let ports = Ports::free(&proxies)?;
        for (proxy, ports) in proxies.iter_mut().zip(&ports) {
            proxy.start(SocketAddr::from((Ipv4Addr::LOCALHOST, ports.behind)))?;
        }
        let home = |id: usize| folder.path().join(format!("node-{id}"));
        for id in 1..=count {
            fs::create_dir(home(id)).context("cannot create a node's folder")?;
            fs::write(config(&home(id)), properties(id, &ports, &home(id)))
                .context("cannot write properties")?;
        }
        // A JVM each: at the same time.
        thread::scope(|scope| {
            let formatting: Vec<_> = (1..=count)
                .map(|id| scope.spawn(move || program.format(&home(id), &config(&home(id)))))
                .collect();
            formatting.into_iter().try_for_each(|one| match one.join() {
                Ok(formatted) => formatted,
                Err(_) => bail!("a directory was not formatted"),
            })
        })?;
        let start = |(id, (proxy, ports)): (usize, (CuttingProxy, &Ports))| {
            let log =
                logs.join(if count == 1 { "broker.log".to_owned() } else { format!("broker-{id}.log") });
            let mut command = program.command(&home(id), &config(&home(id)))?;
            let process = Some(Owned::spawn_logged(&mut command, &log)?);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.clients));
            Ok(Node { id, process, command, address, proxy, log })
        };
        let nodes = (1..).zip(proxies.into_iter().zip(&ports)).map(start).collect::<Result<Vec<_>>>()?;
        let mut broker = Self { nodes, _folder: folder };
        broker.nodes.iter_mut().try_for_each(Node::wait_until_listening)?;
        broker.nodes.iter().try_for_each(|node| node.wait_for_brokers(count))?;
        Ok(broker)
    }

    pub(crate) fn target(&self) -> Target {
        let addresses: Vec<_> = self.nodes.iter().map(|node| node.address.to_string()).collect();
        Target { bootstrap: addresses.join(","), brokers: self.nodes.len() }
    }

    /// What a client is given as `bootstrap.servers` if its connections shall be cut.
    pub(crate) fn cut_bootstrap(&self) -> String {
        self.nodes.first().map(|node| node.proxy.address().to_string()).unwrap_or_default()
    }

    /// How many connections were cut so far.
    pub(crate) fn cuts(&self) -> usize {
        self.nodes.iter().map(|node| node.proxy.cuts()).sum()
    }

    /// Ends the first one in the way that `fate` says, and starts it again on the same data and ports.
    pub(crate) fn meet(&mut self, fate: Fate) -> Result<()> {
        let node = self.nodes.first_mut().context("there is no broker")?;
        match fate {
            Fate::Undisturbed => return Ok(()),
            Fate::Restarted => node.stop()?,
            Fate::Killed => {
                if let Some(mut process) = node.process.take() {
                    process.kill()?;
                }
            }
        }
        node.process = Some(Owned::spawn_logged(&mut node.command, &node.log)?);
        node.wait_until_listening()
    }

    /// SIGTERM to one of them, and an end without complaint, if it was not stopped before.
    pub(crate) fn stop_one(&mut self, id: usize) -> Result<()> {
        self.nodes.iter_mut().find(|node| node.id == id).context("no such broker")?.stop()
    }

    /// The same of all, but for the last of a cluster: without a majority Kafka's does not end on SIGTERM.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let last = self.nodes.len().max(2) - 1;
        let mut stopped = Ok(());
        for node in self.nodes.iter_mut().take(last) {
            let one = node.stop().with_context(|| format!("broker {}", node.id));
            stopped = stopped.and(one);
        }
        stopped
    }
}

impl Node {
    /// SIGTERM, and an end without complaint: status 0, or the 143 with which a JVM reports that very signal.
    fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        if let Some(status) = process.status()? {
            bail!("it had ended by itself with {status}; {}", self.last_words());
        }
        process.terminate()?;
        let status = process.wait(STOP_LIMIT).with_context(|| self.last_words())?;
        if !status.success() && status.code() != Some(143) {
            bail!("it ended with {status} on SIGTERM; {}", self.last_words());
        }
        Ok(())
    }

    fn wait_until_listening(&mut self) -> Result<()> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let listening = command::until_listening(process, self.address);
        listening.with_context(|| self.last_words())
    }

    /// Waits until it names so many live brokers: those of a cluster register one after another.
    fn wait_for_brokers(&self, count: usize) -> Result<()> {
        let limit = Duration::from_secs(60);
        let named = command::eventually(limit, || {
            Ok((live_brokers(self.address).ok() == i32::try_from(count).ok()).then_some(()))
        })?;
        named.with_context(|| format!("it does not name {count} brokers; {}", self.last_words()))
    }

    fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        format!("{} says: {}", self.log.display(), command::last_lines(&text, 4))
    }
}

struct Ports {
    clients: u16,
    controller: u16,
    /// Where the broker listens for the proxy that cuts connections.
    behind: u16,
    /// Where that proxy listens.
    proxy: u16,
}

impl Ports {
    /// Ports that nobody used a moment ago, all but the proxies'. Nodes must know those of each other, so 0 will not do.
    fn free(proxies: &[CuttingProxy]) -> Result<Vec<Self>> {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback");
        let port = |listener: &TcpListener| Ok::<_, std::io::Error>(listener.local_addr()?.port());
        let taken = proxies
            .iter()
            .map(|proxy| Ok((bind()?, bind()?, bind()?, proxy.address().port())))
            .collect::<Result<Vec<_>>>()?;
        let ports = |(clients, controller, behind, proxy): &(TcpListener, TcpListener, TcpListener, u16)| {
            Ok(Self {
                clients: port(clients)?,
                controller: port(controller)?,
                behind: port(behind)?,
                proxy: *proxy,
            })
        };
        taken.iter().map(ports).collect()
    }
}

/// How many brokers are named by the one at `address`: Metadata, version 1, of no topics. Its answer begins with them.
fn live_brokers(address: SocketAddr) -> io::Result<i32> {
    const ASKED: &[u8] = b"\0\0\0\x15\0\x03\0\x01\0\0\0\x01\0\x07interop\0\0\0\0";
    let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(ASKED)?;
    // Its length and the correlation id, and then the number of brokers.
    let mut answer = [0; 12];
    connection.read_exact(&mut answer)?;
    let [.., a, b, c, d] = answer;
    Ok(i32::from_be_bytes([a, b, c, d]))
}

fn config(home: &Path) -> PathBuf {
    home.join("server.properties")
}

/// The one configuration for every flavour: a combined node, as Kafka's own example file has it. In a cluster every topic has a
/// replica on each, and leaders stay where they are unless a scenario moves them.
fn properties(id: usize, all: &[Ports], home: &Path) -> String {
    let Ports { clients, controller, behind, proxy } = &all[id - 1];
    let voter = |(index, ports): (usize, &Ports)| format!("{}@127.0.0.1:{}", index + 1, ports.controller);
    let voters: Vec<_> = all.iter().enumerate().map(voter).collect();
    let (replicas, in_sync) = (all.len(), if all.len() == 1 { 1 } else { 2 });
    format!(
        "node.id={id}\n\
         process.roles=broker,controller\n\
         controller.quorum.voters={}\n\
         listeners=PLAINTEXT://127.0.0.1:{clients},CUT://127.0.0.1:{behind},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{clients},CUT://127.0.0.1:{proxy}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CUT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=PLAINTEXT\n\
         auto.leader.rebalance.enable=false\n\
         log.dirs={}\n\
         num.partitions={NUM_PARTITIONS}\n\
         default.replication.factor={replicas}\n\
         min.insync.replicas={in_sync}\n\
         offsets.topic.replication.factor={replicas}\n\
         transaction.state.log.replication.factor={replicas}\n\
         transaction.state.log.min.isr={in_sync}\n\
         share.coordinator.state.topic.replication.factor={replicas}\n\
         share.coordinator.state.topic.min.isr={in_sync}\n\
         offsets.topic.num.partitions=5\n\
         group.initial.rebalance.delay.ms=0\n\
         group.min.session.timeout.ms=1000\n",
        voters.join(","),
        home.join("data").display()
    )
}

/// A JVM that starts quickly rather than runs fast.
pub(crate) fn java(class_path: &str, logging: &str) -> Command {
    let mut java = Command::new("java");
    java.args(["-Xms256m", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]);
    java.args(["-Djava.awt.headless=true", logging, "-cp", class_path]);
    java
}

/// Makes Kafka log to standard error, by the JVM option it returns.
pub(crate) fn logging(folder: &Path) -> Result<String> {
    let config = folder.join("log4j2.properties");
    let text = "rootLogger.level=WARN\nrootLogger.appenderRef.err.ref=ERR\n\
                appender.err.type=Console\nappender.err.name=ERR\nappender.err.target=SYSTEM_ERR\n\
                appender.err.layout.type=PatternLayout\nappender.err.layout.pattern=%d %p %m (%c)%n\n";
    fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
    Ok(format!("-Dlog4j2.configurationFile={}", config.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_names_all_voters_and_its_own_ports() {
        let ports =
            |n: u16| Ports { clients: 1000 + n, controller: 2000 + n, behind: 3000 + n, proxy: 4000 + n };
        let text = properties(2, &[ports(1), ports(2), ports(3)], Path::new("/home"));
        assert!(
            text.contains("controller.quorum.voters=1@127.0.0.1:2001,2@127.0.0.1:2002,3@127.0.0.1:2003\n")
        );
        let listeners =
            "listeners=PLAINTEXT://127.0.0.1:1002,CUT://127.0.0.1:3002,CONTROLLER://127.0.0.1:2002\n";
        assert!(text.contains(listeners), "{text}");
        assert!(text.contains("log.dirs=/home/data\n"));
        assert!(text.contains("default.replication.factor=3\nmin.insync.replicas=2\n"), "{text}");
    }
}
