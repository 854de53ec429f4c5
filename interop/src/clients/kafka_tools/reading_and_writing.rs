//! Console producer and consumer, and what `kafka-get-offsets` says of their records.

use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};

use super::{SOON, Tools};
use crate::{broker::NUM_PARTITIONS, command::eventually};

/// Runs the scenario if it is one of these.
pub(super) fn run(tools: &mut Tools, scenario: &str) -> Option<Result<()>> {
    Some(match scenario {
        "round-trip" => round_trip(tools),
        "codec-none" => codec(tools, "none"),
        "codec-gzip" => codec(tools, "gzip"),
        "codec-snappy" => codec(tools, "snappy"),
        "codec-lz4" => codec(tools, "lz4"),
        "codec-zstd" => codec(tools, "zstd"),
        "recompress" => recompress(tools),
        "headers" => headers(tools),
        "value-sizes" => value_sizes(tools),
        "timestamps" => timestamps(tools, "timestamps", "CreateTime"),
        "log-append-time" => timestamps(tools, "log-append-time", "LogAppendTime"),
        "idempotent" => with_setting(tools, "idempotent", &["--command-property", "enable.idempotence=true"]),
        "acks-0" => with_setting(tools, "acks-0", &["--request-required-acks", "0"]),
        "acks-1" => with_setting(tools, "acks-1", &["--request-required-acks", "1"]),
        "acks-all" => with_setting(tools, "acks-all", &["--request-required-acks", "all"]),
        "bulk" => bulk(tools),
        "long-poll" => long_poll(tools),
        "fetch-from-offset" => fetch_from_offset(tools),
        "offset-bounds" => offset_bounds(tools),
        "offset-by-timestamp" => offset_by_timestamp(tools),
        "offset-max-timestamp" => offset_max_timestamp(tools),
        "offset-specials" => offset_specials(tools),
        "auto-create" => auto_create(tools),
        "record-too-large" => record_too_large(tools),
        "keyless-compacted" => keyless_compacted(tools),
        "performance" => performance(tools),
        "over-restart:before" => before_over_restart(tools),
        "over-restart:after" => after_over_restart(tools),
        _ => return None,
    })
}

pub(super) fn lines(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, i| {
        let _ = writeln!(text, "line {i} {}", "abcdefgh".repeat(i % 20));
        text
    })
}

/// Partition 0 holds exactly these lines.
fn expect_lines(tools: &mut Tools, topic: &str, expected: &str) -> Result<()> {
    let expected: Vec<_> = expected.lines().collect();
    tools.expect_bounds(topic, 0, 0, expected.len() as u64)?;
    let read = tools.consume(topic, 0, "earliest", expected.len(), &[])?;
    match read.iter().zip(&expected).find(|(read, written)| read != *written) {
        Some((read, written)) => Err(anyhow::anyhow!("{written:?} came back as {read:?}")),
        None => Ok(()),
    }
}

fn round_trip(tools: &mut Tools) -> Result<()> {
    tools.create("round-trip", 1, &[])?;
    let input = "key\tvalue\nNULL\tnull key\nnull value\tNULL\nempty value\t\n\tempty key\nü\t漢字\n";
    let reading =
        ["parse.key=true", "null.marker=NULL"].map(|property| ["--reader-property", property]).concat();
    tools.produce("round-trip", &reading, input)?;
    let printing = ["print.key=true", "print.offset=true", "print.partition=true", "null.literal=NULL"]
        .map(|property| ["--formatter-property", property])
        .concat();
    let count = input.lines().count();
    let read = tools.consume("round-trip", 0, "earliest", count, &printing)?;
    for (offset, (read, written)) in read.iter().zip(input.lines()).enumerate() {
        let expected = format!("Partition:0\tOffset:{offset}\t{written}");
        ensure!(*read == expected, "{expected:?} came back as {read:?}");
    }
    tools.expect_bounds("round-trip", 0, 0, count as u64)
}

fn codec(tools: &mut Tools, codec: &str) -> Result<()> {
    let topic = format!("codec-{codec}");
    let input = lines(3000);
    tools.create(&topic, 1, &[])?;
    tools.produce(&topic, &["--compression-codec", codec], &input)?;
    expect_lines(tools, &topic, &input)
}

