//! PullMetadata: hands nodes that do not vote what is committed, and tells them who leads.
//!
//! Who asks for more than there is waits, until something is committed, until this node hears of another leadership, or as long as it
//! said. Nothing is kept of who asked.

use std::time::Duration;

use bytes::Bytes;

use ottla_broadcast::{LeaderHint, Read, ReadError};
use ottla_types::{BrokerId, ErrorCode, LeadershipEpoch, Offset};
use ottla_wire::private::pull_metadata::{PullMetadataRequest, PullMetadataResponse, SnapshotPiece};

use super::service::ControllerNode;
use crate::cluster::Metadata;

/// The most that one answer holds, whatever is asked for; one record may be larger.
const MAX_BYTES: usize = 4 << 20;

/// The longest wait, whatever is asked for.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What is found for a request.
#[derive(Debug, Default)]
struct Outcome {
    error: Option<(ErrorCode, String)>,
    /// The last offset of a snapshot, and where its next piece begins.
    snapshot: Option<(Offset, Option<u64>)>,
    records: Vec<Bytes>,
    committed_end: Option<Offset>,
}

/// Answers a node that does not vote.
pub(super) async fn answer(node: &ControllerNode, request: PullMetadataRequest) -> PullMetadataResponse {
    let metadata = &node.controller.metadata;
    let theirs = request.cluster_id.as_deref().unwrap_or_default();
    let outcome = match node.check_cluster(theirs) {
        Err(error) => {
            Outcome::refused(error, format!("node {} belongs to another cluster", metadata.node_id()))
        }
        Ok(()) if request.is_barrier => barrier(metadata).await,
        Ok(()) => pull(metadata, &request).await,
    };
    // Last, so that it is not older than what was waited for.
    let hint = *metadata.leader().borrow();
    let leader_at = hint.leader.and_then(|leader| place_of(node, leader));
    let (error_code, error_message) = match outcome.error {
        None => (ErrorCode::None, None),
        Some((error, message)) => (error, Some(message.into())),
    };
    PullMetadataResponse {
        error_code: error_code.code(),
        error_message,
        // Empty where this node has not heard yet how its cluster is called.
        cluster_id: node.bootstrap.cluster_id.get().map(|id| id.as_ref().into()).unwrap_or_default(),
        node_id: metadata.node_id().0,
        leader_id: hint.leader.map_or(-1, |leader| leader.0),
        leader_host: leader_at.as_ref().map(|(host, _)| host.as_str().into()),
        leader_port: leader_at.map_or(0, |(_, port)| port),
        leader_epoch: hint.epoch.0,
        committed_end: outcome.committed_end.map_or(-1, |end| end.0),
        snapshot: outcome.snapshot.map(|(upto, next)| SnapshotPiece {
            upto: upto.0,
            next_position: next.and_then(|next| i64::try_from(next).ok()).unwrap_or(-1),
            ..SnapshotPiece::default()
        }),
        records: outcome.records,
        ..PullMetadataResponse::default()
    }
}

/// Where a node that votes is reached, as far as the quorum's members are known here.
fn place_of(node: &ControllerNode, voter: BrokerId) -> Option<(String, u16)> {
    let members = node.quorum.members();
    let endpoint = members.into_iter().find(|member| member.key.id == voter)?.endpoints.into_iter().next()?;
    Some((endpoint.host, endpoint.port))
}

impl Outcome {
    fn refused(error: ErrorCode, message: String) -> Self {
        Self { error: Some((error, message)), ..Self::default() }
    }
}

async fn barrier(metadata: &Metadata) -> Outcome {
    match metadata.log().read_barrier().await {
        Ok(end) => Outcome { committed_end: Some(end), ..Outcome::default() },
        Err(error) => Outcome::refused(ErrorCode::NotController, error.to_string()),
    }
}

