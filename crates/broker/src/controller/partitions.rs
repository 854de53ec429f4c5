//! What leaders and holders of replicas ask of the active controller: AlterPartition (KIP-497) and AssignReplicasToDirs
//! (KIP-858), in the terms of `metadata` and on the wire.

use std::collections::BTreeMap;

use ottla_metadata::controller::Refused;
use ottla_metadata::controller::replication::alter_partition::{
    AlterPartition, AlteredPartition, PartitionUpdate,
};
use ottla_metadata::controller::replication::directories::AssignReplicasToDirs;
use ottla_metadata::record::{LeaderRecovery, PartitionEpoch};
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, ErrorCode, LeaderEpoch, TopicId};
use ottla_wire::{Uuid, alter_partition as alter, assign_replicas_to_dirs as assign};

use super::ActiveController;
use super::requests::refused;

/// A partition.
type Key = (TopicId, i32);

/// The answers to a request, by partition.
pub(crate) type Answers<T> = Vec<(Key, Result<T, ErrorCode>)>;

impl ActiveController {
    /// Alters the in-sync replicas of partitions. The answers are in the order of the request.
    ///
    /// # Errors
    /// This node does not lead, or the broker is not registered so.
    pub(crate) async fn alter_partition(
        &self,
        request: &AlterPartition,
    ) -> Result<Vec<Result<AlteredPartition, Refused>>, Refused> {
        self.metadata.commit(|controller| controller.alter_partition(request)).await?.0
    }

    /// Takes note of where replicas lie. The answers are in the order of the request.
    ///
    /// # Errors
    /// This node does not lead, or the broker is not registered so.
    pub(crate) async fn assign_replicas_to_dirs(
        &self,
        request: &AssignReplicasToDirs,
    ) -> Result<Vec<Result<(), Refused>>, Refused> {
        self.metadata.commit(|controller| controller.assign_replicas_to_dirs(request)).await?.0
    }

    /// Answers an AlterPartition of another node.
    pub(super) async fn answer_alter_partition(
        &self,
        request: alter::AlterPartitionRequest,
    ) -> alter::AlterPartitionResponse {
        let answered = match altered_by(request) {
            Ok(request) => self.alter_partition(&request).await.map(|answers| (request, answers)),
            Err(refused) => Err(refused),
        };
        match answered {
            Ok((request, answers)) => altered(&request, answers),
            Err(refused) => alter::AlterPartitionResponse {
                error_code: refused.error.code(),
                ..alter::AlterPartitionResponse::default()
            },
        }
    }

    /// Answers an AssignReplicasToDirs of another node.
    pub(super) async fn answer_assign_replicas_to_dirs(
        &self,
        request: assign::AssignReplicasToDirsRequest,
    ) -> assign::AssignReplicasToDirsResponse {
        let request = assigned_by(&request);
        match self.assign_replicas_to_dirs(&request).await {
            Ok(answers) => assigned(&request, answers),
            Err(refused) => assign::AssignReplicasToDirsResponse {
                error_code: refused.error.code(),
                ..assign::AssignReplicasToDirsResponse::default()
            },
        }
    }
}

/// Values with the partitions that they are of, by topic.
fn by_topic<T>(items: impl IntoIterator<Item = (TopicId, T)>) -> BTreeMap<TopicId, Vec<T>> {
    let mut topics: BTreeMap<_, Vec<T>> = BTreeMap::new();
    for (topic, item) in items {
        topics.entry(topic).or_default().push(item);
    }
    topics
}

