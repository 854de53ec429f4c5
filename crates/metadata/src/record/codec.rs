//! The bytes of a metadata record.
//!
//! ```text
//! record  := type: u8, version: u8, fields
//! u8, u16, u32, u64, i16, i32, i64 : big endian
//! bool    := u8, 0 or 1
//! id      := 16 bytes
//! string  := length: u16, UTF-8
//! list<T> := count: u32, T...
//! option<T> := bool, T if it is true
//! ```
//!
//! The fields of each type at each version are written down at its encoder below. A version is never changed: fields
//! are added with a new version, and every version stays readable. A reader that meets a type or version that it does
//! not know stops with an error, since skipping it would give it another image than its peers have.
//!
//! Decoding trusts nothing: it allocates no more than a constant times the bytes that are there, and never panics.

use std::sync::Arc;

use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, ProducerId, TopicId, TopicName};

use super::{
    Assignment, BrokerFencing, Config, ConfigResource, Endpoint, FeatureLevel, IncarnationId, Partition,
    PartitionChange, PartitionEpoch, PartitionState, ProducerIdsBlock, Record, RegisterBroker, RemoveTopic,
    SecurityProtocol, Topic,
};

/// Why bytes are not a metadata record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A type of a later version of this program, or garbage.
    #[error("unknown metadata record type {0}: was it written by a later version of this program?")]
    UnknownType(u8),
    /// A version of a later version of this program, or garbage.
    #[error(
        "metadata record {record} has version {version}, and {newest} is the newest known: was it written by a later \
         version of this program?"
    )]
    UnknownVersion {
        /// The record's type.
        record: &'static str,
        /// Its version.
        version: u8,
        /// The newest one known.
        newest: u8,
    },
    /// Fewer bytes than the fields take.
    #[error("metadata record {record} ends within its field {field}")]
    Truncated {
        /// The record's type.
        record: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A field with a value that it cannot have.
    #[error("metadata record {record} has an invalid field {field}")]
    Invalid {
        /// The record's type.
        record: &'static str,
        /// The field.
        field: &'static str,
    },
    /// More bytes than the fields take.
    #[error("metadata record {record} is followed by {bytes} bytes that do not belong to it")]
    Trailing {
        /// The record's type.
        record: &'static str,
        /// How many.
        bytes: usize,
    },
    /// Nothing at all.
    #[error("a metadata record has no type and version")]
    Empty,
}

const REGISTER_BROKER: u8 = 1;
const BROKER_FENCING: u8 = 2;
const TOPIC: u8 = 3;
const PARTITION: u8 = 4;
const PARTITION_CHANGE: u8 = 5;
const REMOVE_TOPIC: u8 = 6;
const CONFIG: u8 = 7;
const PRODUCER_IDS_BLOCK: u8 = 8;
const FEATURE_LEVEL: u8 = 9;

/// All types are at their first version.
const NEWEST: u8 = 0;