async fn pull(metadata: &Metadata, request: &PullMetadataRequest) -> Outcome {
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(MAX_BYTES);
    if let Some(at) = &request.snapshot {
        return piece(metadata, Offset(at.upto), u64::try_from(at.position).unwrap_or(0), max_bytes).await;
    }
    let from = Offset(request.offset.max(0));
    let found = records(metadata, from, max_bytes).await;
    let has_news = found.error.is_some() || found.snapshot.is_some() || !found.records.is_empty();
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(MAX_WAIT);
    if has_news || max_wait.is_zero() {
        return found;
    }
    let leader = (request.leader_id >= 0).then_some(BrokerId(request.leader_id));
    let known = LeaderHint { leader, epoch: LeadershipEpoch(request.leader_epoch) };
    // What is answered when nothing came is the same as when something did.
    let _ = tokio::time::timeout(max_wait, news(metadata, from, known)).await;
    records(metadata, from, max_bytes).await
}

/// Waits for records, or for another leadership than the one that is known to who asks.
async fn news(metadata: &Metadata, from: Offset, known: LeaderHint) {
    let (mut replayed, mut hint) = (metadata.replayed_end(), metadata.leader());
    let me = metadata.node_id();
    // Both end with this node at the latest, and so does the wait.
    tokio::select! {
        biased;
        _ = replayed.wait_for(|end| *end > from) => {}
        _ = hint.wait_for(|hint| is_news(me, known, *hint)) => {}
        _ = metadata.over() => {}
    }
}

/// Whether what this node knows of the leader is news to who knows that much.
fn is_news(me: BrokerId, known: LeaderHint, hint: LeaderHint) -> bool {
    let is_later = hint.epoch > known.epoch;
    let is_found = hint.epoch == known.epoch && known.leader.is_none() && hint.leader.is_some();
    let is_over = known.leader == Some(me) && hint.leader != Some(me);
    is_later || is_found || is_over
}

async fn records(metadata: &Metadata, from: Offset, max_bytes: usize) -> Outcome {
    match metadata.log().read(from, max_bytes).await {
        Ok(Read::Records { records, .. }) => Outcome { records, ..Outcome::default() },
        Ok(Read::NeedsSnapshot { upto }) => Outcome { snapshot: Some((upto, None)), ..Outcome::default() },
        Ok(Read::Nothing { end }) => Outcome { committed_end: Some(end), ..Outcome::default() },
        Err(error) => unreadable(&error),
    }
}

async fn piece(metadata: &Metadata, upto: Offset, position: u64, max_bytes: usize) -> Outcome {
    match metadata.log().read_snapshot(upto, position, max_bytes).await {
        Ok(piece) => {
            Outcome { snapshot: Some((upto, piece.next)), records: piece.records, ..Outcome::default() }
        }
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &ReadError) -> Outcome {
    let code = match error {
        ReadError::NoSnapshot(_) => ErrorCode::SnapshotNotFound,
        ReadError::Position { .. } => ErrorCode::PositionOutOfRange,
        ReadError::Storage(_) | ReadError::Closed => ErrorCode::KafkaStorageError,
    };
    Outcome::refused(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_of_the_leader_are_a_later_epoch_a_leader_found_and_the_end_of_the_own_one() {
        let hint = |leader: Option<i32>, epoch| LeaderHint {
            leader: leader.map(BrokerId),
            epoch: LeadershipEpoch(epoch),
        };
        let (one, other) = (BrokerId(1), BrokerId(2));
        for me in [one, other] {
            assert!(is_news(me, hint(Some(1), 5), hint(Some(2), 6)));
            assert!(is_news(me, hint(None, 5), hint(Some(2), 5)));
            assert!(is_news(me, hint(None, -1), hint(None, 3)));
            assert!(!is_news(me, hint(Some(1), 5), hint(Some(1), 5)));
            assert!(!is_news(me, hint(Some(2), 6), hint(Some(2), 5)), "it knows more");
        }
        assert!(is_news(one, hint(Some(1), 5), hint(None, 5)), "node 1 knows that it leads no longer");
        assert!(!is_news(other, hint(Some(1), 5), hint(None, 5)), "and node 2 does not know better");
    }
}
