//! Connections to the controllers' listeners of other nodes, one for each node, opened when they are needed.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use ottla_broadcast::BoxFuture;
use ottla_broadcast::quorum::VoterEndpoint;
use ottla_broadcast::raft::Peers;
use ottla_client::connection::Call;
use ottla_client::{Address, Connection, ConnectionOptions};
use ottla_env::Net;
use ottla_types::config::listeners::Voter;
use ottla_types::{BrokerId, ErrorCode};
use ottla_wire::private::raft_envelope::RaftEnvelopeRequest;

use super::identity::ClusterId;

/// How long a connection may take to come to stand. Within a cluster one that takes longer is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The largest answer: a batch of the metadata log with what is around it.
const MAX_RESPONSE_BYTES: u32 = 64 << 20;

/// The connections of one purpose: what is urgent does not wait behind what is slow.
pub(crate) struct Links {
    net: Arc<dyn Net>,
    node_id: BrokerId,
    cluster_id: ClusterId,
    addresses: Arc<Mutex<BTreeMap<BrokerId, Known>>>,
    open: Mutex<BTreeMap<BrokerId, Slot>>,
    options: ConnectionOptions,
}

type Slot = Arc<tokio::sync::Mutex<Option<Open>>>;

/// A connection, and where to.
struct Open {
    address: Address,
    connection: Connection,
}

/// Where a node is.
struct Known {
    address: Address,
    /// The settings say so, and nobody knows better.
    is_set: bool,
}

impl Links {
    pub(crate) fn new(
        net: &Arc<dyn Net>,
        node_id: BrokerId,
        cluster_id: &ClusterId,
        voters: &[Voter],
    ) -> Self {
        let address = |voter: &Voter| {
            (voter.id, Known { address: Address::new(&voter.host, voter.port), is_set: true })
        };
        Self {
            net: Arc::clone(net),
            node_id,
            cluster_id: cluster_id.clone(),
            addresses: Arc::new(Mutex::new(voters.iter().map(address).collect())),
            open: Mutex::default(),
            options: ConnectionOptions {
                client_id: format!("node-{node_id}"),
                connect_timeout: CONNECT_TIMEOUT,
                max_response_bytes: MAX_RESPONSE_BYTES,
                ..ConnectionOptions::default()
            },
        }
    }

    /// Links for another purpose: what one of the two learns, the other knows.
    pub(crate) fn beside(&self) -> Self {
        Self {
            net: Arc::clone(&self.net),
            node_id: self.node_id,
            cluster_id: self.cluster_id.clone(),
            addresses: Arc::clone(&self.addresses),
            open: Mutex::default(),
            options: self.options.clone(),
        }
    }

    /// Takes note of where a node was heard to be. What the settings say of it stays.
    pub(crate) fn learn(&self, node: BrokerId, address: Address) {
        let mut addresses = self.addresses();
        let known = addresses.get(&node);
        if known.is_none_or(|known| !known.is_set && known.address != address) {
            addresses.insert(node, Known { address, is_set: false });
        }
    }

    /// The nodes of which an address is known.
    pub(crate) fn known(&self) -> Vec<BrokerId> {
        self.addresses().keys().copied().collect()
    }

    /// Whether a node is there: by a connection of its own, for on others an answer may wait behind another.
    ///
    /// # Errors
    /// It cannot be reached, or does not answer in time.
    pub(crate) async fn reach(&self, node: BrokerId, timeout: Duration) -> io::Result<()> {
        let address = self.address(node)?;
        let options = ConnectionOptions { connect_timeout: timeout, ..self.options.clone() };
        // Both sides say what they understand before it is open.
        Connection::open(&*self.net, &address, &options).await.map(drop).map_err(io::Error::other)
    }

    fn address(&self, node: BrokerId) -> io::Result<Address> {
        let known = self.addresses().get(&node).map(|known| known.address.clone());
        known.ok_or_else(|| io::Error::other(format!("no address is known of node {node}")))
    }

    fn addresses(&self) -> MutexGuard<'_, BTreeMap<BrokerId, Known>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a node, and waits for its answer at most so long.
    ///
    /// # Errors
    /// It cannot be reached, or gave no answer: whether it got the request is not known.
    pub(crate) async fn call<R: Call>(
        &self,
        to: BrokerId,
        request: R,
        timeout: Duration,
    ) -> io::Result<R::Response> {
        let address = self.address(to)?;
        let asking = async {
            let connection = self.connection(to, address).await?;
            connection.start(request, timeout)?.wait().await
        };
        match tokio::time::timeout(timeout, asking).await {
            Ok(answered) => answered.map_err(io::Error::other),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer from node {to}"))),
        }
    }

    async fn connection(&self, to: BrokerId, address: Address) -> Result<Connection, ottla_client::Error> {
        let slot = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(open.entry(to).or_default())
        };
        let mut slot = slot.lock().await;
        let is_usable = |open: &&Open| open.address == address && !open.connection.is_closed();
        if let Some(open) = slot.as_ref().filter(is_usable) {
            return Ok(open.connection.clone());
        }
        *slot = None;
        let connection = Connection::open(&*self.net, &address, &self.options).await?;
        *slot = Some(Open { address, connection: connection.clone() });
        Ok(connection)
    }
}

impl Peers for Links {
    fn call(
        &self,
        to: BrokerId,
        endpoints: &[VoterEndpoint],
        request: Bytes,
    ) -> BoxFuture<'_, io::Result<Bytes>> {
        // A voter that was added later is where it said then.
        if let Some(endpoint) = endpoints.first() {
            self.learn(to, Address::new(&endpoint.host, endpoint.port));
        }
        Box::pin(async move {
            let envelope = RaftEnvelopeRequest {
                cluster_id: self.cluster_id.get().map(|id| id.as_ref().into()).unwrap_or_default(),
                from_id: self.node_id.0,
                to_id: to.0,
                payload: request,
                ..RaftEnvelopeRequest::default()
            };
            let answer = Links::call(self, to, envelope, self.options.request_timeout).await?;
            match ErrorCode::from_code(answer.error_code) {
                Some(ErrorCode::None) => Ok(answer.payload),
                _ => {
                    Err(io::Error::other(format!("node {to} refused a message: error {}", answer.error_code)))
                }
            }
        })
    }
}
