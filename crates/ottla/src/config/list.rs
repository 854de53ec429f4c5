//! `ottla config list`: the table of keys itself, as this program has it.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use ottla_types::config::key::Valid;
use ottla_types::config::{Definition, Dynamic, Importance, Kind, broker, topic};
use serde::Serialize;

use crate::output;

/// Where lines of documentation end.
const WIDTH: usize = 100;

/// Arguments of `ottla config list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla config list\n  \
    ottla config list retention                  # the keys with this in their names\n  \
    ottla config list --scope topic --json\n\n\
    It lists what this program knows, and asks no broker. Keys of Apache Kafka that mean nothing here are not listed; \
    a broker whose file sets one says why it has no effect.")]
pub(crate) struct Arguments {
    /// Show only keys that have one of these texts in their names
    #[arg(value_name = "TEXT")]
    patterns: Vec<String>,

    /// Show only the keys of topics, or of brokers
    #[arg(long, short, value_enum)]
    scope: Option<Scope>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a key can be set on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Scope {
    /// Brokers
    Broker,
    /// Topics
    Topic,
}

#[derive(Debug, Serialize)]
struct Listed {
    key: &'static str,
    scope: Scope,
    #[serde(rename = "type")]
    kind: &'static str,
    default: Option<&'static str>,
    allowed: String,
    /// The bounds of a number, where it has any.
    minimum: Option<serde_json::Number>,
    maximum: Option<serde_json::Number>,
    /// The texts of which the value is one, or a list.
    values: Option<&'static [&'static str]>,
    /// `read-only`, `per-broker` or `cluster-wide`; topic keys are all `per-topic`.
    update: &'static str,
    importance: &'static str,
    /// The broker keys that give topics their value, the first that is set.
    broker_keys: Vec<&'static str>,
    /// Why setting the key does nothing here, where that is so.
    no_effect: Option<&'static str>,
    documentation: &'static str,
}

/// Lists the keys, by scope and then by name.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let listed = arguments.listed();
    if arguments.json {
        return output::say_json(&listed);
    }
    anyhow::ensure!(!listed.is_empty(), "no key has {} in its name", arguments.patterns.join(" or "));
    let texts: Vec<String> = listed.iter().map(Listed::text).collect();
    output::say(texts.join("\n").trim_end())?;
    Ok(())
}

impl Arguments {
    fn listed(&self) -> Vec<Listed> {
        let mut brokers: Vec<&'static Definition> = broker::all().collect();
        brokers.sort_by_key(|definition| definition.name);
        let brokers = brokers.into_iter().map(|definition| (Scope::Broker, definition));
        let topics = topic::TOPIC_KEYS.iter().map(|definition| (Scope::Topic, *definition));
        let is_wanted = |scope: Scope, definition: &Definition| {
            self.scope.is_none_or(|wanted| wanted == scope)
                && (self.patterns.is_empty()
                    || self.patterns.iter().any(|text| definition.name.contains(text)))
        };
        brokers
            .chain(topics)
            .filter(|(scope, definition)| is_wanted(*scope, definition))
            .map(|(scope, definition)| Listed::of(scope, definition))
            .collect()
    }
}

impl Listed {
    fn of(scope: Scope, definition: &'static Definition) -> Self {
        let (minimum, maximum) = bounds(definition);
        Self {
            key: definition.name,
            scope,
            kind: definition.kind.name(),
            default: definition.default,
            allowed: definition.expected(),
            minimum,
            maximum,
            values: match definition.valid {
                Valid::OneOf(names) | Valid::OneOfAnyCase(names) | Valid::ListOf(names) => Some(names),
                _ => None,
            },
            update: match (scope, definition.dynamic) {
                (Scope::Topic, _) => "per-topic",
                (Scope::Broker, _) if !definition.is_dynamic() => "read-only",
                (Scope::Broker, Dynamic::PerBroker) => "per-broker",
                (Scope::Broker, _) => "cluster-wide",
            },
            importance: match definition.importance {
                Importance::High => "high",
                Importance::Medium => "medium",
                Importance::Low => "low",
            },
            broker_keys: match scope {
                Scope::Topic => topic::broker_synonyms(definition.name).iter().map(|s| s.name).collect(),
                Scope::Broker => Vec::new(),
            },
            no_effect: definition.unused.as_ref().map(|unused| unused.why),
            documentation: definition.doc(),
        }
    }

