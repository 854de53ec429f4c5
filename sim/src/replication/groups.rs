//! Members of a group: they read what the group gives them, and commit it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla_client::{GroupConsumer, GroupConsumerOptions};
use ottla_env::Env;
use ottla_types::TopicPartition;

use super::TopicPlan;
use crate::brokers::program::{self, Servers};
use crate::engine::Timeline;

/// The group.
const GROUP: &str = "readers";

/// How long one poll waits, and how long one waits after what cannot be done now.
const POLL: Duration = Duration::from_millis(300);

/// What the group was told is committed: the highest offset of each partition. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Commits(Arc<Mutex<BTreeMap<TopicPartition, i64>>>);

impl Commits {
    fn add(&self, partition: TopicPartition, offset: i64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(partition).or_default();
        *known = offset.max(*known);
    }

    /// All of them.
    pub(super) fn all(&self) -> BTreeMap<TopicPartition, i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Is a member until a time.
pub(super) async fn run(
    env: Env,
    servers: Servers,
    timeline: Timeline,
    topics: Vec<TopicPlan>,
    commits: Commits,
    until_us: u64,
) {
    let client = program::client(env, &servers).await;
    let names = topics.iter().filter(|topic| !topic.is_recreated).map(|topic| topic.name.clone()).collect();
    let options = GroupConsumerOptions { auto_commit_interval: None, ..GroupConsumerOptions::default() };
    let mut member = GroupConsumer::new(client, GROUP, names, options);
    while timeline.now_us() < until_us {
        let records = match member.poll(POLL).await {
            Ok(records) => records,
            Err(error) => {
                tracing::debug!(%error, "a member cannot read");
                tokio::time::sleep(POLL).await;
                continue;
            }
        };
        if records.is_empty() {
            continue;
        }
        let positions: Vec<_> = member
            .assignment()
            .into_iter()
            .filter_map(|partition| Some((member.position(&partition)?.0, partition)))
            .collect();
        match member.commit().await {
            // A member that begins where nothing is committed has a position of its own, and commits that too.
            Ok(()) => positions.into_iter().for_each(|(offset, partition)| commits.add(partition, offset)),
            Err(error) => tracing::debug!(%error, "a member cannot commit"),
        }
    }
    // Whether it is told that it has left does not matter.
    drop(member.close().await);
}

/// Reads what is committed.
pub(super) async fn read_committed(env: Env, servers: &Servers, into: &Commits) {
    let client = program::client(env, servers).await;
    loop {
        match client.committed_offsets(GROUP, None).await {
            Ok(offsets) => {
                for (partition, committed) in offsets {
                    into.add(partition, committed.offset.0);
                }
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "committed offsets are not told");
                tokio::time::sleep(POLL).await;
            }
        }
    }
}
