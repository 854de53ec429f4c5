//! `kafka-topics`, `kafka-configs`, `kafka-delete-records`, `kafka-log-dirs`, `kafka-cluster`,
//! `kafka-metadata-quorum`, `kafka-transactions` and `kafka-dump-log`.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

use super::{SOON, Tools, reading_and_writing::lines};
use crate::command::eventually;

/// Runs the scenario if it is one of these.
pub(super) fn run(tools: &mut Tools, scenario: &str) -> Option<Result<()>> {
    Some(match scenario {
        "unknown-topic" => unknown_topic(tools),
        "cluster" => cluster(tools),
        "quorum" => quorum(tools),
        "topic-lifecycle" => topic_lifecycle(tools),
        "topic-exists" => topic_exists(tools),
        "invalid-topic-name" => invalid_topic_name(tools),
        "add-partitions" => add_partitions(tools),
        "topic-configs" => topic_configs(tools),
        "bad-config" => bad_config(tools),
        "broker-configs" => broker_configs(tools),
        "delete-records" => delete_records(tools),
        "log-dirs" => log_dirs(tools),
        "dump-log" => dump_log(tools),
        "describe-producers" => describe_producers(tools),
        "restart:before" => before_restart(tools),
        "restart:after" => after_restart(tools),
        _ => return None,
    })
}

fn listed(tools: &mut Tools) -> Result<Vec<String>> {
    Ok(tools.text("TopicCommand", &["--list"])?.lines().map(str::to_owned).collect())
}

fn describe(tools: &mut Tools, topic: &str) -> Result<String> {
    tools.text("TopicCommand", &["--describe", "--topic", topic])
}

fn unknown_topic(tools: &mut Tools) -> Result<()> {
    tools.refused("TopicCommand", &["--describe", "--topic", "nowhere"], "does not exist")?;
    tools.refused("TopicCommand", &["--delete", "--topic", "nowhere"], "does not exist")?;
    tools.refused("GetOffsetShell", &["--topic", "nowhere"], "Could not match any topic-partitions")?;
    let topics = listed(tools)?;
    ensure!(!topics.iter().any(|topic| topic == "nowhere"), "it was created: {topics:?}");
    Ok(())
}

fn cluster(tools: &mut Tools) -> Result<()> {
    let bootstrap = tools.target.bootstrap.clone();
    let mut ask = |verb: &str| -> Result<String> {
        let arguments = [verb, "--bootstrap-server", &bootstrap];
        let running = tools.host.begin("org.apache.kafka.tools.ClusterTool", &arguments, b"")?;
        let printed = tools.host.end(&running)?.ok().with_context(|| format!("kafka-cluster {verb}"))?;
        Ok(String::from_utf8_lossy(&printed).into_owned())
    };
    let id = ask("cluster-id")?;
    ensure!(id.trim().len() > "Cluster ID: ".len(), "cluster id: {id:?}");
    let endpoints = ask("list-endpoints")?;
    let (host, port) = tools.target.first().split_once(':').context("no port")?;
    let row = endpoints.lines().find(|line| line.starts_with("1 ")).with_context(|| endpoints.clone())?;
    ensure!(row.contains(host) && row.contains(port), "endpoints: {endpoints}");
    Ok(())
}

