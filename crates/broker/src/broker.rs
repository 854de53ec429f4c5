//! A broker put together: what its handlers share, and its start and stop.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use ottla_env::{Env, process};
use ottla_log::LogDirs;
use ottla_metadata::controller::Refused;
use ottla_metadata::controller::create_topics::NewTopic;
use ottla_metadata::{Controller, Decision};
use ottla_types::config::Settings;
use ottla_types::config::broker::network;
use ottla_types::config::broker::node::CONTROLLED_SHUTDOWN_ENABLE;
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, TopicId, TopicName};

use crate::cluster::heartbeats::{self, Leaving};
use crate::cluster::{Channel, Metadata, follower};
use crate::coordinator::GroupCoordinator;
use crate::dispatch::Dispatch;
use crate::failure::{self, Failure};
use crate::fetch_session::SessionCache;
use crate::metrics::{HttpServer, Metrics, Monitor};
use crate::partition::{Hosting, Partition};
use crate::partitions::{Partitions, TopicRef};
use crate::producer_ids::ProducerIdPool;
use crate::replication::nearest::Selector;
use crate::replication::{self, Fetchers, Replication, Throttles};
use crate::roles::Role;
use crate::server::{
    Acceptor, Admission, ConnectionSettings, PartitionLimit, RequestMemory, ResponseMemory, Shared, Traffic,
};
use crate::start::{self, StartError};
use crate::upkeep;

/// `min.incremental.fetch.session.eviction.ms`, which Kafka does not let anyone set.
const SESSION_EVICTION: Duration = Duration::from_secs(120);

/// Bytes of answers that clients may leave unread, over all connections.
const RESPONSE_MEMORY: usize = 512 << 20;

/// What the handlers share.
pub(crate) struct Core {
    pub(crate) env: Env,
    pub(crate) settings: Arc<Settings>,
    pub(crate) node_id: BrokerId,
    pub(crate) cluster_id: Arc<str>,
    /// What this node is. One that is no broker has neither registration nor replicas.
    pub(crate) role: Role,
    /// Of this broker's registration.
    pub(crate) epoch: BrokerEpoch,
    pub(crate) metadata: Arc<Metadata>,
    /// To the active controller.
    pub(crate) channel: Channel,
    /// Whether this broker is to stop, as far as the active controller is concerned.
    pub(crate) leaving: watch::Sender<Leaving>,
    pub(crate) logs: LogDirs,
    pub(crate) partitions: Partitions,
    /// What the partitions share.
    pub(crate) hosting: Arc<Hosting>,
    pub(crate) replication: Replication,
    /// Who copies what others lead.
    pub(crate) fetchers: Fetchers,
    pub(crate) throttles: Arc<Throttles>,
    /// Which replica consumers are told to read from.
    pub(crate) selector: Selector,
    pub(crate) fetch_sessions: Mutex<SessionCache>,
    pub(crate) producer_ids: ProducerIdPool,
    pub(crate) groups: GroupCoordinator,
    pub(crate) admission: Arc<Admission>,
    pub(crate) request_memory: RequestMemory,
    pub(crate) responses: ResponseMemory,
    pub(crate) metrics: Metrics,
    /// The listeners' names, and what they count.
    pub(crate) traffic: Vec<(Arc<str>, Arc<Traffic>)>,
    /// Of lines about reads that failed.
    pub(crate) unreadable: Mutex<PartitionLimit>,
}

impl Core {
    /// Flushes and closes what is on disk, and marks the directories as cleanly shut down, after those who follow the
    /// metadata have ended.
    async fn close(&self, mut followers: JoinSet<()>) -> Result<(), ottla_log::Error> {
        self.groups.close().await;
        self.metadata.close().await;
        while followers.join_next().await.is_some() {}
        // Nobody gives them anything to copy any more.
        self.fetchers.close().await;
        self.logs.close(self.epoch).await
    }

    /// The partition of a request, if this broker has a replica of it; else why not.
    pub(crate) fn find_partition(
        &self,
        topic: TopicRef<'_>,
        index: i32,
    ) -> Result<Arc<Partition>, ErrorCode> {
        if let Some(partition) = self.partitions.get(topic, index) {
            return Ok(partition);
        }
        let image = self.metadata.image();
        let (known, unknown) = match topic {
            TopicRef::Id(id) => (image.topic(id), ErrorCode::UnknownTopicId),
            TopicRef::Name(name) => (image.topic_by_name(name), ErrorCode::UnknownTopicOrPartition),
        };
        let state = known.ok_or(unknown)?.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if state.replicas.contains(&self.node_id) {
            // It should be here, and its log could not be opened.
            return Err(ErrorCode::KafkaStorageError);
        }
        Err(ErrorCode::NotLeaderOrFollower)
    }

