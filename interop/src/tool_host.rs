//! Kafka's command-line tools in one JVM: the near end of `interop/clients/kafka-tools/ToolHost.java`, where the frames
//! are described.

use std::{
    collections::HashMap,
    io::{BufReader, Read, Write as _},
    path::Path,
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::command::{self, Exchange, Owned, eventually};

/// The longest that one tool may take.
const LIMIT: Duration = Duration::from_secs(90);

/// A JVM that waits for tools to run.
pub(crate) struct ToolHost {
    process: Owned,
    requests: ChildStdin,
    runs: Arc<Mutex<HashMap<u32, Progress>>>,
    next: u32,
}

/// What a run has printed so far, and its exit status once it has one.
#[derive(Debug, Default)]
struct Progress {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: Option<i32>,
}

/// A tool that is running.
pub(crate) struct Running(u32);

impl ToolHost {
    /// Starts `command`, the host's JVM, with what belongs to no tool in `client.log` under `logs`.
    pub(crate) fn start(mut command: Command, logs: &Path) -> Result<Self> {
        let errors = command::open_log(&logs.join("client.log"))?;
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).spawn();
        let mut process = Owned(child.with_context(|| format!("cannot run {command:?}"))?);
        let requests = process.0.stdin.take().context("no standard input")?;
        let answers = process.0.stdout.take().context("no standard output")?;
        let runs = Arc::new(Mutex::new(HashMap::new()));
        let shared = Arc::clone(&runs);
        // It ends with the host's output.
        thread::spawn(move || {
            let _ = collect(answers, &shared);
        });
        Ok(Self { process, requests, runs, next: 0 })
    }

    /// Starts the tool whose main class is `class`.
    pub(crate) fn begin(&mut self, class: &str, arguments: &[&str], input: &[u8]) -> Result<Running> {
        self.next += 1;
        let mut frame = self.next.to_be_bytes().to_vec();
        put(&mut frame, class.as_bytes())?;
        frame.extend(u32::try_from(arguments.len())?.to_be_bytes());
        for argument in arguments {
            put(&mut frame, argument.as_bytes())?;
        }
        put(&mut frame, input)?;
        self.with_run(self.next, |_| ());
        self.requests.write_all(&frame).context("the tools' JVM is gone")?;
        self.requests.flush().context("the tools' JVM is gone")?;
        Ok(Running(self.next))
    }

    /// Waits until the tool's standard output contains `text`.
    pub(crate) fn wait_for_output(&mut self, running: &Running, text: &str) -> Result<()> {
        let seen = self.wait(running, |progress| {
            let printed = String::from_utf8_lossy(&progress.stdout).contains(text);
            (printed || progress.status.is_some()).then_some(printed)
        })?;
        if seen { Ok(()) } else { bail!("the tool ended without printing {text:?}") }
    }

    /// Waits for the tool's end.
    pub(crate) fn end(&mut self, running: &Running) -> Result<Exchange> {
        self.wait(running, |progress| {
            let status = progress.status?;
            let stderr = String::from_utf8_lossy(&progress.stderr).into_owned();
            Some(Exchange { success: status == 0, stdout: std::mem::take(&mut progress.stdout), stderr })
        })
    }

    fn wait<T>(&mut self, running: &Running, mut check: impl FnMut(&mut Progress) -> Option<T>) -> Result<T> {
        let found = eventually(LIMIT, || {
            if let Some(status) = self.process.status()? {
                bail!("the tools' JVM ended with {status}");
            }
            Ok(self.with_run(running.0, &mut check))
        })?;
        match found {
            Some(value) => Ok(value),
            None => {
                let told = self.with_run(running.0, |progress| {
                    command::last_lines(&String::from_utf8_lossy(&progress.stderr), 8)
                });
                bail!("the tool is still at it after {LIMIT:?}: {told}")
            }
        }
    }

    fn with_run<T>(&self, id: u32, act: impl FnOnce(&mut Progress) -> T) -> T {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        act(runs.entry(id).or_default())
    }
}

fn put(frame: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    frame.extend(u32::try_from(bytes.len())?.to_be_bytes());
    frame.extend(bytes);
    Ok(())
}

/// Sorts what the host answers to the runs it belongs to.
fn collect(answers: ChildStdout, runs: &Mutex<HashMap<u32, Progress>>) -> std::io::Result<()> {
    let mut answers = BufReader::with_capacity(1 << 16, answers);
    loop {
        let id = number(&mut answers)?;
        let mut kind = [0];
        answers.read_exact(&mut kind)?;
        let value = number(&mut answers)?;
        let mut bytes = Vec::new();
        if kind != *b"x" {
            bytes.resize(value as usize, 0);
            answers.read_exact(&mut bytes)?;
        }
        let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
        let run = runs.entry(id).or_default();
        match &kind {
            b"x" => run.status = Some(value.cast_signed()),
            b"o" => run.stdout.extend(bytes),
            _ => run.stderr.extend(bytes),
        }
    }
}

fn number(from: &mut impl Read) -> std::io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}
