//! Records in and out by the command line, end to end: places to start and stop, timestamps, JSON.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use common::{Server, stderr};

#[test]
fn what_is_consumed_as_json_can_be_produced_again() {
    let server = Server::start(&[]);
    server.ok("topic create users", "");
    server.ok("topic create copy", "");
    let lines = concat!(
        r#"{"key":"alice","value":{"base64":"/wA="},"headers":[{"key":"a","value":"1"},{"key":"a","value":null}]}"#,
        "\n",
        r#"{"key":null,"value":null,"timestamp":1000}"#,
        "\n",
        "{}\n",
    );
    server.ok("produce users --json --timestamp 2026-01-01T00:00:00Z", lines);
    let first = server.ok("consume users --json", "");
    server.ok("produce copy --json", &first);
    let again = server.ok("consume copy --json", "");
    assert_eq!(again, first.replace("\"users\"", "\"copy\""));
    assert_eq!(first.matches("\"timestamp\":1767225600000").count(), 3, "{first}");
    assert!(first.contains(r#""headers":[{"key":"a","value":"1"},{"key":"a","value":null}]"#), "{first}");

    let output = server.run("produce users --json", "{}\n{\"valeu\":\"x\"}\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("line 2: it is no record in JSON"), "{}", stderr(&output));
}

/// A topic of two partitions with records 0 to 9 in each, of which record n has the time n seconds.
fn filled() -> Server {
    let server = Server::start(&[]);
    server.ok("topic create orders --partitions 2", "");
    for partition in 0..2 {
        let lines: String =
            (0..10).map(|n| format!("{{\"value\":\"{n}\",\"timestamp\":{}}}\n", n * 1000)).collect();
        server.ok(&format!("produce orders --json -p {partition}"), &lines);
    }
    server
}

#[test]
fn reading_starts_and_stops_by_offset_and_by_time() {
    let server = filled();
    let read = |line: &str| -> String {
        let mut lines: Vec<String> = server
            .ok(&format!("consume orders --format %p:%s\\n {line}"), "")
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines.join(" ")
    };
    assert_eq!(read("--from 7 --to 9"), "0:7 0:8 1:7 1:8");
    assert_eq!(read("--from @3000 --to @5000 -p 1"), "1:3 1:4");
    assert_eq!(read("--from @1970-01-01T00:00:08Z"), "0:8 0:9 1:8 1:9");
    assert_eq!(read("--from 8 --to @1970-01-02 -p 0"), "0:8 0:9", "no record is as late: to the end");
    assert_eq!(read("--to 1000 -p 0 --from 9"), "0:9", "what is not there yet is not waited for");
    assert_eq!(read("--from latest --to latest"), "");
    assert_eq!(read("--from 5 --to 5"), "");
    assert_eq!(read("--from 5 --to 2"), "", "nothing lies between");
    assert_eq!(read("--to earliest"), "");
    assert_eq!(read("--to 3 --count 2 -p 1"), "1:0 1:1");
}

#[test]
fn reading_ends_in_each_partition_by_itself() {
    let server = filled();
    server.ok("produce orders -p 0", &"x\n".repeat(5000));
    let read = server.ok("consume orders --to 12 --format %p:%o\\n", "");
    let of = |partition: &str| read.lines().filter(|line| line.starts_with(partition)).count();
    assert_eq!((of("0:"), of("1:")), (12, 10));
}
