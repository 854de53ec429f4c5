//! The metadata as the rest of the broker knows them: an image that changes, and a way to have it changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;

use ottla_broadcast::{Appended, AtomicBroadcast, LeaderHint};
use ottla_env::process;
use ottla_metadata::controller::Refused;
use ottla_metadata::{Controller, Decision, Image};
use ottla_types::config::Settings;
use ottla_types::config::broker::node::METADATA_LOG_MAX_RECORD_BYTES_BETWEEN_SNAPSHOTS;
use ottla_types::sabotage::{Sabotage, is};
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, LeadershipEpoch, Offset, TopicName};

use super::replay;
use super::snapshots::{self, Snapshots};
use super::steps::Steps;
use crate::controller::{ControllerHost, Liveness, not_controller, refused};

/// How many requests may be under way whose records fill the largest batch; smaller ones count for less.
const LARGE_REQUESTS_UNDER_WAY: usize = 4;

/// How long a change in doubt waits for the next leader to be known: some elections.
const NEXT_LEADER_WITHIN: Duration = Duration::from_secs(1);

/// The metadata of the cluster, on this node.
pub(crate) struct Metadata {
    node_id: BrokerId,
    pub(super) log: Arc<dyn AtomicBroadcast>,
    pub(crate) host: Arc<ControllerHost>,
    /// What requests see.
    image: watch::Sender<Arc<Image>>,
    /// The offset below which everything is replayed.
    pub(super) replayed_end: watch::Sender<Offset>,
    /// The offset below which everything is carried out on this broker.
    applied_end: watch::Sender<Offset>,
    pub(super) steps: Steps,
    pub(super) snapshots: Snapshots,
    /// Hears of brokers that come and go.
    pub(super) liveness: Arc<Liveness>,
    standing: watch::Sender<Standing>,
    /// Room for requests that are decided and not committed, in bytes.
    room: Semaphore,
    /// What a request is set aside before it is decided: what the largest batch takes.
    largest: u32,
}

/// Whether the metadata can still change on this node.
#[derive(Debug, Clone, Default)]
enum Standing {
    #[default]
    Running,
    /// The node stops.
    Stopped,
    /// They cannot until the node is started again.
    Failed(Arc<str>),
}

impl Metadata {
    /// Begins to follow a log, by tasks among `tasks`. What is replayed waits in steps: [`Self::skip_steps`] and
    /// `follower` take them.
    pub(crate) fn follow(
        settings: &Arc<Settings>,
        log: Arc<dyn AtomicBroadcast>,
        liveness: &Arc<Liveness>,
        tasks: &mut JoinSet<()>,
    ) -> Arc<Self> {
        let largest = log.max_batch_bytes();
        let between = settings.get(&METADATA_LOG_MAX_RECORD_BYTES_BETWEEN_SNAPSHOTS);
        let metadata = Arc::new(Self {
            node_id: settings.node_id(),
            host: Arc::new(ControllerHost::new(Arc::clone(&log), Arc::clone(settings), tasks)),
            log,
            image: watch::Sender::default(),
            replayed_end: watch::Sender::new(Offset(0)),
            applied_end: watch::Sender::new(Offset(0)),
            steps: Steps::default(),
            snapshots: Snapshots::every(usize::try_from(between).unwrap_or(usize::MAX)),
            liveness: Arc::clone(liveness),
            standing: watch::Sender::default(),
            room: Semaphore::new(
                largest.saturating_mul(LARGE_REQUESTS_UNDER_WAY).min(Semaphore::MAX_PERMITS),
            ),
            largest: u32::try_from(largest).unwrap_or(u32::MAX),
        });
        // Deliveries are taken once; who follows the log already has them.
        if let Some(deliveries) = metadata.log.deliveries() {
            process::spawn_in(tasks, replay::run(Arc::clone(&metadata), deliveries));
        }
        process::spawn_in(tasks, snapshots::run(Arc::clone(&metadata)));
        metadata
    }

    /// What is committed, and carried out here.
    pub(crate) fn image(&self) -> Arc<Image> {
        self.image.borrow().clone()
    }

    /// This node's id.
    pub(crate) fn node_id(&self) -> BrokerId {
        self.node_id
    }

    /// Whether this node is the active controller.
    pub(crate) fn is_leading(&self) -> bool {
        self.host.epoch().borrow().is_some()
    }

    /// Who seems to lead.
    pub(crate) fn leader(&self) -> watch::Receiver<LeaderHint> {
        self.log.leader()
    }

    /// The metadata log.
    pub(crate) fn log(&self) -> &dyn AtomicBroadcast {
        &*self.log
    }