fn quorum(tools: &mut Tools) -> Result<()> {
    let (bootstrap, brokers) = (tools.target.bootstrap.clone(), tools.target.brokers);
    let mut describe = |what: &str| -> Result<String> {
        let arguments = ["--bootstrap-server", &bootstrap, "describe", what];
        let running = tools.host.begin("org.apache.kafka.tools.MetadataQuorumCommand", &arguments, b"")?;
        let printed = tools.host.end(&running)?.ok().with_context(|| format!("describe {what}"))?;
        Ok(String::from_utf8_lossy(&printed).into_owned())
    };
    let status = describe("--status")?;
    let value = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.map(str::trim).with_context(|| format!("no {name} in {status}"))
    };
    let (leader, lag) = (value("LeaderId")?, value("MaxFollowerLag")?.parse::<i64>()?);
    let is_voter = leader.parse::<usize>().is_ok_and(|id| (1..=brokers).contains(&id));
    // One of several may be a record or two behind when it is asked.
    ensure!(is_voter && (lag == 0 || brokers > 1 && lag < 10), "status: {status}");
    ensure!(value("LeaderEpoch")?.parse::<i32>()? > 0, "status: {status}");
    ensure!(value("HighWatermark")?.parse::<i64>()? > 0, "status: {status}");
    ensure!(
        value("CurrentVoters")?.matches("\"id\": ").count() == brokers && value("CurrentObservers")? == "[]",
        "status: {status}"
    );
    let replication = describe("--replication")?;
    let row = replication
        .lines()
        .find(|line| line.trim_end().ends_with("Leader"))
        .with_context(|| replication.clone())?;
    let cells: Vec<&str> = row.split_whitespace().collect();
    let [id, _, end, lag, ..] = cells[..] else { bail!("replication: {replication}") };
    ensure!(id == leader && lag == "0" && end.parse::<i64>()? > 0, "replication: {replication}");
    Ok(())
}

fn topic_lifecycle(tools: &mut Tools) -> Result<()> {
    let topic = "lifecycle";
    tools.create(topic, 4, &["retention.ms=100000"])?;
    let first = describe(tools, topic)?;
    let head = first.lines().next().unwrap_or_default();
    let factor = format!("ReplicationFactor: {}", tools.target.brokers);
    for expected in ["PartitionCount: 4", &factor, "retention.ms=100000"] {
        ensure!(head.contains(expected), "no {expected:?} in {head:?}");
    }
    for line in first.lines().skip(1) {
        let ids = |name: &str| {
            let field = line.split('\t').find_map(|field| field.trim().strip_prefix(name));
            let mut ids: Vec<_> = field.unwrap_or_default().split(',').map(str::trim).collect();
            ids.sort_unstable();
            ids.join(",")
        };
        let all: Vec<_> = (1..=tools.target.brokers).map(|id| id.to_string()).collect();
        ensure!(all.contains(&ids("Leader:")), "partition: {line:?}");
        ensure!(ids("Replicas:") == all.join(",") && ids("Isr:") == all.join(","), "partition: {line:?}");
    }
    ensure!(listed(tools)?.iter().any(|name| name == topic), "not listed");
    tools.produce(topic, &[], "old\n")?;
    tools.text("TopicCommand", &["--delete", "--topic", topic])?;
    let gone = eventually(SOON, || Ok((!listed(tools)?.iter().any(|name| name == topic)).then_some(())))?;
    ensure!(gone.is_some(), "still listed after its deletion");
    tools.create(topic, 1, &[])?;
    let second = describe(tools, topic)?;
    let id = |described: &str| described.split('\t').nth(1).map(str::to_owned);
    ensure!(id(&first) != id(&second), "the new topic has the old one's id: {second}");
    ensure!(
        second.contains("PartitionCount: 1") && !second.contains("retention.ms"),
        "described as {second}"
    );
    tools.expect_bounds(topic, 0, 0, 0)
}

fn topic_exists(tools: &mut Tools) -> Result<()> {
    tools.create("exists", 1, &[])?;
    tools.refused("TopicCommand", &["--create", "--topic", "exists"], "already exists")?;
    tools.text("TopicCommand", &["--create", "--topic", "exists", "--if-not-exists"]).map(|_| ())
}

fn invalid_topic_name(tools: &mut Tools) -> Result<()> {
    for name in ["a b", "a/b", "..", &"x".repeat(250)] {
        tools.refused("TopicCommand", &["--create", "--topic", name], "InvalidTopicException")?;
    }
    let more_than_brokers = (tools.target.brokers + 1).to_string();
    let create = ["--create", "--topic", "too-many", "--replication-factor", &more_than_brokers];
    tools.refused("TopicCommand", &create, "InvalidReplicationFactorException")
}

