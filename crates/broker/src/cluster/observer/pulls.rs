//! How a node that does not vote asks those that do: by PullMetadata, on connections of its own to their controllers'
//! listeners. Answers of another cluster's nodes are none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use ottla_broadcast::atomic::{BoxFuture, LeaderHint, SnapshotPiece};
use ottla_broadcast::observer::{self, Answer, Place, Question, Voters};
use ottla_client::{Address, Connection, ConnectionOptions};
use ottla_env::{Env, Net};
use ottla_types::{BrokerId, ErrorCode, LeadershipEpoch, Offset};
use ottla_wire::private::pull_metadata::{PullMetadataRequest, PullMetadataResponse, SnapshotPosition};

use crate::cluster::slot::Slot;
use crate::cluster::{ClusterId, Links};
use crate::server::LogLimit;

/// How long a connection may take to come to stand. Within a cluster one that takes longer is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The largest answer: one record of the metadata log, which may be as large as a batch, with what is around it.
const MAX_RESPONSE_BYTES: u32 = 64 << 20;

/// How long the question may take who somebody is.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// Asks nodes that vote.
pub(super) struct Pulls {
    net: Arc<dyn Net>,
    node_id: BrokerId,
    cluster_id: ClusterId,
    /// What else is asked of the nodes goes by these.
    links: Arc<Links>,
    open: Mutex<BTreeMap<(Place, Purpose), Arc<Slot>>>,
    options: ConnectionOptions,
    /// Of lines about nodes of other clusters.
    foreign: Mutex<LogLimit>,
}

/// What is urgent does not wait behind what waits for something new: a connection's answers come in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    Records,
    Other,
}

/// A node that knows its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) node: BrokerId,
    pub(super) cluster_id: String,
}

impl Pulls {
    pub(super) fn new(env: &Env, node_id: BrokerId, cluster_id: &ClusterId, links: &Arc<Links>) -> Self {
        Self {
            net: Arc::clone(&env.net),
            node_id,
            cluster_id: Arc::clone(cluster_id),
            links: Arc::clone(links),
            open: Mutex::default(),
            options: ConnectionOptions {
                client_id: format!("node-{node_id}"),
                connect_timeout: CONNECT_TIMEOUT,
                max_response_bytes: MAX_RESPONSE_BYTES,
                ..ConnectionOptions::default()
            },
            foreign: Mutex::default(),
        }
    }

    /// Asks who is there.
    pub(super) async fn look(&self, place: &Place) -> Result<Found, String> {
        let request = PullMetadataRequest { offset: i64::MAX, ..self.request() };
        let response = self.call(place, Purpose::Other, request, LOOK_TIMEOUT).await?;
        if response.cluster_id.is_empty() {
            return Err(refusal(&response).unwrap_or_else(|| "it does not know its cluster yet".to_owned()));
        }
        Ok(Found { node: BrokerId(response.node_id), cluster_id: response.cluster_id.to_string() })
    }

    /// A request that asks for nothing.
    fn request(&self) -> PullMetadataRequest {
        PullMetadataRequest {
            cluster_id: self.cluster_id.get().map(|id| id.as_ref().into()),
            node_id: self.node_id.0,
            ..PullMetadataRequest::default()
        }
    }

    async fn call(
        &self,
        place: &Place,
        purpose: Purpose,
        request: PullMetadataRequest,
        timeout: Duration,
    ) -> Result<PullMetadataResponse, String> {
        let asking = async {
            let connection = self.connection(place, purpose).await?;
            connection.start(request, timeout)?.wait().await
        };
        let response = match tokio::time::timeout(timeout, asking).await {
            Ok(response) => response.map_err(|error| no_answer(&error))?,
            Err(_) => return Err(format!("no answer within {} ms", timeout.as_millis())),
        };
        self.check_cluster(place, &response)?;
        Ok(response)
    }

    async fn connection(&self, place: &Place, purpose: Purpose) -> Result<Connection, ottla_client::Error> {
        let slot = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(open.entry((place.clone(), purpose)).or_default())
        };
        slot.connection(&*self.net, &Address::new(&place.host, place.port), &self.options).await
    }

    fn check_cluster(&self, place: &Place, response: &PullMetadataResponse) -> Result<(), String> {
        let theirs = &*response.cluster_id;
        match self.cluster_id.get() {
            Some(ours) if !theirs.is_empty() && **ours != *theirs => {
                let why = format!("it belongs to cluster {theirs}, and this node to cluster {ours}");
                let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(suppressed) = foreign.admit(Instant::now()) {
                    warn!(
                        suppressed,
                        "the node at {place} is not used: {why}. Correct controller.quorum.bootstrap.servers \
                        or controller.quorum.voters"
                    );
                }
                Err(why)
            }
            _ => Ok(()),
        }
    }
}

