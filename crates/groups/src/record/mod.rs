//! The records of `__consumer_offsets`, in Kafka's formats.

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
