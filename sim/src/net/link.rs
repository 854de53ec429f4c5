//! One direction between two machines.

use std::ops::Range;

use crate::rng::SimRng;

/// What a link is like while it is not cut. Times are in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quality {
    /// How long a segment is on its way, evenly drawn.
    pub latency_us: Range<u64>,
    /// So many of a thousand segments are late,
    pub late_per_mille: u32,
    /// by so much more.
    pub late_us: Range<u64>,
    /// So many of a thousand segments are lost, and sent again later.
    pub loss_per_mille: u32,
    /// Bytes in a millisecond, of all connections together; `None`: so many that it does not matter.
    pub bytes_per_ms: Option<u64>,
}

impl Quality {
    /// A data centre's: a tenth to half a millisecond, now and then a few more, no losses.
    #[must_use]
    pub fn local() -> Self {
        Self {
            latency_us: 80..500,
            late_per_mille: 5,
            late_us: 500..5_000,
            loss_per_mille: 0,
            bytes_per_ms: Some(1_250_000),
        }
    }

    /// Within one machine.
    #[must_use]
    pub fn loopback() -> Self {
        let (latency_us, late_us) = (5..20, 0..1);
        Self { latency_us, late_per_mille: 0, late_us, loss_per_mille: 0, bytes_per_ms: None }
    }
}

/// A link with its state.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) quality: Quality,
    pub(super) is_cut: bool,
    /// Until when it is busy with what was sent before.
    busy_until_us: u64,
}

impl Link {
    pub(super) fn new(quality: Quality) -> Self {
        Self { quality, is_cut: false, busy_until_us: 0 }
    }

    /// When a segment of so many bytes, sent now, is at the other end.
    pub(super) fn arrival_us(&mut self, now_us: u64, len: usize, rng: &mut SimRng) -> u64 {
        let mut sent_us = now_us;
        if let Some(bytes_per_ms) = self.quality.bytes_per_ms {
            let takes_us = (len as u64).saturating_mul(1_000) / bytes_per_ms.max(1);
            sent_us = self.busy_until_us.max(now_us) + takes_us;
            self.busy_until_us = sent_us;
        }
        sent_us + self.latency_us(rng)
    }

    /// How long a small segment is on its way.
    pub(super) fn latency_us(&self, rng: &mut SimRng) -> u64 {
        let Quality { latency_us, late_per_mille, late_us, .. } = &self.quality;
        let mut us = draw(latency_us, rng);
        if rng.per_mille(*late_per_mille) {
            us += draw(late_us, rng);
        }
        us
    }

    /// Whether a segment that should arrive now does not.
    pub(super) fn loses(&self, rng: &mut SimRng) -> bool {
        self.is_cut || rng.per_mille(self.quality.loss_per_mille)
    }
}

fn draw(range: &Range<u64>, rng: &mut SimRng) -> u64 {
    range.start + rng.below(range.end.saturating_sub(range.start))
}
