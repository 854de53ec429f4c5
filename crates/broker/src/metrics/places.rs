//! The places of the connections to `/metrics` and `/health`, which are few. When all are taken, the connection that has
//! been open longest without asking for anything gives way to a new one: whoever opens connections and says nothing
//! keeps no prober out, which asks as soon as it is there.

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
    has_asked: bool,
    gives_way: Arc<Notify>,
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

    /// A place for a new connection; `None` if all are taken by connections that have asked for something.
    pub(super) fn take(&self) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.open.len() >= self.most {
            let idle = taken.open.iter().find(|(_, open)| !open.has_asked).map(|(number, _)| *number)?;
            let given_up = taken.open.remove(&idle)?;
            given_up.gives_way.notify_one();
        }
        taken.given += 1;
        let (number, gives_way) = (taken.given, Arc::new(Notify::new()));
        taken.open.insert(number, Open { has_asked: false, gives_way: Arc::clone(&gives_way) });
        Some(Place { number, gives_way, taken: Arc::clone(&self.taken) })
    }
}

impl Place {
    /// Notes that the connection has sent its request.
    pub(super) fn note_asked(&self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = taken.open.get_mut(&self.number) {
            open.has_asked = true;
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
    fn the_longest_idle_gives_way_and_who_has_asked_does_not() {
        let places = Places::new(2);
        let (first, second) = (places.take().unwrap(), places.take().unwrap());
        first.note_asked();
        let third = places.take().unwrap();
        assert!(second.gives_way().now_or_never().is_some());
        assert!(first.gives_way().now_or_never().is_none() && third.gives_way().now_or_never().is_none());
        third.note_asked();
        assert!(places.are_taken() && places.take().is_none(), "all are being answered");
        drop(first);
        assert!(places.take().is_some());
    }

    #[test]
    fn who_gave_way_has_no_place_to_give_back() {
        let places = Places::new(1);
        let first = places.take().unwrap();
        let _second = places.take().unwrap();
        first.note_asked();
        drop(first);
        assert!(places.are_taken());
    }
}
