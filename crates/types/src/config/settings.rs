//! A node's static settings: all of its assignments, from wherever they come, checked together.
//!
//! Every problem of a file is found in one pass: an operator with three mistakes should see three messages, once.

use std::collections::BTreeMap;
use std::fmt;

use super::key::{ConfigValue, Definition, InvalidValue, Key, no_effect};
use super::{broker, ignored, layers, properties, topic};

/// Where an assignment comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a properties file.
    File {
        /// The file's name as the operator gave it.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// `--override key=value`.
    Override,
    /// An environment variable, by its name.
    Environment(String),
    /// This program, where it is started without a file.
    Program,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Override => f.write_str("--override"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Program => f.write_str("built in"),
        }
    }
}

/// A key set to a value somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The key as written.
    pub key: String,
    /// The value as written.
    pub value: String,
    /// Where.
    pub origin: Origin,
}

impl Assignment {
    /// An assignment by this program itself.
    #[must_use]
    pub fn built_in(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), value: value.to_owned(), origin: Origin::Program }
    }
}

/// A mistake that keeps the node from starting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {message}")]
pub struct Problem {
    /// Where the value is set.
    pub origin: Origin,
    /// Which key has which value, and what would have been allowed.
    pub message: String,
}

/// All the mistakes of a node's settings, never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Something that the operator should know, and that does not keep the node from starting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub origin: Origin,
    /// What.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)
    }
}

/// The id of a node that is not given one.
const ONLY_NODE: i32 = 1;

/// The values of one node's keys. Every value in here has passed its key's check.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, Value>,
}

#[derive(Debug, Clone)]
struct Value {
    canonical: String,
    origin: Origin,
}

impl Settings {
    /// Reads the text of a properties file called `name`.
    ///
    /// # Errors
    /// All the mistakes in it.
    pub fn parse(name: &str, text: &str) -> Result<(Self, Vec<Warning>), Problems> {
        Self::load(assignments(name, text)?)
    }

    /// Checks assignments. Of two for one key the later wins: first the file, then the environment, then overrides.
    ///
    /// # Errors
    /// All the mistakes in them.
    pub fn load(assignments: impl IntoIterator<Item = Assignment>) -> Result<(Self, Vec<Warning>), Problems> {
        let mut settings = Self::default();
        let mut warnings = Vec::new();
        let mut problems = Vec::new();
        for Assignment { key, value, origin } in last_of_each(assignments, &mut warnings) {
            let Some(definition) = broker::find(&key) else {
                if let Some(message) = ignored::refusal(&key, &value) {
                    problems.push(Problem { origin, message });
                    continue;
                }
                warnings.push(Warning { message: not_ours(&key), origin });
                continue;
            };
            match definition.canonical(&value) {
                Ok(canonical) => {
                    if let Some(message) = definition.no_effect(&canonical) {
                        warnings.push(Warning { message, origin: origin.clone() });
                    }
                    settings.values.insert(definition.name, Value { canonical, origin });
                }
                Err(invalid) => problems.push(Problem { origin, message: message(&invalid) }),
            }
        }
        settings.check_together(&mut problems);
        settings.identify();
        if problems.is_empty() { Ok((settings, warnings)) } else { Err(Problems(problems)) }
    }

    /// The value of a key: as set, or its default.
    #[must_use]
    pub fn get<T: ConfigValue>(&self, key: &Key<T>) -> T {
        let text = self.values.get(key.name()).map(|v| v.canonical.as_str()).or(key.definition.default);
        match text.map_or_else(T::null, T::from_text) {
            Some(value) => value,
            // Values are checked when they come in, and a test reads every key's default.
            None => unreachable!("the table and the type of {} disagree", key.name()),
        }
    }

    /// Whether the key is set, to its default or otherwise.
    #[must_use]
    pub fn is_set<T>(&self, key: &Key<T>) -> bool {
        self.values.contains_key(key.name())
    }