impl Record {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        match self {
            Self::RegisterBroker(r) => encode_register_broker(r, &mut w),
            Self::BrokerFencing(r) => {
                // v0: id i32, epoch i64, fenced bool
                w.head(BROKER_FENCING);
                w.i32(r.id.0);
                w.i64(r.epoch.0);
                w.bool(r.fenced);
            }
            Self::Topic(r) => {
                // v0: name string, id
                w.head(TOPIC);
                w.string(r.name.as_str());
                w.id(&r.id.0);
            }
            Self::Partition(r) => encode_partition(r, &mut w),
            Self::PartitionChange(r) => encode_partition_change(r, &mut w),
            Self::RemoveTopic(r) => {
                // v0: id
                w.head(REMOVE_TOPIC);
                w.id(&r.id.0);
            }
            Self::Config(r) => encode_config(r, &mut w),
            Self::ProducerIdsBlock(r) => {
                // v0: broker i32, epoch i64, next i64
                w.head(PRODUCER_IDS_BLOCK);
                w.i32(r.broker.0);
                w.i64(r.epoch.0);
                w.i64(r.next.0);
            }
            Self::FeatureLevel(r) => {
                // v0: name string, level i16
                w.head(FEATURE_LEVEL);
                w.string(&r.name);
                w.i16(r.level);
            }
        }
    }

    /// The record's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> bytes::Bytes {
        let mut out = Vec::with_capacity(64);
        self.encode(&mut out);
        out.into()
    }

    /// Reads a record that takes up all of `bytes`.
    ///
    /// # Errors
    /// Names the type and the field.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let [kind, version, fields @ ..] = bytes else { return Err(DecodeError::Empty) };
        let record = type_name(*kind).ok_or(DecodeError::UnknownType(*kind))?;
        if *version > NEWEST {
            return Err(DecodeError::UnknownVersion { record, version: *version, newest: NEWEST });
        }
        let mut r = Reader { rest: fields, record };
        let decoded = match *kind {
            REGISTER_BROKER => Self::RegisterBroker(decode_register_broker(&mut r)?),
            BROKER_FENCING => Self::BrokerFencing(BrokerFencing {
                id: BrokerId(r.i32("id")?),
                epoch: BrokerEpoch(r.i64("epoch")?),
                fenced: r.bool("fenced")?,
            }),
            TOPIC => Self::Topic(Topic { name: r.topic_name("name")?, id: TopicId(r.id("id")?) }),
            PARTITION => Self::Partition(decode_partition(&mut r)?),
            PARTITION_CHANGE => Self::PartitionChange(decode_partition_change(&mut r)?),
            REMOVE_TOPIC => Self::RemoveTopic(RemoveTopic { id: TopicId(r.id("id")?) }),
            CONFIG => Self::Config(decode_config(&mut r)?),
            PRODUCER_IDS_BLOCK => Self::ProducerIdsBlock(ProducerIdsBlock {
                broker: BrokerId(r.i32("broker")?),
                epoch: BrokerEpoch(r.i64("epoch")?),
                next: ProducerId(r.i64("next")?),
            }),
            FEATURE_LEVEL => {
                Self::FeatureLevel(FeatureLevel { name: r.string("name")?.into(), level: r.i16("level")? })
            }
            _ => return Err(DecodeError::UnknownType(*kind)),
        };
        if !r.rest.is_empty() {
            return Err(DecodeError::Trailing { record, bytes: r.rest.len() });
        }
        Ok(decoded)
    }
}

fn type_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        REGISTER_BROKER => "RegisterBroker",
        BROKER_FENCING => "BrokerFencing",
        TOPIC => "Topic",
        PARTITION => "Partition",
        PARTITION_CHANGE => "PartitionChange",
        REMOVE_TOPIC => "RemoveTopic",
        CONFIG => "Config",
        PRODUCER_IDS_BLOCK => "ProducerIdsBlock",
        FEATURE_LEVEL => "FeatureLevel",
        _ => return None,
    })
}

/// v0: id i32, epoch i64, incarnation id, endpoints list<listener string, host string, port u16, protocol i16>,
/// rack option<string>, directories list<id>
fn encode_register_broker(r: &RegisterBroker, w: &mut Writer<'_>) {
    w.head(REGISTER_BROKER);
    w.i32(r.id.0);
    w.i64(r.epoch.0);
    w.id(&r.incarnation.0);
    w.count(r.endpoints.len());
    for endpoint in &r.endpoints {
        w.string(&endpoint.listener);
        w.string(&endpoint.host);
        w.u16(endpoint.port);
        w.i16(endpoint.security_protocol as i16);
    }
    w.option(r.rack.as_deref(), Writer::string);
    w.directories(&r.directories);
}

fn decode_register_broker(r: &mut Reader<'_>) -> Result<RegisterBroker, DecodeError> {
    Ok(RegisterBroker {
        id: BrokerId(r.i32("id")?),
        epoch: BrokerEpoch(r.i64("epoch")?),
        incarnation: IncarnationId(r.id("incarnation")?),
        endpoints: r.list("endpoints", 8, |r| {
            Ok(Endpoint {
                listener: r.string("endpoints.listener")?.into(),
                host: r.string("endpoints.host")?.into(),
                port: u16::from_be_bytes(r.array("endpoints.port")?),
                security_protocol: match r.i16("endpoints.security_protocol")? {
                    0 => SecurityProtocol::Plaintext,
                    1 => SecurityProtocol::Ssl,
                    2 => SecurityProtocol::SaslPlaintext,
                    3 => SecurityProtocol::SaslSsl,
                    _ => return Err(r.invalid("endpoints.security_protocol")),
                },
            })
        })?,
        rack: r.option("rack", |r| Ok(r.string("rack")?.into()))?,
        directories: r.directories("directories")?,
    })
}

