//! When the detector itself ran: the clock on which others are judged stands still while it did not.

use std::time::Duration;

/// A moment on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// The clock of the inputs.
    pub(super) real: Duration,
    /// The same without the time in which the detector was not running though it had asked to.
    pub(super) attentive: Duration,
}

impl Moment {
    /// The attentive time since an earlier moment.
    pub(super) fn since(self, earlier: Self) -> Duration {
        self.attentive.saturating_sub(earlier.attentive)
    }
}

/// The detector's own punctuality.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    now: Duration,
    next_tick: Option<Duration>,
    stalled: Duration,
    /// A call that comes no later than this after its time is punctual.
    allowance: Duration,
}

impl Attention {
    /// A call that is late by less than one heartbeat interval hides at most one heartbeat of each broker, for which there
    /// is room in every tolerance.
    pub(super) fn new(now: Duration, heartbeat_interval: Duration) -> Self {
        Self { now, next_tick: None, stalled: Duration::ZERO, allowance: heartbeat_interval }
    }

    /// Takes note of a call, and says whether it is late. A clock that goes backwards stands still.
    pub(super) fn arrive(&mut self, now: Duration) -> (Moment, bool) {
        self.now = self.now.max(now);
        let lateness = self.next_tick.map_or(Duration::ZERO, |wanted| self.now.saturating_sub(wanted));
        let is_late = lateness > self.allowance;
        if is_late {
            self.stalled += lateness;
        }
        (self.moment(), is_late)
    }

    /// The moment of the last call.
    pub(super) fn moment(&self) -> Moment {
        Moment { real: self.now, attentive: self.now.saturating_sub(self.stalled) }
    }

    pub(super) fn next_tick(&self) -> Option<Duration> {
        self.next_tick
    }

    /// Whether the wanted time has come.
    pub(super) fn is_due(&self) -> bool {
        self.next_tick.is_some_and(|wanted| wanted <= self.now)
    }

    /// Asks for the next call at a time on the attentive clock, or for none.
    pub(super) fn want(&mut self, attentive: Option<Duration>) {
        self.next_tick = attentive.map(|at| at + self.stalled);
    }

    /// Asks for it at this time at the latest.
    pub(super) fn want_by(&mut self, attentive: Option<Duration>) {
        let at = attentive.map(|at| at + self.stalled);
        self.next_tick = [self.next_tick, at].into_iter().flatten().min();
    }
}