    /// Where the key is set, if it is.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.values.get(key).map(|v| &v.origin)
    }

    /// The text of a key that is set, in canonical form.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|v| v.canonical.as_str())
    }

    /// The directories of the logs: `log.dirs`, or else `log.dir`.
    #[must_use]
    pub fn log_dirs(&self) -> Vec<String> {
        self.get(&broker::log::LOG_DIRS).unwrap_or_else(|| self.get(&broker::log::LOG_DIR))
    }

    /// `node.id`, by whichever of its names it is set.
    #[must_use]
    pub fn node_id(&self) -> crate::BrokerId {
        let by_old_name = self.get(&broker::node::BROKER_ID);
        let by_old_name = (by_old_name >= 0).then_some(by_old_name);
        crate::BrokerId(self.get(&broker::node::NODE_ID).or(by_old_name).unwrap_or(ONLY_NODE))
    }

    /// What the node does: `process.roles`, and everything where that is not set.
    #[must_use]
    pub fn process_roles(&self) -> Vec<String> {
        let all = || ["broker", "controller"].map(str::to_owned).to_vec();
        self.get(&broker::node::PROCESS_ROLES).unwrap_or_else(all)
    }

    /// Sets who the node is where the file does not, since Kafka has no defaults for it and shows it as set, the id by
    /// both of its names.
    fn identify(&mut self) {
        use broker::node::{BROKER_ID, NODE_ID, PROCESS_ROLES};
        let (id, roles) = (self.node_id().to_string(), self.process_roles().join(","));
        let origin = self.origin(NODE_ID.name()).or_else(|| self.origin(BROKER_ID.name()));
        let origin = origin.cloned().unwrap_or(Origin::Program);
        let mut set = |key, canonical: String, origin: &Origin| {
            self.values.entry(key).or_insert_with(|| Value { canonical, origin: origin.clone() });
        };
        set(NODE_ID.name(), id.clone(), &origin);
        set(BROKER_ID.name(), id, &origin);
        set(PROCESS_ROLES.name(), roles, &Origin::Program);
    }

    /// The directory that holds the metadata log's own directory: `metadata.log.dir`, or the first log directory.
    #[must_use]
    pub fn metadata_log_dir(&self) -> String {
        self.get(&broker::node::METADATA_LOG_DIR)
            .or_else(|| self.log_dirs().into_iter().next())
            .unwrap_or_default()
    }

    /// Rules that span more than one key.
    fn check_together(&self, problems: &mut Vec<Problem>) {
        use broker::{node, replication};
        // Of the keys that do not go together, the first that somebody set is where to look.
        let mut refuse = |keys: &[&str], message: String| {
            let mut origins = keys.iter().filter_map(|key| self.origin(key));
            let origin = origins.find(|origin| **origin != Origin::Program);
            problems.push(Problem { origin: origin.cloned().unwrap_or(Origin::Program), message });
        };
        let wait = self.get(&replication::REPLICA_FETCH_WAIT_MAX_MS);
        let lag = self.get(&replication::REPLICA_LAG_TIME_MAX_MS);
        if i64::from(wait) > lag {
            refuse(
                &["replica.fetch.wait.max.ms", "replica.lag.time.max.ms"],
                format!(
                    "replica.fetch.wait.max.ms is {wait}, above replica.lag.time.max.ms, which is {lag}: followers \
                     of idle partitions would leave the in-sync replicas"
                ),
            );
        }
        if self.get(&replication::REPLICA_LAG_DETECTOR) == "messages"
            && self.get(&replication::REPLICA_LAG_MAX_MESSAGES).is_none()
        {
            refuse(
                &["replica.lag.detector"],
                "replica.lag.detector=messages needs replica.lag.max.messages".to_owned(),
            );
        }
        let (heartbeat, session) =
            (self.get(&node::BROKER_HEARTBEAT_INTERVAL_MS), self.get(&node::BROKER_SESSION_TIMEOUT_MS));
        if heartbeat.checked_mul(2).is_none_or(|two| two > session) {
            refuse(
                &["broker.session.timeout.ms", "broker.heartbeat.interval.ms"],
                format!(
                    "broker.session.timeout.ms is {session}, below two broker.heartbeat.interval.ms of \
                     {heartbeat}: one lost heartbeat would fence the broker"
                ),
            );
        }
        if self.log_dirs().iter().any(|dir| dir.is_empty()) || self.log_dirs().is_empty() {
            refuse(
                &["log.dirs", "log.dir"],
                "log.dirs names an empty path: expected directories separated by commas".into(),
            );
        }
        for problem in self.listeners().err().into_iter().flatten() {
            refuse(&[problem.key, "listeners", "controller.listener.names"], problem.message);
        }
        for problem in self.voter_problems() {
            refuse(&[problem.key], problem.message);
        }
        let old = self.get(&node::BROKER_ID);
        if let Some(id) = self.get(&node::NODE_ID)
            && self.is_set(&node::BROKER_ID)
            && id != old
        {
            refuse(&["broker.id"], format!("broker.id is {old} and node.id is {id}: set one of them"));
        }
    }
}

