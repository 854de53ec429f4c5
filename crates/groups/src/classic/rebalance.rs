//! The join phase: how it begins, who is waited for and how long, and what its end makes of the group.

use std::sync::Arc;

use ottla_types::ErrorCode;

use super::{ClassicGroup, State};
use crate::answer::{Answer, JoinAnswer, JoinedMember};
use crate::deadlines::{Handle, Timer};
use crate::request::Generation;
use crate::turn::Turn;

/// How often at most it is looked whether one of several static members has joined, though they gave themselves no time.
const SHORTEST_NEXT_WAIT_MS: i64 = 1_000;

/// A join phase, and when it is looked at next.
#[derive(Debug)]
pub(super) struct JoinPhase {
    pub(super) deadline: Handle,
    /// Set for the first rebalance of an empty group, which waits for more members to come.
    pub(super) initial: Option<InitialDelay>,
}

/// How the initial delay goes on: in steps of `group.initial.rebalance.delay.ms`, as long as members come, and no longer
/// than their rebalance timeout.
#[derive(Debug, Clone, Copy)]
pub(super) struct InitialDelay {
    /// The step that is running.
    delay_ms: i64,
    /// What is left after it.
    remaining_ms: i64,
    /// Whether a member came during this step.
    pub(super) member_added: bool,
}

impl ClassicGroup {
    fn enter_join_phase(&mut self, delay_ms: i64, initial: Option<InitialDelay>, turn: &mut Turn<'_>) {
        if let Some(phase) = self.join_phase.take() {
            turn.deadlines.cancel(phase.deadline);
        }
        let at_ms = turn.now_ms.saturating_add(delay_ms);
        let deadline = turn.deadlines.schedule(at_ms, Timer::Join { group: self.id.clone() });
        self.join_phase = Some(JoinPhase { deadline, initial });
    }

    fn is_initial_rebalance(&self) -> bool {
        self.join_phase.as_ref().is_some_and(|phase| phase.initial.is_some())
    }

    /// After a member came or changed: begins a rebalance, or goes on with the one there is.
    pub(super) fn rebalance_or_complete_join(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::PreparingRebalance {
            self.complete_join_if_all_are_there(turn);
        } else {
            self.begin_rebalance(turn);
        }
    }

    /// Asks all members to join again.
    pub(super) fn begin_rebalance(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::CompletingRebalance {
            self.refuse_assignment(ErrorCode::RebalanceInProgress, turn);
        }
        self.end_sync_phase(turn);
        let is_initial = self.state == State::Empty;
        self.transition(State::PreparingRebalance, turn.now_ms);
        if is_initial {
            let delay_ms = i64::from(turn.config.initial_rebalance_delay_ms);
            let remaining_ms = (self.rebalance_timeout_ms() - delay_ms).max(0);
            let initial = InitialDelay { delay_ms, remaining_ms, member_added: false };
            self.enter_join_phase(delay_ms, Some(initial), turn);
        } else if self.have_all_joined() {
            self.complete_join(turn);
        } else {
            self.enter_join_phase(self.rebalance_timeout_ms(), None, turn);
        }
    }

    /// Ends the join phase if nobody is missing. The first rebalance of an empty group waits in any case.
    pub(super) fn complete_join_if_all_are_there(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::PreparingRebalance && !self.is_initial_rebalance() && self.have_all_joined() {
            self.complete_join(turn);
        }
    }

    /// The deadline of the join phase came up.
    pub(crate) fn join_elapsed(&mut self, handle: Handle, turn: &mut Turn<'_>) {
        let Some(phase) = self.join_phase.take_if(|phase| phase.deadline == handle) else { return };
        match phase.initial {
            Some(initial) if initial.member_added && initial.remaining_ms != 0 => {
                let delay_ms = i64::from(turn.config.initial_rebalance_delay_ms).min(initial.remaining_ms);
                let remaining_ms = (initial.remaining_ms - initial.delay_ms).max(0);
                self.enter_join_phase(
                    delay_ms,
                    Some(InitialDelay { delay_ms, remaining_ms, member_added: false }),
                    turn,
                );
            }
            _ => self.complete_join(turn),
        }
    }

