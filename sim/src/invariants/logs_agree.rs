//! Invariant 11, prefixes: all nodes are handed the same records at the same offsets, in their order and without gaps.

use bytes::Bytes;

use super::Violation;
use crate::engine::NodeId;

pub(crate) const NAME: &str = "logs_agree";

/// Checks a record against what others were handed at its offset; `None`: nobody was handed that, nor what is before it.
///
/// # Errors
/// The violation.
pub fn check(node: NodeId, offset: i64, known: Option<&Bytes>, record: &Bytes) -> Result<(), Violation> {
    match known {
        Some(known) if known == record => Ok(()),
        _ => Err(Violation::new(
            NAME,
            format!("{node} was handed {record:?} at offset {offset}, where others were handed {known:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_record_and_a_gap_are_found() {
        let (one, other) = (Bytes::from_static(b"1"), Bytes::from_static(b"2"));
        check(NodeId(1), 0, Some(&one), &one).unwrap();
        assert!(check(NodeId(1), 0, Some(&one), &other).is_err());
        assert!(check(NodeId(1), 7, None, &one).is_err());
    }
}
