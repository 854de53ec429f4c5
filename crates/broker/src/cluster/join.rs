//! How a node comes to the metadata log: as its own quorum, or as one of several voters.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use ottla_broadcast::quorum::VoterKey;
use ottla_broadcast::raft::RaftConfig;
use ottla_broadcast::{AtomicBroadcast, Raft, Single, founding};
use ottla_env::{Env, process};
use ottla_log::Held;
use ottla_metadata::liveness::Input;
use ottla_types::config::Settings;
use ottla_types::config::broker::node::{
    CONTROLLER_QUORUM_ELECTION_TIMEOUT_MS, CONTROLLER_QUORUM_FETCH_TIMEOUT_MS,
    INITIAL_BROKER_REGISTRATION_TIMEOUT_MS,
};
use ottla_types::config::listeners::Voter;
use ottla_types::{DirectoryId, Offset, TopicId};

use super::bootstrap::{Failed, Parts, TIMING};
use super::identity::check_no_voters;
use super::rejoin::Rejoin;
use super::{Bootstrap, Channel, ClusterId, Identity, Links, Metadata, Prober};
use crate::controller::{
    ActiveController, ControllerNode, ControllerService, Liveness, Quorum, Suspicion, do_chores,
    watch_brokers,
};
use crate::server::{
    Acceptor, Admission, ConnectionLimits, ConnectionSettings, RequestMemory, ResponseMemory, Shared,
    StateLines,
};
use crate::start::{Bound, StartError};

/// Bytes of requests of other nodes that may be in memory.
const REQUEST_MEMORY: u32 = 256 << 20;

/// Bytes of answers to other nodes that may be in memory.
const RESPONSE_MEMORY: usize = 256 << 20;

/// How long to wait before asking again for what a quorum knows.
const PAUSE: Duration = Duration::from_millis(50);

/// What a node has that follows the metadata log.
pub(crate) struct Joined {
    pub(crate) channel: Channel,
    /// What is served to other nodes, if there are any.
    pub(crate) node: Option<Arc<ControllerNode>>,
}

impl Joined {
    /// A node that is its own quorum.
    pub(crate) fn alone(env: &Env, settings: &Settings, controller: ActiveController) -> Self {
        let quorum = Quorum::alone(env, settings, &controller.metadata);
        let channel = Channel::new(controller, ClusterId::default(), None, quorum);
        Self { channel, node: None }
    }

    pub(crate) fn metadata(&self) -> &Arc<Metadata> {
        &self.channel.controller.metadata
    }
}

/// Opens the log of a node that is its own quorum. Nothing follows it yet, for it may turn out to be the wrong one: that is
/// [`follow`]'s.
pub(crate) async fn alone(
    env: &Env,
    settings: &Settings,
    directory: &Path,
) -> Result<(Arc<dyn AtomicBroadcast>, bool), StartError> {
    check_no_voters(&*env.disk, directory).await.map_err(StartError::Identity)?;
    let opened = Single::open(Arc::clone(&env.disk), directory, settings.node_id()).await?;
    opened.warnings.iter().for_each(|warning| warn!("{warning}"));
    Ok((opened.broadcast, opened.next == Offset(0)))
}

/// Follows a log, with all that belongs to a controller.
pub(crate) fn follow(
    env: &Env,
    settings: &Arc<Settings>,
    log: Arc<dyn AtomicBroadcast>,
    tasks: &mut JoinSet<()>,
) -> Result<ActiveController, StartError> {
    let inter_broker = settings.listeners().map_err(StartError::Listeners)?.inter_broker;
    let (liveness, inbox) = Liveness::new(env, settings, inter_broker);
    let metadata = Metadata::follow(settings, log, &liveness, tasks);
    let controller = ActiveController { metadata, liveness };
    process::spawn_in(tasks, watch(controller.clone(), Arc::clone(settings), inbox));
    Ok(controller)
}

