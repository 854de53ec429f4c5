//! Records go in and come out as they were.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::{
    broker::{Broker, NUM_PARTITIONS},
    command::eventually,
    driver::NotOffered,
    hands::{Hands, Producing, Record, SOON, codes, refused},
};

pub(super) const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

pub(super) fn now_ms() -> Result<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(i64::try_from(now.as_millis())?)
}

/// `count` records of which some compress well and some hardly do.
pub(super) fn sample(count: u32) -> Vec<Record> {
    let noise = |seed: u32, length: u32| {
        (0..length).map(move |i| (seed.wrapping_mul(2_654_435_761) ^ i.wrapping_mul(40_503)).to_be_bytes()[1])
    };
    let record = |i: u32| Record {
        key: (!i.is_multiple_of(3)).then(|| i.to_string().into_bytes()),
        value: Some(match i % 2 {
            0 => b"the same again ".repeat(i as usize % 40),
            _ => noise(i, i * 7 % 300).collect(),
        }),
        ..Record::default()
    };
    (0..count).map(record).collect()
}

/// Everything in partition 0, compared with what was written; a timestamp only where one was set.
pub(super) fn expect(hands: &mut Hands, topic: &str, written: &[Record]) -> Result<()> {
    let read = hands.read(topic, 0, 0)?;
    ensure!(read.len() == written.len(), "{} of {} records came back", read.len(), written.len());
    for (place, ((offset, read), written)) in read.into_iter().zip(written).enumerate() {
        ensure!(offset == i64::try_from(place)?, "record {place} has offset {offset}");
        let timestamp = written.timestamp.and(read.timestamp);
        ensure!(Record { timestamp, ..read } == *written, "record {place} is not as it was written");
    }
    Ok(())
}

fn write_and_read(hands: &mut Hands, topic: &str, records: &[Record], how: Producing<'_>) -> Result<()> {
    let places = hands.produce(topic, records, how)?;
    let expected: Vec<_> = (0..i64::try_from(records.len())?).map(|offset| (0, offset)).collect();
    ensure!(places == expected, "the offsets answered are not 0 to {}", records.len());
    expect(hands, topic, records)
}

pub(super) fn round_trip(hands: &mut Hands) -> Result<()> {
    hands.create("round-trip", 1, &[])?;
    let all: Vec<u8> = (0..=255).collect();
    let texts = [Some(b"text".to_vec()), Some(Vec::new()), None, Some(all)];
    let pairs = texts.iter().flat_map(|key| texts.iter().map(move |value| (key, value)));
    // Not every client writes a record of nothing at all.
    let pairs = pairs.filter(|(key, value)| key.is_some() || value.is_some());
    let record = |(key, value): (&Option<_>, &Option<_>)| Record {
        key: key.clone(),
        value: value.clone(),
        ..Record::default()
    };
    let records: Vec<_> = pairs.map(record).collect();
    write_and_read(hands, "round-trip", &records, Producing::default())
}

pub(super) fn codec(hands: &mut Hands, scenario: &str) -> Result<()> {
    hands.create(scenario, 1, &[])?;
    let codec = scenario.strip_prefix("codec-");
    write_and_read(hands, scenario, &sample(3000), Producing { codec, ..Producing::default() })
}

pub(super) fn recompress(hands: &mut Hands) -> Result<()> {
    for stored in ["uncompressed", "gzip", "snappy", "lz4"] {
        let topic = format!("recompress-{stored}");
        hands.create(&topic, 1, &[("compression.type", stored)])?;
        let records = sample(300);
        for codec in ["none", "gzip"] {
            hands.produce(&topic, &records, Producing { codec: Some(codec), ..Producing::default() })?;
        }
        expect(hands, &topic, &[&records[..], &records].concat())?;
    }
    Ok(())
}

pub(super) fn headers(hands: &mut Hands) -> Result<()> {
    hands.create("headers", 1, &[])?;
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let sets = [
        vec![("a", text("1")), ("b", text("")), ("a", text("2")), ("a", text("1"))],
        vec![("\u{fc}", Some((0..=255).collect()))],
        Vec::new(),
        vec![("many", text("x")); 300],
    ];
    let record = |set: &Vec<(&str, Option<Vec<u8>>)>| Record {
        headers: set.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        ..Record::of("v")
    };
    let records: Vec<_> = sets.iter().map(record).collect();
    write_and_read(hands, "headers", &records, Producing::default())?;
    let null = Record { headers: vec![("null".to_owned(), None)], ..Record::of("v") };
    match hands.produce("headers", std::slice::from_ref(&null), Producing::default()) {
        // Not every client has headers without a value.
        Err(error) if error.downcast_ref::<NotOffered>().is_some() => Ok(()),
        Err(error) => Err(error),
        Ok(_) => expect(hands, "headers", &[records, vec![null]].concat()),
    }
}

