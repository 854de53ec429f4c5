//! AlterPartition: a leader tells who is in sync with it (KIP-497, KIP-841, KIP-903).

use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, TopicId};

use super::super::{Controller, Decision, Refused};
use super::is_active;
use crate::record::{LeaderRecovery, PartitionEpoch, PartitionState};

/// The request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterPartition {
    /// Who asks.
    pub broker: BrokerId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// What it asks for.
    pub partitions: Vec<PartitionUpdate>,
}

/// What a leader wants of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionUpdate {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub index: i32,
    /// The leadership under which it asks.
    pub leader_epoch: LeaderEpoch,
    /// The state that it would change.
    pub partition_epoch: PartitionEpoch,
    /// The ISR that it wants, with the registration that it knows of each member: one that restarted since may have lost
    /// what made it in sync (KIP-903). `None` skips the check, for requests of versions without it.
    pub isr: Vec<(BrokerId, Option<BrokerEpoch>)>,
    /// Whether it has come to terms with what it lacks after an unclean election (KIP-704).
    pub recovery: LeaderRecovery,
}

/// A partition after the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlteredPartition {
    /// Its topic.
    pub topic: TopicId,
    /// Its index.
    pub index: i32,
    /// Its state.
    pub state: PartitionState,
}

impl Controller {
    /// Decides an AlterPartition. One answer for each partition, in the order of the request; all is refused
    /// (STALE_BROKER_EPOCH, BROKER_ID_NOT_REGISTERED) if the registration is not that one any more.
    ///
    /// A partition is refused with
    /// - UNKNOWN_TOPIC_ID or UNKNOWN_TOPIC_OR_PARTITION;
    /// - NOT_CONTROLLER, if the leader knows a later state than this: then this is not the controller any more;
    /// - FENCED_LEADER_EPOCH, if it does not lead under this epoch any more;
    /// - INVALID_UPDATE_VERSION, if the partition has changed since;
    /// - INELIGIBLE_REPLICA, if a member may not be in sync: fenced, shutting down, or registered anew;
    /// - INVALID_REQUEST, if no ISR can look like that;
    /// - NEW_LEADER_ELECTED, if the change is made and somebody else leads by it: it ended a reassignment.
    pub fn alter_partition(
        &mut self,
        request: &AlterPartition,
    ) -> Decision<Result<Vec<Result<AlteredPartition, Refused>>, Refused>> {
        if let Err(refused) = self.check_registration(request.broker, request.epoch) {
            return Decision::unchanged(Err(refused));
        }
        let mut decision = Decision::unchanged(());
        let mut answers = Vec::with_capacity(request.partitions.len());
        for update in &request.partitions {
            if let Err(refused) = self.check_update(request.broker, update) {
                answers.push(Err(refused));
                continue;
            }
            let image = &self.speculative;
            let partition = [(update.topic, update.index)];
            let updates = self.updates(
                partition,
                |broker| is_active(image, broker),
                |target| {
                    target.isr = update.isr.iter().map(|(broker, _)| *broker).collect();
                    target.recovery = update.recovery;
                },
            );
            decision = decision.then(self.decide_updates(updates, ()));
            answers.push(self.altered(request.broker, update));
        }
        decision.map(|()| Ok(answers))
    }

    /// The answer, after the change.
    fn altered(&self, leader: BrokerId, update: &PartitionUpdate) -> Result<AlteredPartition, Refused> {
        let (topic, index) = (update.topic, update.index);
        let Some(state) = self.speculative.partition(topic, index) else {
            return Err(Refused::new(ErrorCode::UnknownTopicOrPartition, "The partition is gone."));
        };
        if state.leader != Some(leader) {
            return Err(Refused::new(
                ErrorCode::NewLeaderElected,
                "The change ended the reassignment of the partition, and somebody else leads it now.",
            ));
        }
        Ok(AlteredPartition { topic, index, state: (**state).clone() })
    }

