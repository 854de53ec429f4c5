//! Somebody who does to a cluster what operators do: elections, moves of replicas, topics deleted and created again, and
//! settings changed. Nobody checks the answers: what must hold holds whatever they are.

use std::time::Duration;

use ottla_client::{Client, ConfigChange, ConfigResource, Election, Error};
use ottla_env::Env;
use ottla_types::TopicPartition;
use ottla_wire::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};

use super::TopicPlan;
use crate::brokers::program::{self, Servers};
use crate::engine::Timeline;
use crate::rng::SimRng;

/// The pause between two things, at most.
const PAUSE: Duration = Duration::from_millis(1_500);

/// The brokers that there are.
const BROKERS: [i32; 3] = [1, 2, 3];

/// Does one thing after another until a time; in the end no move is left undone.
pub(super) async fn run(
    env: Env,
    servers: Servers,
    timeline: Timeline,
    topics: Vec<TopicPlan>,
    seed: u64,
    until_us: u64,
) {
    let client = program::client(env, &servers).await;
    let mut rng = SimRng::new(seed);
    while timeline.now_us() < until_us {
        timeline.sleep(Duration::from_micros(rng.below(PAUSE.as_micros() as u64))).await;
        let topic = &topics[rng.index(topics.len())];
        if let Err(error) = one(&client, topic, &mut rng).await {
            tracing::debug!(%error, "an operator was refused");
        }
    }
}

async fn one(client: &Client, topic: &TopicPlan, rng: &mut SimRng) -> Result<(), Error> {
    let partition =
        TopicPartition { topic: topic.name.clone(), partition: rng.index(topic.partitions as usize) as i32 };
    if topic.is_recreated && rng.one_in(2) {
        client.delete_topic(&topic.name).await?;
        return client.create_topic(&topic.to_create()).await.map(drop);
    }
    match rng.below(4) {
        0 => client.elect_leaders(Election::Preferred, None).await.map(drop),
        1 if topic.may_be_unclean => {
            client.elect_leaders(Election::Unclean, Some(&[partition])).await.map(drop)
        }
        2 => {
            let retention_ms = rng.between(1_000_000_000..2_000_000_000).to_string();
            let change = ConfigChange::Set("retention.ms".to_owned(), retention_ms);
            client.alter_configs(&ConfigResource::Topic(topic.name.clone()), &[change], false).await
        }
        _ => reassign(client, topic, partition.partition, rng).await,
    }
}

/// Gives a partition other replicas, as many as it has, the first of them another one if there is.
async fn reassign(client: &Client, topic: &TopicPlan, index: i32, rng: &mut SimRng) -> Result<(), Error> {
    let first = rng.index(BROKERS.len());
    let replicas = (0..topic.replicas as usize).map(|nth| BROKERS[(first + nth) % BROKERS.len()]);
    let partition = ReassignablePartition {
        partition_index: index,
        replicas: Some(replicas.collect()),
        ..ReassignablePartition::default()
    };
    let topic = ReassignableTopic {
        name: topic.name.as_str().into(),
        partitions: vec![partition],
        ..ReassignableTopic::default()
    };
    let request = AlterPartitionReassignmentsRequest {
        topics: vec![topic],
        timeout_ms: 3_000,
        ..AlterPartitionReassignmentsRequest::default()
    };
    client.refresh(&[]).await?;
    client.controller().await?.call(request).await.map(drop)
}
