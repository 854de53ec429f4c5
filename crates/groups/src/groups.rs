//! All groups of the shard with their offsets: finding, creating and deleting them, and the requests that are about groups
//! rather than about one member.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla_types::{ErrorCode, TopicName};

use crate::answer::{Answer, DescribedGroup, JoinAnswer, LeaveAnswer, LeftMember, ListedGroup};
use crate::classic::{ClassicGroup, State};
use crate::effect::Ticket;
use crate::group::Group;
use crate::offsets::Offsets;
use crate::record::{OffsetValue, fits, group_key, offset_key};
use crate::request::{Delete, Heartbeat, Join, Leave, Leaver, List, Protocol, Sync};
use crate::shard::response_error;
use crate::turn::{Followup, Staged, Turn};

/// The groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) entries: BTreeMap<Arc<str>, Entry>,
    /// The names of topics that offsets are about, each once in memory.
    topics: BTreeSet<TopicName>,
    /// How many offsets are committed.
    pub(crate) offsets_count: usize,
}

/// A group, and its offsets.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// The group as it was decided to be.
    pub(crate) group: Option<Group>,
    /// Whether there is a group in the committed state: what is only decided is not shown.
    pub(crate) is_committed: bool,
    pub(crate) offsets: Offsets,
}

impl Groups {
    pub(crate) fn group(&self, group_id: &str) -> Option<&Group> {
        self.entries.get(group_id)?.group.as_ref()
    }

    pub(crate) fn group_mut(&mut self, group_id: &str) -> Option<&mut Group> {
        self.entries.get_mut(group_id)?.group.as_mut()
    }

    pub(crate) fn offsets(&self, group_id: &str) -> Option<&Offsets> {
        self.entries.get(group_id).map(|entry| &entry.offsets)
    }

    /// The entry of a group, new if need be, with its name.
    pub(crate) fn entry(&mut self, group_id: &str) -> (Arc<str>, &mut Entry) {
        let id = match self.entries.get_key_value(group_id) {
            Some((id, _)) => id.clone(),
            None => group_id.into(),
        };
        (id.clone(), self.entries.entry(id).or_default())
    }

    /// Removes the entry if nothing is left in it.
    pub(crate) fn tidy(&mut self, group_id: &str) {
        let is_vacant =
            |entry: &Entry| entry.group.is_none() && !entry.is_committed && entry.offsets.is_vacant();
        if self.entries.get(group_id).is_some_and(is_vacant) {
            self.entries.remove(group_id);
        }
    }

    /// The one copy of a topic's name.
    pub(crate) fn intern(&mut self, topic: &TopicName) -> TopicName {
        if let Some(known) = self.topics.get(topic) {
            return known.clone();
        }
        self.topics.insert(topic.clone());
        topic.clone()
    }

    /// As [`intern`](Self::intern), by text.
    pub(crate) fn interned(&self, topic: &str) -> Option<TopicName> {
        self.topics.get(topic).cloned()
    }

