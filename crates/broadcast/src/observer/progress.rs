//! What an observer asks for, and what it delivers of the answers: a pure machine.
//!
//! Records come in their order and each once. A snapshot comes in pieces, and all of them from one node, for each makes its
//! own: where that node is lost, or the snapshot, another one is begun anew, or the records are had after all.

use bytes::Bytes;
use ottla_types::Offset;

use super::{Found, Place};
use crate::atomic::Delivery;

/// How far an observer is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The offset of the next record.
    next: Offset,
    /// A snapshot that is not whole yet.
    loading: Option<Loading>,
}

#[derive(Debug)]
struct Loading {
    /// Who has it.
    place: Place,
    /// The last offset that it stands for.
    upto: Offset,
    /// Where the next piece begins.
    position: u64,
}

/// What is to be asked for: the records from an offset on, or a piece of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) from: Offset,
    pub(super) snapshot: Option<(Offset, u64)>,
}

impl Progress {
    /// Who has the snapshot that is being read: nobody else has its next piece.
    pub(super) fn bound_to(&self) -> Option<&Place> {
        self.loading.as_ref().map(|loading| &loading.place)
    }

    /// Begins anew with what was to come next.
    pub(super) fn forget_snapshot(&mut self) {
        self.loading = None;
    }

    /// What to ask for at a place.
    pub(super) fn wanted(&self, place: &Place) -> Wanted {
        let loading = self.loading.as_ref().filter(|loading| loading.place == *place);
        Wanted { from: self.next, snapshot: loading.map(|loading| (loading.upto, loading.position)) }
    }

    /// Takes what a place had of what was wanted of it; gives what is to be delivered.
    ///
    /// # Errors
    /// It makes no sense, and nothing has changed: another node may do better.
    pub(super) fn take(
        &mut self,
        place: &Place,
        wanted: Wanted,
        found: Found,
    ) -> Result<Option<Delivery>, String> {
        match (found, wanted.snapshot) {
            (Found::Records(records), None) => Ok(self.records(records)),
            (Found::NeedsSnapshot { upto }, None) if upto >= self.next => {
                self.loading = Some(Loading { place: place.clone(), upto, position: 0 });
                Ok(None)
            }
            (Found::NeedsSnapshot { upto }, None) => {
                Err(format!("it has a snapshot up to offset {upto}, which is behind {}", self.next))
            }
            (Found::NoSnapshot, Some(_)) => {
                self.loading = None;
                Ok(None)
            }
            (Found::Piece(piece), Some((upto, position))) => {
                if piece.next.is_some_and(|next| next <= position) {
                    self.loading = None;
                    return Err(format!("its snapshot up to offset {upto} does not go on after {position}"));
                }
                self.loading = piece.next.map(|position| Loading { place: place.clone(), upto, position });
                let is_last = piece.next.is_none();
                if is_last {
                    self.next = Offset(upto.0.saturating_add(1));
                }
                let (is_first, records) = (position == 0, piece.records);
                Ok(Some(Delivery::Snapshot { upto, is_first, is_last, records }))
            }
            (found, _) => Err(format!("it answered what was not asked for: {}", kind(&found))),
        }
    }

    fn records(&mut self, records: Vec<Bytes>) -> Option<Delivery> {
        if records.is_empty() {
            return None;
        }
        let first = self.next;
        let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
        self.next = Offset(first.0.saturating_add(count));
        Some(Delivery::Committed { first, records })
    }
}

