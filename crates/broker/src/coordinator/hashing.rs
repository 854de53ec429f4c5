//! Which partition of `__consumer_offsets` a group belongs to: Kafka's rule, so that its tools look in the right one.

/// The partition of a group, of the `partitions` that there are; `None` where there are none.
pub(crate) fn partition_of(group_id: &str, partitions: usize) -> Option<i32> {
    let partitions = i32::try_from(partitions).ok().filter(|partitions| *partitions > 0)?;
    Some(absolute(java_hash(group_id)) % partitions)
}

/// `String.hashCode`, over the UTF-16 code units that Java's strings consist of.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// `Utils.abs`: the one number that has no positive counterpart becomes 0.
fn absolute(hash: i32) -> i32 {
    hash.checked_abs().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_hash_as_in_java() {
        // The last text has a character of two code units.
        let of = |text| (text, java_hash(text));
        assert_eq!(of(""), ("", 0));
        assert_eq!(of("a"), ("a", 97));
        assert_eq!(of("group"), ("group", 98_629_247));
        assert_eq!(of("my-group"), ("my-group", -1_906_497_762));
        assert_eq!(of("\u{1f600}"), ("\u{1f600}", 1_772_899));
    }

    #[test]
    fn the_hash_without_a_positive_counterpart_goes_to_the_first_partition() {
        // A known text whose hash is the smallest integer.
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(partition_of("polygenelubricants", 50), Some(0));
    }

    #[test]
    fn groups_spread_over_the_partitions_that_there_are() {
        assert_eq!(partition_of("group", 50), Some(98_629_247 % 50));
        assert_eq!(partition_of("group", 1), Some(0));
        assert_eq!(partition_of("group", 0), None);
    }
}
