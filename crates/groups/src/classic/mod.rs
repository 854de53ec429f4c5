//! A classic group: members that elect a leader, which assigns partitions to all of them.
//!
//! - this file: the group, who is in it, and which protocols they share;
//! - [`member`]: one member; [`expected`]: those that are about to join;
//! - [`join`], [`sync`], [`heartbeat`], [`leave`]: one request each;
//! - [`rebalance`]: the join phase, from its beginning to the next generation;
//! - [`expiry`]: what time brings about;
//! - [`stored`]: the group as a record;
//! - [`view`]: the group as lists and descriptions show it.
//!
//! The rules are those of Kafka 4.3's `ClassicGroup` and `GroupMetadataManager`. As there, members and their waiting
//! requests are not part of the log; a record of the group is a picture of it that is taken when a generation begins.

mod expected;
mod expiry;
mod heartbeat;
mod join;
mod leave;
mod member;
mod rebalance;
mod stored;
mod sync;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_types::ErrorCode;

use crate::deadlines::{Deadlines, Handle, Timer};
use crate::record::{CONSUMER_PROTOCOL, subscribed_topics};
use crate::request::Protocol;
use crate::turn::Turn;

use expected::Expected;
pub(crate) use expiry::RetentionBase;
pub(crate) use join::Replacement;
use member::{Member, Terms};
use rebalance::JoinPhase;

/// Where a group is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No members; perhaps offsets.
    Empty,
    /// Members are to join again.
    PreparingRebalance,
    /// The leader is to assign.
    CompletingRebalance,
    /// Members have their assignments.
    Stable,
}

/// A group.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    id: Arc<str>,
    state: State,
    /// When it came into its state; not known of groups that old versions wrote.
    state_since_ms: Option<i64>,
    generation: i32,
    /// `None` for a group that never had a member: it holds offsets of consumers that do without a group.
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
    /// Members by their instance ids.
    static_members: BTreeMap<Arc<str>, Arc<str>>,
    /// Ids that were told to new members, which are to join with them.
    pending_members: Expected,
    /// Members of this generation that have not sent their SyncGroup yet.
    pending_sync: BTreeSet<Arc<str>>,
    /// How many members have a JoinGroup waiting.
    awaiting_join: usize,
    /// How many members know each protocol.
    supported: BTreeMap<String, usize>,
    /// The topics that members subscribe to; `None` where that is not known.
    subscribed: Option<BTreeSet<Box<str>>>,
    join_phase: Option<JoinPhase>,
    sync_deadline: Option<Handle>,
    /// Whether the leader's assignment of this generation is on its way to the log.
    assigning: bool,
}

