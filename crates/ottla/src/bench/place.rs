//! The topic to measure with.

use clap::Args;
use ottla_client::{Client, NewTopic, Topic};
use ottla_types::TopicName;

use super::stop::Stop;
use crate::cli::topic_name;
use crate::cluster::{Cluster, explain};
use crate::output;

/// How many partitions a topic gets that is made for a measurement.
const PARTITIONS: i32 = 3;

/// Which topic of which cluster.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// A topic that exists. Without it one is created, and deleted at the end
    #[arg(long, short, value_name = "NAME", value_parser = topic_name)]
    topic: Option<TopicName>,

    /// How many partitions the topic has that is created; 3 if not given
    #[arg(long, short, conflicts_with = "topic", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,

    #[command(flatten)]
    cluster: Cluster,
}

/// A topic that is there.
pub(super) struct Ground {
    pub(super) client: Client,
    pub(super) topic: Topic,
    is_temporary: bool,
}

impl Place {
    /// Whether the topic is made for the measurement, and empty.
    pub(super) fn is_temporary(&self) -> bool {
        self.topic.is_none()
    }

    /// Measures with the topic, which is found or created first. One that was created is deleted again, also if measuring
    /// fails or is stopped.
    pub(super) async fn measured<T>(
        &self,
        measure: impl AsyncFnOnce(&Ground, &Stop) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        // Before there is a topic that would be left behind.
        let stop = Stop::on_ctrl_c()?;
        let ground = self.prepare().await?;
        let measured = measure(&ground, &stop).await;
        ground.leave().await;
        measured
    }

    /// Finds or creates the topic.
    async fn prepare(&self) -> anyhow::Result<Ground> {
        let client = self.cluster.connect().await?;
        let name = match &self.topic {
            Some(name) => name.clone(),
            None => {
                let name = format!("ottla-bench-{:016x}", client.env().rng.next_u64());
                let name = TopicName::new(&name)?;
                let partitions = Some(self.partitions.unwrap_or(PARTITIONS));
                let topic = NewTopic { partitions, ..NewTopic::new(name.clone()) };
                client.create_topic(&topic).await.map_err(explain)?;
                name
            }
        };
        let topic = client.topic(&name).await.map_err(explain);
        match topic {
            Ok(topic) => Ok(Ground { client, topic, is_temporary: self.is_temporary() }),
            Err(error) if self.is_temporary() => {
                delete(&client, &name).await;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

impl Ground {
    /// Deletes the topic if it was created here.
    async fn leave(self) {
        if self.is_temporary {
            delete(&self.client, &self.topic.name).await;
        }
    }
}

/// What was measured stands, also where its topic cannot be deleted.
async fn delete(client: &Client, name: &TopicName) {
    if let Err(error) = client.delete_topic(name).await {
        output::complain(&explain(error).context(format!("the topic {name} is left behind")));
    }
}