fn add_partitions(tools: &mut Tools) -> Result<()> {
    let topic = "add-partitions";
    tools.create(topic, 2, &[])?;
    tools.text("TopicCommand", &["--alter", "--topic", topic, "--partitions", "5"])?;
    let five = eventually(SOON, || Ok(describe(tools, topic)?.contains("PartitionCount: 5").then_some(())))?;
    ensure!(five.is_some(), "described as {}", describe(tools, topic)?);
    tools.expect_bounds(topic, 4, 0, 0)?;
    tools.refused(
        "TopicCommand",
        &["--alter", "--topic", topic, "--partitions", "3"],
        "InvalidPartitionsException",
    )
}

/// `kafka-configs` on one resource, such as `["--topic", "t"]`.
fn configs(tools: &mut Tools, resource: &[&str], action: &[&str]) -> Result<String> {
    tools.text("ConfigCommand", &[resource, action].concat())
}

/// Waits until the resource's own configs, as `kafka-configs --describe` prints them, hold or lack `setting`.
fn expect_config(tools: &mut Tools, resource: &[&str], setting: &str, there: bool) -> Result<()> {
    let mut told = String::new();
    let seen = eventually(SOON, || {
        told = configs(tools, resource, &["--describe"])?;
        let found = told.lines().any(|line| line.trim_start().starts_with(&format!("{setting} ")));
        Ok((found == there).then_some(()))
    })?;
    match seen {
        Some(()) => Ok(()),
        None => bail!("{setting} should {}be described: {told}", if there { "" } else { "not " }),
    }
}

fn topic_configs(tools: &mut Tools) -> Result<()> {
    let resource = ["--topic", "topic-configs"];
    tools.create("topic-configs", 1, &["retention.ms=100000"])?;
    let change = "max.message.bytes=500,cleanup.policy=[compact,delete]";
    configs(tools, &resource, &["--alter", "--add-config", change])?;
    for setting in ["retention.ms=100000", "max.message.bytes=500", "cleanup.policy=compact,delete"] {
        expect_config(tools, &resource, setting, true)?;
    }
    let big = format!("key\t{}\n", "x".repeat(1000));
    let produce = ["--topic", "topic-configs", "--sync", "--reader-property", "parse.key=true"];
    let told = tools.tool("ConsoleProducer", &produce, big.as_bytes())?.refused()?;
    ensure!(told.contains("RecordTooLargeException"), "told: {told}");
    configs(tools, &resource, &["--alter", "--delete-config", "max.message.bytes,cleanup.policy"])?;
    expect_config(tools, &resource, "max.message.bytes=500", false)?;
    expect_config(tools, &resource, "retention.ms=100000", true)?;
    let all = configs(tools, &resource, &["--describe", "--all"])?;
    let default =
        "max.message.bytes=1048588 sensitive=false synonyms={DEFAULT_CONFIG:message.max.bytes=1048588}";
    ensure!(all.contains(default), "no {default:?} in {all}");
    tools.produce("topic-configs", &["--reader-property", "parse.key=true"], &big)
}

fn bad_config(tools: &mut Tools) -> Result<()> {
    tools.create("bad-config", 1, &[])?;
    for bad in ["no.such.key=1", "retention.ms=soon", "cleanup.policy=keep", "max.message.bytes=-1"] {
        // The tool knows some of the rules and refuses before it asks the broker.
        let create = ["--create", "--topic", "not-created", "--config", bad];
        let (key, _) = bad.split_once('=').context("no value")?;
        tools.refused("TopicCommand", &create, key)?;
        let alter = ["--topic", "bad-config", "--alter", "--add-config", bad];
        tools.refused("ConfigCommand", &alter, "InvalidConfigurationException")?;
    }
    let topics = listed(tools)?;
    ensure!(!topics.iter().any(|topic| topic == "not-created"), "a bad config created a topic: {topics:?}");
    Ok(())
}

