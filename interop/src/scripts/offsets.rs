//! Reading from the right place: bounds, timestamps, positions in the middle, and what is no longer there.

use anyhow::{Result, ensure};
use serde_json::json;

use super::records::{CODECS, now_ms};
use crate::hands::{Hands, Producing, Record, codes, refused, refused_if_offered};

/// The offsets read, and whether each value is its offset.
fn expect_numbers(hands: &mut Hands, topic: &str, from: i64, to: i64) -> Result<()> {
    let read = hands.read(topic, 0, from)?;
    let offsets: Vec<_> = read.iter().map(|(offset, _)| *offset).collect();
    ensure!(offsets == (from..to).collect::<Vec<_>>(), "from {from}: offsets {offsets:?}");
    let same = read.iter().all(|(offset, record)| record.value == Some(offset.to_string().into_bytes()));
    ensure!(same, "from {from}: other values than were written");
    Ok(())
}

pub(super) fn fetch_from_offset(hands: &mut Hands) -> Result<()> {
    let topic = "fetch-from-offset";
    hands.create(topic, 1, &[])?;
    let records: Vec<_> = (0..100).map(|n| Record::of(n.to_string())).collect();
    // Offset 57 lies within a compressed batch: the batch is sent whole and the client skips what is before it.
    hands.produce(topic, &records, Producing { codec: Some(CODECS[1]), ..Producing::default() })?;
    for from in [57, 0, 99, 100] {
        expect_numbers(hands, topic, from, 100)?;
    }
    Ok(())
}

pub(super) fn out_of_range(hands: &mut Hands) -> Result<()> {
    let topic = "offset-out-of-range";
    hands.create(topic, 1, &[])?;
    hands.produce_numbers(topic, 1, 0, 1)?;
    refused("offset 100 of 1", codes::OFFSET_OUT_OF_RANGE, hands.read(topic, 0, 100))
}

pub(super) fn bounds(hands: &mut Hands) -> Result<()> {
    let topic = "offset-bounds";
    hands.create(topic, 3, &[])?;
    hands.produce_numbers(topic, 2, 0, 30)?;
    let earliest = hands.offsets(topic, &[0, 1, 2], json!("earliest"))?;
    ensure!(earliest == [Some(0); 3], "earliest: {earliest:?}");
    let latest = hands.ends(topic, 3)?;
    ensure!(latest == [Some(15), Some(15), Some(0)], "latest: {latest:?}");
    Ok(())
}

pub(super) fn by_timestamp(hands: &mut Hands) -> Result<()> {
    let topic = "offset-by-timestamp";
    hands.create(topic, 1, &[])?;
    let start = now_ms()? - 100_000;
    let records: Vec<_> =
        (0..10).map(|n| Record { timestamp: Some(start + 1000 * n), ..Record::of(n.to_string()) }).collect();
    // Batches of one and of several.
    for part in [&records[..1], &records[1..7], &records[7..]] {
        hands.produce(topic, part, Producing { codec: Some("gzip"), ..Producing::default() })?;
    }
    let expected = [(0, 0), (1, 1), (1000, 1), (2500, 3), (9000, 9), (-50_000, 0)];
    for (after, expected) in expected {
        let found = hands.offsets(topic, &[0], json!(start + after))?;
        ensure!(found == [Some(expected)], "start + {after} ms finds {found:?}, not {expected}");
    }
    let found = hands.offsets(topic, &[0], json!(start + 9001))?;
    // Some clients say the end of the log where nothing is found.
    ensure!(found == [None] || found == [Some(10)], "a time after the last record finds {found:?}");
    Ok(())
}

pub(super) fn segments(hands: &mut Hands) -> Result<()> {
    let topic = "segments";
    hands.create(topic, 1, &[("segment.bytes", "1048576")])?;
    let records: Vec<_> = (0..4000).map(|n| Record::of(format!("{n} {}", "x".repeat(1000)))).collect();
    for part in records.chunks(200) {
        hands.produce(topic, part, Producing::default())?;
    }
    hands.expect_bounds(topic, 0, 4000)?;
    for from in [0, 700, 2100, 3999] {
        let read = hands.read(topic, 0, from)?;
        let same = read.iter().map(|(_, record)| record).zip(records.iter().skip(usize::try_from(from)?));
        ensure!(read.len() == usize::try_from(4000 - from)?, "from {from}: {} records", read.len());
        ensure!(
            same.into_iter().all(|(read, written)| read.value == written.value),
            "from {from}: other values"
        );
    }
    hands.delete_records(topic, 2500)?;
    hands.expect_bounds(topic, 2500, 4000)
}

pub(super) fn delete_records(hands: &mut Hands) -> Result<()> {
    let topic = "delete-records";
    hands.create(topic, 1, &[])?;
    hands.produce_numbers(topic, 1, 0, 100)?;
    let low = hands.delete_records(topic, 40)?;
    ensure!(low.is_none_or(|low| low == 40), "low watermark {low:?}");
    hands.expect_bounds(topic, 40, 100)?;
    expect_numbers(hands, topic, 40, 100)?;
    refused_if_offered("a deleted offset", codes::OFFSET_OUT_OF_RANGE, hands.read(topic, 0, 39))?;
    refused("beyond the end", codes::OFFSET_OUT_OF_RANGE, hands.delete_records(topic, 101))?;
    hands.delete_records(topic, -1)?;
    hands.expect_bounds(topic, 100, 100)
}
