//! CreateTopics: names, placement and configuration of new topics (KIP-4, KIP-464).
//!
//! Each topic stands for itself: one that is refused does not keep the others from being made. Two topics of one name
//! in a request are the handler's to refuse.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_types::config::broker::node::{DEFAULT_REPLICATION_FACTOR, NUM_PARTITIONS};
use ottla_types::config::topic_config::{self, InvalidTopicConfig};
use ottla_types::{BrokerId, ErrorCode, LeaderEpoch, TopicId, TopicName};

use super::placement::{self, Candidate};
use super::replication::default_directory;
use super::{Controller, Cuts, Decision, MAX_PARTITIONS_PER_REQUEST, Refused};
use crate::image::Image;
use crate::record::{Config, ConfigResource, Partition, PartitionEpoch, PartitionState, Record, Topic};

/// The request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateTopics {
    /// The topics.
    pub topics: Vec<NewTopic>,
    /// Only say what would happen.
    pub validate_only: bool,
    /// A random number: where placement starts.
    pub seed: u64,
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name, not checked yet.
    pub name: String,
    /// Its id, drawn at random by the caller.
    pub id: TopicId,
    /// How many partitions; -1 for `num.partitions`.
    pub partitions: i32,
    /// How many replicas; -1 for `default.replication.factor`.
    pub replication_factor: i16,
    /// The replicas of each partition by its index. Not empty: both numbers must be -1.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    /// Its configuration; a null value counts as not given.
    pub configs: Vec<(String, Option<String>)>,
}

impl NewTopic {
    /// A topic with the default number of partitions and replicas.
    #[must_use]
    pub fn named(name: &str, id: TopicId) -> Self {
        let (name, assignments, configs) = (name.to_owned(), Vec::new(), Vec::new());
        Self { name, id, partitions: -1, replication_factor: -1, assignments, configs }
    }
}

/// A topic that is created, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub id: TopicId,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas of the first one.
    pub replication_factor: i16,
    /// What is set on it.
    pub configs: Vec<(String, String)>,
}

impl Controller {
    /// Decides a CreateTopics. One answer for each topic, in the order of the request.
    pub fn create_topics(&mut self, request: &CreateTopics) -> Decision<Vec<Result<CreatedTopic, Refused>>> {
        let mut draft = Draft {
            // Later topics of the request see the earlier ones.
            image: self.speculative.clone(),
            candidates: placement::candidates(&self.speculative),
            room: MAX_PARTITIONS_PER_REQUEST,
            records: Vec::new(),
            starts: Vec::new(),
        };
        let answer = (0u64..)
            .zip(&request.topics)
            .map(|(nth, topic)| self.create_topic(&mut draft, topic, placement::seed_for(request.seed, nth)))
            .collect();
        let records = if request.validate_only { Vec::new() } else { draft.records };
        self.decide_cut(records, Cuts::At(draft.starts), answer)
    }

    fn create_topic(&self, draft: &mut Draft, topic: &NewTopic, seed: u64) -> Result<CreatedTopic, Refused> {
        let name = check_name(&draft.image, &topic.name)?;
        let configs = self.check_configs(&draft.image, topic)?;
        let placed = if topic.assignments.is_empty() {
            self.place_new_topic(draft, topic, seed)?
        } else {
            check_assignments(draft, topic)?
        };
        draft.room = draft.room.checked_sub(placed.len()).ok_or_else(too_many_partitions)?;
        let mut records = vec![Record::Topic(Topic { name: name.clone(), id: topic.id })];
        records.extend(configs.iter().map(|(key, value)| {
            Record::Config(Config {
                resource: ConfigResource::Topic(name.clone()),
                key: key.as_str().into(),
                value: Some(value.as_str().into()),
            })
        }));
        let replication_factor = placed.first().map_or(0, Vec::len);
        for (index, replicas) in (0..).zip(&placed) {
            let state = new_partition(&draft.image, &draft.candidates, replicas);
            records.push(Record::Partition(Partition { topic: topic.id, index, state }));
        }
        for record in &records {
            if let Err(error) = draft.image.apply(record) {
                // The name was checked; only an id that was drawn before can come here.
                return Err(Refused::new(ErrorCode::UnknownServerError, error.to_string()));
            }
        }
        draft.starts.push(draft.records.len());
        draft.records.extend(records);
        Ok(CreatedTopic {
            name,
            id: topic.id,
            partitions: i32::try_from(placed.len()).unwrap_or(i32::MAX),
            replication_factor: i16::try_from(replication_factor).unwrap_or(i16::MAX),
            configs,
        })
    }