impl layers::Overrides for Settings {
    fn value(&self, key: &str) -> Option<&str> {
        self.text(key)
    }
}

/// The assignments in the text of a properties file called `name`.
///
/// # Errors
/// A malformed escape.
pub fn assignments(name: &str, text: &str) -> Result<Vec<Assignment>, Problems> {
    let origin = |line| Origin::File { name: name.to_owned(), line };
    match properties::parse(text) {
        Ok(pairs) => Ok(pairs
            .into_iter()
            .map(|pair| Assignment { key: pair.key, value: pair.value, origin: origin(pair.line) })
            .collect()),
        Err(bad) => Err(Problems(vec![Problem { origin: origin(bad.line), message: bad.to_string() }])),
    }
}

fn message(invalid: &InvalidValue) -> String {
    format!("{}={} is not valid: expected {}", invalid.key, invalid.value, invalid.expected)
}

/// Keeps the last assignment of each key, with a warning where one file sets a key twice.
fn last_of_each(
    assignments: impl IntoIterator<Item = Assignment>,
    warnings: &mut Vec<Warning>,
) -> Vec<Assignment> {
    let mut last: Vec<Assignment> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for assignment in assignments {
        match places.get(&assignment.key).and_then(|&at| last.get_mut(at)) {
            Some(earlier) => {
                if let (Origin::File { line, .. }, Origin::File { .. }) =
                    (&earlier.origin, &assignment.origin)
                {
                    warnings.push(Warning {
                        message: format!(
                            "{} was set on line {line} already; this value counts",
                            assignment.key
                        ),
                        origin: assignment.origin.clone(),
                    });
                }
                *earlier = assignment;
            }
            None => {
                places.insert(assignment.key.clone(), last.len());
                last.push(assignment);
            }
        }
    }
    last
}

pub(super) fn not_ours(key: &str) -> String {
    if let Some(why) = ignored::why(key) {
        return no_effect(key, why);
    }
    if let (Some(_), [synonym, ..]) = (topic::find(key), topic::broker_synonyms(key)) {
        return format!("{key} is a key of topics and not of brokers: did you mean {}?", synonym.name);
    }
    match nearest(key) {
        Some(name) => format!("{key} is not a key that this program knows: did you mean {name}?"),
        None => format!("{key} is not a key that this program knows"),
    }
}

/// The broker key whose name looks most like `key`, if one does at all.
#[must_use]
pub fn nearest(key: &str) -> Option<&'static str> {
    nearest_of(key, broker::all())
}

/// The same among other keys.
pub fn nearest_of(
    key: &str,
    definitions: impl IntoIterator<Item = &'static Definition>,
) -> Option<&'static str> {
    definitions
        .into_iter()
        .map(|definition| (strsim::normalized_damerau_levenshtein(key, definition.name), definition.name))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
