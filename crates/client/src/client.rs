//! A cluster as a client sees it: where to find it, who leads what, and a connection for each broker.
//!
//! What is not here: producing, consuming and administration, which ask this for the right broker.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use ottla_env::Env;
use ottla_types::{BrokerId, ErrorCode, LeaderEpoch, TopicId, TopicName, TopicPartition};
use ottla_wire::ApiKey;
use ottla_wire::Str;
use ottla_wire::metadata::{MetadataRequest, MetadataRequestTopic};

use crate::address::Address;
use crate::connection::{Connection, ConnectionOptions};
use crate::error::Error;
use crate::metadata::{Metadata, Topic};
use crate::retry::{Backoff, Retry};

/// How a client behaves. Defaults are those of Kafka's clients, where those have the setting.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Brokers to ask first: `bootstrap.servers`.
    pub bootstrap_servers: Vec<Address>,
    /// How each connection behaves.
    pub connection: ConnectionOptions,
    /// How long a call may take with everything tried again: `default.api.timeout.ms`.
    pub api_timeout: Duration,
    /// How long a topic that brokers do not know is asked for again: it may have been created just now.
    pub unknown_topic_timeout: Duration,
    /// The first pause before something is tried again: `retry.backoff.ms`.
    pub retry_backoff: Duration,
    /// The longest such pause: `retry.backoff.max.ms`.
    pub retry_backoff_max: Duration,
    /// Whether asking for a topic may create it, if the brokers are configured to: `allow.auto.create.topics`.
    pub allow_auto_create_topics: bool,
}

impl ClientOptions {
    /// The defaults, for a cluster found at these addresses.
    #[must_use]
    pub fn new(bootstrap_servers: Vec<Address>) -> Self {
        Self {
            bootstrap_servers,
            connection: ConnectionOptions::default(),
            api_timeout: Duration::from_secs(60),
            unknown_topic_timeout: Duration::from_secs(5),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            allow_auto_create_topics: false,
        }
    }
}

/// Who leads a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// The broker.
    pub broker: BrokerId,
    /// The epoch of its leadership.
    pub epoch: LeaderEpoch,
    /// The topic's id; [`TopicId::ZERO`] where the brokers do not tell.
    pub topic_id: TopicId,
}

/// A client of one cluster. Cheap to clone; clones share connections and metadata.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

/// A place for one connection; locked while it is being made, so that it is made once.
type Slot = Arc<tokio::sync::Mutex<Option<Connection>>>;

struct Inner {
    env: Env,
    options: ClientOptions,
    metadata: RwLock<Arc<Metadata>>,
    connections: Mutex<BTreeMap<Address, Slot>>,
    /// Where each group's coordinator was last.
    coordinators: Mutex<BTreeMap<String, Address>>,
    /// Held while metadata is asked for: of many that find it stale, one asks.
    refreshing: tokio::sync::Mutex<()>,
}

impl Client {
    /// Finds the cluster: asks the bootstrap servers in turn, until one answers.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if none does. A client that has found its cluster tries again instead.
    pub async fn connect(env: Env, options: ClientOptions) -> Result<Self, Error> {
        let client = Self::unconnected(env, options);
        client.refresh(&[]).await?;
        Ok(client)
    }

    /// A client that has asked nobody yet, and knows of no broker but the bootstrap servers.
    pub(crate) fn unconnected(env: Env, options: ClientOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                env,
                options,
                metadata: RwLock::default(),
                connections: Mutex::default(),
                coordinators: Mutex::default(),
                refreshing: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// How this client behaves.
    #[must_use]
    pub fn options(&self) -> &ClientOptions {
        &self.inner.options
    }

    /// Where this client's time, randomness and connections come from.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.inner.env
    }