/// What an active controller does by itself, until the metadata change no more.
async fn watch(controller: ActiveController, settings: Arc<Settings>, inbox: mpsc::UnboundedReceiver<Input>) {
    let ActiveController { metadata, liveness } = controller;
    tokio::select! {
        biased;
        _ = metadata.over() => {}
        () = watch_brokers(liveness, Arc::clone(&metadata.host), inbox) => {}
        () = do_chores(Arc::clone(&metadata), settings) => {}
    }
}

/// Becomes one of the voters that `controller.quorum.voters` lists, and waits until everything is replayed that the quorum has
/// committed.
pub(crate) async fn as_voter(
    env: &Env,
    settings: &Arc<Settings>,
    directory: &Path,
    controllers: Vec<Bound>,
    tasks: &mut JoinSet<()>,
    stopped: &watch::Receiver<bool>,
) -> Result<Joined, StartError> {
    let identity = Identity::of(env, directory, settings.node_id()).await?;
    let cluster_id = ClusterId::default();
    if let Some(founding) = identity.kept.as_ref().and_then(|kept| kept.founding.as_ref()) {
        let _ = cluster_id.set(founding.cluster_id.as_str().into());
    }
    let voters = settings.quorum_voters();
    let links = Arc::new(Links::new(&env.net, identity.me.id, &cluster_id, &voters));
    let raft = open_raft(env, settings, directory, identity.me, Arc::new(links.beside())).await?;
    let controller = follow(env, settings, Arc::<Raft>::clone(&raft), tasks)?;
    let suspicion = Suspicion::new(&raft, &links);
    let admin = Arc::<Raft>::clone(&raft);
    let quorum = Quorum::of_voter(env, settings, &controller.metadata, &cluster_id, admin);
    let prober = Arc::new(Prober::new(&env.net, identity.me.id, TIMING.patience));
    let (bootstrap, task) = Bootstrap::new(Parts {
        config: config(env, settings, &voters).await,
        kept: identity.kept,
        disk: Arc::clone(&env.disk),
        directory: directory.to_owned(),
        raft,
        cluster_id: Arc::clone(&cluster_id),
        prober: Arc::clone(&prober),
        listener: quorum.listener().to_owned(),
        rejoin: Rejoin {
            links: Arc::new(links.beside()),
            cluster_id: Arc::clone(&cluster_id),
            voters: voters.iter().map(|voter| voter.id).collect(),
        },
    });
    process::spawn_in(tasks, until_over(Arc::clone(&controller.metadata), task));
    let bootstrap = Arc::new(bootstrap);
    let node = Arc::new(ControllerNode {
        bootstrap: Arc::clone(&bootstrap),
        controller: controller.clone(),
        quorum: quorum.clone(),
        suspicion,
        voters,
        prober,
        rejoining: tokio::sync::Mutex::default(),
        core: OnceLock::new(),
        speaking: Mutex::default(),
    });
    serve(settings, controllers, &node, tasks, stopped)?;
    let channel = Channel::new(controller, cluster_id, Some(links), quorum);
    let joined = Joined { channel, node: Some(node) };
    match ready(settings, &bootstrap, joined.metadata()).await {
        Ok(()) => Ok(joined),
        Err(error) => {
            joined.metadata().close().await;
            Err(error)
        }
    }
}

/// What the machine is told that finds this node's place.
async fn config(env: &Env, settings: &Settings, voters: &[Voter]) -> founding::Config {
    let dirs: Vec<PathBuf> = settings.log_dirs().into_iter().map(PathBuf::from).collect();
    let held = Held::look(&*env.disk, &dirs).await;
    founding::Config {
        node_id: settings.node_id(),
        quorum: founding::Quorum::Voters(voters.to_vec()),
        data_of: held.cluster_id.map(|id| founding::ClusterId::new(&id)),
        log_of_data: held.log.map(|log| log.display().to_string()),
        proposed_cluster_id: founding::ClusterId::new(&TopicId::from_random(env.rng.id_bytes()).to_string()),
        // Both are known when the log is open.
        proposed_directory: DirectoryId::ZERO,
        known: founding::Known::default(),
        timing: TIMING,
    }
}

