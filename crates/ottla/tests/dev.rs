//! `ottla dev` as a person uses it: one terminal runs the cluster, another one tries faults on it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use common::dev::Dev;
use common::{ok, ottla, stderr};

/// One broker, on a port of the system's choice.
fn start(data: &Path, options: &[&str]) -> Dev {
    Dev::start(data, &[&["--port", "0"], options].concat())
}

#[test]
fn faults_from_another_terminal_reach_a_real_broker_and_its_data_stay() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("cluster");
    let mut dev = start(&data, &[]);
    let address = dev.address();
    let greeting = dev.heard("1 broker runs");
    assert!(greeting.starts_with("ottla dev | ") && greeting.contains("cluster"), "{greeting}");
    ok(&format!("topic create orders -b {address}"), "");

    let paused = ok(&dev.fault("pause 1"), "");
    assert!(paused.contains("broker 1 (process ") && paused.contains("is paused"), "{paused}");
    ok(&dev.fault("resume 1"), "");
    assert_eq!(ok(&format!("topic list -b {address}"), ""), "orders\n");

    assert!(ok(&dev.fault("kill 1"), "").contains("was killed"));
    let refused = ottla(&format!("topic list -b {address}"), &[], "");
    assert!(stderr(&refused).contains("Nothing listens on"), "{refused:?}");
    let refused = ottla(&dev.fault("pause 1"), &[], "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("broker 1 does not run: `ottla dev restart 1`"), "{refused:?}");

    ok(&dev.fault("restart 1"), "");
    let address = dev.address();
    assert_eq!(ok(&format!("topic list -b {address}"), ""), "orders\n");
    ok(&dev.fault("restart 1"), "");
    let address = dev.address();
    assert_eq!(ok(&format!("topic list -b {address}"), ""), "orders\n");

    let second = ottla(&format!("dev --port 0 --data {}", data.display()), &[], "");
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("runs in"), "{second:?}");

    assert!(dev.end("INT").success());
    assert!(data.join("broker-1").is_dir());
    let gone = ottla(&format!("dev pause 1 --data {}", data.display()), &[], "");
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("no cluster of `ottla dev` runs in"), "{gone:?}");
}

#[test]
fn an_ephemeral_cluster_leaves_no_data_even_if_a_broker_is_paused_when_it_ends() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("cluster");
    let mut dev = start(&data, &["--ephemeral"]);
    assert!(dev.heard("1 broker runs").contains("deleted at the end"));
    assert!(data.join("broker-1").is_dir());
    ok(&dev.fault("pause 1"), "");
    assert!(dev.end("TERM").success());
    assert!(!data.exists());
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_started() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("cluster");
    let output = ottla(&format!("dev --port {port} --ephemeral --data {}", data.display()), &[], "");
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(told.contains(&format!("broker 1 cannot listen on 127.0.0.1:{port}")), "{told}");
    assert!(output.stdout.is_empty() && !data.exists());
}

#[test]
fn brokers_that_cannot_start_end_it_with_their_reason() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("cluster");
    let line = format!("dev --port 0 --ephemeral --override num.partitions=none --data {}", data.display());
    let output = ottla(&line, &[], "");
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(told.contains("no broker runs any more") && told.contains("num.partitions=none"), "{told}");
    assert!(!data.exists());
}

#[test]
fn a_broker_does_not_outlive_a_supervisor_that_is_killed() {
    let parent = tempfile::tempdir().unwrap();
    let mut dev = start(parent.path(), &[]);
    let mut connection = TcpStream::connect(dev.address()).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    dev.child.kill().unwrap();
    dev.child.wait().unwrap();
    // The broker closes it when it ends, or the kernel does.
    match connection.read(&mut [0]) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn the_end_of_standard_output_stops_the_cluster() {
    let parent = tempfile::tempdir().unwrap();
    let mut dev = start(parent.path(), &[]);
    dev.heard("1 broker runs");
    dev.stop_reading();
    // It notices with the next line that there is to say: a broker's, or about this order, which is then done or refused.
    ottla(&dev.fault("pause 1"), &[], "");
    assert!(dev.child.wait().unwrap().success());
}