    /// The offset below which everything is replayed, as it rises.
    pub(crate) fn replayed_end(&self) -> watch::Receiver<Offset> {
        self.replayed_end.subscribe()
    }

    /// Waits until everything is replayed that was committed anywhere before the call. Safe to cancel.
    ///
    /// # Errors
    /// The log has failed, or too few nodes agree on who leads: to be asked again.
    pub(crate) async fn catch_up(&self) -> Result<(), Refused> {
        let end = self
            .log
            .read_barrier()
            .await
            .map_err(|error| Refused { error: ErrorCode::NotController, message: error.to_string() })?;
        self.replayed(end).await
    }

    /// Makes an image what requests see.
    pub(super) fn publish(&self, image: Arc<Image>) {
        self.image.send_replace(image);
    }

    /// Says that everything below an offset is carried out.
    pub(super) fn applied(&self, end: Offset) {
        self.applied_end.send_replace(end);
    }

    /// Makes all that is replayed so far what requests see, although nothing of it is carried out: for a broker that
    /// starts, and then carries out the whole image at once.
    pub(crate) fn skip_steps(&self) -> Arc<Image> {
        while let Some(step) = self.steps.take() {
            self.publish(step.image);
        }
        self.image()
    }

    /// Waits until this node leads the metadata log, and so has replayed all that was committed before. Safe to cancel.
    ///
    /// # Errors
    /// The log has failed.
    pub(crate) async fn leading(&self) -> Result<LeadershipEpoch, Refused> {
        let mut epoch = self.host.epoch();
        let leading = async {
            let leading = epoch.wait_for(Option::is_some).await.ok().and_then(|epoch| *epoch);
            match leading {
                Some(epoch) => epoch,
                // The sender is in `self`.
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            epoch = leading => Ok(epoch),
            refused = self.over() => Err(refused),
        }
    }

    /// Has the controller decide a change, and waits until it is committed and replayed. Safe to cancel: what is decided
    /// takes its course.
    ///
    /// Returns the answer, with the offset below which lies all that it tells of.
    ///
    /// # Errors
    /// This node does not lead, the log did not take the change, or whether it did is not known: that is
    /// KAFKA_STORAGE_ERROR.
    pub(crate) async fn commit<A>(
        &self,
        decide: impl FnOnce(&mut Controller) -> Decision<A> + Send,
    ) -> Result<(A, Offset), Refused> {
        let mut room = self.room().await?;
        let decided = self.host.decide(decide)?;
        // The rest of what was set aside is for others.
        drop(room.split(room.num_permits().saturating_sub(decided.weight)));
        match decided.done {
            _ if is(Sabotage::AnswersBeforeCommit) => {}
            // What the answer was decided on may be of others, and be lost yet.
            None => self.replayed_in(decided.epoch, decided.end).await?,
            Some(done) => match done.await {
                Ok(Appended::Committed(_)) => self.replayed(decided.end).await?,
                Ok(Appended::Rejected(why)) => return Err(refused(&why)),
                Ok(Appended::Unknown(reason)) => return Err(self.in_doubt(&reason).await),
                Err(_) => return Err(unavailable("the broker stops")),
            },
        }
        Ok((decided.answer, decided.end))
    }

    /// What is told of a change that may be in the log, or come to be. Where the log has failed, no other node can say more.
    /// Else leadership was lost, and clients ask the next leader, as they do of Kafka: it may tell them that it is done.
    /// Which of the two it is, is heard of after the change's own end.
    async fn in_doubt(&self, reason: &str) -> Refused {
        let mut leader = self.leader();
        let another_leads = async {
            if leader.wait_for(|hint| hint.leader.is_some_and(|id| id != self.node_id)).await.is_err() {
                std::future::pending().await
            }
        };
        let not_controller = || Refused { error: ErrorCode::NotController, message: reason.to_owned() };
        tokio::select! {
            biased;
            over = self.over() => over,
            () = another_leads => not_controller(),
            () = tokio::time::sleep(NEXT_LEADER_WITHIN) => not_controller(),
        }
    }

    /// The offset below which everything is carried out on this broker.
    pub(crate) fn applied_end(&self) -> Offset {
        *self.applied_end.borrow()
    }

    /// Waits until everything below an offset is carried out on this broker. Safe to cancel.
    ///
    /// # Errors
    /// The metadata change no more on this node.
    pub(crate) async fn carried_out(&self, end: Offset) -> Result<(), Refused> {
        if is(Sabotage::AnswersBeforeCommit) {
            return Ok(());
        }
        let mut applied = self.applied_end.subscribe();
        tokio::select! {
            biased;
            _ = applied.wait_for(|applied| *applied >= end) => Ok(()),
            refused = self.over() => Err(refused),
        }
    }

    /// Waits until a broker's registration is replayed. Safe to cancel.
    ///
    /// # Errors
    /// The log has failed.
    pub(crate) async fn replayed_registration(
        &self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<(), Refused> {
        let mut replayed = self.replayed_end.subscribe();
        let is_there = |_: &Offset| {
            let image = self.host.image();
            image.broker(broker).is_some_and(|broker| broker.registration.epoch >= epoch)
        };
        tokio::select! {
            biased;
            _ = replayed.wait_for(is_there) => Ok(()),
            refused = self.over() => Err(refused),
        }
    }

    /// Waits until requests see a topic. Safe to cancel.
    pub(crate) async fn carried_out_topic(&self, name: &TopicName) {
        let mut image = self.image.subscribe();
        // The sender is in `self`.
        let _ = image.wait_for(|image| image.topic_by_name(name.as_str()).is_some()).await;
    }

    /// Room for the largest batch.
    async fn room(&self) -> Result<SemaphorePermit<'_>, Refused> {
        tokio::select! {
            biased;
            // A log that has failed commits nothing, and so gives no room back.
            refused = self.over() => Err(refused),
            // It is never closed.
            room = self.room.acquire_many(self.largest) => room.map_err(|_| not_controller()),
        }
    }

    /// Waits until everything below an offset is replayed.
    pub(crate) async fn replayed(&self, end: Offset) -> Result<(), Refused> {
        let mut replayed = self.replayed_end.subscribe();
        tokio::select! {
            biased;
            _ = replayed.wait_for(|replayed| *replayed >= end) => Ok(()),
            refused = self.over() => Err(refused),
        }
    }

    /// The same of what was decided in an epoch, and is lost if it is not committed in it.
    async fn replayed_in(&self, epoch: LeadershipEpoch, end: Offset) -> Result<(), Refused> {
        let mut leading = self.host.epoch();
        tokio::select! {
            biased;
            replayed = self.replayed(end) => replayed,
            _ = leading.wait_for(|now| *now != Some(epoch)) => Err(not_controller()),
        }
    }

    /// Why the metadata log takes nothing more, if it failed.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        match &*self.standing.borrow() {
            Standing::Failed(reason) => Some(Arc::clone(reason)),
            Standing::Running | Standing::Stopped => None,
        }
    }

    /// Waits until the metadata log has failed, and tells why. Safe to cancel.
    pub(crate) async fn failed(&self) -> Arc<str> {
        let mut standing = self.standing.subscribe();
        let failed = standing.wait_for(|standing| matches!(standing, Standing::Failed(_))).await.ok();
        let reason = failed.and_then(|standing| match &*standing {
            Standing::Failed(reason) => Some(Arc::clone(reason)),
            Standing::Running | Standing::Stopped => None,
        });
        match reason {
            Some(reason) => reason,
            // The sender is in `self`.
            None => std::future::pending().await,
        }
    }

    /// Says that the metadata change no more until this node is started again. The first reason stays.
    pub(super) fn fail(&self, reason: &str) {
        self.standing.send_if_modified(|standing| {
            let runs = matches!(standing, Standing::Running);
            if runs {
                tracing::error!(
                    "the metadata log takes no more changes until the node is started again: {reason}"
                );
                *standing = Standing::Failed(reason.into());
            }
            runs
        });
        self.host.end();
        self.steps.end();
    }

    /// Says that the deliveries have ended, since the log was closed.
    pub(super) fn ended(&self) {
        self.stop();
        self.host.end();
        self.steps.end();
    }

    fn stop(&self) {
        self.standing.send_if_modified(|standing| {
            let runs = matches!(standing, Standing::Running);
            if runs {
                *standing = Standing::Stopped;
            }
            runs
        });
    }

    /// Waits until the metadata change no more here, and says what a client is told then.
    pub(crate) async fn over(&self) -> Refused {
        let mut standing = self.standing.subscribe();
        match standing.wait_for(|standing| !matches!(standing, Standing::Running)).await.as_deref() {
            Ok(Standing::Failed(reason)) => unavailable(reason),
            _ => unavailable("the broker stops"),
        }
    }

    /// Closes the metadata log: nothing changes any more, and the tasks that follow it end.
    pub(crate) async fn close(&self) {
        self.log.close().await;
        self.stop();
    }
}

fn unavailable(reason: &str) -> Refused {
    Refused {
        error: ErrorCode::KafkaStorageError,
        message: format!("the metadata log cannot be written: {reason}"),
    }
}