/// Carries out a task until the metadata change no more here.
async fn until_over(metadata: Arc<Metadata>, task: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        _ = metadata.over() => {}
        () = task => {}
    }
}

/// Waits until this node has its place and all that the quorum has committed.
async fn ready(settings: &Settings, bootstrap: &Bootstrap, metadata: &Metadata) -> Result<(), StartError> {
    let timeout_ms = u64::try_from(settings.get(&INITIAL_BROKER_REGISTRATION_TIMEOUT_MS)).unwrap_or(0);
    let ready = async {
        bootstrap.placed().await?;
        tokio::select! {
            biased;
            failed = bootstrap.failed() => Err(StartError::from(failed)),
            // What is waited for the machine tells.
            caught_up = catch_up_telling(metadata, |_| ()) => caught_up,
        }
    };
    match tokio::time::timeout(Duration::from_millis(timeout_ms), ready).await {
        Ok(Ok(())) => {
            bootstrap.leader_is_known().await;
            Ok(())
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            let why = bootstrap.waiting().await;
            let why = why.unwrap_or_else(|| "its voters are there, and none of them leads".to_owned());
            Err(StartError::NoQuorum { node_id: bootstrap.me.id, timeout_ms, why })
        }
    }
}

impl From<Failed> for StartError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::SetUp(problem) => problem.into(),
            Failed::Storage(why) => Self::Identity(std::io::Error::other(why)),
        }
    }
}

async fn open_raft(
    env: &Env,
    settings: &Settings,
    directory: &Path,
    me: VoterKey,
    links: Arc<Links>,
) -> Result<Arc<Raft>, StartError> {
    let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let config = RaftConfig {
        me,
        election_timeout: millis(settings.get(&CONTROLLER_QUORUM_ELECTION_TIMEOUT_MS)),
        fetch_timeout: millis(settings.get(&CONTROLLER_QUORUM_FETCH_TIMEOUT_MS)),
    };
    let opened = Raft::open(Arc::clone(&env.disk), Arc::clone(&env.rng), directory, config, links).await?;
    opened.warnings.iter().for_each(|warning| warn!("{warning}"));
    Ok(opened.raft)
}

/// Listens to other nodes.
fn serve(
    settings: &Arc<Settings>,
    controllers: Vec<Bound>,
    node: &Arc<ControllerNode>,
    tasks: &mut JoinSet<()>,
    stopped: &watch::Receiver<bool>,
) -> Result<(), StartError> {
    let shared = Shared {
        service: Arc::new(ControllerService { node: Arc::clone(node) }),
        admission: Admission::new(ConnectionLimits {
            total: usize::MAX,
            per_ip: usize::MAX,
            overrides: Default::default(),
        }),
        memory: RequestMemory::new(REQUEST_MEMORY),
        responses: ResponseMemory::new(RESPONSE_MEMORY),
        settings: Arc::new(ConnectionSettings::from(&**settings)),
        traffic: Arc::default(),
        stop: stopped.clone(),
    };
    for bound in controllers {
        let name: Arc<str> = bound.config.name.as_str().into();
        let listener = bound.address.listen().map_err(StartError::Bind)?;
        process::spawn_in(tasks, Acceptor { name, listener, shared: shared.clone() }.run());
    }
    Ok(())
}

/// Waits until everything is replayed that the quorum had committed before the call.
pub(super) async fn catch_up(metadata: &Metadata) -> Result<(), StartError> {
    let mut lines = StateLines::default();
    let tell = |why: &str| {
        if let Some(suppressed) = lines.admit(why, Instant::now()) {
            warn!(suppressed, "waiting for the metadata quorum: {why}");
        }
    };
    catch_up_telling(metadata, tell).await
}

async fn catch_up_telling(metadata: &Metadata, mut tell: impl FnMut(&str)) -> Result<(), StartError> {
    loop {
        match metadata.catch_up().await {
            Ok(()) => return Ok(()),
            Err(refused) if metadata.failure().is_some() => return Err(StartError::Replay(refused)),
            Err(refused) => tell(&refused.message),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
