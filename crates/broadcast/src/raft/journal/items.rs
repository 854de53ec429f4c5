//! The items of a journal, and the log that they amount to.

use std::collections::VecDeque;

use bytes::Bytes;

use super::super::codec::{DecodeError, Decoder, Encoder};
use super::super::types::{Entry, LogId, Payload};

/// What the log holds, durable or on its way.
#[derive(Default)]
pub(super) struct State {
    pub(super) entries: VecDeque<Entry>,
    pub(super) purged: Option<LogId>,
    /// How many items were ever put into the journal.
    pub(super) items: i64,
    /// Bytes of the journal, and of it those that the entries take.
    pub(super) journal_bytes: usize,
    pub(super) live_bytes: usize,
}

/// An item of the journal.
pub(super) enum Item {
    Entry(Entry),
    TruncateAfter(Option<LogId>),
    Purge(LogId),
}

impl Item {
    pub(super) fn encode(&self) -> Bytes {
        let mut encoder = Encoder::new();
        match self {
            Self::Entry(entry) => encoder.u8(1).entry(entry),
            Self::TruncateAfter(last) => encoder.u8(2).maybe_log_id(last.as_ref()),
            Self::Purge(upto) => encoder.u8(3).log_id(upto),
        };
        encoder.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let decode = |decoder: &mut Decoder| match decoder.u8()? {
            1 => decoder.entry().map(Self::Entry),
            2 => decoder.option(Decoder::log_id).map(Self::TruncateAfter),
            3 => decoder.log_id().map(Self::Purge),
            _ => Err(DecodeError::Invalid("kind of item")),
        };
        Decoder::all(Bytes::copy_from_slice(bytes), decode).map_err(|error| error.to_string())
    }
}

impl State {
    pub(super) fn last(&self) -> Option<LogId> {
        self.entries.back().map(|entry| entry.log_id).or(self.purged)
    }

    /// The index of the first entry that is there, or would be the first.
    fn first_index(&self) -> u64 {
        match (self.entries.front(), self.purged) {
            (Some(entry), _) => entry.log_id.index,
            (None, Some(purged)) => purged.index + 1,
            (None, None) => 0,
        }
    }

    pub(super) fn replay(&mut self, item: Item, bytes: usize) -> Result<(), String> {
        self.items += 1;
        self.journal_bytes += bytes;
        match item {
            Item::Entry(entry) => {
                let expected = self.last().map_or(0, |last| last.index + 1);
                let found = entry.log_id.index;
                if found != expected {
                    return Err(format!("it is entry {found}, and {expected} was expected"));
                }
                self.live_bytes += size(&entry);
                self.entries.push_back(entry);
            }
            Item::TruncateAfter(last) => self.truncate_after(last),
            Item::Purge(upto) => self.purge(upto),
        }
        Ok(())
    }

    fn truncate_after(&mut self, last: Option<LogId>) {
        while let Some(entry) = self.entries.back()
            && last.is_none_or(|last| entry.log_id.index > last.index)
        {
            self.live_bytes = self.live_bytes.saturating_sub(size(entry));
            self.entries.pop_back();
        }
    }

    fn purge(&mut self, upto: LogId) {
        while let Some(entry) = self.entries.front()
            && entry.log_id.index <= upto.index
        {
            self.live_bytes = self.live_bytes.saturating_sub(size(entry));
            self.entries.pop_front();
        }
        if self.purged.is_none_or(|purged| purged.index < upto.index) {
            self.purged = Some(upto);
        }
    }

    pub(super) fn range(&self, from: u64, end: u64) -> impl Iterator<Item = &Entry> {
        let first = self.first_index();
        let skipped = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skipped).take_while(move |entry| entry.log_id.index < end)
    }
}

/// What an entry takes in the journal, about.
pub(super) fn size(entry: &Entry) -> usize {
    match &entry.payload {
        Payload::Normal(batch) => batch.len_bytes() + 32,
        Payload::Blank | Payload::Membership(_) => 256,
    }
}