impl Voters for Pulls {
    fn ask<'a>(
        &'a self,
        place: &'a Place,
        question: Question,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Answer, String>> {
        Box::pin(async move {
            // Who only looks around must not wait behind who waits.
            let purpose = if question.max_wait.is_zero() { Purpose::Other } else { Purpose::Records };
            let request = PullMetadataRequest {
                offset: question.from.0,
                max_bytes: i32::try_from(question.max_bytes).unwrap_or(i32::MAX),
                max_wait_ms: i32::try_from(question.max_wait.as_millis()).unwrap_or(i32::MAX),
                snapshot: question.snapshot.map(|(upto, position)| SnapshotPosition {
                    upto: upto.0,
                    position: i64::try_from(position).unwrap_or(i64::MAX),
                    ..SnapshotPosition::default()
                }),
                leader_id: question.leader.leader.map_or(-1, |leader| leader.0),
                leader_epoch: question.leader.epoch.0,
                ..self.request()
            };
            answer(question.snapshot.is_some(), self.call(place, purpose, request, timeout).await?)
        })
    }

    fn barrier<'a>(&'a self, place: &'a Place, timeout: Duration) -> BoxFuture<'a, Result<Offset, String>> {
        Box::pin(async move {
            let request = PullMetadataRequest { is_barrier: true, ..self.request() };
            let response = self.call(place, Purpose::Other, request, timeout).await?;
            match refusal(&response) {
                Some(why) => Err(why),
                None if response.committed_end < 0 => Err("it does not say what is committed".to_owned()),
                None => Ok(Offset(response.committed_end)),
            }
        })
    }

    fn found(&self, node: BrokerId, place: &Place) {
        self.links.learn(node, Address::new(&place.host, place.port));
    }
}

/// Why there is no answer of a node, with what is to be done about it if that is known.
fn no_answer(error: &ottla_client::Error) -> String {
    match error {
        // Each controller has had this API for as long as there was one.
        ottla_client::Error::UnsupportedApi { theirs: None, .. } => {
            "this address is not a controller's listener, but perhaps a broker's for clients: name the listener that is in \
             controller.listener.names there"
                .to_owned()
        }
        error => error.to_string(),
    }
}

/// Why a node gives no answer.
fn refusal(response: &PullMetadataResponse) -> Option<String> {
    let error = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
    error
        .is_error()
        .then(|| response.error_message.as_ref().map_or_else(|| error.to_string(), ToString::to_string))
}

/// The answer in the terms of the observer.
fn answer(wants_snapshot: bool, response: PullMetadataResponse) -> Result<Answer, String> {
    let error = ErrorCode::from_code(response.error_code);
    let is_gone = matches!(error, Some(ErrorCode::SnapshotNotFound | ErrorCode::PositionOutOfRange));
    if !is_gone && let Some(why) = refusal(&response) {
        return Err(why);
    }
    let found = match response.snapshot {
        _ if is_gone => observer::Found::NoSnapshot,
        None => observer::Found::Records(response.records),
        Some(piece) if wants_snapshot => observer::Found::Piece(SnapshotPiece {
            records: response.records,
            next: u64::try_from(piece.next_position).ok(),
        }),
        Some(piece) => observer::Found::NeedsSnapshot { upto: Offset(piece.upto) },
    };
    let leader = (response.leader_id >= 0).then_some(BrokerId(response.leader_id));
    let host = response.leader_host.filter(|host| leader.is_some() && !host.is_empty());
    Ok(Answer {
        node: BrokerId(response.node_id),
        leader: LeaderHint { leader, epoch: LeadershipEpoch(response.leader_epoch.max(0)) },
        leader_at: host.map(|host| Place { host: host.to_string(), port: response.leader_port }),
        found,
    })
}

#[cfg(test)]
mod tests {
    use ottla_wire::ApiKey;

    use super::*;

    #[test]
    fn a_listener_that_is_not_for_controllers_is_told_as_that() {
        let unsupported = |theirs| ottla_client::Error::UnsupportedApi {
            broker: Address::new("a", 1),
            api: ApiKey::PullMetadata,
            ours: ApiKey::PullMetadata.served(),
            theirs,
        };
        let text = no_answer(&unsupported(None));
        assert!(text.starts_with("this address is not a controller's listener"), "{text}");
        assert!(
            no_answer(&unsupported(Some((7, 9)))).contains("7 to 9"),
            "another version is something else"
        );
    }
}
