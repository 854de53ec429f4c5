//! Groups seen from outside: listed, described and deleted, and their offsets read, set and forgotten, as methods of
//! [`Client`](crate::Client). One file for each.
//!
//! Groups are asked for at their coordinator, which is looked up once and again when it may have moved; only listing asks
//! every broker.
//!
//! What is not here: being a member, which is [`crate::group_consumer`].

pub(crate) mod coordinator;
mod delete;
pub(crate) mod describe;
mod list;
pub(crate) mod offsets;

pub use describe::{DescribedGroup, GroupMember};
pub use list::{GroupList, ListedGroup};
pub use offsets::CommittedOffset;

/// The kind of protocol that consumers speak among themselves: what lies in their groups' bytes is
/// [`ottla_wire::consumer_protocol`].
pub(crate) const CONSUMER: &str = "consumer";

/// How an error names the group that it is about.
pub(crate) fn subject(group: &str) -> String {
    format!("group {group}")
}
