//! kcat (librdkafka's command line), as the distribution packages it. A program of its own for each step, so its
//! scenarios are here.
//!
//! It cannot administer: its topics come into being by auto creation, with `num.partitions` partitions, and it writes to
//! partition 0 where the order over the whole topic matters.

mod groups;

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

use crate::{
    broker::{NUM_PARTITIONS, Target},
    clients::{Client, Presence},
    command::{Exchange, Owned, eventually, exchange, is_present, open_log, run},
    scenario::Outcome,
    workshop::Workshop,
};

/// The longest that one kcat may take.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Kcat {
    target: Target,
    program: String,
    /// The record timestamps and offsets that the scenario `restart` must find again.
    before_restart: Vec<Record>,
}

impl Client for Kcat {
    fn name(&self) -> &'static str {
        "kcat"
    }

    fn install(&mut self, workshop: &Workshop) -> Result<Presence> {
        self.program = "kcat".to_owned();
        if is_present("kcat") {
            return Ok(Presence::Ready);
        }
        if !is_present("apt-get") {
            return Ok(Presence::Missing(
                "no `kcat` on this machine and no apt-get to install it".to_owned(),
            ));
        }
        if rustix::process::geteuid().is_root() {
            run(Command::new("apt-get").args(["update", "-qq"]))?;
            run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args([
                "install",
                "-y",
                "-qq",
                "--no-install-recommends",
                "kcat",
            ]))?;
            return Ok(Presence::Ready);
        }
        let folder = workshop.installed(self.name(), "kcat and its libraries\n", unpack)?;
        let wrapper = folder.join("kcat");
        self.program = wrapper.to_str().context("the project's path is not UTF-8")?.to_owned();
        Ok(Presence::Ready)
    }

    fn start(&mut self, target: &Target, _logs: &Path) -> Result<()> {
        self.target = target.clone();
        Ok(())
    }

    fn run(&mut self, scenario: &str) -> Result<Outcome> {
        match scenario {
            "round-trip" => self.round_trip(),
            "codec-none" => self.codec("none"),
            "codec-gzip" => self.codec("gzip"),
            "codec-snappy" => self.codec("snappy"),
            "codec-lz4" => self.codec("lz4"),
            "codec-zstd" => self.codec("zstd"),
            "headers" => self.headers(),
            "value-sizes" => self.value_sizes(),
            "timestamps" => self.timestamps(),
            "idempotent" => self.with_setting("idempotent", "enable.idempotence=true"),
            "acks-0" => self.with_setting("acks-0", "topic.request.required.acks=0"),
            "acks-1" => self.with_setting("acks-1", "topic.request.required.acks=1"),
            "acks-all" => self.with_setting("acks-all", "topic.request.required.acks=-1"),
            "bulk" => self.bulk(),
            "long-poll" => self.long_poll(),
            "fetch-from-offset" => self.fetch_from_offset(),
            "offset-out-of-range" => self.offset_out_of_range(),
            "offset-bounds" => self.offset_bounds(),
            "offset-by-timestamp" => self.offset_by_timestamp(),
            "auto-create" => self.auto_create(),
            "unknown-topic" => self.unknown_topic(),
            "record-too-large" => self.record_too_large(),
            "cluster" => self.cluster(),
            "group-two-members" => self.group_two_members(),
            "group-member-killed" => self.group_member_killed(),
            "group-resume" => self.group_resume(),
            "restart:before" => self.before_restart(),
            "restart:after" => self.after_restart(),
            _ => return Ok(Outcome::NotOffered),
        }
        .map(|()| Outcome::Passed)
    }

    fn stop(&mut self) {}
}

/// Without root: the package and the libraries it needs beyond the base system, unpacked, behind a small wrapper.
fn unpack(folder: &Path) -> Result<()> {
    run(Command::new("apt-get").current_dir(folder).args(["download", "-qq"]).args(missing_packages()?))?;
    for entry in fs::read_dir(folder).context("cannot list the downloaded packages")? {
        let package = entry.context("cannot list the downloaded packages")?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(folder.join("root")))?;
        }
    }
    let root = folder.join("root");
    let libraries =
        ["x86_64", "aarch64"].map(|cpu| format!("{}/usr/lib/{cpu}-linux-gnu", root.display())).join(":");
    let script =
        format!("#!/bin/sh\nLD_LIBRARY_PATH='{libraries}' exec '{}/usr/bin/kcat' \"$@\"\n", root.display());
    let wrapper = folder.join("kcat");
    fs::write(&wrapper, script).context("cannot write kcat's wrapper")?;
    run(Command::new("chmod").arg("+x").arg(&wrapper)).map(|_| ())
}