impl ClassicGroup {
    /// A group that never had a member.
    pub(crate) fn new(id: Arc<str>, state_since_ms: Option<i64>) -> Self {
        Self {
            id,
            state: State::Empty,
            state_since_ms,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_members: Expected::default(),
            pending_sync: BTreeSet::new(),
            awaiting_join: 0,
            supported: BTreeMap::new(),
            subscribed: None,
            join_phase: None,
            sync_deadline: None,
            assigning: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// Whether somebody was told an id and is about to join.
    pub(crate) fn is_expected(&self) -> bool {
        !self.pending_members.is_empty()
    }

    fn transition(&mut self, to: State, now_ms: i64) {
        self.state = to;
        self.state_since_ms = Some(now_ms);
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    fn leader_id(&self) -> String {
        self.leader.as_deref().unwrap_or_default().to_owned()
    }

    fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL)
    }

    fn session_timer(&self, member: &Arc<str>) -> Timer {
        Timer::Session { group: self.id.clone(), member: member.clone() }
    }

    /// Checks who speaks: a member, and the one that its instance id stands for (KIP-345).
    fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if **current != *member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// A sign of life: the member's session begins anew.
    fn touch(&mut self, member_id: &str, turn: &mut Turn<'_>) {
        if let Some(member) = self.members.get_mut(member_id) {
            let timer = || Timer::Session { group: self.id.clone(), member: member.id.clone() };
            let timeout_ms = i64::from(member.session_timeout_ms);
            member.session.renew(timeout_ms, turn.now_ms, turn.deadlines, timer);
        }
    }

    /// Whether a member with these protocols could be in the group: it shares one with all members.
    fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|protocol| {
                self.supported.get(&protocol.name).copied().unwrap_or(0) == self.members.len()
            })
    }

    fn count_protocols(&mut self, protocols: &[Protocol]) {
        for protocol in protocols {
            *self.supported.entry(protocol.name.clone()).or_default() += 1;
        }
    }

    fn discount_protocols(&mut self, protocols: &[Protocol]) {
        for protocol in protocols {
            if let Some(count) = self.supported.get_mut(&protocol.name) {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(&protocol.name);
                }
            }
        }
    }

    /// Adds a member. Its id and instance id are not taken.
    fn add(&mut self, member: Member, protocol_type: &str) {
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member.id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        self.leader.get_or_insert_with(|| member.id.clone());
        self.count_protocols(&member.protocols);
        self.awaiting_join += usize::from(member.join.is_some());
        self.members.insert(member.id.clone(), member);
    }

    /// Replaces what the member said of itself when it joined.
    fn set_terms(&mut self, member_id: &str, terms: Terms) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        member.rebalance_timeout_ms = terms.rebalance_timeout_ms;
        member.session_timeout_ms = terms.session_timeout_ms;
        let old = std::mem::replace(&mut member.protocols, terms.protocols.clone());
        self.discount_protocols(&old);
        self.count_protocols(&terms.protocols);
    }

    /// The longest rebalance timeout of the members.
    fn rebalance_timeout_ms(&self) -> i64 {
        let longest = self.members.values().map(|member| member.rebalance_timeout_ms).max();
        i64::from(longest.unwrap_or(0).max(0))
    }

    fn have_all_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_members.is_empty()
    }

    /// The protocol that all members know and most prefer; of several, the first by name.
    fn select_protocol(&self) -> Option<String> {
        let all = self.members.len();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let known_to_all = |name: &str| self.supported.get(name).is_some_and(|&count| count == all);
            if let Some(protocol) = member.protocols.iter().find(|protocol| known_to_all(&protocol.name)) {
                *votes.entry(&protocol.name).or_default() += 1;
            }
        }
        // `max_by_key` would take the last of several.
        let most = votes.values().max().copied()?;
        votes.into_iter().find(|&(_, count)| count == most).map(|(name, _)| name.to_owned())
    }

    /// Reads the members' subscriptions under the chosen protocol.
    fn compute_subscribed(&self) -> Option<BTreeSet<Box<str>>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        let protocol = self.protocol.as_deref();
        if !self.members.is_empty() && protocol.is_none() {
            return None;
        }
        let mut all = BTreeSet::new();
        for member in self.members.values() {
            // Metadata that is no subscription is the client's affair: the group goes on, and does not know its topics.
            all.append(&mut subscribed_topics(&member.metadata(protocol)).ok()?);
        }
        Some(all)
    }

    /// Whether a member may be reading the topic. A group that uses the consumer protocol in a way that is not
    /// understood may be reading any.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// Takes all its entries out of the queue.
    pub(crate) fn cancel_deadlines(&mut self, deadlines: &mut Deadlines) {
        for member in self.members.values_mut() {
            member.session.cancel(deadlines);
        }
        for (_, session) in self.pending_members.sessions_mut() {
            session.cancel(deadlines);
        }
        if let Some(phase) = self.join_phase.take() {
            deadlines.cancel(phase.deadline);
        }
        if let Some(handle) = self.sync_deadline.take() {
            deadlines.cancel(handle);
        }
    }

    /// Puts the sessions of an empty group's expected members into the queue again.
    pub(crate) fn restore_deadlines(&mut self, deadlines: &mut Deadlines) {
        for (member, session) in self.pending_members.sessions_mut() {
            session.restore(deadlines, || Timer::Session { group: self.id.clone(), member: member.clone() });
        }
    }
}
