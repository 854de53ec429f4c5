//! What happens to connections, and when.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::pipe::{FIRST_RTO_US, Fin, MAX_SEGMENT, Pipe, Segment};
use super::state::{ConnId, State};
use crate::engine::NodeId;

/// The one that connected is side 0, the one that accepted side 1.
pub(super) type Side = usize;

/// Said at once of an acknowledgement that a cut link keeps from its sender.
const UNKNOWN_US: u64 = u64::MAX;

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) node: NodeId,
    /// The start of the machine that it belongs to.
    pub(super) boot: u64,
    pub(super) addr: SocketAddr,
    /// Whether a process holds it, or will by accepting it.
    pub(super) is_open: bool,
    /// The peer has reset it.
    pub(super) is_reset: bool,
}

/// A connection: two ends, and a pipe from each.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) ends: [End; 2],
    pub(super) pipes: [Pipe; 2],
}

impl State {
    fn route(&self, conn: ConnId, from: Side) -> Option<(NodeId, NodeId)> {
        let connection = self.connections.get(&conn)?;
        Some((connection.ends[from].node, connection.ends[1 - from].node))
    }

    /// Whether an end is held by a process on a machine that has not started anew since.
    fn is_alive(&self, conn: ConnId, side: Side) -> bool {
        self.connections.get(&conn).is_some_and(|connection| {
            let end = &connection.ends[side];
            end.is_open && end.boot == self.host(end.node).boot
        })
    }

    fn wake_writer(&mut self, conn: ConnId, side: Side) {
        let waker =
            self.connections.get_mut(&conn).and_then(|connection| connection.pipes[side].writer.take());
        self.to_wake.extend(waker);
    }

    /// Sends what may be sent from a side.
    fn pump(&mut self, conn: ConnId, from: Side) {
        let Some((near, far)) = self.route(conn, from) else { return };
        loop {
            // A reader must not rely on getting at once what was written at once.
            let limit = if self.rng.one_in(16) { 1 + self.rng.index(2_000) } else { MAX_SEGMENT };
            let Some(connection) = self.connections.get_mut(&conn) else { return };
            let Some(segment) = connection.pipes[from].next_segment(limit) else { break };
            let arrives_us = self.arrival_us(near, far, segment.len());
            if let Some(connection) = self.connections.get_mut(&conn) {
                connection.pipes[from].send(arrives_us, segment);
            }
        }
        self.expect(conn, from);
    }

