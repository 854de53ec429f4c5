//! The brokers that follow the metadata log without a vote, as the active controller hears of them: by their heartbeats, which
//! say how far they have carried it out. What they pull they may pull from any voter.
//!
//! Pure: the time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_broadcast::quorum::{ReplicaState, Voter, VoterKey};
use ottla_types::{BrokerId, DirectoryId, Offset};
use tokio::time::Instant;

/// How long one that is silent is shown. Kafka's observers are forgotten after this time, too.
const FORGOTTEN: Duration = Duration::from_secs(300);

/// Who was heard of.
#[derive(Debug, Default)]
pub(super) struct Observers(BTreeMap<BrokerId, Seen>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    end: Offset,
    heard: Instant,
    caught_up: Option<Instant>,
}

impl Observers {
    /// Forgets those that are not to be kept: so there are never more than registered brokers.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(BrokerId) -> bool) {
        self.0.retain(|broker, _| keep(*broker));
    }

    /// Notes how far a broker is, of what is committed up to `committed`. Nobody is further than that.
    pub(super) fn note(&mut self, broker: BrokerId, end: Offset, committed: Offset, now: Instant) {
        self.0.retain(|_, seen| now.saturating_duration_since(seen.heard) < FORGOTTEN);
        let before = self.0.get(&broker).and_then(|seen| seen.caught_up);
        let caught_up = if end >= committed { Some(now) } else { before };
        let end = end.clamp(Offset(0), committed.max(Offset(0)));
        self.0.insert(broker, Seen { end, heard: now, caught_up });
    }

    /// Those that do not vote.
    pub(super) fn besides(&self, voters: &[ReplicaState], now: Instant) -> Vec<ReplicaState> {
        let ago = |at: Instant| now.saturating_duration_since(at);
        let votes = |broker: BrokerId| voters.iter().any(|voter| voter.voter.key.id == broker);
        let seen = self.0.iter().filter(|(broker, seen)| ago(seen.heard) < FORGOTTEN && !votes(**broker));
        let state = |(broker, seen): (&BrokerId, &Seen)| ReplicaState {
            // Only who votes has a directory that matters.
            voter: Voter {
                key: VoterKey { id: *broker, directory: DirectoryId::ZERO },
                endpoints: Vec::new(),
            },
            log_end: Some(seen.end),
            last_answer: Some(ago(seen.heard)),
            last_caught_up: seen.caught_up.map(ago),
        };
        seen.map(state).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_without_a_vote_are_shown_as_far_as_they_are_until_they_are_silent_for_long() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut observers = Observers::default();
        for broker in [1, 4] {
            observers.note(BrokerId(broker), Offset(10), Offset(10), at(0));
        }
        observers.note(BrokerId(4), Offset(12), Offset(20), at(3));
        let voter = observers.besides(&[], at(3)).remove(0);
        let shown = observers.besides(&[voter], at(5));
        assert_eq!(shown.len(), 1, "node 1 votes");
        assert_eq!((shown[0].voter.key.id, shown[0].log_end), (BrokerId(4), Some(Offset(12))));
        assert_eq!(shown[0].last_answer, Some(Duration::from_secs(2)));
        assert_eq!(shown[0].last_caught_up, Some(Duration::from_secs(5)));
        assert!(observers.besides(&[], at(400)).is_empty());
    }

    #[test]
    fn nobody_is_shown_further_than_the_log_or_after_it_is_forgotten() {
        let now = Instant::now();
        let mut observers = Observers::default();
        observers.note(BrokerId(4), Offset(1_000_000_000_000_001), Offset(10), now);
        observers.note(BrokerId(5), Offset(-7), Offset(10), now);
        let ends: Vec<_> = observers.besides(&[], now).iter().map(|shown| shown.log_end).collect();
        assert_eq!(ends, [Some(Offset(10)), Some(Offset(0))]);
        observers.retain(|broker| broker == BrokerId(5));
        let left: Vec<_> = observers.besides(&[], now).iter().map(|shown| shown.voter.key.id).collect();
        assert_eq!(left, [BrokerId(5)]);
    }
}
