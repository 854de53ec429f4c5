//! Settings from environment variables, by the rule of Apache Kafka's and Confluent's container images.
//!
//! `KAFKA_LOG_DIRS` sets `log.dirs`. After the prefix one underscore is a dot, two are an underscore and three are a hyphen.
//! `OTTLA_...` does the same and goes before `KAFKA_...`. Variables that carry such a prefix and mean something else are
//! passed over without a word: options of the JVM, addresses that Kubernetes announces, variables of the command line.
//!
//! What is not here: reading the environment, and judging keys and values ([`super::settings`] does).

use super::settings::{Assignment, Origin};

/// The prefixes, the weaker one first.
pub const PREFIXES: [&str; 2] = ["KAFKA_", "OTTLA_"];

/// Variables with a prefix that are no settings of a node: those of Kafka's scripts and images, and of the client commands.
const OTHERS: &[&str] = &[
    "KAFKA_CLUSTER_ID",
    "KAFKA_DEBUG",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_HEAP_OPTS",
    "KAFKA_HOME",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_JMX_OPTS",
    "KAFKA_JMX_PORT",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_LOG4J_CMD_OPTS",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG4J_TOOLS_ROOT_LOGLEVEL",
    "KAFKA_OPTS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_VERSION",
    "OTTLA_BOOTSTRAP_SERVERS",
];

/// The assignments that variables make, each name with its value; the order of the variables does not matter.
pub fn assignments(variables: impl IntoIterator<Item = (String, String)>) -> Vec<Assignment> {
    let mut all: Vec<(usize, String, String, String)> = variables
        .into_iter()
        .filter_map(|(name, value)| {
            let (strength, rest) = prefix(&name)?;
            let key = key(rest);
            (!is_other(&name, rest, &value)).then_some((strength, name, key, value))
        })
        .collect();
    all.sort();
    all.into_iter()
        .map(|(_, name, key, value)| Assignment { key, value, origin: Origin::Environment(name) })
        .collect()
}

/// Whether a variable of this name could be a setting.
#[must_use]
pub fn has_prefix(name: &str) -> bool {
    prefix(name).is_some()
}

/// How strong the prefix of a name is, and what follows it.
fn prefix(name: &str) -> Option<(usize, &str)> {
    let found = PREFIXES.iter().enumerate().find_map(|(n, prefix)| Some((n, name.strip_prefix(prefix)?)));
    found.filter(|(_, rest)| !rest.is_empty())
}

/// The key that the rest of a name stands for.
fn key(rest: &str) -> String {
    // As the images do it, in this order: of four underscores the first three are the hyphen.
    rest.to_ascii_lowercase().replace('_', ".").replace("...", "-").replace("..", "_")
}

/// Whether a variable with a prefix is something other than a setting.
fn is_other(name: &str, rest: &str, value: &str) -> bool {
    OTHERS.contains(&name) || is_announced_by_kubernetes(rest, value)
}

/// Kubernetes tells every container of a namespace where the services in it are. A service called `kafka` or `ottla` makes
/// `KAFKA_SERVICE_HOST`, `KAFKA_SERVICE_PORT`, `KAFKA_PORT=tcp://...` and `KAFKA_PORT_9092_TCP_ADDR`, and one called
/// `kafka-ui` the same with `KAFKA_UI_`.
fn is_announced_by_kubernetes(rest: &str, value: &str) -> bool {
    let ends_with = |name: &str| rest == name || rest.strip_suffix(name).is_some_and(|s| s.ends_with('_'));
    let has_number_after = |word: &str| {
        rest.split_once(word).is_some_and(|(before, after)| {
            (before.is_empty() || before.ends_with('_')) && after.starts_with(|c: char| c.is_ascii_digit())
        })
    };
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    ends_with("SERVICE_HOST")
        || ends_with("SERVICE_PORT")
        || rest.starts_with("SERVICE_PORT_")
        || rest.contains("_SERVICE_PORT_")
        || has_number_after("PORT_")
        || (ends_with("PORT") && is_address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assignments(owned).into_iter().map(|assignment| (assignment.key, assignment.value)).collect()
    }

    fn key_of(name: &str) -> Option<String> {
        keys(&[(name, "1")]).pop().map(|(key, _)| key)
    }

    #[test]
    fn underscores_are_dots_two_are_an_underscore_and_three_a_hyphen() {
        for (name, key) in [
            ("KAFKA_LOG_DIRS", "log.dirs"),
            ("OTTLA_NUM_PARTITIONS", "num.partitions"),
            ("KAFKA_PROCESS_ROLES", "process.roles"),
            ("KAFKA_A__B_C___D", "a_b.c-d"),
        ] {
            assert_eq!(key_of(name).as_deref(), Some(key), "{name}");
        }
    }

    #[test]
    fn other_variables_are_passed_over() {
        for name in [
            "LOG_DIRS",
            "KAFKA_",
            "kafka_log_dirs",
            "KAFKA_HEAP_OPTS",
            "KAFKA_JMX_PORT",
            "OTTLA_BOOTSTRAP_SERVERS",
            "KAFKA_SERVICE_HOST",
            "KAFKA_SERVICE_PORT",
            "KAFKA_SERVICE_PORT_CLIENT",
            "KAFKA_PORT_9092_TCP_ADDR",
            "KAFKA_UI_SERVICE_HOST",
            "OTTLA_UI_PORT_80_TCP_PROTO",
        ] {
            assert_eq!(key_of(name), None, "{name}");
        }
        assert_eq!(keys(&[("KAFKA_PORT", "tcp://10.0.0.7:9092")]), []);
    }

    #[test]
    fn a_mistyped_or_removed_key_is_an_assignment_all_the_same_and_told_by_whoever_judges_it() {
        assert_eq!(key_of("KAFKA_LOG_DRIS").as_deref(), Some("log.dris"));
        assert_eq!(keys(&[("KAFKA_PORT", "9092")]), [("port".to_owned(), "9092".to_owned())]);
    }

    #[test]
    fn variables_of_our_own_come_after_those_of_kafka_whatever_the_order() {
        let found = keys(&[("OTTLA_NODE_ID", "2"), ("KAFKA_NODE_ID", "1"), ("KAFKA_LOG_DIRS", "/a")]);
        let names: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(names, [("log.dirs", "/a"), ("node.id", "1"), ("node.id", "2")]);
    }
}