    fn check_configs(&self, image: &Image, topic: &NewTopic) -> Result<Vec<(String, String)>, Refused> {
        let mut configs: Vec<(String, String)> = Vec::new();
        let mut known = BTreeSet::new();
        for (key, value) in &topic.configs {
            let Some(value) = value else { continue };
            if !known.insert(key) {
                let message = format!("The configuration {key} is given twice.");
                return Err(Refused::new(ErrorCode::InvalidRequest, message));
            }
            configs.push((key.clone(), value.clone()));
        }
        let pairs = configs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        topic_config::validate(pairs, &image.cluster_layers(&self.settings))?;
        Ok(configs)
    }

    fn place_new_topic(
        &self,
        draft: &Draft,
        topic: &NewTopic,
        seed: u64,
    ) -> Result<Vec<Vec<BrokerId>>, Refused> {
        if topic.replication_factor < -1 || topic.replication_factor == 0 {
            return Err(Refused::new(
                ErrorCode::InvalidReplicationFactor,
                "Replication factor must be larger than 0, or -1 to use the default value.",
            ));
        }
        if topic.partitions < -1 || topic.partitions == 0 {
            return Err(Refused::new(
                ErrorCode::InvalidPartitions,
                "Number of partitions was set to an invalid non-positive value.",
            ));
        }
        let partitions =
            if topic.partitions == -1 { self.settings.get(&NUM_PARTITIONS) } else { topic.partitions };
        let partitions = usize::try_from(partitions).unwrap_or(0);
        if partitions > draft.room {
            return Err(too_many_partitions());
        }
        let replication_factor = match topic.replication_factor {
            -1 => i16::try_from(self.settings.get(&DEFAULT_REPLICATION_FACTOR)).unwrap_or(i16::MAX),
            given => given,
        };
        placement::place(&draft.candidates, partitions, replication_factor, seed).map_err(|why| {
            Refused::new(
                ErrorCode::InvalidReplicationFactor,
                format!("Unable to replicate the partition {replication_factor} time(s): {why}"),
            )
        })
    }
}

/// What the topics of one request add up to.
struct Draft {
    image: Image,
    candidates: Vec<Candidate>,
    room: usize,
    records: Vec<Record>,
    /// Where the records of each topic begin.
    starts: Vec<usize>,
}

fn check_name(image: &Image, name: &str) -> Result<TopicName, Refused> {
    let invalid = |message| Refused::new(ErrorCode::InvalidTopicException, message);
    let name = TopicName::new(name).map_err(|why| invalid(why.to_string()))?;
    if image.topic_by_name(name.as_str()).is_some() {
        let message = format!("Topic '{name}' already exists.");
        return Err(Refused::new(ErrorCode::TopicAlreadyExists, message));
    }
    if let Some(other) = image.topic_by_metric_key(&name.metric_key()) {
        return Err(invalid(format!("Topic '{name}' collides with existing topic: {other}")));
    }
    Ok(name)
}

