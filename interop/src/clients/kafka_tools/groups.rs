//! `kafka-consumer-groups`, with the console consumer and the consumer's load reader as members.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{SOON, Tools, files_on_disk::folder};
use crate::{command::eventually, tool_host::Running};

/// Runs the scenario if it is one of these.
pub(super) fn run(tools: &mut Tools, scenario: &str) -> Option<Result<()>> {
    Some(match scenario {
        "group-lag" => lag(tools),
        "group-members" => members(tools),
        "group-list" => list(tools),
        "group-records" => records(tools),
        "group-delete" => delete(tools),
        "group-delete-offsets" => delete_offsets(tools),
        "group-reset-offsets" => reset_offsets(tools),
        "group-reset-file" => reset_file(tools),
        "group-resume" => resume(tools),
        "consumer-performance" => consumer_performance(tools),
        _ => return None,
    })
}

/// `kafka-consumer-groups`, to its end.
fn groups(tools: &mut Tools, arguments: &[&str]) -> Result<String> {
    tools.text(TOOL, arguments)
}

const TOOL: &str = "consumer.group.ConsumerGroupCommand";

/// A topic of two partitions, with 60 records in the first and 40 in the second.
fn two_partitions(tools: &mut Tools, topic: &str) -> Result<()> {
    tools.create(topic, 2, &[])?;
    let line = |n: usize, partition: &str| format!("{partition}\tline {n}\n");
    // The default partitioner puts these keys into one partition each, whichever that is.
    let (first, second) = keys_of_two_partitions(tools, topic)?;
    let input: String = (0..60).map(|n| line(n, &first)).chain((0..40).map(|n| line(n, &second))).collect();
    tools.produce(topic, &["--reader-property", "parse.key=true"], &input)?;
    tools.expect_bounds(topic, 0, 0, 60)?;
    tools.expect_bounds(topic, 1, 0, 40)
}

/// A key that goes to partition 0 and one that goes to partition 1, tried on a topic of their own.
fn keys_of_two_partitions(tools: &mut Tools, topic: &str) -> Result<(String, String)> {
    if let Some(keys) = &tools.keys_of_two_partitions {
        return Ok(keys.clone());
    }
    let trial = format!("{topic}-keys");
    tools.create(&trial, 2, &[])?;
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let input: String = keys.iter().map(|key| format!("{key}\t{key}\n")).collect();
    tools.produce(&trial, &["--reader-property", "parse.key=true"], &input)?;
    let mut found = Vec::new();
    for partition in 0..2 {
        let count = tools.offset(&trial, partition, "latest")?.context("no end offset")?;
        ensure!(count > 0, "none of {keys:?} is in partition {partition}");
        let first = tools.consume(&trial, partition, "earliest", 1, &[])?.pop();
        found.push(first.context("no record")?);
    }
    let (second, first) = (found.pop().context("no key")?, found.pop().context("no key")?);
    tools.keys_of_two_partitions = Some((first.clone(), second.clone()));
    Ok((first, second))
}

/// The console consumer as the group's only member reads `count` records, commits and leaves.
fn consume_in_group(tools: &mut Tools, group: &str, topic: &str, count: usize) -> Result<Vec<String>> {
    let wanted = count.to_string();
    let arguments = [
        "--topic",
        topic,
        "--group",
        group,
        "--from-beginning",
        "--max-messages",
        &wanted,
        "--timeout-ms",
        "30000",
    ];
    let exchange = tools.tool("consumer.ConsoleConsumer", &arguments, b"")?;
    let told = exchange.stderr.clone();
    let printed = exchange.ok().context("console consumer")?;
    let lines: Vec<_> = String::from_utf8_lossy(&printed).lines().map(str::to_owned).collect();
    ensure!(lines.len() == count, "{} of {count} records came back: {told}", lines.len());
    Ok(lines)
}

/// The console consumer as a member that stays until [`leave`].
fn join(tools: &mut Tools, group: &str, topic: &str, count: usize) -> Result<Running> {
    let wanted = count.to_string();
    let arguments = ["--topic", topic, "--group", group, "--from-beginning", "--max-messages", &wanted];
    tools.begin("consumer.ConsoleConsumer", &arguments, b"")
}

