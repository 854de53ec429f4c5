//! JoinGroup.

use std::sync::Arc;

use ottla_types::ErrorCode;

use super::member::{Member, Session, Terms};
use super::{ClassicGroup, State};
use crate::answer::{Answer, JoinAnswer};
use crate::effect::Ticket;
use crate::request::Join;
use crate::turn::{Followup, Turn};

/// A static member that came back under a new id while the group is stable, and is answered when that is committed.
#[derive(Debug)]
pub(crate) struct Replacement {
    instance_id: String,
    old_id: Arc<str>,
    new_id: Arc<str>,
    old_terms: Terms,
    /// The leader before; to a client that cannot skip the assignment, a leader that came back is told its old id, so
    /// that it takes itself for a follower.
    old_leader: String,
    supports_skipping_assignment: bool,
}

impl ClassicGroup {
    /// Decides a request to join.
    pub(crate) fn join(&mut self, ticket: Ticket, request: &Join, turn: &mut Turn<'_>) {
        let member_id = request.member_id.as_str();
        if !self.has_room_for(member_id, turn) {
            self.remove(member_id, turn);
            refuse(ticket, ErrorCode::GroupMaxSizeReached, "", turn);
        } else if !self.supports(&request.protocol_type, &request.protocols) {
            refuse(ticket, ErrorCode::InconsistentGroupProtocol, member_id, turn);
        } else if member_id.is_empty() {
            self.join_as_new(ticket, request, turn);
        } else if self.pending_members.id(member_id).is_some() {
            self.join_as_expected(ticket, request, turn);
        } else {
            self.join_again(ticket, request, turn);
        }
    }

    /// Whether the group may take the member, by `group.max.size`.
    fn has_room_for(&self, member_id: &str, turn: &Turn<'_>) -> bool {
        let member = self.members.get(member_id);
        match self.state {
            State::Empty => true,
            // Who joins is counted, and not who is a member: should the limit have become smaller, the last to rejoin
            // are left out.
            State::PreparingRebalance => {
                member.is_some_and(|member| member.join.is_some())
                    || self.awaiting_join < turn.config.max_size
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < turn.config.max_size
            }
        }
    }

    fn join_as_new(&mut self, ticket: Ticket, request: &Join, turn: &mut Turn<'_>) {
        let new_id: Arc<str> = request.new_member_id.as_str().into();
        if let Some(instance_id) = &request.instance_id {
            match self.static_members.get(instance_id.as_str()).cloned() {
                Some(old_id) => self.replace(ticket, request, &old_id, new_id, turn),
                None => self.add_and_rebalance(ticket, request, new_id, turn),
            }
        } else if request.requires_known_member_id {
            // KIP-394: a client whose request is repeated must not become two members.
            let timer = self.session_timer(&new_id);
            let mut session = Session::default();
            session.renew(i64::from(request.session_timeout_ms), turn.now_ms, turn.deadlines, || timer);
            self.pending_members.insert(new_id, session);
            while let Some(mut forgotten) = self.pending_members.pop_excess() {
                forgotten.cancel(turn.deadlines);
            }
            refuse(ticket, ErrorCode::MemberIdRequired, &request.new_member_id, turn);
        } else {
            self.add_and_rebalance(ticket, request, new_id, turn);
        }
    }

    fn join_as_expected(&mut self, ticket: Ticket, request: &Join, turn: &mut Turn<'_>) {
        if request.instance_id.is_some() {
            // Ids are told ahead to dynamic members only. Kafka answers with UNKNOWN_SERVER_ERROR here.
            return refuse(ticket, ErrorCode::UnknownServerError, &request.member_id, turn);
        }
        if let Some((member_id, mut session)) = self.pending_members.remove(&request.member_id) {
            session.cancel(turn.deadlines);
            self.add_and_rebalance(ticket, request, member_id, turn);
        }
    }

    fn add_and_rebalance(
        &mut self,
        ticket: Ticket,
        request: &Join,
        member_id: Arc<str>,
        turn: &mut Turn<'_>,
    ) {
        let mut member = Member::new(member_id.clone(), request);
        member.join = Some(ticket);
        // It may not know its id, and so cannot show that it lives; its connection is not watched while it waits.
        let timer = self.session_timer(&member_id);
        member.session.renew(turn.config.new_member_join_timeout_ms, turn.now_ms, turn.deadlines, || timer);
        if let Some(initial) = self.join_phase.as_mut().and_then(|phase| phase.initial.as_mut()) {
            initial.member_added = true;
        }
        self.add(member, &request.protocol_type);
        self.rebalance_or_complete_join(turn);
    }