fn broker_configs(tools: &mut Tools) -> Result<()> {
    let all = configs(tools, &["--broker", "1"], &["--describe", "--all"])?;
    for expected in [
        "node.id=1 sensitive=false synonyms={STATIC_BROKER_CONFIG:node.id=1}",
        "broker.id=1 sensitive=false synonyms={STATIC_BROKER_CONFIG:broker.id=1",
        "num.partitions=12 sensitive=false synonyms={STATIC_BROKER_CONFIG:num.partitions=12, DEFAULT_CONFIG:num.partitions=1}",
    ] {
        ensure!(all.contains(expected), "no {expected:?} in {all}");
    }
    for resource in [&["--broker", "1"][..], &["--broker-defaults"]] {
        configs(tools, resource, &["--alter", "--add-config", "log.retention.ms=7200000"])?;
        expect_config(tools, resource, "log.retention.ms=7200000", true)?;
        configs(tools, resource, &["--alter", "--delete-config", "log.retention.ms"])?;
        expect_config(tools, resource, "log.retention.ms=7200000", false)?;
    }
    let read_only = ["--broker", "1", "--alter", "--add-config", "log.dirs=/elsewhere"];
    tools.refused("ConfigCommand", &read_only, "InvalidRequestException")
}

fn delete_before(tools: &mut Tools, topic: &str, offset: i64) -> Result<String> {
    let file = tempfile::NamedTempFile::new().context("cannot create a temporary file")?;
    let json =
        format!(r#"{{"version":1,"partitions":[{{"topic":"{topic}","partition":0,"offset":{offset}}}]}}"#);
    fs::write(file.path(), json).context("cannot write the offsets to delete")?;
    tools.text("DeleteRecordsCommand", &["--offset-json-file", &file.path().display().to_string()])
}

fn delete_records(tools: &mut Tools) -> Result<()> {
    let topic = "delete-records";
    tools.create(topic, 1, &[])?;
    tools.produce(topic, &[], &lines(100))?;
    let told = delete_before(tools, topic, 40)?;
    ensure!(told.contains("low_watermark: 40"), "told: {told}");
    tools.expect_bounds(topic, 0, 40, 100)?;
    let left = tools.consume(topic, 0, "earliest", 60, &[])?;
    ensure!(left == lines(100).lines().skip(40).collect::<Vec<_>>(), "left: {left:?}");
    let told = delete_before(tools, topic, 101)?;
    ensure!(told.contains("OffsetOutOfRangeException"), "told: {told}");
    delete_before(tools, topic, -1)?;
    tools.expect_bounds(topic, 0, 100, 100)
}

/// The text between `before` and the next quotation mark or comma.
fn field<'a>(text: &'a str, before: &str) -> Result<&'a str> {
    let (_, rest) = text.split_once(before).with_context(|| format!("no {before:?} in {text}"))?;
    Ok(rest.split(['"', ',', '}']).next().unwrap_or_default())
}

