//! The places of the connections to `/metrics` and `/health`, which are few. When all are taken, the connection gives way to
//! a new one that has been open longest without asking for anything, or else without taking its answer: whoever opens
//! connections and says or reads nothing keeps no prober out, which asks as soon as it is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Some places, and who has them.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    /// The oldest first.
    open: BTreeMap<u64, Open>,
    given: u64,
}

#[derive(Debug)]
struct Open {
    waits_for: WaitsFor,
    gives_way: Arc<Notify>,
}

/// Whose turn it is on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// The client's, to ask.
    Request,
    /// This broker's, to answer.
    Answer,
    /// The client's, to take what is written.
    Reader,
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    gives_way: Arc<Notify>,
    taken: Arc<Mutex<Taken>>,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// Whether all are taken.
    pub(super) fn are_taken(&self) -> bool {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).open.len() >= self.most
    }

    /// A place for a new connection; `None` if all are taken by connections that are being answered.
    pub(super) fn take(&self) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.open.len() >= self.most {
            let idle = taken.first(WaitsFor::Request).or_else(|| taken.first(WaitsFor::Reader))?;
            let given_up = taken.open.remove(&idle)?;
            given_up.gives_way.notify_one();
        }
        taken.given += 1;
        let (number, gives_way) = (taken.given, Arc::new(Notify::new()));
        taken.open.insert(number, Open { waits_for: WaitsFor::Request, gives_way: Arc::clone(&gives_way) });
        Some(Place { number, gives_way, taken: Arc::clone(&self.taken) })
    }
}

impl Taken {
    /// The oldest that waits for this.
    fn first(&self, waits_for: WaitsFor) -> Option<u64> {
        self.open.iter().find(|(_, open)| open.waits_for == waits_for).map(|(number, _)| *number)
    }
}

impl Place {
    /// Notes what the connection waits for now.
    pub(super) fn note(&self, waits_for: WaitsFor) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = taken.open.get_mut(&self.number) {
            open.waits_for = waits_for;
        }
    }

    /// Waits until the connection is to give way to another.
    pub(super) async fn gives_way(&self) {
        self.gives_way.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn the_longest_idle_gives_way_and_who_is_being_answered_does_not() {
        let places = Places::new(2);
        let (first, second) = (places.take().unwrap(), places.take().unwrap());
        first.note(WaitsFor::Answer);
        let third = places.take().unwrap();
        assert!(second.gives_way().now_or_never().is_some());
        assert!(first.gives_way().now_or_never().is_none() && third.gives_way().now_or_never().is_none());
        third.note(WaitsFor::Answer);
        assert!(places.are_taken() && places.take().is_none(), "all are being answered");
        drop(first);
        assert!(places.take().is_some());
    }

    #[test]
    fn who_does_not_take_its_answer_gives_way_after_all_that_have_not_asked() {
        let places = Places::new(3);
        let [first, second, third] = [(); 3].map(|()| places.take().unwrap());
        first.note(WaitsFor::Answer);
        second.note(WaitsFor::Reader);
        let fourth = places.take().unwrap();
        assert!(third.gives_way().now_or_never().is_some());
        fourth.note(WaitsFor::Reader);
        let fifth = places.take().unwrap();
        assert!(second.gives_way().now_or_never().is_some());
        assert!(fourth.gives_way().now_or_never().is_none());
        fifth.note(WaitsFor::Answer);
        // It takes the rest of it.
        fourth.note(WaitsFor::Answer);
        assert!(places.take().is_none());
    }

    #[test]
    fn who_gave_way_has_no_place_to_give_back() {
        let places = Places::new(1);
        let first = places.take().unwrap();
        let _second = places.take().unwrap();
        first.note(WaitsFor::Reader);
        drop(first);
        assert!(places.are_taken());
    }
}
