//! Why bytes are no message, or why a message cannot be written: what is wrong, and in which field of what.

use std::fmt;

/// Why a message could not be read or written.
///
/// It names the message, its version and the field, as in `FetchRequest v12: topics[3].partitions[0].fetch_offset:
/// needs 8 bytes, and 3 are left`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Details>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Details {
    fault: Fault,
    message: Option<(&'static str, i16)>,
    /// The innermost step first: it is collected on the way out.
    path: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Field(&'static str),
    Index(usize),
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The bytes end before the value does.
    #[error("needs {needed} bytes, and {left} are left")]
    Truncated {
        /// How many bytes the value takes.
        needed: usize,
        /// How many there are.
        left: usize,
    },
    /// A length below -1, which stands for null.
    #[error("the length {0} is negative")]
    NegativeLength(i64),
    /// A string longer than Kafka allows.
    #[error("{0} bytes are too many for a string: the limit is 32767")]
    StringTooLong(usize),
    /// More bytes or elements than a length field can say.
    #[error("{0} are too many to write: the limit is 2147483647")]
    TooMany(usize),
    /// An array that claims more elements than the bytes at hand can hold.
    #[error("claims {count} elements of at least {element_size} bytes each, and {left} bytes are left")]
    TooManyElements {
        /// How many elements it claims.
        count: usize,
        /// The fewest bytes that one takes.
        element_size: usize,
        /// How many bytes there are.
        left: usize,
    },
    /// Elements that would take far more memory than the message has bytes.
    #[error("would take {size} bytes of memory, and a message of this size may take {left} more")]
    TooMuchMemory {
        /// How much memory it would take.
        size: usize,
        /// How much is left of what the message's size justifies.
        left: usize,
    },
    /// A string that is not UTF-8.
    #[error("is not UTF-8 (the first bad byte is at {0})")]
    NotUtf8(usize),
    /// An unsigned varint with more than 32 bits.
    #[error("is no varint of 32 bits")]
    BadVarint,
    /// A byte before a structure that says neither null nor present.
    #[error("the byte {0} before a structure is neither -1 (null) nor 1 (present)")]
    BadPresence(i8),
    /// Null where the version has no null.
    #[error("is null, which this version does not allow")]
    Null,
    /// A value that the version cannot carry and that must not be dropped.
    #[error("is set, and this version does not have the field")]
    NotInVersion,
    /// A version that is not implemented.
    #[error("this version is not supported: expected {first} to {last}")]
    UnsupportedVersion {
        /// The first version there is.
        first: i16,
        /// The last version there is.
        last: i16,
    },
    /// An API key that is not served.
    #[error("the API key {0} is not known")]
    UnknownApi(i16),
    /// More tagged fields than the bytes at hand can hold.
    #[error("claims {count} tagged fields, and {left} bytes are left")]
    TooManyTags {
        /// How many it claims.
        count: u32,
        /// How many bytes there are.
        left: usize,
    },
    /// A tag that is not above the one before it.
    #[error("tag {tag} follows tag {previous}: tags ascend, each once")]
    TagOrder {
        /// The tag that is out of order, or there twice.
        tag: u32,
        /// The one before it.
        previous: u32,
    },
    /// A tagged field whose bytes are not as many as it says.
    #[error("tagged field {tag} says that it takes {size} bytes, and {left} of them are not used")]
    TagSize {
        /// The tag.
        tag: u32,
        /// How many bytes it claims.
        size: usize,
        /// How many are left over.
        left: usize,
    },
    /// Tagged fields in a version that has none.
    #[error("has tagged fields, which this version cannot carry")]
    TagsNotInVersion,
}

impl Error {
    /// An error that does not name a message or field yet.
    #[cold]
    #[must_use]
    pub fn new(fault: Fault) -> Self {
        Self(Box::new(Details { fault, message: None, path: Vec::new() }))
    }

    /// A value that the version cannot carry and that must not be dropped.
    #[cold]
    #[must_use]
    pub fn not_in_version() -> Self {
        Self::new(Fault::NotInVersion)
    }

    /// Null where the version has no null.
    #[cold]
    #[must_use]
    pub fn null_in_version() -> Self {
        Self::new(Fault::Null)
    }

    /// Says in which field the error lies, or in which field the fields named so far lie.
    #[cold]
    #[must_use]
    pub fn in_field(mut self, field: &'static str) -> Self {
        self.0.path.push(Step::Field(field));
        self
    }

    /// Says in which element of an array the error lies.
    #[cold]
    #[must_use]
    pub fn at_index(mut self, index: usize) -> Self {
        self.0.path.push(Step::Index(index));
        self
    }

    /// Says in which message, and in which version of it, the error lies.
    #[cold]
    #[must_use]
    pub fn in_message(mut self, name: &'static str, version: i16) -> Self {
        self.0.message.get_or_insert((name, version));
        self
    }

    /// What is wrong.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.0.fault
    }

    /// The path of the field, as in `topics[3].partitions[0].fetch_offset`; empty where no single field is at fault.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in self.0.path.iter().rev() {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, version)) = self.0.message {
            write!(f, "{name} v{version}: ")?;
        }
        let path = self.path();
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        self.0.fault.fmt(f)
    }
}

impl std::error::Error for Error {}
