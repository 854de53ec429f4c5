//! Carries changes of the metadata over to this broker's replicas: makes, reconfigures and deletes their logs, and has each
//! lead or copied from its leader.
//!
//! What is not here: how they are copied (`replication::fetching`).

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{error, info};

use ottla_log::{LogConfig, NewLog};
use ottla_metadata::image::TopicImage;
use ottla_metadata::record::{ConfigResource, PartitionState};
use ottla_metadata::{Delta, Image};
use ottla_types::config::broker::log::PRODUCER_ID_EXPIRATION_MS;
use ottla_types::config::broker::replication::NUM_REPLICA_FETCHERS;
use ottla_types::config::{Layers, Settings, TopicConfig};
use ottla_types::{BrokerId, TopicId, TopicName, TopicPartition};

use crate::broker::Core;
use crate::partition::{Partition, PartitionConfig};
use crate::partitions::TopicRef;
use crate::start::connection_limits;

/// A replica that this broker is to have.
pub(crate) struct Replica<'a> {
    pub(crate) topic: &'a TopicImage,
    pub(crate) index: i32,
    pub(crate) state: &'a PartitionState,
}

impl Core {
    /// Makes this broker's logs and their parts in replication what `image` says, of which `delta` is what is new.
    pub(crate) async fn apply(&self, image: &Image, delta: &Delta) {
        for topic in &delta.deleted {
            self.delete_logs(topic).await;
        }
        let mut replicas = Vec::new();
        for topic in &delta.created {
            let partitions = topic.partitions();
            replicas.extend(partitions.map(|(index, state)| Replica { topic, index, state }));
        }
        let may_be_elsewhere = !self.logs.is_whole();
        for change in &delta.changed {
            for partition in &change.partitions {
                let (topic, index) = (&change.topic, partition.index);
                let was_here = partition.old.as_ref().is_some_and(|old| old.replicas.contains(&self.node_id));
                if was_here && !partition.new.replicas.contains(&self.node_id) {
                    self.give_up(topic, index).await;
                    continue;
                }
                // Of a replica that was here, an empty log would pass for the one in the directory that is missing.
                if may_be_elsewhere && was_here && self.is_missing(topic, index) {
                    continue;
                }
                replicas.push(Replica { topic, index, state: &partition.new });
            }
        }
        self.host(image, &replicas).await;
        self.reconfigure(image, delta);
    }

    /// Whether there is no log of a partition in the directories that work.
    pub(crate) fn is_missing(&self, topic: &TopicImage, index: i32) -> bool {
        self.logs.get(&TopicPartition { topic: topic.name.clone(), partition: index }).is_none()
    }

