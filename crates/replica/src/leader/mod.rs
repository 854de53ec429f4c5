//! The leader's part: what its followers have, and what is committed by it.
//!
//! - [`progress`]: what each follower did. [`fetches`]: what a fetch tells.
//! - [`isr`]: which ISR is wanted, and which may be in force. [`lag`]: who lags. [`hold`]: the watermark waits for who enters.
//! - [`waiting`]: what producers are answered.

pub(crate) mod fetches;
mod hold;
pub(crate) mod isr;
pub(crate) mod lag;
mod progress;
pub(crate) mod waiting;

use std::time::Duration;

use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerId, Offset};

use self::isr::Asked;
use self::lag::LagSettings;
use self::progress::Progress;
use crate::change::Change;
use crate::view::{Ends, View};

/// What a leader knows, in one epoch.
#[derive(Debug, Clone)]
pub(crate) struct Leader {
    me: BrokerId,
    /// The end of the log when the epoch began.
    epoch_start: Offset,
    /// Its own ends.
    ends: Ends,
    /// All other replicas.
    followers: Vec<Progress>,
    /// How many are in the ISR in force, this one included.
    in_force: usize,
    min_insync: usize,
    asked: Option<Asked>,
    /// When [`Change::wake_at`] asked to be woken.
    wakes_at: Option<Duration>,
}

impl Leader {
    /// Begins an epoch. Whoever led before may have been led by somebody else since, so nothing counts that was acknowledged
    /// in an earlier epoch.
    pub(crate) fn new(me: BrokerId, view: &View, ends: Ends, before: Option<&Self>, now: Duration) -> Self {
        let mut leader = Self {
            me,
            epoch_start: ends.end,
            ends,
            followers: Vec::new(),
            in_force: 0,
            min_insync: 1,
            asked: None,
            wakes_at: None,
        };
        if is(Sabotage::AcksOfOldEpochCount) {
            leader.followers = before.map_or_else(Vec::new, |before| before.followers.clone());
        }
        leader.review(view, now);
        leader
    }

    pub(crate) fn epoch_start(&self) -> Offset {
        self.epoch_start
    }

    /// Takes what the metadata say of the replicas, in the same epoch.
    pub(crate) fn review(&mut self, view: &View, now: Duration) {
        self.in_force = view.isr.len();
        self.min_insync = view.min_insync;
        let known = std::mem::take(&mut self.followers);
        for broker in view.replicas.iter().copied().filter(|broker| *broker != self.me) {
            let follower = known.iter().find(|follower| follower.broker == broker).cloned();
            let mut follower = follower.unwrap_or_else(|| Progress::new(broker, now));
            follower.in_isr = view.isr.contains(&broker);
            self.followers.push(follower);
        }
        self.forget_asked();
    }

    pub(crate) fn appended(
        &mut self,
        ends: Ends,
        high_watermark: &mut Offset,
        settings: &LagSettings,
        now: Duration,
    ) -> Change {
        self.note_ends(ends, now);
        self.settle(high_watermark, settings, now)
    }

    pub(crate) fn flushed(
        &mut self,
        durable: Offset,
        high_watermark: &mut Offset,
        settings: &LagSettings,
        now: Duration,
    ) -> Change {
        self.ends.durable = durable.min(self.ends.end).max(self.ends.durable);
        self.settle(high_watermark, settings, now)
    }

    pub(crate) fn tick(&mut self, high_watermark: &mut Offset, settings: &LagSettings, now: Duration) -> Change {
        self.settle(high_watermark, settings, now)
    }

    /// The log is longer: whoever was at its end is behind from now on.
    fn note_ends(&mut self, ends: Ends, now: Duration) {
        if ends.end > self.ends.end {
            for follower in &mut self.followers {
                if follower.behind_since.is_none() {
                    follower.behind_since = Some(now);
                }
            }
        }
        self.ends = ends;
    }

    /// Moves the watermark, and says who is to look at what.
    pub(crate) fn settle(
        &mut self,
        high_watermark: &mut Offset,
        _settings: &LagSettings,
        _now: Duration,
    ) -> Change {
        let mut change = Change::default();
        if let Some(committed) = self.committed().filter(|committed| committed > high_watermark) {
            *high_watermark = committed;
            change.high_watermark = Some(committed);
        }
        change
    }

    /// What all have that may be in sync; `None` if that is not known, or they are too few (KAFKA-15583).
    fn committed(&self) -> Option<Offset> {
        if self.in_force < self.min_insync {
            return None;
        }
        let mut least = self.ends.durable;
        for follower in self.followers.iter().filter(|follower| follower.in_isr || follower.asked) {
            least = least.min(follower.end?);
        }
        Some(least)
    }
}
