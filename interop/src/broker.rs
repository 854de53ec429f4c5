//! The broker under test: one combined KRaft node from one `server.properties`, on ports of its own, on loopback, with
//! its data in a temporary folder. ottla takes that file as it is; Apache Kafka needs its directory formatted first.

use std::{
    fmt, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
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

/// A broker that is ready to be started any number of times.
pub(crate) enum Program {
    Ottla { bin: PathBuf },
    Kafka { class_path: String, formatted: PathBuf },
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
            (Flavour::Kafka, None) => Self::prepare_kafka(workshop),
        }
    }

    fn prepare_kafka(workshop: &Workshop) -> Result<Self> {
        let class_path = workshop.kafka_jars()?.map_err(anyhow::Error::msg)?;
        // Formatting costs a JVM's start, so it is done once and its result copied for each broker.
        let recipe = format!(
            "{class_path}\n{}",
            properties(&Ports { clients: 1, controller: 2, behind: 3, proxy: 4 }, "data")
        );
        let formatted = workshop.installed("kafka-formatted", &recipe, |folder| {
            let config = folder.join("server.properties");
            let data = folder.join("data");
            let ports = Ports { clients: 1, controller: 2, behind: 3, proxy: 4 };
            fs::write(&config, properties(&ports, &data.display().to_string()))
                .context("cannot write properties")?;
            let mut format = java(&class_path, &logging(folder)?);
            format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(&config);
            command::run(&mut format).map(|_| ())
        })?;
        Ok(Self::Kafka { class_path, formatted: formatted.join("data") })
    }

    /// Makes `data` what the broker expects to find at its first start.
    fn lay_out(&self, data: &Path) -> Result<()> {
        match self {
            // No format step to forget: ottla makes its own directory.
            Self::Ottla { .. } => Ok(()),
            Self::Kafka { formatted, .. } => {
                fs::create_dir(data).with_context(|| format!("cannot create {}", data.display()))?;
                for entry in fs::read_dir(formatted).context("no formatted directory")? {
                    let from = entry.context("cannot list the formatted directory")?.path();
                    let name = from.file_name().context("a file without name")?;
                    fs::copy(&from, data.join(name))
                        .with_context(|| format!("cannot copy {}", from.display()))?;
                }
                Ok(())
            }
        }
    }

    /// Makes a node of a cluster ready for its first start, which for Kafka is one step more than for ottla.
    pub(crate) fn format(&self, folder: &Path, config: &Path) -> Result<()> {
        let Self::Kafka { class_path, .. } = self else { return Ok(()) };
        let mut format = java(class_path, &logging(folder)?);
        format.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(config);
        command::run(&mut format).map(|_| ())
    }

    pub(crate) fn command(&self, folder: &Path, config: &Path) -> Result<Command> {
        Ok(match self {
            Self::Ottla { bin } => {
                let mut command = Command::new(bin);
                command.arg("serve").arg(config);
                command
            }
            Self::Kafka { class_path, .. } => {
                let mut command = java(class_path, &logging(folder)?);
                command.arg("kafka.Kafka").arg(config);
                command
            }
        })
    }
}

/// A running broker; it ends with its owner.
pub(crate) struct Broker {
    process: Owned,
    command: Command,
    address: SocketAddr,
    proxy: CuttingProxy,
    log: PathBuf,
    /// Removed, with the broker's data, when the broker is dropped.
    _folder: TempDir,
}

impl Broker {
    /// Starts a new one, with its output in `broker.log` under `logs`, and waits until it listens.
    pub(crate) fn start(program: &Program, logs: &Path) -> Result<Self> {
        let folder = TempDir::with_prefix("ottla-interop-").context("cannot create a temporary folder")?;
        let mut proxy = CuttingProxy::listen()?;
        let ports = Ports::free(&proxy)?;
        proxy.start(SocketAddr::from((Ipv4Addr::LOCALHOST, ports.behind)))?;
        let data = folder.path().join("data");
        let config = folder.path().join("server.properties");
        fs::write(&config, properties(&ports, &data.display().to_string()))
            .context("cannot write properties")?;
        program.lay_out(&data)?;
        let log = logs.join("broker.log");
        let mut command = program.command(folder.path(), &config)?;
        let process = Owned::spawn_logged(&mut command, &log)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.clients));
        let mut broker = Self { process, command, address, proxy, log, _folder: folder };
        broker.wait_until_listening()?;
        Ok(broker)
    }

    /// What clients are given as `bootstrap.servers`.
    pub(crate) fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// What a client is given as `bootstrap.servers` if its connections shall be cut.
    pub(crate) fn cut_bootstrap(&self) -> String {
        self.proxy.address().to_string()
    }

    /// How many connections were cut so far.
    pub(crate) fn cuts(&self) -> usize {
        self.proxy.cuts()
    }

    /// Ends it in the way that `fate` says, and starts it again on the same data and ports.
    pub(crate) fn meet(&mut self, fate: Fate) -> Result<()> {
        match fate {
            Fate::Undisturbed => return Ok(()),
            Fate::Restarted => self.stop()?,
            Fate::Killed => self.process.kill()?,
        }
        self.process = Owned::spawn_logged(&mut self.command, &self.log)?;
        self.wait_until_listening()
    }

    /// SIGTERM, and an end without complaint: status 0, or the 143 with which a JVM reports that very signal.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if let Some(status) = self.process.status()? {
            bail!("it had ended by itself with {status}; {}", self.last_words());
        }
        self.process.terminate()?;
        let status = self.process.wait(STOP_LIMIT).with_context(|| self.last_words())?;
        if !status.success() && status.code() != Some(143) {
            bail!("it ended with {status} on SIGTERM; {}", self.last_words());
        }
        Ok(())
    }

    fn wait_until_listening(&mut self) -> Result<()> {
        let listening = command::until_listening(&mut self.process, self.address);
        listening.with_context(|| self.last_words())
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
    /// Ports that nobody used a moment ago, all but the proxy's. Kafka advertises what it is configured with, so 0 will not do.
    fn free(proxy: &CuttingProxy) -> Result<Self> {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback");
        let (clients, controller, behind) = (bind()?, bind()?, bind()?);
        let port = |listener: &TcpListener| Ok::<_, std::io::Error>(listener.local_addr()?.port());
        Ok(Self {
            clients: port(&clients)?,
            controller: port(&controller)?,
            behind: port(&behind)?,
            proxy: proxy.address().port(),
        })
    }
}

/// The one configuration for every flavour: a combined node, as Kafka's own example file has it.
fn properties(ports: &Ports, data: &str) -> String {
    let Ports { clients, controller, behind, proxy } = ports;
    format!(
        "node.id=1\n\
         process.roles=broker,controller\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{clients},CUT://127.0.0.1:{behind},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{clients},CUT://127.0.0.1:{proxy}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CUT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=PLAINTEXT\n\
         log.dirs={data}\n\
         num.partitions={NUM_PARTITIONS}\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         offsets.topic.num.partitions=5\n\
         group.initial.rebalance.delay.ms=0\n\
         group.min.session.timeout.ms=1000\n"
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
