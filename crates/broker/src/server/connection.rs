//! One client's connection, served by one task.
//!
//! Requests are handled in the order of their arrival, up to and including their effect on the log; only what an
//! answer still waits for (replicas, new records) overlaps. Answers go out in the order of the requests. So a
//! producer with five requests in flight waits for one round of replication, not for five.
//!
//! What is not here: what a request means. That is the [`Service`]'s.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use ottla_env::Stream;
use ottla_wire::{FrameError, Inbox};

use super::answers::{Answers, Done};
use super::limits::{RequestBytes, RequestMemory};
use super::listener::Shared;
use super::outbox::Outbox;
use super::principal::Principal;
use super::responses::ResponseBytes;
use super::traffic::Traffic;

/// Answers are written when this much has gathered, before further requests are looked at.
const FLUSH_AT: usize = 1 << 20;

/// Requests up to this size are read without asking for room: asking would cost more than they do. Larger ones ask for
/// what has arrived of them, not for what they announce, so that no room is held by promises.
const SMALL_REQUEST: usize = 16 << 10;

/// An encoded response, its length prefix included.
pub(crate) type ResponseChunks = Vec<Bytes>;

/// An answer that is awaited.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Handled> + Send>>;

/// What a request led to.
pub(crate) enum Handled {
    /// The answer.
    Now(ResponseChunks),
    /// The answer comes later; the request has had its effect.
    Later(Waiting),
    /// A request that is not answered (Produce with `acks=0`).
    Silent,
    /// The connection cannot go on, for this reason.
    Close(String),
}

/// Handles the requests of all connections.
pub(crate) trait Service: Send + Sync + 'static {
    /// Handles the request in `frame` (without its length prefix), whose last byte had arrived at `read_at`.
    fn call<'a>(
        &'a self,
        peer: &'a Peer,
        frame: Bytes,
        read_at: Instant,
    ) -> impl Future<Output = Handled> + Send + 'a;

    /// Takes note that a connection has ended, whichever side ended it. Its address was nobody else's until now.
    fn ended(&self, _peer: &Peer) {}
}

/// Who is connected, and where.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The client's address.
    pub(crate) address: SocketAddr,
    /// The name of the listener that it reached, as in `listeners`.
    pub(crate) listener: Arc<str>,
    /// Who it is.
    pub(crate) principal: Principal,
}

/// The settings of connections.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionSettings {
    /// `socket.request.max.bytes`.
    pub(crate) max_request_bytes: u32,
    /// `connections.max.idle.ms`.
    pub(crate) max_idle: Duration,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("the client closed it")]
    ByPeer,
    #[error("the broker stops")]
    Stopping,
    #[error("nothing moved for connections.max.idle.ms ({0:?})")]
    Idle(Duration),
    #[error("{0} (socket.request.max.bytes is the limit of a request)")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Protocol(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Serves a connection until it ends, and says why it did.
pub(crate) async fn serve<S: Service>(stream: Box<dyn Stream>, peer: Peer, shared: Shared<S>) -> Ended {
    let now = Instant::now();
    let mut connection = Connection {
        stream,
        peer,
        service: shared.service,
        memory: shared.memory,
        stop: shared.stop,
        max_idle: shared.settings.max_idle,
        inbox: Inbox::new(shared.settings.max_request_bytes),
        outbox: Outbox::default(),
        answers: Answers::default(),
        reserved: RequestBytes::default(),
        unsent: shared.responses.account(),
        traffic: shared.traffic,
        read_at: now,
        last_moved: now,
    };
    let Err(ended) = connection.run().await;
    if matches!(ended, Ended::Frame(_) | Ended::Protocol(_)) {
        // The requests before the one at fault have had their effect, and their answers may still be here. Whether they
        // can be sent does not change why the connection ends.
        let _ = connection.flush().await;
    }
    ended
}

struct Connection<S> {
    stream: Box<dyn Stream>,
    peer: Peer,
    service: Arc<S>,
    memory: RequestMemory,
    stop: watch::Receiver<bool>,
    max_idle: Duration,
    inbox: Inbox,
    outbox: Outbox,
    answers: Answers,
    /// The room for the request that is being read.
    reserved: RequestBytes,
    /// The bytes of answers that are here.
    unsent: ResponseBytes,
    traffic: Arc<Traffic>,
    /// When bytes last came.
    read_at: Instant,
    last_moved: Instant,
}

