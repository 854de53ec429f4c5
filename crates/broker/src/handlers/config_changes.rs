//! What AlterConfigs and IncrementalAlterConfigs check before the controller is asked, as Kafka's brokers do
//! (`ConfigAdminManager`): which resource is meant, and that nothing comes twice or without a value.
//!
//! Whether a topic exists, and what its and a broker's keys allow, is the controller's to check. Which broker is asked is
//! for that broker to say: it looks before it hands a request on (`hand_on`), and the controller does not look again.

use std::collections::BTreeSet;

use ottla_metadata::controller::{Refused, configs};
use ottla_metadata::record::ConfigResource;
use ottla_types::{BrokerId, ErrorCode};
use ottla_wire::Str;

use super::each::{invalid_request, repeated};

/// `ConfigResource.Type`'s numbers.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

pub(super) const NO_LOGGERS: &str =
    "This broker has no loggers whose level can be read or changed while it runs.";

/// The resources of a request that come more than once; each of their places is refused.
pub(super) struct Repeated(BTreeSet<(i8, Str)>);

impl Repeated {
    pub(super) fn among(resources: impl IntoIterator<Item = (i8, Str)>) -> Self {
        Self(repeated(resources))
    }

    /// The resource that a type and a name mean, if the broker that was asked may change it; `asked` is `None` where another
    /// broker was, and has looked.
    pub(super) fn resource(
        &self,
        asked: Option<BrokerId>,
        kind: i8,
        name: &Str,
    ) -> Result<ConfigResource, Refused> {
        if self.0.contains(&(kind, name.clone())) {
            return Err(invalid_request("Each resource must appear at most once."));
        }
        if kind == BROKER_LOGGER {
            return Err(invalid_request(NO_LOGGERS));
        }
        let resource = configs::resource(kind, name)?;
        match resource {
            // KIP-226: values of one broker are changed by asking that one.
            ConfigResource::Broker(id) => match asked.filter(|asked| *asked != id) {
                Some(asked) => Err(invalid_request(format!(
                    "Unexpected broker id, expected {asked}, but received {name}"
                ))),
                None => Ok(resource),
            },
            resource => Ok(resource),
        }
    }
}

/// Refuses a key that comes twice, and keys without a value where one is needed.
pub(super) fn check_keys<'a>(
    keys: impl Iterator<Item = &'a str> + Clone,
    without_value: impl Iterator<Item = &'a str>,
) -> Result<(), Refused> {
    let twice = join(repeated(keys));
    if !twice.is_empty() {
        return Err(invalid_request(format!("Error due to duplicate config keys: {twice}")));
    }
    let null = join(without_value);
    if !null.is_empty() {
        return Err(invalid_request(format!("Null value not supported for : {null}")));
    }
    Ok(())
}

fn join<'a>(keys: impl IntoIterator<Item = &'a str>) -> String {
    keys.into_iter().collect::<Vec<_>>().join(", ")
}

/// Code and message of a resource's answer.
pub(super) fn answer(outcome: Result<(), Refused>) -> (i16, Option<Str>) {
    match outcome {
        Ok(()) => (ErrorCode::None.code(), None),
        Err(refused) => (refused.error.code(), Some(refused.message.into())),
    }
}

#[cfg(test)]
mod tests {
    use ottla_types::TopicName;

    use super::*;

    const THIS: BrokerId = BrokerId(1);

    fn resource(kind: i8, name: &str) -> Result<ConfigResource, String> {
        Repeated::among([]).resource(Some(THIS), kind, &name.into()).map_err(|refused| refused.message)
    }

    #[test]
    fn a_broker_changes_topics_the_cluster_default_and_itself() {
        let topic = TopicName::new("orders").unwrap();
        assert_eq!(resource(TOPIC, "orders"), Ok(ConfigResource::Topic(topic)));
        assert_eq!(resource(BROKER, ""), Ok(ConfigResource::ClusterDefault));
        assert_eq!(resource(BROKER, "1"), Ok(ConfigResource::Broker(THIS)));
        let other = resource(BROKER, "2").unwrap_err();
        assert_eq!(other, "Unexpected broker id, expected 1, but received 2");
    }

    #[test]
    fn which_broker_is_asked_does_not_matter_where_another_has_looked() {
        let resource = Repeated::among([]).resource(None, BROKER, &"2".into());
        assert_eq!(resource, Ok(ConfigResource::Broker(BrokerId(2))));
    }

    #[test]
    fn loggers_and_unknown_kinds_are_refused() {
        assert_eq!(resource(BROKER_LOGGER, "1"), Err(NO_LOGGERS.to_owned()));
        for kind in [0, 1, CLIENT_METRICS, GROUP, -1] {
            assert!(resource(kind, "x").unwrap_err().contains(&format!("resource type {kind}")));
        }
    }

    #[test]
    fn every_place_of_a_resource_that_comes_twice_is_refused() {
        let (a, b) = (Str::from("a"), Str::from("b"));
        let repeated = Repeated::among([(TOPIC, a.clone()), (TOPIC, b.clone()), (TOPIC, a.clone())]);
        let refused = repeated.resource(Some(THIS), TOPIC, &a).unwrap_err();
        assert_eq!(refused.message, "Each resource must appear at most once.");
        assert!(repeated.resource(Some(THIS), TOPIC, &b).is_ok());
    }

    #[test]
    fn keys_come_once_and_with_a_value() {
        let twice = check_keys(["a", "b", "a"].into_iter(), std::iter::empty()).unwrap_err();
        assert_eq!(twice.message, "Error due to duplicate config keys: a");
        let null = check_keys(["a", "b"].into_iter(), ["a", "b"].into_iter()).unwrap_err();
        assert_eq!(null.message, "Null value not supported for : a, b");
        assert_eq!(null.error, ErrorCode::InvalidRequest);
    }
}
