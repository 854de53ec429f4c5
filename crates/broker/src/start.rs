//! What happens before a broker serves: addresses, directories, identity, metadata, registration, logs.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use ottla_broadcast::founding::Problem;
use ottla_env::{BoundAddr, Env, ListenOptions, Listener};
use ottla_log::{LogDirs, LogDirsConfig, PreviousRun};
use ottla_metadata::Image;
use ottla_metadata::controller::Refused;
use ottla_metadata::controller::brokers::Registration;
use ottla_metadata::record::{Endpoint, IncarnationId, LastRun, PartitionState, SecurityProtocol};
use ottla_types::config::broker::{log, network, node};
use ottla_types::config::listeners::{self, Audience, ListenerProblem};
use ottla_types::config::{Layers, Settings};
use ottla_types::{BrokerEpoch, BrokerId, TopicId, TopicPartition};

use crate::broker::Core;
use crate::cluster::join::{self, Joined};
use crate::cluster::{Channel, ObserverError, as_observer, register, unfence};
use crate::controller::ControllerNode;
use crate::metadata_place::{self, MetadataPlaceError};
use crate::replicas::{Replica, log_config, topic_config};
use crate::roles::{Role, RoleError};
use crate::server::{ConnectionLimits, ConnectionSettings};

/// Requests in memory at once where `queued.max.request.bytes` sets no limit: nothing here is unbounded.
const DEFAULT_REQUEST_MEMORY: u32 = 512 << 20;

/// The most that can be asked for: a semaphore counts the bytes.
const MAX_REQUEST_MEMORY: u32 = 1 << 31;

/// The epoch of a node that is no broker.
const NO_BROKER: BrokerEpoch = BrokerEpoch(-1);

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listeners' settings do not fit together.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Listeners(Vec<ListenerProblem>),
    /// A setting asks for something that is not there yet.
    #[error("{0}")]
    NotYet(String),
    /// An address cannot be listened on.
    #[error("listeners: {}{}", .0, hint(.0))]
    Bind(std::io::Error),
    /// `/metrics` and `/health` cannot be served.
    #[error("metrics.listener: {}{}", .0, hint(.0))]
    Metrics(std::io::Error),
    /// A log directory cannot be used.
    #[error(transparent)]
    Logs(#[from] ottla_log::Error),
    /// The metadata log cannot be used.
    #[error(transparent)]
    Metadata(#[from] ottla_broadcast::OpenError),
    /// Who this node is in the metadata quorum cannot be told.
    #[error("the metadata directory: {0}")]
    Identity(std::io::Error),
    /// The voters do not fit together.
    #[error(transparent)]
    Bootstrap(#[from] Problem),
    /// Too few voters were there.
    #[error(
        "node {node_id} found no metadata quorum within {timeout_ms} ms (initial.broker.registration.timeout.ms): {why}"
    )]
    NoQuorum {
        /// This node.
        node_id: BrokerId,
        /// How long it waited.
        timeout_ms: u64,
        /// For what.
        why: String,
    },
    /// The metadata log holds what cannot be replayed, or failed at once.
    #[error("{}", .0.message)]
    Replay(Refused),
    /// The metadata log is not where the data are.
    #[error(transparent)]
    MetadataPlace(#[from] MetadataPlaceError),
    /// The node cannot be what its settings say.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// A broker that does not vote finds no quorum to belong to.
    #[error(transparent)]
    Observer(#[from] ObserverError),
    /// Another broker has this one's id, and lives.
    #[error(
        "node.id {id} is taken: another broker with that id is running{at}. Each node of a cluster needs a node.id of its own: \
         set another one here, or stop the other broker"
    )]
    IdTaken {
        /// The id.
        id: BrokerId,
        /// Where the other one is reached, as far as it is known: with a word before it, or empty.
        at: String,
    },
    /// The broker cannot register.
    #[error("the broker cannot register with the controller: {}: {}", .0.error, .0.message)]
    Register(Refused),
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => ". Is another process listening there?",
        std::io::ErrorKind::AddrNotAvailable => ". It is no address of this machine",
        _ => "",
    }
}

