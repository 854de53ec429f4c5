//! Values: `OffsetCommitValue` and `GroupMetadataValue`.
//!
//! Read in versions 0 to 4. Written as Kafka 4.3 writes them: offsets in version 4 with the topic id as a tagged field,
//! or in version 1 where the commit said how long to keep it, for no other version can; groups in version 3.

use ottla_types::{LeaderEpoch, Offset, TopicId};

use super::RecordError;
use super::bytes::{Reader, put_bytes, put_compact_string, put_nullable_string, put_string, put_uvarint};

/// The newest version of both values.
const NEWEST: i16 = 4;
/// From this version on, strings and arrays are compact and tagged fields may follow.
const FIRST_FLEXIBLE: i16 = 4;
const TOPIC_ID_TAG: u32 = 0;

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetValue {
    /// The offset of the next record to read.
    pub offset: Offset,
    /// The epoch of the last record read, or [`LeaderEpoch::NONE`].
    pub leader_epoch: LeaderEpoch,
    /// What the consumer wants to keep with it.
    pub metadata: Box<str>,
    /// When it was committed.
    pub commit_timestamp_ms: i64,
    /// When it expires, if the commit said so.
    pub expire_timestamp_ms: Option<i64>,
    /// The topic's id, or [`TopicId::ZERO`].
    pub topic_id: TopicId,
}

/// A classic group between rebalances, borrowed from the bytes or from the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupValue<'a> {
    /// The kind of protocols; empty for a group that never had a member.
    pub protocol_type: &'a str,
    /// The generation.
    pub generation: i32,
    /// The chosen protocol.
    pub protocol: Option<&'a str>,
    /// The member that assigns.
    pub leader: Option<&'a str>,
    /// When the group came into its state.
    pub current_state_timestamp_ms: Option<i64>,
    /// The members.
    pub members: Vec<MemberValue<'a>>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberValue<'a> {
    /// Its id.
    pub member_id: &'a str,
    /// Its instance id.
    pub instance_id: Option<&'a str>,
    /// The client id that it joined with.
    pub client_id: &'a str,
    /// The host that it joined from.
    pub client_host: &'a str,
    /// How long it may take to rejoin.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// Its metadata under the chosen protocol.
    pub subscription: &'a [u8],
    /// Its assignment.
    pub assignment: &'a [u8],
}

fn version(reader: &mut Reader<'_>, what: &'static str) -> Result<i16, RecordError> {
    match reader.i16("version")? {
        version @ 0..=NEWEST => Ok(version),
        version => Err(RecordError::Version { what, version, newest: NEWEST }),
    }
}

/// -1 stands for "none" in timestamps.
fn timestamp(value: i64) -> Option<i64> {
    (value != -1).then_some(value)
}

impl OffsetValue {
    /// Whether it was committed for the topic with this id, and not for another one of the same name: as far as both ids are
    /// known.
    #[must_use]
    pub fn is_for(&self, topic_id: TopicId) -> bool {
        self.topic_id == topic_id || self.topic_id.is_zero() || topic_id.is_zero()
    }

    /// Reads a value.
    ///
    /// # Errors
    /// It ends early, has an unknown version, or holds an invalid field.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        const WHAT: &str = "value of an offset";
        let mut reader = Reader::new(bytes, WHAT);
        let version = version(&mut reader, WHAT)?;
        let flexible = version >= FIRST_FLEXIBLE;
        let offset = reader.i64("offset")?;
        let leader_epoch = if version >= 3 { reader.i32("leaderEpoch")? } else { LeaderEpoch::NONE.0 };
        let metadata = reader.string("metadata", flexible)?;
        let commit_timestamp_ms = reader.i64("commitTimestamp")?;
        let expire_timestamp_ms = if version == 1 { timestamp(reader.i64("expireTimestamp")?) } else { None };
        let mut topic_id = TopicId::ZERO;
        if flexible {
            reader.tags(|tag, field| {
                if tag == TOPIC_ID_TAG {
                    topic_id = TopicId(field.array("topicId")?);
                }
                Ok(())
            })?;
        }
        Ok(Self {
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(leader_epoch),
            metadata: metadata.into(),
            commit_timestamp_ms,
            expire_timestamp_ms,
            topic_id,
        })
    }

    /// Writes the value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48 + self.metadata.len());
        if let Some(expire_timestamp_ms) = self.expire_timestamp_ms {
            out.extend_from_slice(&1_i16.to_be_bytes());
            out.extend_from_slice(&self.offset.0.to_be_bytes());
            put_string(&mut out, &self.metadata);
            out.extend_from_slice(&self.commit_timestamp_ms.to_be_bytes());
            out.extend_from_slice(&expire_timestamp_ms.to_be_bytes());
            return out;
        }
        out.extend_from_slice(&4_i16.to_be_bytes());
        out.extend_from_slice(&self.offset.0.to_be_bytes());
        out.extend_from_slice(&self.leader_epoch.0.to_be_bytes());
        put_compact_string(&mut out, &self.metadata);
        out.extend_from_slice(&self.commit_timestamp_ms.to_be_bytes());
        if self.topic_id.is_zero() {
            put_uvarint(&mut out, 0);
        } else {
            put_uvarint(&mut out, 1);
            put_uvarint(&mut out, TOPIC_ID_TAG);
            put_uvarint(&mut out, 16);
            out.extend_from_slice(&self.topic_id.0);
        }
        out
    }
}

