//! One direction of a connection: the sender's buffer, what is on its way, and the receiver's buffer.
//!
//! Plain state: when things happen is decided in [`super::connection`].

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;

/// How long the sender waits for an acknowledgement before it sends a segment again, at first; doubled each time.
pub(super) const FIRST_RTO_US: u64 = 200_000;

/// The longest such wait.
const MAX_RTO_US: u64 = 120_000_000;

/// The largest segment.
pub(super) const MAX_SEGMENT: usize = 64 << 10;

/// What is on its way.
#[derive(Debug)]
pub(super) enum Segment {
    Data(Bytes),
    /// There is nothing behind this.
    Fin,
}

impl Segment {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Data(bytes) => bytes.len(),
            Self::Fin => 0,
        }
    }
}

/// How far the end of a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fin {
    NotYet,
    /// The writer is done, and bytes wait to be sent.
    Wanted,
    Sent,
}

/// Bytes on their way from one end of a connection to the other.
#[derive(Debug)]
pub(super) struct Pipe {
    // The sender's side.
    send_limit: usize,
    pub(super) unsent: VecDeque<Bytes>,
    unsent_bytes: usize,
    /// Sent, and not known to have arrived.
    unacked_bytes: usize,
    /// When so many bytes are known to have arrived, in order.
    acks: VecDeque<(u64, usize)>,
    pub(super) fin: Fin,
    pub(super) writer: Option<Waker>,
    // On the way.
    pub(super) in_flight: VecDeque<(u64, Segment)>,
    in_flight_bytes: usize,
    rto_us: u64,
    /// An event is under way that looks after the first segment.
    pub(super) is_expected: bool,
    // The receiver's side.
    receive_limit: usize,
    pub(super) unread: VecDeque<Bytes>,
    pub(super) unread_bytes: usize,
    pub(super) has_ended: bool,
    pub(super) reader: Option<Waker>,
}

impl Pipe {
    pub(super) fn new(send_limit: usize, receive_limit: usize) -> Self {
        Self {
            send_limit,
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            unacked_bytes: 0,
            acks: VecDeque::new(),
            fin: Fin::NotYet,
            writer: None,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            rto_us: FIRST_RTO_US,
            is_expected: false,
            receive_limit,
            unread: VecDeque::new(),
            unread_bytes: 0,
            has_ended: false,
            reader: None,
        }
    }

    /// The room in the sender's buffer.
    pub(super) fn room(&mut self, now_us: u64) -> usize {
        while let Some((_, len)) = self.acks.pop_front_if(|(at_us, _)| *at_us <= now_us) {
            self.unacked_bytes -= len;
        }
        self.send_limit.saturating_sub(self.unsent_bytes + self.unacked_bytes)
    }

    /// When more room is expected.
    pub(super) fn next_ack_us(&self) -> Option<u64> {
        self.acks.front().map(|(at_us, _)| *at_us)
    }

    /// Takes bytes from the writer.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.unsent_bytes += bytes.len();
        self.unsent.push_back(bytes);
    }

    /// The next segment that may be sent, as far as the receiver has room for it.
    pub(super) fn next_segment(&mut self, limit: usize) -> Option<Segment> {
        let window = self.receive_limit.saturating_sub(self.unread_bytes + self.in_flight_bytes);
        let Some(first) = self.unsent.front_mut() else {
            if self.fin == Fin::Wanted {
                self.fin = Fin::Sent;
                return Some(Segment::Fin);
            }
            return None;
        };
        let len = first.len().min(window).min(limit);
        if len == 0 {
            return None;
        }
        let bytes = first.split_to(len);
        if first.is_empty() {
            self.unsent.pop_front();
        }
        self.unsent_bytes -= len;
        self.unacked_bytes += len;
        Some(Segment::Data(bytes))
    }

    /// A segment is on its way. It arrives behind those before it.
    pub(super) fn send(&mut self, arrives_us: u64, segment: Segment) {
        let arrives_us = self.in_flight.back().map_or(arrives_us, |(before, _)| arrives_us.max(*before));
        self.in_flight_bytes += segment.len();
        self.in_flight.push_back((arrives_us, segment));
    }

    /// The first segment was lost; says after how long it is sent again. `None`: when the receiver has told the sender,
    /// as it does when enough segments come behind it.
    pub(super) fn lose_first(&mut self, is_cut: bool) -> Option<u64> {
        if !is_cut && self.in_flight.len() > 3 {
            return None;
        }
        let rto_us = self.rto_us;
        self.rto_us = (2 * rto_us).min(MAX_RTO_US);
        Some(rto_us)
    }

    /// The first segment arrives, and is known at the sender to have arrived at `acked_us`.
    pub(super) fn arrive(&mut self, acked_us: u64) -> Option<Segment> {
        let (_, segment) = self.in_flight.pop_front()?;
        self.rto_us = FIRST_RTO_US;
        self.in_flight_bytes -= segment.len();
        // Who hears of this one knows of those before it too.
        self.acks.iter_mut().for_each(|(at_us, _)| *at_us = acked_us.min(*at_us));
        if segment.len() > 0 {
            self.acks.push_back((acked_us, segment.len()));
        }
        Some(segment)
    }

    /// All that has arrived is known to have arrived.
    pub(super) fn acknowledge_all(&mut self, now_us: u64) {
        self.acks.iter_mut().for_each(|(at_us, _)| *at_us = now_us.min(*at_us));
    }

    /// Puts arrived bytes where the reader finds them.
    pub(super) fn receive(&mut self, bytes: Bytes) {
        self.unread_bytes += bytes.len();
        self.unread.push_back(bytes);
    }

    /// Takes up to so many bytes for the reader, of one segment. `None`: there are none.
    pub(super) fn read(&mut self, limit: usize) -> Option<Bytes> {
        let first = self.unread.front_mut()?;
        let bytes = first.split_to(first.len().min(limit));
        if first.is_empty() {
            self.unread.pop_front();
        }
        self.unread_bytes -= bytes.len();
        Some(bytes)
    }

    /// Nothing more is sent than what is on the way.
    pub(super) fn stop(&mut self) {
        self.unsent.clear();
        self.unsent_bytes = 0;
    }

    /// Nothing more is sent, or arrives.
    pub(super) fn abandon(&mut self) {
        self.stop();
        self.in_flight.clear();
        self.in_flight_bytes = 0;
    }
}