/// An AlterPartition as it is sent.
pub(crate) fn alter_partition_request(request: &AlterPartition) -> alter::AlterPartitionRequest {
    let partition = |update: &PartitionUpdate| alter::PartitionData {
        partition_index: update.index,
        leader_epoch: update.leader_epoch.0,
        new_isr_with_epochs: update
            .isr
            .iter()
            .map(|(broker, epoch)| alter::BrokerState {
                broker_id: broker.0,
                broker_epoch: epoch.map_or(-1, |epoch| epoch.0),
                ..alter::BrokerState::default()
            })
            .collect(),
        leader_recovery_state: update.recovery as i8,
        partition_epoch: update.partition_epoch.0,
        ..alter::PartitionData::default()
    };
    let topics = by_topic(request.partitions.iter().map(|update| (update.topic, partition(update))));
    alter::AlterPartitionRequest {
        broker_id: request.broker.0,
        broker_epoch: request.epoch.0,
        topics: topics
            .into_iter()
            .map(|(topic, partitions)| alter::TopicData {
                topic_id: Uuid(topic.0),
                partitions,
                ..alter::TopicData::default()
            })
            .collect(),
        ..alter::AlterPartitionRequest::default()
    }
}

/// The same as it is received.
///
/// # Errors
/// INVALID_REQUEST: a recovery state is none.
fn altered_by(request: alter::AlterPartitionRequest) -> Result<AlterPartition, Refused> {
    let mut partitions = Vec::new();
    for topic in request.topics {
        for data in topic.partitions {
            let recovery = match data.leader_recovery_state {
                0 => LeaderRecovery::Recovered,
                1 => LeaderRecovery::Recovering,
                other => {
                    let message = format!("{other} is no leader recovery state.");
                    return Err(Refused { error: ErrorCode::InvalidRequest, message });
                }
            };
            // Before version 3 members come without their registrations.
            let plain = data.new_isr.iter().map(|id| (BrokerId(*id), None));
            let with_epochs = data.new_isr_with_epochs.iter().map(|member| {
                let epoch = (member.broker_epoch >= 0).then_some(BrokerEpoch(member.broker_epoch));
                (BrokerId(member.broker_id), epoch)
            });
            partitions.push(PartitionUpdate {
                topic: topic.topic_id.into(),
                index: data.partition_index,
                leader_epoch: LeaderEpoch(data.leader_epoch),
                partition_epoch: PartitionEpoch(data.partition_epoch),
                isr: plain.chain(with_epochs).collect(),
                recovery,
            });
        }
    }
    Ok(AlterPartition {
        broker: BrokerId(request.broker_id),
        epoch: BrokerEpoch(request.broker_epoch),
        partitions,
    })
}

/// The answer to it.
fn altered(
    request: &AlterPartition,
    answers: Vec<Result<AlteredPartition, Refused>>,
) -> alter::AlterPartitionResponse {
    let partition = |update: &PartitionUpdate, answer: Result<AlteredPartition, Refused>| match answer {
        Ok(AlteredPartition { state, .. }) => alter::PartitionResponse {
            partition_index: update.index,
            leader_id: state.leader.map_or(-1, |leader| leader.0),
            leader_epoch: state.leader_epoch.0,
            isr: state.isr.iter().map(|member| member.0).collect(),
            leader_recovery_state: state.recovery as i8,
            partition_epoch: state.partition_epoch.0,
            ..alter::PartitionResponse::default()
        },
        Err(refused) => alter::PartitionResponse {
            partition_index: update.index,
            error_code: refused.error.code(),
            ..alter::PartitionResponse::default()
        },
    };
    let answered = request.partitions.iter().zip(answers);
    let topics = by_topic(answered.map(|(update, answer)| (update.topic, partition(update, answer))));
    alter::AlterPartitionResponse {
        topics: topics
            .into_iter()
            .map(|(topic, partitions)| alter::TopicResponse {
                topic_id: Uuid(topic.0),
                partitions,
                ..alter::TopicResponse::default()
            })
            .collect(),
        ..alter::AlterPartitionResponse::default()
    }
}

/// What an answer says of each partition: its epoch afterwards.
///
/// # Errors
/// All was refused.
pub(crate) fn alter_partition_answers(
    response: alter::AlterPartitionResponse,
) -> Result<Answers<PartitionEpoch>, Refused> {
    refused(response.error_code)?;
    let mut answers = Vec::new();
    for topic in response.topics {
        for partition in topic.partitions {
            let answer = refused(partition.error_code).map_err(|refused| refused.error);
            let key = (topic.topic_id.into(), partition.partition_index);
            answers.push((key, answer.map(|()| PartitionEpoch(partition.partition_epoch))));
        }
    }
    Ok(answers)
}

