//! What one follower did in this leader epoch, and when.

use std::time::Duration;

use ottla_types::{BrokerEpoch, BrokerId, Offset};

use super::hold::Hold;

/// A follower, as its leader knows it.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(super) broker: BrokerId,
    /// In the ISR in force.
    pub(super) in_isr: bool,
    /// In an ISR that was asked for, and that may be in force.
    pub(super) asked: bool,
    /// The registration that its fetches named.
    pub(super) broker_epoch: Option<BrokerEpoch>,
    /// What it acknowledged in this epoch; `None` before its first fetch.
    pub(super) end: Option<Offset>,
    /// Since when it has not been at the leader's end; `None` while it is there. Before its first fetch nobody knows, and it
    /// gets the time since the epoch began.
    pub(super) behind_since: Option<Duration>,
    /// Its last fetch.
    pub(super) fetch: Option<LastFetch>,
    /// By its last fetch it could be in sync, but for the high watermark.
    pub(super) is_ready: bool,
    /// What is lagging was told.
    pub(super) is_told: bool,
    pub(super) hold: Hold,
}

/// A fetch.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastFetch {
    pub(super) at: Duration,
    /// How long after the one before it.
    pub(super) interval: Duration,
    /// The leader's end at that time: who fetches from there next had all there was.
    pub(super) leader_end: Offset,
    pub(super) log_start: Offset,
}

impl Progress {
    pub(super) fn new(broker: BrokerId, now: Duration) -> Self {
        Self {
            broker,
            in_isr: false,
            asked: false,
            broker_epoch: None,
            end: None,
            behind_since: Some(now),
            fetch: None,
            is_ready: false,
            is_told: false,
            hold: Hold::default(),
        }
    }

    /// Its broker registered anew: what it had may be lost (KIP-903), so nothing counts that it acknowledged before.
    pub(super) fn restart(&mut self, epoch: BrokerEpoch, now: Duration) {
        self.broker_epoch = Some(epoch);
        self.end = None;
        self.fetch = None;
        self.is_ready = false;
        self.behind_since = self.behind_since.or(Some(now));
    }
}
