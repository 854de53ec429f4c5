//! What is to happen when: to the microsecond, and in the order of asking where two things happen at the same time.
//!
//! Tokio's own timers fire on whole milliseconds, and production code sleeps by them. Networks and disks are faster.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

type Action = Box<dyn FnOnce() + Send>;

struct Event {
    at_us: u64,
    seq: u64,
    action: Action,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_us, self.seq).cmp(&(other.at_us, other.seq))
    }
}

/// How often tasks may be polled at one time of the world: some thousands are usual.
const MOST_POLLS_AT_ONCE: u64 = 300_000;

/// How often they may be polled in a world: a million is usual.
const MOST_POLLS: u64 = 30_000_000;

/// A world that goes on without getting anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The time that does not pass, in microseconds.
    pub at_us: u64,
    /// The task that was polled last.
    pub task: &'static str,
    /// How often tasks were polled at this time.
    pub polls: u64,
}

#[derive(Default)]
struct Polls {
    at_us: u64,
    at_once: u64,
    all: u64,
    stuck: Option<Stuck>,
    waiting: Option<Waker>,
}

#[derive(Default)]
struct State {
    polls: Polls,
    events: BinaryHeap<Reverse<Event>>,
    next_seq: u64,
    /// The driver, while it waits for something later than what may be asked for meanwhile.
    driver: Option<(u64, Waker)>,
}

/// Events in the order of their times. Clones are the same timeline.
#[derive(Clone)]
pub struct Timeline {
    start: Instant,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Timeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Timeline({} us)", self.now_us())
    }
}

impl Timeline {
    /// A timeline that begins now. To be made in the runtime that [`super::run`] makes.
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds since the world began.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    /// Lets something happen at a time; now, if that has passed, after all that is to happen now already. It must not
    /// block, and holds up everything else.
    pub fn at(&self, at_us: u64, action: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        let seq = state.next_seq;
        state.next_seq += 1;
        state.events.push(Reverse(Event { at_us, seq, action: Box::new(action) }));
        if state.driver.as_ref().is_some_and(|(until_us, _)| at_us < *until_us) {
            let driver = state.driver.take();
            drop(state);
            if let Some((_, waker)) = driver {
                waker.wake();
            }
        }
    }

    /// Lets something happen after so many microseconds.
    pub fn after(&self, us: u64, action: impl FnOnce() + Send + 'static) {
        self.at(self.now_us() + us, action);
    }

    /// Waits, to the microsecond. Nothing is left behind when it is dropped.
    pub async fn sleep(&self, duration: Duration) {
        let wanted = Arc::new(Mutex::new((false, None::<Waker>)));
        let place = Arc::clone(&wanted);
        self.after(duration.as_micros() as u64, move || {
            let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
            place.0 = true;
            if let Some(waker) = place.1.take() {
                drop(place);
                waker.wake();
            }
        });
        std::future::poll_fn(|cx| {
            let mut wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
            if wanted.0 {
                return Poll::Ready(());
            }
            wanted.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Notes that a task is polled. Whether it may be: not if nothing but polls has happened for too long.
    pub(super) fn note_poll(&self, task: &'static str) -> bool {
        let now_us = self.now_us();
        let mut state = self.lock();
        let polls = &mut state.polls;
        if polls.at_us != now_us {
            (polls.at_us, polls.at_once) = (now_us, 0);
        }
        polls.at_once += 1;
        polls.all += 1;
        if polls.at_once <= MOST_POLLS_AT_ONCE && polls.all <= MOST_POLLS {
            return true;
        }
        polls.stuck.get_or_insert(Stuck { at_us: now_us, task, polls: polls.at_once });
        let waiting = polls.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
        false
    }

    /// Waits until the world is stuck. For the driver alone.
    pub(super) async fn stuck(&self) -> Stuck {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if let Some(stuck) = &state.polls.stuck {
                return Poll::Ready(stuck.clone());
            }
            state.polls.waiting = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// When the next event is due.
    pub(super) fn next_us(&self) -> Option<u64> {
        self.lock().events.peek().map(|Reverse(event)| event.at_us)
    }

    /// Lets the next event happen.
    pub(super) fn step(&self) {
        let event = self.lock().events.pop();
        if let Some(Reverse(event)) = event {
            (event.action)();
        }
    }

    /// Waits until something earlier than this is asked for. Ready for the driver alone.
    pub(super) async fn earlier_than(&self, until_us: u64) {
        let mut is_set = false;
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if is_set && state.driver.is_none() {
                return Poll::Ready(());
            }
            if state.events.peek().is_some_and(|Reverse(event)| event.at_us < until_us) {
                state.driver = None;
                return Poll::Ready(());
            }
            is_set = true;
            state.driver = Some((until_us, cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
