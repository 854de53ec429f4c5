//! A client that is a library, driven through a program in its own language (`interop/clients/`).
//!
//! The program is started once with the bootstrap servers as its argument. It reads the name of a scenario from a line of
//! standard input, runs it, and answers with a line: `passed`, `not offered`, or `failed: REASON`. It ends when its
//! standard input does. Standard error is its log.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
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

/// A scenario program that is running.
pub(crate) struct Driver {
    process: Owned,
    requests: ChildStdin,
    answers: Receiver<String>,
    log: String,
}

impl Driver {
    /// Starts `command`, with standard error in `client.log` under `logs`.
    pub(crate) fn start(mut command: Command, logs: &Path) -> Result<Self> {
        let log = logs.join("client.log");
        let errors = command::open_log(&log)?;
        errors.set_len(0).with_context(|| format!("cannot empty {}", log.display()))?;
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).spawn();
        let mut process = Owned(child.with_context(|| format!("cannot run {command:?}"))?);
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
        Ok(Self { process, requests, answers, log: log.display().to_string() })
    }

    /// Has it run one scenario.
    pub(crate) fn run(&mut self, scenario: &str) -> Result<Outcome> {
        writeln!(self.requests, "{scenario}").with_context(|| self.gone())?;
        match self.answers.recv_timeout(LIMIT) {
            Ok(line) if line == "passed" => Ok(Outcome::Passed),
            Ok(line) if line == "not offered" => Ok(Outcome::NotOffered),
            Ok(line) => match line.strip_prefix("failed: ") {
                Some(reason) => Ok(Outcome::Failed(reason.to_owned())),
                None => bail!("the scenario program answers {line:?}"),
            },
            Err(RecvTimeoutError::Disconnected) => bail!(self.gone()),
            Err(RecvTimeoutError::Timeout) => {
                // Whatever it answers from now on would be taken for the answer to the next scenario.
                let _ = self.process.0.kill();
                bail!("no answer within {LIMIT:?}; see {}", self.log)
            }
        }
    }

    fn gone(&self) -> String {
        format!("the scenario program is gone; see {}", self.log)
    }
}
