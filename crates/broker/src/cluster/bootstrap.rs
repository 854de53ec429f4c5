//! How a voter comes to its place in the quorum: carries out what the machine of `ottla_broadcast::founding` decides.
//!
//! A task owns the machine. It asks the listed nodes, keeps the record, begins the log, and answers who asks; until it
//! has found this node's place no message of the quorum is answered ([`Bootstrap::is_placed`]). What is not here: the rules, and why
//! nobody votes twice by them; what is said on the wire (`probe`); how a lost directory's successor is voted in (`rejoin`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::{error, info, warn};

use ottla_broadcast::founding::{
    self, Answer, Effect, Founding, Input, Known, Leader, ProbeId, Problem, Question, Record, Timing,
};
use ottla_broadcast::quorum::VoterKey;
use ottla_broadcast::raft::InitialiseError;
use ottla_broadcast::{AtomicBroadcast as _, BoxFuture, QuorumAdmin as _, Raft};
use ottla_env::Disk;

use super::identity::ClusterId;
use super::probe::Prober;
use super::rejoin::Rejoin;

/// When others are asked. A warning that something is waited for comes only when a start in common would be over.
pub(crate) const TIMING: Timing = Timing {
    pause: Duration::from_millis(50),
    patience: Duration::from_secs(1),
    warn_after: Duration::from_secs(2),
    warn_every: Duration::from_secs(10),
};

/// How long a node that does not start goes on to answer, so that the others learn what is wrong too.
const LINGER: Duration = Duration::from_secs(1);

/// How long the voters leave the first election to the one with the lowest id. If that is gone, any other one will do.
const FIRST_TURN: Duration = Duration::from_millis(1_500);

/// How many may ask at once. Who asks beyond that asks again.
const WAITING: usize = 64;

/// What the rest of the node has of it.
pub(crate) struct Bootstrap {
    /// Who this node is.
    pub(crate) me: VoterKey,
    pub(crate) cluster_id: ClusterId,
    pub(crate) raft: Arc<Raft>,
    place: watch::Receiver<Place>,
    inbox: mpsc::Sender<Told>,
}

/// Where this node is on its way.
#[derive(Debug, Clone)]
enum Place {
    /// It may not vote, nor follow.
    Looking,
    /// It has its place: as a voter, or until it is one as an observer.
    Found,
    /// It stops.
    Failed(Failed),
}

/// Why a node does not start.
#[derive(Debug, Clone)]
pub(crate) enum Failed {
    /// The nodes are not set up to be a quorum.
    SetUp(Problem),
    /// The metadata directory cannot be used.
    Storage(String),
}

/// What the task is told.
enum Told {
    Asked(Question, oneshot::Sender<Option<Answer>>),
    LeaderKnown,
    /// Somebody wants to know what is waited for.
    Waiting(oneshot::Sender<Option<String>>),
}

/// What has been done that an effect asked for.
enum Done {
    Probed(ProbeId, Result<Answer, String>),
    Stored(std::io::Result<()>),
    Begun(Result<(), InitialiseError>),
    /// Nothing is to be told of it.
    Finished,
    Lingered,
}

/// What the task works with.
pub(crate) struct Parts {
    pub(crate) config: founding::Config,
    pub(crate) kept: Option<Record>,
    pub(crate) disk: Arc<dyn Disk>,
    /// The metadata directory.
    pub(crate) directory: PathBuf,
    pub(crate) raft: Arc<Raft>,
    pub(crate) cluster_id: ClusterId,
    pub(crate) prober: Arc<Prober>,
    /// The name of the controllers' listener.
    pub(crate) listener: String,
    pub(crate) rejoin: Rejoin,
}

