//! The binary as its users see it: a broker on a port of the system's choice, and the commands that talk to it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use common::{ottla, stderr};

const OTTLA: &str = env!("CARGO_BIN_EXE_ottla");

/// A broker that ends with its test.
struct Broker {
    process: Child,
    address: String,
}

impl Broker {
    /// Starts a broker without a file on these data, and waits until it says where it listens.
    fn start(data: &Path) -> Self {
        Self::start_with(&[
            "--override",
            "listeners=PLAINTEXT://127.0.0.1:0",
            "--override",
            &format!("log.dirs={}", data.display()),
        ])
    }

    fn start_with(arguments: &[&str]) -> Self {
        let mut process = Command::new(OTTLA)
            .arg("serve")
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("Listening on PLAINTEXT://").unwrap_or_else(|| {
            let _ = process.kill();
            panic!("the broker said {line:?} first")
        });
        Self { address: address.to_owned(), process }
    }

    /// Stops the broker as an operator would, and gives its exit code.
    fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.process.wait().unwrap().code()
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Runs a client command against the broker, with this on its standard input.
    fn run(&self, line: &str, input: &str) -> Output {
        ottla(&format!("{line} -b {}", self.address), &[], input)
    }

    /// The same, which must succeed; gives what it printed.
    fn ok(&self, line: &str, input: &str) -> String {
        let output = self.run(line, input);
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn what_is_produced_is_consumed_and_again_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(data.path());
    broker.ok("topic create orders --partitions 3 --config retention.ms=86400000", "");
    assert_eq!(broker.ok("topic list", ""), "orders\n");
    let description = broker.ok("topic describe orders", "");
    assert!(description.contains("retention.ms=86400000"), "{description}");

    let lines: String = (0..1000).map(|n| format!("{n}\n")).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        broker.ok(&format!("produce orders --partition 1 --codec {codec}"), &lines);
    }
    let expected = lines.repeat(5);
    assert_eq!(broker.ok("consume orders", ""), expected);
    assert_eq!(broker.stop(), Some(0));

    let broker = Broker::start(data.path());
    assert_eq!(broker.ok("consume orders --partition 1", ""), expected);
    assert_eq!(broker.ok("consume orders -p 1 --from 4998 --format %o:%s,", ""), "4998:998,4999:999,");
    broker.ok("produce orders -p 1 --idempotent", "after\n");
    assert_eq!(broker.ok("consume orders -p 1 --from 5000", ""), "after\n");
    assert_eq!(broker.stop(), Some(0));
}

#[test]
fn keys_nulls_and_headers_come_back_as_they_were() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(data.path());
    broker.ok("topic create users", "");
    broker.ok("produce users -K : -Z NULL -H a=1 -H a=2", "alice:NULL\nbob:\nNULL:x:y\n");
    let json = broker.ok("consume users --json", "");
    let records: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let pairs: Vec<_> =
        records.iter().map(|record| (record["key"].as_str(), record["value"].as_str())).collect();
    assert_eq!(pairs, [(Some("alice"), None), (Some("bob"), Some("")), (None, Some("x:y"))]);
    assert_eq!(records[2]["offset"], 2);
    assert_eq!(records[0]["headers"].to_string(), r#"[{"key":"a","value":"1"},{"key":"a","value":"2"}]"#);
}

#[test]
fn failures_exit_with_1_and_say_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start_with(&[
        "--override",
        "listeners=PLAINTEXT://127.0.0.1:0",
        "--override",
        &format!("log.dirs={}", data.path().display()),
        "--override",
        "auto.create.topics.enable=false",
    ]);
    broker.ok("topic create orders --config max.message.bytes=1000", "");
    for (line, input, said) in [
        ("topic create orders", "", "TOPIC_ALREADY_EXISTS"),
        ("topic describe nowhere", "", "ottla topic create"),
        ("topic delete nowhere", "", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("consume nowhere", "", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("produce nowhere", "x\n", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("consume orders --partition 7", "", "none with number 7"),
        ("consume orders --from 99", "", "has no offset 99"),
        ("produce orders --partition 7", "x\n", "line 1: the topic orders has 1 partitions"),
        ("produce orders -K :", "a:b\nc\n", "line 2: the key separator \":\" is not in it"),
    ] {
        let output = broker.run(line, input);
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
        assert!(stderr(&output).contains(said), "{line}: {}", stderr(&output));
    }
    let output = broker.run("produce orders", &format!("{}\n", "x".repeat(2000)));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("MESSAGE_TOO_LARGE"), "{}", stderr(&output));

    let address = broker.address.clone();
    drop(broker);
    let output = ottla(&format!("topic list -b {address}"), &[], "");
    assert_eq!(output.status.code(), Some(1));
    let advice = format!("Nothing listens on {address}: start a broker there with `ottla serve`");
    assert!(stderr(&output).contains(&advice), "{}", stderr(&output));
}

#[test]
fn a_reader_that_leaves_ends_consume_quietly() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(data.path());
    let lines: String =
        (0..100_000).map(|n| format!("a line that is long enough to fill pipes: {n}\n")).collect();
    broker.ok("produce orders", &lines);
    let mut process = Command::new(OTTLA)
        .args(["consume", "orders", "-b", &broker.address])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    // Dropped at the end of the statement, which closes the pipe.
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
    assert!(first.ends_with(": 0\n"), "{first}");
}

