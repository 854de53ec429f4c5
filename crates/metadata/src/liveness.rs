//! Who is alive: when the active controller stops trusting a broker.
//!
//! [`Detector`] is a pure machine like the controller beside it: what happened and the time go in, what to do comes out
//! as [`Effect`]s, and [`Detector::next_tick`] says when it wants to be asked again. The host owns the sockets, the clock and
//! the timer, turns [`Effect::Fence`] into the controller's decision, and reports what became of it.
//!
//! **A dead process** is known by its kernel, which outlives it: its connections are reset and its listener refuses.
//! A lost connection (or a missed heartbeat) therefore asks for a dial of the broker's registered listener; two refusals in
//! a row fence it without waiting for anything.
//!
//! **A paused process, a dead host, a cut link** refuse nothing. What is left is silence, and how much of it is too much
//! depends on who is silent: each broker is judged against its own rhythm. The accrual detectors (Hayashibara et al., *The φ
//! accrual failure detector*, 2004; Chen, Toueg and Aguilera, 2002) fit a distribution to the intervals between
//! heartbeats and ask how improbable the present silence is. The intervals of a busy machine fit none: they are
//! constant for minutes and then have a tail of scheduling and collection pauses, of which mean and variance say
//! little. So this one asks the distribution-free question. If intervals are exchangeable, the next one is the
//! longest of n + 1 with probability 1 / (n + 1), whatever their distribution is. Silence is *suspicious* once it is longer
//! than [`SAFETY`] times the longest of about the last thousand intervals, and never before a heartbeat can have been
//! lost and sent again by TCP ([`RETRANSMISSION`]).
//!
//! **What limits suspicion**:
//! - `broker.session.timeout.ms` ends all patience, and any doubt.
//! - Time in which this controller itself did not run is nobody's silence: a tick that comes later than one heartbeat interval
//!   is discounted for everyone, voids pending evidence, and fences nobody.
//! - A new controller starts all clocks at its election, so a `Detector` lives as long as one leadership. It has no connection
//!   yet whose loss could tell it anything, and dials everybody.
//! - When the majority of brokers is silent at once, the silence is more likely ours: nobody is fenced for it before
//!   the session timeout.
//! - A broker that is back so soon that twice the tolerance would have borne with it was suspected wrongly: from then on it
//!   has twice the tolerance, up to the session timeout, and half of it again after every twenty session timeouts
//!   without another mistake. One that stays away for longer was worth fencing, and is the next time.
//!
//! What is not here: the decision what fencing changes (`controller`), and sockets, timers and the clock (`broker`).

use std::fmt;
use std::time::Duration;

use ottla_types::{BrokerEpoch, BrokerId};

use crate::record::IncarnationId;

mod attention;
mod detector;
mod dialing;
mod rhythm;
mod tolerance;
mod watched;

pub use detector::Detector;
pub use watched::Health;

/// How many times its longest recent interval a broker may be silent. The bound on the chance of a longer interval
/// than any seen says nothing of *how much* longer; twice as long is the margin for that. In a tail as heavy as a Pareto
/// distribution's with exponent 2, one interval in 4 (n + 1) is beyond it.
pub const SAFETY: u32 = 2;

/// The shortest time after which TCP sends a lost segment again (`TCP_RTO_MIN` of Linux; Solaris has the same). A broker
/// is never suspected before one heartbeat can have been lost, sent again, and that delayed for as long once more.
pub const RETRANSMISSION: Duration = Duration::from_millis(200);

/// What the settings say of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    heartbeat_interval: Duration,
    session_timeout: Duration,
}

impl Timing {
    /// From `broker.heartbeat.interval.ms` and `broker.session.timeout.ms`. Each is at least a millisecond here, and a
    /// session at least an interval, whatever is given: the settings refuse anything else with a better message.
    #[must_use]
    pub fn new(heartbeat_interval: Duration, session_timeout: Duration) -> Self {
        let heartbeat_interval = heartbeat_interval.max(Duration::from_millis(1));
        Self { heartbeat_interval, session_timeout: session_timeout.max(heartbeat_interval) }
    }