impl Bootstrap {
    /// A node that starts, and the task that it needs as long as it runs.
    pub(crate) fn new(mut parts: Parts) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let me = parts.raft.key();
        // Whoever has no list by now only joins.
        parts.config.proposed_directory = me.directory;
        parts.config.known = known(&parts.raft);
        let (place, is_placed) = watch::channel(Place::Looking);
        let (sender, inbox) = mpsc::channel(WAITING);
        let (cluster_id, raft) = (Arc::clone(&parts.cluster_id), Arc::clone(&parts.raft));
        let task = async move {
            let has_state = !parts.raft.is_empty();
            let (config, kept) = (parts.config.clone(), parts.kept.take());
            let (machine, effects) = founding::Bootstrap::start(config, kept, has_state, Duration::ZERO);
            let under_way = FuturesUnordered::new();
            let mut shell =
                Shell { parts, machine, began: Instant::now(), inbox, under_way, place, failing: None };
            shell.carry_out(effects, None);
            shell.run().await;
        };
        (Self { me, cluster_id, raft, place: is_placed, inbox: sender }, task)
    }

    /// Whether this node may answer messages of the quorum.
    pub(crate) fn is_placed(&self) -> bool {
        matches!(*self.place.borrow(), Place::Found)
    }

    /// What this node says of itself; `None` where it cannot say yet.
    pub(crate) async fn asked(&self, question: Question) -> Option<Answer> {
        let (sender, answer) = oneshot::channel();
        self.inbox.try_send(Told::Asked(question, sender)).ok()?;
        answer.await.ok().flatten()
    }

    /// Says that the quorum has a leader: nothing is left to look for.
    pub(crate) async fn leader_is_known(&self) {
        // Who has ended looks for nothing either.
        let _ = self.inbox.send(Told::LeaderKnown).await;
    }

    /// What this node waits for, in words, if it does.
    pub(crate) async fn waiting(&self) -> Option<String> {
        let (sender, waiting) = oneshot::channel();
        self.inbox.send(Told::Waiting(sender)).await.ok()?;
        waiting.await.ok().flatten()
    }

    /// Waits until this node has its place, and returns nothing then; or why it has none. Safe to cancel.
    pub(crate) async fn placed(&self) -> Result<(), Failed> {
        let mut place = self.place.clone();
        match place.wait_for(|place| !matches!(place, Place::Looking)).await.as_deref() {
            Ok(Place::Failed(failed)) => Err(failed.clone()),
            Ok(_) => Ok(()),
            Err(_) => {
                Err(Failed::Storage("the task that looks for the metadata quorum has ended".to_owned()))
            }
        }
    }

    /// Waits until this node turns out to be wrong where it is. Safe to cancel.
    pub(crate) async fn failed(&self) -> Failed {
        let mut place = self.place.clone();
        if let Ok(place) = place.wait_for(|place| matches!(place, Place::Failed(_))).await
            && let Place::Failed(failed) = &*place
        {
            return failed.clone();
        }
        std::future::pending().await
    }
}

/// What the log knows of its quorum.
fn known(raft: &Raft) -> Known {
    let hint = *raft.leader().borrow();
    Known { leader: hint.leader.map(|id| Leader { id, epoch: hint.epoch }), voters: raft.members() }
}

/// The task.
struct Shell {
    parts: Parts,
    machine: founding::Bootstrap,
    began: Instant,
    inbox: mpsc::Receiver<Told>,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    place: watch::Sender<Place>,
    /// Why this node stops as soon as the others have had the time to hear it.
    failing: Option<Problem>,
}

