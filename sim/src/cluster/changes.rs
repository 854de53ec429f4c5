//! What administrators asked for, and what they were told: topics and their configuration.
//!
//! Each topic has one administrator, who asks for one thing at a time. So what the topic must be follows from the last
//! answer, until one does not say what was done: from then on nobody touches that topic any more, and it may be anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a topic must be in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// It is not there.
    Absent,
    /// It is there.
    Present {
        /// With so many partitions.
        partitions: i32,
        /// Of so many replicas each.
        replicas: i16,
        /// And this value of the key that is changed, if it was.
        value: Option<String>,
    },
    /// An answer left open what it is.
    Anything,
}

/// The topics of all administrators by name. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Changes(Arc<Mutex<BTreeMap<String, Expected>>>);

impl Changes {
    /// Notes what a topic must be from now on.
    pub(super) fn expect(&self, topic: &str, expected: Expected) {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        topics.insert(topic.to_owned(), expected);
    }

    /// What all topics must be.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Expected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