    /// Has the controller decide a change, and waits until it is committed and carried out on this broker.
    ///
    /// # Errors
    /// This node is not the active controller, or the metadata log cannot be written.
    pub(crate) async fn change<A>(
        &self,
        decide: impl FnOnce(&mut Controller) -> Decision<A> + Send,
    ) -> Result<A, Refused> {
        if let Some(refused) = self.channel.leaderless().await {
            return Err(refused);
        }
        let (answer, end) = self.metadata.commit(decide).await?;
        self.metadata.carried_out(end).await?;
        Ok(answer)
    }

    /// Creates topics that somebody used without creating them, with the defaults. A failure is logged: whoever used the
    /// topic does not find it.
    ///
    /// Internal topics are made by their coordinators, who know how: never here.
    pub(crate) async fn auto_create(&self, mut names: Vec<TopicName>) {
        names.retain(|name| !name.is_internal());
        names.sort();
        names.dedup();
        if names.is_empty() {
            return;
        }
        let topics = names
            .iter()
            .map(|name| NewTopic::named(name.as_str(), TopicId::from_random(self.env.rng.id_bytes())))
            .collect();
        match self.create_topics(topics).await {
            Ok(answers) => {
                for (name, answer) in names.iter().zip(answers) {
                    match answer {
                        Ok(topic) => {
                            info!(topic = %name, partitions = topic.partitions, "created on first use")
                        }
                        // Another request was quicker.
                        Err(refused) if refused.error == ErrorCode::TopicAlreadyExists => {}
                        Err(refused) => {
                            warn!(topic = %name, "cannot create on first use: {}", refused.message)
                        }
                    }
                }
            }
            Err(refused) => warn!("cannot create topics on first use: {}", refused.message),
        }
    }
}

/// A running broker.
pub struct Broker {
    core: Arc<Core>,
    listeners: Vec<(String, SocketAddr)>,
    metrics_address: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// Those who follow the metadata.
    followers: JoinSet<()>,
}

