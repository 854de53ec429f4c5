//! DescribeLogDirs: the log directories, the logs in them and the room that is left (KIP-113, KIP-827).
//!
//! No directory is cordoned (KIP-1066).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use ottla_log::{DirInfo, Log};
use ottla_types::ErrorCode;
use ottla_wire::Str;
use ottla_wire::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};

use crate::broker::Core;
use crate::partitions::TopicRef;

/// The lag of a log that no partition uses.
const NO_LAG: i64 = -1;

/// What is left to tell of a volume whose space cannot be told.
const UNKNOWN_BYTES: i64 = -1;

pub(crate) async fn handle(core: &Core, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let wanted = Wanted::from_request(request.topics);
    let all = core.logs.list().into_iter().map(|log| (log, false));
    let all = all.chain(core.logs.futures().into_iter().map(|copy| (copy, true)));
    let mut logs: Vec<(Arc<Log>, bool)> = all.filter(|(log, _)| wanted.has(log)).collect();
    logs.sort_by(|(a, _), (b, _)| a.partition().cmp(b.partition()));
    let dirs = core.logs.dirs().await;
    let mut results: Vec<DescribeLogDirsResult> = dirs.iter().map(|dir| describe(core, dir, &logs)).collect();
    // Directories that could not be used at the start are not among those, but an operator must see them.
    let configured = core.settings.log_dirs();
    let unused = configured.iter().map(Path::new).filter(|path| !dirs.iter().any(|dir| dir.path == *path));
    results.extend(unused.map(offline));
    DescribeLogDirsResponse { results, ..DescribeLogDirsResponse::default() }
}

/// The partitions asked for; `None` for all.
struct Wanted(Option<BTreeMap<Str, BTreeSet<i32>>>);

impl Wanted {
    fn from_request(topics: Option<Vec<DescribableLogDirTopic>>) -> Self {
        let by_name = |topics: Vec<DescribableLogDirTopic>| {
            let mut partitions: BTreeMap<Str, BTreeSet<i32>> = BTreeMap::new();
            for topic in topics {
                partitions.entry(topic.topic).or_default().extend(topic.partitions);
            }
            partitions
        };
        Self(topics.map(by_name))
    }

    fn has(&self, log: &Log) -> bool {
        let id = log.partition();
        let Some(topics) = &self.0 else { return true };
        topics.get(id.topic.as_str()).is_some_and(|partitions| partitions.contains(&id.partition))
    }
}

/// `logs` are in the order of their partitions. Of each is told whether it is a copy that will replace another log.
fn describe(core: &Core, dir: &DirInfo, logs: &[(Arc<Log>, bool)]) -> DescribeLogDirsResult {
    if dir.failure.is_some() {
        return offline(&dir.path);
    }
    let mut topics: Vec<DescribeLogDirsTopic> = Vec::new();
    for (log, is_future) in logs.iter().filter(|(log, _)| log.log_dir() == dir.path) {
        let topic = log.partition().topic.as_str();
        let partition = partition(core, log, *is_future);
        match topics.last_mut().filter(|last| last.name == *topic) {
            Some(last) => last.partitions.push(partition),
            None => topics.push(DescribeLogDirsTopic {
                name: topic.into(),
                partitions: vec![partition],
                ..DescribeLogDirsTopic::default()
            }),
        }
    }
    let space = dir.space;
    DescribeLogDirsResult {
        log_dir: absolute(&dir.path),
        topics,
        total_bytes: space.map_or(UNKNOWN_BYTES, |space| signed(space.total_bytes)),
        usable_bytes: space.map_or(UNKNOWN_BYTES, |space| signed(space.usable_bytes)),
        ..DescribeLogDirsResult::default()
    }
}

fn offline(path: &Path) -> DescribeLogDirsResult {
    DescribeLogDirsResult {
        error_code: ErrorCode::KafkaStorageError.code(),
        log_dir: absolute(path),
        ..DescribeLogDirsResult::default()
    }
}

fn partition(core: &Core, log: &Log, is_future_key: bool) -> DescribeLogDirsPartition {
    let id = log.partition();
    let used_by = core.partitions.get(TopicRef::Name(id.topic.as_str()), id.partition);
    // How far the log's end is behind what is committed: a leader's never is. A copy is behind the log that it will replace.
    let ahead = used_by.map(|partition| match is_future_key {
        true => partition.log.end_offset(),
        false => partition.high_watermark(),
    });
    DescribeLogDirsPartition {
        partition_index: id.partition,
        partition_size: signed(log.size_bytes()),
        offset_lag: ahead.map_or(NO_LAG, |ahead| (ahead.0 - log.end_offset().0).max(0)),
        is_future_key,
        ..DescribeLogDirsPartition::default()
    }
}

/// `log.dirs` may be relative to the directory that the broker was started in, which a client does not know.
fn absolute(path: &Path) -> Str {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.to_string_lossy().as_ref().into()
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
