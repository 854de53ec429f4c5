//! What leaders and holders of replicas ask of the active controller: the asking broker's side.

use ottla_metadata::controller::Refused;
use ottla_metadata::controller::replication::alter_partition::AlterPartition;
use ottla_metadata::controller::replication::directories::AssignReplicasToDirs;
use ottla_metadata::record::PartitionEpoch;

use super::channel::{Channel, TIMEOUT, unreachable};
use crate::controller::{
    Answers, alter_partition_answers, alter_partition_request, assign_replicas_answers,
    assign_replicas_request,
};

impl Channel {
    /// Asks for other in-sync replicas of partitions that this broker leads. The answer is the epoch of each partition
    /// afterwards.
    ///
    /// # Errors
    /// The active controller cannot be reached, refuses all of it, or cannot tell what became of it: parts of it may be
    /// decided whatever the error is.
    pub(crate) async fn alter_partition(
        &self,
        request: &AlterPartition,
    ) -> Result<Answers<PartitionEpoch>, Refused> {
        let Some((links, leader)) = self.to_leader()? else {
            let answers = self.controller.alter_partition(request).await?;
            let keys = request.partitions.iter().map(|update| (update.topic, update.index));
            let answers = answers.into_iter().map(|answer| match answer {
                Ok(altered) => Ok(altered.state.partition_epoch),
                Err(refused) => Err(refused.error),
            });
            return Ok(keys.zip(answers).collect());
        };
        let response = links.call(leader, alter_partition_request(request), TIMEOUT).await;
        alter_partition_answers(response.map_err(unreachable)?)
    }

    /// Says in which directories replicas of this broker lie.
    ///
    /// # Errors
    /// The active controller cannot be reached, or refuses all of it. It may be said again.
    pub(crate) async fn assign_replicas_to_dirs(
        &self,
        request: &AssignReplicasToDirs,
    ) -> Result<Answers<()>, Refused> {
        let Some((links, leader)) = self.to_leader()? else {
            let answers = self.controller.assign_replicas_to_dirs(request).await?;
            let keys = request.replicas.iter().map(|(_, topic, index)| (*topic, *index));
            let answers = answers.into_iter().map(|answer| answer.map_err(|refused| refused.error));
            return Ok(keys.zip(answers).collect());
        };
        let response = links.call(leader, assign_replicas_request(request), TIMEOUT).await;
        assign_replicas_answers(response.map_err(unreachable)?)
    }
}
