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
    /// When to look at the ISR again, after a refusal.
    looks_at: Option<Duration>,
    /// When [`Change::wake_at`] asked to be woken.
    wakes_at: Option<Duration>,
}

/// What each call of a leader is about, besides its own state.
pub(crate) struct Moment<'a> {
    pub(crate) high_watermark: &'a mut Offset,
    pub(crate) settings: &'a LagSettings,
    pub(crate) now: Duration,
}

impl Leader {
    /// Begins an epoch. Somebody else may have led since `before`, and cut what followers had acknowledged: nothing counts
    /// from an earlier epoch (KIP-101).
    pub(crate) fn new(me: BrokerId, view: &View, ends: Ends, before: Option<&Self>, now: Duration) -> Self {
        let mut leader = Self {
            me,
            epoch_start: ends.end,
            ends,
            followers: Vec::new(),
            in_force: 0,
            min_insync: 1,
            asked: None,
            looks_at: None,
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
            follower.out_since = if follower.in_isr { None } else { follower.out_since.or(Some(now)) };
            follower.is_told = false;
            self.followers.push(follower);
        }
        if self.asked.is_some_and(|asked| asked.is_of_before(view.partition_epoch)) {
            self.forget_asked();
        }
    }

    pub(crate) fn appended(&mut self, ends: Ends, moment: Moment<'_>) -> Change {
        self.note_ends(ends, moment.now);
        self.settle(moment)
    }

    pub(crate) fn flushed(&mut self, durable: Offset, moment: Moment<'_>) -> Change {
        self.ends.durable = durable.min(self.ends.end).max(self.ends.durable);
        self.settle(moment)
    }

    pub(crate) fn tick(&mut self, moment: Moment<'_>) -> Change {
        let is_over = |at: Option<Duration>| at.is_some_and(|at| at <= moment.now);
        if is_over(self.wakes_at) {
            self.wakes_at = None;
        }
        let looks = is_over(self.looks_at);
        if looks {
            self.looks_at = None;
        }
        let change = self.settle(moment);
        Change { look_at_isr: change.look_at_isr || looks, ..change }
    }

    /// The log is longer: whoever was at its end is behind from now on.
    fn note_ends(&mut self, ends: Ends, now: Duration) {
        if ends.end > self.ends.end {
            for follower in &mut self.followers {
                follower.behind_since = follower.behind_since.or(Some(now));
            }
        }
        self.ends = Ends { durable: ends.durable.max(self.ends.durable).min(ends.end), ..ends };
    }

    /// Moves the watermark, and says what is to be looked at, and when.
    pub(crate) fn settle(&mut self, moment: Moment<'_>) -> Change {
        let Moment { high_watermark, settings, now } = moment;
        let mut change = Change::default();
        if let Some(committed) = self.committed(now).filter(|committed| *committed > *high_watermark) {
            *high_watermark = committed;
            change.high_watermark = Some(committed);
        }
        change.look_at_isr = self.note_lagging(settings, now);
        change.wake_at = self.plan(settings, now);
        change
    }

    /// What all have that may be in sync; `None` if that is not known, or if they are too few for anything to be committed:
    /// who left the ISR at this watermark then still has all below it (KAFKA-15583, KIP-966).
    fn committed(&self, now: Duration) -> Option<Offset> {
        if self.in_force < self.min_insync && !is(Sabotage::WatermarkBelowMinIsr) {
            return None;
        }
        let flushed = !is(Sabotage::LeaderAcksUnflushed);
        let mut least = if flushed { self.ends.durable } else { self.ends.end };
        for follower in self.followers.iter().filter(|follower| follower.counts(now)) {
            least = least.min(follower.end?);
        }
        Some(least)
    }

    /// Whether somebody in sync lags who did not when that was last told.
    fn note_lagging(&mut self, settings: &LagSettings, now: Duration) -> bool {
        let end = self.ends.end;
        let mut is_news = false;
        for follower in self.followers.iter_mut().filter(|follower| follower.in_isr) {
            let lags = follower.lags(end, settings, now);
            is_news |= lags && !follower.is_told;
            follower.is_told = lags;
        }
        is_news
    }

    /// The next moment at which something changes by itself, unless an earlier one is planned. What keeps moving on, as the
    /// deadline of a follower that fetches, is not planned anew each time: at its old deadline it is looked at.
    fn plan(&mut self, settings: &LagSettings, now: Duration) -> Option<Duration> {
        let deadline = |follower: &Progress| {
            let since = follower.behind_since.filter(|_| follower.in_isr && !follower.is_told);
            since.map(|since| since.saturating_add(settings.time_max))
        };
        let followers = self.followers.iter();
        let times = followers.flat_map(|follower| [deadline(follower), follower.hold.until(now)]);
        let next = times.flatten().chain(self.looks_at).min()?;
        if self.wakes_at.is_some_and(|wakes_at| now < wakes_at && wakes_at <= next) {
            return None;
        }
        self.wakes_at = Some(next);
        Some(next)
    }
}