/// Gives it what it still waits for, and waits for its end.
fn leave(tools: &mut Tools, running: &Running, topic: &str, more: usize) -> Result<()> {
    tools.produce(topic, &[], &"end\n".repeat(more))?;
    tools.host.end(running)?.ok().map(|_| ()).context("console consumer")
}

/// The rows of a table, each by its columns' names.
fn rows(told: &str, first: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = told.lines().skip_while(|line| !line.trim_start().starts_with(first));
    let names: Vec<_> = columns(lines.next().unwrap_or_default());
    let row = |line: &str| names.iter().cloned().zip(columns(line)).collect::<BTreeMap<_, _>>();
    lines.filter(|line| !line.trim().is_empty()).map(row).collect()
}

/// Columns are apart by blanks; what is in parentheses belongs to the column before it.
fn columns(line: &str) -> Vec<String> {
    line.split_whitespace().filter(|word| !word.starts_with('(')).map(str::to_owned).collect()
}

/// What is committed, by partition, as `--describe` tells.
fn described(tools: &mut Tools, group: &str) -> Result<BTreeMap<String, (String, String, String)>> {
    let told = groups(tools, &["--describe", "--group", group])?;
    let cell = |row: &BTreeMap<String, String>, name: &str| row.get(name).cloned().unwrap_or_default();
    let entry = |row: BTreeMap<String, String>| {
        let place = (cell(&row, "CURRENT-OFFSET"), cell(&row, "LOG-END-OFFSET"), cell(&row, "LAG"));
        (cell(&row, "PARTITION"), place)
    };
    Ok(rows(&told, "GROUP").into_iter().map(entry).collect())
}

/// Offset, end and lag of the partitions 0 and 1.
fn expect(tools: &mut Tools, group: &str, expected: [(&str, &str, &str); 2]) -> Result<()> {
    let found = described(tools, group)?;
    let owned = |(offset, end, lag): (&str, &str, &str)| (offset.to_owned(), end.to_owned(), lag.to_owned());
    for (partition, expected) in ["0", "1"].iter().zip(expected.map(owned)) {
        let seen = found.get(*partition);
        ensure!(seen == Some(&expected), "{group}, partition {partition}: {seen:?}, not {expected:?}");
    }
    Ok(())
}

fn lag(tools: &mut Tools) -> Result<()> {
    let name = "group-lag";
    two_partitions(tools, name)?;
    consume_in_group(tools, name, name, 100)?;
    expect(tools, name, [("60", "60", "0"), ("40", "40", "0")])?;
    let (first, _) = keys_of_two_partitions(tools, name)?;
    let more = format!("{first}\tmore\n").repeat(25);
    tools.produce(name, &["--reader-property", "parse.key=true"], &more)?;
    expect(tools, name, [("60", "85", "25"), ("40", "40", "0")])?;
    let verbose = groups(tools, &["--describe", "--group", name, "--offsets", "--verbose"])?;
    let epochs = |row: &BTreeMap<String, String>| {
        row.get("LEADER-EPOCH").is_some_and(|epoch| epoch == "0") && row["GROUP"] == name
    };
    ensure!(rows(&verbose, "GROUP").iter().filter(|row| epochs(row)).count() == 2, "verbose: {verbose}");
    let all = groups(tools, &["--describe", "--all-groups", "--state", "--verbose"])?;
    let row = rows(&all, "GROUP").into_iter().find(|row| row.get("GROUP").is_some_and(|group| group == name));
    ensure!(row.is_some_and(|row| row.values().any(|cell| cell == "Empty")), "all groups: {all}");
    Ok(())
}