impl Shell {
    /// Until nobody needs it any more.
    async fn run(mut self) {
        loop {
            let wakes_at = self.machine.wakes_at().map(|at| self.began + at);
            let done = tokio::select! {
                biased;
                told = self.inbox.recv() => match told {
                    Some(told) => { self.hear(told); continue }
                    None => return,
                },
                Some(done) = self.under_way.next(), if !self.under_way.is_empty() => done,
                () = sleep_until(wakes_at) => {
                    self.step(Input::Tick, None);
                    continue;
                }
            };
            match done {
                Done::Probed(probe, Ok(answer)) => self.step(Input::Answered(probe, answer), None),
                Done::Probed(probe, Err(why)) => self.step(Input::Unanswered(probe, why), None),
                Done::Stored(Ok(())) => self.step(Input::Stored, None),
                Done::Stored(Err(error)) => self.fail(Failed::Storage(error.to_string())),
                Done::Begun(Ok(())) => info!("wrote who votes in the metadata quorum"),
                // Another one was quicker, and has spoken to this one.
                Done::Begun(Err(InitialiseError::NotEmpty)) | Done::Finished => {}
                Done::Begun(Err(error)) => self.fail(Failed::Storage(error.to_string())),
                Done::Lingered => {
                    if let Some(problem) = self.failing.clone() {
                        self.fail(Failed::SetUp(problem));
                    }
                }
            }
        }
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Asked(question, answer) => {
                let known = known(&self.parts.raft);
                self.step(Input::Asked(question, known), Some(answer));
            }
            Told::LeaderKnown => self.step(Input::LeaderKnown, None),
            Told::Waiting(sender) => {
                let waiting = self.machine.waiting(self.began.elapsed());
                // Who asked may have gone.
                let _ = sender.send(waiting.map(|waiting| waiting.to_string()));
            }
        }
    }

    fn step(&mut self, input: Input, asks: Option<oneshot::Sender<Option<Answer>>>) {
        let effects = self.machine.step(input, self.began.elapsed());
        self.carry_out(effects, asks);
    }

    /// `asks`: who is to be answered.
    fn carry_out(&mut self, effects: Vec<Effect>, mut asks: Option<oneshot::Sender<Option<Answer>>>) {
        for effect in effects {
            match effect {
                Effect::Probe(probe, target) => {
                    let (prober, question) = (Arc::clone(&self.parts.prober), self.machine.question());
                    self.begin(async move {
                        Done::Probed(probe, prober.ask(&target.address, &question, TIMING.patience).await)
                    });
                }
                Effect::Store(record) => {
                    let (disk, directory) = (Arc::clone(&self.parts.disk), self.parts.directory.clone());
                    self.begin(async move { Done::Stored(record.store(&*disk, &directory).await) });
                }
                Effect::Answer(answer) => tell(asks.take(), Some(answer)),
                Effect::AnswerLater => tell(asks.take(), None),
                Effect::Initialise(me, founding) => self.initialise(me, &founding),
                Effect::Resume(_, cluster_id) => self.take_place(&cluster_id),
                Effect::JoinAsObserver { me, cluster_id, replaces, leader } => {
                    self.take_place(&cluster_id);
                    self.observe(me, replaces, leader);
                }
                Effect::Warn(warning) => warn!("{warning}"),
                Effect::Fail(problem) => {
                    self.failing = Some(problem);
                    self.begin(async {
                        tokio::time::sleep(LINGER).await;
                        Done::Lingered
                    });
                }
            }
        }
    }

    fn begin(&mut self, what: impl Future<Output = Done> + Send + 'static) {
        self.under_way.push(Box::pin(what));
    }

    /// Before anything is said in the cluster's name.
    fn take_place(&mut self, cluster_id: &founding::ClusterId) {
        // What the directory keeps may have set it, to the same.
        let _ = self.parts.cluster_id.set(cluster_id.as_str().into());
        self.place.send_replace(Place::Found);
    }

    fn initialise(&mut self, me: VoterKey, founding: &Founding) {
        self.take_place(&founding.cluster_id);
        let voters = founding.electorate(&self.parts.listener);
        let is_first = voters.iter().map(|voter| voter.key).min() == Some(me);
        let founded = founding.voters.len();
        info!(cluster_id = %founding.cluster_id, voters = founded, "this node votes in the metadata quorum");
        let raft = Arc::clone(&self.parts.raft);
        self.begin(async move {
            if !is_first {
                tokio::time::sleep(FIRST_TURN).await;
            }
            Done::Begun(raft.begin(voters).await)
        });
    }

    fn observe(&mut self, me: VoterKey, replaces: Option<VoterKey>, leader: Option<Leader>) {
        let Some(lost) = replaces else { return };
        warn!(
            "the metadata directory of node {} is new, {}, and the quorum was founded with {}: the one that voted is taken for lost, \
             and this node asks the quorum's leader to let the new one vote in its place",
            me.id, me.directory, lost.directory
        );
        let rejoin = self.parts.rejoin.clone();
        self.begin(async move {
            rejoin.run(me, leader.map(|leader| leader.id)).await;
            Done::Finished
        });
    }

    fn fail(&mut self, failed: Failed) {
        if let Failed::Storage(why) = &failed {
            error!("the metadata directory cannot be used: {why}");
        }
        self.place.send_replace(Place::Failed(failed));
    }
}

fn tell(asks: Option<oneshot::Sender<Option<Answer>>>, answer: Option<Answer>) {
    if let Some(asks) = asks {
        // Whoever has gone meanwhile needs no answer.
        let _ = asks.send(answer);
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
