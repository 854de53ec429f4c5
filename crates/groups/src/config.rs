//! The settings of the coordinator, as values. Their keys, ranges and defaults are in `types`.

/// What the coordinator keeps to; each field is named by the key that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`: the shortest session that a member may ask for.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`: the longest session that a member may ask for.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty group waits for more members.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`: the most members of a group.
    pub max_size: usize,
    /// `offset.metadata.max.bytes`: the longest metadata of a committed offset.
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// How long a new member that has not got its first answer may take before it is dropped: Kafka's
    /// `group.new.member.join.timeout.ms`, which is fixed there.
    pub new_member_join_timeout_ms: i64,
}

impl Default for GroupConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: i32::MAX as usize,
            offset_metadata_max_bytes: 4096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            new_member_join_timeout_ms: 5 * 60 * 1000,
        }
    }
}