pub(super) fn value_sizes(hands: &mut Hands) -> Result<()> {
    hands.create("value-sizes", 1, &[("max.message.bytes", "11000000")])?;
    let sizes = [1_u32, 10, 1000, 16_384, 100_000, 1_048_588, 5_000_000, 10_000_000];
    let value =
        |size: &u32| Record::of((0..*size).map(|i| (i ^ (i >> 9)).to_be_bytes()[3]).collect::<Vec<_>>());
    let records: Vec<_> = sizes.iter().map(value).collect();
    write_and_read(
        hands,
        "value-sizes",
        &records,
        Producing { max_bytes: Some(11_000_000), ..Producing::default() },
    )
}

pub(super) fn timestamps(hands: &mut Hands) -> Result<()> {
    hands.create("timestamps", 1, &[])?;
    let now = now_ms()?;
    let times = [now, now - 5000, now - 5000, now - 86_400_000, now + 60_000, 1];
    let records = times.map(|at| Record { timestamp: Some(at), ..Record::of("v") });
    write_and_read(hands, "timestamps", &records, Producing::default())
}

pub(super) fn log_append_time(hands: &mut Hands) -> Result<()> {
    let topic = "log-append-time";
    hands.create(topic, 1, &[("message.timestamp.type", "LogAppendTime")])?;
    let records = vec![Record { timestamp: Some(1000), ..Record::of("v") }; 10];
    for codec in ["none", "gzip"] {
        let before = now_ms()?;
        let how = Producing { codec: Some(codec), ..Producing::default() };
        let first = hands.produce(topic, &records, how)?.first().context("no places")?.1;
        let after = now_ms()?;
        for (_, record) in hands.read(topic, 0, first)? {
            let at = record.timestamp.context("a record without timestamp")?;
            ensure!((before..=after).contains(&at), "append time {at} is not in {before} to {after}");
        }
    }
    Ok(())
}

pub(super) fn timestamp_limits(hands: &mut Hands) -> Result<()> {
    const INVALID_TIMESTAMP: i64 = 32;
    let topic = "timestamp-limits";
    let limits = [("message.timestamp.before.max.ms", "60000"), ("message.timestamp.after.max.ms", "60000")];
    hands.create(topic, 1, &limits)?;
    let mut write = |after_ms: i64| -> Result<_> {
        let record = Record { timestamp: Some(now_ms()? + after_ms), ..Record::of("v") };
        hands.produce(topic, &[record], Producing::default())
    };
    write(30_000)?;
    write(-30_000)?;
    refused("an hour ahead", INVALID_TIMESTAMP, write(3_600_000))?;
    refused("an hour ago", INVALID_TIMESTAMP, write(-3_600_000))?;
    hands.expect_bounds(topic, 0, 2)
}

/// Three partitions in turns, and each holds its third.
fn in_three(hands: &mut Hands, topic: &str, how: Producing<'_>) -> Result<()> {
    hands.create(topic, 3, &[])?;
    let numbered = |n: i64| Record { partition: n % 3, ..Record::of(n.to_string()) };
    let records: Vec<_> = (0..3000).map(numbered).collect();
    let places = hands.produce(topic, &records, how)?;
    if how.acks != Some("0") {
        let expected: Vec<_> = (0..3000).map(|n| (n % 3, n / 3)).collect();
        ensure!(places == expected, "partitions and offsets are not as produced");
    }
    let arrived = eventually(SOON, || Ok((hands.ends(topic, 3)? == [Some(1000); 3]).then_some(())))?;
    arrived.context("not all records arrive")?;
    for partition in 0..3 {
        let read = hands.read(topic, partition, 0)?;
        let expected = records.iter().filter(|record| record.partition == partition);
        let same = read.iter().map(|(_, record)| &record.value).eq(expected.map(|record| &record.value));
        ensure!(same, "partition {partition} does not hold its records in order");
    }
    Ok(())
}

pub(super) fn idempotent(hands: &mut Hands) -> Result<()> {
    in_three(hands, "idempotent", Producing { idempotent: true, ..Producing::default() })
}

