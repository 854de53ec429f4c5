//! Lets tasks run until all of them wait, and only then lets time pass.
//!
//! Tokio's paused clock moves by itself to the next timer when no task can run. It is told to wait for a moment first, by
//! the hook that the runtime calls before it parks: so the driver knows that all tasks wait. Then it lets the next event of
//! the timeline happen if that is due before tokio's next timer can be. Timers fire on whole milliseconds, and so an event
//! within the millisecond that is going on comes first; for a later one the driver sleeps until its millisecond, by a timer
//! of tokio's like any other.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::Timeline;

const MILLISECOND_US: u64 = 1_000;

/// Tells the driver when all tasks wait.
#[derive(Clone, Default)]
struct Idle(Arc<Mutex<IdleState>>);

#[derive(Default)]
enum IdleState {
    #[default]
    NotAsked,
    Asked(Waker),
    Now,
}

impl Idle {
    /// Called when no task can run.
    fn reached(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let IdleState::Asked(waker) = std::mem::replace(&mut *state, IdleState::NotAsked) {
            *state = IdleState::Now;
            drop(state);
            waker.wake();
        }
    }

    /// Waits until no task can run.
    async fn wait(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*state, IdleState::Now) {
                *state = IdleState::NotAsked;
                return Poll::Ready(());
            }
            *state = IdleState::Asked(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Runs a world until `body` is done: on a runtime of its own, in this thread. The clock begins anew.
///
/// # Panics
/// If the runtime cannot be made, or when `body` panics; with [`super::Stuck`] when tasks are polled again and again, and time does not
/// pass.
pub fn run<B, F>(body: B) -> F::Output
where
    B: FnOnce(Timeline) -> F,
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let idle = Idle::default();
    let reached = idle.clone();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).on_thread_park(move || reached.reached());
    // `watch` wakes several waiters in an order that the runtime draws.
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(b"one order of waiters"));
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime can be made: {error}"),
    };
    runtime.block_on(async move {
        let timeline = Timeline::new();
        let body = tokio::spawn(body(timeline.clone()));
        tokio::select! {
            biased;
            output = body => match output {
                Ok(output) => output,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(error) => panic!("the world was stopped: {error}"),
                },
            },
            stuck = timeline.stuck() => std::panic::resume_unwind(Box::new(stuck)),
            never = drive(&timeline, &idle) => match never {},
        }
    })
}

async fn drive(timeline: &Timeline, idle: &Idle) -> Infallible {
    loop {
        idle.wait().await;
        let now = timeline.now_us();
        let next = timeline.next_us();
        match next {
            Some(at) if at <= now => timeline.step(),
            Some(at) if at / MILLISECOND_US == now / MILLISECOND_US => {
                tokio::time::advance(Duration::from_micros(at - now)).await;
                timeline.step();
            }
            // Tokio moves its clock by whole milliseconds: from here it meets those of its timers.
            _ if !now.is_multiple_of(MILLISECOND_US) => {
                tokio::time::advance(Duration::from_micros(MILLISECOND_US - now % MILLISECOND_US)).await;
            }
            Some(at) => {
                let until = Instant::now() + Duration::from_micros(at - at % MILLISECOND_US - now);
                tokio::select! {
                    biased;
                    () = timeline.earlier_than(at) => {}
                    () = tokio::time::sleep_until(until) => {}
                }
            }
            None => timeline.earlier_than(u64::MAX).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = Arc<Mutex<Vec<(u64, &'static str)>>>;

    fn note(seen: &Seen, timeline: &Timeline, what: &'static str) {
        seen.lock().unwrap().push((timeline.now_us(), what));
    }

    #[test]
    fn events_and_timers_come_in_the_order_of_their_times_to_the_microsecond() {
        let seen = run(|timeline| async move {
            let seen = Seen::default();
            for (at, what) in [(7_300, "c"), (1_250, "a"), (7_300, "d"), (3_999, "b")] {
                let (kept, clock) = (Arc::clone(&seen), timeline.clone());
                timeline.at(at, move || note(&kept, &clock, what));
            }
            for ms in [2, 5, 9] {
                tokio::time::sleep_until(timeline_start(&timeline) + Duration::from_millis(ms)).await;
                note(&seen, &timeline, "timer");
            }
            seen.lock().unwrap().clone()
        });
        let expected = [
            (1_250, "a"),
            (2_000, "timer"),
            (3_999, "b"),
            (5_000, "timer"),
            (7_300, "c"),
            (7_300, "d"),
            (9_000, "timer"),
        ];
        assert_eq!(seen, expected);
    }

    fn timeline_start(timeline: &Timeline) -> Instant {
        Instant::now() - Duration::from_micros(timeline.now_us())
    }

    #[test]
    fn an_event_happens_only_when_all_tasks_wait() {
        let seen = run(|timeline| async move {
            let seen = Seen::default();
            let (kept, clock) = (Arc::clone(&seen), timeline.clone());
            timeline.at(0, move || note(&kept, &clock, "event"));
            let (kept, clock) = (Arc::clone(&seen), timeline.clone());
            tokio::spawn(async move {
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                note(&kept, &clock, "task");
            });
            tokio::time::sleep(Duration::from_millis(1)).await;
            seen.lock().unwrap().clone()
        });
        assert_eq!(seen, [(0, "task"), (0, "event")]);
    }

    #[test]
    fn an_event_asked_for_while_the_driver_sleeps_is_not_late() {
        let at = run(|timeline| async move {
            timeline.at(60_000_000, || {});
            tokio::time::sleep(Duration::from_millis(10)).await;
            timeline.sleep(Duration::from_micros(17)).await;
            timeline.now_us()
        });
        assert_eq!(at, 10_017);
    }

    #[test]
    fn a_world_whose_tasks_go_round_in_circles_is_ended() {
        use crate::engine::{NodeId, SimProcess, Stuck, Trace};
        let run = || {
            run(|timeline| async move {
                let process = SimProcess::new(NodeId(1), timeline, Trace::new(false));
                process.spawn(async {
                    loop {
                        tokio::task::yield_now().await;
                    }
                });
                tokio::time::sleep(Duration::from_millis(1)).await;
            });
        };
        let panic = std::panic::catch_unwind(run).unwrap_err();
        let stuck = panic.downcast_ref::<Stuck>().unwrap();
        assert_eq!(stuck.at_us, 0);
        assert!(stuck.task.contains("a_world_whose_tasks_go_round"), "{}", stuck.task);
    }

    #[test]
    fn an_hour_without_events_costs_nothing() {
        let at = run(|timeline| async move {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            timeline.now_us()
        });
        assert_eq!(at, 3_600_000_000);
    }
}
