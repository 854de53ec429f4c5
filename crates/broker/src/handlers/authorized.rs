//! The operations that a caller may do, as bit fields (KIP-430). Nobody is refused anything yet, so all that apply.

/// What the field holds when the request does not ask for it.
pub(crate) const NOT_ASKED: i32 = i32::MIN;

/// `AclOperation`'s numbers.
const READ: u32 = 3;
const WRITE: u32 = 4;
const CREATE: u32 = 5;
const DELETE: u32 = 6;
const ALTER: u32 = 7;
const DESCRIBE: u32 = 8;
const CLUSTER_ACTION: u32 = 9;
const DESCRIBE_CONFIGS: u32 = 10;
const ALTER_CONFIGS: u32 = 11;
const IDEMPOTENT_WRITE: u32 = 12;

const fn bits<const N: usize>(operations: [u32; N]) -> i32 {
    let mut field = 0;
    let mut rest = operations.as_slice();
    while let [operation, others @ ..] = rest {
        field |= 1 << *operation;
        rest = others;
    }
    field
}

/// Everything that can be done to a topic.
pub(crate) const TOPIC_OPERATIONS: i32 =
    bits([READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS]);

/// Everything that can be done to a group.
pub(crate) const GROUP_OPERATIONS: i32 = bits([READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS]);

/// Everything that can be done to a cluster.
pub(crate) const CLUSTER_OPERATIONS: i32 =
    bits([CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE]);