    /// `broker.heartbeat.interval.ms`.
    #[must_use]
    pub fn heartbeat_interval(self) -> Duration {
        self.heartbeat_interval
    }

    /// `broker.session.timeout.ms`.
    #[must_use]
    pub fn session_timeout(self) -> Duration {
        self.session_timeout
    }

    /// The least silence that is ever suspicious.
    fn least_tolerance(self) -> Duration {
        self.heartbeat_interval + 2 * RETRANSMISSION
    }

    /// How often to look while somebody is overdue.
    fn watch_interval(self) -> Duration {
        self.heartbeat_interval / 2
    }
}

/// A broker's registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Its `node.id`.
    pub broker: BrokerId,
    /// The number of the registration. What is said about another one is ignored.
    pub epoch: BrokerEpoch,
    /// The start of the process that registered: its rhythm stays known when it registers again.
    pub incarnation: IncarnationId,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A broker registered, for the first time or again. It is fenced until [`Input::Unfenced`].
    Registered(Registered),
    /// A registration was removed.
    Unregistered(BrokerId),
    /// The controller unfenced a broker: from now on it is watched.
    Unfenced(BrokerId, BrokerEpoch),
    /// A broker was fenced: because of [`Effect::Fence`], which changes nothing more, or by the controller itself, as after
    /// a controlled shutdown, and it is watched no more.
    Fenced(BrokerId, BrokerEpoch),
    /// A broker sent a heartbeat.
    Heartbeat(BrokerId, BrokerEpoch),
    /// A connection on which a broker spoke for this registration was reset or closed.
    ConnectionLost(BrokerId, BrokerEpoch),
    /// What became of [`Effect::Dial`]: one for each, within a bounded time.
    Dialed(BrokerId, BrokerEpoch, DialOutcome),
    /// The time of [`Detector::next_tick`] has come.
    Tick,
}

/// What became of a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialOutcome {
    /// The address answered that nobody listens there.
    Refused,
    /// A kernel accepted: the process is there, if only paused.
    Connected,
    /// Nothing came back in time, or no way leads there: no more than silence.
    Unanswered,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Connect to the broker's registered inter-broker listener, close the connection again, and report the outcome.
    Dial(BrokerId, BrokerEpoch),
    /// Fence the broker. It is watched no more until it is unfenced.
    Fence(BrokerId, BrokerEpoch, Reason),
}

/// Why a broker is fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// On what evidence.
    pub evidence: Evidence,
    /// When it was heard of for the last time, on the clock of the inputs: a heartbeat, being unfenced, or the
    /// election of this controller.
    pub since: Duration,
    /// How long it was silent since then, without the time in which this controller did not run.
    pub silent_for: Duration,
}

/// The evidence against a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Its listener refused, twice in a row and without a heartbeat in between: the process is gone.
    Refused,
    /// It was silent beyond its tolerance.
    Silence {
        /// The longest of its recent intervals; `None` if it never spoke to this controller.
        longest_interval: Option<Duration>,
        /// The silence that was tolerated.
        tolerance: Duration,
    },
    /// It was silent for `broker.session.timeout.ms`.
    SessionTimeout,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let silent = self.silent_for.as_millis();
        match self.evidence {
            Evidence::Refused => {
                write!(
                    f,
                    "its listener refuses connections: the process is gone (last heard of {silent} ms ago)"
                )
            }
            Evidence::Silence { longest_interval: Some(longest), tolerance } => write!(
                f,
                "no heartbeat for {silent} ms, when its longest recent interval was {} ms and {} ms are tolerated",
                longest.as_millis(),
                tolerance.as_millis()
            ),
            Evidence::Silence { longest_interval: None, tolerance } => write!(
                f,
                "not heard of in the {silent} ms since this controller's election, when {} ms are tolerated",
                tolerance.as_millis()
            ),
            Evidence::SessionTimeout => {
                write!(f, "no heartbeat for {silent} ms, which is broker.session.timeout.ms or more")
            }
        }
    }
}