/// The package and everything it depends on, without what is installed.
fn missing_packages() -> Result<Vec<String>> {
    let only = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"];
    let closure = run(Command::new("apt-cache")
        .args(["depends", "--recurse"])
        .args(only.map(|kind| format!("--no-{kind}")))
        .arg("kcat"))?;
    let states =
        run(Command::new("dpkg-query").args(["--show", "--showformat=${db:Status-Abbrev}${Package}\\n"]))?;
    let installed: HashSet<_> = states.lines().filter_map(|line| line.strip_prefix("ii ")).collect();
    // Indented lines are the relations themselves, and names in angle brackets are virtual.
    let names = closure.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_alphanumeric()));
    Ok(names.filter(|name| !installed.contains(name)).map(str::to_owned).collect())
}

/// A record as kcat prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    partition: usize,
    offset: usize,
    timestamp_ms: u64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// Lengths first (-1 is null), so that any byte may stand in keys and values.
const FORMAT: &str = "%p %o %T %K %S:%k%s";

fn parse_records(mut printed: &[u8]) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    while !printed.is_empty() {
        let colon = printed.iter().position(|byte| *byte == b':').context("a record without its lengths")?;
        let (head, rest) = (&printed[..colon], &printed[colon + 1..]);
        let fields: Vec<i64> = String::from_utf8_lossy(head)
            .split(' ')
            .map(|field| field.parse().with_context(|| format!("{field:?} is no number")))
            .collect::<Result<_>>()?;
        let [partition, offset, timestamp, key, value] = fields[..] else {
            bail!("{fields:?} are not five fields")
        };
        let (key, rest) = take(rest, key)?;
        let (value, rest) = take(rest, value)?;
        records.push(Record {
            partition: usize::try_from(partition)?,
            offset: usize::try_from(offset)?,
            timestamp_ms: u64::try_from(timestamp)?,
            key,
            value,
        });
        printed = rest;
    }
    Ok(records)
}

fn take(from: &[u8], length: i64) -> Result<(Option<Vec<u8>>, &[u8])> {
    match usize::try_from(length) {
        Err(_) => Ok((None, from)),
        Ok(length) => {
            let (bytes, rest) = from.split_at_checked(length).context("the output ends within a record")?;
            Ok((Some(bytes.to_vec()), rest))
        }
    }
}

fn lines(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, i| {
        let _ = writeln!(text, "line {i} {}", "abcdefgh".repeat(i % 20));
        text
    })
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