    /// What is known of the cluster.
    #[must_use]
    pub fn metadata(&self) -> Arc<Metadata> {
        Arc::clone(&self.inner.metadata.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks for the brokers and these topics anew.
    ///
    /// # Errors
    /// If no broker answers. Errors of single topics are in the metadata.
    pub async fn refresh(&self, topics: &[TopicName]) -> Result<Arc<Metadata>, Error> {
        let ask = |name: &TopicName| MetadataRequestTopic {
            name: Some(Str::from(name.as_str())),
            ..MetadataRequestTopic::default()
        };
        self.ask_for_metadata(Some(topics.iter().map(ask).collect())).await
    }

    /// Asks for the brokers and all topics anew.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn refresh_all(&self) -> Result<Arc<Metadata>, Error> {
        self.ask_for_metadata(None).await
    }

    async fn ask_for_metadata(
        &self,
        topics: Option<Vec<MetadataRequestTopic>>,
    ) -> Result<Arc<Metadata>, Error> {
        let _one_at_a_time = self.inner.refreshing.lock().await;
        let broker = self.any_broker().await?;
        let all_topics = topics.is_none();
        let request = MetadataRequest {
            topics,
            allow_auto_topic_creation: self.inner.options.allow_auto_create_topics,
            ..MetadataRequest::default()
        };
        // Before version 4 a broker cannot be told not to create topics; no broker that is still in use is that old.
        let response = broker.call(request).await?;
        crate::error::check(broker.broker(), ApiKey::Metadata, "", response.error_code, None)?;
        let updated = self.metadata().updated(response, all_topics).map_err(|reason| Error::BadAnswer {
            broker: broker.broker().clone(),
            api: ApiKey::Metadata,
            reason,
        })?;
        let updated = Arc::new(updated);
        *self.inner.metadata.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&updated);
        self.forget_brokers_that_left(&updated);
        Ok(updated)
    }

    /// A topic, as known or asked for. A topic that brokers do not know (yet) is asked for again for a while.
    ///
    /// # Errors
    /// [`Error::Answered`] for a topic that does not exist or must not be seen, and whatever keeps brokers from answering.
    pub async fn topic(&self, name: &TopicName) -> Result<Topic, Error> {
        if let Some(topic) = self.metadata().topics.get(name)
            && topic.error == ErrorCode::None
        {
            return Ok(topic.clone());
        }
        let mut retry = self.retry_within(
            format!("finding the topic {name}"),
            self.inner.options.unknown_topic_timeout.min(self.inner.options.api_timeout),
        );
        loop {
            match self.ask_for_topic(name).await {
                Ok(topic) => return Ok(topic),
                Err(error) => match retry.after(error).await {
                    // What the broker says of the topic is the news, not how often it was asked.
                    Err(Error::GaveUp { last, .. }) if last.code().is_some() => return Err(*last),
                    again_or_failed => again_or_failed?,
                },
            }
        }
    }

    async fn ask_for_topic(&self, name: &TopicName) -> Result<Topic, Error> {
        let metadata = self.refresh(std::slice::from_ref(name)).await?;
        let broker = self.some_address(&metadata);
        match metadata.topics.get(name) {
            Some(topic) => {
                let subject = format!("topic {name}");
                crate::error::check(&broker, ApiKey::Metadata, subject, topic.error.code(), None)?;
                Ok(topic.clone())
            }
            None => Err(Error::BadAnswer {
                broker,
                api: ApiKey::Metadata,
                reason: format!("the topic {name} was asked for and is not in it"),
            }),
        }
    }

    /// Who leads a partition, as far as is known now. Nothing is asked for.
    ///
    /// # Errors
    /// [`Error::NoLeader`], after which metadata should be asked for again.
    pub fn leader(&self, partition: &TopicPartition) -> Result<Leader, Error> {
        let no = |reason| Error::NoLeader { partition: partition.clone(), reason };
        let metadata = self.metadata();
        let topic = metadata.topics.get(&partition.topic).ok_or_else(|| no("is not known"))?;
        let found = topic.partition(partition.partition).ok_or_else(|| no("does not exist"))?;
        let broker = found.leader.ok_or_else(|| no("has no leader now"))?;
        Ok(Leader { broker, epoch: found.leader_epoch, topic_id: topic.id })
    }

    /// A connection to a broker, made if there is none.
    ///
    /// # Errors
    /// If the broker is not known or not reached.
    pub async fn broker(&self, id: BrokerId) -> Result<Connection, Error> {
        let metadata = self.metadata();
        match metadata.brokers.get(&id) {
            Some(broker) => self.connection(&broker.address).await,
            None => Err(Error::Connect {
                broker: self.some_address(&metadata),
                kind: std::io::ErrorKind::NotFound,
                message: format!("cannot connect to broker {id}: the cluster does not name its address"),
            }),
        }
    }