fn members(tools: &mut Tools) -> Result<()> {
    let name = "group-members";
    two_partitions(tools, name)?;
    let running = join(tools, name, name, 101)?;
    let mut told = String::new();
    let stable = eventually(SOON, || {
        told = groups(tools, &["--describe", "--group", name, "--state"])?;
        let row = rows(&told, "GROUP").pop().unwrap_or_default();
        let is = |column: &str, value: &str| row.get(column).is_some_and(|seen| seen == value);
        Ok((is("STATE", "Stable") && is("#MEMBERS", "1") && is("ASSIGNMENT-STRATEGY", "range")).then_some(()))
    })?;
    stable.with_context(|| format!("not stable with one member: {told}"))?;
    let told = groups(tools, &["--describe", "--group", name, "--members", "--verbose"])?;
    let row = rows(&told, "GROUP").pop().with_context(|| told.clone())?;
    let cell = |name: &str| row.get(name).map(String::as_str).unwrap_or_default();
    ensure!(cell("#PARTITIONS") == "2" && cell("HOST").contains("127.0.0.1"), "members: {told}");
    ensure!(
        told.contains(&format!("{name}(0,1)")) || told.contains(&format!("{name}:0,1")),
        "assignment: {told}"
    );
    let all = groups(tools, &["--describe", "--group", name])?;
    ensure!(
        rows(&all, "GROUP").iter().all(|row| row.get("CONSUMER-ID").is_some_and(|id| id != "-")),
        "{all}"
    );
    leave(tools, &running, name, 1)?;
    let told = groups(tools, &["--describe", "--group", name, "--state"])?;
    ensure!(told.contains("Empty"), "after its end: {told}");
    Ok(())
}