pub(super) fn acks(hands: &mut Hands, scenario: &str) -> Result<()> {
    in_three(hands, scenario, Producing { acks: scenario.strip_prefix("acks-"), ..Producing::default() })
}

/// Through the proxy that cuts: some requests never come whole, of others the answer is lost.
pub(super) fn idempotent_cut(hands: &mut Hands, broker: &Broker) -> Result<()> {
    const PARTS: i64 = 10;
    const PART: i64 = 400;
    let topic = "idempotent-cut";
    hands.create(topic, 1, &[])?;
    let bootstrap = broker.cut_bootstrap();
    let how = Producing { idempotent: true, bootstrap: Some(&bootstrap), ..Producing::default() };
    let before = broker.cuts();
    for part in 0..PARTS {
        let padded = |n: i64| Record::of(format!("{n} {}", "x".repeat(200)));
        let records: Vec<_> = (part * PART..(part + 1) * PART).map(padded).collect();
        hands.produce(topic, &records, how)?;
    }
    let cuts = broker.cuts() - before;
    ensure!(cuts >= 4, "only {cuts} connections were cut");
    let read = hands.read(topic, 0, 0)?;
    for (place, (offset, record)) in (0..).zip(&read) {
        let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        let number = value.split(' ').next().unwrap_or_default();
        ensure!(
            *offset == place && number == place.to_string(),
            "after {cuts} cuts offset {offset} holds {number}: a record was lost, doubled or moved"
        );
    }
    ensure!(i64::try_from(read.len())? == PARTS * PART, "{} records are in the log", read.len());
    Ok(())
}

pub(super) fn bulk(hands: &mut Hands) -> Result<()> {
    const COUNT: i64 = 100_000;
    hands.create("bulk", 12, &[])?;
    let keyed = |n: i64| Record {
        partition: -1,
        key: Some((n % 1013).to_string().into_bytes()),
        ..Record::of(n.to_string())
    };
    let records: Vec<_> = (0..COUNT).map(keyed).collect();
    let places =
        hands.produce("bulk", &records, Producing { codec: Some("gzip"), ..Producing::default() })?;
    let mut total = 0;
    for partition in 0..12 {
        let (mut next, mut last) = (0, -1);
        for (offset, record) in hands.read("bulk", partition, 0)? {
            let value = record.value.context("a record without value")?;
            let number: i64 = String::from_utf8(value)?.parse()?;
            ensure!(offset == next && number > last, "{partition}: {number} at {offset} after {last}");
            let place = places.get(usize::try_from(number)?);
            ensure!(place == Some(&(partition, offset)), "{number} was answered with {place:?}");
            (next, last, total) = (next + 1, number, total + 1);
        }
        ensure!(next > 0, "partition {partition} is empty");
    }
    ensure!(total == COUNT, "{total} of {COUNT} records came back");
    Ok(())
}

pub(super) fn record_too_large(hands: &mut Hands) -> Result<()> {
    let topic = "record-too-large";
    hands.create(topic, 1, &[("max.message.bytes", "2000")])?;
    let big = hands.produce(topic, &[Record::of("x".repeat(3000))], Producing::default());
    refused("3,000 bytes", codes::RECORD_TOO_LARGE, big)?;
    write_and_read(hands, topic, &[Record::of("small")], Producing::default())
}

pub(super) fn keyless_compacted(hands: &mut Hands) -> Result<()> {
    let topic = "keyless-compacted";
    hands.create(topic, 1, &[("cleanup.policy", "compact")])?;
    let keyless = hands.produce(topic, &[Record::of("v")], Producing::default());
    refused("no key", codes::INVALID_RECORD, keyless)?;
    let keyed = Record { key: Some(b"k".to_vec()), ..Record::of("v") };
    write_and_read(hands, topic, &[keyed], Producing::default())
}

pub(super) fn auto_create(hands: &mut Hands) -> Result<()> {
    let record = Record { partition: -1, ..Record::of("v") };
    let places = hands.produce("auto-create", &[record], Producing::default())?;
    let (partition, offset) = *places.first().context("no place")?;
    ensure!(offset == 0, "the first record has offset {offset}");
    let partitions = hands.describe("auto-create")?;
    ensure!(partitions.len() == NUM_PARTITIONS, "partitions: {partitions:?}");
    hands.wait_for_leaders("auto-create", i64::try_from(NUM_PARTITIONS)?)?;
    let read = hands.read("auto-create", partition, 0)?;
    ensure!(read.len() == 1, "{} records came back: {}", read.len(), json!(partition));
    Ok(())
}