impl<'a> GroupValue<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// It ends early, has an unknown version, or holds an invalid field.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RecordError> {
        const WHAT: &str = "value of a group";
        let mut reader = Reader::new(bytes, WHAT);
        let version = version(&mut reader, WHAT)?;
        let flexible = version >= FIRST_FLEXIBLE;
        let protocol_type = reader.string("protocolType", flexible)?;
        let generation = reader.i32("generation")?;
        let protocol = reader.nullable_string("protocol", flexible)?;
        let leader = reader.nullable_string("leader", flexible)?;
        let current_state_timestamp_ms =
            if version >= 2 { timestamp(reader.i64("currentStateTimestamp")?) } else { None };
        let count = reader.count("members", flexible)?;
        // Grows as members are read: the count alone is no reason to allocate.
        let mut members = Vec::new();
        for _ in 0..count {
            members.push(MemberValue::decode(&mut reader, version)?);
        }
        if flexible {
            reader.tags(|_, _| Ok(()))?;
        }
        Ok(Self { protocol_type, generation, protocol, leader, current_state_timestamp_ms, members })
    }

    /// Writes the value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.members.len() * 256);
        out.extend_from_slice(&3_i16.to_be_bytes());
        put_string(&mut out, self.protocol_type);
        out.extend_from_slice(&self.generation.to_be_bytes());
        put_nullable_string(&mut out, self.protocol);
        put_nullable_string(&mut out, self.leader);
        out.extend_from_slice(&self.current_state_timestamp_ms.unwrap_or(-1).to_be_bytes());
        out.extend_from_slice(&i32::try_from(self.members.len()).unwrap_or(i32::MAX).to_be_bytes());
        for member in &self.members {
            member.encode(&mut out);
        }
        out
    }
}

impl<'a> MemberValue<'a> {
    fn decode(reader: &mut Reader<'a>, version: i16) -> Result<Self, RecordError> {
        let flexible = version >= FIRST_FLEXIBLE;
        let member_id = reader.string("memberId", flexible)?;
        let instance_id =
            if version >= 3 { reader.nullable_string("groupInstanceId", flexible)? } else { None };
        let client_id = reader.string("clientId", flexible)?;
        let client_host = reader.string("clientHost", flexible)?;
        let rebalance_timeout_ms = if version >= 1 { reader.i32("rebalanceTimeout")? } else { -1 };
        let session_timeout_ms = reader.i32("sessionTimeout")?;
        let subscription = reader.bytes("subscription", flexible)?;
        let assignment = reader.bytes("assignment", flexible)?;
        if flexible {
            reader.tags(|_, _| Ok(()))?;
        }
        Ok(Self {
            member_id,
            instance_id,
            client_id,
            client_host,
            // Version 0 of JoinGroup had one timeout for both.
            rebalance_timeout_ms: if rebalance_timeout_ms == -1 {
                session_timeout_ms
            } else {
                rebalance_timeout_ms
            },
            session_timeout_ms,
            subscription,
            assignment,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.member_id);
        put_nullable_string(out, self.instance_id);
        put_string(out, self.client_id);
        put_string(out, self.client_host);
        out.extend_from_slice(&self.rebalance_timeout_ms.to_be_bytes());
        out.extend_from_slice(&self.session_timeout_ms.to_be_bytes());
        put_bytes(out, self.subscription);
        put_bytes(out, self.assignment);
    }
}
