//! One process of a local cluster: started, listened to, signalled, and waited for.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::printer::Line;

/// The longest line that is kept together.
const LONGEST_LINE: usize = 16 * 1024;

/// What begins the line by which a broker says that it listens.
const LISTENING: &[u8] = b"Listening on ";

/// How long the output of a process that has ended is still read: a process that it started could hold it open.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);

/// What to run.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

/// Which start of which node: a message about an earlier one is not taken for one about this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) id: i32,
    pub(super) number: u64,
}

/// What happened to a process.
#[derive(Debug)]
pub(super) enum Event {
    /// It said that it listens.
    Listening(Run),
    /// It ended: how, and the last thing that it said on standard error if it ended with an error. What it said before a
    /// signal killed it is not why it ended.
    Ended(Run, io::Result<ExitStatus>, String),
}

/// A process that runs.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) run: Run,
    pub(super) pid: u32,
    signals: mpsc::UnboundedSender<Signal>,
}

impl Child {
    /// Starts a process. What it says goes to `lines`, and what happens to it to `events`.
    pub(super) fn start(
        run: Run,
        program: &Program,
        lines: &mpsc::Sender<Line>,
        events: &mpsc::UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let mut process = Command::new(&program.program)
            .args(&program.arguments)
            // Held open for as long as this program runs: should it be killed, its brokers see the end of it.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C is for this program, which then stops the brokers in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = process.id().ok_or_else(|| io::Error::other("the process has no id"))?;
        let says = process.stdout.take().map(|out| read(out, run, lines.clone(), Some(events.clone())));
        let complains = process.stderr.take().map(|err| read(err, run, lines.clone(), None));
        let (signals, mut received) = mpsc::unbounded_channel();
        let events = events.clone();
        // Taken out, since waiting for the process would close it.
        let held_open = process.stdin.take();
        tokio::spawn(async move {
            let status = loop {
                tokio::select! {
                    biased;
                    status = process.wait() => break status,
                    Some(signal) = received.recv() => send(process.id(), signal),
                }
            };
            drop(held_open);
            let mut last_words = last_words(says, complains).await;
            if !status.as_ref().is_ok_and(|status| status.code().is_some_and(|code| code != 0)) {
                last_words.clear();
            }
            // Nobody listens when this program ends.
            let _ = events.send(Event::Ended(run, status, last_words));
        });
        Ok(Self { run, pid, signals })
    }

    /// Sends a signal, unless the process has ended.
    pub(super) fn signal(&self, signal: Signal) {
        // The task that receives it ends with the process.
        let _ = self.signals.send(signal);
    }
}

/// The id is there as long as the process was not waited for, so that nobody else has it yet.
fn send(pid: Option<u32>, signal: Signal) {
    let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, signal)
    {
        tracing::warn!("cannot send {signal:?} to process {pid:?}: {error}");
    }
}

/// What was said last on standard error, else on standard output, once all of both is read.
async fn last_words(says: Option<JoinHandle<String>>, complains: Option<JoinHandle<String>>) -> String {
    let mut last_words = String::new();
    for reader in [says, complains].into_iter().flatten() {
        if let Ok(Ok(said)) = tokio::time::timeout(LAST_WORDS_WITHIN, reader).await
            && !said.is_empty()
        {
            last_words = said;
        }
    }
    last_words
}

/// Passes on what comes, line by line; gives the last line that says anything.
fn read(
    from: impl AsyncRead + Unpin + Send + 'static,
    run: Run,
    lines: mpsc::Sender<Line>,
    listening: Option<mpsc::UnboundedSender<Event>>,
) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut from = BufReader::new(from);
        let mut last = String::new();
        while let Some(text) = line(&mut from).await {
            let listening = listening.as_ref().filter(|_| text.starts_with(LISTENING));
            let words = text.trim_ascii();
            if !words.is_empty() {
                // It is told by the same program, which says its name itself.
                last = String::from_utf8_lossy(words.strip_prefix(b"ottla: ").unwrap_or(words)).into_owned();
            }
            // It is read on when nobody prints, or the process would stand still.
            let _ = lines.send(Line { from: Some(run.id), text }).await;
            // Behind the line: what is said of it by others comes after it.
            if let Some(events) = listening {
                // Nobody listens when this program ends.
                let _ = events.send(Event::Listening(run));
            }
        }
        last
    })
}

/// The next line, without its end; a longer one in pieces. `None` at the end, of which an error is one way.
async fn line(from: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    loop {
        let ready = from.fill_buf().await.ok()?;
        if ready.is_empty() {
            return Some(text).filter(|text| !text.is_empty());
        }
        let room = LONGEST_LINE - text.len();
        let ready = ready.get(..room).unwrap_or(ready);
        let end = ready.iter().position(|&byte| byte == b'\n');
        text.extend_from_slice(ready.get(..end.unwrap_or(ready.len())).unwrap_or_default());
        let used = end.map_or(ready.len(), |end| end + 1);
        from.consume(used);
        if end.is_some() || text.len() == LONGEST_LINE {
            return Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn that_a_broker_listens_is_told_behind_the_line_that_says_so() {
        let (lines, mut said) = mpsc::channel(1);
        lines.send(Line { from: None, text: b"there is no room".to_vec() }).await.unwrap();
        let (events, mut happened) = mpsc::unbounded_channel();
        let run = Run { id: 1, number: 1 };
        read(&b"Listening on nothing\n"[..], run, lines, Some(events));
        // It has read the line by then, and waits for room.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(happened.try_recv().is_err(), "the line is not on its way yet");
        said.recv().await.unwrap();
        assert!(matches!(happened.recv().await, Some(Event::Listening(of)) if of == run));
        assert_eq!(said.recv().await.unwrap().text, b"Listening on nothing");
    }

    #[tokio::test]
    async fn lines_come_one_by_one_and_long_ones_in_pieces() {
        let mut input = b"one\n\ntwo\n".to_vec();
        input.extend(vec![b'x'; LONGEST_LINE + 5]);
        input.extend(b"\nno end");
        let mut from = BufReader::new(&input[..]);
        let mut lengths = Vec::new();
        while let Some(text) = line(&mut from).await {
            lengths.push(text.len());
        }
        assert_eq!(lengths, [3, 0, 3, LONGEST_LINE, 5, 6]);
    }
}
