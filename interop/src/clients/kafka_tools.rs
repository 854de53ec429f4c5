//! Apache Kafka's own command-line tools, from Maven Central: console producer and consumer, `kafka-topics`,
//! `kafka-configs`, `kafka-get-offsets` and others, by their main classes. Scenarios are in the files below this one.
//!
//! Outside of groups the consumer is always given a partition.

mod administering;
mod files_on_disk;
mod groups;
mod reading_and_writing;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    broker::{Target, java, logging},
    clients::{Client, Presence},
    command::{Exchange, eventually, is_present, run},
    scenario::Outcome,
    tool_host::{Running, ToolHost},
    workshop::Workshop,
};

#[derive(Default)]
pub(crate) struct KafkaTools {
    installed: Option<Installed>,
    tools: Option<Tools>,
}

struct Installed {
    class_path: String,
    folder: PathBuf,
    workshop: Workshop,
}

/// The tools, and the broker that they are for.
struct Tools {
    host: ToolHost,
    target: Target,
    workshop: Workshop,
    /// What the first half of the scenario `restart` saw.
    before_restart: Vec<String>,
    /// The producer that the first half of the scenario `over-restart` started.
    over_restart: Option<Running>,
    /// A key that goes to the first of two partitions, and one that goes to the second.
    keys_of_two_partitions: Option<(String, String)>,
}

/// How long a change may take until every part of the broker knows it.
const SOON: Duration = Duration::from_secs(20);

impl Client for KafkaTools {
    fn name(&self) -> &'static str {
        "kafka-tools"
    }

    fn install(&mut self, workshop: &Workshop) -> Result<Presence> {
        let jars = match workshop.kafka_jars()? {
            Ok(jars) => jars,
            Err(reason) => return Ok(Presence::Missing(reason)),
        };
        if !is_present("javac") {
            return Ok(Presence::Missing(
                "no `javac` on this machine: install a JDK, 17 or later".to_owned(),
            ));
        }
        let source = workshop.source("clients/kafka-tools/ToolHost.java");
        let text =
            fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
        let folder = workshop.installed(self.name(), &format!("{jars}\n{text}"), |folder| {
            run(Command::new("javac").args(["-cp", &jars, "-d"]).arg(folder).arg(&source)).map(|_| ())
        })?;
        let class_path = format!("{}:{jars}", folder.display());
        self.installed = Some(Installed { class_path, folder, workshop: workshop.clone() });
        Ok(Presence::Ready)
    }

    fn start(&mut self, target: &Target, logs: &Path) -> Result<()> {
        let installed = self.installed.as_ref().context("not installed")?;
        let mut command = java(&installed.class_path, &logging(&installed.folder)?);
        command.arg("ToolHost");
        let host = ToolHost::start(command, logs)?;
        self.tools = Some(Tools {
            host,
            target: target.clone(),
            workshop: installed.workshop.clone(),
            before_restart: Vec::new(),
            over_restart: None,
            keys_of_two_partitions: None,
        });
        Ok(())
    }

    fn run(&mut self, scenario: &str) -> Result<Outcome> {
        let tools = self.tools.as_mut().context("not started")?;
        let done = match reading_and_writing::run(tools, scenario) {
            Some(result) => Some(result),
            None => administering::run(tools, scenario)
                .or_else(|| groups::run(tools, scenario))
                .or_else(|| files_on_disk::run(tools, scenario)),
        };
        match done {
            Some(result) => result.map(|()| Outcome::Passed),
            None => Ok(Outcome::NotOffered),
        }
    }

    fn stop(&mut self) {
        self.tools = None;
    }
}

impl Tools {
    /// Runs a tool of `org.apache.kafka.tools` with the broker's address added.
    fn tool(&mut self, class: &str, arguments: &[&str], input: &[u8]) -> Result<Exchange> {
        let running = self.begin(class, arguments, input)?;
        self.host.end(&running)
    }

    fn begin(&mut self, class: &str, arguments: &[&str], input: &[u8]) -> Result<Running> {
        let bootstrap = self.target.bootstrap.clone();
        let arguments = [arguments, &["--bootstrap-server", &bootstrap]].concat();
        let class = match class {
            "ConfigCommand" => "kafka.admin.ConfigCommand".to_owned(),
            tool => format!("org.apache.kafka.tools.{tool}"),
        };
        self.host.begin(&class, &arguments, input)
    }

