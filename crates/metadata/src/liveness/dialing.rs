//! The dials of one broker's listener: when to ask, and what the answers prove.

use std::time::Duration;

use super::DialOutcome;

/// How many refusals in a row prove that a process is gone. One could be a listener that is being opened again.
const REFUSALS: u32 = 2;

/// The longest pause between dials in one silence, in heartbeat intervals.
const LONGEST_PAUSE: u32 = 64;

/// The dials of one broker. Times are on the attentive clock.
#[derive(Debug, Clone, Default)]
pub(super) struct Dialing {
    state: State,
    refusals: u32,
    /// The pause before a dial that only goes on silence: it doubles while silence lasts.
    pause: Duration,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Nothing is asked. Silence may ask at this time at the earliest.
    #[default]
    Idle,
    Resting {
        until: Duration,
    },
    Wanted {
        at: Duration,
    },
    /// Nothing is known of it yet.
    Underway {
        /// Something happened since: the outcome proves nothing.
        is_void: bool,
        /// There is new evidence: dial again.
        again: bool,
    },
}

/// What an outcome says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Gone,
    Unproven,
}

impl Dialing {
    /// Evidence came that asks for a dial.
    pub(super) fn ask(&mut self, now: Duration) {
        match &mut self.state {
            State::Underway { again, .. } => *again = true,
            State::Wanted { at } => *at = now.min(*at),
            State::Idle | State::Resting { .. } => self.state = State::Wanted { at: now },
        }
    }

    /// Nothing but silence asks for a dial.
    pub(super) fn ask_in_silence(&mut self, now: Duration) {
        match self.state {
            State::Idle => self.ask(now),
            State::Resting { until } if until <= now => self.ask(now),
            _ => {}
        }
    }

    /// Whether to dial now; if so, it counts as done.
    pub(super) fn begin(&mut self, now: Duration) -> bool {
        let is_due = self.wanted().is_some_and(|at| at <= now);
        if is_due {
            self.state = State::Underway { is_void: false, again: false };
        }
        is_due
    }

    /// When to dial next.
    pub(super) fn wanted(&self) -> Option<Duration> {
        match self.state {
            State::Wanted { at } => Some(at),
            _ => None,
        }
    }

    /// The broker was heard of.
    pub(super) fn heard(&mut self) {
        self.refusals = 0;
        self.pause = Duration::ZERO;
        self.state = match self.state {
            State::Underway { .. } => State::Underway { is_void: true, again: false },
            _ => State::Idle,
        };
    }

    /// What is known so far cannot be trusted: ask anew.
    pub(super) fn doubt(&mut self) {
        self.refusals = 0;
        if let State::Underway { is_void, again } = &mut self.state {
            (*is_void, *again) = (true, true);
        }
    }

    /// Takes an outcome in.
    pub(super) fn outcome(
        &mut self,
        outcome: DialOutcome,
        now: Duration,
        heartbeat_interval: Duration,
    ) -> Verdict {
        let State::Underway { is_void, again } = self.state else { return Verdict::Unproven };
        let is_refused = outcome == DialOutcome::Refused && !is_void;
        self.refusals = if is_refused { self.refusals + 1 } else { 0 };
        self.state = if is_refused && self.refusals < REFUSALS {
            // A moment between them, so that the second one is news.
            State::Wanted { at: now + heartbeat_interval / 10 }
        } else if again {
            State::Wanted { at: now }
        } else {
            self.pause = (self.pause * 2).clamp(heartbeat_interval, heartbeat_interval * LONGEST_PAUSE);
            State::Resting { until: now + self.pause }
        };
        if self.refusals >= REFUSALS { Verdict::Gone } else { Verdict::Unproven }
    }
}
