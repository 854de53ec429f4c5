//! What consumers in a group tell each other, in bytes that the coordinator passes on unread: what a member subscribes
//! to (in JoinGroup), and what the leader assigns to it (in SyncGroup).
//!
//! Both begin with their version in two bytes. Newer versions only add fields at the end, so a version that is not known
//! is read as the last one that is, and the rest passed over. Version 1 brings the partitions that a member owns (KIP-429), 2
//! the generation that it owns them of (KIP-792), 3 its rack (KIP-881).

use bytes::Bytes;

use crate::error::Error;
use crate::reader::Reader;
use crate::writer::Writer;
use crate::{Message, Str, UnknownTags};

/// What a member subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(data, versions = "0..=3", flexible = "none")]
pub struct ConsumerProtocolSubscription {
    /// The topics that the member wants to read.
    pub topics: Vec<Str>,
    /// What the member's assignor tells the leader's.
    #[wire(nullable, default = null)]
    pub user_data: Option<Bytes>,
    /// The partitions that the member has, by topic.
    #[wire(since = 1, ignorable)]
    pub owned_partitions: Vec<TopicPartition>,
    /// The generation in which it got them; -1 where it has none.
    #[wire(since = 2, default = -1, ignorable)]
    pub generation_id: i32,
    /// The rack that the member stands in.
    #[wire(since = 3, nullable, default = null, ignorable)]
    pub rack_id: Option<Str>,
    /// There are none: no version is flexible.
    pub unknown_tags: UnknownTags,
}

/// What a member is assigned.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[wire(data, versions = "0..=3", flexible = "none")]
pub struct ConsumerProtocolAssignment {
    /// The partitions, by topic.
    pub assigned_partitions: Vec<TopicPartition>,
    /// What the leader's assignor tells the member's.
    #[wire(nullable, default = null)]
    pub user_data: Option<Bytes>,
    /// There are none: no version is flexible.
    pub unknown_tags: UnknownTags,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
    /// There are none: no version is flexible.
    pub unknown_tags: UnknownTags,
}

impl ConsumerProtocolSubscription {
    /// Reads a subscription with its version before it.
    ///
    /// # Errors
    /// If the bytes are none.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, Error> {
        read_versioned(bytes)
    }

    /// The subscription in a version, with that before it.
    ///
    /// # Errors
    /// If there is no such version, or it cannot say what the subscription says.
    pub fn to_bytes(&self, version: i16) -> Result<Bytes, Error> {
        write_versioned(self, version)
    }
}

impl ConsumerProtocolAssignment {
    /// Reads an assignment with its version before it. No bytes are no partitions: that is what a member gets whom the
    /// leader left out.
    ///
    /// # Errors
    /// If the bytes are none.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, Error> {
        if bytes.is_empty() { Ok(Self::default()) } else { read_versioned(bytes) }
    }

    /// The assignment in a version, with that before it.
    ///
    /// # Errors
    /// If there is no such version, or it cannot say what the assignment says.
    pub fn to_bytes(&self, version: i16) -> Result<Bytes, Error> {
        write_versioned(self, version)
    }
}

fn read_versioned<M: Message>(bytes: Bytes) -> Result<M, Error> {
    let mut reader = Reader::new(bytes);
    let named = |error: Error| error.in_field("version").in_message(M::SCHEMA.name, M::SCHEMA.versions.last);
    let version = reader.read_i16().map_err(named)?;
    M::decode(&mut reader, version.min(M::SCHEMA.versions.last))
}

fn write_versioned<M: Message>(message: &M, version: i16) -> Result<Bytes, Error> {
    let mut writer = Writer::new();
    writer.write_i16(version);
    message.encode(&mut writer, version)?;
    Ok(writer.into_chunks().concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment() -> ConsumerProtocolAssignment {
        ConsumerProtocolAssignment {
            assigned_partitions: vec![TopicPartition {
                topic: "t".into(),
                partitions: vec![0, 2],
                ..TopicPartition::default()
            }],
            ..ConsumerProtocolAssignment::default()
        }
    }

    #[test]
    fn an_assignment_is_its_version_topics_and_user_data() {
        let bytes = assignment().to_bytes(1).unwrap();
        let expected = [
            &[0, 1, 0, 0, 0, 1][..],
            &[0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2],
            &[0xff, 0xff, 0xff, 0xff],
        ];
        assert_eq!(bytes, expected.concat());
        assert_eq!(ConsumerProtocolAssignment::from_bytes(bytes).unwrap(), assignment());
    }

    #[test]
    fn a_version_from_the_future_is_read_as_the_last_one_known() {
        let mut bytes = assignment().to_bytes(3).unwrap().to_vec();
        bytes[1] = 9;
        bytes.extend([1, 2, 3]);
        assert_eq!(ConsumerProtocolAssignment::from_bytes(bytes.into()).unwrap(), assignment());
    }

    #[test]
    fn no_bytes_are_an_assignment_of_nothing_and_no_subscription() {
        let none = ConsumerProtocolAssignment::from_bytes(Bytes::new()).unwrap();
        assert_eq!(none, ConsumerProtocolAssignment::default());
        let error = ConsumerProtocolSubscription::from_bytes(Bytes::new()).unwrap_err();
        assert!(error.to_string().contains("ConsumerProtocolSubscription"), "{error}");
    }

    #[test]
    fn a_negative_version_is_refused() {
        assert!(ConsumerProtocolSubscription::from_bytes(Bytes::from_static(&[0xff; 20])).is_err());
    }

    #[test]
    fn an_old_version_leaves_out_what_it_cannot_say() {
        let subscription = ConsumerProtocolSubscription {
            topics: vec!["t".into()],
            generation_id: 7,
            rack_id: Some("r".into()),
            ..ConsumerProtocolSubscription::default()
        };
        let again = |version| {
            ConsumerProtocolSubscription::from_bytes(subscription.to_bytes(version).unwrap()).unwrap()
        };
        assert_eq!(again(3), subscription);
        assert_eq!((again(0).generation_id, again(0).rack_id), (-1, None));
    }
}