fn recompress(tools: &mut Tools) -> Result<()> {
    let input = lines(200);
    for stored in ["uncompressed", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("recompress-{stored}");
        tools.create(&topic, 1, &[&format!("compression.type={stored}")])?;
        tools.produce(&topic, &["--compression-codec", "none"], &input)?;
        tools.produce(&topic, &["--compression-codec", "gzip"], &input)?;
        expect_lines(tools, &topic, &(input.clone() + &input))?;
    }
    Ok(())
}

fn headers(tools: &mut Tools) -> Result<()> {
    tools.create("headers", 1, &[])?;
    let input = "a:1,b:,a:2,c:NULL,a:1\tvalue\n";
    let reading =
        ["parse.headers=true", "null.marker=NULL"].map(|property| ["--reader-property", property]).concat();
    tools.produce("headers", &reading, input)?;
    let printing = ["print.headers=true", "null.literal=NULL"]
        .map(|property| ["--formatter-property", property])
        .concat();
    let read = tools.consume("headers", 0, "earliest", 1, &printing)?;
    ensure!(read == [input.trim_end()], "came back as {read:?}");
    Ok(())
}

fn value_sizes(tools: &mut Tools) -> Result<()> {
    tools.create("value-sizes", 1, &["max.message.bytes=11000000"])?;
    let values: Vec<String> = [1_u32, 100, 10_000, 1_000_000, 1_048_588, 10_000_000]
        .map(|size| {
            (0..size).map(|i| char::from(b'a' + (i.wrapping_mul(2_654_435_761) >> 24) as u8 % 26)).collect()
        })
        .into();
    let input: String = values.iter().map(|value| format!("{value}\n")).collect();
    let settings = ["max.request.size=11000000", "buffer.memory=64000000"]
        .map(|property| ["--command-property", property])
        .concat();
    tools.produce("value-sizes", &settings, &input)?;
    let read = tools.consume("value-sizes", 0, "earliest", values.len(), &[])?;
    for (read, written) in read.iter().zip(&values) {
        ensure!(read == written, "{} characters came back as {}, or others", written.len(), read.len());
    }
    Ok(())
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Timestamps of the records from the earliest on, which must be of the type `kind`.
fn times(tools: &mut Tools, topic: &str, kind: &str, count: usize) -> Result<Vec<u64>> {
    let printing = ["--formatter-property", "print.timestamp=true"];
    let read = tools.consume(topic, 0, "earliest", count, &printing)?;
    let time = |line: &String| {
        let time = line.split('\t').next().and_then(|field| field.strip_prefix(&format!("{kind}:")));
        time.and_then(|time| time.parse().ok()).with_context(|| format!("no {kind} in {line:?}"))
    };
    read.iter().map(time).collect()
}

fn timestamps(tools: &mut Tools, topic: &str, kind: &str) -> Result<()> {
    tools.create(topic, 1, &[&format!("message.timestamp.type={kind}")])?;
    let before = now_ms();
    tools.produce(topic, &["--compression-codec", "gzip"], "first\nsecond\n")?;
    let after = now_ms();
    let times = times(tools, topic, kind, 2)?;
    ensure!(times.iter().all(|time| (before..=after).contains(time)), "{times:?} not in {before}..={after}");
    Ok(())
}

fn with_setting(tools: &mut Tools, topic: &str, setting: &[&str]) -> Result<()> {
    let input = lines(2000);
    tools.create(topic, 1, &[])?;
    tools.produce(topic, setting, &input)?;
    if topic != "acks-all" {
        // Reading waits for the records, of which nobody was told when they were written, or on all replicas.
        tools.consume(topic, 0, "earliest", 2000, &[])?;
    }
    expect_lines(tools, topic, &input)
}

fn bulk(tools: &mut Tools) -> Result<()> {
    const COUNT: usize = 100_000;
    tools.create("bulk", 12, &[])?;
    let input = (0..COUNT).fold(String::new(), |mut text, i| {
        let _ = writeln!(text, "{}\t{i}", i % 1013);
        text
    });
    tools.produce("bulk", &["--reader-property", "parse.key=true"], &input)?;
    let mut seen = vec![false; COUNT];
    for partition in 0..12 {
        let end = tools.offset("bulk", partition, "latest")?.context("no end offset")?;
        let printing = ["--formatter-property", "print.offset=true"];
        let read = tools.consume("bulk", partition, "earliest", usize::try_from(end)?, &printing)?;
        let mut last = None;
        for (offset, line) in read.iter().enumerate() {
            let number =
                line.strip_prefix(&format!("Offset:{offset}\t")).and_then(|number| number.parse().ok());
            ensure!(last < number, "partition {partition}, offset {offset}: {line:?} after {last:?}");
            let number: usize = number.with_context(|| format!("partition {partition}: {line:?}"))?;
            let first_time = seen.get_mut(number).is_some_and(|seen| !std::mem::replace(seen, true));
            ensure!(first_time, "{number} came back twice, or was never written");
            last = Some(number);
        }
    }
    let missing = seen.iter().filter(|seen| !**seen).count();
    ensure!(missing == 0, "{missing} of {COUNT} records did not come back");
    Ok(())
}

fn long_poll(tools: &mut Tools) -> Result<()> {
    tools.create("long-poll", 1, &[])?;
    tools.produce("long-poll", &[], "first\n")?;
    // A wait far beyond the time the record takes: only an answer at its arrival is in time.
    let place = ["--topic", "long-poll", "--partition", "0", "--offset", "0", "--max-messages", "2"];
    let wait = ["--command-property", "fetch.max.wait.ms=20000"];
    let waiting = tools.begin("consumer.ConsoleConsumer", &[&place[..], &wait].concat(), b"")?;
    tools.host.wait_for_output(&waiting, "first\n")?;
    tools.produce("long-poll", &[], "second\n")?;
    let before = now_ms();
    tools.host.wait_for_output(&waiting, "first\nsecond\n")?;
    let late = now_ms() - before;
    // Its end is not waited for: by then it has sent another fetch, and its close comes after the answer to that.
    ensure!(late < 10_000, "the record arrives {late} ms after it was produced");
    Ok(())
}

fn fetch_from_offset(tools: &mut Tools) -> Result<()> {
    let input = lines(100);
    tools.create("fetch-from-offset", 1, &[])?;
    tools.produce("fetch-from-offset", &["--compression-codec", "lz4"], &input)?;
    let read = tools.consume("fetch-from-offset", 0, "57", 43, &[])?;
    ensure!(read == input.lines().skip(57).collect::<Vec<_>>(), "from 57: {read:?}");
    Ok(())
}

fn offset_bounds(tools: &mut Tools) -> Result<()> {
    tools.create("offset-bounds", 1, &[])?;
    tools.expect_bounds("offset-bounds", 0, 0, 0)?;
    tools.produce("offset-bounds", &[], &lines(250))?;
    tools.expect_bounds("offset-bounds", 0, 0, 250)
}

/// Three records from three producers, and their times.
fn three_times(tools: &mut Tools, topic: &str) -> Result<Vec<u64>> {
    tools.create(topic, 1, &[])?;
    for line in ["first\n", "second\n", "third\n"] {
        tools.produce(topic, &[], line)?;
    }
    times(tools, topic, "CreateTime", 3)
}

fn offset_by_timestamp(tools: &mut Tools) -> Result<()> {
    let topic = "offset-by-timestamp";
    let times = three_times(tools, topic)?;
    for time in &times {
        let expected = times.iter().position(|other| other >= time).map(|offset| offset as u64);
        let found = tools.offset(topic, 0, &time.to_string())?;
        ensure!(found == expected, "{time} finds {found:?} among {times:?}");
    }
    let after = times.iter().max().context("no times")? + 1;
    let found = tools.offset(topic, 0, &after.to_string())?;
    ensure!(found.is_none(), "a time after the last record finds {found:?}");
    Ok(())
}

fn offset_max_timestamp(tools: &mut Tools) -> Result<()> {
    let topic = "offset-max-timestamp";
    let times = three_times(tools, topic)?;
    let max = times.iter().max().context("no times")?;
    let expected = times.iter().position(|time| time == max).map(|offset| offset as u64);
    let found = tools.offset(topic, 0, "max-timestamp")?;
    ensure!(found == expected, "max-timestamp finds {found:?} among {times:?}");
    Ok(())
}

fn offset_specials(tools: &mut Tools) -> Result<()> {
    let topic = "offset-specials";
    tools.create(topic, 1, &[])?;
    tools.produce(topic, &[], &lines(10))?;
    let expected = [("earliest-local", Some(0)), ("latest-tiered", None), ("earliest-pending-upload", None)];
    for (time, expected) in expected {
        let found = tools.offset(topic, 0, time)?;
        ensure!(found == expected, "{time} finds {found:?}");
    }
    Ok(())
}

fn auto_create(tools: &mut Tools) -> Result<()> {
    tools.produce("auto-create", &[], "value\n")?;
    let told = tools.text("TopicCommand", &["--describe", "--topic", "auto-create"])?;
    ensure!(told.contains(&format!("PartitionCount: {NUM_PARTITIONS}")), "described as {told}");
    Ok(())
}

fn record_too_large(tools: &mut Tools) -> Result<()> {
    let topic = "record-too-large";
    tools.create(topic, 1, &["max.message.bytes=2000"])?;
    let big = format!("{}\n", "x".repeat(3000));
    let told = tools.tool("ConsoleProducer", &["--topic", topic, "--sync"], big.as_bytes())?.refused()?;
    ensure!(told.contains("RecordTooLargeException"), "told: {told}");
    tools.produce(topic, &[], "small\n")?;
    expect_lines(tools, topic, "small\n")
}

fn keyless_compacted(tools: &mut Tools) -> Result<()> {
    let topic = "keyless-compacted";
    tools.create(topic, 1, &["cleanup.policy=compact"])?;
    let told = tools.tool("ConsoleProducer", &["--topic", topic, "--sync"], b"no key\n")?.refused()?;
    ensure!(told.contains("InvalidRecordException"), "told: {told}");
    tools.produce(topic, &["--reader-property", "parse.key=true"], "key\tvalue\n")?;
    expect_lines(tools, topic, "value\n")
}

fn performance(tools: &mut Tools) -> Result<()> {
    tools.create("performance", 3, &[])?;
    let load = ["--num-records", "60000", "--record-size", "500", "--throughput", "-1"];
    let more = ["--topic", "performance", "--command-property", "compression.type=lz4"];
    let told = tools.text("ProducerPerformance", &[&load[..], &more].concat())?;
    ensure!(told.contains("60000 records sent"), "told: {told}");
    let mut written = 0;
    for partition in 0..3 {
        written += tools.offset("performance", partition, "latest")?.context("no end offset")?;
    }
    ensure!(written == 60_000, "{written} of 60000 records are in the log");
    Ok(())
}

/// How many records the load generator writes while the broker is restarted.
const OVER_RESTART: u64 = 4000;

fn before_over_restart(tools: &mut Tools) -> Result<()> {
    tools.create("over-restart", 1, &[])?;
    let count = OVER_RESTART.to_string();
    let load = ["--num-records", &count, "--record-size", "100", "--throughput", "1000"];
    tools.over_restart =
        Some(tools.begin("ProducerPerformance", &[&load[..], &["--topic", "over-restart"]].concat(), b"")?);
    let going = eventually(SOON, || {
        let end = tools.offset("over-restart", 0, "latest")?;
        Ok((end > Some(100)).then_some(()))
    })?;
    going.context("the producer does not get going")
}

fn after_over_restart(tools: &mut Tools) -> Result<()> {
    let running = tools.over_restart.take().context("no producer is running")?;
    let printed = tools.host.end(&running)?.ok().context("the producer that was running")?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    ensure!(printed.contains(&format!("{OVER_RESTART} records sent")), "told: {printed}");
    tools.expect_bounds("over-restart", 0, 0, OVER_RESTART)
}