impl Kcat {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        // Its default configuration file would be somebody else's.
        command.env("KCAT_CONFIG", "/dev/null").args(["-b", &self.target.bootstrap]).args(arguments);
        command
    }

    fn kcat(&self, arguments: &[&str], input: &[u8]) -> Result<Exchange> {
        exchange(&mut self.command(arguments), input, LIMIT)
    }

    /// Produces one record a line to partition 0.
    fn produce(&self, topic: &str, more: &[&str], input: &str) -> Result<()> {
        let arguments = [&["-P", "-t", topic, "-p", "0"], more].concat();
        self.kcat(&arguments, input.as_bytes())?.ok().map(|_| ()).context("kcat -P")
    }

    /// Reads the topic to its end.
    fn consume(&self, topic: &str, more: &[&str]) -> Result<Vec<Record>> {
        let arguments = [
            &[
                "-C",
                "-t",
                topic,
                "-e",
                "-q",
                "-f",
                FORMAT,
                "-X",
                "check.crcs=true",
                "-X",
                "fetch.wait.max.ms=20",
            ],
            more,
        ]
        .concat();
        parse_records(&self.kcat(&arguments, b"")?.ok().context("kcat -C")?)
    }

    /// Reads partition 0 from its beginning, and expects exactly these values, at offsets from 0.
    fn expect_lines(&self, topic: &str, expected: &str) -> Result<()> {
        let records = self.consume(topic, &["-p", "0", "-o", "beginning"])?;
        let expected: Vec<_> = expected.lines().collect();
        ensure!(records.len() == expected.len(), "{} of {} records came back", records.len(), expected.len());
        for (i, (record, line)) in records.iter().zip(expected).enumerate() {
            ensure!(record.offset == i, "record {i} has offset {}", record.offset);
            ensure!(
                record.value.as_deref() == Some(line.as_bytes()),
                "offset {i}: {line:?} came back as {record:?}"
            );
        }
        Ok(())
    }

    fn round_trip(&self) -> Result<()> {
        self.produce("round-trip", &["-K", "\t"], "key\tvalue\nno key\n\tempty key\nempty value\t\n")?;
        // With -Z empty means null, and a line without delimiter has no key either way.
        self.produce("round-trip", &["-K", "\t", "-Z"], "null value\t\n\tnull key\n\t\n")?;
        let bytes: Vec<u8> = (0..=255).collect();
        let folder = TempDir::new().context("cannot create a temporary folder")?;
        let file = folder.path().join("all-bytes");
        fs::write(&file, &bytes).context("cannot write a value")?;
        self.produce("round-trip", &["-k", "all bytes", &file.display().to_string()], "")?;
        let some = |text: &str| Some(text.as_bytes().to_vec());
        let expected = [
            (some("key"), some("value")),
            (None, some("no key")),
            (some(""), some("empty key")),
            (some("empty value"), some("")),
            (some("null value"), None),
            (None, some("null key")),
            (None, None),
            (some("all bytes"), Some(bytes)),
        ];
        let records = self.consume("round-trip", &["-p", "0", "-o", "beginning"])?;
        let read: Vec<_> = records.into_iter().map(|record| (record.key, record.value)).collect();
        ensure!(read == expected, "came back as {read:?}");
        Ok(())
    }

    fn codec(&self, codec: &str) -> Result<()> {
        let topic = format!("codec-{codec}");
        let input = lines(5000);
        self.produce(&topic, &["-z", codec], &input)?;
        self.expect_lines(&topic, &input)
    }

    fn with_setting(&self, topic: &str, setting: &str) -> Result<()> {
        let input = lines(2000);
        // The first line creates the topic. A producer that is not idempotent would repeat what comes before the partition
        // has a leader, out of order.
        let (first, rest) = input.split_once('\n').context("no lines")?;
        self.produce(topic, &[], &format!("{first}\n"))?;
        self.produce(topic, &["-X", setting], rest)?;
        if topic == "acks-0" {
            // Nobody was told when these were written.
            let written = eventually(LIMIT, || {
                let query = self.query(topic, -1)?;
                Ok((query == 2000).then_some(()))
            })?;
            ensure!(written.is_some(), "not all of 2000 records arrived");
        }
        self.expect_lines(topic, &input)
    }

    fn headers(&self) -> Result<()> {
        let headers = ["-H", "a=1", "-H", "b=", "-H", "a=2", "-H", "null", "-H", "a=1"];
        self.produce("headers", &headers, "value\n")?;
        let arguments = ["-C", "-t", "headers", "-p", "0", "-e", "-q", "-o", "beginning", "-f", "%h|%s\n"];
        let printed = self.kcat(&arguments, b"")?.ok()?;
        let printed = String::from_utf8_lossy(&printed).into_owned();
        ensure!(printed == "a=1,b=,a=2,null=NULL,a=1|value\n", "headers came back as {printed:?}");
        Ok(())
    }

    fn value_sizes(&self) -> Result<()> {
        let folder = TempDir::new().context("cannot create a temporary folder")?;
        let values: Vec<Vec<u8>> = [1, 100, 10_000, 100_000, 999_000]
            .map(|size| (0..size).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect())
            .into();
        let mut files = Vec::new();
        for value in &values {
            let file = folder.path().join(value.len().to_string());
            fs::write(&file, value).context("cannot write a value")?;
            files.push(file.display().to_string());
        }
        self.produce("value-sizes", &files.iter().map(String::as_str).collect::<Vec<_>>(), "")?;
        let records = self.consume("value-sizes", &["-p", "0", "-o", "beginning"])?;
        ensure!(records.len() == values.len(), "{} of {} records came back", records.len(), values.len());
        for (record, value) in records.iter().zip(&values) {
            ensure!(record.value.as_ref() == Some(value), "the value of {} bytes differs", value.len());
        }
        Ok(())
    }

    fn timestamps(&self) -> Result<()> {
        let before = now_ms();
        self.produce("timestamps", &[], "value\n")?;
        let after = now_ms();
        let records = self.consume("timestamps", &["-p", "0", "-o", "beginning"])?;
        let times: Vec<_> = records.iter().map(|record| record.timestamp_ms).collect();
        ensure!(
            matches!(times[..], [time] if (before..=after).contains(&time)),
            "{times:?} not in {before}..={after}"
        );
        Ok(())
    }

    fn bulk(&self) -> Result<()> {
        const COUNT: usize = 100_000;
        let input = (0..COUNT).fold(String::new(), |mut text, i| {
            let _ = writeln!(text, "{}\t{i}", i % 997);
            text
        });
        self.kcat(&["-P", "-t", "bulk", "-K", "\t"], input.as_bytes())?.ok().context("kcat -P")?;
        let records = self.consume("bulk", &["-o", "beginning"])?;
        ensure!(records.len() == COUNT, "{} of {COUNT} records came back", records.len());
        let mut next_offset = [0; NUM_PARTITIONS];
        let mut last_number = [None; NUM_PARTITIONS];
        let mut seen = vec![false; COUNT];
        for record in &records {
            let partition = record.partition;
            ensure!(partition < NUM_PARTITIONS, "a record in partition {partition}");
            ensure!(
                record.offset == next_offset[partition],
                "partition {partition} leaps to {}",
                record.offset
            );
            next_offset[partition] += 1;
            let text = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
            let number: usize = text.parse().with_context(|| format!("value {text:?}"))?;
            ensure!(last_number[partition] < Some(number), "partition {partition}: {number} is out of order");
            last_number[partition] = Some(number);
            let first_time = seen.get_mut(number).is_some_and(|seen| !std::mem::replace(seen, true));
            ensure!(first_time, "{number} came back twice, or was never written");
        }
        ensure!(next_offset.iter().all(|count| *count > 0), "partitions left out: {next_offset:?}");
        Ok(())
    }

    fn long_poll(&self) -> Result<()> {
        self.produce("long-poll", &[], "first\n")?;
        let folder = TempDir::new().context("cannot create a temporary folder")?;
        let log = folder.path().join("stderr");
        let mut command =
            self.command(&["-C", "-t", "long-poll", "-p", "0", "-o", "beginning", "-c", "2", "-u"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(open_log(&log)?);
        let mut waiting = Owned(command.spawn().context("cannot run kcat")?);
        let at_end = eventually(LIMIT, || {
            let told = fs::read_to_string(&log).unwrap_or_default();
            Ok(told.contains("Reached end of topic long-poll [0] at offset 1").then_some(()))
        })?;
        ensure!(at_end.is_some(), "kcat -C does not reach the end: {}", fs::read_to_string(&log)?);
        self.produce("long-poll", &[], "second\n")?;
        waiting.wait(LIMIT).context("the record produced later does not arrive")?;
        let mut printed = String::new();
        let stdout = waiting.0.stdout.as_mut().context("no standard output")?;
        std::io::Read::read_to_string(stdout, &mut printed).context("cannot read kcat's output")?;
        ensure!(printed == "first\nsecond\n", "came back as {printed:?}");
        Ok(())
    }

    fn fetch_from_offset(&self) -> Result<()> {
        self.produce("fetch-from-offset", &["-z", "gzip"], &lines(100))?;
        for (from, first) in [("37", 37), ("-5", 95)] {
            let records = self.consume("fetch-from-offset", &["-p", "0", "-o", from])?;
            let offsets: Vec<_> = records.iter().map(|record| record.offset).collect();
            ensure!(offsets == (first..100).collect::<Vec<_>>(), "-o {from} gives offsets {offsets:?}");
        }
        Ok(())
    }

    fn offset_out_of_range(&self) -> Result<()> {
        self.produce("offset-out-of-range", &[], "value\n")?;
        let arguments = ["-C", "-t", "offset-out-of-range", "-p", "0", "-o", "100", "-e"];
        let more = ["-X", "topic.auto.offset.reset=error"];
        let told = self.kcat(&[&arguments[..], &more].concat(), b"")?.refused()?;
        ensure!(told.contains("Offset out of range"), "told: {told}");
        Ok(())
    }

    /// The offset that ListOffsets has for a timestamp, or for one of its special values, in partition 0.
    fn query(&self, topic: &str, timestamp: i64) -> Result<usize> {
        let printed =
            self.kcat(&["-Q", "-t", &format!("{topic}:0:{timestamp}")], b"")?.ok().context("kcat -Q")?;
        let printed = String::from_utf8_lossy(&printed).into_owned();
        let offset = printed.trim().strip_prefix(&format!("{topic} [0] offset "));
        offset.and_then(|offset| offset.parse().ok()).with_context(|| format!("kcat -Q prints {printed:?}"))
    }

    fn offset_bounds(&self) -> Result<()> {
        self.produce("offset-bounds", &[], &lines(250))?;
        let bounds = (self.query("offset-bounds", -2)?, self.query("offset-bounds", -1)?);
        ensure!(bounds == (0, 250), "earliest and latest are {bounds:?}");
        Ok(())
    }

    fn offset_by_timestamp(&self) -> Result<()> {
        for line in ["first\n", "second\n", "third\n"] {
            self.produce("offset-by-timestamp", &[], line)?;
        }
        let records = self.consume("offset-by-timestamp", &["-p", "0", "-o", "beginning"])?;
        ensure!(records.len() == 3, "{} of 3 records came back", records.len());
        for record in &records {
            let first = records.iter().find(|other| other.timestamp_ms >= record.timestamp_ms);
            let expected = first.context("no such record")?.offset;
            let found = self.query("offset-by-timestamp", i64::try_from(record.timestamp_ms)?)?;
            ensure!(found == expected, "{} finds offset {found}, not {expected}", record.timestamp_ms);
        }
        let from = format!("s@{}", records[1].timestamp_ms);
        let read = self.consume("offset-by-timestamp", &["-p", "0", "-o", &from])?;
        ensure!(read == records[1..], "-o {from} gives {read:?}");
        Ok(())
    }

    fn metadata(&self, topic: Option<&str>) -> Result<String> {
        let topic: Vec<&str> = topic.map_or(vec![], |topic| vec!["-t", topic]);
        let printed = self.kcat(&[&["-L"], &topic[..]].concat(), b"")?.ok().context("kcat -L")?;
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }

    fn auto_create(&self) -> Result<()> {
        self.kcat(&["-P", "-t", "auto-create"], b"value\n")?.ok().context("kcat -P")?;
        let told = self.metadata(Some("auto-create"))?;
        ensure!(told.contains(&format!("\"auto-create\" with {NUM_PARTITIONS} partitions")), "told: {told}");
        let read = self.consume("auto-create", &["-o", "beginning"])?;
        ensure!(matches!(&read[..], [record] if record.value.as_deref() == Some(b"value")), "read {read:?}");
        Ok(())
    }

    fn unknown_topic(&self) -> Result<()> {
        let told = self.kcat(&["-C", "-t", "nowhere", "-p", "0", "-e"], b"")?.refused()?;
        ensure!(told.contains("Unknown topic or partition"), "told: {told}");
        let told = self.metadata(None)?;
        ensure!(!told.contains("\"nowhere\""), "the consumer created the topic: {told}");
        Ok(())
    }

    fn record_too_large(&self) -> Result<()> {
        let folder = TempDir::new().context("cannot create a temporary folder")?;
        let file = folder.path().join("value");
        fs::write(&file, vec![b'x'; 1_500_000]).context("cannot write a value")?;
        let file = file.display().to_string();
        let arguments = ["-P", "-t", "record-too-large", "-p", "0", "-X", "message.max.bytes=3000000", &file];
        let told = self.kcat(&arguments, b"")?.told();
        ensure!(told.contains("Message size too large"), "told: {told}");
        self.produce("record-too-large", &[], "small\n")?;
        self.expect_lines("record-too-large", "small\n")
    }

    fn cluster(&self) -> Result<()> {
        let told = self.metadata(None)?;
        let (brokers, first) =
            (format!(" {} brokers:", self.target.brokers), format!("broker 1 at {}", self.target.first()));
        ensure!(told.contains(&brokers) && told.contains(&first), "told: {told}");
        ensure!(told.matches(" (controller)").count() == 1, "told: {told}");
        Ok(())
    }

    fn before_restart(&mut self) -> Result<()> {
        self.produce("restart", &["-z", "lz4"], &lines(1000))?;
        self.before_restart = self.consume("restart", &["-o", "beginning"])?;
        ensure!(self.before_restart.len() == 1000, "{} of 1000 came back", self.before_restart.len());
        Ok(())
    }

    fn after_restart(&self) -> Result<()> {
        let read = self.consume("restart", &["-o", "beginning"])?;
        ensure!(read == self.before_restart, "other records came back: {} of {}", read.len(), 1000);
        self.produce("restart", &[], "after\n")?;
        self.expect_lines("restart", &(lines(1000) + "after\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_lengths_whatever_bytes_they_hold() {
        let records = parse_records(b"0 7 1000 2 3:k:v\n:1 8 1001 -1 0:2 9 1002 0 -1:").unwrap();
        let read: Vec<_> = records.iter().map(|record| (record.offset, &record.key, &record.value)).collect();
        let some = |bytes: &[u8]| Some(bytes.to_vec());
        assert_eq!(read, [(7, &some(b"k:"), &some(b"v\n:")), (8, &None, &some(b"")), (9, &some(b""), &None)]);
        assert!(parse_records(b"0 7 1000 2 30:kkv").is_err());
    }

    #[test]
    fn what_fails_is_told_with_the_program_that_failed() {
        let error = run(Command::new("false").arg("x")).unwrap_err().to_string();
        assert!(error.starts_with("`false x` ended with"), "{error}");
    }
}
