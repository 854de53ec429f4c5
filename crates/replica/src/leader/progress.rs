//! What one follower did in this leader epoch, and when.

use std::time::Duration;

use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, Offset};

use super::fetches::FollowerFetch;
use super::hold::Hold;
use crate::view::Ends;

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
    /// Since when it has not been in the ISR in force, as far as this leader knows; `None` while it is.
    pub(super) out_since: Option<Duration>,
    /// Its last fetch.
    pub(super) fetch: Option<LastFetch>,
    /// By its last fetch it could be in sync, but for the high watermark.
    pub(super) is_ready: bool,
    /// That it lags was told.
    pub(super) is_told: bool,
    /// Before that nobody is told again that it could enter.
    pub(super) quiet_until: Duration,
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
            out_since: None,
            fetch: None,
            is_ready: false,
            is_told: false,
            quiet_until: Duration::ZERO,
            hold: Hold::default(),
        }
    }

    /// Whether the high watermark waits for it.
    pub(super) fn counts(&self, now: Duration) -> bool {
        self.in_isr || self.asked || self.hold.until(now).is_some()
    }

    /// Whether it holds all that is committed, as far as an entry into the ISR asks.
    pub(super) fn may_enter(&self, high_watermark: Offset) -> bool {
        self.is_ready && self.end.is_some_and(|end| end >= high_watermark)
    }

    /// Refuses a fetch that is from an earlier run of its broker than one that came already.
    pub(super) fn identify(&mut self, fetch: &FollowerFetch, now: Duration) -> Result<(), ErrorCode> {
        let Some(epoch) = fetch.broker_epoch else { return Ok(()) };
        if self.broker_epoch.is_some_and(|known| epoch < known) {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if self.broker_epoch.is_some_and(|known| known < epoch) {
            self.restart(now);
        }
        self.broker_epoch = Some(epoch);
        Ok(())
    }

    /// Its broker registered anew. What it had may be lost (KIP-903), so nothing counts that it acknowledged before.
    fn restart(&mut self, now: Duration) {
        if is(Sabotage::RestartedFollowerKeepsItsEnd) {
            return;
        }
        self.end = None;
        self.fetch = None;
        self.is_ready = false;
        self.behind_since = self.behind_since.or(Some(now));
    }

    /// All below the fetch's offset is acknowledged. An earlier offset than before is that of a request which came late: within
    /// an epoch and a run of its broker, a follower never gives back what it acknowledged.
    pub(super) fn acknowledge(
        &mut self,
        fetch: &FollowerFetch,
        ends: Ends,
        epoch_start: Offset,
        now: Duration,
    ) {
        let before = self.fetch;
        self.end = self.end.max(Some(fetch.offset));
        let is_at_end = fetch.offset >= ends.end;
        let had_all = before.filter(|before| fetch.offset >= before.leader_end);
        if is_at_end {
            self.behind_since = None;
        } else if let Some(before) = had_all {
            // It was where the leader was then.
            self.behind_since = self.behind_since.max(Some(before.at));
        }
        let is_caught_up = is_at_end || had_all.is_some() || is(Sabotage::EntersAtWatermarkAlone);
        // KIP-101: what a leader had when its epoch began may be committed, whatever the watermark is that it knows.
        let has_start = fetch.offset >= epoch_start;
        self.is_ready = is_caught_up && has_start || is(Sabotage::EntersWithoutEpochStart);
        let interval = before.map_or(Duration::ZERO, |before| now.saturating_sub(before.at));
        let (leader_end, log_start) = (ends.end, fetch.log_start);
        self.fetch = Some(LastFetch { at: now, interval, leader_end, log_start });
    }
}