impl Broker {
    /// Starts a broker: locks and opens its directories, replays the metadata log, opens the logs, listens.
    ///
    /// # Errors
    /// Says what is wrong and what to do; nothing listens then.
    pub async fn start(env: Env, settings: Settings) -> Result<Self, StartError> {
        let settings = Arc::new(settings);
        let start::Addresses { role, clients: bound, controllers } = start::bind(&env, &settings).await?;
        let mut listeners: Vec<(String, SocketAddr)> = Vec::new();
        if !role.is_broker() {
            // A node that serves no clients tells where it serves others.
            let local = |bound: &start::Bound| (bound.config.name.clone(), bound.address.local_addr());
            listeners.extend(controllers.iter().map(local));
        }
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let monitor = Arc::new(Monitor::default());
        // Before the logs are opened, which may take its time: who asks is told so.
        let http = HttpServer::bind(&env, &settings, &monitor).await.map_err(StartError::Metrics)?;
        let metrics_address = http.as_ref().map(HttpServer::local_addr);
        if let Some(http) = http {
            process::spawn_in(&mut tasks, http.run(stopped.clone()));
        }
        let mut followers = JoinSet::new();
        let booted =
            start::boot(&env, &settings, role, &bound, controllers, &mut followers, &stopped).await?;
        let metadata = Arc::clone(&booted.channel.controller.metadata);
        let slots = settings.get(&network::MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS);
        let sessions = SessionCache::new(usize::try_from(slots).unwrap_or(0), SESSION_EVICTION);
        let limits = start::connection_limits(&metadata.image().layers(booted.node_id, &settings));
        let admission = Admission::new(limits);
        let replication = Replication::default();
        let hosting = Hosting {
            me: booted.node_id,
            clock: Arc::clone(&env.clock),
            lag: replication::lag_settings(&settings),
            signals: Arc::clone(&replication.signals),
        };
        let throttles = Arc::new(Throttles::new(booted.node_id, &env.clock));
        let fetchers = Fetchers::new(&env, &settings, &metadata, &throttles, booted.node_id, booted.epoch)
            .map_err(StartError::Listeners)?;
        let core = Arc::new(Core {
            node_id: booted.node_id,
            cluster_id: booted.cluster_id,
            role,
            epoch: booted.epoch,
            metadata,
            channel: booted.channel,
            leaving: watch::Sender::default(),
            logs: booted.logs,
            partitions: Partitions::default(),
            hosting: Arc::new(hosting),
            replication,
            fetchers,
            throttles,
            selector: Selector::from(&*settings),
            fetch_sessions: Mutex::new(sessions),
            producer_ids: ProducerIdPool::default(),
            groups: GroupCoordinator::new(&env, &settings),
            admission,
            request_memory: RequestMemory::new(start::request_memory_bytes(&settings)),
            responses: ResponseMemory::new(RESPONSE_MEMORY),
            metrics: Metrics::default(),
            traffic: bound.iter().map(|bound| (bound.config.name.as_str().into(), Arc::default())).collect(),
            unreadable: Mutex::default(),
            env,
            settings,
        });
        core.regulate(&core.metadata.image());
        let lost = start::open_logs(&core).await;
        core.groups.take_up(&core.partitions, &core.metadata.image()).await;
        process::spawn_in(&mut followers, follower::run(Arc::clone(&core)));
        if let Some(node) = booted.node {
            // It is set once, here.
            let _ = node.core.set(Arc::downgrade(&core));
        }
        let lost = start::tell_offline(&core, lost).await;
        let shared = |traffic| Shared {
            service: Arc::new(Dispatch::new(Arc::clone(&core))),
            admission: Arc::clone(&core.admission),
            responses: core.responses.clone(),
            memory: core.request_memory.clone(),
            settings: Arc::new(ConnectionSettings::from(&*core.settings)),
            traffic,
            stop: stopped.clone(),
        };
        let opened = match start::listen(bound) {
            Ok(opened) => opened,
            Err(error) => {
                // The listeners for other nodes are among those that are waited for.
                stop.send_replace(true);
                core.close(followers).await?;
                return Err(error);
            }
        };
        for (listener, (name, traffic)) in opened.into_iter().zip(&core.traffic) {
            listeners.push((name.to_string(), listener.local_addr()));
            let (name, shared) = (Arc::clone(name), shared(Arc::clone(traffic)));
            process::spawn_in(&mut tasks, Acceptor { name, listener, shared }.run());
        }
        if core.channel.has_others() && role.is_broker() {
            process::spawn_in(&mut tasks, heartbeats::run(Arc::clone(&core), stopped.clone()));
        }
        if role.is_broker() {
            let directories = replication::directories::run(Arc::clone(&core), lost, stopped.clone());
            process::spawn_in(&mut tasks, directories);
            process::spawn_in(&mut tasks, replication::isr::run(Arc::clone(&core), stopped.clone()));
            process::spawn_in(&mut tasks, replication::ticks::run(Arc::clone(&core), stopped.clone()));
            process::spawn_in(&mut tasks, replication::moving::run(Arc::clone(&core), stopped.clone()));
        }
        process::spawn_in(&mut tasks, upkeep::run(Arc::clone(&core), stopped));
        monitor.started(Arc::clone(&core));
        Ok(Self { core, listeners, metrics_address, stop, tasks, followers })
    }

    /// The listeners with the addresses that they are bound to.
    #[must_use]
    pub fn listeners(&self) -> &[(String, SocketAddr)] {
        &self.listeners
    }

    /// Where `/metrics` and `/health` are served, if they are.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// The cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.core.cluster_id
    }

    /// Waits until the broker cannot go on, and tells why. It still answers what it can: it is to be stopped then. Safe to
    /// cancel.
    pub async fn failed(&self) -> Failure {
        failure::of(&self.core).await
    }

    /// Stops: others take over what it leads, no new connections, the open ones end, the logs are flushed and closed, and the
    /// directories are marked as cleanly shut down.
    ///
    /// # Errors
    /// A log could not be flushed or closed: the next start recovers it.
    pub async fn stop(mut self) -> Result<(), ottla_log::Error> {
        let is_one_of_many = self.core.channel.has_others() && self.core.role.is_broker();
        if is_one_of_many && self.core.settings.get(&CONTROLLED_SHUTDOWN_ENABLE) {
            heartbeats::leave(&self.core).await;
        }
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.core.close(self.followers).await
    }
}