    pub(crate) fn forget_topics<'a>(&mut self, topics: impl Iterator<Item = &'a TopicName>) {
        for topic in topics {
            self.topics.remove(topic);
        }
    }

    /// Finds the group, or makes one: it comes to be with this turn's records.
    fn find_or_create(&mut self, group_id: &str, turn: &mut Turn<'_>) -> (&mut Group, bool) {
        let now_ms = turn.now_ms;
        let (id, entry) = self.entry(group_id);
        let is_new = entry.group.is_none();
        if is_new {
            turn.follow_up(Followup::Created { group: id.clone() });
        }
        let create = || Group::Classic(ClassicGroup::new(id, Some(now_ms)));
        (entry.group.get_or_insert_with(create), is_new)
    }

    /// Decides that an offset be set.
    pub(crate) fn set_offset(
        &mut self,
        group_id: &str,
        topic: &TopicName,
        partition: i32,
        value: OffsetValue,
        turn: &mut Turn<'_>,
    ) {
        self.find_or_create(group_id, turn);
        turn.record(offset_key(group_id, topic.as_str(), partition), Some(value.encode()));
        self.stage(group_id, topic, partition, Some(value), turn);
    }

    /// Decides that an offset be deleted.
    pub(crate) fn erase_offset(
        &mut self,
        group_id: &str,
        topic: TopicName,
        partition: i32,
        turn: &mut Turn<'_>,
    ) {
        turn.record(offset_key(group_id, topic.as_str(), partition), None);
        self.stage(group_id, &topic, partition, None, turn);
    }

    fn stage(
        &mut self,
        group_id: &str,
        topic: &TopicName,
        partition: i32,
        value: Option<OffsetValue>,
        turn: &mut Turn<'_>,
    ) {
        let topic = self.intern(topic);
        let (group, entry) = self.entry(group_id);
        if entry.offsets.stage(topic.clone(), partition, turn.change, value) {
            let takes = turn.outcome.records.len();
            turn.outcome.staged.push(Staged { group, topic, partition, takes });
        }
    }

    /// Decides that a group be deleted. Its offsets are dealt with by the caller.
    pub(crate) fn remove_group(&mut self, group_id: &Arc<str>, turn: &mut Turn<'_>) {
        let Some(mut was) = self.entries.get_mut(group_id).and_then(|entry| entry.group.take()) else {
            return;
        };
        was.cancel_deadlines(turn.deadlines);
        turn.record(group_key(group_id), None);
        turn.follow_up(Followup::Deleted { group: group_id.clone(), was: Box::new(was) });
    }

    /// JoinGroup: finds the group, or makes one for a member without an id.
    pub(crate) fn join(&mut self, ticket: Ticket, request: &Join, turn: &mut Turn<'_>) {
        if let Err(error) = check_join(request, turn) {
            return turn.answer(ticket, Answer::Join(JoinAnswer::refused(error, &request.member_id)));
        }
        if !request.member_id.is_empty() && self.group(&request.group_id).is_none() {
            let answer = JoinAnswer::refused(ErrorCode::UnknownMemberId, &request.member_id);
            return turn.answer(ticket, Answer::Join(answer));
        }
        let (Group::Classic(group), is_new) = self.find_or_create(&request.group_id, turn);
        group.join(ticket, request, turn);
        if is_new && turn.outcome.records.is_empty() {
            group.record_creation(turn);
        }
    }

    /// SyncGroup.
    pub(crate) fn sync(&mut self, ticket: Ticket, request: &Sync, turn: &mut Turn<'_>) {
        if request.group_id.is_empty() {
            return turn.answer(ticket, Answer::refused_sync(ErrorCode::InvalidGroupId));
        }
        match self.group_mut(&request.group_id) {
            Some(Group::Classic(group)) => group.sync(ticket, request, turn),
            None => turn.answer(ticket, Answer::refused_sync(ErrorCode::UnknownMemberId)),
        }
    }

    /// Heartbeat.
    pub(crate) fn heartbeat(&mut self, ticket: Ticket, request: &Heartbeat, turn: &mut Turn<'_>) {
        let error = match self.group_mut(&request.group_id) {
            _ if request.group_id.is_empty() => ErrorCode::InvalidGroupId,
            Some(Group::Classic(group)) => group.heartbeat(request, turn),
            None => ErrorCode::UnknownMemberId,
        };
        turn.answer(ticket, Answer::Heartbeat(error));
    }

    /// LeaveGroup.
    pub(crate) fn leave(&mut self, ticket: Ticket, request: Leave, turn: &mut Turn<'_>) {
        let answer = match self.group_mut(&request.group_id) {
            _ if request.group_id.is_empty() => LeaveAnswer::refused(ErrorCode::InvalidGroupId),
            Some(Group::Classic(group)) => {
                LeaveAnswer { error: ErrorCode::None, members: group.leave(request.members, turn) }
            }
            // Each for itself, so that clients which leave for several members see it for each.
            None => LeaveAnswer { error: ErrorCode::None, members: unknown_leavers(request.members) },
        };
        turn.answer_when_committed(ticket, Answer::Leave(answer));
    }

    /// ListGroups.
    pub(crate) fn list(&self, request: &List) -> Vec<ListedGroup> {
        let shown = self.entries.iter().filter(|(_, entry)| entry.is_committed).map(|(id, entry)| {
            let (state, group_type, protocol_type) = match &entry.group {
                Some(group @ Group::Classic(classic)) => {
                    (classic.state().name(), group.type_name(), classic.protocol_type())
                }
                // Deleted, but not in the log yet: it was empty.
                None => (State::Empty.name(), "classic", ""),
            };
            ListedGroup {
                group_id: id.to_string(),
                protocol_type: protocol_type.to_owned(),
                state,
                group_type,
            }
        });
        let is_wanted = |group: &ListedGroup| {
            request.states.contains(&group.state) && request.types.contains(&group.group_type)
        };
        shown.filter(is_wanted).collect()
    }

    /// One group of DescribeGroups.
    pub(crate) fn describe(&self, group_id: &str) -> DescribedGroup {
        match self.entries.get(group_id) {
            Some(Entry { group: Some(Group::Classic(group)), is_committed: true, .. }) => group.describe(),
            Some(Entry { group: None, is_committed: true, .. }) => {
                ClassicGroup::new(group_id.into(), None).describe()
            }
            _ => DescribedGroup {
                error: ErrorCode::GroupIdNotFound,
                error_message: Some(format!("Group {group_id} not found.")),
                group_id: group_id.to_owned(),
                state: "Dead",
                protocol_type: String::new(),
                protocol: String::new(),
                members: Vec::new(),
            },
        }
    }

    /// DeleteGroups: the group with its offsets, if it has no members.
    pub(crate) fn delete(&mut self, ticket: Ticket, request: &Delete, turn: &mut Turn<'_>) {
        let error = match self.group(&request.group_id) {
            None => ErrorCode::GroupIdNotFound,
            Some(group) if !group.is_empty() => ErrorCode::NonEmptyGroup,
            Some(_) => {
                let (id, _) = self.entry(&request.group_id);
                self.delete_all_offsets(&id, turn);
                self.remove_group(&id, turn);
                // The group's own record is the last: of those before it, each is right without the others.
                turn.outcome.may_split = true;
                ErrorCode::None
            }
        };
        turn.answer_when_committed(ticket, Answer::Delete(error));
    }
}