    /// Looks after the first segment on the way when it arrives.
    fn expect(&mut self, conn: ConnId, from: Side) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let pipe = &mut connection.pipes[from];
        if let (Some((at_us, _)), false) = (pipe.in_flight.front(), pipe.is_expected) {
            pipe.is_expected = true;
            let at_us = *at_us;
            self.later(at_us, move |state| state.arrived(conn, from));
        }
    }

    fn arrived(&mut self, conn: ConnId, from: Side) {
        let Some((near, far)) = self.route(conn, from) else { return };
        let is_cut = self.link(near, far).is_cut || !self.host(far).has_power;
        let is_lost = is_cut || self.loses(near, far);
        let is_alive = self.is_alive(conn, 1 - from);
        let now_us = self.timeline.now_us();
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let pipe = &mut connection.pipes[from];
        pipe.is_expected = false;
        let Some((at_us, segment)) = pipe.in_flight.front_mut() else { return };
        let len = segment.len() as u64;
        if is_lost {
            *at_us = now_us;
            let timeout_us = pipe.lose_first(is_cut);
            self.note(far, conn.0 << 32 | 1, || format!("{len} bytes from {near} are lost"));
            let wait_us = timeout_us.unwrap_or_else(|| self.latency_us(far, near));
            let again_us = now_us + wait_us + self.latency_us(near, far);
            if let Some(connection) = self.connections.get_mut(&conn)
                && let Some((at_us, _)) = connection.pipes[from].in_flight.front_mut()
            {
                *at_us = again_us;
            }
            return self.expect(conn, from);
        }
        self.note(far, conn.0 << 32 | len << 1, || format!("{len} bytes from {near}"));
        if is_alive { self.deliver(conn, from) } else { self.answer_with_reset(conn, from) }
    }

    /// Gives the receiver what has arrived.
    fn deliver(&mut self, conn: ConnId, from: Side) {
        let Some((near, far)) = self.route(conn, from) else { return };
        let now_us = self.timeline.now_us();
        let acked_us = if self.loses(far, near) { UNKNOWN_US } else { now_us + self.latency_us(far, near) };
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let pipe = &mut connection.pipes[from];
        match pipe.arrive(acked_us) {
            Some(Segment::Data(bytes)) => pipe.receive(bytes),
            Some(Segment::Fin) => pipe.has_ended = true,
            None => return,
        }
        self.to_wake.extend(pipe.reader.take());
        if acked_us == UNKNOWN_US {
            self.later(now_us + FIRST_RTO_US, move |state| state.acknowledge(conn, from, FIRST_RTO_US));
        } else if pipe.writer.is_some() {
            self.later(acked_us, move |state| state.wake_writer(conn, from));
        }
        self.expect(conn, from);
    }

    /// What was sent again, because no acknowledgement came, is acknowledged again.
    fn acknowledge(&mut self, conn: ConnId, from: Side, waited_us: u64) {
        let Some((near, far)) = self.route(conn, from) else { return };
        let now_us = self.timeline.now_us();
        if self.loses(far, near) || self.loses(near, far) || !self.host(far).has_power {
            let wait_us = (2 * waited_us).min(60_000_000);
            return self.later(now_us + wait_us, move |state| state.acknowledge(conn, from, wait_us));
        }
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.pipes[from].acknowledge_all(now_us);
        }
        self.wake_writer(conn, from);
        self.pump(conn, from);
    }

    /// Something came for an end that nobody has.
    fn answer_with_reset(&mut self, conn: ConnId, from: Side) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let is_fin = matches!(connection.pipes[from].in_flight.front(), Some((_, Segment::Fin)));
        connection.pipes[from].abandon();
        if !is_fin {
            self.send_reset(conn, 1 - from);
        }
    }

    /// A side resets the connection. Nobody sends it again if it is lost.
    pub(super) fn send_reset(&mut self, conn: ConnId, from: Side) {
        let Some((near, far)) = self.route(conn, from) else { return };
        let at_us = self.timeline.now_us() + self.latency_us(near, far);
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let behind_us = connection.pipes[from].in_flight.back().map_or(0, |(at_us, _)| *at_us);
        self.later(at_us.max(behind_us), move |state| {
            if !state.loses(near, far) && state.host(far).has_power {
                state.reset(conn, 1 - from);
            }
        });
    }

    /// A side learns that the connection is gone.
    pub(super) fn reset(&mut self, conn: ConnId, side: Side) {
        if !self.is_alive(conn, side) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let node = connection.ends[side].node;
        connection.ends[side].is_reset = true;
        connection.pipes[side].abandon();
        let [writer, reader] =
            [connection.pipes[side].writer.take(), connection.pipes[1 - side].reader.take()];
        self.to_wake.extend(writer.into_iter().chain(reader));
        self.note(node, conn.0 << 32 | 3, || format!("connection {} is reset", conn.0));
    }

    // What the processes that hold the ends do.

    pub(super) fn poll_read(
        &mut self,
        conn: ConnId,
        side: Side,
        limit: usize,
        cx: &Context<'_>,
    ) -> Poll<io::Result<Bytes>> {
        let Some(connection) = self.connections.get_mut(&conn) else { return Poll::Ready(Err(reset())) };
        let is_reset = connection.ends[side].is_reset;
        let pipe = &mut connection.pipes[1 - side];
        let Some(bytes) = pipe.read(limit) else {
            return match (is_reset, pipe.has_ended) {
                (true, _) => Poll::Ready(Err(reset())),
                (false, true) => Poll::Ready(Ok(Bytes::new())),
                (false, false) => {
                    pipe.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        };
        let is_waited_for = !pipe.unsent.is_empty() || pipe.fin == Fin::Wanted;
        if is_waited_for {
            self.tell_window(conn, 1 - side, FIRST_RTO_US);
        }
        Poll::Ready(Ok(bytes))
    }

    /// Tells the sender that there is room again.
    fn tell_window(&mut self, conn: ConnId, from: Side, retry_us: u64) {
        let Some((near, far)) = self.route(conn, from) else { return };
        let now_us = self.timeline.now_us();
        if self.loses(far, near) {
            // The sender asks now and then.
            let next_us = (2 * retry_us).min(60_000_000);
            return self.later(now_us + retry_us, move |state| state.tell_window(conn, from, next_us));
        }
        let at_us = now_us + self.latency_us(far, near);
        self.later(at_us, move |state| state.pump(conn, from));
    }

    pub(super) fn poll_write(
        &mut self,
        conn: ConnId,
        side: Side,
        buffers: &[io::IoSlice<'_>],
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let now_us = self.timeline.now_us();
        let Some(connection) = self.connections.get_mut(&conn) else { return Poll::Ready(Err(reset())) };
        if connection.ends[side].is_reset {
            return Poll::Ready(Err(reset()));
        }
        let pipe = &mut connection.pipes[side];
        if pipe.fin != Fin::NotYet {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = pipe.room(now_us);
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            match pipe.next_ack_us() {
                None | Some(UNKNOWN_US) => {}
                Some(at_us) => self.later(at_us, move |state| state.wake_writer(conn, side)),
            }
            return Poll::Pending;
        }
        let mut taken = Vec::with_capacity(room.min(buffers.iter().map(|buffer| buffer.len()).sum()));
        for buffer in buffers {
            taken.extend_from_slice(&buffer[..buffer.len().min(room - taken.len())]);
        }
        let len = taken.len();
        if len > 0 {
            pipe.push(taken.into());
            self.pump(conn, side);
        }
        Poll::Ready(Ok(len))
    }

    /// Nothing more is written.
    pub(super) fn shut_down(&mut self, conn: ConnId, side: Side) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let pipe = &mut connection.pipes[side];
        if pipe.fin == Fin::NotYet && !connection.ends[side].is_reset {
            pipe.fin = Fin::Wanted;
            self.pump(conn, side);
        }
    }

    /// Nobody holds the end any more, by closing it, or by dying.
    pub(super) fn close(&mut self, conn: ConnId, side: Side) {
        let is_alive = self.is_alive(conn, side);
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.ends[side].is_open = false;
        if !connection.ends[1 - side].is_open {
            self.connections.remove(&conn);
            return;
        }
        if !is_alive || connection.ends[side].is_reset {
            return;
        }
        if connection.pipes[1 - side].unread_bytes > 0 {
            connection.pipes[side].stop();
            self.send_reset(conn, side);
        } else {
            self.shut_down(conn, side);
        }
    }
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the peer reset the connection (simulated)")
}
