//! The metadata as far as they are replayed, and the decisions that run ahead of them while this node leads.
//!
//! A request is decided and its records are put in line for the log under one lock and without a pause in between, so that
//! the order of decisions is the order of the log, and nobody who gives up waiting leaves a decision half done. What then
//! becomes of it the deliveries of the log say, in order: records are replayed, whether somebody still waits for them or
//! not, and with the end of the leadership all that is decided and not committed is forgotten.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::warn;

use ottla_broadcast::{Appended, AtomicBroadcast, Refused as NotTaken};
use ottla_env::process;
use ottla_metadata::controller::{Refused, UncleanElection, WhyUnclean};
use ottla_metadata::image::ReplayError;
use ottla_metadata::{Controller, Decision, Image, Record};
use ottla_types::config::Settings;
use ottla_types::{ErrorCode, LeadershipEpoch, Offset};

use super::appender::{self, Appender, weight_of};

/// How many unclean elections of one decision are named.
const UNCLEAN_NAMED: usize = 10;

/// What is replayed, and what is decided.
pub(crate) struct ControllerHost {
    settings: Arc<Settings>,
    /// The largest batch that the log takes, in bytes.
    max_batch_bytes: usize,
    role: Mutex<Role>,
    /// To the task that appends; `None` when nothing is decided any more.
    appends: Mutex<Option<mpsc::UnboundedSender<appender::Decided>>>,
    /// The epoch in which this node leads.
    epoch: watch::Sender<Option<LeadershipEpoch>>,
}

enum Role {
    /// Another node decides, or none does.
    Following(Box<Image>),
    /// This node decides.
    Leading(Box<Leading>),
}

struct Leading {
    epoch: LeadershipEpoch,
    controller: Controller,
    /// The offset after the last record that is decided: while this node leads, nobody else appends.
    decided_end: Offset,
}

/// A request that is decided, and not yet committed.
pub(crate) struct Decided<A> {
    /// What to answer once everything below `end` is committed.
    pub(crate) answer: A,
    /// The leadership in which it was decided.
    pub(crate) epoch: LeadershipEpoch,
    /// The offset after the last record that was decided by then, those of earlier requests included.
    pub(crate) end: Offset,
    /// What becomes of its own records; `None` where it has none.
    pub(crate) done: Option<oneshot::Receiver<Appended>>,
    /// How much room they take while they are under way, in bytes.
    pub(crate) weight: usize,
}

impl ControllerHost {
    /// A host that has replayed nothing. What it has appended goes through a task among `tasks`.
    pub(crate) fn new(
        log: Arc<dyn AtomicBroadcast>,
        settings: Arc<Settings>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let max_batch_bytes = log.max_batch_bytes();
        let (appends, decided) = mpsc::unbounded_channel();
        process::spawn_in(tasks, Appender::new(log).run(decided));
        let role = Mutex::new(Role::Following(Box::default()));
        Self {
            settings,
            max_batch_bytes,
            role,
            appends: Mutex::new(Some(appends)),
            epoch: watch::Sender::new(None),
        }
    }

    /// The metadata as far as they are replayed.
    pub(crate) fn image(&self) -> Image {
        self.lock().image().clone()
    }

    /// The epoch in which this node leads, if it does.
    pub(crate) fn epoch(&self) -> watch::Receiver<Option<LeadershipEpoch>> {
        self.epoch.subscribe()
    }

    /// Replays committed records, the first of which is at `first`, and returns what they lead to.
    ///
    /// # Errors
    /// They do not follow: this node must not go on.
    pub(crate) fn replay(&self, first: Offset, records: &[Record]) -> Result<Image, ReplayError> {
        let mut role = self.lock();
        match &mut *role {
            Role::Leading(leading) => leading.controller.replay(first, records)?,
            Role::Following(image) => {
                for (offset, record) in (first.0..).zip(records) {
                    image.replay(Offset(offset), record)?;
                }
            }
        }
        Ok(role.image().clone())
    }

    /// Takes what a snapshot led to for what is replayed. It comes to nodes that do not lead.
    pub(crate) fn replace(&self, image: Image) {
        *self.lock() = Role::Following(Box::new(image));
        self.epoch.send_replace(None);
    }

    /// This node leads from here on. What an earlier leader may have left undone is done first.
    pub(crate) fn lead(&self, epoch: LeadershipEpoch) {
        let mut role = self.lock();
        let image = role.image().clone();
        let decided_end = end_of(&image);
        let controller = Controller::new(image, Arc::clone(&self.settings));
        let mut leading = Box::new(Leading { epoch, controller, decided_end });
        // Nobody waits for it: the next decision comes after it in the log, or is lost with it.
        if let Err(refused) = self.decide_on(&mut leading, Controller::activate) {
            warn!("the controller cannot begin with what it should: {}", refused.message);
        }
        *role = Role::Leading(leading);
        drop(role);
        self.epoch.send_replace(Some(epoch));
    }

