//! Appends on their way: handed to openraft in the order of the calls, answered in that order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::{ClientWriteError, ForwardReason};
use openraft::impls::OneshotResponder;
use openraft::raft::ClientWriteResult;
use ottla_env::process;
use ottla_types::{LeadershipEpoch, Offset};
use tokio::sync::{mpsc, oneshot, watch};

use super::OpenRaft;
use super::leadership::{Leadership, State};
use super::observed::Observed;
use super::types::{Batch, CommittedLeaderId, Types, epoch, log_id};
use crate::atomic::{Appended, Appending, Refused};

/// The largest batch. An entry must fit into one write of the journal, and be sent while its leader's signs of life are.
pub(crate) const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How much may be under way: it is in memory, more than once.
const MAX_UNDER_WAY_BYTES: usize = 4 * MAX_BATCH_BYTES;
/// What a batch counts for besides its records, so that many small ones are bounded too.
const BATCH_OVERHEAD_BYTES: usize = 256;
/// When an append is offered again that was refused because the quorum was not heard for a moment.
const OFFERED_AGAIN_AFTER: Duration = Duration::from_millis(10);

type Awaited = openraft::alias::OneshotReceiverOf<Types, ClientWriteResult<Types>>;

/// What openraft says of an append.
enum Outcome {
    /// It has taken it, and will say what becomes of it.
    Taken(Awaited),
    /// It has said so already.
    Said(<Awaited as Future>::Output),
    /// It was not asked: the epoch had ended.
    NotAsked,
}

/// Takes appends.
pub(crate) struct Appends {
    leadership: Arc<Leadership>,
    asked: mpsc::UnboundedSender<Asked>,
    under_way_bytes: Arc<AtomicUsize>,
    is_closing: watch::Receiver<bool>,
}

struct Asked {
    epoch: LeadershipEpoch,
    batch: Batch,
    weight: Weight,
    answer: oneshot::Sender<Appended>,
}

struct Waiting {
    epoch: LeadershipEpoch,
    /// How many records it is of.
    count: i64,
    outcome: Outcome,
    weight: Weight,
    answer: oneshot::Sender<Appended>,
}

/// What is counted for a batch until it is answered.
struct Weight(Arc<AtomicUsize>, usize);

impl Drop for Weight {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl Appends {
    pub(crate) fn new(
        raft: OpenRaft,
        leadership: Arc<Leadership>,
        is_closing: watch::Receiver<bool>,
    ) -> Self {
        let (asked, inbox) = mpsc::unbounded_channel();
        let (handed, waiting) = mpsc::unbounded_channel();
        process::spawn(hand_over(raft, Arc::clone(&leadership), inbox, handed));
        process::spawn(answer(Arc::clone(&leadership), waiting));
        Self { leadership, asked, under_way_bytes: Arc::default(), is_closing }
    }

    pub(crate) fn append(&self, epoch: LeadershipEpoch, records: Vec<Bytes>) -> Result<Appending, Refused> {
        let batch = Batch(Arc::from(records));
        let weight = self.admit(epoch, &batch)?;
        let (answer, answered) = oneshot::channel();
        self.asked.send(Asked { epoch, batch, weight, answer }).map_err(|_| Refused::Closed)?;
        Ok(Box::pin(async move {
            answered.await.unwrap_or_else(|_| Appended::Unknown("the metadata log's task has ended".into()))
        }))
    }

