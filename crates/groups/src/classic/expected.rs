//! Members that were told their ids, and are to join with them (KIP-394).
//!
//! Being told an id costs a client next to nothing, and none of them is waited for longer than its session. What they may take
//! in memory is bounded all the same. Beyond that the one that was told first is forgotten: should it still come, it hears
//! UNKNOWN_MEMBER_ID, and is told another. Refusing the newest would let those that never come keep the others out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::member::Session;

/// The most bytes that the expected members of one group may take: some ten thousand with ids of the usual length.
const MOST_BYTES: usize = 4 << 20;

/// About what each takes besides its id.
const EACH_BYTES: usize = 320;

/// Who is expected.
#[derive(Debug, Default)]
pub(super) struct Expected {
    members: BTreeMap<Arc<str>, Member>,
    /// The same in the order in which they were told.
    by_age: BTreeMap<u64, Arc<str>>,
    told: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Member {
    session: Session,
    place: u64,
}

impl Expected {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The id as it is kept, if it is one of theirs.
    pub(super) fn id(&self, member_id: &str) -> Option<&Arc<str>> {
        self.members.get_key_value(member_id).map(|(id, _)| id)
    }

    pub(super) fn session_mut(&mut self, member_id: &str) -> Option<&mut Session> {
        self.members.get_mut(member_id).map(|member| &mut member.session)
    }

    pub(super) fn sessions_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, &mut Session)> {
        self.members.iter_mut().map(|(id, member)| (id, &mut member.session))
    }

    /// Adds one, whose id is new.
    pub(super) fn insert(&mut self, member_id: Arc<str>, session: Session) {
        self.told += 1;
        self.bytes += size(&member_id);
        self.by_age.insert(self.told, Arc::clone(&member_id));
        self.members.insert(member_id, Member { session, place: self.told });
    }

    pub(super) fn remove(&mut self, member_id: &str) -> Option<(Arc<str>, Session)> {
        let (member_id, member) = self.members.remove_entry(member_id)?;
        self.by_age.remove(&member.place);
        self.bytes -= size(&member_id);
        Some((member_id, member.session))
    }

    /// Takes out the one that was told first, if they are too many.
    pub(super) fn pop_excess(&mut self) -> Option<Session> {
        if self.bytes <= MOST_BYTES || self.members.len() <= 1 {
            return None;
        }
        let (_, oldest) = self.by_age.first_key_value()?;
        let oldest = Arc::clone(oldest);
        self.remove(&oldest).map(|(_, session)| session)
    }
}

fn size(member_id: &str) -> usize {
    EACH_BYTES + member_id.len()
}
