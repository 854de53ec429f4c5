//! The group as a record, and back.

use std::sync::Arc;

use bytes::Bytes;

use super::member::{Member, Session};
use super::{ClassicGroup, State};
use crate::record::{GroupValue, MemberValue, group_key};
use crate::request::Protocol;
use crate::turn::Turn;

impl ClassicGroup {
    /// Writes the group with new assignments, one for each member in their order.
    pub(super) fn record<'b>(&self, assignments: impl Iterator<Item = &'b [u8]>, turn: &mut Turn<'_>) {
        let subscriptions: Vec<Bytes> =
            self.members.values().map(|member| member.metadata(self.protocol.as_deref())).collect();
        let members = self.members.values().zip(&subscriptions).zip(assignments);
        let members = members.map(|((member, subscription), assignment)| MemberValue {
            member_id: &member.id,
            instance_id: member.instance_id.as_deref(),
            client_id: &member.client_id,
            client_host: &member.client_host,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription,
            assignment,
        });
        let value = GroupValue {
            protocol_type: self.protocol_type.as_deref().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.as_deref(),
            leader: self.leader.as_deref(),
            current_state_timestamp_ms: self.state_since_ms,
            members: members.collect(),
        };
        turn.record(group_key(&self.id), Some(value.encode()));
    }

    /// Writes the group with the assignments that it has.
    pub(super) fn record_as_is(&self, turn: &mut Turn<'_>) {
        self.record(self.members.values().map(|member| &member.assignment[..]), turn);
    }

    /// Writes that there is a group, before it has members.
    pub(crate) fn record_creation(&self, turn: &mut Turn<'_>) {
        let value = GroupValue {
            protocol_type: "",
            generation: 0,
            protocol: None,
            leader: None,
            current_state_timestamp_ms: self.state_since_ms,
            members: Vec::new(),
        };
        turn.record(group_key(&self.id), Some(value.encode()));
    }

    /// The group that a record tells of.
    pub(crate) fn restore(id: Arc<str>, value: &GroupValue<'_>) -> Self {
        let mut group = Self::new(id, value.current_state_timestamp_ms);
        group.generation = value.generation;
        group.protocol = value.protocol.map(str::to_owned);
        for member in &value.members {
            group.restore_member(member, value);
        }
        group.protocol_type = Some(value.protocol_type.to_owned()).filter(|name| !name.is_empty());
        if let Some(leader) = value.leader.and_then(|leader| group.members.get(leader)) {
            group.leader = Some(leader.id.clone());
        }
        group.state = if group.members.is_empty() { State::Empty } else { State::Stable };
        group.subscribed = group.compute_subscribed();
        group
    }

    fn restore_member(&mut self, member: &MemberValue<'_>, value: &GroupValue<'_>) {
        let is_taken = self.members.contains_key(member.member_id)
            || member.instance_id.is_some_and(|instance_id| self.static_members.contains_key(instance_id));
        if is_taken {
            // No coordinator writes a member twice; of a damaged record the first is kept.
            return;
        }
        let protocol = Protocol {
            name: value.protocol.unwrap_or_default().to_owned(),
            metadata: Bytes::copy_from_slice(member.subscription),
        };
        let restored = Member {
            id: member.member_id.into(),
            instance_id: member.instance_id.map(Arc::from),
            client_id: member.client_id.to_owned(),
            client_host: member.client_host.to_owned(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            protocols: vec![protocol],
            assignment: Bytes::copy_from_slice(member.assignment),
            join: None,
            sync: None,
            is_new: false,
            session: Session::default(),
        };
        self.add(restored, value.protocol_type);
    }

    /// Loading is over: sessions begin now.
    pub(crate) fn loaded(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in &ids {
            self.touch(member_id, turn);
        }
        if self.members.len() > turn.config.max_size {
            // The limit became smaller: members are to join again, and the last ones will not get in.
            self.begin_rebalance(turn);
        }
    }
}
