//! Topic names and the rules that they keep.

use std::fmt;
use std::sync::Arc;

/// The longest topic name: `<topic>-<partition>` must fit in a file name of 255 bytes, with room for `.delete` suffixes.
pub const MAX_NAME_LEN: usize = 249;

/// The topic that holds consumer groups' offsets.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";

/// The topic that holds the state of transactions.
pub const TRANSACTION_STATE: &str = "__transaction_state";

/// A legal topic name. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

/// Why a text is not a topic name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopicName {
    /// The empty text.
    #[error("the topic name is empty")]
    Empty,
    /// `.` and `..` would name directories.
    #[error("the topic name cannot be \".\" or \"..\"")]
    Dots,
    /// Longer than [`MAX_NAME_LEN`].
    #[error("the topic name is {0} characters long, and {MAX_NAME_LEN} is the most")]
    TooLong(usize),
    /// A character outside the legal ones.
    #[error(
        "the topic name \"{0}\" contains a character other than ASCII letters and digits, '.', '_' and '-'"
    )]
    Characters(String),
}

impl TopicName {
    /// Checks a name by Kafka's rules (`org.apache.kafka.common.internals.Topic`).
    ///
    /// # Errors
    /// Says which rule the name breaks.
    pub fn new(name: &str) -> Result<Self, InvalidTopicName> {
        if name.is_empty() {
            return Err(InvalidTopicName::Empty);
        }
        if name == "." || name == ".." {
            return Err(InvalidTopicName::Dots);
        }
        if name.len() > MAX_NAME_LEN {
            return Err(InvalidTopicName::TooLong(name.chars().count()));
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
            return Err(InvalidTopicName::Characters(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the brokers keep their own state in this topic.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        matches!(self.as_str(), CONSUMER_OFFSETS | TRANSACTION_STATE)
    }

    /// The name with `.` and `_` made one: two topics whose names agree in this collide in metric names.
    #[must_use]
    pub fn metric_key(&self) -> String {
        self.0.replace('.', "_")
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A partition, by the name of its topic and its index. Prints as Kafka names its directory: `topic-0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The index of the partition, from 0.
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_kafkas_rules() {
        assert!(TopicName::new("orders.v2_eu-1").is_ok());
        assert_eq!(TopicName::new(""), Err(InvalidTopicName::Empty));
        assert_eq!(TopicName::new(".."), Err(InvalidTopicName::Dots));
        assert_eq!(TopicName::new(&"x".repeat(250)), Err(InvalidTopicName::TooLong(250)));
        assert!(TopicName::new(&"x".repeat(249)).is_ok());
        assert!(matches!(TopicName::new("a/b"), Err(InvalidTopicName::Characters(_))));
        assert!(matches!(TopicName::new("näme"), Err(InvalidTopicName::Characters(_))));
    }
}