fn unknown_leavers(leavers: Vec<Leaver>) -> Vec<LeftMember> {
    let unknown = |leaver: Leaver| LeftMember {
        member_id: leaver.member_id,
        instance_id: leaver.instance_id,
        error: ErrorCode::UnknownMemberId,
    };
    leavers.into_iter().map(unknown).collect()
}

/// The most bytes that a member's protocols may take, which are kept for as long as it is one. Eight times what
/// `max.message.bytes` is by default, and the group's record holds one of them for each member.
const MOST_PROTOCOLS_BYTES: usize = 8 << 20;

/// About what a protocol takes.
fn protocol_bytes(protocol: &Protocol) -> usize {
    size_of::<Protocol>() + protocol.name.len() + protocol.metadata.len()
}

/// What is wrong with a request to join, whatever the group.
fn check_join(request: &Join, turn: &Turn<'_>) -> Result<(), ErrorCode> {
    if request.group_id.is_empty() || !fits(&request.group_id) {
        return Err(ErrorCode::InvalidGroupId);
    }
    let sessions_ms = turn.config.min_session_timeout_ms..=turn.config.max_session_timeout_ms;
    if !sessions_ms.contains(&request.session_timeout_ms) {
        return Err(ErrorCode::InvalidSessionTimeout);
    }
    let protocols_bytes = request.protocols.iter().map(protocol_bytes).fold(0, usize::saturating_add);
    if protocols_bytes > MOST_PROTOCOLS_BYTES {
        return Err(response_error(ErrorCode::MessageTooLarge));
    }
    // All these go into the group's record, whose strings are shorter than those of flexible requests may be.
    let own = [&request.new_member_id, &request.client_id, &request.client_host, &request.protocol_type];
    let protocols = request.protocols.iter().map(|protocol| &protocol.name);
    if own.into_iter().chain(&request.instance_id).chain(protocols).all(|text| fits(text)) {
        Ok(())
    } else {
        Err(ErrorCode::InvalidRequest)
    }
}
