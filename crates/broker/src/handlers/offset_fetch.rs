//! OffsetFetch: how far groups have read (KIP-320, KIP-447, KIP-709, KIP-848).
//!
//! Up to version 7 a request is about one group, and so is its answer: it is handled as a request about several, with one.
//! A group or partition that is named twice is answered once: offsets may have kilobytes of metadata, and giving them again
//! helps nobody.

use std::collections::HashSet;
use std::sync::Arc;

use ottla_groups::Request;
use ottla_groups::answer::{FetchOffsetsAnswer, FetchedPartition, FetchedTopic};
use ottla_groups::request::{FetchOffsets, FetchTopic};
use ottla_metadata::Image;
use ottla_metadata::image::TopicImage;
use ottla_types::{ErrorCode, TopicId, TopicName};
use ottla_wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use ottla_wire::{ApiKey, Str, Uuid};

use super::group::{reply_of, respond_to_all, too_many};
use crate::broker::Core;
use crate::context::{Answer, RequestContext};
use crate::coordinator::Reply;

/// The first version whose answer has an error of the whole group.
const GROUP_ERROR_SINCE: i16 = 2;

/// The first version about several groups (KIP-709).
const BATCHED_SINCE: i16 = 8;

/// The first version that names topics by id (KIP-848).
const TOPIC_IDS_SINCE: i16 = 10;

pub(crate) async fn handle(core: &Core, context: &RequestContext, request: OffsetFetchRequest) -> Answer {
    let (version, require_stable) = (context.version, request.require_stable);
    if let Some(reason) = refusal(context.api, &request) {
        return Answer::Close(reason);
    }
    let image = core.metadata.image();
    let mut asked = Vec::new();
    let mut wanted = Vec::new();
    for group in groups(version, request) {
        let group = Wanted::from_request(&image, version, group);
        let fetch = Request::FetchOffsets(group.fetch(require_stable));
        asked.push(core.groups.ask(&image, &group.group_id, fetch).await);
        wanted.push(group);
    }
    respond_to_all(asked, move |replies| {
        let groups = wanted.into_iter().zip(replies);
        response(version, groups.map(|(group, reply)| group.response(&image, version, reply)).collect())
    })
}

/// Why a request is not answered: it asks for too much at once.
fn refusal(api: ApiKey, request: &OffsetFetchRequest) -> Option<String> {
    let of_groups = request.groups.iter().flat_map(|group| group.topics.iter().flatten());
    let of_groups = of_groups.map(|topic| topic.partition_indexes.len());
    let of_group = request.topics.iter().flatten().map(|topic| topic.partition_indexes.len());
    too_many(api, request.groups.len(), of_groups.chain(of_group).sum())
}

/// The groups that are asked for, each once.
fn groups(version: i16, request: OffsetFetchRequest) -> Vec<OffsetFetchRequestGroup> {
    if version >= BATCHED_SINCE {
        let mut seen = HashSet::new();
        return request.groups.into_iter().filter(|group| seen.insert(group.group_id.clone())).collect();
    }
    let topics = |topics: Vec<ottla_wire::offset_fetch::OffsetFetchRequestTopic>| {
        let topic = |topic: ottla_wire::offset_fetch::OffsetFetchRequestTopic| OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..OffsetFetchRequestTopics::default()
        };
        topics.into_iter().map(topic).collect()
    };
    vec![OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics: request.topics.map(topics),
        ..OffsetFetchRequestGroup::default()
    }]
}

/// What is asked for of one group.
struct Wanted {
    group_id: Str,
    /// `None` is all topics.
    topics: Option<Vec<WantedTopic>>,
}

struct WantedTopic {
    name: Str,
    id: Uuid,
    partitions: Vec<i32>,
    /// The topic as the coordinator knows it; or what is answered without asking.
    known: Result<(TopicName, TopicId), ErrorCode>,
}

fn known(topic: &TopicImage) -> (TopicName, TopicId) {
    (topic.name.clone(), topic.id)
}

/// The topic that has the name now: an offset that was committed for an earlier one, as by a commit that came while that was
/// deleted, is none of its. Where there is no such topic, whatever was committed under the name is told, as by Kafka.
fn by_name(image: &Image, name: &str) -> Result<(TopicName, TopicId), ErrorCode> {
    if let Some(topic) = image.topic_by_name(name) {
        return Ok(known(topic));
    }
    // Nothing was ever committed for a name that no topic can have.
    TopicName::new(name).map(|name| (name, TopicId::ZERO)).map_err(|_| ErrorCode::None)
}

