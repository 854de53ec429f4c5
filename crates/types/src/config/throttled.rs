//! Which replicas of a topic are throttled (KIP-73): `leader.replication.throttled.replicas` and its counterpart, taken
//! apart.

use std::collections::BTreeSet;

use crate::BrokerId;

/// The throttled replicas of a topic, on one of the two sides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ThrottledReplicas {
    /// None of them.
    #[default]
    None,
    /// All of them: `*`.
    All,
    /// These, by partition and broker: `0:1,0:2`.
    These(BTreeSet<(i32, BrokerId)>),
}

impl ThrottledReplicas {
    /// From the items of the list, whose form was checked when it was set: what is no pair counts for nothing.
    #[must_use]
    pub fn from_items<'a>(items: impl IntoIterator<Item = &'a str>) -> Self {
        let mut replicas = BTreeSet::new();
        for item in items {
            if item.trim() == "*" {
                return Self::All;
            }
            let pair = item.trim().split_once(':');
            let pair =
                pair.and_then(|(partition, broker)| Some((partition.parse().ok()?, broker.parse().ok()?)));
            replicas.extend(pair.map(|(partition, broker)| (partition, BrokerId(broker))));
        }
        if replicas.is_empty() { Self::None } else { Self::These(replicas) }
    }

    /// Whether the replica of a partition on a broker is throttled.
    #[must_use]
    pub fn contains(&self, partition: i32, broker: BrokerId) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::These(replicas) => replicas.contains(&(partition, broker)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_replicas_by_partition_and_broker() {
        let some = ThrottledReplicas::from_items(["0:1", " 3:2 "]);
        assert!(some.contains(0, BrokerId(1)) && some.contains(3, BrokerId(2)));
        assert!(!some.contains(1, BrokerId(0)) && !some.contains(0, BrokerId(2)));
    }

    #[test]
    fn a_star_names_all_and_an_empty_list_none() {
        assert!(ThrottledReplicas::from_items(["*"]).contains(7, BrokerId(9)));
        assert_eq!(ThrottledReplicas::from_items([]), ThrottledReplicas::None);
        assert!(!ThrottledReplicas::None.contains(0, BrokerId(1)));
    }
}