/// An address that is taken, and not listened on yet.
pub(crate) struct Bound {
    pub(crate) config: listeners::Listener,
    pub(crate) address: Box<dyn BoundAddr>,
}

/// The addresses of a node.
pub(crate) struct Addresses {
    /// What it is to be: that decides which it needs.
    pub(crate) role: Role,
    pub(crate) clients: Vec<Bound>,
    /// For other nodes; none where there are no other voters.
    pub(crate) controllers: Vec<Bound>,
}

/// A broker that has its identity, and its place in the metadata.
pub(crate) struct Booted {
    pub(crate) node_id: BrokerId,
    pub(crate) cluster_id: Arc<str>,
    pub(crate) epoch: BrokerEpoch,
    pub(crate) channel: Channel,
    pub(crate) node: Option<Arc<ControllerNode>>,
    pub(crate) logs: LogDirs,
}

/// Takes the addresses, so that one that cannot be had is told before anything else is done. Who connects is
/// refused until they are listened on: recovery may take its time, and a client that waited for it would not try another
/// broker meanwhile.
pub(crate) async fn bind(env: &Env, settings: &Settings) -> Result<Addresses, StartError> {
    let role = Role::of(settings, &env.net.hostname())?;
    let options = listen_options(settings);
    let is_alone = role == Role::Alone;
    let mut bound = Addresses { role, clients: Vec::new(), controllers: Vec::new() };
    for config in settings.listeners().map_err(StartError::Listeners)?.all {
        if config.audience == Audience::Controllers && is_alone {
            info!(
                listener = %config.name,
                "not opened: a broker that is its own quorum takes no others beside it. For a cluster, list more voters in \
                 controller.quorum.voters, or run a controller alone (process.roles=controller)"
            );
            continue;
        }
        if config.protocol != listeners::SecurityProtocol::Plaintext {
            return Err(StartError::NotYet(format!(
                "listener {} is to speak {}, and only PLAINTEXT is there yet: change listener.security.protocol.map",
                config.name,
                config.protocol.name()
            )));
        }
        let address =
            env.net.bind(&config.bind.host, config.bind.port, options).await.map_err(StartError::Bind)?;
        match config.audience {
            Audience::Clients => bound.clients.push(Bound { config, address }),
            Audience::Controllers => bound.controllers.push(Bound { config, address }),
        }
    }
    Ok(bound)
}

/// Listens on the addresses, in their order.
pub(crate) fn listen(bound: Vec<Bound>) -> Result<Vec<Box<dyn Listener>>, StartError> {
    bound.into_iter().map(|bound| bound.address.listen().map_err(StartError::Bind)).collect()
}

/// What the settings say of the sockets. A negative size means the system's own.
fn listen_options(settings: &Settings) -> ListenOptions {
    ListenOptions {
        backlog: settings.get(&network::SOCKET_LISTEN_BACKLOG_SIZE).unsigned_abs(),
        send_buffer_bytes: u32::try_from(settings.get(&network::SOCKET_SEND_BUFFER_BYTES)).ok(),
        receive_buffer_bytes: u32::try_from(settings.get(&network::SOCKET_RECEIVE_BUFFER_BYTES)).ok(),
    }
}