/// v0: topic id, index i32, replicas list<i32>, directories list<id>, isr list<i32>, elr list<i32>,
/// leader option<i32>, leader_epoch i32, partition_epoch i32
fn encode_partition(r: &Partition, w: &mut Writer<'_>) {
    w.head(PARTITION);
    w.id(&r.topic.0);
    w.i32(r.index);
    w.brokers(&r.state.replicas);
    w.directories(&r.state.directories);
    w.brokers(&r.state.isr);
    w.brokers(&r.state.elr);
    w.option(r.state.leader, |w, leader| w.i32(leader.0));
    w.i32(r.state.leader_epoch.0);
    w.i32(r.state.partition_epoch.0);
}

fn decode_partition(r: &mut Reader<'_>) -> Result<Partition, DecodeError> {
    let (topic, index) = (TopicId(r.id("topic")?), r.index("index")?);
    let replicas = r.brokers("replicas")?;
    let directories = r.directories("directories")?;
    if directories.len() != replicas.len() {
        return Err(r.invalid("directories"));
    }
    let isr = r.brokers("isr")?;
    let state = PartitionState {
        isr: if isr == replicas { replicas.clone() } else { isr },
        replicas,
        directories: directories.into(),
        elr: r.brokers("elr")?,
        leader: r.option("leader", |r| Ok(BrokerId(r.i32("leader")?)))?,
        leader_epoch: LeaderEpoch(r.i32("leader_epoch")?),
        partition_epoch: PartitionEpoch(r.i32("partition_epoch")?),
    };
    Ok(Partition { topic, index, state })
}

/// v0: topic id, index i32, assignment option<replicas list<i32>, directories list<id>>, isr option<list<i32>>,
/// elr option<list<i32>>, leader option<option<i32>>
fn encode_partition_change(r: &PartitionChange, w: &mut Writer<'_>) {
    w.head(PARTITION_CHANGE);
    w.id(&r.topic.0);
    w.i32(r.index);
    w.option(r.assignment.as_ref(), |w, assignment| {
        w.brokers(&assignment.replicas);
        w.directories(&assignment.directories);
    });
    w.option(r.isr.as_deref(), Writer::brokers);
    w.option(r.elr.as_deref(), Writer::brokers);
    w.option(r.leader, |w, leader| w.option(leader, |w, leader| w.i32(leader.0)));
}

fn decode_partition_change(r: &mut Reader<'_>) -> Result<PartitionChange, DecodeError> {
    Ok(PartitionChange {
        topic: TopicId(r.id("topic")?),
        index: r.index("index")?,
        assignment: r.option("replicas", |r| {
            let replicas = r.brokers("replicas")?;
            let directories = r.directories("directories")?;
            if directories.len() != replicas.len() {
                return Err(r.invalid("directories"));
            }
            Ok(Assignment { replicas, directories: directories.into() })
        })?,
        isr: r.option("isr", |r| r.brokers("isr"))?,
        elr: r.option("elr", |r| r.brokers("elr"))?,
        leader: r.option("leader", |r| r.option("leader", |r| Ok(BrokerId(r.i32("leader")?))))?,
    })
}

const ON_TOPIC: u8 = 2;
const ON_BROKER: u8 = 4;
const ON_CLUSTER_DEFAULT: u8 = 5;

/// v0: resource u8 (2 topic, 4 broker, 5 all brokers) followed by the topic's name string or the broker's id i32,
/// key string, value option<string with a u32 length>
fn encode_config(r: &Config, w: &mut Writer<'_>) {
    w.head(CONFIG);
    match &r.resource {
        ConfigResource::Topic(name) => {
            w.u8(ON_TOPIC);
            w.string(name.as_str());
        }
        ConfigResource::Broker(id) => {
            w.u8(ON_BROKER);
            w.i32(id.0);
        }
        ConfigResource::ClusterDefault => w.u8(ON_CLUSTER_DEFAULT),
    }
    w.string(&r.key);
    w.option(r.value.as_deref(), Writer::text);
}

fn decode_config(r: &mut Reader<'_>) -> Result<Config, DecodeError> {
    let resource = match r.u8("resource")? {
        ON_TOPIC => ConfigResource::Topic(r.topic_name("resource")?),
        ON_BROKER => ConfigResource::Broker(BrokerId(r.i32("resource")?)),
        ON_CLUSTER_DEFAULT => ConfigResource::ClusterDefault,
        _ => return Err(r.invalid("resource")),
    };
    Ok(Config {
        resource,
        key: r.string("key")?.into(),
        value: r.option("value", |r| Ok(r.text("value")?.into()))?,
    })
}

