//! A log in small: records with their epochs, and where each epoch begins.

use ottla_replica::Ends;
use ottla_types::{LeaderEpoch, Offset};

/// A record: the epoch that wrote it, and a number that no other record has.
pub(crate) type Record = (i32, u64);

/// The log of one replica.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    pub(crate) start: i64,
    pub(crate) records: Vec<Record>,
    /// Epochs and their first offsets.
    pub(crate) epochs: Vec<(i32, i64)>,
    /// How far it is flushed, where that is asked for.
    pub(crate) flushed: Option<i64>,
}

impl Log {
    pub(crate) fn end(&self) -> i64 {
        self.start + self.records.len() as i64
    }

    pub(crate) fn ends(&self) -> Ends {
        let durable = self.flushed.unwrap_or(self.end()).min(self.end());
        Ends { durable: Offset(durable), ..Ends::new(Offset(self.start), Offset(self.end())) }
    }

    pub(crate) fn get(&self, offset: i64) -> Option<Record> {
        let index = usize::try_from(offset - self.start).ok()?;
        self.records.get(index).copied()
    }

    pub(crate) fn begin_epoch(&mut self, epoch: i32) {
        let end = self.end();
        if self.epochs.last().is_some_and(|(latest, _)| *latest >= epoch) {
            return;
        }
        // An epoch without records gives way.
        self.epochs.retain(|(_, start)| *start < end);
        self.epochs.push((epoch, end));
    }

    pub(crate) fn append(&mut self, record: Record) {
        assert!(self.epochs.last().is_none_or(|(epoch, _)| *epoch <= record.0), "epochs never go back");
        self.begin_epoch(record.0);
        self.records.push(record);
    }

    pub(crate) fn truncate(&mut self, to: i64) {
        self.records.truncate(usize::try_from(to - self.start).unwrap_or(0));
        self.epochs.retain(|(_, start)| *start < to);
        self.flushed = self.flushed.map(|flushed| flushed.min(to));
    }

    pub(crate) fn restart_at(&mut self, start: i64) {
        *self = Self { start, flushed: self.flushed.map(|_| start), ..Self::default() };
    }

    pub(crate) fn delete_below(&mut self, offset: i64) {
        let gone = (offset.min(self.end()) - self.start).max(0);
        self.records.drain(..usize::try_from(gone).unwrap_or(0));
        self.start += gone;
        let start = self.start;
        let containing = self.epochs.iter().rposition(|(_, first)| *first <= start).unwrap_or(0);
        self.epochs.drain(..containing);
        if let Some((_, first)) = self.epochs.first_mut() {
            *first = (*first).max(start);
        }
    }

    pub(crate) fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.last().map(|(epoch, _)| LeaderEpoch(*epoch))
    }

    /// The greatest epoch at or below `epoch`, and where the next one begins.
    pub(crate) fn end_of(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let after = self.epochs.partition_point(|(known, _)| *known <= epoch.0);
        let found = after.checked_sub(1).map(|index| self.epochs[index].0);
        match (found, self.epochs.get(after)) {
            (Some(found), Some((_, next))) => Some((LeaderEpoch(found), Offset(*next))),
            (Some(found), None) if found == epoch.0 => Some((epoch, Offset(self.end()))),
            (None, Some((_, next))) => Some((epoch, Offset(*next))),
            _ => None,
        }
    }
}