impl Wanted {
    fn from_request(image: &Image, version: i16, group: OffsetFetchRequestGroup) -> Self {
        let mut seen = HashSet::new();
        let topic = |mut topic: OffsetFetchRequestTopics| {
            let mut once = |index: &i32| seen.insert((topic.name.clone(), topic.topic_id, *index));
            topic.partition_indexes.retain(&mut once);
            let known = if version >= TOPIC_IDS_SINCE {
                image.topic(topic.topic_id.into()).map(|topic| known(topic)).ok_or(ErrorCode::UnknownTopicId)
            } else {
                by_name(image, &topic.name)
            };
            WantedTopic { name: topic.name, id: topic.topic_id, partitions: topic.partition_indexes, known }
        };
        let topics = group.topics.map(|topics| topics.into_iter().map(topic).collect());
        Self { group_id: group.group_id, topics }
    }

    fn fetch(&self, require_stable: bool) -> FetchOffsets {
        let topic = |wanted: &WantedTopic| {
            let (topic, topic_id) = wanted.known.clone().ok()?;
            Some(FetchTopic { topic, topic_id, partitions: wanted.partitions.clone() })
        };
        FetchOffsets {
            group_id: self.group_id.as_str().to_owned(),
            topics: self.topics.as_ref().map(|topics| topics.iter().filter_map(topic).collect()),
            require_stable,
        }
    }

    fn response(self, image: &Arc<Image>, version: i16, reply: Reply) -> OffsetFetchResponseGroup {
        let answer = reply_of!(FetchOffsets, reply.map_err(fetch_error));
        let (error, fetched) = match answer {
            Ok(FetchOffsetsAnswer { error: ErrorCode::None, topics }) => (ErrorCode::None, topics),
            // What it waited for could not be written.
            Ok(FetchOffsetsAnswer { error: ErrorCode::CoordinatorNotAvailable, .. }) => {
                (ErrorCode::NotCoordinator, Vec::new())
            }
            Ok(FetchOffsetsAnswer { error, .. }) | Err(error) => (error, Vec::new()),
        };
        let topics = match self.topics {
            // Before there was a place for it, the error of a group was told with each partition.
            Some(topics) if error.is_error() && version < GROUP_ERROR_SINCE => {
                topics.into_iter().map(|topic| topic.unknown(error)).collect()
            }
            _ if error.is_error() => Vec::new(),
            Some(topics) => merge(topics, fetched),
            None => fetched.into_iter().filter_map(|topic| of_all(image, version, topic)).collect(),
        };
        OffsetFetchResponseGroup {
            group_id: self.group_id,
            topics,
            error_code: error.code(),
            ..OffsetFetchResponseGroup::default()
        }
    }
}

/// What is told of errors at the shard's door. Older consumers know no REQUEST_TIMED_OUT and no COORDINATOR_NOT_AVAILABLE
/// here, and after NOT_COORDINATOR they look for the coordinator again (as Kafka's `handleOffsetFetchException` says).
fn fetch_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::RequestTimedOut => ErrorCode::NotCoordinator,
        error => error,
    }
}

/// The topics as they were asked for, with what the coordinator answered for those that it was asked about.
fn merge(wanted: Vec<WantedTopic>, fetched: Vec<FetchedTopic>) -> Vec<OffsetFetchResponseTopics> {
    let mut fetched = fetched.into_iter();
    let topic = |wanted: WantedTopic| match wanted.known {
        Err(error) => wanted.unknown(error),
        Ok(_) => {
            let partitions = fetched.next().map(|topic| topic.partitions).unwrap_or_default();
            topic_of(wanted.name, wanted.id, partitions.into_iter().map(partition).collect())
        }
    };
    wanted.into_iter().map(topic).collect()
}

impl WantedTopic {
    /// Without an offset for any partition.
    fn unknown(self, error: ErrorCode) -> OffsetFetchResponseTopics {
        let partition = |partition_index| OffsetFetchResponsePartitions {
            partition_index,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some(Str::default()),
            error_code: error.code(),
            ..OffsetFetchResponsePartitions::default()
        };
        topic_of(self.name, self.id, self.partitions.into_iter().map(partition).collect())
    }
}

/// A topic that was not asked for by name. Who asks by id is not told of topics that have none any more, and nobody of offsets
/// that were committed for an earlier topic of the same name.
fn of_all(image: &Image, version: i16, topic: FetchedTopic) -> Option<OffsetFetchResponseTopics> {
    let id = image.topic_by_name(topic.topic.as_str()).map(|topic| topic.id);
    if version >= TOPIC_IDS_SINCE && id.is_none() {
        return None;
    }
    let id = id.unwrap_or(TopicId::ZERO);
    let is_of_it =
        |fetched: &FetchedPartition| id.is_zero() || fetched.topic_id.is_zero() || fetched.topic_id == id;
    let partitions: Vec<_> = topic.partitions.into_iter().filter(is_of_it).map(partition).collect();
    if partitions.is_empty() {
        return None;
    }
    Some(topic_of(topic.topic.as_str().into(), id.into(), partitions))
}

