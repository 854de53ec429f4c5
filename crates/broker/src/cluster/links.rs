//! Connections to the controllers' listeners of other nodes, opened when they are needed.
//!
//! Answers come in the order of the requests of a connection, and some take their time: entries wait for a disk, a client's
//! request for the whole quorum. So a request goes out where nobody waits for an answer, on one of a few connections: a sign
//! of life behind entries would be late, and the leader would seem to have lost its quorum, or a broker to be dead.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use ottla_broadcast::BoxFuture;
use ottla_broadcast::quorum::VoterEndpoint;
use ottla_broadcast::raft::Peers;
use ottla_client::connection::Call;
use ottla_client::{Address, Connection, ConnectionOptions};
use ottla_env::{Net, process};
use ottla_types::config::listeners::Voter;
use ottla_types::{BrokerId, ErrorCode};
use ottla_wire::private::raft_envelope::RaftEnvelopeRequest;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

use super::heard::{Heard, Line, Outcome};
use super::identity::ClusterId;
use super::slot::Slot;

/// How long a connection may take to come to stand. Within a cluster one that takes longer is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How many connections there are to a node at most. With more requests than that under way some do wait for others.
const CONNECTIONS: usize = 4;

/// The largest answer: a batch of the metadata log with what is around it.
const MAX_RESPONSE_BYTES: u32 = 64 << 20;

/// The connections of one purpose: what is urgent does not wait behind what is slow.
pub(crate) struct Links {
    net: Arc<dyn Net>,
    node_id: BrokerId,
    cluster_id: ClusterId,
    addresses: Arc<Mutex<BTreeMap<BrokerId, Known>>>,
    open: Mutex<BTreeMap<BrokerId, Vec<Arc<Place>>>>,
    options: ConnectionOptions,
    /// Of the voters that messages of the quorum go to.
    heard: Mutex<Heard>,
}

/// A connection, if it is open, and what it is busy with.
#[derive(Default)]
struct Place {
    slot: Slot,
    /// How many requests have no answer yet, those included that nobody waits for any more.
    under_way: AtomicUsize,
}

/// A request that counts as under way.
struct Turn(Arc<Place>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
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
            heard: Mutex::default(),
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
            heard: Mutex::default(),
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
        Connection::open(&*self.net, &address, &options).await.map(drop).map_err(not_open)
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
    ) -> io::Result<R::Response>
    where
        R::Response: Send + 'static,
    {
        let address = self.address(to)?;
        let turn = self.turn(to);
        let asking = async {
            let connection = turn.0.slot.connection(&*self.net, &address, &self.options).await;
            let connection = connection.map_err(not_open)?;
            let pending = connection.start(request, timeout).map_err(io::Error::other)?;
            let (tell, told) = oneshot::channel();
            // Others wait behind the answer also when this one does no more.
            process::spawn(async move {
                let answer = pending.wait().await;
                drop(turn);
                // Nobody may wait for it any more.
                let _ = tell.send(answer);
            });
            match told.await {
                Ok(answer) => answer.map_err(io::Error::other),
                Err(_) => Err(io::Error::other("the node stops")),
            }
        };
        match tokio::time::timeout(timeout, asking).await {
            Ok(answered) => answered,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer from node {to}"))),
        }
    }

    /// The place where the fewest requests are under way.
    fn turn(&self, to: BrokerId) -> Turn {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let places = open.entry(to).or_default();
        let under_way = |place: &Arc<Place>| place.under_way.load(Ordering::Relaxed);
        let quietest = places.iter().min_by_key(|place| under_way(place)).map(Arc::clone);
        let place = match quietest {
            Some(place) if under_way(&place) == 0 || places.len() == CONNECTIONS => place,
            _ => {
                let place = Arc::<Place>::default();
                places.push(Arc::clone(&place));
                place
            }
        };
        place.under_way.fetch_add(1, Ordering::Relaxed);
        Turn(place)
    }
}

/// Why there is no connection, by what it is called elsewhere.
fn not_open(error: ottla_client::Error) -> io::Error {
    match error {
        ottla_client::Error::Connect { kind, ref message, .. } => io::Error::new(kind, message.clone()),
        error => io::Error::other(error),
    }
}

/// A message of the quorum on its way. Whoever sent it may give up waiting, and then drops it.
struct Asked<'a> {
    links: &'a Links,
    to: BrokerId,
    is_answered: bool,
}

impl Asked<'_> {
    /// Tells the operator what is new of the voter.
    fn note(&mut self, answer: Result<(), &io::Error>) {
        self.is_answered = true;
        let outcome = if answer.is_ok() { Outcome::Answered } else { Outcome::Failed };
        self.tell(outcome, &answer.err().map_or_else(String::new, |error| format!(": {error}")));
    }

    fn tell(&self, outcome: Outcome, why: &str) {
        let to = self.to;
        let mut heard = self.links.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match heard.note(to, outcome, Instant::now()) {
            None => {}
            Some(Line::Lost) => warn!("voter {to} cannot be reached{why}"),
            Some(Line::Lasts(since)) => {
                warn!("voter {to} cannot be reached for {} s{why}", since.as_secs());
            }
            Some(Line::Back(None)) => info!("voter {to} is reached again"),
            Some(Line::Back(Some(after))) => {
                info!("voter {to} is reached again, after {} ms", after.as_millis());
            }
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.tell(Outcome::GivenUp, ": it gives no answer");
        }
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
            let mut asked = Asked { links: self, to, is_answered: false };
            let answer = Links::call(self, to, envelope, self.options.request_timeout).await;
            asked.note(answer.as_ref().map(|_| ()));
            let answer = answer?;
            match ErrorCode::from_code(answer.error_code) {
                Some(ErrorCode::None) => Ok(answer.payload),
                _ => {
                    Err(io::Error::other(format!("node {to} refused a message: error {}", answer.error_code)))
                }
            }
        })
    }
}
