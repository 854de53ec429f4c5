//! A broker of its own for a test: the real binary, on a free port, in a directory that goes with it.
#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

pub(crate) mod cluster;
pub(crate) mod dev;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use ottla_wire::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_wire::frame::encode_request;
use ottla_wire::header::parse_response;
use ottla_wire::{ApiKey, Message as _, RequestHeader};

/// A running `ottla serve`. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts a broker with these settings (`key=value`) over the defaults.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings)
    }

    /// Starts a broker that logs much, to this file.
    pub(crate) fn start_logging_to(file: std::fs::File) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
        command
            .args(["--log-level", "debug", "serve"])
            .args(["--override", "listeners=PLAINTEXT://127.0.0.1:0"])
            .args(["--override", "group.initial.rebalance.delay.ms=0"])
            .arg("--override")
            .arg(format!("log.dirs={}", directory.path().join("data").display()))
            .stderr(file);
        Self::spawn(command, directory)
    }

    fn start_in(directory: tempfile::TempDir, settings: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
        command
            .args(["--log-level", "error", "serve"])
            .args(["--override", "listeners=PLAINTEXT://127.0.0.1:0"]);
        command.arg("--override").arg(format!("log.dirs={}", directory.path().join("data").display()));
        for setting in settings {
            command.args(["--override", setting]);
        }
        Self::spawn(command, directory)
    }

    /// Starts a broker that environment variables alone tell what to do. The directory goes with it.
    pub(crate) fn start_by_environment(directory: tempfile::TempDir, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
        command.args(["--log-level", "error", "serve"]).envs(variables.iter().copied());
        Self::spawn(command, directory)
    }

    fn spawn(mut command: Command, directory: tempfile::TempDir) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let address = listening_address(&mut child);
        Self { child, address, directory }
    }

    /// Runs a client command against the broker, with this on its standard input.
    pub(crate) fn run(&self, line: &str, input: &str) -> Output {
        ottla(&format!("{line} -b {}", self.address), &[], input)
    }

    /// The same, which must succeed; gives what it printed.
    pub(crate) fn ok(&self, line: &str, input: &str) -> String {
        ok(&format!("{line} -b {}", self.address), input)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Stops it as an operator does, by SIGTERM, and starts it again in the same directory.
    pub(crate) fn restart(mut self, settings: &[&str]) -> Self {
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "SIGTERM ends it with {status}");
        let empty = tempfile::tempdir().unwrap();
        let directory = std::mem::replace(&mut self.directory, empty);
        drop(self);
        Self::start_in(directory, settings)
    }

    /// Kills it as a crash does, and starts it again in the same directory.
    pub(crate) fn crash_and_restart(mut self, settings: &[&str]) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let empty = tempfile::tempdir().unwrap();
        let directory = std::mem::replace(&mut self.directory, empty);
        drop(self);
        Self::start_in(directory, settings)
    }

    fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The memory that the process has in RAM.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }

    /// Asks for the versions that it serves.
    pub(crate) fn assert_answers(&self) {
        let header = RequestHeader::new(ApiKey::ApiVersions, 0, 1);
        let request = encode_request(&header, &ApiVersionsRequest::default().into()).unwrap();
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(&request.into_bytes()).unwrap();
        let mut prefix = [0; 4];
        stream.read_exact(&mut prefix).unwrap();
        let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
        stream.read_exact(&mut body).unwrap();
        let (_, mut reader) = parse_response(body.into(), ApiKey::ApiVersions, 0).unwrap();
        let response = ApiVersionsResponse::decode(&mut reader, 0).unwrap();
        assert!(!response.api_keys.is_empty());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command whose arguments are separated by spaces, with these variables and this on its standard input.
pub(crate) fn ottla(line: &str, variables: &[(&str, &str)], input: &str) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_ottla"))
        .args(line.split_whitespace())
        .env_remove("RUST_LOG")
        .env_remove("OTTLA_BOOTSTRAP_SERVERS")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let input = input.to_owned();
    // On a thread, since the command may fill its output before it has read all of this.
    let writer = std::thread::spawn(move || {
        // A command that needs no input does not read it.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = process.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Runs a command that must succeed; gives what it printed.
pub(crate) fn ok(line: &str, input: &str) -> String {
    let output = ottla(line, &[], input);
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command said on standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Reads what the broker says on its standard output until it names the address that it listens on.
pub(crate) fn listening_address(child: &mut Child) -> SocketAddr {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, rest) = line.split_once("127.0.0.1:")?;
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)))
    });
    // What it says later is read too, or a full pipe would stop it.
    std::thread::spawn(move || lines.for_each(drop));
    address.expect("the broker ended without naming its address")
}