/// The replicas by partition, as the request gives them.
fn check_assignments(draft: &Draft, topic: &NewTopic) -> Result<Vec<Vec<BrokerId>>, Refused> {
    let both = |what: &str| {
        let message = format!("A manual partition assignment was specified, but {what} was not set to -1.");
        Refused::new(ErrorCode::InvalidRequest, message)
    };
    if topic.replication_factor != -1 {
        return Err(both("replication factor"));
    }
    if topic.partitions != -1 {
        return Err(both("numPartitions"));
    }
    let invalid = |message: String| Refused::new(ErrorCode::InvalidReplicaAssignment, message);
    let mut assignments: Vec<_> = topic.assignments.iter().collect();
    assignments.sort_by_key(|(index, _)| *index);
    let mut placed: Vec<Vec<BrokerId>> = Vec::with_capacity(assignments.len());
    for (expected, (index, replicas)) in (0..).zip(assignments) {
        if *index < expected {
            return Err(invalid(format!(
                "Found multiple manual partition assignments for partition {index}"
            )));
        }
        if *index > expected {
            return Err(invalid("partitions should be a consecutive 0-based integer sequence".to_owned()));
        }
        check_replicas(&draft.candidates, *index, replicas, placed.first().map(Vec::len))?;
        placed.push(replicas.clone());
    }
    Ok(placed)
}

/// Checks replicas that a person chose: registered, each once, as many as the topic's other partitions have, and one
/// that can lead.
pub(super) fn check_replicas(
    candidates: &[Candidate],
    index: i32,
    replicas: &[BrokerId],
    replication_factor: Option<usize>,
) -> Result<(), Refused> {
    let invalid = |message: String| Err(Refused::new(ErrorCode::InvalidReplicaAssignment, message));
    if replicas.is_empty() {
        return invalid("The manual partition assignment includes an empty replica list.".to_owned());
    }
    for (nth, id) in replicas.iter().enumerate() {
        if !candidates.iter().any(|candidate| candidate.id == *id) {
            return invalid(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            ));
        }
        if replicas.iter().position(|other| other == id) != Some(nth) {
            return invalid(format!(
                "The manual partition assignment includes the broker {id} more than once."
            ));
        }
    }
    if let Some(expected) = replication_factor.filter(|expected| *expected != replicas.len()) {
        return invalid(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not consistent with \
             previous partitions, which have {expected} replica(s).",
            replicas.len()
        ));
    }
    if active(candidates, replicas).is_empty() {
        return invalid(format!(
            "All brokers specified in the manual partition assignment for partition {index} are fenced or in \
             controlled shutdown."
        ));
    }
    Ok(())
}

/// The state of a new partition: its unfenced replicas are in sync, the first of them leads.
pub(super) fn new_partition(
    image: &Image,
    candidates: &[Candidate],
    replicas: &[BrokerId],
) -> PartitionState {
    let isr = active(candidates, replicas);
    let replicas: Arc<[BrokerId]> = replicas.into();
    PartitionState {
        directories: replicas.iter().map(|broker| default_directory(image, *broker)).collect(),
        leader: isr.first().copied(),
        // Nearly always all are in sync: then one list in memory is enough.
        isr: if *isr == *replicas { replicas.clone() } else { isr.into() },
        elr: Arc::default(),
        replicas,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        ..PartitionState::default()
    }
}

fn active(candidates: &[Candidate], replicas: &[BrokerId]) -> Vec<BrokerId> {
    let is_active = |id: &BrokerId| candidates.iter().any(|c| c.id == *id && c.is_active());
    replicas.iter().copied().filter(is_active).collect()
}

pub(super) fn too_many_partitions() -> Refused {
    Refused::new(
        ErrorCode::PolicyViolation,
        format!(
            "Excessively large number of partitions per request: {MAX_PARTITIONS_PER_REQUEST} is the most."
        ),
    )
}

impl From<InvalidTopicConfig> for Refused {
    fn from(invalid: InvalidTopicConfig) -> Self {
        Self::new(ErrorCode::InvalidConfig, invalid.to_string())
    }
}
