//! How long a request waits for the change that it asks for: its `timeout_ms`.

use std::time::Duration;

use ottla_metadata::controller::Refused;
use ottla_types::ErrorCode;

/// Waits for a change at most so long; a negative time is none. What has been decided by then takes its course.
///
/// # Errors
/// REQUEST_TIMED_OUT, or what the change is refused with.
pub(super) async fn within<A>(
    timeout_ms: i32,
    change: impl Future<Output = Result<A, Refused>>,
) -> Result<A, Refused> {
    let timeout_ms = u64::try_from(timeout_ms).unwrap_or(0);
    match tokio::time::timeout(Duration::from_millis(timeout_ms), change).await {
        Ok(changed) => changed,
        Err(_) => Err(Refused {
            error: ErrorCode::RequestTimedOut,
            message: format!(
                "The change was not carried out within {timeout_ms} ms. It may be yet: ask for the state before asking for it again."
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_is_waited_for_as_long_as_the_client_says_and_no_longer() {
        assert_eq!(within(0, ready(Ok(7))).await, Ok(7), "what is done at once is in time");
        let asked = Instant::now();
        for (timeout_ms, waited) in [(1500, 1500), (0, 1500), (-1, 1500)] {
            let refused = within::<()>(timeout_ms, pending()).await.unwrap_err();
            assert_eq!(refused.error, ErrorCode::RequestTimedOut, "{}", refused.message);
            assert_eq!(asked.elapsed(), Duration::from_millis(waited));
        }
    }
}