fn log_dirs(tools: &mut Tools) -> Result<()> {
    tools.create("log-dirs", 1, &[])?;
    tools.produce("log-dirs", &[], &lines(500))?;
    let told = tools.text("LogDirsCommand", &["--describe", "--topic-list", "log-dirs"])?;
    ensure!(told.contains(r#""error":null"#), "told: {told}");
    let (_, partition) = told.split_once(r#"{"partition":"log-dirs-0","#).with_context(|| told.clone())?;
    let size: u64 = field(partition, r#""size":"#)?.parse().with_context(|| told.clone())?;
    ensure!(size > 10_000, "{size} bytes: {told}");
    Ok(())
}

fn dump_log(tools: &mut Tools) -> Result<()> {
    tools.create("dump-log", 1, &[])?;
    tools.produce("dump-log", &["--compression-codec", "zstd"], &lines(500))?;
    let told = tools.text("LogDirsCommand", &["--describe", "--topic-list", "dump-log"])?;
    let folder = Path::new(field(&told, r#""logDir":""#)?).join("dump-log-0");
    let segment = folder.join("00000000000000000000.log").display().to_string();
    // This tool reads files and asks no broker.
    let arguments = ["--files", &segment, "--deep-iteration", "--print-data-log"];
    let running = tools.host.begin("org.apache.kafka.tools.DumpLogSegments", &arguments, b"")?;
    let printed = tools.host.end(&running)?.ok().context("kafka-dump-log")?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    let payloads =
        printed.lines().filter_map(|line| line.split_once(" payload: ")).map(|(_, payload)| payload);
    ensure!(payloads.eq(lines(500).lines()), "the dump has other records: {printed:.2000}");
    ensure!(printed.contains("compresscodec: zstd") && printed.contains("isvalid: true"), "{printed:.2000}");
    ensure!(!printed.contains("isvalid: false"), "{printed:.2000}");
    Ok(())
}

fn describe_producers(tools: &mut Tools) -> Result<()> {
    let topic = "describe-producers";
    tools.create(topic, 1, &[])?;
    tools.produce(topic, &[], &lines(50))?;
    let bootstrap = tools.target.bootstrap.clone();
    let arguments =
        ["--bootstrap-server", &bootstrap, "describe-producers", "--topic", topic, "--partition", "0"];
    let running = tools.host.begin("org.apache.kafka.tools.TransactionsCommand", &arguments, b"")?;
    let printed = tools.host.end(&running)?.ok().context("kafka-transactions describe-producers")?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    // ProducerId, ProducerEpoch, LatestCoordinatorEpoch, LastSequence, LastTimestamp, CurrentTransactionStartOffset
    let row: Vec<_> = printed.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    ensure!(
        matches!(row[..], [_, "0", "-1", "49", _, "None"]),
        "epoch, coordinator epoch, last sequence and transaction are not 0, -1, 49, None in: {printed}"
    );
    Ok(())
}

/// Everything the tools show of the topics of this scenario.
fn state(tools: &mut Tools) -> Result<Vec<String>> {
    let mut seen: Vec<String> =
        listed(tools)?.into_iter().filter(|topic| topic.starts_with("restart-")).collect();
    for topic in seen.clone() {
        let described = describe(tools, &topic)?;
        // In a cluster others lead meanwhile, and the ISR is told in the order in which replicas came.
        let is_alone = tools.target.brokers == 1;
        let lasting = |line: &str| match line.split_once("\tLeader:") {
            Some((before, _)) if !is_alone => before.to_owned(),
            _ => line.to_owned(),
        };
        seen.extend(described.lines().map(lasting));
        seen.push(configs(tools, &["--topic", &topic], &["--describe"])?);
    }
    let printing = ["print.offset=true", "print.timestamp=true"]
        .map(|property| ["--formatter-property", property])
        .concat();
    seen.extend(tools.consume("restart-codecs", 0, "earliest", 1500, &printing)?);
    seen.extend(tools.consume("restart-trimmed", 0, "earliest", 30, &printing)?);
    Ok(seen)
}

fn before_restart(tools: &mut Tools) -> Result<()> {
    tools.create("restart-codecs", 1, &[])?;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        tools.produce("restart-codecs", &["--compression-codec", codec], &lines(300))?;
    }
    tools.create("restart-trimmed", 1, &["retention.ms=12345678"])?;
    tools.produce("restart-trimmed", &[], &lines(50))?;
    delete_before(tools, "restart-trimmed", 20)?;
    tools.create("restart-deleted", 1, &[])?;
    tools.text("TopicCommand", &["--delete", "--topic", "restart-deleted"])?;
    tools.create("restart-empty", 3, &[])?;
    tools.expect_bounds("restart-trimmed", 0, 20, 50)?;
    tools.before_restart = state(tools)?;
    Ok(())
}

fn after_restart(tools: &mut Tools) -> Result<()> {
    let before = std::mem::take(&mut tools.before_restart);
    let mut after = state(tools)?;
    // A broker that has just started shows its partitions without leaders for a moment.
    eventually(SOON, || {
        after = state(tools)?;
        Ok((after == before).then_some(()))
    })?;
    let changed: Vec<_> =
        before.iter().zip(&after).filter(|(before, after)| before != after).take(3).collect();
    ensure!(before == after, "{} lines were {}; changed: {changed:?}", after.len(), before.len());
    tools.expect_bounds("restart-trimmed", 0, 20, 50)?;
    tools.produce("restart-trimmed", &[], "after\n")?;
    let next = tools.consume("restart-trimmed", 0, "50", 1, &[])?;
    ensure!(next == ["after"], "the next record is {next:?}");
    Ok(())
}
