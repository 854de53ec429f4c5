//! Who gets which partitions: decided by the leader of a group, from what its members subscribe to. Pure.
//!
//! There is `range`, Kafka's first default. Another one is a name and an arm here. One that lets members keep what they
//! have while the group rebalances (cooperative-sticky, KIP-429) also needs [`super::membership`] to tell its owned
//! partitions, and [`super`] to give up only those that it lost: today it gives up all before it joins again.

use std::collections::BTreeMap;

use ottla_types::{TopicName, TopicPartition};

/// A way to assign partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Assignor {
    /// For each topic the partitions in order, in runs of equal length; the first members get one more.
    Range,
}

/// A member, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscriber {
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) topics: Vec<TopicName>,
}

impl Assignor {
    /// The name that members agree on.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
        }
    }

    /// Gives each partition of the topics to one subscriber of its topic. Every subscriber is in the answer, by its member id.
    pub(super) fn assign(
        self,
        subscribers: &[Subscriber],
        partitions: &BTreeMap<TopicName, Vec<i32>>,
    ) -> BTreeMap<String, Vec<TopicPartition>> {
        let mut assigned: BTreeMap<String, Vec<TopicPartition>> =
            subscribers.iter().map(|subscriber| (subscriber.member_id.clone(), Vec::new())).collect();
        match self {
            Self::Range => range(subscribers, partitions, &mut assigned),
        }
        assigned
    }
}

fn range(
    subscribers: &[Subscriber],
    partitions: &BTreeMap<TopicName, Vec<i32>>,
    assigned: &mut BTreeMap<String, Vec<TopicPartition>>,
) {
    let mut in_order: Vec<&Subscriber> = subscribers.iter().collect();
    in_order.sort_by(|a, b| order(a).cmp(&order(b)));
    for (topic, numbers) in partitions {
        let of_topic: Vec<&Subscriber> =
            in_order.iter().copied().filter(|subscriber| subscriber.topics.contains(topic)).collect();
        let Some(each) = numbers.len().checked_div(of_topic.len()) else { continue };
        let with_one_more = numbers.len() % of_topic.len();
        let mut numbers = numbers.iter();
        for (index, subscriber) in of_topic.into_iter().enumerate() {
            let count = each + usize::from(index < with_one_more);
            let run = numbers.by_ref().take(count);
            let run = run.map(|&partition| TopicPartition { topic: topic.clone(), partition });
            assigned.entry(subscriber.member_id.clone()).or_default().extend(run);
        }
    }
}

/// Static members come first, by the names that they keep, so that a restart changes nothing (KIP-345).
fn order(subscriber: &Subscriber) -> (bool, &str) {
    match &subscriber.instance_id {
        Some(instance_id) => (false, instance_id),
        None => (true, &subscriber.member_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicName {
        TopicName::new(name).unwrap()
    }

    fn member(id: &str, topics: &[&str]) -> Subscriber {
        let topics = topics.iter().map(|name| topic(name)).collect();
        Subscriber { member_id: id.to_owned(), instance_id: None, topics }
    }

    /// What each member gets, as text.
    fn assign(members: &[Subscriber], counts: &[(&str, i32)]) -> Vec<(String, String)> {
        let partitions = counts.iter().map(|(name, count)| (topic(name), (0..*count).collect())).collect();
        let text = |partitions: Vec<TopicPartition>| {
            partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let assigned = Assignor::Range.assign(members, &partitions);
        assigned.into_iter().map(|(member, partitions)| (member, text(partitions))).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(member, text)| ((*member).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn the_first_members_get_one_more_of_each_topic() {
        let members = [member("b", &["t", "u"]), member("a", &["t", "u"])];
        let assigned = assign(&members, &[("t", 3), ("u", 3)]);
        assert_eq!(assigned, pairs(&[("a", "t-0 t-1 u-0 u-1"), ("b", "t-2 u-2")]));
    }

    #[test]
    fn members_get_nothing_of_topics_they_do_not_read() {
        let members = [member("a", &["t"]), member("b", &["t", "u"]), member("c", &[])];
        let assigned = assign(&members, &[("t", 2), ("u", 2)]);
        assert_eq!(assigned, pairs(&[("a", "t-0"), ("b", "t-1 u-0 u-1"), ("c", "")]));
    }

    #[test]
    fn members_beyond_the_partitions_get_none() {
        let members = [member("a", &["t"]), member("b", &["t"])];
        assert_eq!(assign(&members, &[("t", 1)]), pairs(&[("a", "t-0"), ("b", "")]));
        assert_eq!(assign(&members, &[]), pairs(&[("a", ""), ("b", "")]));
    }

    #[test]
    fn static_members_are_in_the_order_of_their_instances_whatever_their_member_ids() {
        let fixed = |id: &str, instance: &str| Subscriber {
            instance_id: Some(instance.to_owned()),
            ..member(id, &["t"])
        };
        let members = [member("a", &["t"]), fixed("z", "1"), fixed("b", "2")];
        let assigned = assign(&members, &[("t", 3)]);
        assert_eq!(assigned, pairs(&[("a", "t-2"), ("b", "t-1"), ("z", "t-0")]));
    }

    #[test]
    fn every_partition_has_one_owner() {
        for count in 0..8 {
            for size in 1..5 {
                let members: Vec<Subscriber> =
                    (0..size).map(|n: i32| member(&n.to_string(), &["t"])).collect();
                let partitions = BTreeMap::from([(topic("t"), (0..count).collect())]);
                let assigned = Assignor::Range.assign(&members, &partitions);
                let mut all: Vec<i32> = assigned.values().flatten().map(|at| at.partition).collect();
                all.sort_unstable();
                assert_eq!(all, (0..count).collect::<Vec<_>>());
                let lengths = assigned.values().map(Vec::len);
                assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
            }
        }
    }
}
