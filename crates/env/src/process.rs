//! Tasks: which process they belong to.
//!
//! In production a process is the operating system's, and spawning is tokio's. A simulation runs the tasks of many
//! processes in one thread, and has to pause or end all of one at once: it makes itself the holder of a process's tasks
//! with [`within`], and every task that such a task spawns is its too. That is why tasks are spawned by [`spawn`] and
//! [`spawn_in`], and never by tokio's own functions, which know no processes.
//!
//! And it is told by [`observe`] of what happens inside that has to be held to what must be true, and that no request shows.
//!
//! What is not here: a simulated process. Without a simulation all this costs is the look at a thread-local variable.

use std::any::Any;
use std::cell::RefCell;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::{AbortHandle, JoinHandle, JoinSet};

/// A task without its result.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Holds the tasks of a simulated process.
pub trait Process: Send + Sync + 'static {
    /// Takes a task over. What is returned runs it when, and as long as, the process runs; it is dropped with the process
    /// at the latest, and dropping what is returned drops it too. `name` is for who looks at what a process is doing.
    fn hold(&self, name: &'static str, task: Task) -> Task;

    /// Is told what [`observe`] is. It must not spawn, nor call back.
    fn observe(&self, _event: &dyn Any) {}
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<dyn Process>>> = const { RefCell::new(None) };
}

/// The simulated process whose task is running; `None` in production.
#[must_use]
pub fn current() -> Option<Arc<dyn Process>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Runs something as a part of a simulated process: what it spawns belongs to that.
pub fn within<R>(process: &Arc<dyn Process>, run: impl FnOnce() -> R) -> R {
    /// Puts back what was there, after a panic too.
    struct Restore(Option<Arc<dyn Process>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _restore = Restore(CURRENT.replace(Some(Arc::clone(process))));
    run()
}

/// Tells the simulated process whose task is running of something that happened. In production it is not even made.
pub fn observe<E: Any>(event: impl FnOnce() -> E) {
    if let Some(process) = current() {
        process.observe(&event());
    }
}

/// [`tokio::spawn`], for the process whose task is running.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    match current() {
        None => tokio::spawn(future),
        Some(process) => tokio::spawn(held(&*process, future)),
    }
}

/// [`JoinSet::spawn`], for the process whose task is running.
pub fn spawn_in<F>(tasks: &mut JoinSet<F::Output>, future: F) -> AbortHandle
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    match current() {
        None => tasks.spawn(future),
        Some(process) => tasks.spawn(held(&*process, future)),
    }
}

/// The future as the process holds it. Of one that ended with its process there is no result, and nobody left to ask.
fn held<F>(process: &dyn Process, future: F) -> impl Future<Output = F::Output> + Send + use<F>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let result = Arc::new(Mutex::new(None));
    let place = Arc::clone(&result);
    let task = process.hold(
        std::any::type_name::<F>(),
        Box::pin(async move {
            let value = future.await;
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        }),
    );
    async move {
        task.await;
        let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        match value {
            Some(value) => value,
            None => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts what it holds, and adds what it is told.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Process for Counting {
        fn hold(&self, _: &'static str, task: Task) -> Task {
            self.0.fetch_add(1, Ordering::Relaxed);
            task
        }

        fn observe(&self, event: &dyn Any) {
            let count = event.downcast_ref().copied().unwrap_or(0);
            self.0.fetch_add(count, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_process_is_told_and_without_one_there_is_nothing_to_tell() {
        let counting = Arc::new(Counting::default());
        let process: Arc<dyn Process> = Arc::<Counting>::clone(&counting);
        within(&process, || observe(|| 7_usize));
        assert_eq!(counting.0.load(Ordering::Relaxed), 7);
        observe(|| -> usize { unreachable!("nobody is told") });
    }

    #[tokio::test]
    async fn what_a_process_spawns_is_held_by_it_and_has_its_result() {
        let counting = Arc::new(Counting::default());
        let process: Arc<dyn Process> = Arc::<Counting>::clone(&counting);
        let (one, mut set) = within(&process, || {
            let mut set = JoinSet::new();
            spawn_in(&mut set, async { 2 });
            (spawn(async { 1 }), set)
        });
        assert_eq!(one.await.unwrap(), 1);
        assert_eq!(set.join_next().await.unwrap().unwrap(), 2);
        assert_eq!(counting.0.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn without_a_process_tasks_are_spawned_as_they_are() {
        assert!(current().is_none());
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
    }

    #[test]
    fn the_process_before_is_back_after_a_panic() {
        let process: Arc<dyn Process> = Arc::new(Counting::default());
        let within = || within(&process, || panic!("on purpose"));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(within));
        assert!(panicked.is_err());
        assert!(current().is_none());
    }
}