fn kind(found: &Found) -> &'static str {
    match found {
        Found::Records(_) => "records",
        Found::NeedsSnapshot { .. } => "that a snapshot is needed",
        Found::Piece(_) => "a piece of a snapshot",
        Found::NoSnapshot => "that there is no snapshot",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic::SnapshotPiece;

    fn place(port: u16) -> Place {
        Place { host: "node".to_owned(), port }
    }

    fn records(count: usize) -> Vec<Bytes> {
        (0..count).map(|n| Bytes::from(n.to_string())).collect()
    }

    fn take(progress: &mut Progress, from: &Place, found: Found) -> Result<Option<Delivery>, String> {
        progress.take(from, progress.wanted(from), found)
    }

    fn piece(count: usize, next: Option<u64>) -> Found {
        Found::Piece(SnapshotPiece { records: records(count), next })
    }

    #[test]
    fn records_are_delivered_one_after_another_whoever_they_come_from() {
        let mut progress = Progress::default();
        let first = take(&mut progress, &place(1), Found::Records(records(3))).unwrap();
        assert_eq!(first, Some(Delivery::Committed { first: Offset(0), records: records(3) }));
        assert_eq!(take(&mut progress, &place(1), Found::Records(Vec::new())), Ok(None));
        let second = take(&mut progress, &place(2), Found::Records(records(1))).unwrap();
        assert_eq!(second, Some(Delivery::Committed { first: Offset(3), records: records(1) }));
        assert_eq!(progress.wanted(&place(2)), Wanted { from: Offset(4), snapshot: None });
    }

    #[test]
    fn a_snapshot_comes_in_pieces_from_one_node_and_records_follow_it() {
        let mut progress = Progress::default();
        assert_eq!(take(&mut progress, &place(1), Found::NeedsSnapshot { upto: Offset(9) }), Ok(None));
        assert_eq!(progress.bound_to(), Some(&place(1)));
        assert_eq!(progress.wanted(&place(1)).snapshot, Some((Offset(9), 0)));
        assert_eq!(progress.wanted(&place(2)).snapshot, None, "another node has another file");
        for (next, is_first) in [(Some(70), true), (None, false)] {
            let delivery = take(&mut progress, &place(1), piece(2, next)).unwrap();
            let expected = Delivery::Snapshot {
                upto: Offset(9),
                is_first,
                is_last: next.is_none(),
                records: records(2),
            };
            assert_eq!(delivery, Some(expected));
        }
        assert_eq!(progress.bound_to(), None);
        assert_eq!(progress.wanted(&place(2)), Wanted { from: Offset(10), snapshot: None });
    }

    #[test]
    fn a_snapshot_that_is_gone_is_begun_anew() {
        let mut progress = Progress::default();
        take(&mut progress, &place(1), Found::NeedsSnapshot { upto: Offset(9) }).unwrap();
        take(&mut progress, &place(1), piece(1, Some(70))).unwrap();
        assert_eq!(take(&mut progress, &place(1), Found::NoSnapshot), Ok(None));
        assert_eq!(progress.wanted(&place(1)), Wanted { from: Offset(0), snapshot: None });
        take(&mut progress, &place(2), Found::NeedsSnapshot { upto: Offset(12) }).unwrap();
        let delivery = take(&mut progress, &place(2), piece(1, None)).unwrap();
        assert!(matches!(delivery, Some(Delivery::Snapshot { is_first: true, is_last: true, .. })));
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_changes_nothing() {
        let mut progress = Progress::default();
        take(&mut progress, &place(1), Found::Records(records(5))).unwrap();
        for nonsense in [piece(1, None), Found::NoSnapshot, Found::NeedsSnapshot { upto: Offset(4) }] {
            take(&mut progress, &place(1), nonsense).unwrap_err();
        }
        assert_eq!(progress.wanted(&place(1)), Wanted { from: Offset(5), snapshot: None });
        take(&mut progress, &place(1), Found::NeedsSnapshot { upto: Offset(5) }).unwrap();
        take(&mut progress, &place(1), piece(1, Some(70))).unwrap();
        take(&mut progress, &place(1), Found::Records(records(1))).unwrap_err();
        let error = take(&mut progress, &place(1), piece(1, Some(70))).unwrap_err();
        assert!(error.contains("does not go on after 70"), "no node is asked for ever: {error}");
    }
}
