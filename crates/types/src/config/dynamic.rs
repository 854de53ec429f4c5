//! Which values of a broker may be set at run time (KIP-226).

use super::key::{Dynamic, InvalidValue, no_effect};
use super::{broker, settings};

/// Why a broker's values cannot be set at run time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBrokerConfig {
    /// Keys that only the properties file sets.
    #[error("Cannot update these configs dynamically: {}. Set them in the broker's properties file and restart it", .0.join(", "))]
    ReadOnly(Vec<&'static str>),
    /// Keys that differ by broker.
    #[error("Cannot update these configs at default cluster level, broker id must be specified: {}", .0.join(", "))]
    PerBroker(Vec<&'static str>),
    /// A key that this program does not know, or does not use.
    #[error("{0}")]
    NotOurs(String),
    /// A value that its key does not allow.
    #[error(transparent)]
    Value(#[from] InvalidValue),
}

/// Checks what would be set at run time for one broker, or for all of them (`is_cluster_default`).
///
/// # Errors
/// The first rule that is broken.
pub fn validate<'a>(
    values: impl IntoIterator<Item = (&'a str, &'a str)>,
    is_cluster_default: bool,
) -> Result<(), InvalidBrokerConfig> {
    let mut definitions = Vec::new();
    for (key, value) in values {
        let definition =
            broker::find(key).ok_or_else(|| InvalidBrokerConfig::NotOurs(settings::not_ours(key)))?;
        if let Some(unused) = &definition.unused {
            return Err(InvalidBrokerConfig::NotOurs(no_effect(key, unused.why)));
        }
        definitions.push((definition, value));
    }
    let named = |dynamic: Dynamic| -> Vec<&'static str> {
        definitions.iter().filter(|(d, _)| d.dynamic == dynamic).map(|(d, _)| d.name).collect()
    };
    let read_only = named(Dynamic::ReadOnly);
    if !read_only.is_empty() {
        return Err(InvalidBrokerConfig::ReadOnly(read_only));
    }
    let per_broker = named(Dynamic::PerBroker);
    if is_cluster_default && !per_broker.is_empty() {
        return Err(InvalidBrokerConfig::PerBroker(per_broker));
    }
    for (definition, value) in definitions {
        definition.check(value)?;
    }
    Ok(())
}
