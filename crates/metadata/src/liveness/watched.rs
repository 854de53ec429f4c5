//! One registered broker, as the detector sees it.

use std::time::Duration;

use ottla_types::BrokerEpoch;

use super::attention::Moment;
use super::dialing::Dialing;
use super::rhythm::Rhythm;
use super::tolerance::Backoff;
use super::{Registered, SAFETY, Timing};
use crate::record::IncarnationId;

/// A broker. Its size does not depend on how long it lives.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub(super) epoch: BrokerEpoch,
    incarnation: IncarnationId,
    pub(super) standing: Standing,
    /// The last heartbeat, or where the clock was started.
    heard: Moment,
    /// Whether it sent this controller a heartbeat.
    pub(super) is_heard: bool,
    rhythm: Rhythm,
    backoff: Backoff,
    pub(super) dialing: Dialing,
}

/// Whether a broker is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Live,
    /// Fenced, by the controller or for being silent or gone.
    /// The suspicion lasts until the broker speaks again or is unfenced.
    Fenced(Option<Suspicion>),
}

/// Why a fenced broker was fenced, if not by the controller's own decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// It was silent.
    Silent {
        /// Since when, on the attentive clock.
        since: Duration,
        /// A broker that is back before this much silence was suspected wrongly: twice the patience would have been enough.
        excused_for: Duration,
    },
    /// It refused connections, which the network between does not do for it.
    Gone,
}

/// What is known of a broker, for whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// When it was heard of for the last time, on the clock of the inputs.
    pub last_heard: Duration,
    /// How long it is silent, without the time in which the detector did not run.
    pub silent_for: Duration,
    /// The silence that is tolerated now, if others speak.
    pub tolerance: Duration,
    /// The longest of its recent heartbeat intervals; `None` while there was none.
    pub longest_interval: Option<Duration>,
    /// How often it was suspected wrongly since this controller's election.
    pub wrong_suspicions: u64,
    /// Whether it is watched, which a fenced broker is not.
    pub is_watched: bool,
}

/// What is known of all brokers together, and counts for one of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Company {
    pub(super) timing: Timing,
    /// The longest time that it took a broker to speak to this controller after its election.
    pub(super) slowest_to_speak: Option<Duration>,
}

impl Watched {
    pub(super) fn new(registered: &Registered, now: Moment, standing: Standing) -> Self {
        Self {
            epoch: registered.epoch,
            incarnation: registered.incarnation,
            standing,
            heard: now,
            is_heard: false,
            rhythm: Rhythm::default(),
            backoff: Backoff::default(),
            dialing: Dialing::default(),
        }
    }

    /// The same broker after another registration: mistakes are remembered, and the rhythm if it is the same process.
    pub(super) fn registered_again(&mut self, registered: &Registered, now: Moment) {
        let mut next = Self::new(registered, now, Standing::Fenced(None));
        next.backoff = self.backoff;
        if self.incarnation == registered.incarnation {
            next.rhythm = std::mem::take(&mut self.rhythm);
        }
        *self = next;
    }

    pub(super) fn is_live(&self) -> bool {
        self.standing == Standing::Live
    }

    /// Starts its clock, when it is unfenced.
    pub(super) fn unfenced(&mut self, now: Moment) {
        self.standing = Standing::Live;
        self.heard = now;
        self.is_heard = true;
        self.dialing = Dialing::default();
    }

    /// Stops watching it.
    pub(super) fn fenced(&mut self, suspicion: Option<Suspicion>) {
        self.standing = Standing::Fenced(suspicion);
        self.dialing = Dialing::default();
    }

    /// Takes a heartbeat in.
    pub(super) fn heartbeat(&mut self, now: Moment, company: Company) {
        let interval = now.since(self.heard);
        if let Standing::Fenced(suspicion) = &mut self.standing
            && let Some(suspicion) = suspicion.take()
        {
            let is_mistaken = match suspicion {
                Suspicion::Silent { excused_for, .. } => interval < excused_for,
                Suspicion::Gone => true,
            };
            if is_mistaken {
                self.backoff.mistaken(now.attentive, company.timing.session_timeout());
            }
        } else if self.is_heard && interval <= self.tolerance(now, company) {
            // A longer one was tolerated because many were silent together: it says nothing of this broker.
            self.rhythm.add(interval);
        }
        self.heard = now;
        self.is_heard = true;
        self.dialing.heard();
    }

    pub(super) fn silence(&self, now: Moment) -> Duration {
        now.since(self.heard)
    }

    pub(super) fn heard(&self) -> Moment {
        self.heard
    }

    /// How much silence is not suspicious, never more than a session.
    pub(super) fn tolerance(&self, now: Moment, company: Company) -> Duration {
        let Company { timing, slowest_to_speak } = company;
        let session_timeout = timing.session_timeout();
        let longest = if self.is_heard { Some(self.rhythm.longest()) } else { slowest_to_speak };
        // Before anybody spoke to a new controller it knows of nobody's silence whether it is long.
        let Some(longest) = longest else { return session_timeout };
        let tolerance = (longest * SAFETY).max(timing.least_tolerance());
        self.backoff.apply(tolerance, now.attentive, session_timeout)
    }

    /// How much silence is more than is usual. It proves nothing, but asks for a dial and for a closer look, and counts when
    /// many are silent. Always some way below the tolerance, so that the closer look begins in time.
    pub(super) fn usual(&self, now: Moment, company: Company) -> Duration {
        if !self.is_heard {
            return Duration::ZERO;
        }
        let usual = self.rhythm.longest().max(company.timing.heartbeat_interval() * 3 / 2);
        usual.min(self.tolerance(now, company) * 3 / 4)
    }

    pub(super) fn is_overdue(&self, now: Moment, company: Company) -> bool {
        self.silence(now) >= self.usual(now, company)
    }

    /// Whether it was suspected wrongly not long ago.
    pub(super) fn is_doubtful(&self, now: Moment, company: Company) -> bool {
        self.backoff.doublings(now.attentive, company.timing.session_timeout()) > 0
    }

    pub(super) fn longest_interval(&self) -> Option<Duration> {
        Some(self.rhythm.longest()).filter(|longest| !longest.is_zero())
    }

    /// When something is to be done about it next, on the attentive clock. Always after `now`, but for a dial that
    /// was asked for just now.
    pub(super) fn next_look(&self, now: Moment, company: Company) -> Option<Duration> {
        if !self.is_live() {
            return None;
        }
        let heard = self.heard.attentive;
        let is_ahead = |at: &Duration| *at > now.attentive;
        let look = Some(heard + self.usual(now, company)).filter(is_ahead).unwrap_or_else(|| {
            let ends = [self.tolerance(now, company), company.timing.session_timeout()];
            let ends = ends.map(|patience| heard + patience).into_iter().filter(is_ahead);
            ends.fold(now.attentive + company.timing.watch_interval(), Duration::min)
        });
        Some(self.dialing.wanted().map_or(look, |at| at.min(look)))
    }

    pub(super) fn health(&self, now: Moment, company: Company) -> Health {
        Health {
            last_heard: self.heard.real,
            silent_for: self.silence(now),
            tolerance: self.tolerance(now, company),
            longest_interval: self.longest_interval(),
            wrong_suspicions: self.backoff.wrong_suspicions(),
            is_watched: self.is_live(),
        }
    }
}