    /// Ends the join phase: dynamic members that did not join are out, and the next generation begins.
    pub(super) fn complete_join(&mut self, turn: &mut Turn<'_>) {
        if let Some(phase) = self.join_phase.take() {
            turn.deadlines.cancel(phase.deadline);
        }
        let missing =
            self.members.values().filter(|member| member.join.is_none() && member.instance_id.is_none());
        let missing: Vec<Arc<str>> = missing.map(|member| member.id.clone()).collect();
        for member_id in missing {
            self.remove(&member_id, turn);
        }
        if !self.elect_leader() && !self.members.is_empty() {
            // Only static members are left, and none joined: wait until one does or their sessions are over.
            self.enter_join_phase(self.rebalance_timeout_ms().max(SHORTEST_NEXT_WAIT_MS), None, turn);
            return;
        }
        self.begin_generation(turn);
        if self.is_empty() {
            // Should this record get lost, the members of the generation before come back after a restart, and time
            // out then.
            self.record_as_is(turn);
        } else {
            self.answer_joins(turn);
        }
    }

    /// Sees to it that the leader has joined. False if nobody has.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |id: &Arc<str>| self.members.get(id).is_some_and(|member| member.join.is_some());
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let Some(joined) = self.members.values().find(|member| member.join.is_some()) else { return false };
        self.leader = Some(joined.id.clone());
        true
    }

    fn begin_generation(&mut self, turn: &mut Turn<'_>) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.protocol = self.select_protocol();
        self.subscribed = self.compute_subscribed();
        self.pending_sync.clear();
        self.assigning = false;
        let state = if self.members.is_empty() { State::Empty } else { State::CompletingRebalance };
        self.transition(state, turn.now_ms);
    }

    fn answer_joins(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in &ids {
            let answer = self.joined(member_id, self.is_leader(member_id));
            let Some(member) = self.members.get_mut(member_id) else { continue };
            member.is_new = false;
            if let Some(ticket) = member.join.take() {
                self.awaiting_join -= 1;
                turn.answer(ticket, Answer::Join(answer));
            }
            self.touch(member_id, turn);
        }
        self.pending_sync = ids.into_iter().collect();
        let at_ms = turn.now_ms.saturating_add(self.rebalance_timeout_ms());
        self.sync_deadline = Some(turn.deadlines.schedule(at_ms, Timer::Sync { group: self.id.clone() }));
    }

    /// The current generation, as a member is told when it joined.
    pub(super) fn joined(&self, member_id: &str, with_members: bool) -> JoinAnswer {
        let mut members = Vec::new();
        if with_members {
            members.extend(self.members.values().map(|member| JoinedMember {
                member_id: member.id.to_string(),
                instance_id: member.instance_id.as_deref().map(str::to_owned),
                metadata: member.metadata(self.protocol.as_deref()),
            }));
        }
        JoinAnswer {
            error: ErrorCode::None,
            generation: Generation(self.generation),
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader_id(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members,
        }
    }

    /// Takes a member, or one that was expected, out of the group. Whoever waits for an answer on its behalf may join
    /// again as a new one.
    pub(super) fn remove(&mut self, member_id: &str, turn: &mut Turn<'_>) {
        if let Some((_, mut session)) = self.pending_members.remove(member_id) {
            session.cancel(turn.deadlines);
        }
        self.pending_sync.remove(member_id);
        if let Some(mut member) = self.members.remove(member_id) {
            member.session.cancel(turn.deadlines);
            self.discount_protocols(&member.protocols);
            if let Some(ticket) = member.join.take() {
                self.awaiting_join -= 1;
                turn.answer(ticket, Answer::Join(JoinAnswer::refused(ErrorCode::UnknownMemberId, "")));
            }
            if let Some(ticket) = member.sync.take() {
                turn.answer(ticket, Answer::refused_sync(ErrorCode::UnknownMemberId));
            }
            if let Some(instance_id) = &member.instance_id {
                self.static_members.remove(instance_id);
            }
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Answers whoever waits, as the group goes away.
    pub(crate) fn dismiss(&mut self, error: ErrorCode, turn: &mut Turn<'_>) {
        self.cancel_deadlines(turn.deadlines);
        for member in self.members.values_mut() {
            if let Some(ticket) = member.join.take() {
                turn.answer(ticket, Answer::Join(JoinAnswer::refused(error, &member.id)));
            }
            if let Some(ticket) = member.sync.take() {
                turn.answer(ticket, Answer::refused_sync(error));
            }
        }
        self.awaiting_join = 0;
    }
}
