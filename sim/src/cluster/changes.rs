//! What administrators asked for and were told, and what became of the topics' names in the metadata log.
//!
//! A request may be carried out more often than it was answered: the client asks again when it has heard nothing, or a broker
//! hands it on again, and the first one comes late, when the topic has long been deleted. So what a topic must be does not
//! follow from the last answer alone. It follows from all of them, and from what was done to the name in the order of the log:
//! each answer is to be found there, and each thing done is to be somebody's request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ottla_metadata::record::ConfigResource;
use ottla_metadata::{Image, Record};
use ottla_types::TopicId;

/// The key of topics that is changed.
pub(super) const KEY: &str = "retention.ms";

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// That there be a topic, of so many partitions with so many replicas.
    Create {
        /// Partitions.
        partitions: i32,
        /// Replicas of each.
        replicas: i16,
    },
    /// That the key have this value.
    Change(String),
    /// That there be no topic.
    Delete,
}

/// What was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is done; a topic that was created has this id.
    Done(Option<TopicId>),
    /// There is such a topic.
    Exists,
    /// There is no such topic.
    Unknown,
    /// Nothing that says what was done.
    Nothing,
}

/// Something that is known to have happened before something else: how many records of the log somebody had been handed, and
/// how often brokers had handed requests on again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The end of the log.
    pub end: i64,
    /// How often a request was handed on again.
    pub handed_on_again: u32,
}

/// A call of an administrator.
#[derive(Debug, Clone)]
pub struct Call {
    /// What for.
    pub asked: Asked,
    /// When it began.
    pub begun: Moment,
    /// When it was over, and what was told; `None`: it was not by the end of the run.
    pub over: Option<(Moment, Told)>,
    /// How often the client asked again.
    pub asked_again: u32,
}

/// What the log did to a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// A topic of this id has the name.
    Created(TopicId),
    /// The key has this value.
    Changed(String),
    /// The topic of this id has it no longer.
    Deleted(TopicId),
}

/// All that is known of a name.
#[derive(Debug, Clone, Default)]
pub struct Story {
    /// What its administrator asked for, one after another.
    pub calls: Vec<Call>,
    /// What was done, by the offsets of the records.
    pub done: Vec<(i64, Done)>,
}

/// The stories of all names.
#[derive(Debug, Clone, Default)]
struct Stories {
    names: BTreeMap<String, Story>,
    handed_on_again: u32,
}

/// The stories that administrators and the oracle share. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Changes(Arc<Mutex<Stories>>);

impl Changes {
    fn with<R>(&self, what: impl FnOnce(&mut Stories) -> R) -> R {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An administrator begins a call.
    pub(super) fn begins(&self, name: &str, asked: Asked, end: usize) {
        self.with(|stories| {
            let begun = stories.now(end);
            let call = Call { asked, begun, over: None, asked_again: 0 };
            stories.story(name).calls.push(call);
        });
    }

    /// Its last call is over.
    pub(super) fn ends(&self, name: &str, told: Told, end: usize) {
        self.with(|stories| {
            let now = stories.now(end);
            if let Some(call) = stories.story(name).calls.last_mut() {
                call.over = Some((now, told));
            }
        });
    }

    /// A client pauses before it asks again; `what` names what for.
    pub(super) fn asked_again(&self, what: &str) {
        let Some(name) = what.rsplit(' ').next() else { return };
        self.with(|stories| {
            if let Some(call) = stories.names.get_mut(name).and_then(|story| story.calls.last_mut()) {
                call.asked_again += 1;
            }
        });
    }

    /// A broker hands a request on again.
    pub(super) fn handed_on_again(&self) {
        self.with(|stories| stories.handed_on_again += 1);
    }

    /// The log has one more record.
    pub(super) fn recorded(&self, offset: i64, record: &Record, before: &Image) {
        let (name, done) = match record {
            Record::Topic(topic) => (topic.name.to_string(), Done::Created(topic.id)),
            Record::RemoveTopic(removed) => match before.topic(removed.id) {
                Some(topic) => (topic.name.to_string(), Done::Deleted(removed.id)),
                None => return,
            },
            Record::Config(config) if &*config.key == KEY => match (&config.resource, &config.value) {
                (ConfigResource::Topic(name), Some(value)) => {
                    (name.to_string(), Done::Changed(value.to_string()))
                }
                _ => return,
            },
            _ => return,
        };
        self.with(|stories| stories.story(&name).done.push((offset, done)));
    }

    /// All stories that an administrator has a part in, and the number of requests that were handed on again.
    #[must_use]
    pub fn all(&self) -> (Vec<(String, Story)>, u32) {
        self.with(|stories| {
            let told = stories.names.iter().filter(|(_, story)| !story.calls.is_empty());
            (told.map(|(name, story)| (name.clone(), story.clone())).collect(), stories.handed_on_again)
        })
    }
}

impl Stories {
    fn story(&mut self, name: &str) -> &mut Story {
        self.names.entry(name.to_owned()).or_default()
    }

    fn now(&self, end: usize) -> Moment {
        Moment { end: end as i64, handed_on_again: self.handed_on_again }
    }
}