    /// Takes up the replicas that are to be here: opens their logs, or makes them; and has each lead, or copied from its
    /// leader.
    pub(crate) async fn host(&self, image: &Image, replicas: &[Replica<'_>]) {
        let mut wanted = Vec::new();
        let mut hosted = BTreeMap::new();
        let mut placed = Vec::new();
        let mut last: Option<(TopicId, TopicConfig, Arc<LogConfig>)> = None;
        for Replica { topic, index, state } in replicas {
            if !state.replicas.contains(&self.node_id) {
                continue;
            }
            if let Some(partition) = self.partitions.get(TopicRef::Id(topic.id), *index) {
                partition.take(state).await;
                placed.push(partition);
                continue;
            }
            // The partitions of a topic follow each other, and share its settings.
            let (_, config, log_config) = match last.take().filter(|(id, ..)| *id == topic.id) {
                Some(same) => last.insert(same),
                None => last.insert(self.topic_settings(image, topic)),
            };
            let partition = TopicPartition { topic: topic.name.clone(), partition: *index };
            let config = PartitionConfig::from(&*config);
            hosted.insert(partition.clone(), (topic.id, *state, config));
            wanted.push(NewLog { partition, topic_id: topic.id, config: Arc::clone(log_config) });
        }
        for (id, log) in self.logs.create_all(wanted, self.env.clock.wall_ms()).await {
            match (log, hosted.remove(&id)) {
                (Ok(log), Some((topic_id, state, config))) => {
                    let traffic = self.metrics.topics.of(topic_id, &id.topic);
                    let hosting = &self.hosting;
                    let partition = Partition::new(hosting, id, topic_id, log, state, config, traffic).await;
                    self.partitions.insert(Arc::clone(&partition));
                    placed.push(partition);
                }
                // Requests for it are answered KAFKA_STORAGE_ERROR; the other partitions go on.
                (Err(error), _) => error!(partition = %id, %error, "cannot open the log"),
                // Only what was wanted is made.
                (Ok(_), None) => {}
            }
        }
        // All at once: the next request to a leader then names all that is copied from it.
        self.fetchers.follow(placed);
    }

    /// What the configuration says of a topic's logs and partitions; what it says of throttles is put in force.
    fn topic_settings(&self, image: &Image, topic: &TopicImage) -> (TopicId, TopicConfig, Arc<LogConfig>) {
        let config = topic_config(image, self.node_id, &self.settings, &topic.name);
        let log_config = Arc::new(log_config(&config, &image.layers(self.node_id, &self.settings)));
        self.throttles.set_topic(topic.id, &config);
        (topic.id, config, log_config)
    }

    async fn delete_logs(&self, topic: &TopicImage) {
        self.metrics.topics.forget(topic.id);
        self.throttles.forget(topic.id);
        for partition in self.partitions.remove_topic(&topic.name, topic.id) {
            self.delete(&partition).await;
        }
    }

    /// Gives up a replica that is to be on other brokers only (KIP-455).
    async fn give_up(&self, topic: &TopicImage, index: i32) {
        let id = TopicPartition { topic: topic.name.clone(), partition: index };
        match self.partitions.remove(topic.id, index) {
            Some(partition) => {
                info!(partition = %id, "this broker holds no replica of it any more: its log is deleted");
                self.delete(&partition).await;
            }
            // One that could not be opened.
            None => self.delete_log(&id).await,
        }
    }

    /// Ends a replica that requests do not find any more, and deletes its log.
    async fn delete(&self, partition: &Partition) {
        self.fetchers.release([(partition.topic_id, partition.id.partition)]);
        // From here on nothing is written to it.
        partition.retire().await;
        self.delete_log(&partition.id).await;
    }

    async fn delete_log(&self, id: &TopicPartition) {
        if let Err(error) = self.logs.delete(id, self.env.clock.wall_ms()).await {
            error!(partition = %id, %error, "cannot delete the log");
        }
    }

    fn reconfigure(&self, image: &Image, delta: &Delta) {
        let all = delta.configs.iter().any(|resource| match resource {
            ConfigResource::Broker(id) => *id == self.node_id,
            ConfigResource::ClusterDefault => true,
            ConfigResource::Topic(_) => false,
        });
        if all {
            let layers = image.layers(self.node_id, &self.settings);
            self.admission.set_limits(connection_limits(&layers));
            self.regulate(image);
            for topic in image.topics() {
                self.reconfigure_topic(image, &topic.name);
            }
            return;
        }
        for resource in &delta.configs {
            if let ConfigResource::Topic(name) = resource {
                self.reconfigure_topic(image, name);
            }
        }
    }

    /// Puts in force how much is copied at a time: by how many fetchers, and at which rates.
    pub(crate) fn regulate(&self, image: &Image) {
        let layers = image.layers(self.node_id, &self.settings);
        self.fetchers.resize(u32::try_from(layers.get(&NUM_REPLICA_FETCHERS)).unwrap_or(1));
        self.throttles.set_rates(&layers);
    }

    fn reconfigure_topic(&self, image: &Image, name: &TopicName) {
        let Some(topic) = image.topic_by_name(name.as_str()) else { return };
        let (_, config, log_config) = self.topic_settings(image, topic);
        for partition in self.partitions.of_topic(topic.id) {
            partition.log.set_config(Arc::clone(&log_config));
            partition.configure(PartitionConfig::from(&config));
        }
    }
}

pub(crate) fn topic_config(
    image: &Image,
    node_id: BrokerId,
    settings: &Settings,
    name: &TopicName,
) -> TopicConfig {
    TopicConfig::resolve(image.topic_overrides(name), &image.layers(node_id, settings))
}

/// A topic's settings as its logs take them.
pub(crate) fn log_config(config: &TopicConfig, layers: &Layers<'_>) -> LogConfig {
    let unsigned = |bytes: i32| u32::try_from(bytes).unwrap_or(0);
    LogConfig {
        segment_bytes: unsigned(config.segment_bytes),
        segment_ms: config.segment_ms,
        segment_jitter_ms: config.segment_jitter_ms,
        segment_index_bytes: unsigned(config.segment_index_bytes),
        index_interval_bytes: unsigned(config.index_interval_bytes),
        cleanup_delete: config.cleanup_policy.delete && !config.cleanup_policy.compact,
        cleanup_compact: config.cleanup_policy.compact,
        retention_ms: config.retention_ms.unwrap_or(-1),
        retention_bytes: config.retention_bytes.unwrap_or(-1),
        flush_messages: config.flush_messages.unwrap_or(i64::MAX),
        flush_ms: config.flush_ms.unwrap_or(i64::MAX),
        file_delete_delay_ms: config.file_delete_delay_ms,
        producer_id_expiration_ms: i64::from(layers.get(&PRODUCER_ID_EXPIRATION_MS)),
    }
}

#[cfg(test)]
mod tests {
    use ottla_metadata::record::{Config, Record};

    use super::*;

    #[test]
    fn producers_are_remembered_as_long_as_the_cluster_says_now() {
        let mut image = Image::default();
        let (settings, _) = Settings::parse("f", "producer.id.expiration.ms=2000").unwrap();
        let name = TopicName::new("t").unwrap();
        let of = |image: &Image| {
            let config = topic_config(image, BrokerId(1), &settings, &name);
            log_config(&config, &image.layers(BrokerId(1), &settings)).producer_id_expiration_ms
        };
        assert_eq!(of(&image), 2000);
        let (resource, key) = (ConfigResource::ClusterDefault, PRODUCER_ID_EXPIRATION_MS.name().into());
        image.apply(&Record::Config(Config { resource, key, value: Some("5000".into()) })).unwrap();
        assert_eq!(of(&image), 5000);
    }
}
