//! This broker's part in replication: which replicas are in sync with what it leads, how it copies what others lead, and where
//! its own replicas lie.
//!
//! - [`wanted`]: which ISR a leader asks for. [`asks`]: of which partitions, and when again.
//! - [`outbox`]: what else waits to be asked, and asked again.
//! - [`isr`], [`directories`]: the tasks that carry it out; [`changes`]: what they are to look at.
//! - [`fetching`]: how what others lead is copied. [`throttle`]: how much of it a second, if that is limited.
//! - [`nearest`]: which replica a consumer had better read from.
//! - [`moving`]: how replicas move between log directories of this broker.
//! - [`signals`]: what partitions tell the tasks; [`ticks`]: the task that tells partitions that their time has come.
//!
//! What is not here: what the active controller decides of it (`metadata`), and how it is asked (`cluster::partitions`).

mod asks;
mod changes;
pub(crate) mod directories;
mod fetching;
pub(crate) mod isr;
pub(crate) mod moving;
pub(crate) mod nearest;
mod outbox;
mod signals;
pub(crate) mod throttle;
pub(crate) mod ticks;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use ottla_metadata::Delta;
use ottla_metadata::record::PartitionState;
use ottla_replica::{LagDetector, LagSettings};
use ottla_types::config::Settings;
use ottla_types::config::broker::replication::{
    REPLICA_LAG_DETECTOR, REPLICA_LAG_MAX_MESSAGES, REPLICA_LAG_TIME_MAX_MS,
};
use ottla_types::{BrokerId, TopicId};

use self::changes::Changes;
pub(crate) use self::fetching::Fetchers;
pub(crate) use self::signals::Signals;
pub(crate) use self::throttle::Throttles;

/// A partition.
pub(crate) type Key = (TopicId, i32);

/// What the tasks are told.
#[derive(Default)]
pub(crate) struct Replication {
    /// What partitions tell the tasks.
    pub(crate) signals: Arc<Signals>,
    /// Partitions of which it holds replicas, or held.
    held: Changes,
    /// Replicas that move to other log directories.
    pub(crate) moving: moving::Moving,
    /// Whether the active controller knows of the replicas that cannot be used.
    lost_are_told: watch::Sender<bool>,
}

/// When followers lag, as the settings say. `replica.lag.detector=adaptive` does as `time` does, for now.
pub(crate) fn lag_settings(settings: &Settings) -> LagSettings {
    let time_max_ms = u64::try_from(settings.get(&REPLICA_LAG_TIME_MAX_MS)).unwrap_or(0);
    let is_by_messages = settings.get(&REPLICA_LAG_DETECTOR) == "messages";
    let detector = match settings.get(&REPLICA_LAG_MAX_MESSAGES).filter(|_| is_by_messages) {
        Some(max) => LagDetector::Messages { max },
        None => LagDetector::Time,
    };
    LagSettings { time_max: Duration::from_millis(time_max_ms), detector }
}

impl Replication {
    /// Takes note of what was replayed and is carried out. Costs what the difference has.
    pub(crate) fn note(&self, me: BrokerId, delta: &Delta) {
        let leads = |state: &PartitionState| state.leader == Some(me);
        let holds = |state: &PartitionState| state.replicas.contains(&me);
        let (mut led, mut held) = (Vec::new(), Vec::new());
        for topic in delta.created.iter().chain(&delta.deleted) {
            for (index, state) in topic.partitions() {
                led.extend(leads(state).then_some((topic.id, index)));
                held.extend(holds(state).then_some((topic.id, index)));
            }
        }
        for change in &delta.changed {
            for diff in &change.partitions {
                let key = (change.topic.id, diff.index);
                let either = |is: &dyn Fn(&PartitionState) -> bool| {
                    is(&diff.new) || diff.old.as_deref().is_some_and(is)
                };
                led.extend(either(&leads).then_some(key));
                held.extend(either(&holds).then_some(key));
            }
        }
        self.signals.led.add(led, delta.brokers.iter().copied());
        self.held.add(held, []);
    }

    /// Waits until the active controller knows which replicas of this broker cannot be used: before that, it must not be
    /// unfenced. Safe to cancel.
    pub(crate) async fn lost_are_told(&self) {
        // The sender is in `self`.
        let _ = self.lost_are_told.subscribe().wait_for(|told| *told).await;
    }
}