/// Writes fields. Lengths were checked where the values came in; [`MAX_STRING`] and the size of a log's batch bound them.
struct Writer<'a>(&'a mut Vec<u8>);

/// The longest text with a `u16` length.
pub const MAX_STRING: usize = u16::MAX as usize;

impl Writer<'_> {
    fn head(&mut self, kind: u8) {
        self.0.extend([kind, NEWEST]);
    }

    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn bool(&mut self, value: bool) {
        self.0.push(value.into());
    }

    fn u16(&mut self, value: u16) {
        self.0.extend(value.to_be_bytes());
    }

    fn i16(&mut self, value: i16) {
        self.0.extend(value.to_be_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.0.extend(value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.0.extend(value.to_be_bytes());
    }

    fn id(&mut self, id: &[u8; 16]) {
        self.0.extend(id);
    }

    fn count(&mut self, count: usize) {
        let count = u32::try_from(count);
        assert!(count.is_ok(), "a metadata list with more than 2^32 elements");
        self.0.extend(count.unwrap_or(0).to_be_bytes());
    }

    fn string(&mut self, text: &str) {
        let length = u16::try_from(text.len());
        assert!(length.is_ok(), "a metadata string of {} bytes: its length was not checked", text.len());
        self.u16(length.unwrap_or(0));
        self.0.extend(text.as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend(text.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn brokers(&mut self, brokers: &[BrokerId]) {
        self.count(brokers.len());
        for broker in brokers {
            self.i32(broker.0);
        }
    }

    fn directories(&mut self, directories: &[DirectoryId]) {
        self.count(directories.len());
        for directory in directories {
            self.id(&directory.0);
        }
    }
}

/// Reads fields, and knows what it is reading for the error's sake.
struct Reader<'a> {
    rest: &'a [u8],
    record: &'static str,
}

impl<'a> Reader<'a> {
    fn truncated(&self, field: &'static str) -> DecodeError {
        DecodeError::Truncated { record: self.record, field }
    }

    fn invalid(&self, field: &'static str) -> DecodeError {
        DecodeError::Invalid { record: self.record, field }
    }

    fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.truncated(field))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| self.truncated(field))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array(field).map(u8::from_be_bytes)
    }

    fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.invalid(field)),
        }
    }

    fn i16(&mut self, field: &'static str) -> Result<i16, DecodeError> {
        self.array(field).map(i16::from_be_bytes)
    }

    fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.array(field).map(i32::from_be_bytes)
    }

    fn i64(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        self.array(field).map(i64::from_be_bytes)
    }

    /// A partition's index.
    fn index(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        let index = self.i32(field)?;
        if index < 0 { Err(self.invalid(field)) } else { Ok(index) }
    }

    fn id(&mut self, field: &'static str) -> Result<[u8; 16], DecodeError> {
        self.array(field)
    }

    fn utf8(&mut self, len: usize, field: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.take(len, field)?).map_err(|_| self.invalid(field))
    }

    fn string(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let len = u16::from_be_bytes(self.array(field)?);
        self.utf8(len.into(), field)
    }

    fn text(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let len = u32::from_be_bytes(self.array(field)?);
        self.utf8(usize::try_from(len).unwrap_or(usize::MAX), field)
    }

    fn topic_name(&mut self, field: &'static str) -> Result<TopicName, DecodeError> {
        TopicName::new(self.string(field)?).map_err(|_| self.invalid(field))
    }

    fn option<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.bool(field)? { read(self).map(Some) } else { Ok(None) }
    }

    /// A list whose elements take at least `min_size` bytes each: a count that the bytes cannot hold is refused
    /// before anything is allocated for it.
    fn list<T>(
        &mut self,
        field: &'static str,
        min_size: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = usize::try_from(u32::from_be_bytes(self.array(field)?)).unwrap_or(usize::MAX);
        if count > self.rest.len() / min_size {
            return Err(self.truncated(field));
        }
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }

    fn brokers(&mut self, field: &'static str) -> Result<Arc<[BrokerId]>, DecodeError> {
        let list = self.list(field, 4, |r| Ok(BrokerId(r.i32(field)?)))?;
        Ok(if list.is_empty() { Arc::default() } else { list.into() })
    }

    fn directories(&mut self, field: &'static str) -> Result<Vec<DirectoryId>, DecodeError> {
        self.list(field, 16, |r| Ok(DirectoryId(r.id(field)?)))
    }
}
