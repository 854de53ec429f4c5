//! `__consumer_offsets` itself: made with its first use, as by Kafka when somebody looks for a coordinator.

use std::sync::PoisonError;

use tokio::time::Instant;
use tracing::{info, warn};

use ottla_metadata::controller::Refused;
use ottla_metadata::controller::create_topics::{CreatedTopic, NewTopic};
use ottla_types::config::Settings;
use ottla_types::config::broker::coordinators::{
    OFFSETS_TOPIC_NUM_PARTITIONS, OFFSETS_TOPIC_REPLICATION_FACTOR, OFFSETS_TOPIC_SEGMENT_BYTES,
};
use ottla_types::topic::CONSUMER_OFFSETS;
use ottla_types::{ErrorCode, TopicId};

use crate::broker::Core;

impl Core {
    /// Makes `__consumer_offsets` if it is not there. Returns whether it is.
    pub(crate) async fn ensure_offsets_topic(&self) -> bool {
        let image = self.metadata.image();
        if image.topic_by_name(CONSUMER_OFFSETS).is_some() {
            return true;
        }
        let is_alone = !self.channel.has_others();
        let id = TopicId::from_random(self.env.rng.id_bytes());
        let topic = offsets_topic(&self.settings, id, is_alone);
        match self.create_offsets_topic(topic).await {
            Ok(topic) => {
                let replicas = topic.replication_factor;
                info!(topic = %topic.name, partitions = topic.partitions, replicas, "created on first use");
                true
            }
            // Another request was quicker.
            Err(refused) if refused.error == ErrorCode::TopicAlreadyExists => true,
            Err(refused) => {
                // Clients ask again and again.
                let mut limit = self.groups.refusals.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(suppressed) = limit.admit(Instant::now()) {
                    warn!(suppressed, "cannot create {CONSUMER_OFFSETS}: {}", refused.message);
                }
                false
            }
        }
    }

    async fn create_offsets_topic(&self, topic: NewTopic) -> Result<CreatedTopic, Refused> {
        let mut answers = self.create_topics(vec![topic]).await?;
        answers.pop().unwrap_or_else(|| {
            let message = "The controller gave no answer.".to_owned();
            Err(Refused { error: ErrorCode::UnknownServerError, message })
        })
    }
}

/// The topic as its keys say. A cluster of several nodes keeps to `offsets.topic.replication.factor`, as Kafka does: as long as
/// there are too few brokers, nobody finds a coordinator, and not one whose offsets are lost with the first broker that dies.
/// A broker on its own has no others to wait for: there a number that nobody set is 1.
fn offsets_topic(settings: &Settings, id: TopicId, is_alone: bool) -> NewTopic {
    let wanted = settings.get(&OFFSETS_TOPIC_REPLICATION_FACTOR);
    let is_set = settings.is_set(&OFFSETS_TOPIC_REPLICATION_FACTOR);
    let config = |key: &str, value: String| (key.to_owned(), Some(value));
    NewTopic {
        partitions: settings.get(&OFFSETS_TOPIC_NUM_PARTITIONS),
        replication_factor: if is_set || !is_alone { wanted } else { 1 },
        configs: vec![
            config("cleanup.policy", "compact".to_owned()),
            config("compression.type", "producer".to_owned()),
            config("segment.bytes", settings.get(&OFFSETS_TOPIC_SEGMENT_BYTES).to_string()),
        ],
        ..NewTopic::named(CONSUMER_OFFSETS, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(properties: &str, is_alone: bool) -> i16 {
        let (settings, _) = Settings::parse("f", properties).unwrap();
        offsets_topic(&settings, TopicId([7; 16]), is_alone).replication_factor
    }

    #[test]
    fn a_number_of_replicas_that_nobody_set_is_one_on_a_broker_alone_and_three_in_a_cluster() {
        assert_eq!((replicas("", true), replicas("", false)), (1, 3));
        let set = "offsets.topic.replication.factor=2\n";
        assert_eq!((replicas(set, true), replicas(set, false)), (2, 2), "and one that is set is kept");
    }

    #[test]
    fn the_topic_is_as_its_keys_say() {
        let (settings, _) =
            Settings::parse("f", "offsets.topic.num.partitions=5\noffsets.topic.segment.bytes=4096\n")
                .unwrap();
        let topic = offsets_topic(&settings, TopicId([7; 16]), true);
        assert_eq!((topic.name.as_str(), topic.partitions), ("__consumer_offsets", 5));
        let configs: Vec<_> =
            topic.configs.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        let expected = [
            ("cleanup.policy", Some("compact")),
            ("compression.type", Some("producer")),
            ("segment.bytes", Some("4096")),
        ];
        assert_eq!(configs, expected);
    }
}