    /// Standard output of a tool that must succeed.
    fn text(&mut self, class: &str, arguments: &[&str]) -> Result<String> {
        let printed =
            self.tool(class, arguments, b"")?.ok().with_context(|| format!("{class} {arguments:?}"))?;
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }

    /// Expects a tool to fail and to say `reason`.
    fn refused(&mut self, class: &str, arguments: &[&str], reason: &str) -> Result<()> {
        let told =
            self.tool(class, arguments, b"")?.refused().with_context(|| format!("{class} {arguments:?}"))?;
        ensure!(told.contains(reason), "{class} {arguments:?} does not say {reason:?} but: {told}");
        Ok(())
    }

    /// Creates a topic, and waits until every partition has a leader that answers: Kafka answers the creation before its
    /// brokers act on it, and the console producer soon gives up.
    fn create(&mut self, topic: &str, partitions: usize, configs: &[&str]) -> Result<()> {
        let count = partitions.to_string();
        let mut arguments = vec!["--create", "--topic", topic, "--partitions", &count];
        for config in configs {
            arguments.extend(["--config", config]);
        }
        self.text("TopicCommand", &arguments)?;
        let led = eventually(SOON, || {
            let places = format!("{topic}:0-{count}");
            let asked = ["--topic-partitions", &places, "--time", "earliest"];
            let answer = self.tool("GetOffsetShell", &asked, b"")?;
            let offsets =
                String::from_utf8_lossy(&answer.stdout).lines().filter(|line| line.ends_with(":0")).count();
            Ok((offsets == partitions).then_some(()))
        })?;
        led.with_context(|| format!("not every partition of {topic} has a leader"))
    }

    /// Writes one record for each line of `input`.
    fn produce(&mut self, topic: &str, more: &[&str], input: &str) -> Result<()> {
        let arguments = [&["--topic", topic], more].concat();
        let exchange = self.tool("ConsoleProducer", &arguments, input.as_bytes())?;
        // Without --sync it reports errors in its log and ends well all the same.
        let told = exchange.stderr.clone();
        exchange.ok().context("console producer")?;
        ensure!(!told.contains("Error when sending message"), "console producer: {told}");
        Ok(())
    }

    /// Reads `count` records from `offset` on; one line each, in the format that `more` asks for.
    fn consume(
        &mut self,
        topic: &str,
        partition: usize,
        offset: &str,
        count: usize,
        more: &[&str],
    ) -> Result<Vec<String>> {
        let (partition, wanted) = (partition.to_string(), count.to_string());
        let place =
            ["--topic", topic, "--partition", &partition, "--offset", offset, "--max-messages", &wanted];
        let settings = ["--timeout-ms", "20000", "--command-property", "check.crcs=true"];
        let arguments = [&place[..], &settings, more].concat();
        let printed = self.tool("consumer.ConsoleConsumer", &arguments, b"")?;
        let told = printed.stderr.clone();
        let printed = printed.ok().context("console consumer")?;
        let lines: Vec<_> = String::from_utf8_lossy(&printed).lines().map(str::to_owned).collect();
        ensure!(lines.len() == count, "{} of {count} records came back: {told}", lines.len());
        Ok(lines)
    }

    /// The offset that `kafka-get-offsets --time` has for a partition; none when it prints none.
    fn offset(&mut self, topic: &str, partition: usize, time: &str) -> Result<Option<u64>> {
        let place = format!("{topic}:{partition}");
        let printed = self.text("GetOffsetShell", &["--topic-partitions", &place, "--time", time])?;
        match printed.trim().strip_prefix(&format!("{place}:")) {
            Some("-1") | None => Ok(None),
            Some(offset) => {
                Ok(Some(offset.parse().with_context(|| format!("kafka-get-offsets: {printed:?}"))?))
            }
        }
    }

    fn expect_bounds(&mut self, topic: &str, partition: usize, earliest: u64, latest: u64) -> Result<()> {
        let bounds = (self.offset(topic, partition, "earliest")?, self.offset(topic, partition, "latest")?);
        ensure!(
            bounds == (Some(earliest), Some(latest)),
            "{topic}-{partition}: offsets from and to are {bounds:?}"
        );
        Ok(())
    }
}
