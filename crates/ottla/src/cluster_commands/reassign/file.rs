//! The JSON that Kafka's own tool reads and writes, so that files go from one to the other: which topics are to move, and
//! where partitions are to lie.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use ottla_types::{BrokerId, TopicName, TopicPartition};
use serde::{Deserialize, Serialize};

use super::plan::Placed;

/// The version of both formats.
const VERSION: i32 = 1;

/// What stands for whichever directory the broker likes.
const ANY_DIR: &str = "any";

/// Where partitions are to lie: `--reassignment-json-file`.
#[derive(Debug, Serialize, Deserialize)]
struct Assignment {
    version: i32,
    partitions: Vec<AssignedPartition>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AssignedPartition {
    topic: String,
    partition: i32,
    replicas: Vec<i32>,
    /// One for each replica: a directory of that broker, or `any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_dirs: Option<Vec<String>>,
}

/// Which topics are to move: `--topics-to-move-json-file`.
#[derive(Debug, Deserialize)]
struct TopicsToMove {
    version: i32,
    topics: Vec<TopicToMove>,
}

#[derive(Debug, Deserialize)]
struct TopicToMove {
    topic: String,
}

/// Reads where partitions are to lie.
pub(super) fn read_assignment(path: &Path) -> anyhow::Result<Vec<Placed>> {
    let text = read(path)?;
    parse_assignment(&text).with_context(|| format!("{} is no reassignment", path.display()))
}

/// Reads which topics are to move.
pub(super) fn read_topics(path: &Path) -> anyhow::Result<Vec<TopicName>> {
    let text = read(path)?;
    parse_topics(&text).with_context(|| format!("{} does not name topics to move", path.display()))
}

/// The same as text, in one line, as Kafka's tool prints it.
pub(super) fn to_json(partitions: &[Placed]) -> anyhow::Result<String> {
    let partition = |placed: &Placed| AssignedPartition {
        topic: placed.at.topic.to_string(),
        partition: placed.at.partition,
        replicas: placed.replicas.iter().map(|id| id.0).collect(),
        log_dirs: Some(placed.replicas.iter().map(|_| ANY_DIR.to_owned()).collect()),
    };
    let assignment = Assignment { version: VERSION, partitions: partitions.iter().map(partition).collect() };
    Ok(serde_json::to_string(&assignment)?)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn parse_assignment(text: &str) -> anyhow::Result<Vec<Placed>> {
    let assignment: Assignment = serde_json::from_str(text)?;
    check_version(assignment.version)?;
    anyhow::ensure!(!assignment.partitions.is_empty(), "it names no partitions");
    let placed = assignment.partitions.into_iter().map(placed).collect::<anyhow::Result<Vec<_>>>()?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = placed.iter().find(|placed| !seen.insert(&placed.at)) {
        anyhow::bail!("{} is in it twice", twice.at);
    }
    Ok(placed)
}

fn placed(partition: AssignedPartition) -> anyhow::Result<Placed> {
    let AssignedPartition { topic, partition: index, replicas, log_dirs } = partition;
    anyhow::ensure!(index >= 0, "{topic} has no partition {index}: they are counted from 0");
    let at = TopicPartition { topic: TopicName::new(&topic)?, partition: index };
    anyhow::ensure!(!replicas.is_empty(), "{at} has no replicas");
    anyhow::ensure!(replicas.iter().all(|id| *id >= 0), "{at} has a broker with a negative number");
    let distinct: BTreeSet<_> = replicas.iter().collect();
    anyhow::ensure!(distinct.len() == replicas.len(), "{at} has a broker twice: {replicas:?}");
    if let Some(dirs) = log_dirs {
        let (dir_count, replica_count) = (dirs.len(), replicas.len());
        anyhow::ensure!(
            dir_count == replica_count,
            "{at} has {replica_count} replicas and {dir_count} log_dirs"
        );
        if let Some(named) = dirs.iter().find(|dir| *dir != ANY_DIR) {
            anyhow::bail!(
                "{at} is to lie in the directory {named}: this command knows only {ANY_DIR:?}; kafka-reassign-partitions.sh moves \
                 replicas between directories"
            );
        }
    }
    Ok(Placed { at, replicas: replicas.into_iter().map(BrokerId).collect() })
}

fn parse_topics(text: &str) -> anyhow::Result<Vec<TopicName>> {
    let named: TopicsToMove = serde_json::from_str(text)?;
    check_version(named.version)?;
    anyhow::ensure!(!named.topics.is_empty(), "it names no topics");
    named.topics.iter().map(|topic| Ok(TopicName::new(&topic.topic)?)).collect()
}

fn check_version(version: i32) -> anyhow::Result<()> {
    anyhow::ensure!(version == VERSION, "its version is {version}, and only {VERSION} is known");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        format!("{:#}", parse_assignment(text).unwrap_err())
    }

    #[test]
    fn files_of_kafkas_tool_are_read_and_come_back_as_they_were() {
        let text = r#"{"version":1,"partitions":[{"topic":"orders","partition":2,"replicas":[5,6],"log_dirs":["any","any"]}]}"#;
        let placed = parse_assignment(text).unwrap();
        assert_eq!(placed[0].at.to_string(), "orders-2");
        assert_eq!(placed[0].replicas, [BrokerId(5), BrokerId(6)]);
        assert_eq!(to_json(&placed).unwrap(), text);
        let without = r#"{"partitions":[{"topic":"orders","partition":2,"replicas":[5,6]}],"version":1}"#;
        assert_eq!(parse_assignment(without).unwrap(), placed);
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_the_partition() {
        let of = |partition: &str| format!(r#"{{"version":1,"partitions":[{partition}]}}"#);
        for (text, told) in [
            (of(r#"{"topic":"t","partition":0,"replicas":[1,1]}"#), "t-0 has a broker twice"),
            (of(r#"{"topic":"t","partition":0,"replicas":[]}"#), "t-0 has no replicas"),
            (of(r#"{"topic":"t","partition":-1,"replicas":[1]}"#), "counted from 0"),
            (of(r#"{"topic":"t","partition":0,"replicas":[-1]}"#), "negative"),
            (
                of(r#"{"topic":"t","partition":0,"replicas":[1],"log_dirs":["/a"]}"#),
                "t-0 is to lie in the directory /a",
            ),
            (of(r#"{"topic":"t","partition":0,"replicas":[1,2],"log_dirs":["any"]}"#), "1 log_dirs"),
            (of(""), "no partitions"),
            (r#"{"version":2,"partitions":[]}"#.to_owned(), "version is 2"),
            (r#"{"partitions":[]}"#.to_owned(), "version"),
        ] {
            assert!(refused(&text).contains(told), "{text}: {}", refused(&text));
        }
        let one = r#"{"topic":"t","partition":0,"replicas":[1]}"#;
        assert!(refused(&of(&format!("{one},{one}"))).contains("t-0 is in it twice"));
    }

    #[test]
    fn topics_to_move_are_read() {
        let text = r#"{"topics":[{"topic":"a"},{"topic":"b"}],"version":1}"#;
        let names: Vec<_> = parse_topics(text).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(parse_topics(r#"{"topics":[],"version":1}"#).is_err());
    }
}
