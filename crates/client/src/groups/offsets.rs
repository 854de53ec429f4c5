//! The offsets of a group: read (OffsetFetch), set (OffsetCommit) and forgotten (OffsetDelete).
//!
//! Topics are named by name, so both APIs are asked in version 9 at most: the next names them by id, and a group may have
//! offsets in topics that are gone and have no id any more.

use std::collections::BTreeMap;

use ottla_types::{LeaderEpoch, Offset, TopicName, TopicPartition};
use ottla_wire::ApiKey;
use ottla_wire::Str;
use ottla_wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_wire::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use ottla_wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};

use super::subject;
use crate::admin::{bad_answer, one};
use crate::by_topic::{by_topic, grouped};
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Error, check};

/// The last version of OffsetCommit and OffsetFetch that names topics by name.
const LAST_BY_NAME: i16 = 9;

/// The first version of OffsetFetch that may insist on offsets which no open transaction can change (KIP-447).
const FIRST_STABLE: i16 = 7;

/// The first version of OffsetFetch that asks for several groups (KIP-709).
const FIRST_BATCHED: i16 = 8;

/// An offset that a group keeps for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The record that is to be read next.
    pub offset: Offset,
    /// The epoch of the leader that the record before it came from; [`LeaderEpoch::NONE`] where it is not known.
    pub leader_epoch: LeaderEpoch,
    /// What the client keeps beside it.
    pub metadata: String,
}

impl From<Offset> for CommittedOffset {
    fn from(offset: Offset) -> Self {
        Self { offset, leader_epoch: LeaderEpoch::NONE, metadata: String::new() }
    }
}

/// Offsets by partition.
pub(crate) type Offsets = BTreeMap<TopicPartition, CommittedOffset>;

/// Who speaks to a coordinator.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) group: Str,
    /// Empty for who is no member, or has no id yet.
    pub(crate) member_id: Str,
    /// -1 for who is no member.
    pub(crate) generation: i32,
    pub(crate) instance_id: Option<Str>,
}

impl Identity {
    /// Somebody who is no member.
    pub(crate) fn outsider(group: &str) -> Self {
        Self { group: group.into(), member_id: Str::default(), generation: -1, instance_id: None }
    }
}

impl Client {
    /// The offsets that a group keeps: of these partitions, or of all that it has offsets in. Partitions without one are not
    /// in the answer; neither is anything of a group that does not exist.
    ///
    /// # Errors
    /// [`Error::Answered`], and whatever keeps the coordinator from answering.
    pub async fn committed_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Offsets, Error> {
        let what = format!("reading the offsets of the group {group}");
        self.with_coordinator(what, group, |connection| fetch(connection, group, partitions, false)).await
    }

    /// Sets offsets of a group that has no members now, as a consumer without membership does.
    ///
    /// # Errors
    /// [`Error::Answered`] for the first partition whose offset is refused: UNKNOWN_MEMBER_ID while the group has members.
    pub async fn commit_offsets(&self, group: &str, offsets: &Offsets) -> Result<(), Error> {
        let what = format!("setting the offsets of the group {group}");
        let outsider = Identity::outsider(group);
        self.with_coordinator(what, group, |connection| commit(connection, &outsider, offsets)).await
    }

    /// Forgets offsets of a group (KIP-496), and tells what became of each.
    ///
    /// # Errors
    /// [`Error::Answered`] for the group as a whole. Of a partition it is in the answer: GROUP_SUBSCRIBED_TO_TOPIC while the group
    /// reads the topic.
    pub async fn delete_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Result<(), Error>>, Error> {
        let what = format!("deleting offsets of the group {group}");
        self.with_coordinator(what, group, |connection| delete(connection, group, partitions)).await
    }
}

/// Asks a coordinator once for offsets.
pub(crate) async fn fetch(
    connection: Connection,
    group: &str,
    partitions: Option<&[TopicPartition]>,
    is_stable_required: bool,
) -> Result<Offsets, Error> {
    let api = ApiKey::OffsetFetch;
    let version = connection.version_up_to(api, LAST_BY_NAME)?;
    let by_topic = partitions.map(by_topic);
    let require_stable = is_stable_required && version >= FIRST_STABLE;
    let mut request = OffsetFetchRequest { require_stable, ..OffsetFetchRequest::default() };
    if version >= FIRST_BATCHED {
        let topic = |(name, partition_indexes): (&TopicName, Vec<i32>)| OffsetFetchRequestTopics {
            name: name.as_str().into(),
            partition_indexes,
            ..OffsetFetchRequestTopics::default()
        };
        request.groups = vec![OffsetFetchRequestGroup {
            group_id: group.into(),
            topics: by_topic.map(|topics| topics.into_iter().map(topic).collect()),
            ..OffsetFetchRequestGroup::default()
        }];
    } else {
        let topic = |(name, partition_indexes): (&TopicName, Vec<i32>)| OffsetFetchRequestTopic {
            name: name.as_str().into(),
            partition_indexes,
            ..OffsetFetchRequestTopic::default()
        };
        request.group_id = group.into();
        request.topics = by_topic.map(|topics| topics.into_iter().map(topic).collect());
    }
    let timeout = connection.request_timeout();
    let response = connection.start_at(request, version, timeout)?.wait().await?;
    read(&connection, group, response, version)
}