    /// A connection to some broker: one that stands if there is one, otherwise the first that can be made.
    ///
    /// # Errors
    /// [`Error::Unreachable`] with what each of them said.
    pub async fn any_broker(&self) -> Result<Connection, Error> {
        if let Some(connection) = self.standing_connection() {
            return Ok(connection);
        }
        let mut candidates: Vec<Address> =
            self.metadata().brokers.values().map(|broker| broker.address.clone()).collect();
        for address in &self.inner.options.bootstrap_servers {
            if !candidates.contains(address) {
                candidates.push(address.clone());
            }
        }
        let mut failures = Vec::new();
        for address in &candidates {
            match self.connection(address).await {
                Ok(connection) => return Ok(connection),
                Err(failure) => failures.push(failure),
            }
        }
        Err(Error::Unreachable(failures))
    }

    /// A connection to the broker that takes administrative requests, or to any where none is named.
    ///
    /// # Errors
    /// As [`Self::broker`] and [`Self::any_broker`].
    pub async fn controller(&self) -> Result<Connection, Error> {
        match self.metadata().controller {
            Some(id) => self.broker(id).await,
            None => self.any_broker().await,
        }
    }

    /// A connection to an address, made if there is none.
    pub(crate) async fn connection(&self, address: &Address) -> Result<Connection, Error> {
        let slot = {
            let mut connections = self.inner.connections.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(connections.entry(address.clone()).or_default())
        };
        let mut slot = slot.lock().await;
        match &*slot {
            Some(connection) if !connection.is_closed() => Ok(connection.clone()),
            _ => {
                let options = &self.inner.options.connection;
                let connection = Connection::open(&*self.inner.env.net, address, options).await?;
                *slot = Some(connection.clone());
                Ok(connection)
            }
        }
    }

    /// A connection that nobody else uses, for requests that wait long: answers behind theirs wait too.
    pub(crate) async fn own_connection(&self, address: &Address) -> Result<Connection, Error> {
        Connection::open(&*self.inner.env.net, address, &self.inner.options.connection).await
    }

    pub(crate) fn known_coordinator(&self, group: &str) -> Option<Address> {
        self.coordinators().get(group).cloned()
    }

    pub(crate) fn remember_coordinator(&self, group: &str, address: Address) {
        self.coordinators().insert(group.to_owned(), address);
    }

    pub(crate) fn forget_coordinator(&self, group: &str) {
        self.coordinators().remove(group);
    }

    fn coordinators(&self) -> MutexGuard<'_, BTreeMap<String, Address>> {
        self.inner.coordinators.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing_connection(&self) -> Option<Connection> {
        let connections = self.inner.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.values().find_map(|slot| match slot.try_lock() {
            Ok(slot) => slot.as_ref().filter(|connection| !connection.is_closed()).cloned(),
            Err(_) => None,
        })
    }

    fn forget_brokers_that_left(&self, metadata: &Metadata) {
        let mut connections = self.inner.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|address, _| {
            self.inner.options.bootstrap_servers.contains(address)
                || metadata.brokers.values().any(|broker| broker.address == *address)
        });
    }

    /// An address to name where an error concerns no broker in particular.
    fn some_address(&self, metadata: &Metadata) -> Address {
        let known = metadata.brokers.values().next().map(|broker| broker.address.clone());
        known
            .or_else(|| self.inner.options.bootstrap_servers.first().cloned())
            .unwrap_or_else(|| Address::new("", 0))
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff { first: self.inner.options.retry_backoff, longest: self.inner.options.retry_backoff_max }
    }

    /// The rhythm in which to try something again, for as long as calls may take.
    pub(crate) fn retry(&self, what: String) -> Retry {
        self.retry_within(what, self.inner.options.api_timeout)
    }

    /// The same for no longer than this.
    pub(crate) fn retry_within(&self, what: String, within: Duration) -> Retry {
        let within = within.min(self.inner.options.api_timeout);
        Retry::new(what, within, self.backoff(), Arc::clone(&self.inner.env.rng))
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("bootstrap_servers", &self.inner.options.bootstrap_servers).finish()
    }
}