/// Opens what is on disk and registers this broker. What follows the metadata log runs among `tasks`.
pub(crate) async fn boot(
    env: &Env,
    settings: &Arc<Settings>,
    role: Role,
    clients: &[Bound],
    controllers: Vec<Bound>,
    tasks: &mut JoinSet<()>,
    stopped: &watch::Receiver<bool>,
) -> Result<Booted, StartError> {
    let (joined, logs) = match role {
        Role::Alone => {
            let directory = metadata_place::find(&*env.disk, settings).await?;
            let (log, is_new) = join::alone(env, settings, &directory).await?;
            // Before anything is written to it.
            let logs = if is_new {
                let logs = open_directories(env, settings, &Image::default(), None).await?;
                metadata_place::check_new(&directory, &logs)?;
                Some(logs)
            } else {
                None
            };
            let controller = join::follow(env, settings, log, tasks)?;
            (Joined::alone(env, settings, controller), logs)
        }
        Role::Voter { .. } => {
            let directory = metadata_place::find(&*env.disk, settings).await?;
            (join::as_voter(env, settings, &directory, controllers, tasks, stopped).await?, None)
        }
        Role::Observer => (as_observer(env, settings, tasks).await?, None),
    };
    let booted = if role.is_broker() {
        boot_on(env, settings, clients, &joined, logs).await
    } else {
        boot_controller(env, settings, &joined).await
    };
    match booted {
        Ok((logs, epoch)) => {
            let cluster_id = logs.cluster_id().into();
            let Joined { channel, node } = joined;
            Ok(Booted { node_id: settings.node_id(), cluster_id, epoch, channel, node, logs })
        }
        Err(error) => {
            joined.metadata().close().await;
            Err(match (role, error) {
                (Role::Observer, StartError::Logs(error)) => another_cluster(error),
                (_, error) => error,
            })
        }
    }
}

/// Says of data of another cluster what can be done about them.
fn another_cluster(error: ottla_log::Error) -> StartError {
    match error {
        ottla_log::Error::ForeignDir { path, key: "cluster.id", found, expected } => {
            ObserverError::AnotherCluster { path, found, expected }.into()
        }
        error => error.into(),
    }
}

/// The same on a metadata log, with the log directories where they are open already.
async fn boot_on(
    env: &Env,
    settings: &Arc<Settings>,
    clients: &[Bound],
    joined: &Joined,
    logs: Option<LogDirs>,
) -> Result<(LogDirs, BrokerEpoch), StartError> {
    let metadata = joined.metadata();
    let is_alone = !joined.channel.has_others();
    if is_alone {
        metadata.leading().await.map_err(StartError::Replay)?;
    }
    let image = metadata.skip_steps();
    let logs = match logs {
        Some(logs) => logs,
        None => {
            let cluster_id = joined.channel.cluster_id.get().map(|id| id.to_string());
            open_directories(env, settings, &image, cluster_id).await?
        }
    };
    let registration = Registration {
        id: settings.node_id(),
        incarnation: IncarnationId(env.rng.id_bytes()),
        endpoints: clients.iter().map(|bound| endpoint(env, bound)).collect(),
        rack: settings.get(&node::BROKER_RACK),
        directories: logs.dirs().await.iter().map(|dir| dir.id).collect(),
        features: crate::features::supported(),
        last_run: last_run(&logs),
    };
    let epoch = register(settings, &joined.channel, &registration).await?;
    // It is fenced, so nobody counts on what it writes yet.
    logs.note_broker_epoch(epoch).await;
    if is_alone {
        unfence(metadata, registration.id, epoch).await?;
    }
    Ok((logs, epoch))
}

/// The same for a controller that is no broker: it has the directory of the metadata log and no other, and registers nothing.
async fn boot_controller(
    env: &Env,
    settings: &Settings,
    joined: &Joined,
) -> Result<(LogDirs, BrokerEpoch), StartError> {
    let cluster_id = joined.channel.cluster_id.get().map(|id| id.to_string());
    let directory = metadata_place::find(&*env.disk, settings).await?;
    let dirs = vec![directory.parent().map_or_else(PathBuf::new, Path::to_owned)];
    let image = joined.metadata().skip_steps();
    let logs = open_these(env, settings, dirs, &image, cluster_id).await?;
    Ok((logs, NO_BROKER))
}

/// What the directories say of the run before (KIP-966).
fn last_run(logs: &LogDirs) -> LastRun {
    match logs.previous_run() {
        PreviousRun::Clean(epoch) => LastRun::Clean(epoch),
        PreviousRun::Killed(epoch) => LastRun::ProcessCrash(epoch),
        PreviousRun::Unknown => LastRun::Unclean,
    }
}

/// Locks and opens the log directories, and the logs in them.
async fn open_directories(
    env: &Env,
    settings: &Settings,
    image: &Image,
    cluster_id: Option<String>,
) -> Result<LogDirs, StartError> {
    let dirs = settings.log_dirs().into_iter().map(PathBuf::from).collect();
    open_these(env, settings, dirs, image, cluster_id).await
}

