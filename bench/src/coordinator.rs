//! Waiting for a coordinator: it makes its topic when somebody first asks for it, and loads what is there.

use std::time::Duration;

use anyhow::{Result, bail};
use ottla_client::Connection;
use ottla_wire::find_coordinator::FindCoordinatorRequest;
use ottla_wire::{ApiKey, Str};

/// COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR: the same may be asked again.
const NOT_YET: [i16; 3] = [14, 15, 16];

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// How many times something is tried: two minutes of pauses.
const ATTEMPTS: usize = 6000;

/// Whether the coordinator will have the answer later.
pub(crate) fn is_not_yet(error: i16) -> bool {
    NOT_YET.contains(&error)
}

/// Asks until the answer is there. `error` takes the error code from it.
pub(crate) async fn settled<A>(
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<A>,
    error: impl Fn(&A) -> i16,
) -> Result<A> {
    for _ in 0..ATTEMPTS {
        let answer = ask().await?;
        match error(&answer) {
            code if is_not_yet(code) => tokio::time::sleep(PAUSE).await,
            _ => return Ok(answer),
        }
    }
    bail!("{what}: the coordinator is not there after two minutes")
}

/// Waits until there is a coordinator for `group`.
pub(crate) async fn await_available(connection: &Connection, group: &str) -> Result<()> {
    let version = connection.version_up_to(ApiKey::FindCoordinator, 3)?;
    let ask = async || {
        let request = FindCoordinatorRequest { key: Str::from(group), ..Default::default() };
        Ok(connection.start_at(request, version, super::PATIENCE)?.wait().await?)
    };
    let answer = settled("FindCoordinator", ask, |answer| answer.error_code).await?;
    match answer.error_code {
        0 => Ok(()),
        code => bail!("FindCoordinator: error {code}"),
    }
}
