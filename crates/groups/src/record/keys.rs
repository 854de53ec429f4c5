//! Keys: what a record is about.
//!
//! The version of a key says its kind (`CoordinatorRecordType`): 0 and 1 an offset, 2 a classic group, and from 3 on the
//! groups of other protocols, which are not supported yet.

use super::RecordError;
use super::bytes::{Reader, put_string};

const WHAT: &str = "key";

const OFFSET_VERSION: i16 = 1;
const GROUP_VERSION: i16 = 2;

/// The key of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// The offset of a partition in a group: `OffsetCommitKey`.
    Offset {
        /// The group.
        group: &'a str,
        /// The topic.
        topic: &'a str,
        /// The partition.
        partition: i32,
    },
    /// A classic group: `GroupMetadataKey`.
    Group {
        /// The group.
        group: &'a str,
    },
    /// A key of another version.
    Unknown {
        /// The version.
        version: i16,
    },
}

impl<'a> Key<'a> {
    /// Reads a key.
    ///
    /// # Errors
    /// The key ends early or holds an invalid field.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes, WHAT);
        match reader.i16("version")? {
            0 | OFFSET_VERSION => Ok(Self::Offset {
                group: reader.string("group", false)?,
                topic: reader.string("topic", false)?,
                partition: reader.i32("partition")?,
            }),
            GROUP_VERSION => Ok(Self::Group { group: reader.string("group", false)? }),
            version => Ok(Self::Unknown { version }),
        }
    }
}

/// Writes the key of an offset.
pub(crate) fn offset_key(group: &str, topic: &str, partition: i32) -> Vec<u8> {
    let mut out = Vec::with_capacity(10 + group.len() + topic.len());
    out.extend_from_slice(&OFFSET_VERSION.to_be_bytes());
    put_string(&mut out, group);
    put_string(&mut out, topic);
    out.extend_from_slice(&partition.to_be_bytes());
    out
}

/// Writes the key of a group.
pub(crate) fn group_key(group: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + group.len());
    out.extend_from_slice(&GROUP_VERSION.to_be_bytes());
    put_string(&mut out, group);
    out
}
