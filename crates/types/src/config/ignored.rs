//! Keys of Kafka that mean nothing here: accepted, with one warning that says why.

/// Why a key of Kafka has no effect here; `None` if it is no such key.
#[must_use]
pub fn why(key: &str) -> Option<&'static str> {
    TABLE.iter().find(|(_, keys)| keys.contains(&key)).map(|(why, _)| *why)
}

/// Reasons, and the keys that they are for.
pub static TABLE: &[(&str, &[&str])] = &[];
