//! The tasks of one simulated process.
//!
//! Each task of the process lies in a slot, which two sides can reach: tokio, which polls what is in it while the process
//! runs, and the process, which empties all slots when it ends. A task never runs again after that, and what it held
//! (files, connections, locks) is dropped at once, as the operating system does it.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use ottla_env::process::{self, Process, Task};

use super::{Kind, NodeId, Timeline, Trace};

type Slot = Arc<Mutex<Option<Task>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Paused,
    Ended,
}

struct State {
    phase: Phase,
    /// By the order in which they were spawned.
    tasks: BTreeMap<u64, (&'static str, Slot)>,
    next_task: u64,
    /// Who was woken while the process was paused, in that order.
    asleep: Vec<(u64, Waker)>,
    panics: Vec<String>,
}

/// Is told what a process observes: see [`process::observe`].
pub type Watcher = Arc<dyn Fn(&dyn Any) + Send + Sync>;

/// A process whose tasks can be paused and ended all at once.
pub struct SimProcess {
    node: NodeId,
    watcher: Option<Watcher>,
    trace: Trace,
    timeline: Timeline,
    state: Mutex<State>,
    me: Weak<Self>,
}

impl SimProcess {
    /// A process without tasks, on a node.
    #[must_use]
    pub fn new(node: NodeId, timeline: Timeline, trace: Trace) -> Arc<Self> {
        Self::watched(node, timeline, trace, None)
    }

    /// The same, and somebody watches it.
    #[must_use]
    pub fn watched(node: NodeId, timeline: Timeline, trace: Trace, watcher: Option<Watcher>) -> Arc<Self> {
        let state = State {
            phase: Phase::Running,
            tasks: BTreeMap::new(),
            next_task: 0,
            asleep: Vec::new(),
            panics: Vec::new(),
        };
        Arc::new_cyclic(|me| Self {
            node,
            watcher,
            trace,
            timeline,
            state: Mutex::new(state),
            me: me.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs something as a part of this process.
    pub fn within<R>(self: &Arc<Self>, run: impl FnOnce() -> R) -> R {
        let process: Arc<dyn Process> = Arc::<Self>::clone(self);
        process::within(&process, run)
    }

    /// Spawns a task of this process.
    pub fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.within(|| drop(process::spawn(task)));
    }

    /// Its tasks are not polled from now on. Time goes on, and so do the kernel's parts of its connections.
    pub fn pause(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Running {
            state.phase = Phase::Paused;
        }
    }

    /// Its tasks run again.
    pub fn resume(&self) {
        let asleep = {
            let mut state = self.lock();
            if state.phase == Phase::Paused {
                state.phase = Phase::Running;
            }
            std::mem::take(&mut state.asleep)
        };
        asleep.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Ends it: every task is dropped where it waits, in the order in which they were spawned.
    pub fn end(self: &Arc<Self>) {
        let slots = {
            let mut state = self.lock();
            state.phase = Phase::Ended;
            state.asleep.clear();
            std::mem::take(&mut state.tasks)
        };
        self.within(|| {
            for (_, slot) in slots.into_values() {
                // The slot of a task that runs now, and ends its own process, is empty: see `Held::poll`.
                let task = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                drop(task);
            }
        });
    }

    /// Whether it is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.lock().phase == Phase::Paused
    }

    /// What its tasks run, by the names of their functions.
    #[must_use]
    pub fn tasks(&self) -> Vec<&'static str> {
        self.lock().tasks.values().map(|(name, _)| *name).collect()
    }

    /// The panics of its tasks since the last call: no task of the code under test may panic.
    #[must_use]
    pub fn take_panics(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().panics)
    }
}

impl Process for SimProcess {
    fn hold(&self, name: &'static str, task: Task) -> Task {
        let slot: Slot = Arc::new(Mutex::new(None));
        let mut state = self.lock();
        let id = state.next_task;
        state.next_task += 1;
        if state.phase == Phase::Ended {
            drop(state);
            // What a process spawns while it is torn down never runs.
            drop(task);
        } else {
            state.tasks.insert(id, (name, Arc::clone(&slot)));
            drop(state);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        }
        match self.me.upgrade() {
            Some(process) => Box::pin(Held { id, slot, process }),
            None => unreachable!("whoever calls this holds the process"),
        }
    }

