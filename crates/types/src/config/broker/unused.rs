//! Why some keys that this program knows do nothing yet, or never will. Keys of Kafka that it does not even check are in
//! [`crate::config::ignored`].

use crate::config::key::Unused;

/// What needs other brokers.
pub(super) const CLUSTER: Unused = Unused::because("clusters of more than one broker are not available yet");

/// What needs the newer protocol of consumer groups (KIP-848), or those that came after it.
pub(super) const NEW_GROUPS: Unused =
    Unused::because("groups have the classic protocol only, and others are not available yet");

/// How long writes of the group coordinator are collected.
pub(super) const LINGER: Unused =
    Unused::because("what groups write is appended at once: there is nothing to wait for");

/// What needs transactions.
pub(super) const TRANSACTIONS: Unused = Unused::because("transactions are not available yet");

/// What needs share groups.
pub(super) const SHARE_GROUPS: Unused = Unused::because("share groups are not available yet");

/// What compaction is tuned with.
pub(super) const COMPACTION: Unused = Unused::because("compaction is not available yet");

/// What keeps old segments elsewhere.
pub(super) const TIERED_STORAGE: Unused = Unused::because("tiered storage is not available yet");

/// What needs a ZooKeeper ensemble.
pub(super) const ZOOKEEPER: Unused = Unused::because(
    "metadata on a ZooKeeper ensemble is not available yet: this node keeps its own metadata log",
);

/// Sizes of Kafka's thread pools.
pub(super) const THREADS: Unused =
    Unused::because("there is no thread pool to size, since the runtime follows the machine's cores");

/// One replica, or one that has to be in sync: what a single node's file says.
pub(super) fn is_one(text: &str) -> bool {
    text == "1"
}