async fn open_these(
    env: &Env,
    settings: &Settings,
    dirs: Vec<PathBuf>,
    image: &Image,
    cluster_id: Option<String>,
) -> Result<LogDirs, StartError> {
    let node_id = settings.node_id();
    let at_a_time = settings.get(&log::NUM_RECOVERY_THREADS_PER_DATA_DIR);
    let config = LogDirsConfig {
        dirs,
        cluster_id,
        node_id,
        opened_at_a_time: usize::try_from(at_a_time).unwrap_or(1),
    };
    let config_of = |partition: &TopicPartition| {
        let config = topic_config(image, node_id, settings, &partition.topic);
        Arc::new(log_config(&config, &image.layers(node_id, settings)))
    };
    let opened = LogDirs::open(env, &config, config_of, env.clock.wall_ms()).await?;
    let cache_bytes = settings.get(&log::LOG_TAIL_CACHE_BYTES);
    opened.dirs.set_tail_cache_bytes(usize::try_from(cache_bytes).unwrap_or(usize::MAX));
    for (path, error) in &opened.failed_dirs {
        error!(directory = %path.display(), %error, "this log directory takes no part");
    }
    for failed in &opened.failed_logs {
        error!(partition = %failed.partition, directory = %failed.path.display(), error = %failed.error,
            "this log cannot be used");
    }
    Ok(opened.dirs)
}

/// What clients are told to connect to.
fn endpoint(env: &Env, bound: &Bound) -> Endpoint {
    let local = bound.address.local_addr();
    // Without an advertised listener clients are told the one that is listened on. They cannot connect to "all
    // addresses", so for that they are told the machine's name, as by Kafka.
    let told = bound.config.advertised.as_ref().unwrap_or(&bound.config.bind);
    let host = match told.host.as_str() {
        "" | "0.0.0.0" | "::" => env.net.hostname(),
        host => host.to_owned(),
    };
    let port = if told.port == 0 { local.port() } else { told.port };
    Endpoint {
        listener: bound.config.name.as_str().into(),
        host: host.into(),
        port,
        security_protocol: SecurityProtocol::Plaintext,
    }
}

/// Replicas of this broker that do not hold what they held.
#[derive(Default)]
pub(crate) struct Lost {
    /// Those that cannot be used.
    pub(crate) offline: BTreeSet<(TopicId, i32)>,
    /// Those that have an empty log, since theirs was not there. Others may have what was in it.
    pub(crate) emptied: BTreeSet<(TopicId, i32)>,
}

/// Takes up the partitions that have a replica here, after logs that belong to none are out of the way.
pub(crate) async fn open_logs(core: &Core) -> Lost {
    if !core.role.is_broker() {
        // What is left of a broker that this node was stays as it is.
        return Lost::default();
    }
    let image = core.metadata.image();
    for log in core.logs.list() {
        let known = match log.topic_id() {
            Some(id) => image.topic(id),
            // Its `partition.metadata` was lost. The name is what is left, and the id is written again.
            None => image.topic_by_name(log.partition().topic.as_str()),
        };
        let state = known.and_then(|topic| topic.partition(log.partition().partition));
        if state.is_some_and(|state| state.replicas.contains(&core.node_id)) {
            continue;
        }
        // As by Kafka, not deleted: the topic is of another cluster, or the replica moved away while this broker did not run.
        warn!(directory = %log.dir().display(), "this broker has no such replica: the log is set aside");
        if let Err(error) = core.logs.set_aside_stray(log.partition()).await {
            error!(directory = %log.dir().display(), %error, "cannot set the log aside");
        }
    }
    let (mut missing, mut lost) = (0_usize, Lost::default());
    let (mut replicas, mut without_log) = (Vec::new(), Vec::new());
    for topic in image.topics() {
        for (index, state) in topic.partitions() {
            let lacks_log = state.replicas.contains(&core.node_id) && core.is_missing(topic, index);
            // An empty log here would pass for the one in the directory that is missing.
            if lacks_log && !core.logs.is_whole() {
                missing += 1;
                lost.offline.insert((topic.id, index));
                continue;
            }
            replicas.push(Replica { topic, index, state });
            if lacks_log {
                without_log.push((topic, index, state));
            }
        }
    }
    core.host(&image, &replicas).await;
    for (topic, index, state) in without_log {
        if core.is_missing(topic, index) {
            lost.offline.insert((topic.id, index));
        } else if passes_for_whole(core.node_id, state) {
            if state.replicas.len() > 1 {
                lost.emptied.insert((topic.id, index));
            }
            warn!(
                partition = %format_args!("{}-{index}", topic.name),
                "its log was missing from the log directories, and an empty one was made"
            );
        }
    }
    if missing > 0 {
        error!(
            "{missing} partitions have no log in the directories that work: they are offline until the broker is \
             started with all of log.dirs"
        );
    }
    lost
}