    fn admit(&self, epoch: LeadershipEpoch, batch: &Batch) -> Result<Weight, Refused> {
        let bytes = batch.len_bytes();
        if batch.0.is_empty() {
            return Err(Refused::Empty);
        }
        if bytes > MAX_BATCH_BYTES {
            return Err(Refused::TooLarge { bytes, most: MAX_BATCH_BYTES });
        }
        if *self.is_closing.borrow() {
            return Err(Refused::Closed);
        }
        if self.leadership.state().leading != Some(epoch) {
            return Err(Refused::NotLeading { asked: epoch, leader: self.leadership.leader() });
        }
        let bytes = bytes + BATCH_OVERHEAD_BYTES;
        let before = self.under_way_bytes.fetch_add(bytes, Ordering::Relaxed);
        // Given back when it is dropped, also right here.
        let weight = Weight(Arc::clone(&self.under_way_bytes), bytes);
        if before + bytes > MAX_UNDER_WAY_BYTES { Err(Refused::Busy { bytes: before }) } else { Ok(weight) }
    }
}

/// Hands appends to openraft, each when it is known that the one before it was taken. For openraft may refuse one and take
/// the next of the same term, and that one was decided on the one before it: the log must not have it alone. So one that is
/// refused for good ends the epoch, and none behind it is handed over.
async fn hand_over(
    raft: OpenRaft,
    leadership: Arc<Leadership>,
    mut inbox: mpsc::UnboundedReceiver<Asked>,
    handed: mpsc::UnboundedSender<Waiting>,
) {
    while let Some(Asked { epoch, batch, weight, answer }) = inbox.recv().await {
        let count = batch.count();
        let outcome = if leadership.state().ended >= epoch {
            Outcome::NotAsked
        } else {
            hand_over_one(&raft, &leadership, epoch, batch).await
        };
        if handed.send(Waiting { epoch, count, outcome, weight, answer }).is_err() {
            return;
        }
    }
}

/// Hands an append to openraft, which appends it in the epoch's term or not at all.
///
/// A leader whose signs of life were not answered for the length of a lease refuses it, and would take it a moment later. That
/// is no reason to stop leading: for how long the quorum may be silent is the keeper's matter, which ends the epoch then. Until
/// it does the same append is offered again, before any other.
async fn hand_over_one(
    raft: &OpenRaft,
    leadership: &Leadership,
    epoch: LeadershipEpoch,
    batch: Batch,
) -> Outcome {
    let mut state = leadership.watch();
    loop {
        let (responder, mut awaited) = OneshotResponder::<Types, ClientWriteResult<Types>>::new_pair();
        // Epochs are terms. What cannot be handed over drops the responder, and so is answered too.
        let _ = raft.write(batch.clone()).with_leader(leader(epoch)).responder(responder).await;
        // Openraft does one thing after another: when it answers this it has taken the append, or refused it. Where it has
        // stopped, it has dropped the responder.
        let _ = raft.with_raft_state(|_| ()).await;
        match futures_util::poll!(&mut awaited) {
            Poll::Pending => return Outcome::Taken(awaited),
            Poll::Ready(Ok(Err(refused))) if is_passing(&refused) => {
                tokio::select! {
                    biased;
                    () = ended(&mut state, epoch) => return Outcome::NotAsked,
                    () = tokio::time::sleep(OFFERED_AGAIN_AFTER) => {}
                }
            }
            Poll::Ready(said) => {
                if !matches!(said, Ok(Ok(_))) {
                    leadership.end(epoch);
                }
                return Outcome::Said(said);
            }
        }
    }
}

/// Whether openraft has refused an append, before it made an entry of it, for as long as the quorum is not heard.
fn is_passing(error: &ClientWriteError<Types>) -> bool {
    matches!(error, ClientWriteError::ForwardToLeader(forward) if forward.reason == ForwardReason::LeaseExpired)
}

fn leader(epoch: LeadershipEpoch) -> CommittedLeaderId {
    log_id(u64::try_from(epoch.0).unwrap_or(0), 0).leader_id
}

/// Answers appends in their order. One that is not answered when its epoch ends never need be: its outcome is unknown.
async fn answer(leadership: Arc<Leadership>, mut waiting: mpsc::UnboundedReceiver<Waiting>) {
    let mut state = leadership.watch();
    while let Some(Waiting { epoch, count, outcome, weight, answer }) = waiting.recv().await {
        let appended = match outcome {
            Outcome::NotAsked => {
                Appended::Rejected(Refused::NotLeading { asked: epoch, leader: leadership.leader() })
            }
            Outcome::Said(said) => appended(epoch, said, &leadership),
            Outcome::Taken(awaited) => tokio::select! {
                biased;
                said = awaited => appended(epoch, said, &leadership),
                () = ended(&mut state, epoch) => {
                    Appended::Unknown("leadership was lost before the records were committed".into())
                }
            },
        };
        match appended {
            Appended::Committed(first) => {
                process::observe(|| Observed::Acknowledges { epoch, end: Offset(first.0 + count) });
            }
            Appended::Rejected(_) | Appended::Unknown(_) => leadership.end(epoch),
        }
        drop(weight);
        // Whoever asked may have gone.
        let _ = answer.send(appended);
    }
}

async fn ended(state: &mut watch::Receiver<State>, epoch: LeadershipEpoch) {
    // The sender is in what the caller holds.
    let _ = state.wait_for(|state| state.ended >= epoch).await;
}

fn appended<E>(
    asked: LeadershipEpoch,
    outcome: Result<ClientWriteResult<Types>, E>,
    leadership: &Leadership,
) -> Appended {
    match outcome {
        Ok(Ok(response)) => match response.data.0 {
            // Only an entry of the epoch's own term was asked for.
            Some(first) if epoch(super::types::term_of(&response.log_id)) == asked => {
                Appended::Committed(first)
            }
            _ => Appended::Unknown("the entry that was committed is not the one that was asked for".into()),
        },
        // Openraft refused before it made an entry of it.
        Ok(Err(ClientWriteError::ForwardToLeader(_) | ClientWriteError::PreconditionFailed(_))) => {
            Appended::Rejected(Refused::NotLeading { asked, leader: leadership.leader() })
        }
        Ok(Err(error)) => Appended::Unknown(error.to_string().into()),
        Err(_) => Appended::Unknown("the quorum's task has ended".into()),
    }
}
