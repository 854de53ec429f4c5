//! Which of the connections to a leader's broker a partition is fetched by: `num.replica.fetchers` of them share the
//! partitions. Pure, and the same in every run: nothing is drawn.

use ottla_types::BrokerId;

use crate::replication::Key;

/// A connection: to which broker, and which of those there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) leader: BrokerId,
    pub(super) index: u32,
}

/// The place of a partition among `count` connections to its leader's broker. Partitions of a topic go to one after the
/// other, so that a topic by itself uses them all.
pub(super) fn slot(leader: BrokerId, (topic, index): Key, count: u32) -> Slot {
    // FNV-1a, of which the upper half is the better mixed one.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in topic.0 {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    let hash = u32::try_from(hash >> 32).unwrap_or(0);
    let turn = hash.wrapping_add(index.unsigned_abs());
    Slot { leader, index: turn.checked_rem(count).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use ottla_types::TopicId;

    use super::*;

    const LEADER: BrokerId = BrokerId(2);

    #[test]
    fn partitions_of_a_topic_are_spread_evenly_over_the_connections() {
        let topic = TopicId(*b"0123456789abcdef");
        let mut counts = [0; 4];
        for index in 0..40 {
            counts[slot(LEADER, (topic, index), 4).index as usize] += 1;
        }
        assert_eq!(counts, [10; 4]);
    }

    #[test]
    fn topics_of_one_partition_do_not_all_share_a_connection() {
        let slots = (0..100).map(|n| slot(LEADER, (TopicId([n; 16]), 0), 4).index);
        assert_eq!(slots.collect::<std::collections::BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn one_connection_takes_everything() {
        for index in 0..10 {
            let slot = slot(LEADER, (TopicId([3; 16]), index), 1);
            assert_eq!(slot, Slot { leader: LEADER, index: 0 });
        }
    }
}