/// An AssignReplicasToDirs as it is sent.
pub(crate) fn assign_replicas_request(request: &AssignReplicasToDirs) -> assign::AssignReplicasToDirsRequest {
    let mut directories: BTreeMap<DirectoryId, Vec<Key>> = BTreeMap::new();
    for (directory, topic, index) in &request.replicas {
        directories.entry(*directory).or_default().push((*topic, *index));
    }
    let partition = |index| assign::PartitionData { partition_index: index, ..Default::default() };
    let topics = |replicas: Vec<Key>| {
        let topics = by_topic(replicas.into_iter().map(|(topic, index)| (topic, partition(index))));
        let topic = |(topic, partitions): (TopicId, _)| assign::TopicData {
            topic_id: Uuid(topic.0),
            partitions,
            ..assign::TopicData::default()
        };
        topics.into_iter().map(topic).collect()
    };
    assign::AssignReplicasToDirsRequest {
        broker_id: request.broker.0,
        broker_epoch: request.epoch.0,
        directories: directories
            .into_iter()
            .map(|(directory, replicas)| assign::DirectoryData {
                id: Uuid(directory.0),
                topics: topics(replicas),
                ..assign::DirectoryData::default()
            })
            .collect(),
        ..assign::AssignReplicasToDirsRequest::default()
    }
}

/// The same as it is received.
fn assigned_by(request: &assign::AssignReplicasToDirsRequest) -> AssignReplicasToDirs {
    let mut replicas = Vec::new();
    for directory in &request.directories {
        for topic in &directory.topics {
            let lies = |partition: &assign::PartitionData| {
                (DirectoryId(directory.id.0), topic.topic_id.into(), partition.partition_index)
            };
            replicas.extend(topic.partitions.iter().map(lies));
        }
    }
    AssignReplicasToDirs {
        broker: BrokerId(request.broker_id),
        epoch: BrokerEpoch(request.broker_epoch),
        replicas,
    }
}

/// The answer to it.
fn assigned(
    request: &AssignReplicasToDirs,
    answers: Vec<Result<(), Refused>>,
) -> assign::AssignReplicasToDirsResponse {
    let mut directories: BTreeMap<DirectoryId, Vec<(TopicId, assign::PartitionResponse)>> = BTreeMap::new();
    for ((directory, topic, index), answer) in request.replicas.iter().zip(answers) {
        let answer = assign::PartitionResponse {
            partition_index: *index,
            error_code: answer.err().map_or(0, |refused| refused.error.code()),
            ..assign::PartitionResponse::default()
        };
        directories.entry(*directory).or_default().push((*topic, answer));
    }
    let topic = |(topic, partitions): (TopicId, _)| assign::TopicResponse {
        topic_id: Uuid(topic.0),
        partitions,
        ..assign::TopicResponse::default()
    };
    assign::AssignReplicasToDirsResponse {
        directories: directories
            .into_iter()
            .map(|(directory, answers)| assign::DirectoryResponse {
                id: Uuid(directory.0),
                topics: by_topic(answers).into_iter().map(topic).collect(),
                ..assign::DirectoryResponse::default()
            })
            .collect(),
        ..assign::AssignReplicasToDirsResponse::default()
    }
}

