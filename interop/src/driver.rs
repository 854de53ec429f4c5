//! A client that is a library, driven through a program in its own language (`interop/clients/`).
//!
//! The program is started once with the bootstrap servers as its argument. It reads the name of a scenario from a line of
//! standard input, runs it, and answers with a line: `passed`, `not offered`, or `failed: REASON`. It ends when its
//! standard input does. Standard error is its log.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{self, Owned},
    scenario::Outcome,
};

/// The longest a scenario may take; a client that hangs must not hang the run.
const LIMIT: Duration = Duration::from_secs(90);

/// A scenario program. One that hangs or dies is started anew for the next scenario.
pub(crate) struct Driver {
    command: Command,
    log: PathBuf,
    running: Option<Running>,
}

struct Running {
    /// Kept for its end: the program does not outlive this.
    _process: Owned,
    requests: ChildStdin,
    answers: Receiver<String>,
}

impl Driver {
    /// Starts `command`, with standard error in `client.log` under `logs`.
    pub(crate) fn start(command: Command, logs: &Path) -> Result<Self> {
        let log = logs.join("client.log");
        command::open_log(&log)?.set_len(0).with_context(|| format!("cannot empty {}", log.display()))?;
        let mut driver = Self { command, log, running: None };
        driver.running = Some(driver.spawn()?);
        Ok(driver)
    }

    fn spawn(&mut self) -> Result<Running> {
        let errors = command::open_log(&self.log)?;
        let child = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).spawn();
        let mut process = Owned(child.with_context(|| format!("cannot run {:?}", self.command))?);
        let requests = process.0.stdin.take().context("no standard input")?;
        let output = process.0.stdout.take().context("no standard output")?;
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Running { _process: process, requests, answers })
    }

    /// Has it run one scenario.
    pub(crate) fn run(&mut self, scenario: &str) -> Result<Outcome> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.spawn()?,
        };
        let gone = || format!("the scenario program is gone; see {}", self.log.display());
        writeln!(running.requests, "{scenario}").with_context(gone)?;
        let answer = match running.answers.recv_timeout(LIMIT) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => bail!(gone()),
            Err(RecvTimeoutError::Timeout) => bail!("no answer within {LIMIT:?}; see {}", self.log.display()),
        };
        // Only now: what a program that was late answers would be taken for the answer to the next scenario.
        self.running = Some(running);
        match answer.as_str() {
            "passed" => Ok(Outcome::Passed),
            "not offered" => Ok(Outcome::NotOffered),
            other => match other.strip_prefix("failed: ") {
                Some(reason) => Ok(Outcome::Failed(reason.to_owned())),
                None => bail!("the scenario program answers {other:?}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_is_started_again_for_the_next_scenario() {
        let logs = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        let script = "while read name; do case $name in good) echo passed;; bad) echo failed: why;; *) exit;; esac; done";
        command.args(["-c", script]);
        let mut driver = Driver::start(command, logs.path()).unwrap();
        assert_eq!(driver.run("good").unwrap(), Outcome::Passed);
        assert!(driver.run("ends").unwrap_err().to_string().contains("the scenario program is gone"));
        assert_eq!(driver.run("bad").unwrap(), Outcome::Failed("why".to_owned()));
    }
}