enum Event {
    Answered(Done),
    Read(io::Result<usize>),
    Stop,
    IdleTimer,
}

impl<S: Service> Connection<S> {
    async fn run(&mut self) -> Result<std::convert::Infallible, Ended> {
        let mut idle = Box::pin(tokio::time::sleep(self.max_idle));
        loop {
            // A connection whose requests never end must see it too.
            if self.stop.has_changed().unwrap_or(true) {
                return Err(Ended::Stopping);
            }
            self.handle_frames().await?;
            self.flush().await?;
            self.unsent.set(self.answers.ready_bytes());
            match self.next_event(idle.as_mut()).await {
                Event::Answered(done) => {
                    self.send(done)?;
                    // Those that were done behind it leave with it, in one write.
                    while let Some(done) = self.answers.pop_done() {
                        self.send(done)?;
                    }
                }
                Event::Read(Ok(0)) => return Err(Ended::ByPeer),
                Event::Read(Ok(bytes)) => {
                    self.traffic.note_in(bytes);
                    self.read_at = Instant::now();
                    self.last_moved = self.read_at;
                }
                Event::Read(Err(error)) => return Err(error.into()),
                Event::Stop => return Err(Ended::Stopping),
                Event::IdleTimer => {
                    let deadline = self.last_moved + self.max_idle;
                    if self.answers.is_empty() && deadline <= Instant::now() {
                        return Err(Ended::Idle(self.max_idle));
                    }
                    idle.as_mut().reset(deadline.max(Instant::now() + self.max_idle / 2));
                }
            }
        }
    }

    /// Handles every whole request that has arrived.
    async fn handle_frames(&mut self) -> Result<(), Ended> {
        while !self.answers.is_full() {
            let Some(frame) = self.inbox.next_frame()? else { break };
            let handled = self.service.call(&self.peer, frame, self.read_at).await;
            self.reserved = RequestBytes::default();
            match handled {
                // The usual case goes out without a detour.
                Handled::Now(chunks) if self.answers.is_empty() => self.outbox.push(chunks),
                Handled::Close(reason) => return Err(Ended::Protocol(reason)),
                handled => self.answers.push(handled),
            }
            if self.outbox.remaining() >= FLUSH_AT {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Puts an answer whose turn it is on its way.
    fn send(&mut self, done: Done) -> Result<(), Ended> {
        match done {
            Done::Send(chunks) => self.outbox.push(chunks),
            Done::Silent => {}
            Done::Close(reason) => return Err(Ended::Protocol(reason)),
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        while self.outbox.has_remaining() {
            self.unsent.set(self.outbox.remaining() + self.answers.ready_bytes());
            let write = self.stream.write_buf(&mut self.outbox);
            let written = tokio::select! {
                biased;
                written = tokio::time::timeout(self.max_idle, write) => written,
                () = stopped(&mut self.stop) => return Err(Ended::Stopping),
            };
            match written {
                Ok(Ok(0)) => return Err(Ended::ByPeer),
                Ok(written) => self.traffic.note_out(written?),
                Err(_) => return Err(Ended::Idle(self.max_idle)),
            };
            self.last_moved = Instant::now();
        }
        Ok(())
    }

    async fn next_event(&mut self, idle: Pin<&mut Sleep>) -> Event {
        let may_read = !self.answers.is_full();
        let Self { answers, inbox, memory, reserved, stream, stop, .. } = self;
        let read = async {
            if matches!(inbox.frame_size(), Ok(Some(size)) if size > SMALL_REQUEST) {
                memory.reserve(reserved, inbox.buffered()).await;
            }
            stream.read_buf(inbox.room()).await
        };
        tokio::select! {
            biased;
            done = std::future::poll_fn(|cx| answers.poll_next(cx)) => Event::Answered(done),
            read = read, if may_read => Event::Read(read),
            () = stopped(stop) => Event::Stop,
            () = idle => Event::IdleTimer,
        }
    }
}

/// Waits for the broker to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the broker.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
