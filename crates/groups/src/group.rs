//! A group of any protocol. Today there is one: groups of the consumer protocol (KIP-848) are to stand beside classic
//! ones here, and share the offsets.

use crate::classic::ClassicGroup;
use crate::deadlines::Deadlines;

/// A group.
#[derive(Debug)]
pub(crate) enum Group {
    /// A group whose members assign among themselves.
    Classic(ClassicGroup),
}

impl Group {
    /// The names of all types.
    pub(crate) const TYPE_NAMES: [&'static str; 1] = ["classic"];

    /// The type's name in Kafka.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Classic(_) => "classic",
        }
    }

    /// Whether the group has no members.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_empty(),
        }
    }

    /// Takes the group's entries out of the queue.
    pub(crate) fn cancel_deadlines(&mut self, deadlines: &mut Deadlines) {
        match self {
            Self::Classic(group) => group.cancel_deadlines(deadlines),
        }
    }
}
