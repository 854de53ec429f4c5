//! Moving replicas: AlterPartitionReassignments and ListPartitionReassignments (KIP-455, KIP-860).
//!
//! A reassignment begins with a change that makes all targets replicas, beside those that are there; it ends with the
//! change that brings all targets into the ISR, which [`super::Target`] notices. Data move in between, which is the
//! brokers' matter. A reassignment that only takes replicas away, or puts them in another order, ends as it begins.

use ottla_types::{BrokerId, ErrorCode, TopicName};

use super::super::create_topics::check_replicas;
use super::super::placement::{self, Candidate};
use super::super::{Controller, Decision, Refused};
use super::{Rules, Updates, default_directory, is_active};
use crate::image::{Image, TopicImage};
use crate::record::{PartitionState, Reassignment};

/// AlterPartitionReassignments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterReassignments {
    /// Whether a partition may have more or fewer replicas afterwards (KIP-860).
    pub allow_replication_factor_change: bool,
    /// What is asked for.
    pub partitions: Vec<WantedReplicas>,
}

/// Where a partition is to lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedReplicas {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub index: i32,
    /// Its replicas, the preferred leader first; `None` cancels the reassignment that is going on.
    pub replicas: Option<Vec<BrokerId>>,
}

/// A reassignment that is going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OngoingReassignment {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub index: i32,
    /// All its replicas.
    pub replicas: Vec<BrokerId>,
    /// Which come and which go.
    pub reassignment: Reassignment,
}

impl Image {
    /// The reassignments that are going on: of all partitions, or of those named. What is not there, or not moving, is
    /// left out.
    #[must_use]
    pub fn reassignments(&self, only: Option<&[(String, i32)]>) -> Vec<OngoingReassignment> {
        let ongoing = |topic: &TopicImage, index: i32| {
            let state = topic.partition(index)?;
            Some(OngoingReassignment {
                topic: topic.name.clone(),
                index,
                replicas: state.replicas.to_vec(),
                reassignment: state.reassignment.clone()?,
            })
        };
        match only {
            Some(partitions) => partitions
                .iter()
                .filter_map(|(name, index)| ongoing(self.topic_by_name(name)?, *index))
                .collect(),
            None => self
                .reassigning()
                .iter()
                .filter_map(|(topic, index)| ongoing(self.topic(topic)?, index))
                .collect(),
        }
    }
}

impl Controller {
    /// Decides an AlterPartitionReassignments. One answer for each partition, in the order of the request:
    /// UNKNOWN_TOPIC_OR_PARTITION, INVALID_REPLICA_ASSIGNMENT, INVALID_REPLICATION_FACTOR or
    /// NO_REASSIGNMENT_IN_PROGRESS.
    pub fn alter_partition_reassignments(
        &mut self,
        request: &AlterReassignments,
    ) -> Decision<Vec<Result<(), Refused>>> {
        let mut decision = Decision::unchanged(());
        let mut answers = Vec::with_capacity(request.partitions.len());
        for wanted in &request.partitions {
            match self.reassign(wanted, request.allow_replication_factor_change) {
                Ok(updates) => {
                    decision = decision.then(self.decide_updates(updates, ()));
                    answers.push(Ok(()));
                }
                Err(refused) => answers.push(Err(refused)),
            }
        }
        decision.map(|()| answers)
    }

    fn reassign(&self, wanted: &WantedReplicas, may_resize: bool) -> Result<Updates, Refused> {
        let unknown = |message: String| Refused::new(ErrorCode::UnknownTopicOrPartition, message);
        let topic = self
            .speculative
            .topic_by_name(&wanted.topic)
            .ok_or_else(|| unknown(format!("Unable to find a topic named {}.", wanted.topic)))?;
        let index = wanted.index;
        let state = topic
            .partition(index)
            .ok_or_else(|| unknown(format!("Unable to find partition {}:{index}.", wanted.topic)))?;
        match &wanted.replicas {
            Some(replicas) => self.begin(topic, index, state, replicas, may_resize),
            None => self.cancel(topic, index, state),
        }
    }

    fn begin(
        &self,
        topic: &TopicImage,
        index: i32,
        state: &PartitionState,
        wanted: &[BrokerId],
        may_resize: bool,
    ) -> Result<Updates, Refused> {
        let image = &self.speculative;
        // A target may be fenced: it counts as one to come.
        let counted = |c| Candidate { fenced: false, in_controlled_shutdown: false, ..c };
        let candidates: Vec<_> = placement::candidates(image).into_iter().map(counted).collect();
        check_replicas(&candidates, index, wanted, None)?;
        let factor = state.replication_factor();
        if !may_resize && factor != wanted.len() {
            return Err(Refused::new(
                ErrorCode::InvalidReplicationFactor,
                format!(
                    "The replication factor is changed from {factor} to {}, and the request does not allow that.",
                    wanted.len()
                ),
            ));
        }
        let before = original(state);
        let adding: Vec<_> = wanted.iter().copied().filter(|broker| !before.contains(broker)).collect();
        let mut removing: Vec<_> =
            state.replicas.iter().copied().filter(|broker| !wanted.contains(broker)).collect();
        removing.sort_unstable();
        let is_moving = !adding.is_empty() || !removing.is_empty();
        let replicas: Vec<_> = wanted.iter().chain(&removing).copied().collect();
        let reassignment =
            is_moving.then(|| Reassignment { adding: adding.into(), removing: removing.into() });
        Ok(self.updates(
            [(topic.id, index)],
            |broker| is_active(image, broker),
            |target| {
                target.replicas = replicas
                    .iter()
                    .map(|broker| {
                        let known = state.directory(*broker);
                        (*broker, known.unwrap_or_else(|| default_directory(image, *broker)))
                    })
                    .collect();
                target.reassignment.clone_from(&reassignment);
            },
        ))
    }

    /// Takes the replicas away that were to come. That must leave one that holds everything, or the topic allows to go on
    /// without.
    fn cancel(&self, topic: &TopicImage, index: i32, state: &PartitionState) -> Result<Updates, Refused> {
        let Some(reassignment) = &state.reassignment else {
            return Err(Refused::new(
                ErrorCode::NoReassignmentInProgress,
                format!("No reassignment of {}-{index} is in progress.", topic.name),
            ));
        };
        let Rules { unclean, .. } = self.rules(&topic.name);
        let stays = |broker: &BrokerId| !reassignment.adding.contains(broker);
        let mut holders = state.isr.iter().chain(state.elr.iter()).chain(&state.last_known_leader);
        if !holders.any(stays) && !unclean {
            return Err(Refused::new(
                ErrorCode::InvalidReplicaAssignment,
                format!(
                    "Unable to revert partition assignment for {}:{index} because it would require an unclean leader \
                     election.",
                    topic.name
                ),
            ));
        }
        let image = &self.speculative;
        Ok(self.updates(
            [(topic.id, index)],
            |broker| is_active(image, broker),
            |target| {
                target.replicas.retain(|(broker, _)| stays(broker));
                target.isr.retain(stays);
                target.reassignment = None;
            },
        ))
    }
}

/// The replicas as they were before the reassignment that is going on.
fn original(state: &PartitionState) -> Vec<BrokerId> {
    let adding = state.reassignment.as_ref().map_or(&[][..], |reassignment| &reassignment.adding);
    state.replicas.iter().copied().filter(|broker| !adding.contains(broker)).collect()
}