/// What an answer says of each replica.
///
/// # Errors
/// All was refused.
pub(crate) fn assign_replicas_answers(
    response: assign::AssignReplicasToDirsResponse,
) -> Result<Answers<()>, Refused> {
    refused(response.error_code)?;
    let mut answers = Vec::new();
    for directory in response.directories {
        for topic in directory.topics {
            for partition in topic.partitions {
                let key = (topic.topic_id.into(), partition.partition_index);
                answers.push((key, refused(partition.error_code).map_err(|refused| refused.error)));
            }
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use ottla_metadata::record::{LOST_DIRECTORY, PartitionState};

    use super::*;

    const ONE: TopicId = TopicId([1; 16]);
    const TWO: TopicId = TopicId([2; 16]);

    fn update(topic: TopicId, index: i32) -> PartitionUpdate {
        PartitionUpdate {
            topic,
            index,
            leader_epoch: LeaderEpoch(3),
            partition_epoch: PartitionEpoch(7),
            isr: vec![(BrokerId(1), Some(BrokerEpoch(5))), (BrokerId(2), None)],
            recovery: LeaderRecovery::Recovering,
        }
    }

    #[test]
    fn an_alter_partition_is_received_as_it_was_sent() {
        let partitions = vec![update(ONE, 0), update(ONE, 4), update(TWO, 0)];
        let request = AlterPartition { broker: BrokerId(1), epoch: BrokerEpoch(5), partitions };
        assert_eq!(altered_by(alter_partition_request(&request)), Ok(request));
    }

    #[test]
    fn members_of_older_versions_come_without_registrations() {
        let data = alter::PartitionData { new_isr: vec![2, 3], ..Default::default() };
        let topics = vec![alter::TopicData { partitions: vec![data], ..Default::default() }];
        let request = altered_by(alter::AlterPartitionRequest { topics, ..Default::default() }).unwrap();
        assert_eq!(request.partitions[0].isr, [(BrokerId(2), None), (BrokerId(3), None)]);
    }

    #[test]
    fn a_recovery_state_that_is_none_is_refused() {
        let data = alter::PartitionData { leader_recovery_state: 2, ..Default::default() };
        let topics = vec![alter::TopicData { partitions: vec![data], ..Default::default() }];
        let refused = altered_by(alter::AlterPartitionRequest { topics, ..Default::default() });
        assert_eq!(refused.unwrap_err().error, ErrorCode::InvalidRequest);
    }

    #[test]
    fn the_answer_tells_each_partition_apart_and_one_to_all_is_an_error() {
        let partitions = vec![update(TWO, 0), update(ONE, 4)];
        let request = AlterPartition { broker: BrokerId(1), epoch: BrokerEpoch(5), partitions };
        let state = PartitionState { partition_epoch: PartitionEpoch(8), ..Default::default() };
        let fenced =
            Refused { error: ErrorCode::FencedLeaderEpoch, message: "it is told by its code".to_owned() };
        let answers = vec![Ok(AlteredPartition { topic: TWO, index: 0, state }), Err(fenced)];
        let expected = vec![((ONE, 4), Err(ErrorCode::FencedLeaderEpoch)), ((TWO, 0), Ok(PartitionEpoch(8)))];
        assert_eq!(alter_partition_answers(altered(&request, answers)), Ok(expected));
        let error_code = ErrorCode::StaleBrokerEpoch.code();
        let all = alter::AlterPartitionResponse { error_code, ..Default::default() };
        assert_eq!(alter_partition_answers(all).unwrap_err().error, ErrorCode::StaleBrokerEpoch);
    }

    #[test]
    fn where_replicas_lie_is_received_and_answered_as_it_was_sent() {
        let (one, other) = (DirectoryId([9; 16]), LOST_DIRECTORY);
        let replicas = vec![(other, ONE, 1), (one, ONE, 0), (one, TWO, 0)];
        let request =
            AssignReplicasToDirs { broker: BrokerId(1), epoch: BrokerEpoch(5), replicas: replicas.clone() };
        assert_eq!(assigned_by(&assign_replicas_request(&request)), request);
        let unknown =
            Refused { error: ErrorCode::UnknownTopicId, message: "it is told by its code".to_owned() };
        let response = assigned(&request, vec![Ok(()), Err(unknown), Ok(())]);
        let mut answers = assign_replicas_answers(response).unwrap();
        answers.sort_by_key(|(key, _)| *key);
        let expected = [((ONE, 0), Err(ErrorCode::UnknownTopicId)), ((ONE, 1), Ok(())), ((TWO, 0), Ok(()))];
        assert_eq!(answers, expected);
    }
}
