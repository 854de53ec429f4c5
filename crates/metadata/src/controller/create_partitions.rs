//! CreatePartitions: more partitions for a topic that exists (KIP-195).

use ottla_types::{BrokerId, ErrorCode};

use super::create_topics::{check_replicas, new_partition, too_many_partitions};
use super::{Controller, Decision, MAX_PARTITIONS_PER_REQUEST, Refused, placement};
use crate::record::{Partition, Record};

/// The request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreatePartitions {
    /// The topics, none twice.
    pub topics: Vec<MorePartitions>,
    /// Only say what would happen.
    pub validate_only: bool,
    /// A random number: where placement starts.
    pub seed: u64,
}

/// How many partitions a topic is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MorePartitions {
    /// The topic's name.
    pub topic: String,
    /// How many in all.
    pub count: i32,
    /// The replicas of each new one; `None` leaves it to placement.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

impl Controller {
    /// Decides a CreatePartitions. One answer for each topic, in the order of the request.
    pub fn create_partitions(&mut self, request: &CreatePartitions) -> Decision<Vec<Result<(), Refused>>> {
        let mut records = Vec::new();
        let answer = (0u64..)
            .zip(&request.topics)
            .map(|(nth, topic)| {
                let room = MAX_PARTITIONS_PER_REQUEST.saturating_sub(records.len());
                records.extend(self.add_partitions(topic, room, placement::seed_for(request.seed, nth))?);
                Ok(())
            })
            .collect();
        let records = if request.validate_only { Vec::new() } else { records };
        self.decide(records, answer)
    }

    fn add_partitions(&self, more: &MorePartitions, room: usize, seed: u64) -> Result<Vec<Record>, Refused> {
        let Some(topic) = self.speculative.topic_by_name(&more.topic) else {
            return Err(Refused::new(
                ErrorCode::UnknownTopicOrPartition,
                "This server does not host this topic-partition.",
            ));
        };
        let invalid = |message| Refused::new(ErrorCode::InvalidPartitions, message);
        let existing = topic.partition_count();
        let wanted = usize::try_from(more.count).unwrap_or(0);
        if wanted == existing {
            return Err(invalid(format!("Topic already has {existing} partition(s).")));
        }
        let Some(additional) = wanted.checked_sub(existing) else {
            return Err(invalid(format!(
                "The topic {} currently has {existing} partition(s); {} would not be an increase.",
                more.topic, more.count
            )));
        };
        if additional > room {
            return Err(too_many_partitions());
        }
        let first = i32::try_from(existing).unwrap_or(i32::MAX);
        let replication_factor = topic.partitions().next().map_or(1, |(_, state)| state.replication_factor());
        let candidates = placement::candidates(&self.speculative);
        let placed = match &more.assignments {
            Some(assignments) if assignments.len() != additional => {
                return Err(Refused::new(
                    ErrorCode::InvalidReplicaAssignment,
                    format!(
                        "Attempted to add {additional} additional partition(s), but only {} assignment(s) were \
                         specified.",
                        assignments.len()
                    ),
                ));
            }
            Some(assignments) => {
                for (index, replicas) in (first..).zip(assignments) {
                    check_replicas(&candidates, index, replicas, Some(replication_factor))?;
                }
                assignments.clone()
            }
            None => {
                let factor = i16::try_from(replication_factor).unwrap_or(i16::MAX);
                placement::place(&candidates, additional, factor, seed).map_err(|why| {
                    Refused::new(
                        ErrorCode::InvalidReplicationFactor,
                        format!("Unable to replicate the partition {factor} time(s): {why}"),
                    )
                })?
            }
        };
        Ok((first..)
            .zip(&placed)
            .map(|(index, replicas)| {
                let state = new_partition(&self.speculative, &candidates, replicas);
                Record::Partition(Partition { topic: topic.id, index, state })
            })
            .collect())
    }
}
