//! A client that is a library, driven through a program in its own language (`interop/clients/`).
//!
//! The program is started once with the bootstrap servers as its argument. It reads a line of standard input, does what
//! it says, and answers with a line. It ends when its standard input does. Standard error is its log.
//!
//! A line is the name of one of the program's own scenarios, answered with `passed`, `not offered`, or `failed: REASON`;
//! or an operation ([`hands`](crate::hands)), `{"op": "produce", ...}`, answered with `{"ok": RESULT}`, with
//! `{"refused": CODE, "failed": TEXT}` when Kafka refuses it, `{"failed": TEXT}` when something else went wrong, and `{}`
//! when the client has no means for it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

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
        let mut driver = Self { command, log: logs.join("client.log"), running: None };
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

    /// Has it run one of its own scenarios.
    pub(crate) fn run(&mut self, scenario: &str) -> Result<Outcome> {
        let answer = self.exchange(scenario)?;
        match answer.as_str() {
            "passed" => Ok(Outcome::Passed),
            "not offered" => Ok(Outcome::NotOffered),
            other => match other.strip_prefix("failed: ") {
                Some(reason) => Ok(Outcome::Failed(reason.to_owned())),
                None => bail!("the scenario program answers {other:?}"),
            },
        }
    }

    /// Has it carry out one operation. The error is a [`Refused`] if Kafka said no, a [`NotOffered`] if the client cannot.
    pub(crate) fn ask(&mut self, operation: &Value) -> Result<Value> {
        let answer = self.exchange(&operation.to_string())?;
        let mut answer: Value = serde_json::from_str(&answer)
            .with_context(|| format!("the scenario program answers {}", command::last_lines(&answer, 1)))?;
        if let Some(done) = answer.get_mut("ok") {
            return Ok(done.take());
        }
        match (answer["refused"].as_i64(), answer["failed"].as_str()) {
            (Some(code), text) => {
                bail!(Refused { code, text: text.unwrap_or_default().to_owned() })
            }
            (None, Some(text)) => bail!("{text}"),
            (None, None) => bail!(NotOffered),
        }
    }

    fn exchange(&mut self, request: &str) -> Result<String> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.spawn()?,
        };
        let gone = || format!("the scenario program is gone; see {}", self.log.display());
        writeln!(running.requests, "{request}").with_context(gone)?;
        let answer = match running.answers.recv_timeout(LIMIT) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => bail!(gone()),
            Err(RecvTimeoutError::Timeout) => bail!("no answer within {LIMIT:?}; see {}", self.log.display()),
        };
        // Only now: what a program that was late answers would be taken for the answer to the next request.
        self.running = Some(running);
        Ok(answer)
    }
}

/// Kafka's refusal of an operation.
#[derive(Debug, thiserror::Error)]
#[error("refused with error {code}: {text}")]
pub(crate) struct Refused {
    /// Kafka's error code.
    pub(crate) code: i64,
    text: String,
}

/// The client has no means for an operation.
#[derive(Debug, thiserror::Error)]
#[error("the client does not offer this")]
pub(crate) struct NotOffered;

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
