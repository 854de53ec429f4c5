//! AlterConfigs and IncrementalAlterConfigs: what is set on topics and brokers (KIP-133, KIP-226, KIP-339).

use std::collections::{BTreeMap, BTreeSet};

use ottla_types::config::{broker, dynamic, topic, topic_config};
use ottla_types::{BrokerId, ErrorCode, TopicName};

use super::{Controller, Cuts, Decision, Refused};
use crate::record::{ClearElr, Config, ConfigResource, Record};

/// One change of a key (KIP-339).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigOp {
    /// To this value.
    Set(String),
    /// To the default.
    Delete,
    /// These items are added to the list, unless they are in it.
    Append(String),
    /// These items are taken out of the list.
    Subtract(String),
}

/// Changes of one resource; keys that are not named stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The resource.
    pub resource: ConfigResource,
    /// The changes, no key twice.
    pub ops: Vec<(String, ConfigOp)>,
}

/// All that is to be set on one resource; keys that are not named go back to their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// The resource.
    pub resource: ConfigResource,
    /// The keys and their values; without a value a key goes back to its default.
    pub configs: Vec<(String, Option<String>)>,
}

/// The resource that a request names by Kafka's type number (2 topic, 4 broker) and a name.
///
/// # Errors
/// A type that has no configuration here, or a name that such a resource cannot have.
pub fn resource(kind: i8, name: &str) -> Result<ConfigResource, Refused> {
    let invalid = |message: String| Refused::new(ErrorCode::InvalidRequest, message);
    match kind {
        2 if name.is_empty() => Err(invalid("Default topic resources are not allowed.".to_owned())),
        2 => TopicName::new(name)
            .map(ConfigResource::Topic)
            .map_err(|why| Refused::new(ErrorCode::InvalidTopicException, why.to_string())),
        4 if name.is_empty() => Ok(ConfigResource::ClusterDefault),
        4 => match name.parse::<i32>() {
            Ok(id) if id >= 0 => Ok(ConfigResource::Broker(BrokerId(id))),
            Ok(_) => Err(invalid("Invalid negative broker ID.".to_owned())),
            Err(_) => Err(invalid(format!("Unable to parse broker name \"{name}\" as a base 10 number."))),
        },
        _ => Err(invalid(format!(
            "Unexpected resource type {kind}: only topics (2) and brokers (4) have \
                                  configurations here."
        ))),
    }
}

impl Controller {
    /// Decides an IncrementalAlterConfigs. One answer for each resource, in the order of the request.
    pub fn incremental_alter_configs(
        &mut self,
        changes: &[Changes],
        validate_only: bool,
    ) -> Decision<Vec<Result<(), Refused>>> {
        self.alter(changes.iter().map(|c| &c.resource), validate_only, |this, nth| {
            let Some(Changes { resource, ops }) = changes.get(nth) else { return Ok(BTreeMap::new()) };
            let mut wanted = this.set_on(resource);
            for (key, op) in ops {
                match this.applied(resource, &wanted, key, op)? {
                    Some(value) => drop(wanted.insert(key.clone(), value)),
                    None => drop(wanted.remove(key)),
                }
            }
            Ok(wanted)
        })
    }

    /// Decides an AlterConfigs, the older request that replaces everything. One answer for each resource, in the order
    /// of the request.
    pub fn alter_configs(
        &mut self,
        replacements: &[Replacement],
        validate_only: bool,
    ) -> Decision<Vec<Result<(), Refused>>> {
        self.alter(replacements.iter().map(|r| &r.resource), validate_only, |_, nth| {
            let configs = replacements.get(nth).map(|r| &r.configs);
            Ok(configs.into_iter().flatten().filter_map(|(k, v)| Some((k.clone(), v.clone()?))).collect())
        })
    }