#[test]
fn follow_shows_what_comes_and_count_ends_it() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(data.path());
    broker.ok("topic create orders --partitions 2", "");
    broker.ok("produce orders -p 0", "before\n");
    let mut process = Command::new(OTTLA)
        .args(["consume", "orders", "--follow", "--count", "2", "-b", &broker.address])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "before");
    broker.ok("produce orders -p 1", "after\n");
    assert_eq!(lines.next().unwrap().unwrap(), "after");
    assert!(process.wait().unwrap().success());
}

#[test]
fn the_properties_of_a_combined_kraft_node_start_a_broker() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("server.properties");
    let port = common::cluster::free_port();
    let text = format!(
        "process.roles=broker,controller\nnode.id=3\ncontroller.quorum.voters=3@127.0.0.1:{port}\n\
         listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         inter.broker.listener.name=PLAINTEXT\nlog.dirs={}\nnum.partitions=4\n",
        directory.path().join("data").display()
    );
    std::fs::write(&file, text).unwrap();
    let broker = Broker::start_with(&[file.to_str().unwrap()]);
    broker.ok("produce created-by-use", "x\n");
    let json: serde_json::Value =
        serde_json::from_str(&broker.ok("topic describe created-by-use --json", "")).unwrap();
    assert_eq!(json[0]["partitions"].as_array().unwrap().len(), 4);
    assert_eq!(json[0]["partitions"][0]["leader"], 3);
    assert_eq!(broker.stop(), Some(0));
}

#[test]
fn settings_that_are_wrong_are_all_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("server.properties");
    std::fs::write(&file, "num.partitions=many\n# fine\nnode.id=-3\n").unwrap();
    let output = ottla(&format!("serve {}", file.display()), &[], "");
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains(&format!("{}:1: num.partitions=many", file.display())), "{said}");
    assert!(said.contains(&format!("{}:3: node.id=-3", file.display())), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn usage_errors_exit_with_2() {
    for line in
        ["", "fly", "topic create", "consume orders --from yesterday", "produce orders --idempotent --acks 1"]
    {
        assert_eq!(ottla(line, &[], "").status.code(), Some(2), "{line}");
    }
}

#[test]
fn an_address_in_use_is_named() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dirs = data.path().display();
    let line = format!("serve --override listeners=PLAINTEXT://{address} --override log.dirs={dirs}");
    let output = ottla(&line, &[], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
}

#[test]
fn a_damaged_record_ends_consume_with_its_place() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(data.path());
    broker.ok("topic create orders", "");
    for line in ["a\n", "b\n"] {
        broker.ok("produce orders", line);
    }
    assert_eq!(broker.stop(), Some(0));
    let path = data.path().join("orders-0/00000000000000000000.log");
    let mut log = std::fs::read(&path).unwrap();
    *log.last_mut().unwrap() ^= 1;
    std::fs::write(&path, log).unwrap();

    let broker = Broker::start(data.path());
    let output = broker.run("consume orders", "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(output.stdout, b"a\n");
    let said = stderr(&output);
    let place = format!("{} cannot read orders-0 at offset 1", broker.address);
    assert!(said.contains(&place) && said.contains("CORRUPT_MESSAGE"), "{said}");
}

#[test]
fn nothing_to_write_creates_no_topic() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(data.path());
    assert_eq!(broker.ok("produce orders", ""), "");
    assert!(!broker.ok("topic list", "").contains("orders"));
}

#[test]
fn an_address_of_another_machine_is_not_said_to_be_in_use() {
    let data = tempfile::tempdir().unwrap();
    let dirs = data.path().display();
    let line = format!("serve --override listeners=PLAINTEXT://192.0.2.1:9092 --override log.dirs={dirs}");
    let output = ottla(&line, &[], "");
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("192.0.2.1:9092") && said.contains("no address of this machine"), "{said}");
    assert!(!said.contains("Is another process"), "{said}");
}

#[test]
fn a_directory_in_use_is_told_once() {
    let data = tempfile::tempdir().unwrap();
    let _broker = Broker::start(data.path());
    let dirs = data.path().display();
    let line = format!("serve --override listeners=PLAINTEXT://127.0.0.1:0 --override log.dirs={dirs}");
    let output = ottla(&line, &[], "");
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert_eq!(said.matches("is held by another process").count(), 1, "{said}");
}

#[test]
fn produce_says_what_it_waits_for() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().display();
    let log_dirs = format!("log.dirs={place}/a,{place}/b");
    let metadata = format!("metadata.log.dir={place}/metadata");
    let arguments =
        ["--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", &log_dirs, "--override", &metadata];
    let broker = Broker::start_with(&arguments);
    broker.ok("topic create orders --partitions 2", "");
    assert_eq!(broker.stop(), Some(0));
    let missing = directory.path().join("b");
    let partition = (0..2).find(|n| missing.join(format!("orders-{n}")).exists()).unwrap();
    std::fs::remove_dir_all(&missing).unwrap();
    // A file, so that the directory cannot be made anew.
    std::fs::write(&missing, "").unwrap();

    let broker = Broker::start_with(&arguments);
    let mut process = Command::new(OTTLA)
        .args(["produce", "orders", "-p", &partition.to_string(), "-b", &broker.address])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(b"x\n").unwrap();
    let mut line = String::new();
    BufReader::new(process.stderr.take().unwrap()).read_line(&mut line).unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(line.starts_with("ottla: line 1 is not written yet and is tried again: "), "{line}");
    assert!(line.contains(&format!("orders-{partition}")), "{line}");
}
