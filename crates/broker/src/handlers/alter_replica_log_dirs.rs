//! AlterReplicaLogDirs: replicas of this broker move to other of its log directories (KIP-113). The answer tells that a move
//! has begun; DescribeLogDirs shows how far it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ottla_log::DirInfo;
use ottla_types::{ErrorCode, TopicName, TopicPartition};
use ottla_wire::Str;
use ottla_wire::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use tracing::{error, info};

use crate::broker::Core;
use crate::partitions::TopicRef;

pub(crate) async fn handle(core: &Core, request: AlterReplicaLogDirsRequest) -> AlterReplicaLogDirsResponse {
    let places = Places::of(core).await;
    let mut results: BTreeMap<Str, Vec<AlterReplicaLogDirPartitionResult>> = BTreeMap::new();
    for dir in request.dirs {
        let destination = places.find(&dir.path);
        for topic in dir.topics {
            let answers = results.entry(topic.name.clone()).or_default();
            for partition_index in topic.partitions {
                let moved = move_to(core, destination, &topic.name, partition_index).await;
                answers.push(AlterReplicaLogDirPartitionResult {
                    partition_index,
                    error_code: moved.err().unwrap_or(ErrorCode::None).code(),
                    ..AlterReplicaLogDirPartitionResult::default()
                });
            }
        }
    }
    core.replication.moving.wake();
    let result = |(topic_name, partitions)| AlterReplicaLogDirTopicResult {
        topic_name,
        partitions,
        ..AlterReplicaLogDirTopicResult::default()
    };
    AlterReplicaLogDirsResponse {
        results: results.into_iter().map(result).collect(),
        ..AlterReplicaLogDirsResponse::default()
    }
}

/// The log directories, by the absolute paths that clients know them by.
struct Places {
    online: BTreeMap<PathBuf, DirInfo>,
    /// All that are configured.
    known: Vec<PathBuf>,
}

impl Places {
    async fn of(core: &Core) -> Self {
        let dirs = core.logs.dirs().await;
        let known = core.settings.log_dirs().iter().map(|dir| absolute(Path::new(dir))).collect();
        let online = dirs.into_iter().filter(|dir| dir.failure.is_none());
        Self { online: online.map(|dir| (absolute(&dir.path), dir)).collect(), known }
    }

    fn find(&self, path: &str) -> Result<&DirInfo, ErrorCode> {
        let path = Path::new(path);
        match self.online.get(path) {
            // A replica that is looked for in vain may lie in a directory that is not online, so none is begun anew.
            Some(dir) if self.online.len() == self.known.len() => Ok(dir),
            None if !self.known.iter().any(|known| known == path) => Err(ErrorCode::LogDirNotFound),
            _ => Err(ErrorCode::KafkaStorageError),
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Begins to move a replica, or ends a move elsewhere where it is to stay.
async fn move_to(
    core: &Core,
    destination: Result<&DirInfo, ErrorCode>,
    topic: &str,
    index: i32,
) -> Result<(), ErrorCode> {
    let topic_name = TopicName::new(topic).map_err(|_| ErrorCode::InvalidTopicException)?;
    let id = TopicPartition { topic: topic_name, partition: index };
    let destination = destination?;
    let now_ms = core.env.clock.wall_ms();
    match core.find_partition(TopicRef::Name(topic), index) {
        Ok(partition) if partition.log.directory_id() == destination.id => {
            core.logs.remove_future(&id, now_ms).await
        }
        Ok(_) => core.logs.create_future(&id, destination.id, now_ms).await.map(|_| {
            info!(partition = %id, directory = %destination.path.display(), "moves to another log directory");
        }),
        Err(error) => {
            // It is made there when it comes, which tools count on that move it here: they ask before and after.
            core.logs.prefer(id, destination.id);
            return Err(match error {
                ErrorCode::NotLeaderOrFollower => ErrorCode::ReplicaNotAvailable,
                other => other,
            });
        }
    }
    .map_err(|error| {
        error!(partition = %id, %error, "cannot be moved to another log directory");
        error.code()
    })
}