    fn join_again(&mut self, ticket: Ticket, request: &Join, turn: &mut Turn<'_>) {
        let member_id = request.member_id.as_str();
        if let Err(error) = self.check_member(member_id, request.instance_id.as_deref()) {
            return refuse(ticket, error, member_id, turn);
        }
        let terms = Terms::of(request);
        let is_same = self.members.get(member_id).is_some_and(|member| member.protocols == terms.protocols);
        let is_leader = self.is_leader(member_id);
        match self.state {
            // It did not get the answer to its first request, so it gets it again.
            State::CompletingRebalance if is_same => {
                turn.answer(ticket, Answer::Join(self.joined(member_id, is_leader)));
            }
            State::Stable if is_same && !is_leader => {
                turn.answer(ticket, Answer::Join(self.joined(member_id, false)));
            }
            // Something changed; or the leader asks for a rebalance, as when topics changed.
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                self.set_terms(member_id, terms);
                self.wait_for_join(member_id, ticket, turn);
                self.rebalance_or_complete_join(turn);
            }
            // An empty group has no members that could have passed the check.
            State::Empty => refuse(ticket, ErrorCode::UnknownMemberId, member_id, turn),
        }
    }

    /// Lets the request wait for the end of the join phase, in place of one that waited before: its client gave up on
    /// that one.
    fn wait_for_join(&mut self, member_id: &str, ticket: Ticket, turn: &mut Turn<'_>) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        match member.join.replace(ticket) {
            Some(before) => refuse(before, ErrorCode::RebalanceInProgress, member_id, turn),
            None => self.awaiting_join += 1,
        }
    }

    /// A static member came back without its id: it gets a new one, and the old one is fenced (KIP-345).
    fn replace(
        &mut self,
        ticket: Ticket,
        request: &Join,
        old_id: &Arc<str>,
        new_id: Arc<str>,
        turn: &mut Turn<'_>,
    ) {
        let old_leader = self.leader_id();
        let Some(old_terms) = self.members.get(old_id).map(Member::terms) else { return };
        self.rename(old_id, &new_id, turn);
        self.set_terms(&new_id, Terms::of(request));
        self.touch(&new_id, turn);
        self.wait_for_join(&new_id, ticket, turn);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol => {
                // No rebalance: the assignment stays, and only the id changes.
                self.record_as_is(turn);
                let replacement = Replacement {
                    instance_id: request.instance_id.clone().unwrap_or_default(),
                    old_id: old_id.clone(),
                    new_id,
                    old_terms,
                    old_leader,
                    supports_skipping_assignment: request.supports_skipping_assignment,
                };
                let (group, replacement) = (self.id.clone(), Box::new(replacement));
                turn.follow_up(Followup::Replaced { group, replacement });
            }
            // The leader may have got the old id already, and would assign to nobody.
            State::Stable | State::CompletingRebalance => self.begin_rebalance(turn),
            State::PreparingRebalance | State::Empty => self.complete_join_if_all_are_there(turn),
        }
    }

    /// Gives a static member another id. Requests that wait under the old one are fenced.
    fn rename(&mut self, old_id: &str, new_id: &Arc<str>, turn: &mut Turn<'_>) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        if let Some(ticket) = member.join.take() {
            self.awaiting_join -= 1;
            refuse(ticket, ErrorCode::FencedInstanceId, old_id, turn);
        }
        if let Some(ticket) = member.sync.take() {
            turn.answer(ticket, Answer::refused_sync(ErrorCode::FencedInstanceId));
        }
        member.session.cancel(turn.deadlines);
        member.id = new_id.clone();
        // Its client knows the instance id, so it can be heard from at any time.
        member.is_new = false;
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(new_id.clone());
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), new_id.clone());
        }
        self.members.insert(new_id.clone(), member);
    }

    /// The new id is in the log. Should a rebalance have begun meanwhile, the member waits for its end like all others.
    pub(crate) fn replaced(&mut self, replacement: &Replacement, turn: &mut Turn<'_>) {
        if self.state != State::Stable {
            return;
        }
        let new_id = &replacement.new_id;
        let Some(ticket) = self.members.get_mut(new_id).and_then(|member| member.join.take()) else { return };
        self.awaiting_join -= 1;
        let is_leader = self.is_leader(new_id);
        let mut answer = self.joined(new_id, is_leader && replacement.supports_skipping_assignment);
        if replacement.supports_skipping_assignment {
            // KIP-814: it is the leader again, and watches for changes, but the assignment stands.
            answer.skip_assignment = is_leader;
        } else {
            answer.leader.clone_from(&replacement.old_leader);
        }
        turn.answer(ticket, Answer::Join(answer));
        self.touch(new_id, turn);
    }

    /// The new id could not be written: the old one is in force again.
    pub(crate) fn not_replaced(&mut self, replacement: &Replacement, error: ErrorCode, turn: &mut Turn<'_>) {
        let new_id = &replacement.new_id;
        if self.state != State::Stable || !self.members.contains_key(new_id) {
            return;
        }
        if let Some(ticket) = self.members.get_mut(new_id).and_then(|member| member.join.take()) {
            self.awaiting_join -= 1;
            refuse(ticket, error, "", turn);
        }
        self.set_terms(new_id, replacement.old_terms.clone());
        self.rename(new_id, &replacement.old_id, turn);
        debug_assert!(self.static_members.get(replacement.instance_id.as_str()) == Some(&replacement.old_id));
        self.touch(&replacement.old_id, turn);
    }
}

fn refuse(ticket: Ticket, error: ErrorCode, member_id: &str, turn: &mut Turn<'_>) {
    turn.answer(ticket, Answer::Join(JoinAnswer::refused(error, member_id)));
}
