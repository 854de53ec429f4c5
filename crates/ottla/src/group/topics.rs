//! Partitions as they are typed: a topic, or a topic and some of its partitions.

use std::collections::BTreeSet;
use std::str::FromStr;

use ottla_client::Client;
use ottla_types::{TopicName, TopicPartition};

use crate::cli::{partition_number, topic_name};
use crate::cluster::explain;

/// The values of `--topic`: `orders`, or `orders:0,2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) name: TopicName,
    /// All where none is named.
    partitions: Vec<i32>,
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, partitions) = match text.split_once(':') {
            Some((name, numbers)) => {
                (name, numbers.split(',').map(partition_number).collect::<Result<_, _>>()?)
            }
            None => (text, Vec::new()),
        };
        Ok(Self { name: topic_name(name)?, partitions })
    }
}

impl From<TopicName> for Topic {
    fn from(name: TopicName) -> Self {
        Self { name, partitions: Vec::new() }
    }
}

/// The partitions that the topics name, each once and in order. All of them exist.
pub(super) async fn existing(client: &Client, topics: &[Topic]) -> anyhow::Result<Vec<TopicPartition>> {
    let mut partitions = BTreeSet::new();
    for wanted in topics {
        let topic = client.topic(&wanted.name).await.map_err(explain)?;
        let at = |partition| TopicPartition { topic: topic.name.clone(), partition };
        if wanted.partitions.is_empty() {
            partitions.extend(topic.partitions.iter().map(|partition| at(partition.index)));
        }
        for &number in &wanted.partitions {
            let count = topic.partitions.len();
            anyhow::ensure!(
                topic.partition(number).is_some(),
                "the topic {} has {count} partitions, from 0, and none with number {number}",
                topic.name
            );
            partitions.insert(at(number));
        }
    }
    Ok(partitions.into_iter().collect())
}

/// Those of the partitions that the topics name; also of topics that do not exist any more.
pub(super) fn named(topics: &[Topic], among: impl Iterator<Item = TopicPartition>) -> Vec<TopicPartition> {
    let is_named = |at: &TopicPartition| {
        let of_topic =
            |topic: &Topic| topic.partitions.is_empty() || topic.partitions.contains(&at.partition);
        topics.iter().any(|topic| topic.name == at.topic && of_topic(topic))
    };
    among.filter(is_named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_its_name_with_or_without_partitions() {
        let topic: Topic = "orders:0,2".parse().unwrap();
        assert_eq!((topic.name.as_str(), topic.partitions.as_slice()), ("orders", &[0, 2][..]));
        assert_eq!("orders".parse::<Topic>().unwrap().partitions, Vec::<i32>::new());
        for text in ["", ":0", "orders:", "orders:a", "orders:-1", "orders:0,", "a/b"] {
            assert!(text.parse::<Topic>().is_err(), "{text}");
        }
    }

    #[test]
    fn topics_name_partitions_among_others() {
        let at = |topic: &str, partition| TopicPartition { topic: topic_name(topic).unwrap(), partition };
        let topics: Vec<Topic> = ["a", "b:1"].iter().map(|text| text.parse().unwrap()).collect();
        let among = [at("a", 7), at("b", 0), at("b", 1), at("c", 1)];
        assert_eq!(named(&topics, among.into_iter()), [at("a", 7), at("b", 1)]);
    }
}
