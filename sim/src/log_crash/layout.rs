//! What a workload runs on: directories, partitions and settings, drawn from its seed; and how it opens them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_log::{LogConfig, LogDirs, LogDirsConfig};
use ottla_types::{BrokerEpoch, BrokerId, TopicName, TopicPartition};

use crate::disk::SimDisk;
use crate::rng::SimRng;
use crate::world;

/// Where all log directories are.
pub(super) const ROOT: &str = "/data";

/// The broker epoch that clean stops write down.
pub(super) const BROKER_EPOCH: BrokerEpoch = BrokerEpoch(7);

#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) dirs: Vec<PathBuf>,
    pub(super) partitions: Vec<TopicPartition>,
    pub(super) config: Arc<LogConfig>,
}

impl Layout {
    /// Segments of a few batches, with an index entry for nearly each.
    pub(super) fn draw(rng: &mut SimRng) -> Self {
        let dirs = 1 + rng.weighted(&[2, 1]);
        let partitions = 1 + rng.weighted(&[3, 2, 1]);
        let config = LogConfig {
            segment_bytes: 700 + rng.below(1200) as u32,
            index_interval_bytes: [1, 100, 300][rng.index(3)],
            segment_index_bytes: if rng.one_in(4) { 64 } else { 10 << 20 },
            flush_messages: [i64::MAX, i64::MAX, 1, 4][rng.index(4)],
            flush_ms: if rng.one_in(4) { 1000 } else { i64::MAX },
            retention_bytes: if rng.one_in(2) { 1000 + rng.below(2000) as i64 } else { -1 },
            retention_ms: if rng.one_in(4) { 10_000 } else { -1 },
            producer_id_expiration_ms: 60_000,
            ..LogConfig::default()
        };
        Self {
            dirs: (0..dirs).map(|i| Path::new(ROOT).join(format!("{i}"))).collect(),
            partitions: (0..partitions).map(|i| partition(i as i32)).collect(),
            config: Arc::new(config),
        }
    }

    /// Opens all logs. On a disk that tells the truth every log can be opened.
    pub(super) async fn open(&self, disk: &SimDisk, now_ms: i64) -> Result<LogDirs, String> {
        let opened = self.try_open(disk, now_ms).await?;
        let failed_dirs =
            opened.failed_dirs.iter().map(|(path, error)| format!("{}: {error}", path.display()));
        let failed_logs = opened.failed_logs.iter().map(|log| format!("{}: {}", log.partition, log.error));
        match failed_dirs.chain(failed_logs).next() {
            None => Ok(opened.dirs),
            Some(failure) => Err(failure),
        }
    }

    pub(super) async fn try_open(
        &self,
        disk: &SimDisk,
        now_ms: i64,
    ) -> Result<ottla_log::OpenedDirs, String> {
        let env = world::env(disk.port(), SimRng::new(disk.mutations() ^ now_ms as u64));
        let config = LogDirsConfig {
            dirs: self.dirs.clone(),
            cluster_id: None,
            node_id: BrokerId(1),
            opened_at_a_time: 2,
        };
        let config_of = |_: &TopicPartition| Arc::clone(&self.config);
        LogDirs::open(&env, &config, config_of, now_ms).await.map_err(|e| e.to_string())
    }
}

fn partition(number: i32) -> TopicPartition {
    match TopicName::new("topic") {
        Ok(topic) => TopicPartition { topic, partition: number },
        Err(_) => unreachable!("the name is a legal one"),
    }
}
