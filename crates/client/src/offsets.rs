//! Finding offsets: where a partition's log starts and ends, and what it held at a time (ListOffsets).

use std::collections::BTreeMap;

use ottla_types::{BrokerId, Offset, TopicName, TopicPartition};
use ottla_wire::ApiKey;
use ottla_wire::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopic,
};

use crate::address::Address;
use crate::by_topic::grouped;
use crate::client::{Client, Leader};
use crate::error::{Error, check};

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first offset there is.
    Earliest,
    /// The end: the offset after the last one that consumers may read.
    Latest,
    /// The first record whose timestamp, in milliseconds, is this or later.
    Timestamp(i64),
}

impl OffsetSpec {
    fn on_the_wire(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            // Negative numbers mean other things than times.
            Self::Timestamp(timestamp_ms) => timestamp_ms.max(0),
        }
    }
}

type Wanted = BTreeMap<TopicPartition, OffsetSpec>;

/// `None` where no record is as late as the time asked for.
type Found = BTreeMap<TopicPartition, Option<Offset>>;

impl Client {
    /// Finds one offset of each partition; `None` where no record is as late as the time asked for.
    ///
    /// # Errors
    /// [`Error::Answered`] for the first partition that has none, and whatever keeps its leader from answering.
    pub async fn offsets(
        &self,
        wanted: impl IntoIterator<Item = (TopicPartition, OffsetSpec)>,
    ) -> Result<Found, Error> {
        let mut wanted: Wanted = wanted.into_iter().collect();
        for name in topics_of(&wanted) {
            self.topic(&name).await?;
        }
        let mut found = Found::new();
        let mut retry = self.retry("finding offsets".to_owned());
        while !wanted.is_empty() {
            if let Err(error) = self.offsets_once(&mut wanted, &mut found).await {
                retry.after(error).await?;
                if let Err(error) = self.refresh(&topics_of(&wanted)).await {
                    tracing::debug!(%error, "metadata could not be refreshed");
                }
            }
        }
        Ok(found)
    }

    /// Asks each leader once, and moves what was found; the first error if there are any.
    async fn offsets_once(&self, wanted: &mut Wanted, found: &mut Found) -> Result<(), Error> {
        let mut first_error = Ok(());
        let mut by_leader: BTreeMap<BrokerId, Vec<(TopicPartition, OffsetSpec, Leader)>> = BTreeMap::new();
        for (partition, spec) in wanted.iter() {
            match self.leader(partition) {
                Ok(leader) => {
                    by_leader.entry(leader.broker).or_default().push((partition.clone(), *spec, leader));
                }
                Err(error) => first_error = first_error.and(Err(error)),
            }
        }
        for (broker, asked) in by_leader {
            let result = self.ask_for_offsets(broker, &asked, found).await;
            first_error = first_error.and(result);
        }
        wanted.retain(|partition, _| !found.contains_key(partition));
        first_error
    }

    async fn ask_for_offsets(
        &self,
        broker: BrokerId,
        asked: &[(TopicPartition, OffsetSpec, Leader)],
        found: &mut Found,
    ) -> Result<(), Error> {
        let connection = self.broker(broker).await?;
        let timeout_ms = i32::try_from(connection.request_timeout().as_millis()).unwrap_or(i32::MAX);
        let response = connection
            .call(ListOffsetsRequest {
                replica_id: -1,
                topics: topics(asked),
                timeout_ms,
                ..ListOffsetsRequest::default()
            })
            .await?;
        let mut first_error = Ok(());
        for (partition, ..) in asked {
            match read(connection.broker(), &response, partition) {
                Ok(offset) => drop(found.insert(partition.clone(), offset)),
                Err(error) => first_error = first_error.and(Err(error)),
            }
        }
        first_error
    }
}

fn topics_of(wanted: &Wanted) -> Vec<TopicName> {
    let mut topics: Vec<TopicName> = wanted.keys().map(|partition| partition.topic.clone()).collect();
    topics.dedup();
    topics
}

fn topics(asked: &[(TopicPartition, OffsetSpec, Leader)]) -> Vec<ListOffsetsTopic> {
    let partition = |(at, spec, leader): &(TopicPartition, OffsetSpec, Leader)| ListOffsetsPartition {
        partition_index: at.partition,
        current_leader_epoch: leader.epoch.0,
        timestamp: spec.on_the_wire(),
        ..ListOffsetsPartition::default()
    };
    let topic = |(name, partitions): (&TopicName, _)| ListOffsetsTopic {
        name: name.as_str().into(),
        partitions,
        ..ListOffsetsTopic::default()
    };
    grouped(asked.iter().map(|one| (&one.0.topic, partition(one)))).into_iter().map(topic).collect()
}

fn read(
    broker: &Address,
    response: &ListOffsetsResponse,
    at: &TopicPartition,
) -> Result<Option<Offset>, Error> {
    let api = ApiKey::ListOffsets;
    let result: &ListOffsetsPartitionResponse = response
        .topics
        .iter()
        .filter(|topic| topic.name == at.topic.as_str())
        .flat_map(|topic| &topic.partitions)
        .find(|result| result.partition_index == at.partition)
        .ok_or_else(|| Error::BadAnswer {
            broker: broker.clone(),
            api,
            reason: format!("{at} is not in it"),
        })?;
    check(broker, api, at, result.error_code, None)?;
    Ok((result.offset >= 0).then_some(Offset(result.offset)))
}
