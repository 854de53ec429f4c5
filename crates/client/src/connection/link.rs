//! The task that owns a connection's stream: it writes requests as they come, and gives each the answer whose turn it is.
//!
//! Brokers answer a connection's requests in their order, so the oldest request in flight owns the next answer. A request
//! that runs out of time ends the connection: nothing behind it could be told from its late answer otherwise. A request
//! without an answer has to be written within its time.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Buf, Bytes};
use ottla_env::Stream;
use ottla_wire::{ApiKey, Frame, Inbox};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep};

use crate::address::Address;
use crate::error::Error;

/// The most chunks that one call writes.
const CHUNKS_PER_WRITE: usize = 64;

/// A request on its way to the link.
pub(super) struct Command {
    pub(super) frame: Frame,
    pub(super) api: ApiKey,
    pub(super) correlation_id: i32,
    pub(super) timeout: Duration,
    /// Whether the broker answers. It does not answer Produce with `acks=0`: then being written is all there is.
    pub(super) has_answer: bool,
    pub(super) answer: oneshot::Sender<Result<Bytes, Error>>,
}

/// Why the link ended, for requests that come too late to be told.
pub(super) type Ended = Arc<OnceLock<String>>;

struct InFlight {
    api: ApiKey,
    correlation_id: i32,
    timeout: Duration,
    deadline: Instant,
    answer: oneshot::Sender<Result<Bytes, Error>>,
}

/// Why the link ends.
enum End {
    /// Every handle is gone and nothing is owed to anybody.
    Idle,
    /// The connection is of no more use.
    Broken(String),
    /// The request that is first in flight ran out of time.
    TimedOut,
}

pub(super) struct Link {
    broker: Address,
    read: ReadHalf<Box<dyn Stream>>,
    write: WriteHalf<Box<dyn Stream>>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Whether a handle may still send commands.
    is_open: bool,
    inbox: Inbox,
    outbox: VecDeque<Bytes>,
    /// Whether bytes went into the outbox since it was last written out and flushed.
    needs_flush: bool,
    /// Bytes that were put into the outbox, and bytes that left it, since the connection stood.
    queued: u64,
    written: u64,
    /// Requests without an answer, and the count of written bytes at which they are done.
    unanswered: VecDeque<(u64, InFlight)>,
    in_flight: VecDeque<InFlight>,
    /// Set to the earliest deadline known when it was set, which is never too late.
    timer: Pin<Box<Sleep>>,
    ended: Ended,
}

impl Link {
    pub(super) fn new(
        broker: Address,
        stream: Box<dyn Stream>,
        max_response_bytes: u32,
        commands: mpsc::UnboundedReceiver<Command>,
        ended: Ended,
    ) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self {
            broker,
            read,
            write,
            commands,
            is_open: true,
            inbox: Inbox::new(max_response_bytes),
            outbox: VecDeque::new(),
            needs_flush: false,
            queued: 0,
            written: 0,
            unanswered: VecDeque::new(),
            in_flight: VecDeque::new(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            ended,
        }
    }

    /// Runs until the connection ends.
    pub(super) async fn run(mut self) {
        let end = loop {
            if let Err(end) = self.step().await {
                break end;
            }
        };
        self.finish(end);
    }

    /// Does the next thing that can be done.
    async fn step(&mut self) -> Result<(), End> {
        if !self.is_open && self.outbox.is_empty() && self.in_flight.is_empty() {
            return Err(End::Idle);
        }
        tokio::select! {
            biased;
            command = self.commands.recv(), if self.is_open => {
                self.take(command);
                Ok(())
            }
            written = write_or_flush(&mut self.write, &self.outbox), if self.needs_flush => {
                self.wrote(written)
            }
            read = self.read.read_buf(self.inbox.room()) => self.received(read),
            () = &mut self.timer, if self.is_waited_for() => self.check_deadlines(),
        }
    }

    /// Whether any request may run out of time.
    fn is_waited_for(&self) -> bool {
        !self.in_flight.is_empty() || !self.unanswered.is_empty()
    }

    fn take(&mut self, command: Option<Command>) {
        let Some(command) = command else {
            self.is_open = false;
            return;
        };
        self.queued += command.frame.len() as u64;
        self.outbox.extend(command.frame.into_chunks());
        self.needs_flush = true;
        let deadline = Instant::now() + command.timeout;
        if !self.is_waited_for() || deadline < self.timer.deadline() {
            self.timer.as_mut().reset(deadline);
        }
        let request = InFlight {
            api: command.api,
            correlation_id: command.correlation_id,
            timeout: command.timeout,
            deadline,
            answer: command.answer,
        };
        if command.has_answer {
            self.in_flight.push_back(request);
        } else {
            self.unanswered.push_back((self.queued, request));
        }
    }

