//! What overrides what.
//!
//! A topic's value comes from the topic itself, else from this broker's dynamic value, the cluster's dynamic default,
//! the broker's properties file, and last the table's default (KIP-226). DescribeConfigs shows the winner and, on
//! request, all that it won against.

use super::key::{ConfigValue, Definition, Key, Kind};
use super::settings::Settings;
use super::{broker, topic};

/// Where a value comes from, by its number in DescribeConfigs (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    /// Set on the topic.
    TopicConfig = 1,
    /// Set at run time for one broker.
    DynamicBrokerConfig = 2,
    /// Set at run time for all brokers.
    DynamicDefaultBrokerConfig = 3,
    /// In the broker's properties file, its environment or its command line.
    StaticBrokerConfig = 4,
    /// The table's default.
    DefaultConfig = 5,
}

impl Source {
    /// The number in DescribeConfigs.
    #[must_use]
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// The source with this number in DescribeConfigs, if it is one of those above.
    #[must_use]
    pub const fn from_code(code: i8) -> Option<Self> {
        match code {
            1 => Some(Self::TopicConfig),
            2 => Some(Self::DynamicBrokerConfig),
            3 => Some(Self::DynamicDefaultBrokerConfig),
            4 => Some(Self::StaticBrokerConfig),
            5 => Some(Self::DefaultConfig),
            _ => None,
        }
    }

    /// Kafka's name of the source.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TopicConfig => "DYNAMIC_TOPIC_CONFIG",
            Self::DynamicBrokerConfig => "DYNAMIC_BROKER_CONFIG",
            Self::DynamicDefaultBrokerConfig => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            Self::StaticBrokerConfig => "STATIC_BROKER_CONFIG",
            Self::DefaultConfig => "DEFAULT_CONFIG",
        }
    }
}

/// Values set for one resource.
pub trait Overrides {
    /// The text that a key is set to.
    fn value(&self, key: &str) -> Option<&str>;
}

/// Nothing is set.
impl Overrides for () {
    fn value(&self, _: &str) -> Option<&str> {
        None
    }
}

impl<S: std::hash::BuildHasher> Overrides for std::collections::HashMap<String, String, S> {
    fn value(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl Overrides for std::collections::BTreeMap<String, String> {
    fn value(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

/// All that can set a broker's values, the strongest first.
#[derive(Clone, Copy)]
pub struct Layers<'a> {
    /// Set at run time for this broker.
    pub broker: &'a dyn Overrides,
    /// Set at run time for all brokers.
    pub cluster: &'a dyn Overrides,
    /// The properties file.
    pub settings: &'a Settings,
}

/// One value of a key, where more than one is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    /// The key by which it is set, which may be a broker's for a topic's.
    pub name: &'static str,
    /// The text; `None` for a password.
    pub value: Option<String>,
    /// Where it is set.
    pub source: Source,
}

/// What DescribeConfigs answers of one key.
#[derive(Debug, Clone)]
pub struct Described {
    /// The key.
    pub definition: &'static Definition,
    /// Its value; `None` for null and for a password.
    pub value: Option<String>,
    /// Where the value is set.
    pub source: Source,
    /// Whether it can only be changed in the properties file.
    pub read_only: bool,
    /// All values that are set, the one that counts first.
    pub synonyms: Vec<Synonym>,
}

/// A text that is set, before a topic's value is made of it.
struct Set<'a> {
    name: &'static str,
    text: &'a str,
    factor: i64,
    source: Source,
}

impl<'a> Layers<'a> {
    /// Only the properties file.
    #[must_use]
    pub fn of(settings: &'a Settings) -> Self {
        Self { broker: &(), cluster: &(), settings }
    }

    /// The value of a broker key.
    #[must_use]
    pub fn get<T: ConfigValue>(&self, key: &Key<T>) -> T {
        let dynamic = [self.broker, self.cluster].into_iter().find_map(|layer| {
            let text = layer.value(key.name()).filter(|_| key.definition.is_dynamic())?;
            T::from_text(&key.definition.canonical(text).ok()?)
        });
        dynamic.unwrap_or_else(|| self.settings.get(key))
    }

    /// The value of a topic key, for a topic with these overrides.
    #[must_use]
    pub fn topic_value<T: ConfigValue>(&self, overrides: &dyn Overrides, key: &'static Key<T>) -> T {
        let text = self.topic_text(overrides, &key.definition).0;
        match text.as_deref().map_or_else(T::null, |t| T::from_text(t.trim())) {
            Some(value) => value,
            // Invalid texts were passed over, and a test reads every key's default.
            None => unreachable!("the table and the type of {} disagree", key.name()),
        }
    }

