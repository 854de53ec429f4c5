//! What a member does while its owner works on records: heartbeats, leaving when the owner does not come back, and, for the
//! leader, looking whether there are other partitions to assign.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla_types::TopicName;
use tokio::time::{Instant, sleep, sleep_until};

use super::membership::{Membership, Rejoin};

/// Whether the owner of the consumer is in `poll`, and since when it is not.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// `None` while it is.
    away_since: Mutex<Option<Instant>>,
}

/// Lasts for one call of `poll`.
pub(super) struct Present(Arc<Presence>);

impl Presence {
    /// The owner is in `poll` until what this gives is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> Present {
        self.set(None);
        Present(Arc::clone(self))
    }

    fn set(&self, away_since: Option<Instant>) {
        *self.away_since.lock().unwrap_or_else(PoisonError::into_inner) = away_since;
    }

    fn away_since(&self) -> Option<Instant> {
        *self.away_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.set(Some(Instant::now()));
    }
}

/// Keeps a member alive until it has to join again with another generation, or is dropped.
pub(super) async fn keep_alive(
    member: Arc<Membership>,
    presence: Arc<Presence>,
    assigned_from: Option<BTreeMap<TopicName, Vec<i32>>>,
) {
    let other_partitions = other_partitions(&member, assigned_from);
    tokio::pin!(other_partitions);
    let mut is_watching = true;
    let mut next = Instant::now() + member.options.heartbeat_interval;
    let mut failures = 0;
    loop {
        tokio::select! {
            biased;
            () = sleep_until(next) => {}
            () = too_long_away(&presence, member.options.max_poll_interval) => {
                leave_for_absence(&member).await;
                return;
            }
            () = &mut other_partitions, if is_watching => {
                is_watching = false;
                member.has_to_rejoin(Rejoin::Rebalance);
                continue;
            }
        }
        next = Instant::now() + member.options.heartbeat_interval;
        let Err(error) = member.heartbeat().await else {
            failures = 0;
            continue;
        };
        tracing::debug!(group = member.group, %error, "heartbeat");
        member.judge(&error);
        member.may_have_moved(&error).await;
        if error.is_retriable() {
            // A coordinator that is not there now is looked for sooner than the next heartbeat is due.
            failures += 1;
            let pause = member.client.backoff().pause(failures, &*member.client.env().rng);
            next = next.min(Instant::now() + pause);
        } else if member.identity().generation < 0 {
            return;
        } else if error.code() != Some(ottla_types::ErrorCode::RebalanceInProgress) {
            member.has_to_rejoin(Rejoin::Failed(error));
            return;
        }
    }
}

/// Ends when the owner has been away for longer than it may.
async fn too_long_away(presence: &Presence, at_most: Duration) {
    loop {
        match presence.away_since() {
            Some(since) if since.elapsed() >= at_most => return,
            Some(since) => sleep_until(since + at_most).await,
            // It may go away right now, and then has this long.
            None => sleep(at_most).await,
        }
    }
}

async fn leave_for_absence(member: &Membership) {
    let at_most_ms = member.options.max_poll_interval.as_millis();
    tracing::warn!(
        group = member.group,
        "nobody asked for records in {at_most_ms} ms: the consumer leaves its group, and its partitions go to others"
    );
    let reason = "the time between two polls was over";
    if let Err(error) = member.leave(reason).await {
        tracing::warn!(group = member.group, %error, "cannot leave the group: it will notice");
    }
    member.has_to_rejoin(Rejoin::Lost);
}

/// Ends when the topics have other partitions than those that were assigned. Only who leads has to look.
async fn other_partitions(member: &Membership, assigned_from: Option<BTreeMap<TopicName, Vec<i32>>>) {
    let Some(assigned_from) = assigned_from else { return std::future::pending().await };
    loop {
        sleep(member.options.metadata_max_age).await;
        // Also those of other members' topics, and those that were not there.
        let mut topics: Vec<TopicName> = assigned_from.keys().chain(&member.topics).cloned().collect();
        topics.sort();
        topics.dedup();
        match member.partitions_of(&topics).await {
            Ok(now) if now != assigned_from => return,
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "metadata could not be refreshed"),
        }
    }
}