    /// Takes note of what was written; `None` for a flush.
    fn wrote(&mut self, written: io::Result<Option<usize>>) -> Result<(), End> {
        let mut left = match written {
            Ok(None) => {
                self.needs_flush = false;
                return Ok(());
            }
            Ok(Some(0)) => return Err(End::Broken("the broker closed it".to_owned())),
            Ok(Some(written)) => written,
            Err(error) => return Err(End::Broken(error.to_string())),
        };
        self.written += left as u64;
        while let Some(chunk) = self.outbox.front_mut() {
            if left < chunk.len() {
                chunk.advance(left);
                break;
            }
            left -= chunk.len();
            self.outbox.pop_front();
        }
        while self.unanswered.front().is_some_and(|(at, _)| *at <= self.written) {
            if let Some((_, request)) = self.unanswered.pop_front() {
                // A caller that no longer waits has dropped its end.
                let _ = request.answer.send(Ok(Bytes::new()));
            }
        }
        Ok(())
    }

    fn received(&mut self, read: io::Result<usize>) -> Result<(), End> {
        match read {
            Ok(0) => return Err(End::Broken("the broker closed it".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(End::Broken(error.to_string())),
        }
        loop {
            match self.inbox.next_frame() {
                Ok(Some(frame)) => self.answer(frame)?,
                Ok(None) => return Ok(()),
                Err(bad) => return Err(End::Broken(bad.to_string())),
            }
        }
    }

    /// Gives a response to the request whose turn it is.
    fn answer(&mut self, frame: Bytes) -> Result<(), End> {
        let Some(oldest) = self.in_flight.pop_front() else {
            return Err(End::Broken("the broker sent an answer that nobody asked for".to_owned()));
        };
        let correlation_id = frame.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes));
        if correlation_id != Some(oldest.correlation_id) {
            let reason = format!(
                "the next answer belongs to request {}, and the broker sent one for {}",
                oldest.correlation_id,
                correlation_id.map_or_else(|| "none".to_owned(), |id| id.to_string()),
            );
            self.in_flight.push_front(oldest);
            return Err(End::Broken(reason));
        }
        let _ = oldest.answer.send(Ok(frame));
        Ok(())
    }

    fn check_deadlines(&mut self) -> Result<(), End> {
        let unanswered = self.unanswered.iter().map(|(_, request)| request);
        let Some((index, earliest)) = self
            .in_flight
            .iter()
            .chain(unanswered)
            .enumerate()
            .map(|(index, request)| (index, request.deadline))
            .min_by_key(|&(index, deadline)| (deadline, index))
        else {
            return Ok(());
        };
        if earliest <= Instant::now() {
            // The connection ends, so that order does not matter any more: all requests go where `finish` looks for them,
            // the one to blame first.
            self.in_flight.extend(self.unanswered.drain(..).map(|(_, request)| request));
            self.in_flight.swap(0, index);
            return Err(End::TimedOut);
        }
        self.timer.as_mut().reset(earliest);
        Ok(())
    }

    /// Tells every request that waits how it ended.
    fn finish(mut self, end: End) {
        let reason = match end {
            End::Idle => return,
            End::Broken(reason) => reason,
            End::TimedOut => self.time_out_first(),
        };
        tracing::debug!(broker = %self.broker, reason, "connection ended");
        // Requests that are still in the channel, or come later, find the reason here.
        let _ = self.ended.set(reason.clone());
        let unanswered = self.unanswered.into_iter().map(|(_, request)| request);
        for request in self.in_flight.into_iter().chain(unanswered) {
            let _ = request.answer.send(Err(Error::Disconnected {
                broker: self.broker.clone(),
                api: request.api,
                reason: reason.clone(),
            }));
        }
    }

    fn time_out_first(&mut self) -> String {
        let Some(request) = self.in_flight.pop_front() else { return String::new() };
        let (api, after) = (request.api, request.timeout);
        let _ = request.answer.send(Err(Error::TimedOut { broker: self.broker.clone(), api, after }));
        format!("a request for {api} before it was not answered within {} ms", after.as_millis())
    }
}

/// Writes some of the front of the outbox, or flushes where it is empty, which gives `None`. Safe to cancel: what is not
/// reported was not written.
async fn write_or_flush(
    write: &mut WriteHalf<Box<dyn Stream>>,
    outbox: &VecDeque<Bytes>,
) -> io::Result<Option<usize>> {
    if outbox.is_empty() {
        return write.flush().await.map(|()| None);
    }
    let slices: Vec<IoSlice<'_>> =
        outbox.iter().take(CHUNKS_PER_WRITE).map(|chunk| IoSlice::new(chunk)).collect();
    write.write_vectored(&slices).await.map(Some)
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
