//! The primitives that metadata records are made of. A reader refuses what the bytes cannot hold before it allocates.

use std::sync::Arc;

use ottla_types::{BrokerId, DirectoryId, TopicName};

use super::DecodeError;

/// Writes fields. Lengths were checked where the values came in; [`MAX_STRING`] and the size of a log's batch bound them.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

/// The longest text with a `u16` length.
pub const MAX_STRING: usize = u16::MAX as usize;

impl Writer<'_> {
    pub(super) fn head(&mut self, kind: u8, version: u8) {
        self.0.extend([kind, version]);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.0.push(value.into());
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn i16(&mut self, value: i16) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn id(&mut self, id: &[u8; 16]) {
        self.0.extend(id);
    }

    pub(super) fn count(&mut self, count: usize) {
        let count = u32::try_from(count);
        assert!(count.is_ok(), "a metadata list with more than 2^32 elements");
        self.0.extend(count.unwrap_or(0).to_be_bytes());
    }

    pub(super) fn string(&mut self, text: &str) {
        let length = u16::try_from(text.len());
        assert!(length.is_ok(), "a metadata string of {} bytes: its length was not checked", text.len());
        self.u16(length.unwrap_or(0));
        self.0.extend(text.as_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend(text.as_bytes());
    }

    pub(super) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(super) fn brokers(&mut self, brokers: &[BrokerId]) {
        self.count(brokers.len());
        for broker in brokers {
            self.i32(broker.0);
        }
    }

    pub(super) fn directories(&mut self, directories: &[DirectoryId]) {
        self.count(directories.len());
        for directory in directories {
            self.id(&directory.0);
        }
    }
}

/// Reads fields, and knows what it is reading for the error's sake.
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
    pub(super) record: &'static str,
    pub(super) version: u8,
}

impl<'a> Reader<'a> {
    pub(super) fn truncated(&self, field: &'static str) -> DecodeError {
        DecodeError::Truncated { record: self.record, field }
    }

    pub(super) fn invalid(&self, field: &'static str) -> DecodeError {
        DecodeError::Invalid { record: self.record, field }
    }

    pub(super) fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.truncated(field))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| self.truncated(field))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array(field).map(u8::from_be_bytes)
    }

    pub(super) fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.invalid(field)),
        }
    }

    pub(super) fn i16(&mut self, field: &'static str) -> Result<i16, DecodeError> {
        self.array(field).map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.array(field).map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        self.array(field).map(i64::from_be_bytes)
    }

    /// A partition's index.
    pub(super) fn index(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        let index = self.i32(field)?;
        if index < 0 { Err(self.invalid(field)) } else { Ok(index) }
    }

    pub(super) fn id(&mut self, field: &'static str) -> Result<[u8; 16], DecodeError> {
        self.array(field)
    }

    pub(super) fn utf8(&mut self, len: usize, field: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.take(len, field)?).map_err(|_| self.invalid(field))
    }

    pub(super) fn string(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let len = u16::from_be_bytes(self.array(field)?);
        self.utf8(len.into(), field)
    }

    pub(super) fn text(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let len = u32::from_be_bytes(self.array(field)?);
        self.utf8(usize::try_from(len).unwrap_or(usize::MAX), field)
    }

    pub(super) fn topic_name(&mut self, field: &'static str) -> Result<TopicName, DecodeError> {
        TopicName::new(self.string(field)?).map_err(|_| self.invalid(field))
    }

    pub(super) fn option<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.bool(field)? { read(self).map(Some) } else { Ok(None) }
    }

    /// A list whose elements take at least `min_size` bytes each: a count that the bytes cannot hold is refused
    /// before anything is allocated for it.
    pub(super) fn list<T>(
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

    pub(super) fn broker(&mut self, field: &'static str) -> Result<BrokerId, DecodeError> {
        self.i32(field).map(BrokerId)
    }

    pub(super) fn brokers(&mut self, field: &'static str) -> Result<Arc<[BrokerId]>, DecodeError> {
        let list = self.list(field, 4, |r| Ok(BrokerId(r.i32(field)?)))?;
        Ok(if list.is_empty() { Arc::default() } else { list.into() })
    }

    pub(super) fn directories(&mut self, field: &'static str) -> Result<Vec<DirectoryId>, DecodeError> {
        self.list(field, 16, |r| Ok(DirectoryId(r.id(field)?)))
    }
}