    /// The leadership is over. What is decided and not committed is forgotten.
    pub(crate) fn follow(&self) {
        let mut role = self.lock();
        let image = role.image().clone();
        *role = Role::Following(Box::new(image));
        drop(role);
        self.epoch.send_replace(None);
    }

    /// Decides a request on all that was decided before it, and puts its records in line for the log.
    ///
    /// # Errors
    /// This node does not lead, or the log would not take the records. Nothing is changed then.
    pub(crate) fn decide<A>(
        &self,
        decide: impl FnOnce(&mut Controller) -> Decision<A>,
    ) -> Result<Decided<A>, Refused> {
        let mut role = self.lock();
        match &mut *role {
            Role::Leading(leading) => self.decide_on(leading, decide),
            Role::Following(_) => Err(not_controller()),
        }
    }

    fn decide_on<A>(
        &self,
        leading: &mut Leading,
        decide: impl FnOnce(&mut Controller) -> Decision<A>,
    ) -> Result<Decided<A>, Refused> {
        // A clone costs a few reference counts.
        let before = leading.controller.clone();
        let decision = decide(&mut leading.controller);
        let (batches, unclean, answer) = match decision.batches(self.max_batch_bytes) {
            Ok(batches) => batches,
            Err(too_large) => {
                leading.controller = before;
                return Err(Refused { error: ErrorCode::PolicyViolation, message: too_large.to_string() });
            }
        };
        let epoch = leading.epoch;
        if batches.is_empty() {
            return Ok(Decided { answer, epoch, end: leading.decided_end, done: None, weight: 0 });
        }
        let weight = batches.iter().map(|batch| weight_of(&batch.bytes)).sum();
        let count = batches.iter().map(|batch| batch.bytes.len()).sum::<usize>();
        let (done, outcome) = oneshot::channel();
        let batches = batches.into_iter().map(|batch| batch.bytes).collect();
        if !self.put_in_line(appender::Decided { epoch, batches, done }) {
            leading.controller = before;
            return Err(not_controller());
        }
        tell(leading.controller.speculative(), &unclean);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        leading.decided_end = Offset(leading.decided_end.0.saturating_add(count));
        Ok(Decided { answer, epoch, end: leading.decided_end, done: Some(outcome), weight })
    }

    /// Whether there is still somebody to append it.
    fn put_in_line(&self, decided: appender::Decided) -> bool {
        let appends = self.appends.lock().unwrap_or_else(PoisonError::into_inner);
        appends.as_ref().is_some_and(|appends| appends.send(decided).is_ok())
    }

    /// Nothing is decided any more, and the task that appends ends.
    pub(crate) fn end(&self) {
        self.follow();
        *self.appends.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn lock(&self) -> MutexGuard<'_, Role> {
        self.role.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Role {
    fn image(&self) -> &Image {
        match self {
            Self::Following(image) => image,
            Self::Leading(leading) => leading.controller.committed(),
        }
    }
}

/// The offset after the last record that an image stands for.
pub(crate) fn end_of(image: &Image) -> Offset {
    Offset(image.offset().map_or(0, |last| last.0.saturating_add(1)))
}

/// Tells of leaders that may lack records: somebody should look at what is lost. There can be one for each partition of a
/// broker, so only the first few are named.
fn tell(image: &Image, elections: &[UncleanElection]) {
    for election in elections.iter().take(UNCLEAN_NAMED) {
        let topic = image.topic(election.topic).map_or_else(String::new, |topic| topic.name.to_string());
        let why = match election.why {
            WhyUnclean::LastKnownLeader => "it led last, and nobody is left who is known to hold everything",
            WhyUnclean::Allowed => "the topic or the operator prefers any leader to none",
        };
        warn!(
            leader = %election.leader,
            "unclean election: the leader of {topic}-{} may lack records that were committed: {why}", election.index
        );
    }
    if let Some(more) = elections.len().checked_sub(UNCLEAN_NAMED).filter(|more| *more > 0) {
        warn!("unclean election: so it is with {more} more partitions");
    }
}

/// What a client is told when the log does not take what it asked for.
pub(crate) fn refused(not_taken: &NotTaken) -> Refused {
    let error = match not_taken {
        NotTaken::NotLeading { .. } | NotTaken::Closed => return not_controller(),
        NotTaken::TooLarge { .. } => ErrorCode::PolicyViolation,
        NotTaken::Busy { .. } => ErrorCode::RequestTimedOut,
        NotTaken::Io(_) => ErrorCode::KafkaStorageError,
        NotTaken::Empty => ErrorCode::UnknownServerError,
    };
    Refused { error, message: not_taken.to_string() }
}

/// What a client is told that should ask another node, or again.
pub(crate) fn not_controller() -> Refused {
    let message = "This is not the correct controller for this cluster.".to_owned();
    Refused { error: ErrorCode::NotController, message }
}
