//! The bytes of what is kept on disk and sent to peers: log ids, votes, entries, members.
//!
//! Numbers are big endian; a list is preceded by its count, bytes and text by their length. Decoding takes any bytes: what
//! it allocates is bounded by what is there, and what it returns is valid.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::vote::RaftLeaderId;
use ottla_types::{BrokerId, DirectoryId};

use super::types::{
    Batch, Entry, LeaderId, LogId, Membership, Payload, SnapshotMeta, StoredMembership, Vote, log_id, term_of,
};
use crate::quorum::{VoterEndpoint, VoterKey};

/// The highest term and index that are taken: counting on from them is safe.
const MAX_NUMBER: u64 = 1 << 62;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// They end too early.
    #[error("it ends too early")]
    Short,
    /// There are more than are asked for.
    #[error("{0} bytes are left over")]
    Trailing(usize),
    /// A part has a value that it never has.
    #[error("it has an impossible {0}")]
    Invalid(&'static str),
}

type Decoded<T> = Result<T, DecodeError>;

/// Takes bytes apart.
pub(crate) struct Decoder(Bytes);

impl Decoder {
    /// Decodes everything there is.
    pub(crate) fn all<T>(bytes: Bytes, decode: impl FnOnce(&mut Self) -> Decoded<T>) -> Decoded<T> {
        let mut decoder = Self(bytes);
        let value = decode(&mut decoder)?;
        decoder.end()?;
        Ok(value)
    }

    pub(crate) fn end(&self) -> Decoded<()> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.0.len())) }
    }

    pub(crate) fn u8(&mut self) -> Decoded<u8> {
        self.0.try_get_u8().map_err(|_| DecodeError::Short)
    }

    pub(crate) fn bool(&mut self) -> Decoded<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid("truth value")),
        }
    }

    pub(crate) fn u32(&mut self) -> Decoded<u32> {
        self.0.try_get_u32().map_err(|_| DecodeError::Short)
    }

    pub(crate) fn i64(&mut self) -> Decoded<i64> {
        self.0.try_get_i64().map_err(|_| DecodeError::Short)
    }

    /// A number that can be counted on from.
    pub(crate) fn number(&mut self, what: &'static str) -> Decoded<u64> {
        let number = self.0.try_get_u64().map_err(|_| DecodeError::Short)?;
        if number <= MAX_NUMBER { Ok(number) } else { Err(DecodeError::Invalid(what)) }
    }

    /// A count of things that take `least` bytes each.
    pub(crate) fn count(&mut self, least: usize) -> Decoded<usize> {
        let count = self.u32()? as usize;
        if count.checked_mul(least).is_some_and(|bytes| bytes <= self.0.len()) {
            Ok(count)
        } else {
            Err(DecodeError::Short)
        }
    }

    pub(crate) fn bytes(&mut self) -> Decoded<Bytes> {
        let len = self.count(1)?;
        Ok(self.0.split_to(len))
    }

    pub(crate) fn text(&mut self) -> Decoded<String> {
        let bytes = self.bytes()?;
        std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| DecodeError::Invalid("text"))
    }

    pub(crate) fn option<T>(&mut self, decode: impl FnOnce(&mut Self) -> Decoded<T>) -> Decoded<Option<T>> {
        if self.bool()? { decode(self).map(Some) } else { Ok(None) }
    }

    pub(crate) fn key(&mut self) -> Decoded<VoterKey> {
        let id = self.0.try_get_i32().map_err(|_| DecodeError::Short)?;
        let mut directory = [0; 16];
        self.0.try_copy_to_slice(&mut directory).map_err(|_| DecodeError::Short)?;
        if id < 0 {
            return Err(DecodeError::Invalid("node id"));
        }
        Ok(VoterKey { id: BrokerId(id), directory: DirectoryId(directory) })
    }

    pub(crate) fn log_id(&mut self) -> Decoded<LogId> {
        let term = self.number("term")?;
        Ok(log_id(term, self.number("index")?))
    }

    pub(crate) fn vote(&mut self) -> Decoded<Vote> {
        let term = self.number("term")?;
        let leader_id = LeaderId::new(term, self.key()?);
        Ok(Vote { leader_id, committed: self.bool()? })
    }

    fn endpoints(&mut self) -> Decoded<Vec<VoterEndpoint>> {
        let count = self.count(10)?;
        let mut endpoints = Vec::with_capacity(count);
        for _ in 0..count {
            let (listener, host) = (self.text()?, self.text()?);
            let port = self.0.try_get_u16().map_err(|_| DecodeError::Short)?;
            endpoints.push(VoterEndpoint { listener, host, port });
        }
        Ok(endpoints)
    }

    pub(crate) fn membership(&mut self) -> Decoded<Membership> {
        let mut configs = Vec::new();
        for _ in 0..self.count(4)? {
            let mut voters = BTreeSet::new();
            for _ in 0..self.count(20)? {
                voters.insert(self.key()?);
            }
            configs.push(voters);
        }
        let mut nodes = BTreeMap::new();
        for _ in 0..self.count(24)? {
            nodes.insert(self.key()?, self.endpoints()?);
        }
        if configs.is_empty() && nodes.is_empty() {
            return Ok(Membership::default());
        }
        Membership::new(configs, nodes).map_err(|_| DecodeError::Invalid("list of voters"))
    }

    fn payload(&mut self) -> Decoded<Payload> {
        match self.u8()? {
            0 => Ok(Payload::Blank),
            1 => {
                let count = self.count(4)?;
                let mut records = Vec::with_capacity(count);
                for _ in 0..count {
                    records.push(self.bytes()?);
                }
                Ok(Payload::Normal(Batch(Arc::from(records))))
            }
            2 => self.membership().map(Payload::Membership),
            _ => Err(DecodeError::Invalid("kind of entry")),
        }
    }

    pub(crate) fn entry(&mut self) -> Decoded<Entry> {
        Ok(Entry { log_id: self.log_id()?, payload: self.payload()? })
    }

    pub(crate) fn snapshot_meta(&mut self) -> Decoded<SnapshotMeta> {
        let last_log_id = self.option(Self::log_id)?;
        let membership_at = self.option(Self::log_id)?;
        let last_membership = StoredMembership::new(membership_at, self.membership()?);
        Ok(SnapshotMeta { last_log_id, last_membership })
    }
}

