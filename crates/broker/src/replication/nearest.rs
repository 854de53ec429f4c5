//! Which replica a consumer had better read from (KIP-392), by `replica.selector.class`. Pure.

use ottla_types::config::Settings;
use ottla_types::config::broker::replication::REPLICA_SELECTOR_CLASS;
use ottla_types::{BrokerId, Offset};

/// The last part of the name of Kafka's class that goes by racks.
const RACK_AWARE: &str = "RackAwareReplicaSelector";

/// How a leader chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selector {
    /// Itself, always.
    Leader,
    /// A replica in the consumer's rack.
    RackAware,
}

/// A replica that may be read from: it is in sync, and holds the offset that is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) broker: BrokerId,
    pub(crate) rack: Option<&'a str>,
    /// The end of its log.
    pub(crate) end: Offset,
}

impl From<&Settings> for Selector {
    fn from(settings: &Settings) -> Self {
        let class = settings.get(&REPLICA_SELECTOR_CLASS);
        match class.as_deref().map(|class| class.ends_with(RACK_AWARE)) {
            Some(true) => Self::RackAware,
            Some(false) | None => Self::Leader,
        }
    }
}

/// The follower that a consumer in `rack` had better read from, if there is one: of those in its rack that which holds most. A
/// leader in the same rack is the nearest itself.
pub(crate) fn nearest<'a>(
    rack: &str,
    leaders_rack: Option<&str>,
    followers: impl IntoIterator<Item = Candidate<'a>>,
) -> Option<BrokerId> {
    if leaders_rack == Some(rack) {
        return None;
    }
    let mut nearest: Option<Candidate<'_>> = None;
    for candidate in followers {
        let is_better = nearest.is_none_or(|best| candidate.end > best.end);
        if candidate.rack == Some(rack) && is_better {
            nearest = Some(candidate);
        }
    }
    nearest.map(|candidate| candidate.broker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower(id: i32, rack: Option<&'static str>, end: i64) -> Candidate<'static> {
        Candidate { broker: BrokerId(id), rack, end: Offset(end) }
    }

    #[test]
    fn a_follower_in_the_consumers_rack_is_nearer_than_a_leader_elsewhere() {
        let followers = [follower(2, Some("b"), 9), follower(3, Some("c"), 9), follower(4, None, 9)];
        assert_eq!(nearest("b", Some("a"), followers), Some(BrokerId(2)));
        assert_eq!(nearest("c", None, followers), Some(BrokerId(3)));
    }

    #[test]
    fn a_leader_in_the_same_rack_and_one_without_neighbours_is_read_from() {
        let followers = [follower(2, Some("a"), 9), follower(3, Some("c"), 9)];
        assert_eq!(nearest("a", Some("a"), followers), None);
        assert_eq!(nearest("x", Some("a"), followers), None);
    }

    #[test]
    fn of_several_in_the_rack_the_one_that_holds_most_is_chosen() {
        let followers = [follower(2, Some("b"), 7), follower(3, Some("b"), 9), follower(4, Some("b"), 9)];
        assert_eq!(nearest("b", Some("a"), followers), Some(BrokerId(3)));
    }

    #[test]
    fn racks_count_where_the_settings_say_so() {
        let selector = |text: &str| Selector::from(&Settings::parse("f", text).unwrap().0);
        let class = "replica.selector.class=org.apache.kafka.common.replica.";
        assert_eq!(selector(""), Selector::Leader);
        assert_eq!(selector(&format!("{class}LeaderSelector\n")), Selector::Leader);
        assert_eq!(selector(&format!("{class}RackAwareReplicaSelector\n")), Selector::RackAware);
    }
}
