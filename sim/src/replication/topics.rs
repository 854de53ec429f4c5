//! The topics of a run, drawn from its seed.

use ottla_client::NewTopic;
use ottla_types::{TopicName, TopicPartition};

use crate::rng::SimRng;

/// A topic.
#[derive(Debug, Clone)]
pub struct TopicPlan {
    /// Its name.
    pub name: TopicName,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas of each.
    pub replicas: i16,
    /// `min.insync.replicas`.
    pub min_insync: usize,
    /// `flush.messages=1`: what is acknowledged is fsynced on all that acknowledged it.
    pub is_durable: bool,
    /// `unclean.leader.election.enable`.
    pub may_be_unclean: bool,
    /// It is deleted and created again, over and over. What clients are told of its records is checked by nobody.
    pub is_recreated: bool,
}

impl TopicPlan {
    /// One to three topics, the first of several replicas.
    pub(super) fn draw_all(rng: &mut SimRng) -> Vec<Self> {
        let count = 1 + rng.index(3);
        (0..count).map(|nth| Self::draw(nth, rng)).collect()
    }

    fn draw(nth: usize, rng: &mut SimRng) -> Self {
        let replicas: usize = if nth == 0 { [3, 3, 3, 2][rng.index(4)] } else { [1, 2, 3][rng.index(3)] };
        let min_insync = if replicas > 1 && rng.below(3) > 0 { 2 } else { 1 };
        let name = match TopicName::new(&format!("t{nth}")) {
            Ok(name) => name,
            Err(error) => panic!("a valid name: {error}"),
        };
        Self {
            name,
            partitions: 1 + rng.index(2) as i32,
            replicas: replicas as i16,
            min_insync,
            is_durable: rng.one_in(4),
            may_be_unclean: nth > 0 && rng.one_in(4),
            is_recreated: nth == 2 && rng.one_in(2),
        }
    }

    pub(super) fn to_create(&self) -> NewTopic {
        let mut topic = NewTopic::new(self.name.clone());
        topic.partitions = Some(self.partitions);
        topic.replication_factor = Some(self.replicas);
        topic.configs.push(("min.insync.replicas".to_owned(), self.min_insync.to_string()));
        if self.is_durable {
            topic.configs.push(("flush.messages".to_owned(), "1".to_owned()));
        }
        if self.may_be_unclean {
            topic.configs.push(("unclean.leader.election.enable".to_owned(), "true".to_owned()));
        }
        topic
    }

    pub(super) fn all_partitions(&self) -> impl Iterator<Item = TopicPartition> + '_ {
        (0..self.partitions).map(|partition| TopicPartition { topic: self.name.clone(), partition })
    }
}
