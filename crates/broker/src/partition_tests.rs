//! Claims about a partition as its leader sees it.

use ottla_env::Env;
use ottla_log::{LogConfig, LogDirs, LogDirsConfig};
use ottla_records::{BatchBuilder, NewRecord};
use ottla_types::{BrokerId, TopicName};

use super::*;
use crate::metrics::TopicMetrics;

const EPOCH: LeaderEpoch = LeaderEpoch(3);

/// Led by this broker, with so many replicas.
fn led(replicas: usize) -> Leadership {
    Leadership { is_leader: true, epoch: EPOCH, replicas, in_sync: 1 }
}

struct Bench {
    _dir: tempfile::TempDir,
    _dirs: LogDirs,
    partition: Partition,
}

impl Bench {
    async fn new(leadership: Leadership) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let dirs_config = LogDirsConfig {
            dirs: vec![dir.path().to_owned()],
            cluster_id: None,
            node_id: BrokerId(1),
            opened_at_a_time: 1,
        };
        let config = Arc::new(LogConfig::default());
        let opened = LogDirs::open(&Env::real(), &dirs_config, |_| Arc::clone(&config), 0).await;
        let dirs = opened.unwrap().dirs;
        let id = TopicPartition { topic: TopicName::new("t").unwrap(), partition: 0 };
        let log = dirs.create(&id, TopicId([1; 16]), config, 0).await.unwrap();
        let config = PartitionConfig { rules: ProduceRules::default(), min_insync_replicas: 1 };
        let traffic = TopicMetrics::default().of(TopicId([1; 16]), &id.topic);
        let partition = Partition::new(id, TopicId([1; 16]), log, leadership, config, traffic).await;
        Self { _dir: dir, _dirs: dirs, partition }
    }

    async fn append(&self) -> ottla_log::Result<Appended> {
        let mut builder = BatchBuilder::new();
        builder.push(&NewRecord { timestamp_ms: 0, key: None, value: None, headers: &[] }).unwrap();
        let batch = Prepared::own(builder.build().unwrap(), 1 << 20).unwrap();
        self.partition.append(batch, EPOCH, 0).await
    }

    fn content(&self) -> Content {
        self.partition.content(EPOCH)
    }
}

#[test]
fn a_topic_asks_for_as_many_replicas_in_sync_as_it_is_set_to_and_for_no_more_than_it_has() {
    let min_in_sync = |replicas, min_insync_replicas| {
        let leadership = Leadership { is_leader: true, epoch: LeaderEpoch(0), replicas, in_sync: 1 };
        let rules = ProduceRules::default();
        leadership.min_in_sync(&PartitionConfig { rules, min_insync_replicas })
    };
    assert_eq!((min_in_sync(3, 1), min_in_sync(3, 2), min_in_sync(3, 3)), (1, 2, 3));
    assert_eq!((min_in_sync(1, 2), min_in_sync(2, 3)), (1, 2));
}

#[tokio::test]
async fn a_log_is_empty_for_its_leader_as_long_as_several_replicas_keep_it_so() {
    let bench = Bench::new(led(3)).await;
    assert_eq!(bench.content(), Content::Empty);
    let refused = bench.append().await.unwrap_err().to_string();
    assert!(refused.contains("t-0 has 3 replicas"), "{refused}");
    assert_eq!(bench.content(), Content::Empty, "whoever asks, nothing is appended");

    bench.partition.lead(led(1)).await;
    assert_eq!(bench.content(), Content::Unknown, "a record may come at any time");
    bench.append().await.unwrap();
    bench.partition.lead(led(3)).await;
    assert_eq!(bench.content(), Content::Records);
    bench.partition.log.advance_start(Offset(1), 0).await.unwrap();
    assert_eq!(bench.content(), Content::Records, "there was one, and replicas begin behind it");
}

#[tokio::test]
async fn a_log_is_not_taken_for_empty_while_an_append_from_before_the_second_replica_is_under_way() {
    let bench = Bench::new(led(1)).await;
    let under_way = bench.partition.begin_append().unwrap();
    bench.partition.lead(led(2)).await;
    assert_eq!(bench.content(), Content::Unknown);
    drop(under_way);
    assert_eq!(bench.content(), Content::Empty);
}

#[tokio::test]
async fn who_does_not_lead_in_an_epoch_says_nothing_of_the_log() {
    let bench = Bench::new(led(3)).await;
    assert_eq!(bench.partition.content(LeaderEpoch(4)), Content::Unknown);
    bench.partition.lead(Leadership { is_leader: false, ..led(3) }).await;
    assert_eq!(bench.content(), Content::Unknown);
}
