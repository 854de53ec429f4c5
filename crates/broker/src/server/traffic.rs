//! What a listener counts: connections and bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use super::limits::Refused;

/// The counts of one listener.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    created: AtomicU64,
    closed: AtomicU64,
    refused_total: AtomicU64,
    refused_per_ip: AtomicU64,
    broken: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// The counts as they were at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrafficCounts {
    /// Connections that were admitted.
    pub(crate) created: u64,
    /// Of those, connections that ended.
    pub(crate) closed: u64,
    /// Connections that were refused by `max.connections`.
    pub(crate) refused_total: u64,
    /// Connections that were refused by `max.connections.per.ip`.
    pub(crate) refused_per_ip: u64,
    /// Connections that the broker ended because of what came over them.
    pub(crate) broken: u64,
    /// Bytes that were read.
    pub(crate) bytes_in: u64,
    /// Bytes that were written.
    pub(crate) bytes_out: u64,
}

impl Traffic {
    pub(super) fn note_created(&self) {
        self.created.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_broken(&self) {
        self.broken.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_refused(&self, refused: &Refused) {
        let count = match refused {
            Refused::Total(_) => &self.refused_total,
            Refused::PerIp { .. } => &self.refused_per_ip,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn note_out(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> TrafficCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // Closed before created: what is open cannot come out below zero.
        let closed = of(&self.closed);
        TrafficCounts {
            created: of(&self.created).max(closed),
            closed,
            refused_total: of(&self.refused_total),
            refused_per_ip: of(&self.refused_per_ip),
            broken: of(&self.broken),
            bytes_in: of(&self.bytes_in),
            bytes_out: of(&self.bytes_out),
        }
    }
}
