//! Connecting: from the first SYN to a connection, a refusal, or nothing.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

use super::connection::{Connection, End};
use super::pipe::Pipe;
use super::state::{ConnId, DialId, Host, State};
use crate::engine::NodeId;

/// How often a SYN is sent again, as by Linux: after 1, 3, 7, 15, 31 and 63 seconds; 127 seconds in all.
const SYN_RETRIES: u32 = 6;

/// The buffers of a connection where nothing else is said.
pub(super) const USUAL_BUFFER: usize = 256 << 10;

/// An attempt to connect.
#[derive(Debug)]
pub(super) struct Dial {
    from: SocketAddr,
    node: NodeId,
    target: NodeId,
    port: u16,
    syns: u32,
    /// What the other side made of the SYN.
    conn: Option<ConnId>,
    result: Option<io::Result<ConnId>>,
    waker: Option<Waker>,
}

impl Host {
    fn addr(&self, port: u16) -> SocketAddr {
        (self.ip, port).into()
    }
}

impl State {
    /// Begins to connect.
    pub(super) fn dial(&mut self, node: NodeId, target: NodeId, port: u16) -> DialId {
        let id = DialId(self.next_id());
        let host = self.host_mut(node);
        let free = host.free_port();
        let from = host.addr(free);
        let dial = Dial { from, node, target, port, syns: 0, conn: None, result: None, waker: None };
        self.dials.insert(id, dial);
        self.send_syn(id);
        id
    }

    fn send_syn(&mut self, id: DialId) {
        let Some(dial) = self.dials.get_mut(&id).filter(|dial| dial.result.is_none()) else { return };
        let (node, target, syns) = (dial.node, dial.target, dial.syns);
        if syns > SYN_RETRIES {
            return self.finish(id, Err(io::Error::new(io::ErrorKind::TimedOut, "no answer (simulated)")));
        }
        dial.syns += 1;
        let now_us = self.timeline.now_us();
        let at_us = now_us + self.latency_us(node, target);
        self.later(at_us, move |state| state.syn_arrives(id));
        self.later(now_us + (1_000_000 << syns), move |state| state.send_syn(id));
    }

    fn finish(&mut self, id: DialId, result: io::Result<ConnId>) {
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.result = Some(result);
            self.to_wake.extend(dial.waker.take());
        }
    }

    fn syn_arrives(&mut self, id: DialId) {
        let Some(dial) = self.dials.get(&id).filter(|dial| dial.result.is_none()) else { return };
        let (node, target, port, conn) = (dial.node, dial.target, dial.port, dial.conn);
        if self.loses(node, target) || !self.host(target).has_power {
            return self.note(target, id.0 << 32 | 4, || format!("a SYN from {node} is lost"));
        }
        self.note(target, id.0 << 32 | 5, || format!("a SYN from {node} for port {port}"));
        let is_listening = self.host(target).listening.contains_key(&port);
        match conn {
            None if !is_listening => self.answer_syn(id, move |state| {
                let error = io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens (simulated)");
                state.finish(id, Err(error));
            }),
            None => self.take_syn(id),
            Some(conn) => self.answer_syn(id, move |state| state.finish(id, Ok(conn))),
        }
    }

    /// A listener gets a connection that waits to be accepted, or has no room and says nothing.
    fn take_syn(&mut self, id: DialId) {
        let Some(dial) = self.dials.get(&id) else { return };
        let (node, target, port, from) = (dial.node, dial.target, dial.port, dial.from);
        let conn = ConnId(self.next_id());
        let (near_boot, far_boot) = (self.host(node).boot, self.host(target).boot);
        let far_addr = self.host(target).addr(port);
        let Some(listening) = self.host_mut(target).listening.get_mut(&port) else { return };
        // Linux lets one more wait than it was asked to.
        if listening.waiting.len() > listening.backlog {
            return;
        }
        listening.waiting.push_back(conn);
        let (send_limit, receive_limit) = (listening.send_limit, listening.receive_limit);
        let acceptor = listening.acceptor.take();
        self.to_wake.extend(acceptor);
        let end = |node, boot, addr| End { node, boot, addr, is_open: true, is_reset: false };
        let connection = Connection {
            ends: [end(node, near_boot, from), end(target, far_boot, far_addr)],
            pipes: [Pipe::new(USUAL_BUFFER, receive_limit), Pipe::new(send_limit, USUAL_BUFFER)],
        };
        self.connections.insert(conn, connection);
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.conn = Some(conn);
        }
        self.answer_syn(id, move |state| state.finish(id, Ok(conn)));
    }

    /// The answer to a SYN is on its way. If it is lost, the next SYN asks for it again.
    fn answer_syn(&mut self, id: DialId, then: impl FnOnce(&mut Self) + Send + 'static) {
        let Some(dial) = self.dials.get(&id) else { return };
        let (node, target) = (dial.node, dial.target);
        let at_us = self.timeline.now_us() + self.latency_us(target, node);
        self.later(at_us, move |state| {
            let is_waiting = state.dials.get(&id).is_some_and(|dial| dial.result.is_none());
            if is_waiting && !state.loses(target, node) {
                then(state);
            }
        });
    }

    pub(super) fn poll_dial(&mut self, id: DialId, cx: &Context<'_>) -> Poll<io::Result<ConnId>> {
        let Some(dial) = self.dials.get_mut(&id) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        match dial.result.take() {
            Some(result) => {
                self.dials.remove(&id);
                Poll::Ready(result)
            }
            None => {
                dial.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Whoever connected does not want to any more.
    pub(super) fn hang_up(&mut self, id: DialId) {
        if let Some(conn) = self.dials.remove(&id).and_then(|dial| dial.conn) {
            self.close(conn, 0);
        }
    }

    /// A machine stops: its processes, listeners and connections are gone, and nobody is told.
    pub(super) fn power_off(&mut self, node: NodeId) {
        let host = self.host_mut(node);
        host.has_power = false;
        host.boot += 1;
        host.bound.clear();
        host.listening.clear();
        self.dials.retain(|_, dial| dial.node != node);
        for connection in self.connections.values_mut() {
            for side in [0, 1] {
                if connection.ends[side].node == node {
                    connection.ends[side].is_open = false;
                    connection.pipes[side].abandon();
                }
            }
        }
        self.connections.retain(|_, connection| connection.ends.iter().any(|end| end.is_open));
    }
}