fn records(tools: &mut Tools) -> Result<()> {
    let name = "group-records";
    two_partitions(tools, name)?;
    consume_in_group(tools, name, name, 100)?;
    let told = tools.text("LogDirsCommand", &["--describe", "--topic-list", "__consumer_offsets"])?;
    let folder = folder(&told).with_context(|| told.clone())?;
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry.context("cannot list the log directory")?.path();
        let segment = path.join("00000000000000000000.log");
        let offsets =
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("__consumer_offsets-"));
        // A partition without records need not have a segment yet.
        if offsets && segment.exists() {
            files.push(segment.display().to_string());
        }
    }
    // This tool reads files and asks no broker.
    let arguments = ["--offsets-decoder", "--files", &files.join(",")];
    let running = tools.host.begin("org.apache.kafka.tools.DumpLogSegments", &arguments, b"")?;
    let printed = tools.host.end(&running)?.ok().context("kafka-dump-log")?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    let committed = |partition: u32, offset: u32| {
        let key = format!(r#""group":"{name}","topic":"{name}","partition":{partition}"#);
        let value = format!(r#""offset":{offset},"#);
        printed.lines().any(|line| line.contains(&key) && line.contains(&value))
    };
    ensure!(committed(0, 60) && committed(1, 40), "the offsets are not in: {printed:.3000}");
    let member = printed.lines().any(|line| {
        line.contains(&format!(r#""group":"{name}"}}"#)) && line.contains(r#""protocolType":"consumer""#)
    });
    ensure!(member, "the group's record is not in: {printed:.3000}");
    Ok(())
}

fn list(tools: &mut Tools) -> Result<()> {
    let name = "group-list";
    two_partitions(tools, name)?;
    consume_in_group(tools, name, name, 100)?;
    let names = groups(tools, &["--list"])?;
    ensure!(names.lines().any(|line| line.trim() == name), "listed: {names}");
    let states = groups(tools, &["--list", "--state"])?;
    let row = states.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_default();
    ensure!(row.contains("Empty"), "with states: {states}");
    let stable = groups(tools, &["--list", "--state", "Stable"])?;
    ensure!(!stable.contains(name), "among the stable: {stable}");
    let types = groups(tools, &["--list", "--type"])?;
    let row = types.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_default();
    ensure!(row.contains("Classic"), "with types: {types}");
    Ok(())
}

fn delete(tools: &mut Tools) -> Result<()> {
    let name = "group-delete";
    two_partitions(tools, name)?;
    let running = join(tools, name, name, 101)?;
    let there = eventually(SOON, || {
        Ok(groups(tools, &["--describe", "--group", name, "--state"])?.contains("Stable").then_some(()))
    })?;
    there.context("the group does not become stable")?;
    let told = tools.tool(TOOL, &["--delete", "--group", name], b"")?.told();
    ensure!(told.contains("GroupNotEmptyException"), "deleting a group in use: {told}");
    leave(tools, &running, name, 1)?;
    let told = groups(tools, &["--delete", "--group", name])?;
    ensure!(told.contains("was successful"), "deleting: {told}");
    let told = tools.tool(TOOL, &["--delete", "--group", name], b"")?.told();
    ensure!(told.contains("GroupIdNotFoundException"), "deleting it again: {told}");
    Ok(())
}

fn delete_offsets(tools: &mut Tools) -> Result<()> {
    let name = "group-delete-offsets";
    two_partitions(tools, name)?;
    consume_in_group(tools, name, name, 100)?;
    let told = groups(tools, &["--delete-offsets", "--group", name, "--topic", &format!("{name}:0")])?;
    ensure!(told.contains("Successful"), "told: {told}");
    let left = described(tools, name)?;
    ensure!(left.keys().eq(["1"]), "offsets are left of {left:?}");
    Ok(())
}

/// Resets, and checks both what the tool prints and what is committed then.
fn reset(tools: &mut Tools, group: &str, mode: &[&str], expected: [u64; 2]) -> Result<()> {
    let scope = ["--reset-offsets", "--group", group, "--topic", group];
    let planned = groups(tools, &[&scope[..], mode, &["--dry-run"]].concat())?;
    let before = described(tools, group)?;
    let told = groups(tools, &[&scope[..], mode, &["--execute"]].concat())?;
    for (what, told) in [("planned", &planned), ("done", &told)] {
        for (partition, offset) in expected.iter().enumerate() {
            let row = rows(told, "GROUP").into_iter().find(|row| row["PARTITION"] == partition.to_string());
            let seen = row.as_ref().and_then(|row| row.get("NEW-OFFSET"));
            ensure!(seen == Some(&offset.to_string()), "{mode:?}, {what} for {partition}: {told}");
        }
    }
    let after = described(tools, group)?;
    for (partition, offset) in expected.iter().enumerate() {
        let seen = after.get(&partition.to_string()).map(|(offset, _, _)| offset.as_str());
        ensure!(seen == Some(offset.to_string().as_str()), "{mode:?}: {after:?}, before {before:?}");
    }
    Ok(())
}

fn reset_offsets(tools: &mut Tools) -> Result<()> {
    let name = "group-reset-offsets";
    two_partitions(tools, name)?;
    let between = SystemTime::now();
    // Whatever is written from here on has a later timestamp.
    while SystemTime::now() < between + Duration::from_millis(20) {
        std::thread::yield_now();
    }
    let (first, second) = keys_of_two_partitions(tools, name)?;
    let more = format!("{first}\tmore\n").repeat(10) + &format!("{second}\tmore\n").repeat(5);
    tools.produce(name, &["--reader-property", "parse.key=true"], &more)?;
    consume_in_group(tools, name, name, 115)?;
    expect(tools, name, [("70", "70", "0"), ("45", "45", "0")])?;
    reset(tools, name, &["--to-earliest"], [0, 0])?;
    reset(tools, name, &["--to-latest"], [70, 45])?;
    reset(tools, name, &["--to-offset", "50"], [50, 45])?;
    reset(tools, name, &["--shift-by", "-20"], [30, 25])?;
    reset(tools, name, &["--shift-by", "30"], [60, 45])?;
    reset(tools, name, &["--to-current"], [60, 45])?;
    let at = humane(between)?;
    reset(tools, name, &["--to-datetime", &at], [60, 40])?;
    reset(tools, name, &["--to-datetime", "2001-01-01T00:00:00.000"], [0, 0])?;
    reset(tools, name, &["--by-duration", "PT0S"], [70, 45])?;
    reset(tools, name, &["--by-duration", "P1D"], [0, 0])?;
    let one = format!("{name}:1");
    groups(tools, &["--reset-offsets", "--group", name, "--topic", &one, "--to-offset", "7", "--execute"])?;
    expect(tools, name, [("0", "70", "70"), ("7", "45", "38")])?;
    let all = ["--reset-offsets", "--group", name, "--all-topics", "--to-latest", "--execute"];
    groups(tools, &all)?;
    expect(tools, name, [("70", "70", "0"), ("45", "45", "0")])?;
    in_use(tools, name)
}

/// A time as `--to-datetime` takes it, in UTC.
fn humane(time: SystemTime) -> Result<String> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?;
    let (days, second) = (i64::try_from(since.as_secs() / 86_400)?, since.as_secs() % 86_400);
    // Days to a date, in years that begin in March, so that a leap day is their last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second % 3600 / 60, second % 60);
    let millis = since.subsec_millis();
    Ok(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"))
}

/// Offsets of a group with members are not reset.
fn in_use(tools: &mut Tools, name: &str) -> Result<()> {
    let running = join(tools, name, name, 1)?;
    let there = eventually(SOON, || {
        Ok(groups(tools, &["--describe", "--group", name, "--state"])?.contains("Stable").then_some(()))
    })?;
    there.context("the group does not become stable")?;
    let arguments = ["--reset-offsets", "--group", name, "--topic", name, "--to-earliest", "--execute"];
    let told = tools.tool(TOOL, &arguments, b"")?.told();
    ensure!(told.contains("inactive"), "resetting a group in use: {told}");
    leave(tools, &running, name, 1)
}

fn reset_file(tools: &mut Tools) -> Result<()> {
    let name = "group-reset-file";
    two_partitions(tools, name)?;
    consume_in_group(tools, name, name, 100)?;
    let scope = ["--reset-offsets", "--group", name, "--topic", name];
    let exported = groups(tools, &[&scope[..], &["--to-current", "--export", "--dry-run"]].concat())?;
    let mut lines: Vec<_> = exported.lines().map(str::trim).filter(|line| line.contains(',')).collect();
    lines.sort_unstable();
    let line = |partition: u32, offset: u32| format!("\"{name}\",{partition},{offset}");
    let plain = |text: &str| text.replace('"', "");
    ensure!(
        lines.iter().map(|line| plain(line)).eq([plain(&line(0, 60)), plain(&line(1, 40))]),
        "exported: {exported}"
    );
    let file = tempfile::NamedTempFile::new().context("cannot create a temporary file")?;
    fs::write(file.path(), format!("{}\n{}\n", plain(&line(0, 11)), plain(&line(1, 22))))
        .context("cannot write the offsets")?;
    let path = file.path().display().to_string();
    let told = groups(tools, &["--reset-offsets", "--group", name, "--from-file", &path, "--execute"])?;
    if let Err(error) = expect(tools, name, [("11", "60", "49"), ("22", "40", "18")]) {
        bail!("{error:#}; told: {told}");
    }
    Ok(())
}

fn resume(tools: &mut Tools) -> Result<()> {
    let name = "group-resume";
    tools.create(name, 1, &[])?;
    let input = super::reading_and_writing::lines(100);
    tools.produce(name, &[], &input)?;
    let written: Vec<_> = input.lines().collect();
    for part in written.chunks(40) {
        let read = consume_in_group(tools, name, name, part.len())?;
        ensure!(read == part, "read {read:?}, not {part:?}");
    }
    Ok(())
}

fn consumer_performance(tools: &mut Tools) -> Result<()> {
    let name = "consumer-performance";
    tools.create(name, 3, &[])?;
    let load = ["--num-records", "60000", "--record-size", "200", "--throughput", "-1", "--topic", name];
    tools.text("ProducerPerformance", &load)?;
    let told =
        tools.text("ConsumerPerformance", &["--topic", name, "--num-records", "60000", "--group", name])?;
    // start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, ...
    let row: Vec<_> = told.lines().nth(1).unwrap_or_default().split(", ").collect();
    let read: u64 = row.get(4).with_context(|| told.clone())?.parse().with_context(|| told.clone())?;
    ensure!(read >= 60_000, "{read} of 60000 records were read: {told}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_as_the_tool_takes_it_leap_days_included() {
        let at = |ms: u64| humane(SystemTime::UNIX_EPOCH + Duration::from_millis(ms)).unwrap();
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_827_696_789), "2000-02-29T12:34:56.789Z");
        assert_eq!(at(1_798_761_599_999), "2026-12-31T23:59:59.999Z");
    }

    #[test]
    fn rows_are_read_by_the_names_of_their_columns() {
        let told = "\nGROUP   COORDINATOR (ID)     STATE   #MEMBERS\ng  127.0.0.1:9 (1)  Stable 2\n\n";
        let rows = rows(told, "GROUP");
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0]["STATE"].as_str(), rows[0]["#MEMBERS"].as_str()), ("Stable", "2"));
        assert!(super::rows("no such table", "GROUP").is_empty());
    }
}
