//! Random messages of every version, in bytes: ours and the crate `kafka-protocol` read them and write the same bytes.
//!
//! The bytes are made by `support` from the schemas, and whether those are right is for `cargo xtask wire-check` to say. So
//! three implementations have to agree: the interpreter of the schemas, the derive, and a code generator that others
//! wrote. Where theirs is behind or wrong, [`KNOWN`] says why.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::{collections::BTreeMap, ops::RangeInclusive};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, ConsumerProtocolAssignment, ConsumerProtocolSubscription, DefaultPrincipalData, RequestKind,
    ResponseKind,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use ottla_wire::schema::{Direction, MessageSchema};

use support::{Filling, Samples, every_version};

/// How many messages of each version.
const EACH: u64 = 1000;

/// Each message and version with random bytes of it.
fn samples() -> impl Iterator<Item = (&'static ottla_wire::Codec, i16, u64, Vec<u8>)> {
    every_version().flat_map(|(codec, version)| {
        (0..EACH).map(move |seed| {
            let filling = if seed == 0 { Filling::Full } else { Filling::Any };
            let sample = Samples::new(seed, filling).message(codec.schema, version);
            (codec, version, seed, sample.bytes)
        })
    })
}

#[test]
fn what_the_schema_says_is_read_and_written_again_to_the_same_bytes() {
    for (codec, version, seed, bytes) in samples() {
        let what = format!("{} {version}, seed {seed}", codec.schema.name);
        let recoded = (codec.recode)(version, Bytes::from(bytes.clone()));
        assert_eq!(recoded.unwrap_or_else(|error| panic!("{what}: {error}: {bytes:02x?}")), bytes, "{what}");
    }
}

#[test]
fn kafka_protocol_reads_and_writes_the_same_bytes_except_where_it_is_known_not_to() {
    let mut disagreements = BTreeMap::new();
    let mut compared = 0;
    for (codec, version, seed, bytes) in samples().filter(|(codec, ..)| !codec.schema.is_private()) {
        let complaint = match theirs(codec.schema, version, bytes.clone()) {
            Ok(theirs) if theirs == bytes => None,
            Ok(theirs) => Some(format!("seed {seed}: ours {bytes:02x?}, theirs {theirs:02x?}")),
            Err(error) => Some(format!("seed {seed}: {error}")),
        };
        if let Some(complaint) = complaint {
            disagreements.entry((codec.schema.name, version)).or_insert(complaint);
        }
        compared += 1;
    }
    for (name, versions, reason) in KNOWN {
        for version in versions {
            // An entry that is not needed any more hides what may come to be wrong there.
            let known = disagreements.remove(&(name, version));
            assert!(known.is_some(), "{name} {version} agrees: no longer except it ({reason})");
        }
    }
    assert_eq!(disagreements, BTreeMap::new());
    assert!(compared > 5000, "{compared} comparisons only");
}

/// Where `kafka-protocol` 0.18 is not asked, and why.
const KNOWN: [(&str, RangeInclusive<i16>, &str); 10] = [
    ("AddRaftVoterRequest", 1..=1, BEHIND),
    ("AddRaftVoterResponse", 1..=1, BEHIND),
    ("BrokerHeartbeatRequest", 2..=2, BEHIND),
    ("BrokerHeartbeatResponse", 2..=2, BEHIND),
    ("DescribeLogDirsRequest", 5..=5, BEHIND),
    ("DescribeLogDirsResponse", 5..=5, BEHIND),
    ("ListOffsetsRequest", 11..=11, BEHIND),
    ("ListOffsetsResponse", 11..=11, BEHIND),
    ("OffsetCommitRequest", 10..=10, BEHIND),
    ("OffsetFetchRequest", 10..=10, BEHIND),
];

/// The vectors in `golden/` stand in for it there.
const BEHIND: &str = "made from definitions older than Apache Kafka 4.3's";

/// The bytes after `kafka-protocol` has read and written them.
fn theirs(schema: &MessageSchema, version: i16, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let key = || ApiKey::try_from(schema.api_key).map_err(|()| "has no such API".to_owned());
    let mut bytes = Bytes::from(bytes);
    let mut written = BytesMut::new();
    match schema.direction {
        Direction::Request => {
            let request =
                RequestKind::decode(key()?, &mut bytes, version).map_err(|error| format!("{error:#}"))?;
            request.encode(&mut written, version).map_err(|error| format!("{error:#}"))?;
        }
        Direction::Response => {
            let response =
                ResponseKind::decode(key()?, &mut bytes, version).map_err(|error| format!("{error:#}"))?;
            response.encode(&mut written, version).map_err(|error| format!("{error:#}"))?;
        }
        Direction::Neither if schema.name == "ConsumerProtocolSubscription" => {
            recode::<ConsumerProtocolSubscription>(&mut bytes, &mut written, version)?;
        }
        Direction::Neither if schema.name == "DefaultPrincipalData" => {
            recode::<DefaultPrincipalData>(&mut bytes, &mut written, version)?;
        }
        Direction::Neither => recode::<ConsumerProtocolAssignment>(&mut bytes, &mut written, version)?,
    }
    if !bytes.is_empty() {
        return Err(format!("leaves {} bytes", bytes.len()));
    }
    Ok(written.to_vec())
}

fn recode<M: Decodable + Encodable>(
    bytes: &mut Bytes,
    written: &mut BytesMut,
    version: i16,
) -> Result<(), String> {
    let message = M::decode(bytes, version).map_err(|error| format!("{error:#}"))?;
    message.encode(written, version).map_err(|error| format!("{error:#}"))
}
