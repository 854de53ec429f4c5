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
//! The fields of each type at each version are written down at its encoder, here or in the modules below. A version is
//! never changed: fields are added with a new version, and every version stays readable. A record is written at the
//! lowest version that holds it, so that a node of an earlier version can read a log in which nothing new is used. A
//! reader that meets a type or version that it does not know stops with an error, since skipping it would give it
//! another image than its peers have.
//!
//! Decoding trusts nothing: it allocates no more than a constant times the bytes that are there, and never panics.

mod broker;
mod fields;
mod partition;

use ottla_types::{BrokerEpoch, ProducerId, TopicId};

pub use fields::MAX_STRING;
use fields::{Reader, Writer};

use super::{
    BrokerEpochs, BrokerFencing, ClearElr, Config, ConfigResource, FeatureLevel, ProducerIdsBlock, Record,
    RemoveTopic, Topic, UnregisterBroker,
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
const BROKER_CHANGE: u8 = 10;
const UNREGISTER_BROKER: u8 = 11;
const CLEAR_ELR: u8 = 12;
const BROKER_EPOCHS: u8 = 13;

/// The newest version of a type.
fn newest(kind: u8) -> u8 {
    match kind {
        REGISTER_BROKER | PARTITION | PARTITION_CHANGE => 1,
        _ => 0,
    }
}

impl Record {
    /// Appends the record's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        match self {
            Self::RegisterBroker(r) => broker::encode_register_broker(r, &mut w),
            Self::BrokerFencing(r) => {
                // v0: id i32, epoch i64, fenced bool
                w.head(BROKER_FENCING, 0);
                w.i32(r.id.0);
                w.i64(r.epoch.0);
                w.bool(r.fenced);
            }
            Self::Topic(r) => {
                // v0: name string, id
                w.head(TOPIC, 0);
                w.string(r.name.as_str());
                w.id(&r.id.0);
            }
            Self::Partition(r) => partition::encode_partition(r, &mut w),
            Self::PartitionChange(r) => partition::encode_partition_change(r, &mut w),
            Self::RemoveTopic(r) => {
                // v0: id
                w.head(REMOVE_TOPIC, 0);
                w.id(&r.id.0);
            }
            Self::Config(r) => encode_config(r, &mut w),
            Self::ProducerIdsBlock(r) => {
                // v0: broker i32, epoch i64, next i64
                w.head(PRODUCER_IDS_BLOCK, 0);
                w.i32(r.broker.0);
                w.i64(r.epoch.0);
                w.i64(r.next.0);
            }
            Self::FeatureLevel(r) => {
                // v0: name string, level i16
                w.head(FEATURE_LEVEL, 0);
                w.string(&r.name);
                w.i16(r.level);
            }
            Self::BrokerChange(r) => broker::encode_broker_change(r, &mut w),
            Self::UnregisterBroker(r) => {
                // v0: id i32, epoch i64
                w.head(UNREGISTER_BROKER, 0);
                w.i32(r.id.0);
                w.i64(r.epoch.0);
            }
            Self::ClearElr(r) => {
                // v0: topic id option<id>
                w.head(CLEAR_ELR, 0);
                w.option(r.topic, |w, topic| w.id(&topic.0));
            }
            Self::BrokerEpochs(r) => {
                // v0: next i64
                w.head(BROKER_EPOCHS, 0);
                w.i64(r.next.0);
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
        let newest = newest(*kind);
        if *version > newest {
            return Err(DecodeError::UnknownVersion { record, version: *version, newest });
        }
        let mut r = Reader { rest: fields, record, version: *version };
        let decoded = match *kind {
            REGISTER_BROKER => Self::RegisterBroker(broker::decode_register_broker(&mut r)?),
            BROKER_FENCING => Self::BrokerFencing(BrokerFencing {
                id: r.broker("id")?,
                epoch: BrokerEpoch(r.i64("epoch")?),
                fenced: r.bool("fenced")?,
            }),
            TOPIC => Self::Topic(Topic { name: r.topic_name("name")?, id: TopicId(r.id("id")?) }),
            PARTITION => Self::Partition(partition::decode_partition(&mut r)?),
            PARTITION_CHANGE => Self::PartitionChange(partition::decode_partition_change(&mut r)?),
            REMOVE_TOPIC => Self::RemoveTopic(RemoveTopic { id: TopicId(r.id("id")?) }),
            CONFIG => Self::Config(decode_config(&mut r)?),
            PRODUCER_IDS_BLOCK => Self::ProducerIdsBlock(ProducerIdsBlock {
                broker: r.broker("broker")?,
                epoch: BrokerEpoch(r.i64("epoch")?),
                next: ProducerId(r.i64("next")?),
            }),
            FEATURE_LEVEL => {
                Self::FeatureLevel(FeatureLevel { name: r.string("name")?.into(), level: r.i16("level")? })
            }
            BROKER_CHANGE => Self::BrokerChange(broker::decode_broker_change(&mut r)?),
            UNREGISTER_BROKER => Self::UnregisterBroker(UnregisterBroker {
                id: r.broker("id")?,
                epoch: BrokerEpoch(r.i64("epoch")?),
            }),
            CLEAR_ELR => {
                Self::ClearElr(ClearElr { topic: r.option("topic", |r| Ok(TopicId(r.id("topic")?)))? })
            }
            BROKER_EPOCHS => Self::BrokerEpochs(BrokerEpochs { next: BrokerEpoch(r.i64("next")?) }),
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
        BROKER_CHANGE => "BrokerChange",
        UNREGISTER_BROKER => "UnregisterBroker",
        CLEAR_ELR => "ClearElr",
        BROKER_EPOCHS => "BrokerEpochs",
        _ => return None,
    })
}

const ON_TOPIC: u8 = 2;
const ON_BROKER: u8 = 4;
const ON_CLUSTER_DEFAULT: u8 = 5;

/// v0: resource u8 (2 topic, 4 broker, 5 all brokers) followed by the topic's name string or the broker's id i32,
/// key string, value option<string with a u32 length>
fn encode_config(r: &Config, w: &mut Writer<'_>) {
    w.head(CONFIG, 0);
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
        ON_BROKER => ConfigResource::Broker(r.broker("resource")?),
        ON_CLUSTER_DEFAULT => ConfigResource::ClusterDefault,
        _ => return Err(r.invalid("resource")),
    };
    Ok(Config {
        resource,
        key: r.string("key")?.into(),
        value: r.option("value", |r| Ok(r.text("value")?.into()))?,
    })
}