    fn text(&self) -> String {
        let scope = match self.scope {
            Scope::Broker => "broker",
            Scope::Topic => "topic",
        };
        let default = match self.default {
            None => "none",
            Some("") => "empty",
            Some(text) => text,
        };
        let update = match self.update {
            "read-only" => "read-only: takes a restart",
            "per-topic" => "dynamic, for each topic",
            "per-broker" => "dynamic, for each broker",
            _ => "dynamic, for each broker or all",
        };
        let mut text = format!("{}  ({scope}, {})\n", self.key, self.kind);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    default {default}; allowed: {}; {update}", self.allowed);
        text.push_str(&filled(self.documentation));
        if let Some((first, rest)) = self.broker_keys.split_first() {
            let rest: String = rest.iter().map(|key| format!(", else {key}")).collect();
            let _ = writeln!(text, "    Where a topic does not set it: the broker's {first}{rest}.");
        }
        if let Some(why) = self.no_effect {
            text.push_str(&filled(&format!("No effect: {why}.")));
        }
        text
    }
}

/// The least and the greatest number that is allowed. An open end is the end of the type, and not told.
fn bounds(definition: &Definition) -> (Option<serde_json::Number>, Option<serde_json::Number>) {
    let is_integer = matches!(definition.kind, Kind::Int | Kind::Short | Kind::Long);
    match definition.valid {
        Valid::Range(min, max) if is_integer => {
            let max = (max != i64::MAX).then(|| max.into());
            ((min != i64::MIN).then(|| min.into()), max)
        }
        Valid::RangeOr(alone, min, max) if is_integer => {
            let max = alone.max(max);
            (Some(alone.min(min).into()), (max != i64::MAX).then(|| max.into()))
        }
        Valid::Between(min, max) => (serde_json::Number::from_f64(min), serde_json::Number::from_f64(max)),
        _ => (None, None),
    }
}

/// A text in indented lines of at most [`WIDTH`] characters.
fn filled(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + word.chars().count() + 5 > WIDTH {
            let _ = writeln!(lines, "    {line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(lines, "    {line}");
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(patterns: &[&str], scope: Option<Scope>) -> Arguments {
        Arguments { patterns: patterns.iter().map(|text| (*text).to_owned()).collect(), scope, json: false }
    }

    #[test]
    fn every_key_is_listed_with_all_that_the_table_says() {
        let listed = arguments(&[], None).listed();
        assert_eq!(listed.len(), broker::all().count() + topic::TOPIC_KEYS.len());
        for Listed { key, kind, allowed, documentation, .. } in &listed {
            assert!(!kind.is_empty() && !allowed.is_empty() && !documentation.is_empty(), "{key}");
        }
    }

    #[test]
    fn names_and_scope_narrow_the_list() {
        let keys = |patterns: &[&str], scope| -> Vec<&str> {
            arguments(patterns, scope).listed().iter().map(|listed| listed.key).collect()
        };
        assert_eq!(
            keys(&["retention.ms"], Some(Scope::Topic)),
            ["delete.retention.ms", "local.retention.ms", "retention.ms"]
        );
        assert!(keys(&["log.retention.ms", "node.id"], Some(Scope::Broker)).contains(&"node.id"));
        assert!(keys(&["nothing.like.this"], None).is_empty());
    }

    #[test]
    fn json_has_type_default_range_scope_and_how_it_is_changed() {
        let find = |name: &str, scope| {
            let listed =
                arguments(&[name], Some(scope)).listed().into_iter().find(|l| l.key == name).unwrap();
            serde_json::to_value(listed).unwrap()
        };
        let partitions = find("num.partitions", Scope::Broker);
        assert_eq!(partitions["type"], "int");
        assert_eq!(partitions["default"], "1");
        assert_eq!((&partitions["minimum"], &partitions["maximum"]), (&1.into(), &serde_json::Value::Null));
        assert_eq!((&partitions["scope"], &partitions["update"]), (&"broker".into(), &"read-only".into()));
        let level = find("compression.gzip.level", Scope::Topic);
        assert_eq!((&level["minimum"], &level["maximum"]), (&(-1).into(), &9.into()));
        let retention = find("retention.ms", Scope::Topic);
        assert_eq!(retention["update"], "per-topic");
        assert_eq!(retention["broker_keys"][0], "log.retention.ms");
        assert_eq!(find("log.retention.ms", Scope::Broker)["update"], "cluster-wide");
        assert!(find("max.connections.per.ip", Scope::Broker)["documentation"].is_string());
        assert_eq!(find("cleanup.policy", Scope::Topic)["values"], serde_json::json!(["compact", "delete"]));
    }

    #[test]
    fn the_text_is_a_headline_and_indented_lines_that_fit() {
        for listed in arguments(&[], None).listed() {
            let text = listed.text();
            assert!(text.starts_with(listed.key), "{text}");
            assert!(text.lines().skip(1).all(|line| line.starts_with("    ")), "{text}");
        }
        assert_eq!(filled("a b"), "    a b\n");
        let long = filled(&"word ".repeat(60));
        assert!(long.lines().all(|line| line.len() <= WIDTH) && long.lines().count() == 4, "{long}");
    }
}
