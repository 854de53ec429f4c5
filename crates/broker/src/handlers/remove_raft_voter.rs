//! RemoveRaftVoter: one node less that votes on the metadata log (KIP-853).

use ottla_wire::remove_raft_voter::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};

use crate::broker::Core;

pub(crate) async fn handle(core: &Core, request: RemoveRaftVoterRequest) -> RemoveRaftVoterResponse {
    // Nobody who leads was found.
    if let Some(refused) = core.channel.leaderless().await {
        return RemoveRaftVoterResponse {
            error_code: refused.error.code(),
            error_message: Some(refused.message.into()),
            ..RemoveRaftVoterResponse::default()
        };
    }
    core.channel.quorum.remove_voter(request).await
}
