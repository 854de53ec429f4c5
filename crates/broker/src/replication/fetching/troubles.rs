//! What is wrong with partitions, as far as the log was told: once per change, and not with each attempt. Pure.

use std::collections::BTreeMap;

use ottla_types::ErrorCode;

use crate::replication::Key;

/// Why a partition is not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Its leader's broker refuses.
    Refused(ErrorCode),
    /// What came cannot be written.
    Corrupt,
}

impl Trouble {
    /// Whether it passes by itself as a rule: a broker hears of an election a moment before another.
    fn is_passing(self) -> bool {
        let Self::Refused(code) = self else { return false };
        matches!(
            code,
            ErrorCode::NotLeaderOrFollower
                | ErrorCode::UnknownLeaderEpoch
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::UnknownTopicId
                | ErrorCode::UnknownTopicOrPartition
        )
    }
}

/// What the log was told of each partition.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    by_key: BTreeMap<Key, (Trouble, u32)>,
}

/// After how many failures in a row somebody is told of what passes by itself as a rule: it did not.
const PASSING_MOST: u32 = 8;

impl Troubles {
    /// Takes note of a failure. Returns whether the log is to be told.
    pub(super) fn note(&mut self, key: Key, trouble: Trouble) -> bool {
        let is_passing = trouble.is_passing();
        let (known, count) = self.by_key.entry(key).or_insert_with(|| (trouble, 0));
        if *known != trouble {
            (*known, *count) = (trouble, 0);
        }
        *count = count.saturating_add(1);
        *count == if is_passing { PASSING_MOST } else { 1 }
    }

    /// Takes note that a partition is copied, or no matter any more. Returns whether the log was told of a trouble.
    pub(super) fn end(&mut self, key: Key) -> bool {
        let Some((trouble, count)) = self.by_key.remove(&key) else { return false };
        !trouble.is_passing() || count >= PASSING_MOST
    }
}

#[cfg(test)]
mod tests {
    use ottla_types::TopicId;

    use super::*;

    const KEY: Key = (TopicId([1; 16]), 0);

    #[test]
    fn a_trouble_is_told_once_and_another_one_again() {
        let mut troubles = Troubles::default();
        assert!(troubles.note(KEY, Trouble::Corrupt));
        assert!(!troubles.note(KEY, Trouble::Corrupt));
        assert!(troubles.note(KEY, Trouble::Refused(ErrorCode::KafkaStorageError)));
        assert!(!troubles.note(KEY, Trouble::Refused(ErrorCode::KafkaStorageError)));
        assert!(troubles.note(KEY, Trouble::Corrupt));
    }

    #[test]
    fn the_end_is_told_of_what_was_told() {
        let mut troubles = Troubles::default();
        assert!(!troubles.end(KEY));
        troubles.note(KEY, Trouble::Corrupt);
        assert!(troubles.end(KEY));
        assert!(!troubles.end(KEY));
    }

    #[test]
    fn what_passes_by_itself_is_told_when_it_did_not() {
        let mut troubles = Troubles::default();
        let early = Trouble::Refused(ErrorCode::UnknownLeaderEpoch);
        assert!(!troubles.note(KEY, early));
        assert!(!troubles.end(KEY));
        let told = (0..2 * PASSING_MOST).filter(|_| troubles.note(KEY, early)).count();
        assert_eq!(told, 1);
        assert!(troubles.end(KEY));
    }
}