fn read(
    connection: &Connection,
    group: &str,
    response: OffsetFetchResponse,
    version: i16,
) -> Result<Offsets, Error> {
    let api = ApiKey::OffsetFetch;
    let (error_code, topics) = if version >= FIRST_BATCHED {
        let answer = one(connection, api, response.groups)?;
        (answer.error_code, answer.topics)
    } else {
        (response.error_code, response.topics.into_iter().map(unbatched).collect())
    };
    check(connection.broker(), api, subject(group), error_code, None)?;
    let mut offsets = Offsets::new();
    for topic in topics {
        let name =
            TopicName::new(&topic.name).map_err(|error| bad_answer(connection, api, error.to_string()))?;
        for found in topic.partitions {
            let at = TopicPartition { topic: name.clone(), partition: found.partition_index };
            check(connection.broker(), api, format!("{at} in {}", subject(group)), found.error_code, None)?;
            if found.committed_offset >= 0 {
                offsets.insert(at, committed(found));
            }
        }
    }
    Ok(offsets)
}

fn committed(found: OffsetFetchResponsePartitions) -> CommittedOffset {
    CommittedOffset {
        offset: Offset(found.committed_offset),
        leader_epoch: LeaderEpoch(found.committed_leader_epoch),
        metadata: found.metadata.map(String::from).unwrap_or_default(),
    }
}

/// The same in the words of later versions.
fn unbatched(topic: ottla_wire::offset_fetch::OffsetFetchResponseTopic) -> OffsetFetchResponseTopics {
    let partitions = topic.partitions.into_iter().map(|found| OffsetFetchResponsePartitions {
        partition_index: found.partition_index,
        committed_offset: found.committed_offset,
        committed_leader_epoch: found.committed_leader_epoch,
        metadata: found.metadata,
        error_code: found.error_code,
        ..OffsetFetchResponsePartitions::default()
    });
    OffsetFetchResponseTopics {
        name: topic.name,
        partitions: partitions.collect(),
        ..OffsetFetchResponseTopics::default()
    }
}

/// Asks a coordinator once to keep offsets.
pub(crate) async fn commit(connection: Connection, who: &Identity, offsets: &Offsets) -> Result<(), Error> {
    let api = ApiKey::OffsetCommit;
    let version = connection.version_up_to(api, LAST_BY_NAME)?;
    let partition = |(at, committed): (&TopicPartition, &CommittedOffset)| OffsetCommitRequestPartition {
        partition_index: at.partition,
        committed_offset: committed.offset.0,
        committed_leader_epoch: committed.leader_epoch.0,
        committed_metadata: Some(committed.metadata.as_str().into()),
        ..OffsetCommitRequestPartition::default()
    };
    let partitions = offsets.iter().map(|(at, committed)| (&at.topic, partition((at, committed))));
    let topic = |(name, partitions): (&TopicName, _)| OffsetCommitRequestTopic {
        name: name.as_str().into(),
        partitions,
        ..OffsetCommitRequestTopic::default()
    };
    let request = OffsetCommitRequest {
        group_id: who.group.clone(),
        generation_id_or_member_epoch: who.generation,
        member_id: who.member_id.clone(),
        group_instance_id: who.instance_id.clone(),
        topics: grouped(partitions).into_iter().map(topic).collect(),
        ..OffsetCommitRequest::default()
    };
    let timeout = connection.request_timeout();
    let response = connection.start_at(request, version, timeout)?.wait().await?;
    let results = response.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |p| (topic, p)));
    let mut answered = 0;
    for (topic, result) in results {
        let at = format!("{}-{} in {}", topic.name, result.partition_index, subject(&who.group));
        check(connection.broker(), api, at, result.error_code, None)?;
        answered += 1;
    }
    if answered != offsets.len() {
        let reason = format!("it is about {answered} partitions, and {} were asked for", offsets.len());
        return Err(bad_answer(&connection, api, reason));
    }
    Ok(())
}

async fn delete(
    connection: Connection,
    group: &str,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, Result<(), Error>>, Error> {
    let api = ApiKey::OffsetDelete;
    let partition = |partition_index| OffsetDeleteRequestPartition {
        partition_index,
        ..OffsetDeleteRequestPartition::default()
    };
    let topic = |(name, numbers): (&TopicName, Vec<i32>)| OffsetDeleteRequestTopic {
        name: name.as_str().into(),
        partitions: numbers.into_iter().map(partition).collect(),
        ..OffsetDeleteRequestTopic::default()
    };
    let request = OffsetDeleteRequest {
        group_id: group.into(),
        topics: by_topic(partitions).into_iter().map(topic).collect(),
        ..OffsetDeleteRequest::default()
    };
    let response = connection.call(request).await?;
    check(connection.broker(), api, subject(group), response.error_code, None)?;
    let mut results = BTreeMap::new();
    for at in partitions {
        let result = response
            .topics
            .iter()
            .filter(|topic| topic.name == at.topic.as_str())
            .flat_map(|topic| &topic.partitions)
            .find(|result| result.partition_index == at.partition)
            .ok_or_else(|| bad_answer(&connection, api, format!("{at} is not in it")))?;
        let subject = format!("{at} in {}", subject(group));
        results.insert(at.clone(), check(connection.broker(), api, subject, result.error_code, None));
    }
    Ok(results)
}
