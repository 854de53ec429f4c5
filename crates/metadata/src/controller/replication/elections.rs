//! Elections that somebody asks for: ElectLeaders (KIP-183, KIP-460), and the balance of leaderships.

use std::collections::BTreeMap;

use ottla_types::config::broker::node::{
    AUTO_LEADER_REBALANCE_ENABLE, LEADER_IMBALANCE_PER_BROKER_PERCENTAGE,
};
use ottla_types::{BrokerId, ErrorCode, TopicId};

use super::super::{Controller, Decision, Refused};
use super::{Election, Target, Updates, is_active};
use crate::image::TopicImage;

/// What ElectLeaders asks for, by its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum ElectionType {
    /// The preferred replica is to lead.
    Preferred = 0,
    /// Anybody is to lead what has no leader.
    Unclean = 1,
}

impl ElectionType {
    /// The type with this number.
    ///
    /// # Errors
    /// INVALID_REQUEST: there is none.
    pub fn from_code(code: i8) -> Result<Self, Refused> {
        match code {
            0 => Ok(Self::Preferred),
            1 => Ok(Self::Unclean),
            _ => {
                let message = format!("Unknown election type {code}");
                Err(Refused::new(ErrorCode::InvalidRequest, message))
            }
        }
    }
}

/// What became of one partition of an ElectLeaders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElectionResult {
    /// The topic, as the request names it.
    pub topic: String,
    /// The partition.
    pub index: i32,
    /// Whether it has the leader that was asked for.
    pub result: Result<(), Refused>,
}

impl Controller {
    /// Decides an ElectLeaders. One answer for each partition, in the order of the request; without a list of partitions
    /// all are meant, and those that need no election are left out of the answer.
    ///
    /// Refused with UNKNOWN_TOPIC_OR_PARTITION, ELECTION_NOT_NEEDED, PREFERRED_LEADER_NOT_AVAILABLE or
    /// ELIGIBLE_LEADERS_NOT_AVAILABLE.
    pub fn elect_leaders(
        &mut self,
        election: ElectionType,
        partitions: Option<&[(String, i32)]>,
    ) -> Decision<Vec<ElectionResult>> {
        let mut decision = Decision::unchanged(());
        let mut results = Vec::new();
        let mut elect = |this: &mut Self, topic: &str, index: i32| {
            let result = match this.elect_one(election, topic, index) {
                Ok(updates) => {
                    let before = std::mem::replace(&mut decision, Decision::unchanged(()));
                    decision = before.then(this.decide_updates(updates, ()));
                    Ok(())
                }
                Err(refused) => Err(refused),
            };
            ElectionResult { topic: topic.to_owned(), index, result }
        };
        match partitions {
            Some(partitions) => {
                results.extend(partitions.iter().map(|(topic, index)| elect(self, topic, *index)));
            }
            None => {
                for (topic, index) in self.candidates_for(election) {
                    let elected = elect(self, &topic, index);
                    let is_needed =
                        elected.result.as_ref().is_err_and(|r| r.error == ErrorCode::ElectionNotNeeded);
                    if !is_needed {
                        results.push(elected);
                    }
                }
            }
        }
        decision.map(|()| results)
    }

    /// The partitions that may need such an election, by topic name and index.
    fn candidates_for(&self, election: ElectionType) -> Vec<(String, i32)> {
        let image = &self.speculative;
        let others = image.not_led_by_preferred().iter().filter(|_| election == ElectionType::Preferred);
        let named = |(id, index): (TopicId, i32)| Some((image.topic(id)?.name.to_string(), index));
        let mut partitions: Vec<_> = image.leaderless().iter().chain(others).filter_map(named).collect();
        partitions.sort();
        partitions
    }

    fn elect_one(&self, election: ElectionType, topic: &str, index: i32) -> Result<Updates, Refused> {
        let unknown = |message: String| Refused::new(ErrorCode::UnknownTopicOrPartition, message);
        let image = &self.speculative;
        let topic = image.topic_by_name(topic).ok_or_else(|| unknown(format!("No such topic as {topic}")))?;
        let state = topic
            .partition(index)
            .ok_or_else(|| unknown(format!("No such partition as {}-{index}", topic.name)))?;
        let preferred = state.replicas.first().copied();
        let is_needed = match election {
            ElectionType::Preferred => state.leader != preferred,
            ElectionType::Unclean => state.leader.is_none(),
        };
        if !is_needed {
            return Err(Refused::new(
                ErrorCode::ElectionNotNeeded,
                format!("Leader election not needed for topic partition {}-{index}.", topic.name),
            ));
        }
        let updates = self.election(
            topic,
            index,
            match election {
                ElectionType::Preferred => Election::Preferred,
                ElectionType::Unclean => Election::Unclean,
            },
        );
        let leader = updates.only_leader();
        match election {
            ElectionType::Preferred if leader.is_none() || leader != preferred => Err(Refused::new(
                ErrorCode::PreferredLeaderNotAvailable,
                format!("The preferred leader of {}-{index} is not in sync, or not alive.", topic.name),
            )),
            ElectionType::Unclean if leader.is_none() => Err(Refused::new(
                ErrorCode::EligibleLeadersNotAvailable,
                format!("No replica of {}-{index} is alive.", topic.name),
            )),
            _ => Ok(updates),
        }
    }

    fn election(&self, topic: &TopicImage, index: i32, election: Election) -> Updates {
        let image = &self.speculative;
        let set = |target: &mut Target<'_>| target.election = election;
        self.updates([(topic.id, index)], |broker| is_active(image, broker), set)
    }

    /// Gives leaderships back to preferred replicas that are in sync again, at most so many: for each broker of whose
    /// preferred partitions more than `leader.imbalance.per.broker.percentage` are led by others. The answer is whether
    /// there may be more. The host calls this every `leader.imbalance.check.interval.seconds`;
    /// `auto.leader.rebalance.enable` switches it off.
    pub fn balance_leaders(&mut self, most: usize) -> Decision<bool> {
        if !self.settings.get(&AUTO_LEADER_REBALANCE_ENABLE) {
            return Decision::unchanged(false);
        }
        let percentage = self.settings.get(&LEADER_IMBALANCE_PER_BROKER_PERCENTAGE);
        let percentage = usize::try_from(percentage).unwrap_or(0);
        let image = &self.speculative;
        let preferred = |topic, index| image.partition(topic, index)?.replicas.first().copied();
        let mut misled: BTreeMap<BrokerId, Vec<(TopicId, i32)>> = BTreeMap::new();
        for (topic, index) in image.not_led_by_preferred().iter() {
            if let Some(broker) = preferred(topic, index) {
                misled.entry(broker).or_default().push((topic, index));
            }
        }
        misled.retain(|broker, partitions| {
            let all = image.hosted(*broker).map_or(0, |hosted| hosted.preferred);
            is_active(image, *broker) && partitions.len() * 100 > percentage * all
        });
        let set = |target: &mut Target<'_>| target.election = Election::Preferred;
        let partitions = misled.into_values().flatten();
        let mut updates = self.updates(partitions, |broker| is_active(image, broker), set);
        let has_more = updates.truncate(most);
        self.decide_updates(updates, has_more)
    }
}
