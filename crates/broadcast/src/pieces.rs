//! Cuts what a log holds into deliveries of a bounded size.

use bytes::{Bytes, BytesMut};
use ottla_types::Offset;

use crate::atomic::Delivery;
use crate::recovery::Replayed;

/// How many bytes of records a delivery of old ones has, about: one allocation for many records.
pub(crate) const PIECE_BYTES: usize = 256 * 1024;

/// Collects records in the order in which they are replayed.
#[derive(Default)]
pub(crate) struct Pieces {
    done: Vec<Delivery>,
    /// The offset of the first record of the piece being filled; `None` for one of a snapshot.
    first: Option<Offset>,
    upto: Option<Offset>,
    bytes: BytesMut,
    ends: Vec<usize>,
}

impl Pieces {
    pub(crate) fn push(&mut self, replayed: Replayed<'_>) {
        let record = match replayed {
            Replayed::FromSnapshot { upto, record } => {
                self.upto = Some(upto);
                record
            }
            Replayed::Committed { offset, record } => {
                if self.first.is_none() {
                    self.flush();
                    self.first = Some(offset);
                }
                record
            }
        };
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
        if self.bytes.len() >= PIECE_BYTES {
            let next = self.first.map(|first| Offset(first.0 + self.ends.len() as i64));
            self.flush();
            self.first = next;
        }
    }

    /// All deliveries, where the log began with the given snapshot.
    pub(crate) fn into_deliveries(mut self, snapshot: Option<Offset>) -> Vec<Delivery> {
        self.flush();
        let Some(upto) = snapshot else { return self.done };
        let is_piece = |delivery: &Delivery| matches!(delivery, Delivery::Snapshot { .. });
        let count = self.done.iter().take_while(|delivery| is_piece(delivery)).count();
        if count == 0 {
            // A state of nothing is one too.
            let empty = Delivery::Snapshot { upto, is_first: true, is_last: true, records: Vec::new() };
            self.done.insert(0, empty);
        }
        for (nth, delivery) in self.done.iter_mut().take(count).enumerate() {
            if let Delivery::Snapshot { is_first, is_last, .. } = delivery {
                (*is_first, *is_last) = (nth == 0, nth + 1 == count);
            }
        }
        self.done
    }

    fn flush(&mut self) {
        if self.ends.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes).freeze();
        let records = slices(&bytes, std::mem::take(&mut self.ends));
        match (self.first, self.upto) {
            (Some(first), _) => self.done.push(Delivery::Committed { first, records }),
            (None, Some(upto)) => {
                self.done.push(Delivery::Snapshot { upto, is_first: false, is_last: false, records });
            }
            (None, None) => {}
        }
    }
}

fn slices(bytes: &Bytes, ends: Vec<usize>) -> Vec<Bytes> {
    let mut start = 0;
    let slice = |end| bytes.slice(std::mem::replace(&mut start, end)..end);
    ends.into_iter().map(slice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(upto: i64, is_first: bool, is_last: bool, records: &[&'static str]) -> Delivery {
        let records = records.iter().map(|record| Bytes::from_static(record.as_bytes())).collect();
        Delivery::Snapshot { upto: Offset(upto), is_first, is_last, records }
    }

    #[test]
    fn a_snapshot_and_what_follows_it_are_told_apart() {
        let mut pieces = Pieces::default();
        pieces.push(Replayed::FromSnapshot { upto: Offset(6), record: b"a" });
        pieces.push(Replayed::FromSnapshot { upto: Offset(6), record: b"" });
        pieces.push(Replayed::Committed { offset: Offset(7), record: b"b" });
        pieces.push(Replayed::Committed { offset: Offset(8), record: b"c" });
        let records = vec![Bytes::from_static(b"b"), Bytes::from_static(b"c")];
        let committed = Delivery::Committed { first: Offset(7), records };
        assert_eq!(pieces.into_deliveries(Some(Offset(6))), [piece(6, true, true, &["a", ""]), committed]);
    }

    #[test]
    fn a_snapshot_of_nothing_is_delivered_too() {
        assert_eq!(Pieces::default().into_deliveries(Some(Offset(6))), [piece(6, true, true, &[])]);
        assert_eq!(Pieces::default().into_deliveries(None), []);
    }

    #[test]
    fn pieces_are_bounded_and_lose_nothing() {
        let record = vec![7; PIECE_BYTES / 3];
        let mut pieces = Pieces::default();
        for _ in 0..7 {
            pieces.push(Replayed::FromSnapshot { upto: Offset(9), record: &record });
        }
        for offset in 10..17 {
            pieces.push(Replayed::Committed { offset: Offset(offset), record: &record });
        }
        let mut shape = Vec::new();
        for delivery in pieces.into_deliveries(Some(Offset(9))) {
            match delivery {
                Delivery::Snapshot { is_first, is_last, records, .. } => {
                    shape.push((is_first, is_last, 9, records.len()));
                }
                Delivery::Committed { first, records } => shape.push((false, false, first.0, records.len())),
                other => panic!("{other:?}"),
            }
        }
        let snapshot = [(true, false, 9, 4), (false, true, 9, 3)];
        assert_eq!(shape[..2], snapshot);
        assert_eq!(shape[2..], [(false, false, 10, 4), (false, false, 14, 3)]);
    }
}
