//! DescribeQuorum: who votes on the metadata log, and how far each is (KIP-595). The quorum's leader answers, whichever broker
//! was asked.

use ottla_wire::describe_quorum::{DescribeQuorumRequest, DescribeQuorumResponse};

use crate::broker::Core;
use crate::context::RequestContext;

pub(crate) async fn handle(
    core: &Core,
    context: &RequestContext,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    // Nobody who leads was found.
    if let Some(refused) = core.channel.leaderless().await {
        return DescribeQuorumResponse {
            error_code: refused.error.code(),
            error_message: Some(refused.message.into()),
            ..DescribeQuorumResponse::default()
        };
    }
    core.channel.quorum.describe(context.version, &request).await
}
