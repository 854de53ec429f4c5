//! Which leader epoch wrote which offsets (KIP-101, KIP-279). Pure: the log reads and writes the checkpoint file.

use ottla_types::{LeaderEpoch, Offset};

pub use crate::format::checkpoint::EpochEntry;

/// The leader epochs of one log, in the order of both their numbers and their start offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LeaderEpochs {
    entries: Vec<EpochEntry>,
    /// Changed since the checkpoint file was last written.
    dirty: bool,
}

impl LeaderEpochs {
    /// The entries of a checkpoint file. Entries that are out of order are dropped for the later ones, as Kafka does.
    pub(crate) fn new(entries: impl IntoIterator<Item = EpochEntry>) -> Self {
        let mut epochs = Self::default();
        for entry in entries {
            epochs.assign(entry.epoch, entry.start_offset);
        }
        epochs.dirty = false;
        epochs
    }

    pub(crate) fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// The latest epoch that begins below `end`: that has records in a log that ends there.
    pub(crate) fn latest_below(&self, end: Offset) -> Option<LeaderEpoch> {
        let below = self.entries.partition_point(|entry| entry.start_offset < end);
        below.checked_sub(1).and_then(|i| self.entries.get(i)).map(|entry| entry.epoch)
    }

    /// Takes the entries to be written to the checkpoint file, if they changed.
    pub(crate) fn take_dirty(&mut self) -> Option<Vec<EpochEntry>> {
        std::mem::take(&mut self.dirty).then(|| self.entries.clone())
    }

    /// The file could not be written: the entries stay to be written.
    pub(crate) fn set_dirty(&mut self) {
        self.dirty = true;
    }

    /// Notes that `epoch` begins at `start_offset`. An epoch that is there keeps its start, unless the new one is lower.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) {
        if epoch.0 < 0 || start_offset.0 < 0 {
            return;
        }
        if self.entries.last().is_some_and(|last| last.epoch == epoch && last.start_offset <= start_offset) {
            return;
        }
        // An epoch without records is replaced by the one that begins at the same offset; entries above contradict it.
        while self.entries.last().is_some_and(|last| last.epoch >= epoch || last.start_offset >= start_offset)
        {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start_offset });
        self.dirty = true;
    }

    /// Forgets all epochs: no record is left that they tell of.
    pub(crate) fn clear(&mut self) {
        self.dirty |= !self.entries.is_empty();
        self.entries.clear();
    }

    /// Forgets epochs that begin at or after the new end of the log.
    pub(crate) fn truncate_from_end(&mut self, end: Offset) {
        let kept = self.entries.partition_point(|entry| entry.start_offset < end);
        if kept < self.entries.len() {
            self.entries.truncate(kept);
            self.dirty = true;
        }
    }

    /// Forgets epochs that end at or before the new start of the log; the one that contains it begins there now.
    pub(crate) fn truncate_from_start(&mut self, start: Offset) {
        let after = self.entries.partition_point(|entry| entry.start_offset <= start);
        let Some(containing) = after.checked_sub(1) else { return };
        self.entries.drain(..containing);
        if let Some(first) = self.entries.first_mut()
            && (first.start_offset < start || containing > 0)
        {
            first.start_offset = start;
            self.dirty = true;
        }
    }

    /// The end of `epoch` in this log: the greatest epoch at or below it, and the offset where the next one begins, or
    /// `end` for the latest. `None` for an epoch above all known (OffsetForLeaderEpoch answers with undefined then).
    pub(crate) fn end_offset_for(&self, epoch: LeaderEpoch, end: Offset) -> Option<(LeaderEpoch, Offset)> {
        if epoch.0 < 0 {
            return None;
        }
        if self.latest() == Some(epoch) {
            return Some((epoch, end));
        }
        let after = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let next = self.entries.get(after)?;
        // An epoch below the first known: its records are gone, and the follower begins at the first that are there.
        let found = after.checked_sub(1).and_then(|i| self.entries.get(i)).map_or(epoch, |entry| entry.epoch);
        Some((found, next.start_offset))
    }

    /// The epoch that wrote `offset`.
    pub(crate) fn epoch_for(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        self.entries.get(after.checked_sub(1)?).map(|entry| entry.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        LeaderEpochs::new(
            entries
                .iter()
                .map(|&(epoch, start)| EpochEntry { epoch: LeaderEpoch(epoch), start_offset: Offset(start) }),
        )
    }

    fn list(epochs: &LeaderEpochs) -> Vec<(i32, i64)> {
        epochs.entries().iter().map(|entry| (entry.epoch.0, entry.start_offset.0)).collect()
    }

    #[test]
    fn an_epoch_keeps_its_first_start_offset() {
        let mut epochs = epochs(&[(1, 10)]);
        epochs.assign(LeaderEpoch(1), Offset(50));
        assert_eq!(epochs.take_dirty(), None);
        epochs.assign(LeaderEpoch(2), Offset(60));
        assert_eq!(list(&epochs), [(1, 10), (2, 60)]);
        assert!(epochs.take_dirty().is_some() && epochs.take_dirty().is_none());
    }

    #[test]
    fn an_epoch_without_records_gives_way_to_the_next_at_the_same_offset() {
        assert_eq!(list(&epochs(&[(1, 0), (2, 10), (3, 10)])), [(1, 0), (3, 10)]);
    }

    #[test]
    fn a_contradicting_entry_removes_those_it_contradicts() {
        assert_eq!(list(&epochs(&[(1, 0), (3, 20), (2, 10)])), [(1, 0), (2, 10)]);
        assert_eq!(list(&epochs(&[(-1, 0), (1, -1)])), []);
    }

    #[test]
    fn the_end_of_an_epoch_is_the_start_of_the_next() {
        let epochs = epochs(&[(2, 10), (4, 30), (5, 50)]);
        let end_of = |epoch| epochs.end_offset_for(LeaderEpoch(epoch), Offset(99)).map(|(e, o)| (e.0, o.0));
        assert_eq!(end_of(5), Some((5, 99)), "the latest ends at the end of the log");
        assert_eq!(end_of(4), Some((4, 50)));
        assert_eq!(end_of(3), Some((2, 30)), "the greatest epoch below one that is not there");
        assert_eq!(end_of(1), Some((1, 10)), "below the first: its own number, and where the first begins");
        assert_eq!(end_of(6), None);
        assert_eq!(end_of(-1), None);
    }

    #[test]
    fn truncation_forgets_epochs_beyond_either_end() {
        let mut epochs = epochs(&[(2, 10), (4, 30), (5, 50)]);
        epochs.truncate_from_end(Offset(50));
        assert_eq!(list(&epochs), [(2, 10), (4, 30)]);
        epochs.truncate_from_start(Offset(20));
        assert_eq!(list(&epochs), [(2, 20), (4, 30)]);
        epochs.truncate_from_start(Offset(30));
        assert_eq!(list(&epochs), [(4, 30)]);
        epochs.truncate_from_start(Offset(5));
        assert_eq!(list(&epochs), [(4, 30)], "a start before the first epoch changes nothing");
        epochs.truncate_from_end(Offset(0));
        assert_eq!(list(&epochs), []);
    }

    #[test]
    fn each_offset_has_the_epoch_that_wrote_it() {
        let epochs = epochs(&[(2, 10), (4, 30)]);
        let epoch_of = |offset| epochs.epoch_for(Offset(offset)).map(|e| e.0);
        assert_eq!([9, 10, 29, 30, 1000].map(epoch_of), [None, Some(2), Some(2), Some(4), Some(4)]);
    }
}
