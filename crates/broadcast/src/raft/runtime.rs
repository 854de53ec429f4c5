//! Openraft's door to the outside: tasks and timers are tokio's, random numbers come from [`ottla_env::Rng`].
//!
//! Openraft asks for random numbers by a function without arguments. So the generator travels with the tasks: whoever
//! opens a quorum runs openraft under [`with_rng`], and every task that openraft spawns there inherits it.
//!
//! Openraft waits for a vote no longer than for an election timeout, and a vote is answered for when it is on a disk, which may
//! take longer. So whoever asks for one sets a limit of its own, by [`limits_itself`], and openraft's does not count then.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use openraft::{AsyncRuntime, OptionalSend, TokioRuntime};
use ottla_env::{Rng, process};

tokio::task_local! {
    static RNG: Arc<dyn Rng>;
}

/// Runs `future`, and all that openraft spawns in it, with these random numbers.
pub(crate) async fn with_rng<F: Future>(rng: Arc<dyn Rng>, future: F) -> F::Output {
    RNG.scope(rng, future).await
}

thread_local! {
    /// Set by a future that is being polled, and has a time limit of its own.
    static LIMITS_ITSELF: Cell<bool> = const { Cell::new(false) };
}

/// Runs a future that has a time limit of its own: what openraft sets does not count.
pub(crate) async fn limits_itself<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        LIMITS_ITSELF.set(polled.is_pending());
        polled
    })
    .await
}

/// A future with a time limit, unless it limits itself.
pub(crate) struct Limited<F> {
    future: Pin<Box<F>>,
    limit: Pin<Box<<TokioRuntime as AsyncRuntime>::Sleep>>,
}

/// The time limit is over.
#[derive(Debug, thiserror::Error)]
#[error("the time limit is over")]
pub(crate) struct TooLate;

impl<F: Future> Future for Limited<F> {
    type Output = Result<F::Output, TooLate>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        LIMITS_ITSELF.set(false);
        if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if LIMITS_ITSELF.replace(false) {
            return Poll::Pending;
        }
        self.limit.as_mut().poll(cx).map(|()| Err(TooLate))
    }
}

/// Tokio, with random numbers from the environment.
pub(crate) struct Runtime(TokioRuntime);

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runtime")
    }
}

/// A generator as openraft takes it.
pub(crate) struct Generator(Arc<dyn Rng>);

impl Generator {
    /// Any number.
    pub(crate) fn number(&self) -> u64 {
        self.0.next_u64()
    }
}

impl rand_core::TryRng for Generator {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.0.next_u64() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(dst);
        Ok(())
    }
}

impl AsyncRuntime for Runtime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = <TokioRuntime as AsyncRuntime>::Instant;
    type TimeoutError = TooLate;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = Limited<T>;
    type ThreadLocalRng = Generator;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        match RNG.try_with(Arc::clone) {
            Ok(rng) => process::spawn(RNG.scope(rng, future)),
            Err(_) => process::spawn(future),
        }
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        Limited { future: Box::pin(future), limit: Box::pin(TokioRuntime::sleep(duration)) }
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        Limited { future: Box::pin(future), limit: Box::pin(TokioRuntime::sleep_until(deadline)) }
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Generator {
        // Openraft draws in its own tasks and where it is opened, which all run under `with_rng`.
        Generator(RNG.try_with(Arc::clone).unwrap_or_else(|_| Arc::new(ottla_env::rng::OsRng)))
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }

    fn spawn_blocking<F, T>(f: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        TokioRuntime::spawn_blocking(f)
    }
}
