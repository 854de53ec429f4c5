//! When each follower last had all that the leader had: what openraft does not keep.
//!
//! Looked at from time to time, which says less than a follower's every answer would, and costs nothing. A follower that
//! now has what the leader had at the last look was not behind then, however much has come since: so one that keeps up with
//! a busy leader never seems to lag by more than the time between two looks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use openraft::async_runtime::WatchReceiver;
use tokio::time::Instant;

use super::OpenRaft;
use crate::quorum::VoterKey;

/// What was seen of the followers in one term.
#[derive(Default)]
pub(crate) struct Progress(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    term: u64,
    /// When the leader was looked at last, and the last index of its log then.
    looked: Option<(Instant, Option<u64>)>,
    caught_up: BTreeMap<VoterKey, Instant>,
}

impl Progress {
    /// Looks at the followers. On a node that does not lead there are none.
    pub(crate) fn look(&self, raft: &OpenRaft) {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let followers = metrics.replication.iter().flatten();
        let matched = followers.map(|(key, matched)| (*key, matched.as_ref().map(|id| id.index)));
        self.seen().note(metrics.current_term, metrics.last_log_index, matched, Instant::now());
    }

    /// When a follower is known to have had all that the leader had.
    pub(crate) fn caught_up(&self, key: &VoterKey) -> Option<Instant> {
        self.seen().caught_up.get(key).copied()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn note(
        &mut self,
        term: u64,
        last: Option<u64>,
        matched: impl Iterator<Item = (VoterKey, Option<u64>)>,
        now: Instant,
    ) {
        if self.term != term {
            *self = Self { term, ..Self::default() };
        }
        let mut caught_up = BTreeMap::new();
        for (key, matched) in matched {
            let then = self.looked.filter(|(_, last)| matched >= *last).map(|(at, _)| at);
            let at = if matched >= last { Some(now) } else { then.max(self.caught_up.get(&key).copied()) };
            caught_up.extend(at.filter(|_| matched.is_some()).map(|at| (key, at)));
        }
        // Whoever is not followed any more is forgotten.
        self.caught_up = caught_up;
        self.looked = Some((now, last));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ottla_types::{BrokerId, DirectoryId};

    use super::*;

    fn key(id: i32) -> VoterKey {
        VoterKey { id: BrokerId(id), directory: DirectoryId([1; 16]) }
    }

    fn look(seen: &mut Seen, term: u64, last: u64, matched: [Option<u64>; 2], now: Instant) {
        seen.note(term, Some(last), (2..).map(key).zip(matched), now);
    }

    #[test]
    fn a_follower_was_not_behind_when_it_has_what_the_leader_had_then() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut seen = Seen::default();
        look(&mut seen, 1, 10, [Some(10), None], at(0));
        assert_eq!((seen.caught_up.get(&key(2)), seen.caught_up.get(&key(3))), (Some(&at(0)), None));
        look(&mut seen, 1, 20, [Some(15), Some(9)], at(1));
        assert_eq!((seen.caught_up.get(&key(2)), seen.caught_up.get(&key(3))), (Some(&at(0)), None));
        look(&mut seen, 1, 30, [Some(20), Some(12)], at(2));
        assert_eq!((seen.caught_up.get(&key(2)), seen.caught_up.get(&key(3))), (Some(&at(1)), None));
        look(&mut seen, 1, 30, [Some(20), Some(30)], at(3));
        assert_eq!((seen.caught_up.get(&key(2)), seen.caught_up.get(&key(3))), (Some(&at(1)), Some(&at(3))));
    }

    #[test]
    fn another_term_and_another_follower_begin_anew() {
        let begin = Instant::now();
        let mut seen = Seen::default();
        look(&mut seen, 1, 10, [Some(10), Some(10)], begin);
        seen.note(1, Some(10), [(key(2), Some(10))].into_iter(), begin);
        assert_eq!(seen.caught_up.keys().collect::<Vec<_>>(), [&key(2)]);
        look(&mut seen, 2, 12, [Some(11), None], begin);
        assert!(seen.caught_up.is_empty(), "what was seen in another term says nothing of this leader's log");
    }
}
