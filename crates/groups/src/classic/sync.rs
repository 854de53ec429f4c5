//! SyncGroup: the leader assigns, and each member gets its part when that is committed.

use std::sync::Arc;

use bytes::Bytes;
use ottla_types::ErrorCode;

use super::{ClassicGroup, State};
use crate::answer::{Answer, SyncAnswer};
use crate::deadlines::Handle;
use crate::effect::Ticket;
use crate::request::Sync;
use crate::turn::{Followup, Turn};

impl ClassicGroup {
    /// Decides a request to sync.
    pub(crate) fn sync(&mut self, ticket: Ticket, request: &Sync, turn: &mut Turn<'_>) {
        if let Err(error) = self.check_sync(request) {
            return turn.answer(ticket, Answer::refused_sync(error));
        }
        let member_id = request.member_id.as_str();
        self.pending_sync.remove(member_id);
        if self.pending_sync.is_empty() {
            self.end_sync_phase(turn);
        }
        if self.state == State::Stable {
            let answer = self.assigned(member_id);
            return turn.answer(ticket, Answer::Sync(answer));
        }
        let Some(member) = self.members.get_mut(member_id) else { return };
        if let Some(before) = member.sync.replace(ticket) {
            // Its client gave up on that one.
            turn.answer(before, Answer::refused_sync(ErrorCode::RebalanceInProgress));
        }
        // One assignment for each generation: a leader that repeats its request waits for the first.
        if self.is_leader(member_id) && !self.assigning {
            self.assign(request, turn);
        }
    }

    fn check_sync(&self, request: &Sync) -> Result<(), ErrorCode> {
        self.check_member(&request.member_id, request.instance_id.as_deref())?;
        let differs =
            |told: &Option<String>, own: &Option<String>| told.is_some() && own.is_some() && told != own;
        if request.generation.0 != self.generation {
            Err(ErrorCode::IllegalGeneration)
        } else if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            Err(ErrorCode::InconsistentGroupProtocol)
        } else if self.state == State::PreparingRebalance {
            Err(ErrorCode::RebalanceInProgress)
        } else {
            Ok(())
        }
    }

    /// Writes the leader's assignment. Whom it forgot gets an empty one, and whom it made up none.
    fn assign(&mut self, request: &Sync, turn: &mut Turn<'_>) {
        let mut assignments: Vec<(Arc<str>, Bytes)> =
            self.members.keys().map(|member_id| (member_id.clone(), Bytes::new())).collect();
        for (member_id, assignment) in &request.assignments {
            // Of two for one member, the later counts, as in Kafka's map.
            let place = assignments.binary_search_by(|(known, _)| (**known).cmp(member_id.as_str()));
            if let Some((_, place)) = place.ok().and_then(|place| assignments.get_mut(place)) {
                *place = Bytes::copy_from_slice(assignment);
            }
        }
        self.assigning = true;
        self.record(assignments.iter().map(|(_, assignment)| &assignment[..]), turn);
        let (group, generation) = (self.id.clone(), self.generation);
        turn.follow_up(Followup::Assign { group, generation, assignments });
    }

    /// Whether the group still waits for the assignment of this generation.
    fn awaits_assignment(&self, generation: i32) -> bool {
        self.state == State::CompletingRebalance && self.generation == generation
    }

    /// The assignment is committed: members get it, and the group is stable.
    pub(crate) fn assignment_committed(
        &mut self,
        generation: i32,
        assignments: Vec<(Arc<str>, Bytes)>,
        turn: &mut Turn<'_>,
    ) {
        if !self.awaits_assignment(generation) {
            return;
        }
        for (member_id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&member_id) {
                member.assignment = assignment;
            }
        }
        self.assigning = false;
        self.answer_syncs(ErrorCode::None, turn);
        self.transition(State::Stable, turn.now_ms);
    }

    /// The assignment could not be written: members are told, and are to join again. As by Kafka, who waits is told the log's
    /// error, which for one that is too large is UNKNOWN_SERVER_ERROR, and who syncs later REBALANCE_IN_PROGRESS.
    pub(crate) fn assignment_failed(&mut self, generation: i32, error: ErrorCode, turn: &mut Turn<'_>) {
        if self.awaits_assignment(generation) {
            self.refuse_assignment(error, turn);
            self.begin_rebalance(turn);
        }
    }

    /// Tells whoever waits for an assignment that it does not come.
    pub(super) fn refuse_assignment(&mut self, error: ErrorCode, turn: &mut Turn<'_>) {
        self.assigning = false;
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        self.answer_syncs(error, turn);
    }

    fn answer_syncs(&mut self, error: ErrorCode, turn: &mut Turn<'_>) {
        let waiting =
            self.members.values_mut().filter_map(|member| Some((member.id.clone(), member.sync.take()?)));
        let waiting: Vec<(Arc<str>, Ticket)> = waiting.collect();
        for (member_id, ticket) in waiting {
            let answer = match error {
                ErrorCode::None => Answer::Sync(self.assigned(&member_id)),
                error => Answer::refused_sync(error),
            };
            turn.answer(ticket, answer);
            // Its session may have ended while it waited, which was not held against it.
            self.touch(&member_id, turn);
        }
    }

    fn assigned(&self, member_id: &str) -> SyncAnswer {
        SyncAnswer {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment: self
                .members
                .get(member_id)
                .map(|member| member.assignment.clone())
                .unwrap_or_default(),
        }
    }

    /// No SyncGroup is waited for any more.
    pub(super) fn end_sync_phase(&mut self, turn: &mut Turn<'_>) {
        self.pending_sync.clear();
        if let Some(handle) = self.sync_deadline.take() {
            turn.deadlines.cancel(handle);
        }
    }

    /// The deadline of the sync phase came up: who has not synced is out.
    pub(crate) fn sync_elapsed(&mut self, handle: Handle, turn: &mut Turn<'_>) {
        if self.sync_deadline.take_if(|deadline| *deadline == handle).is_none() {
            return;
        }
        let missing = std::mem::take(&mut self.pending_sync);
        if missing.is_empty() {
            return;
        }
        for member_id in missing {
            self.remove(&member_id, turn);
        }
        self.begin_rebalance(turn);
    }
}