    /// Every key of a topic with these overrides, sorted by name.
    #[must_use]
    pub fn describe_topic(&self, overrides: &dyn Overrides) -> Vec<Described> {
        topic::TOPIC_KEYS
            .iter()
            .map(|definition| {
                let (value, source) = self.topic_text(overrides, definition);
                let synonyms = self
                    .topic_chain(overrides, definition)
                    .into_iter()
                    .map(|set| shown(definition.kind, set.name, set.text, set.source))
                    .collect();
                Described { definition, value, source, read_only: false, synonyms }
            })
            .collect()
    }

    /// Every key of a broker, sorted by name.
    #[must_use]
    pub fn describe_broker(&self) -> Vec<Described> {
        let mut all: Vec<_> = broker::all().map(|definition| self.describe_broker_key(definition)).collect();
        all.sort_by_key(|described| described.definition.name);
        all
    }

    /// The keys that are set at run time for all brokers, sorted by name: what describing the broker "" answers.
    #[must_use]
    pub fn describe_cluster_default(&self) -> Vec<Described> {
        let mut all: Vec<_> = broker::all()
            .filter_map(|definition| {
                let text = self.cluster.value(definition.name)?;
                let synonym =
                    shown(definition.kind, definition.name, text, Source::DynamicDefaultBrokerConfig);
                Some(Described {
                    definition,
                    value: synonym.value.clone(),
                    source: synonym.source,
                    read_only: !definition.is_dynamic(),
                    synonyms: vec![synonym],
                })
            })
            .collect();
        all.sort_by_key(|described| described.definition.name);
        all
    }

    fn describe_broker_key(&self, definition: &'static Definition) -> Described {
        let mut synonyms = Vec::new();
        self.broker_chain(definition, 1, &mut synonyms);
        let synonyms: Vec<_> =
            synonyms.into_iter().map(|set| shown(definition.kind, set.name, set.text, set.source)).collect();
        let winner = synonyms.first();
        Described {
            definition,
            value: winner.and_then(|synonym| synonym.value.clone()),
            source: winner.map_or(Source::DefaultConfig, |synonym| synonym.source),
            read_only: !definition.is_dynamic(),
            synonyms,
        }
    }

    fn topic_text(
        &self,
        overrides: &dyn Overrides,
        definition: &'static Definition,
    ) -> (Option<String>, Source) {
        let resolved = self.topic_chain(overrides, definition).into_iter().find_map(|set| {
            let text = convert(set.text, set.factor)?;
            // A stored value that this version does not accept counts as not set: the next layer decides.
            Some((definition.canonical(&text).ok()?, set.source))
        });
        match resolved {
            Some((text, source)) => (Some(text), source),
            None => (definition.default.map(str::to_owned), Source::DefaultConfig),
        }
    }

    /// All texts set for a topic key, by source and then by synonym.
    fn topic_chain(&'a self, overrides: &'a dyn Overrides, definition: &'static Definition) -> Vec<Set<'a>> {
        let mut chain = Vec::new();
        if let Some(text) = overrides.value(definition.name) {
            chain.push(Set { name: definition.name, text, factor: 1, source: Source::TopicConfig });
        }
        let synonyms = topic::broker_synonyms(definition.name);
        for synonym in synonyms {
            if let Some(key) = broker::find(synonym.name) {
                self.broker_chain(key, synonym.factor, &mut chain);
            }
        }
        if synonyms.is_empty()
            && let Some(text) = definition.default
        {
            chain.push(Set { name: definition.name, text, factor: 1, source: Source::DefaultConfig });
        }
        chain.sort_by_key(|set| set.source.code());
        chain
    }

    fn broker_chain(&'a self, definition: &'static Definition, factor: i64, chain: &mut Vec<Set<'a>>) {
        let name = definition.name;
        let mut push = |text: Option<&'a str>, source| {
            chain.extend(text.map(|text| Set { name, text, factor, source }));
        };
        push(self.broker.value(name), Source::DynamicBrokerConfig);
        push(self.cluster.value(name), Source::DynamicDefaultBrokerConfig);
        push(self.settings.text(name), Source::StaticBrokerConfig);
        push(definition.default, Source::DefaultConfig);
    }
}

/// A broker's text in the unit of the topic key. Negative numbers mean "no limit" in any unit.
fn convert(text: &str, factor: i64) -> Option<String> {
    if factor == 1 {
        return Some(text.trim().to_owned());
    }
    let number: i64 = text.trim().parse().ok()?;
    Some(if number < 0 { -1 } else { number.saturating_mul(factor) }.to_string())
}

fn shown(kind: Kind, name: &'static str, text: &str, source: Source) -> Synonym {
    let value = (kind != Kind::Password).then(|| text.to_owned());
    Synonym { name, value, source }
}
