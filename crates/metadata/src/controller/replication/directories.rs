//! Log directories: where replicas lie, and what fails with a directory (KIP-858).
//!
//! A replica in a directory that failed counts as lost: what was written there last may not be there, so it leaves ISR and
//! ELR, where Kafka keeps it in the ELR.

use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, ErrorCode, TopicId};

use super::super::{Controller, Cuts, Decision, Refused};
use super::is_active;
use crate::record::{BrokerChange, Record};

/// AssignReplicasToDirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignReplicasToDirs {
    /// The broker that asks.
    pub broker: BrokerId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// Which replica lies where.
    pub replicas: Vec<(DirectoryId, TopicId, i32)>,
}

impl Controller {
    /// Takes note of where a broker's replicas lie. One answer for each, in the order of the request:
    /// UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION, or NOT_LEADER_OR_FOLLOWER if the broker holds no replica of it. All
    /// is refused if the registration is not that one any more.
    ///
    /// A replica in a directory that does not work is lost, as if the directory failed with it in there.
    pub fn assign_replicas_to_dirs(
        &mut self,
        request: &AssignReplicasToDirs,
    ) -> Decision<Result<Vec<Result<(), Refused>>, Refused>> {
        let id = request.broker;
        if let Err(refused) = self.check_registration(id, request.epoch) {
            return Decision::unchanged(Err(refused));
        }
        let mut decision = Decision::unchanged(());
        let mut answers = Vec::with_capacity(request.replicas.len());
        for (directory, topic, index) in &request.replicas {
            if let Err(refused) = self.check_replica(id, *topic, *index) {
                answers.push(Err(refused));
                continue;
            }
            let image = &self.speculative;
            let has = |directory| image.broker(id).is_some_and(|broker| broker.has_online(directory));
            let works = has(*directory);
            let updates = self.updates(
                [(*topic, *index)],
                |other| is_active(image, other),
                |target| {
                    // What was there is gone with its directory: this is a new log, which is not to be elected for having led last.
                    if target.state().directory(id).is_some_and(|was| !has(was)) {
                        target.make_empty(id);
                    }
                    target.set_directory(id, *directory);
                    if !works {
                        target.make_stranger(id);
                    }
                },
            );
            decision = decision.then(self.decide_updates(updates, ()));
            answers.push(Ok(()));
        }
        decision.map(|()| Ok(answers))
    }

    fn check_replica(&self, broker: BrokerId, topic: TopicId, index: i32) -> Result<(), Refused> {
        let Some(topic) = self.speculative.topic(topic) else {
            return Err(Refused::new(ErrorCode::UnknownTopicId, "This server does not host this topic ID."));
        };
        let Some(state) = topic.partition(index) else {
            return Err(Refused::new(
                ErrorCode::UnknownTopicOrPartition,
                "This server does not host this topic-partition.",
            ));
        };
        if !state.replicas.contains(&broker) {
            let message = format!("Broker {broker} is no replica of {}-{index}.", topic.name);
            return Err(Refused::new(ErrorCode::NotLeaderOrFollower, message));
        }
        Ok(())
    }

    /// Takes the replicas in directories that have failed from a broker, and then says so of the broker. What is
    /// known already changes nothing.
    pub(in super::super) fn fail_directories(
        &mut self,
        id: BrokerId,
        epoch: BrokerEpoch,
        offline: &[DirectoryId],
    ) -> Decision<()> {
        let image = &self.speculative;
        let Some(broker) = image.broker(id) else { return Decision::unchanged(()) };
        let known = &broker.registration.directories;
        let (failed, working): (Vec<_>, Vec<_>) =
            known.iter().copied().partition(|directory| offline.contains(directory));
        if failed.is_empty() {
            return Decision::unchanged(());
        }
        let lies_there = |(topic, index): &(TopicId, i32)| {
            let directory = image.partition(*topic, *index).and_then(|state| state.directory(id));
            directory.is_some_and(|directory| failed.contains(&directory))
        };
        let works = |other, directory: DirectoryId| other != id || !failed.contains(&directory);
        let updates = self.updates_where(
            self.hosted_by(id).filter(lies_there),
            |other, directory| is_active(image, other) && works(other, directory),
            |target| target.make_stranger(id),
        );
        let taken = self.decide_updates(updates, ());
        let change = BrokerChange { id, epoch, in_controlled_shutdown: false, directories: Some(working) };
        taken.then(self.decide_cut(vec![Record::BrokerChange(change)], Cuts::Nowhere, ()))
    }
}
