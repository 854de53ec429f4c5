//! The records of `__consumer_offsets`, in Kafka's formats (`group-coordinator`'s `common/message/*.json`, 4.3).

mod bytes;
mod keys;
mod subscription;
mod values;

pub use keys::Key;
pub(crate) use keys::{group_key, offset_key};
pub use subscription::{CONSUMER_PROTOCOL, subscribed_topics};
pub use values::{GroupValue, MemberValue, OffsetValue};

/// Whether a text fits into a string of a record, whose length has 16 bits. Requests in flexible versions may bring
/// longer ones.
pub(crate) fn fits(text: &str) -> bool {
    text.len() <= i16::MAX as usize
}

/// Why a record of the log cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes end before the field does.
    #[error("the {what} ends within its field `{field}`")]
    Short {
        /// The record's part.
        what: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A field holds what it cannot hold.
    #[error("the field `{field}` of the {what} is invalid: {reason}")]
    Invalid {
        /// The record's part.
        what: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// A version of a value that is not known.
    #[error("version {version} of the {what} is not known, the newest known one is {newest}")]
    Version {
        /// The record's part.
        what: &'static str,
        /// The version.
        version: i16,
        /// The newest known version.
        newest: i16,
    },
}