/// Whether a replica is known as one that holds what was committed, or led last. One that came while its broker was not
/// there is not.
fn passes_for_whole(broker: BrokerId, state: &PartitionState) -> bool {
    let mut holders = state.isr.iter().chain(state.elr.iter()).chain(&state.last_known_leader);
    holders.any(|holder| *holder == broker)
}

/// Has clients told that nobody leads partitions that are offline, instead of being sent to a broker that cannot serve them.
/// Returns the replicas of which the active controller is still to be told, before this broker is unfenced.
pub(crate) async fn tell_offline(core: &Core, lost: Lost) -> BTreeSet<(TopicId, i32)> {
    let Lost { offline, emptied } = lost;
    if !offline.is_empty() {
        error!("{} partitions are offline, for the reasons above", offline.len());
    }
    if core.channel.has_others() {
        return &offline | &emptied;
    }
    if offline.is_empty() {
        return offline;
    }
    let told = core.change(|controller| controller.take_offline(core.node_id, core.epoch, &offline)).await;
    if let Err(refused) | Ok(Err(refused)) = told {
        error!("the metadata still name this broker as their leader: {}", refused.message);
    }
    BTreeSet::new()
}

pub(crate) fn connection_limits(layers: &Layers<'_>) -> ConnectionLimits {
    let count = |n: i32| usize::try_from(n).unwrap_or(0);
    ConnectionLimits {
        total: count(layers.get(&network::MAX_CONNECTIONS)),
        per_ip: count(layers.get(&network::MAX_CONNECTIONS_PER_IP)),
        overrides: per_ip_overrides(&layers.get(&network::MAX_CONNECTIONS_PER_IP_OVERRIDES)),
    }
}

/// `address:number` items; their form was checked when the key was set.
fn per_ip_overrides(text: &str) -> HashMap<IpAddr, usize> {
    let pair = |item: &str| {
        let (address, number) = item.trim().rsplit_once(':')?;
        let address = address.trim().trim_start_matches('[').trim_end_matches(']');
        Some((address.parse().ok()?, number.trim().parse().ok()?))
    };
    text.split(',').filter_map(pair).collect()
}

pub(crate) fn request_memory_bytes(settings: &Settings) -> u32 {
    match settings.get(&network::QUEUED_MAX_REQUEST_BYTES) {
        bytes if bytes > 0 => u32::try_from(bytes).unwrap_or(MAX_REQUEST_MEMORY).min(MAX_REQUEST_MEMORY),
        _ => DEFAULT_REQUEST_MEMORY,
    }
}

impl From<&Settings> for ConnectionSettings {
    fn from(settings: &Settings) -> Self {
        let max_idle = u64::try_from(settings.get(&network::CONNECTIONS_MAX_IDLE_MS));
        Self {
            max_request_bytes: u32::try_from(settings.get(&network::SOCKET_REQUEST_MAX_BYTES)).unwrap_or(0),
            // A negative time means never; a year is as good, and fits every clock.
            max_idle: std::time::Duration::from_millis(max_idle.unwrap_or(u64::MAX).min(365 * 86_400_000)),
        }
    }
}
