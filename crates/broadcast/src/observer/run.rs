//! The tasks of an observer: one asks and delivers, the other looks around.

use std::sync::Arc;
use std::time::Duration;

use ottla_types::Offset;
use tokio::sync::mpsc;

use super::course::Next;
use super::progress::{Progress, Wanted};
use super::{Answer, Place, Question, Shared};
use crate::atomic::Delivery;

/// How many bytes of records one answer is to bring.
const MAX_BYTES: usize = 1 << 20;

/// How long a node that does not lead may wait for something new.
const SHORT_WAIT: Duration = Duration::from_millis(100);

/// How often another node than the leader is asked who leads.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Asks, and delivers what is answered, until the observer is closed.
pub(super) async fn pull(shared: Arc<Shared>, deliveries: mpsc::Sender<Delivery>) {
    let mut closing = shared.closing.subscribe();
    tokio::select! {
        biased;
        _ = closing.wait_for(|closing| *closing) => {}
        () = pull_on(&shared, &deliveries) => {}
    }
}

/// The same until nobody takes deliveries any more.
async fn pull_on(shared: &Shared, deliveries: &mpsc::Sender<Delivery>) {
    let mut progress = Progress::default();
    loop {
        let next = shared.course().next(shared.clock.monotonic());
        let (place, leads) = match next {
            Next::Ask { place, leads } => (place, leads),
            Next::Rest(pause) => {
                tokio::time::sleep(pause).await;
                continue;
            }
        };
        // Half the patience, so that silence is told from idleness.
        let max_wait = if leads { shared.patience / 2 } else { SHORT_WAIT.min(shared.patience) };
        // Whoever has begun a snapshot goes on with it, unless the node is lost: what leads may change meanwhile.
        let place = progress.bound_to().cloned().unwrap_or(place);
        let wanted = progress.wanted(&place);
        let Some(answer) = ask(shared, &place, wanted, max_wait).await else {
            if progress.bound_to() == Some(&place) {
                progress.forget_snapshot();
            }
            continue;
        };
        match progress.take(&place, wanted, answer.found) {
            Ok(None) => {}
            Ok(Some(delivery)) => {
                if deliveries.send(delivery).await.is_err() {
                    return;
                }
            }
            Err(why) => {
                tracing::warn!(%place, node = %answer.node, "what a node told of the metadata is not used: {why}");
                shared.failed(&place);
            }
        }
    }
}

/// Asks now and then somebody else who leads: a leader that nobody follows any more may not have noticed yet.
pub(super) async fn look_around(shared: Arc<Shared>) {
    let mut closing = shared.closing.subscribe();
    tokio::select! {
        biased;
        _ = closing.wait_for(|closing| *closing) => {}
        () = look_on(&shared) => {}
    }
}

async fn look_on(shared: &Shared) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let place = shared.course().beside(shared.clock.monotonic());
        if let Some(place) = place {
            let nothing = Wanted { from: Offset(i64::MAX), snapshot: None };
            // What it says of the leader is taken note of; it has no records there.
            let _ = ask(shared, &place, nothing, Duration::ZERO).await;
        }
    }
}

/// Asks a node; `None` if it gave no answer, which is noted.
async fn ask(shared: &Shared, place: &Place, wanted: Wanted, max_wait: Duration) -> Option<Answer> {
    let question = Question {
        from: wanted.from,
        snapshot: wanted.snapshot,
        max_bytes: MAX_BYTES,
        max_wait,
        leader: shared.course().heard(),
    };
    match shared.voters.ask(place, question, max_wait + shared.patience).await {
        Ok(answer) => {
            shared.heard(place, &answer);
            Some(answer)
        }
        Err(why) => {
            tracing::debug!(%place, "a node tells nothing of the metadata: {why}");
            shared.failed(place);
            None
        }
    }
}
