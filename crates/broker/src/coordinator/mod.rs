//! Hosts the group coordinator: a [`Shard`](ottla_groups::Shard) for each partition of `__consumer_offsets` that this
//! broker leads.
//!
//! - [`host`]: one shard under its lock: a request is decided and its records are appended, nothing else.
//! - [`appending`]: from a decision's records to batches of the partition's log.
//! - [`watch`]: what happens beside the requests: loading, commitment, timeouts, expiry.
//! - [`loading`]: from the partition's log to the shard.
//! - [`topic`]: the topic itself, made when somebody first looks for a coordinator.
//! - [`hashing`]: which partition a group belongs to.
//!
//! What is not here: what groups are and do. That is the crate `groups`. The log is not compacted yet: a shard is loaded
//! from all that was ever written to its partition.

mod appending;
mod clock;
mod hashing;
mod host;
mod loading;
mod settings;
mod topic;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::task::JoinSet;

use ottla_env::{Env, process};
use ottla_groups::Request;
use ottla_metadata::image::TopicImage;
use ottla_metadata::{Delta, Image};
use ottla_types::config::Settings;
use ottla_types::topic::CONSUMER_OFFSETS;
use ottla_types::{ErrorCode, TopicId};

pub(crate) use self::hashing::partition_of;
pub(crate) use self::host::{Asked, Reply, ShardHost, ShardState};
use self::settings::HostSettings;
use crate::partitions::Partitions;
use crate::server::LogLimit;

/// The shards of this broker.
pub(crate) struct GroupCoordinator {
    env: Env,
    settings: Arc<HostSettings>,
    shards: RwLock<BTreeMap<i32, Arc<ShardHost>>>,
    tasks: Mutex<JoinSet<()>>,
    /// Of lines about the topic not being created.
    refusals: Mutex<LogLimit>,
}

impl GroupCoordinator {
    pub(crate) fn new(env: &Env, settings: &Settings) -> Self {
        Self {
            env: env.clone(),
            settings: Arc::new(HostSettings::from(settings)),
            shards: RwLock::default(),
            tasks: Mutex::default(),
            refusals: Mutex::default(),
        }
    }

    /// The shards, by partition.
    pub(crate) fn shards(&self) -> Vec<Arc<ShardHost>> {
        self.shards.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The shard of a group.
    ///
    /// # Errors
    /// NOT_COORDINATOR where this broker has none.
    pub(crate) fn shard_of(&self, image: &Image, group_id: &str) -> Result<Arc<ShardHost>, ErrorCode> {
        let partitions = image.topic_by_name(CONSUMER_OFFSETS).map_or(0, |topic| topic.partition_count());
        let index = partition_of(group_id, partitions).ok_or(ErrorCode::NotCoordinator)?;
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        shards.get(&index).cloned().ok_or(ErrorCode::NotCoordinator)
    }

    /// Puts a request to the shard of its group. The request has had its effect when this returns.
    pub(crate) async fn ask(&self, image: &Image, group_id: &str, request: Request) -> Asked {
        match self.shard_of(image, group_id) {
            Ok(shard) => shard.ask(request).await,
            Err(error) => Asked::Refused(error),
        }
    }

    /// Takes up the partitions that there are when the broker starts.
    pub(crate) async fn take_up(&self, partitions: &Partitions, image: &Arc<Image>) {
        if let Some(topic) = image.topic_by_name(CONSUMER_OFFSETS) {
            self.follow(partitions, image, topic).await;
        }
    }

    /// Takes note of what has changed in the metadata, and was carried out on this broker's logs.
    pub(crate) async fn apply(&self, partitions: &Partitions, image: &Arc<Image>, delta: &Delta) {
        for topic in delta.deleted.iter().filter(|topic| is_ours(topic)) {
            self.abandon(topic.id).await;
        }
        let changed = delta.changed.iter().map(|change| &change.topic);
        for topic in delta.created.iter().chain(changed).filter(|topic| is_ours(topic)) {
            self.follow(partitions, image, topic).await;
        }
        let deleted: Vec<_> = delta.deleted.iter().map(|topic| (topic.name.clone(), topic.id)).collect();
        if deleted.is_empty() {
            return;
        }
        for shard in self.shards() {
            shard.forget_topics(&deleted).await;
        }
    }

    /// Takes up, or gives up, the groups of a topic's partitions, as their leaderships now say.
    async fn follow(&self, partitions: &Partitions, image: &Arc<Image>, topic: &TopicImage) {
        let here = partitions.of_topic(topic.id);
        for gone in self.remove_shards(|index, host| {
            host.topic_id() == topic.id && !here.iter().any(|partition| partition.id.partition == index)
        }) {
            gone.stop(ErrorCode::NotCoordinator).await;
        }
        for partition in here {
            let leadership = partition.leadership();
            let index = partition.id.partition;
            let old = {
                let mut shards = self.shards.write().unwrap_or_else(PoisonError::into_inner);
                if leadership.is_leader && shards.get(&index).is_some_and(|host| host.serves(&partition)) {
                    continue;
                }
                let old = shards.remove(&index);
                if leadership.is_leader {
                    let host = ShardHost::new(&self.env, &self.settings, &partition, image);
                    shards.insert(index, Arc::clone(&host));
                    self.spawn(host);
                }
                old
            };
            if let Some(old) = old {
                old.stop(ErrorCode::NotCoordinator).await;
            }
        }
    }

    fn spawn(&self, host: Arc<ShardHost>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are not kept.
        while tasks.try_join_next().is_some() {}
        process::spawn_in(&mut tasks, watch::run(host));
    }

    /// Gives up the groups of a topic that is gone.
    async fn abandon(&self, topic: TopicId) {
        for host in self.remove_shards(|_, host| host.topic_id() == topic) {
            host.stop(ErrorCode::NotCoordinator).await;
        }
    }

    /// Takes out the shards that are to go.
    fn remove_shards(&self, goes: impl Fn(i32, &ShardHost) -> bool) -> Vec<Arc<ShardHost>> {
        let mut shards = self.shards.write().unwrap_or_else(PoisonError::into_inner);
        let (gone, kept): (BTreeMap<_, _>, _) =
            std::mem::take(&mut *shards).into_iter().partition(|(index, host)| goes(*index, host));
        *shards = kept;
        gone.into_values().collect()
    }

    /// Stops all shards: whoever waits is told to look for the coordinator elsewhere.
    pub(crate) async fn close(&self) {
        let shards = std::mem::take(&mut *self.shards.write().unwrap_or_else(PoisonError::into_inner));
        for shard in shards.into_values() {
            shard.stop(ErrorCode::NotCoordinator).await;
        }
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

fn is_ours(topic: &TopicImage) -> bool {
    topic.name.as_str() == CONSUMER_OFFSETS
}
