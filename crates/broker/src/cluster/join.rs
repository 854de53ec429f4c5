//! How a node comes to the metadata log: as its own quorum, or as one of several voters.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use ottla_broadcast::quorum::VoterKey;
use ottla_broadcast::raft::RaftConfig;
use ottla_broadcast::{AtomicBroadcast, Raft, Single};
use ottla_env::{Env, process};
use ottla_metadata::liveness::Input;
use ottla_types::Offset;
use ottla_types::config::Settings;
use ottla_types::config::broker::node::{
    CONTROLLER_QUORUM_ELECTION_TIMEOUT_MS, CONTROLLER_QUORUM_FETCH_TIMEOUT_MS,
    INITIAL_BROKER_REGISTRATION_TIMEOUT_MS,
};

use super::identity::check_no_voters;
use super::{Bootstrap, Channel, ClusterId, Identity, Links, Metadata};
use crate::controller::{
    ActiveController, ControllerNode, ControllerService, Liveness, Quorum, do_chores, watch_brokers,
};
use crate::server::{
    Acceptor, Admission, ConnectionLimits, ConnectionSettings, LogLimit, RequestMemory, ResponseMemory,
    Shared,
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
        let channel = Channel { controller, cluster_id: ClusterId::default(), links: None, quorum };
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
    let node_id = settings.node_id();
    let identity = Identity::of(env, directory, node_id).await.map_err(StartError::Identity)?;
    let cluster_id = ClusterId::default();
    if let Some(known) = &identity.cluster_id {
        let _ = cluster_id.set(known.as_str().into());
    }
    let voters = settings.quorum_voters();
    let links = Arc::new(Links::new(&env.net, node_id, &cluster_id, &voters));
    let raft = open_raft(env, settings, directory, &identity, Arc::new(links.beside())).await?;
    let controller = follow(env, settings, Arc::<Raft>::clone(&raft), tasks)?;
    let admin = Arc::<Raft>::clone(&raft);
    let quorum = Quorum::of_voter(env, settings, &controller.metadata, &cluster_id, admin);
    let bootstrap = Arc::new(Bootstrap {
        identity,
        directory: directory.to_owned(),
        disk: Arc::clone(&env.disk),
        voters,
        raft,
        cluster_id: cluster_id.clone(),
        links: Arc::clone(&links),
    });
    let node = Arc::new(ControllerNode {
        bootstrap: Arc::clone(&bootstrap),
        controller: controller.clone(),
        quorum: quorum.clone(),
        core: OnceLock::new(),
        speaking: Mutex::default(),
    });
    serve(settings, controllers, &node, tasks, stopped)?;
    let channel = Channel { controller, cluster_id, links: Some(links), quorum };
    let joined = Joined { channel, node: Some(node) };
    let timeout = u64::try_from(settings.get(&INITIAL_BROKER_REGISTRATION_TIMEOUT_MS)).unwrap_or(0);
    let ready = async {
        bootstrap.run().await.map_err(StartError::Bootstrap)?;
        tokio::select! {
            biased;
            caught_up = catch_up(joined.metadata()) => caught_up,
            error = bootstrap.disagreement() => Err(StartError::Bootstrap(error)),
        }
    };
    match tokio::time::timeout(Duration::from_millis(timeout), ready).await {
        Ok(Ok(())) => Ok(joined),
        Ok(Err(error)) => {
            joined.metadata().close().await;
            Err(error)
        }
        Err(_) => {
            joined.metadata().close().await;
            Err(StartError::NoQuorum { node_id, timeout_ms: timeout })
        }
    }
}

async fn open_raft(
    env: &Env,
    settings: &Settings,
    directory: &Path,
    identity: &Identity,
    links: Arc<Links>,
) -> Result<Arc<Raft>, StartError> {
    let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let config = RaftConfig {
        me: VoterKey { id: identity.node_id, directory: identity.directory },
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

async fn catch_up(metadata: &Metadata) -> Result<(), StartError> {
    let mut limit = LogLimit::default();
    loop {
        let refused = match metadata.catch_up().await {
            Ok(()) => return Ok(()),
            Err(refused) if metadata.failure().is_some() => return Err(StartError::Replay(refused)),
            Err(refused) => refused,
        };
        if let Some(suppressed) = limit.admit(Instant::now()) {
            warn!(suppressed, "waiting for the metadata quorum: {}", refused.message);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