    fn check_update(&self, leader: BrokerId, update: &PartitionUpdate) -> Result<(), Refused> {
        let refused = |error, message: String| Err(Refused::new(error, message));
        let Some(topic) = self.speculative.topic(update.topic) else {
            return refused(ErrorCode::UnknownTopicId, format!("There is no topic id {}.", update.topic));
        };
        let name = format!("{}-{}", topic.name, update.index);
        let Some(state) = topic.partition(update.index) else {
            return refused(ErrorCode::UnknownTopicOrPartition, format!("There is no partition {name}."));
        };
        if update.leader_epoch > state.leader_epoch || update.partition_epoch > state.partition_epoch {
            return refused(
                ErrorCode::NotController,
                format!(
                    "The request knows {name} at leader epoch {} and partition epoch {}, and this controller only at {} \
                     and {}.",
                    update.leader_epoch,
                    update.partition_epoch.0,
                    state.leader_epoch,
                    state.partition_epoch.0
                ),
            );
        }
        if update.leader_epoch < state.leader_epoch {
            let message = format!("{name} has leader epoch {}.", state.leader_epoch);
            return refused(ErrorCode::FencedLeaderEpoch, message);
        }
        if state.leader != Some(leader) {
            return refused(ErrorCode::InvalidRequest, format!("Broker {leader} does not lead {name}."));
        }
        if update.partition_epoch < state.partition_epoch {
            let message = format!("{name} has partition epoch {}.", state.partition_epoch.0);
            return refused(ErrorCode::InvalidUpdateVersion, message);
        }
        check_isr(leader, state, update, &name)?;
        self.check_members(state, update, &name)
    }

    /// Whoever is fenced, shuts down, or has registered since the leader saw it catch up, may not be in sync.
    fn check_members(
        &self,
        state: &PartitionState,
        update: &PartitionUpdate,
        name: &str,
    ) -> Result<(), Refused> {
        for (member, epoch) in &update.isr {
            let why = match self.speculative.broker(*member) {
                None => "not registered".to_owned(),
                Some(broker) if broker.in_controlled_shutdown => "shutting down".to_owned(),
                Some(broker) if broker.fenced && !is(Sabotage::FencedBrokerEnters) => "fenced".to_owned(),
                Some(broker) if state.directory(*member).is_some_and(|d| !broker.has_online(d)) => {
                    "without the log directory that its replica lies in".to_owned()
                }
                Some(broker) => match epoch {
                    Some(epoch) if *epoch != broker.registration.epoch => format!(
                        "registered with epoch {}, and the request has {epoch}",
                        broker.registration.epoch
                    ),
                    _ => continue,
                },
            };
            let message = format!("Broker {member} cannot be in the ISR of {name}: it is {why}.");
            return Err(Refused::new(ErrorCode::IneligibleReplica, message));
        }
        Ok(())
    }
}

fn check_isr(
    leader: BrokerId,
    state: &PartitionState,
    update: &PartitionUpdate,
    name: &str,
) -> Result<(), Refused> {
    let invalid = |why: &str| {
        let message = format!("The ISR asked for {name} {why}.");
        Err(Refused::new(ErrorCode::InvalidRequest, message))
    };
    for (nth, (member, _)) in update.isr.iter().enumerate() {
        if !state.replicas.contains(member) {
            return invalid("has a member that is no replica");
        }
        if update.isr.iter().position(|(other, _)| other == member) != Some(nth) {
            return invalid("has a member twice");
        }
    }
    if !update.isr.iter().any(|(member, _)| *member == leader) {
        return invalid("does not include its leader");
    }
    match (state.recovery, update.recovery) {
        (LeaderRecovery::Recovered, LeaderRecovery::Recovering) => {
            invalid("is that of a recovering leader, and the leader has recovered")
        }
        (_, LeaderRecovery::Recovering) if update.isr.len() > 1 => {
            invalid("has more than one member, and the leader is still recovering")
        }
        _ => Ok(()),
    }
}
