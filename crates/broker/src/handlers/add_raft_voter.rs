//! AddRaftVoter: one more node that votes on the metadata log (KIP-853).

use ottla_wire::add_raft_voter::{AddRaftVoterRequest, AddRaftVoterResponse};

use crate::broker::Core;

pub(crate) async fn handle(core: &Core, request: AddRaftVoterRequest) -> AddRaftVoterResponse {
    // Nobody who leads was found.
    if let Some(refused) = core.channel.leaderless().await {
        return AddRaftVoterResponse {
            error_code: refused.error.code(),
            error_message: Some(refused.message.into()),
            ..AddRaftVoterResponse::default()
        };
    }
    core.channel.quorum.add_voter(request).await
}
