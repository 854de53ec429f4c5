//! Measurements, end to end: that they count what there is. How fast anything is, is no test's business.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::process::{Command, Stdio};

use common::{Server, stderr};
use serde_json::Value;

fn measure(server: &Server, line: &str) -> Value {
    serde_json::from_str(&server.ok(&format!("bench {line} --json"), "")).unwrap()
}

#[test]
fn produce_writes_what_it_counts_and_leaves_no_topic() {
    let server = Server::start(&[]);
    let report =
        measure(&server, "produce --count 2000 --warmup 0 --record-size 100 --codec lz4 --partitions 2");
    assert_eq!(
        (&report["records"], &report["bytes"], &report["failed"]),
        (&2000.into(), &200_000.into(), &0.into())
    );
    assert_eq!((&report["partitions"], &report["codec"]), (&2.into(), &"lz4".into()));
    let latency = &report["latency_ms"];
    let values: Vec<f64> = ["min", "p50", "p90", "p95", "p99", "p99.9", "p99.99", "max"]
        .iter()
        .map(|name| latency[name].as_f64().unwrap())
        .collect();
    assert!(values.is_sorted() && values[0] > 0.0, "{latency}");
    assert_eq!(server.ok("topic list", ""), "");
}

#[test]
fn a_topic_that_is_named_is_used_and_kept() {
    let server = Server::start(&[]);
    server.ok("topic create orders --partitions 2", "");
    let report = measure(&server, "produce --topic orders --rate 2000 --count 500 --warmup 0.1 --acks 1");
    assert_eq!((&report["records"], &report["target_records_per_s"]), (&500.into(), &2000.0.into()));
    // Those of the warm-up are written and not counted.
    let written = server.ok("consume orders --format %S\\n", "");
    assert_eq!(written.lines().count(), 700);
    assert!(written.lines().all(|size| size == "1000"));

    let report = measure(&server, "consume --topic orders");
    assert_eq!((&report["records"], &report["bytes"]), (&700.into(), &700_000.into()));
    assert_eq!(report["latency_ms"], Value::Null);
}

#[test]
fn consume_reads_as_many_as_it_wrote() {
    let server = Server::start(&[]);
    let report = measure(&server, "consume --count 3000 --record-size 50 --codec zstd");
    assert_eq!((&report["records"], &report["partitions"]), (&3000.into(), &3.into()));
    assert_eq!(server.ok("topic list", ""), "");
    server.ok("topic create empty", "");
    let output = server.run("bench consume --topic empty", "");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("has no records to read"), "{}", stderr(&output));
}

#[test]
fn end_to_end_counts_each_record_of_its_own_once() {
    let server = Server::start(&[]);
    server.ok("topic create orders --partitions 2", "");
    server.ok("produce orders", "of somebody else\n");
    let report = measure(&server, "e2e --topic orders --rate 1000 --count 300 --warmup 0 --linger-ms 0");
    assert_eq!(
        (&report["records"], &report["lost"], &report["duplicates"]),
        (&300.into(), &0.into(), &0.into())
    );
    assert!(report["latency_ms"]["p99"].as_f64().unwrap() > 0.0, "{report}");
    let text = server.ok("bench e2e --rate 500 --duration 0.2 --warmup 0", "");
    assert!(text.contains("100 records in") && text.contains("(of 500 asked for)"), "{text}");
    assert!(text.contains("p50 ") && text.contains("p99.9 "), "{text}");
}

#[test]
fn records_that_are_refused_are_counted_and_fail_the_command() {
    let server = Server::start(&[]);
    server.ok("topic create small --config max.message.bytes=200", "");
    let output = server.run("bench produce --topic small --count 20 --warmup 0 --record-size 500 --json", "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["records"], &report["failed"]), (&0.into(), &20.into()));
    assert!(stderr(&output).contains("20 records were not written: "), "{}", stderr(&output));
    assert!(stderr(&output).contains("MESSAGE_TOO_LARGE"), "{}", stderr(&output));
}

#[test]
fn an_interrupt_ends_a_measurement_and_leaves_no_topic() {
    let server = Server::start(&[]);
    let measuring = Command::new(env!("CARGO_BIN_EXE_ottla"))
        .args(["bench", "e2e", "--duration", "10000", "--warmup", "0", "--json", "-b"])
        .arg(server.address().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while server.ok("topic list", "").is_empty() {}
    let pid = measuring.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    let output = measuring.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["lost"], 0, "{report}");
    assert_eq!(server.ok("topic list", ""), "");
}
