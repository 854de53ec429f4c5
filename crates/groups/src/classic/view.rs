//! The group as ListGroups, DescribeGroups and the metrics show it.

use bytes::Bytes;
use ottla_types::ErrorCode;

use super::{ClassicGroup, State};
use crate::answer::{DescribedGroup, DescribedMember};

impl State {
    pub(crate) const ALL: [Self; 4] =
        [Self::Empty, Self::PreparingRebalance, Self::CompletingRebalance, Self::Stable];

    /// Kafka's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl ClassicGroup {
    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn members_count(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or_default()
    }

    pub(crate) fn describe(&self) -> DescribedGroup {
        let is_stable = self.state == State::Stable;
        let protocol = if is_stable { self.protocol.as_deref() } else { None };
        let members = self.members.values().map(|member| DescribedMember {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.as_deref().map(str::to_owned),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: member.metadata(protocol),
            assignment: if is_stable { member.assignment.clone() } else { Bytes::new() },
        });
        DescribedGroup {
            error: ErrorCode::None,
            error_message: None,
            group_id: self.id.to_string(),
            state: self.state.name(),
            protocol_type: self.protocol_type().to_owned(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: members.collect(),
        }
    }

    /// Whether the group is known to hold more than offsets: it cannot be deleted, and protocols that are not consumers'
    /// own their offsets while they have members.
    pub(crate) fn refuses_deleting_offsets(&self) -> bool {
        !self.is_empty() && !self.uses_consumer_protocol()
    }
}