/// Puts bytes together.
pub(crate) struct Encoder(BytesMut);

impl Encoder {
    pub(crate) fn new() -> Self {
        Self(BytesMut::new())
    }

    pub(crate) fn finish(self) -> Bytes {
        self.0.freeze()
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.put_u8(value);
        self
    }

    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.put_u32(value);
        self
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.put_u64(value);
        self
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.0.put_i64(value);
        self
    }

    /// A count or length: nothing that is encoded comes near the largest.
    pub(crate) fn count(&mut self, value: usize) -> &mut Self {
        self.u32(value as u32)
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.count(value.len());
        self.0.put_slice(value);
        self
    }

    pub(crate) fn option<T>(&mut self, value: Option<&T>, put: impl FnOnce(&mut Self, &T)) -> &mut Self {
        self.bool(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
        self
    }

    pub(crate) fn key(&mut self, key: &VoterKey) -> &mut Self {
        self.0.put_i32(key.id.0);
        self.0.put_slice(&key.directory.0);
        self
    }

    pub(crate) fn log_id(&mut self, id: &LogId) -> &mut Self {
        self.u64(term_of(id)).u64(id.index)
    }

    pub(crate) fn maybe_log_id(&mut self, id: Option<&LogId>) -> &mut Self {
        self.option(id, |encoder, id| {
            encoder.log_id(id);
        })
    }

    pub(crate) fn vote(&mut self, vote: &Vote) -> &mut Self {
        self.u64(vote.leader_id.term).key(&vote.leader_id.voted_for).bool(vote.committed)
    }

    pub(crate) fn membership(&mut self, membership: &Membership) -> &mut Self {
        let configs = membership.get_joint_config();
        self.count(configs.len());
        for voters in configs {
            self.count(voters.len());
            for voter in voters {
                self.key(voter);
            }
        }
        self.count(membership.nodes().count());
        for (key, endpoints) in membership.nodes() {
            self.key(key).count(endpoints.len());
            for endpoint in endpoints {
                self.bytes(endpoint.listener.as_bytes()).bytes(endpoint.host.as_bytes());
                self.0.put_u16(endpoint.port);
            }
        }
        self
    }

    pub(crate) fn entry(&mut self, entry: &Entry) -> &mut Self {
        self.log_id(&entry.log_id);
        match &entry.payload {
            Payload::Blank => self.u8(0),
            Payload::Normal(batch) => {
                self.0.reserve(batch.len_bytes() + 5);
                self.u8(1).count(batch.0.len());
                for record in batch.0.iter() {
                    self.bytes(record);
                }
                self
            }
            Payload::Membership(membership) => self.u8(2).membership(membership),
        }
    }

    pub(crate) fn snapshot_meta(&mut self, meta: &SnapshotMeta) -> &mut Self {
        self.maybe_log_id(meta.last_log_id.as_ref())
            .maybe_log_id(meta.last_membership.log_id().as_ref())
            .membership(meta.last_membership.membership())
    }
}
