//! A running `ottla dev` for a test, as a person has it in a terminal.
#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long is waited for what is to be said. No test is right because of it; a wrong one ends.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running `ottla dev`. Ended when dropped, and its brokers with it.
pub(crate) struct Dev {
    pub(crate) child: Child,
    said: Lines<BufReader<ChildStdout>>,
    data: PathBuf,
}

impl Dev {
    pub(crate) fn start(data: &Path, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ottla"))
            .args(["dev", "--data"])
            .arg(data)
            .args(options)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, said, data: data.to_owned() }
    }

    /// Reads what is said until a line has this in it.
    pub(crate) fn heard(&mut self, part: &str) -> String {
        let limit = Limit::on(&self.child);
        let mut said = self.said.by_ref().map_while(Result::ok);
        let heard = said.find(|line| line.contains(part));
        drop(limit);
        heard.unwrap_or_else(|| {
            panic!("nobody said {part} before the end, or within {} s", PATIENCE.as_secs())
        })
    }

    /// The address that broker 1 says that it listens on.
    pub(crate) fn address(&mut self) -> String {
        let line = self.heard("Listening on ");
        assert!(line.starts_with("broker 1 | "), "{line}");
        line.rsplit_once("//").unwrap().1.to_owned()
    }

    /// The line that does something to a broker of it, such as `kill 1`.
    pub(crate) fn fault(&self, command: &str) -> String {
        format!("dev {command} --data {}", self.data.display())
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Reads no more of what it says: for it, standard output is closed.
    pub(crate) fn stop_reading(&mut self) {
        let closed = Command::new("true").stdout(Stdio::piped()).spawn().unwrap().stdout.take().unwrap();
        self.said = BufReader::new(closed).lines();
    }

    /// Ends it by a signal, and reads what it says until then.
    pub(crate) fn end(mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.ended()
    }

    /// Waits for its end, and reads what it says until then.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let _limit = Limit::on(&self.child);
        self.said.by_ref().for_each(drop);
        self.child.wait().unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // In order if it still runs, for its brokers' sake. It is gone after `end`.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("TERM");
            self.ended();
        }
    }
}

/// Kills a process that is waited for too long, which ends the wait: dropped in time it does nothing.
struct Limit(Sender<()>);

impl Limit {
    fn on(child: &Child) -> Self {
        let (sender, dropped): (Sender<()>, Receiver<()>) = channel();
        let pid = child.id().to_string();
        std::thread::spawn(move || {
            if dropped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                // It may have ended just now.
                let _ = Command::new("kill").args(["-KILL", &pid]).status();
            }
        });
        Self(sender)
    }
}