fn topic_of(
    name: Str,
    topic_id: Uuid,
    partitions: Vec<OffsetFetchResponsePartitions>,
) -> OffsetFetchResponseTopics {
    OffsetFetchResponseTopics { name, topic_id, partitions, ..OffsetFetchResponseTopics::default() }
}

fn partition(fetched: FetchedPartition) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: fetched.partition,
        committed_offset: fetched.offset.0,
        committed_leader_epoch: fetched.leader_epoch.0,
        metadata: Some(fetched.metadata.into()),
        error_code: fetched.error.code(),
        ..OffsetFetchResponsePartitions::default()
    }
}

fn response(version: i16, mut groups: Vec<OffsetFetchResponseGroup>) -> OffsetFetchResponse {
    if version >= BATCHED_SINCE {
        return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
    }
    let group = groups.pop().unwrap_or_default();
    let partition = |partition: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
        ..OffsetFetchResponsePartition::default()
    };
    let topic = |topic: OffsetFetchResponseTopics| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
        ..OffsetFetchResponseTopic::default()
    };
    OffsetFetchResponse {
        topics: group.topics.into_iter().map(topic).collect(),
        error_code: group.error_code,
        ..OffsetFetchResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use ottla_metadata::record;
    use ottla_types::{LeaderEpoch, Offset};

    use super::*;

    const ID: TopicId = TopicId([2; 16]);

    fn image() -> Image {
        let mut image = Image::default();
        let name = TopicName::new("t").unwrap();
        image.apply(&record::Record::Topic(record::Topic { name, id: ID })).unwrap();
        image
    }

    #[test]
    fn who_names_a_topic_means_the_one_that_has_the_name_now() {
        let topic = |name: &str| OffsetFetchRequestTopics {
            name: name.into(),
            partition_indexes: vec![0],
            ..OffsetFetchRequestTopics::default()
        };
        let topics = Some(vec![topic("t"), topic("gone")]);
        let group = OffsetFetchRequestGroup { group_id: "g".into(), topics, ..Default::default() };
        let asked = Wanted::from_request(&image(), BATCHED_SINCE, group).fetch(false);
        let ids: Vec<_> = asked.topics.unwrap().into_iter().map(|topic| topic.topic_id).collect();
        assert_eq!(ids, [ID, TopicId::ZERO]);
    }

    #[test]
    fn among_all_offsets_are_none_of_an_earlier_topic_of_the_name() {
        let fetched = |partition, topic_id| FetchedPartition {
            partition,
            topic_id,
            offset: Offset(5),
            leader_epoch: LeaderEpoch::NONE,
            metadata: String::new(),
            error: ErrorCode::None,
        };
        let of_all = |partitions| {
            let topic = FetchedTopic { topic: TopicName::new("t").unwrap(), partitions };
            let told = of_all(&image(), BATCHED_SINCE, topic)?;
            Some(told.partitions.iter().map(|partition| partition.partition_index).collect::<Vec<_>>())
        };
        let earlier = TopicId([1; 16]);
        let some = vec![fetched(0, earlier), fetched(1, ID), fetched(2, TopicId::ZERO)];
        assert_eq!(of_all(some), Some(vec![1, 2]));
        assert_eq!(of_all(vec![fetched(0, earlier)]), None);
    }

    #[test]
    fn a_request_for_more_partitions_than_can_be_answered_is_refused() {
        let context = |count: i32| {
            let partition_indexes = (0..count).collect();
            let topic = OffsetFetchRequestTopics { partition_indexes, ..Default::default() };
            let group = OffsetFetchRequestGroup { topics: Some(vec![topic]), ..Default::default() };
            OffsetFetchRequest { groups: vec![group], ..Default::default() }
        };
        let refusal = |count| refusal(ApiKey::OffsetFetch, &context(count));
        assert_eq!(refusal(500_000), None);
        assert!(refusal(500_001).is_some_and(|reason| reason.contains("500001 partitions")));
    }

    #[test]
    fn a_write_that_failed_or_took_too_long_sends_consumers_to_look_for_the_coordinator_again() {
        let told = |reply| {
            let wanted = Wanted { group_id: "g".into(), topics: None };
            wanted.response(&Arc::default(), BATCHED_SINCE, reply).error_code
        };
        let failed = |error| {
            let answer = FetchOffsetsAnswer { error, topics: Vec::new() };
            Ok(ottla_groups::Answer::FetchOffsets(answer))
        };
        let elsewhere = ErrorCode::NotCoordinator.code();
        assert_eq!(told(Err(ErrorCode::RequestTimedOut)), elsewhere);
        assert_eq!(told(failed(ErrorCode::CoordinatorNotAvailable)), elsewhere);
        // What is still to come, or cannot be read, is told as it is.
        for error in [ErrorCode::CoordinatorLoadInProgress, ErrorCode::CoordinatorNotAvailable] {
            assert_eq!(told(Err(error)), error.code());
        }
    }
}