    fn alter<'a>(
        &mut self,
        resources: impl Iterator<Item = &'a ConfigResource>,
        validate_only: bool,
        wanted: impl Fn(&Self, usize) -> Result<BTreeMap<String, String>, Refused>,
    ) -> Decision<Vec<Result<(), Refused>>> {
        let (mut records, mut starts) = (Vec::new(), Vec::new());
        let answer = resources
            .enumerate()
            .map(|(nth, resource)| {
                let wanted = wanted(self, nth)?;
                let set = self.set_on(resource);
                check_min_isr(resource, &set, &wanted)?;
                self.check(resource, &wanted)?;
                starts.push(records.len());
                records.extend(self.void_elr(resource, &set, &wanted));
                records.extend(difference(resource, &set, &wanted));
                Ok(())
            })
            .collect();
        let records = if validate_only { Vec::new() } else { records };
        self.decide_cut(records, Cuts::At(starts), answer)
    }

    /// The record that voids the ELRs which another `min.insync.replicas` led to: a replica outside the ISR holds
    /// everything only as long as nothing is committed without it (KIP-966).
    fn void_elr(
        &self,
        resource: &ConfigResource,
        set: &BTreeMap<String, String>,
        wanted: &BTreeMap<String, String>,
    ) -> Option<Record> {
        let key = topic::MIN_INSYNC_REPLICAS.name();
        if set.get(key) == wanted.get(key) {
            return None;
        }
        let mut concerned = self.speculative.with_elr().iter();
        let topic = match resource {
            ConfigResource::ClusterDefault => None,
            ConfigResource::Topic(name) => Some(self.speculative.topic_by_name(name.as_str())?.id),
            ConfigResource::Broker(_) => return None,
        };
        let is_any = concerned.any(|(id, _)| topic.is_none_or(|topic| topic == id));
        is_any.then_some(Record::ClearElr(ClearElr { topic }))
    }

    fn set_on(&self, resource: &ConfigResource) -> BTreeMap<String, String> {
        let configs = self.speculative.configs(resource);
        configs.into_iter().flat_map(|c| c.iter()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    /// A key's value after a change.
    fn applied(
        &self,
        resource: &ConfigResource,
        set: &BTreeMap<String, String>,
        key: &str,
        op: &ConfigOp,
    ) -> Result<Option<String>, Refused> {
        let (append, items) = match op {
            ConfigOp::Set(value) => return Ok(Some(value.clone())),
            ConfigOp::Delete => return Ok(None),
            ConfigOp::Append(items) => (true, items),
            ConfigOp::Subtract(items) => (false, items),
        };
        let definition = match resource {
            ConfigResource::Topic(_) => topic::find(key),
            _ => broker::find(key),
        };
        let Some(definition) = definition.filter(|d| d.kind == ottla_types::config::Kind::List) else {
            let verb = if append { "APPEND" } else { "SUBTRACT" };
            let message = format!("Can't {verb} to key {key} because its type is not LIST.");
            return Err(Refused::new(ErrorCode::InvalidConfig, message));
        };
        let current = set.get(key).map(String::as_str).or(definition.default).unwrap_or_default();
        let split = |text| str::split(text, ',').map(str::trim).filter(|item| !item.is_empty());
        let mut list: Vec<&str> = split(current).collect();
        if append {
            let mut known: BTreeSet<&str> = list.iter().copied().collect();
            list.extend(split(items).filter(|item| known.insert(item)));
        } else {
            let taken: BTreeSet<&str> = split(items).collect();
            list.retain(|item| !taken.contains(item));
        }
        Ok(Some(list.join(",")))
    }

    /// Checks all that would be set on a resource.
    fn check(&self, resource: &ConfigResource, wanted: &BTreeMap<String, String>) -> Result<(), Refused> {
        match resource {
            ConfigResource::Topic(name) => {
                if self.speculative.topic_by_name(name.as_str()).is_none() {
                    return Err(Refused::new(
                        ErrorCode::UnknownTopicOrPartition,
                        format!("The topic '{name}' does not exist."),
                    ));
                }
                let pairs = wanted.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                Ok(topic_config::validate(pairs, &self.speculative.cluster_layers(&self.settings))?)
            }
            // Kafka answers INVALID_REQUEST here, and its tools know no better (KAFKA-13609).
            ConfigResource::Broker(_) | ConfigResource::ClusterDefault => {
                let pairs = wanted.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                dynamic::validate(pairs, *resource == ConfigResource::ClusterDefault)
                    .map_err(|invalid| Refused::new(ErrorCode::InvalidRequest, invalid.to_string()))
            }
        }
    }
}

/// Leaders and controller count by one `min.insync.replicas`, which so is the same on all brokers, and always there
/// once it is (KIP-966).
fn check_min_isr(
    resource: &ConfigResource,
    set: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> Result<(), Refused> {
    let key = topic::MIN_INSYNC_REPLICAS.name();
    let message = match resource {
        ConfigResource::Broker(_) if wanted.get(key) != set.get(key) => {
            "Broker-level min.insync.replicas cannot be altered while ELR is enabled."
        }
        ConfigResource::ClusterDefault if set.contains_key(key) && !wanted.contains_key(key) => {
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."
        }
        _ => return Ok(()),
    };
    Err(Refused::new(ErrorCode::InvalidConfig, message))
}

fn difference(
    resource: &ConfigResource,
    set: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> Vec<Record> {
    let record = |key: &str, value: Option<&str>| {
        let (key, value) = (key.into(), value.map(Into::into));
        Record::Config(Config { resource: resource.clone(), key, value })
    };
    let removed = set.keys().filter(|key| !wanted.contains_key(*key)).map(|key| record(key, None));
    let changed = wanted.iter().filter(|(key, value)| set.get(*key) != Some(value));
    removed.chain(changed.map(|(key, value)| record(key, Some(value)))).collect()
}
