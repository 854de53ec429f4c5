//! Partitions as most requests name them: by topic.

use std::collections::BTreeMap;

use ottla_types::{TopicName, TopicPartition};

/// What is asked of each partition by its topic, each topic once.
pub(crate) fn grouped<'a, T>(
    items: impl IntoIterator<Item = (&'a TopicName, T)>,
) -> BTreeMap<&'a TopicName, Vec<T>> {
    let mut topics: BTreeMap<&TopicName, Vec<T>> = BTreeMap::new();
    for (topic, item) in items {
        topics.entry(topic).or_default().push(item);
    }
    topics
}

/// The numbers of the partitions by their topics.
pub(crate) fn by_topic<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> BTreeMap<&'a TopicName, Vec<i32>> {
    grouped(partitions.into_iter().map(|at| (&at.topic, at.partition)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_named_topic_by_topic() {
        let of = |topic: &str, partition| TopicPartition { topic: TopicName::new(topic).unwrap(), partition };
        let all = [of("b", 1), of("a", 0), of("b", 0), of("a", 2)];
        let named: Vec<_> = by_topic(&all).into_iter().map(|(topic, all)| (topic.to_string(), all)).collect();
        assert_eq!(named, [("a".to_owned(), vec![0, 2]), ("b".to_owned(), vec![1, 0])]);
    }
}