    fn observe(&self, event: &dyn Any) {
        if let Some(watcher) = &self.watcher {
            watcher(event);
        }
    }
}

/// What tokio holds of a task.
struct Held {
    id: u64,
    slot: Slot,
    process: Arc<SimProcess>,
}

impl Future for Held {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { id, slot, process } = &*self;
        {
            let mut state = process.lock();
            match state.phase {
                Phase::Running => {
                    let name = state.tasks.get(id).map_or("", |(name, _)| name);
                    if !process.timeline.note_poll(name) {
                        return Poll::Pending;
                    }
                }
                Phase::Paused => {
                    if !state.asleep.iter().any(|(asleep, _)| asleep == id) {
                        state.asleep.push((*id, cx.waker().clone()));
                    }
                    return Poll::Pending;
                }
                Phase::Ended => return Poll::Pending,
            }
        }
        let Some(mut task) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Poll::Pending;
        };
        process.trace.note(process.timeline.now_us(), process.node, Kind::Poll, *id);
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| {
            process.within(|| {
                let polled = task.as_mut().poll(cx);
                if polled.is_ready() || process.lock().phase == Phase::Ended {
                    drop(task);
                } else {
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
                }
                polled
            })
        }));
        match polled {
            Ok(Poll::Ready(())) => {
                process.lock().tasks.remove(id);
                Poll::Ready(())
            }
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => {
                let words = panic.downcast_ref::<String>().cloned();
                let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
                let mut state = process.lock();
                state.panics.push(words.unwrap_or_default());
                state.tasks.remove(id);
                drop(state);
                std::panic::resume_unwind(panic)
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.process.lock().tasks.remove(&self.id);
        let task = self.slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.process.within(|| drop(task));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::engine::run;

    /// A process with a task that spawns another, which counts milliseconds.
    fn counting(timeline: &Timeline) -> (Arc<SimProcess>, Arc<AtomicU64>) {
        let process = SimProcess::new(NodeId(1), timeline.clone(), Trace::new(false));
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        process.spawn(async move {
            let inner = process::spawn(async move {
                loop {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
            drop(inner.await);
        });
        (process, count)
    }

    #[test]
    fn an_ended_process_does_nothing_any_more_and_has_dropped_what_it_held() {
        run(|timeline| async move {
            let (process, count) = counting(&timeline);
            tokio::time::sleep(Duration::from_micros(3_500)).await;
            let before = count.load(Ordering::Relaxed);
            assert!(before >= 3);
            process.end();
            assert_eq!(Arc::strong_count(&count), 1, "all tasks are dropped");
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_eq!(count.load(Ordering::Relaxed), before);
        });
    }

    #[test]
    fn a_paused_process_goes_on_where_it_was() {
        run(|timeline| async move {
            let (process, count) = counting(&timeline);
            tokio::time::sleep(Duration::from_millis(3)).await;
            process.pause();
            let before = count.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1_000)).await;
            assert_eq!(count.load(Ordering::Relaxed), before);
            process.resume();
            tokio::time::sleep(Duration::from_millis(3)).await;
            assert!((1..=4).contains(&(count.load(Ordering::Relaxed) - before)));
        });
    }

    #[test]
    fn a_task_may_end_its_own_process() {
        run(|timeline| async move {
            let process = SimProcess::new(NodeId(1), timeline, Trace::new(false));
            let held = Arc::new(());
            let (me, kept) = (Arc::clone(&process), Arc::clone(&held));
            process.spawn(async move {
                me.end();
                std::future::pending::<()>().await;
                drop(kept);
            });
            tokio::task::yield_now().await;
            assert_eq!(Arc::strong_count(&held), 1);
        });
    }

    #[test]
    fn a_panic_of_a_task_is_told() {
        run(|timeline| async move {
            let process = SimProcess::new(NodeId(1), timeline, Trace::new(false));
            process.spawn(async { panic!("on purpose") });
            tokio::task::yield_now().await;
            assert_eq!(process.take_panics(), ["on purpose"]);
        });
    }
}
