//! What checking a produced batch costs, by the size of its records: `cargo bench -p ottla-records`.
//!
//! Prints nanoseconds a record and CPU-s/GB, the least of some rounds. Without a framework: a figure to be compared with that
//! of another commit, on the same machine at the same time.

#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_records::{BatchBuilder, NewRecord, ProduceRules, prepare};

const BATCH_BYTES: usize = 16_000;
const ROUNDS: usize = 20;
const BATCHES_PER_ROUND: usize = 2_000;
const NOW_MS: i64 = 1_700_000_000_000;

fn main() {
    for (value_bytes, with_header) in [(10, false), (100, false), (1_000, false), (100, true)] {
        let (batch, records) = batch(value_bytes, with_header);
        let rules = ProduceRules::default();
        let round = || {
            let started = Instant::now();
            for _ in 0..BATCHES_PER_ROUND {
                let prepared = prepare(black_box(batch.clone()), &rules, NOW_MS).expect("a sound batch");
                black_box(prepared);
            }
            started.elapsed()
        };
        let least = (0..ROUNDS).map(|_| round()).min().unwrap_or(Duration::ZERO).as_secs_f64();
        let per_record = least * 1e9 / (BATCHES_PER_ROUND * records) as f64;
        let per_gb = least * 1e9 / (BATCHES_PER_ROUND * batch.len()) as f64;
        let headers = if with_header { ", a header each" } else { "" };
        println!("{value_bytes:>5} bytes{headers}: {per_record:.1} ns a record, {per_gb:.3} CPU-s/GB");
    }
}

/// A batch of about [`BATCH_BYTES`], and how many records it has.
fn batch(value_bytes: usize, with_header: bool) -> (Bytes, usize) {
    let value = vec![7; value_bytes];
    let headers: &[(&str, Option<&[u8]>)] =
        if with_header { &[("trace", Some(b"0123456789abcdef"))] } else { &[] };
    let records = BATCH_BYTES / (value_bytes + 8);
    let mut builder = BatchBuilder::new();
    for at in 0..records {
        // A few records to a millisecond, as a busy producer has them.
        let timestamp_ms = NOW_MS + i64::try_from(at / 10).unwrap_or(0);
        let record = NewRecord { timestamp_ms, key: None, value: Some(&value), headers };
        builder.push(&record).expect("a record that fits");
    }
    (builder.build().expect("a batch without compression"), records)
}
