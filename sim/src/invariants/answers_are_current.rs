//! Once everything is repaired, each node tells clients of the topics that the metadata log says there are.

use std::collections::BTreeMap;

use ottla_metadata::Image;
use ottla_types::{BrokerId, ErrorCode};

use super::Violation;
use crate::cluster::ToldTopic;
use crate::engine::NodeId;

/// Checks what a node told against the metadata after all that is committed. Nobody changes topics any more.
///
/// # Errors
/// The violation.
pub fn check(node: NodeId, told: &BTreeMap<String, ToldTopic>, image: &Image) -> Result<(), Violation> {
    let expected: BTreeMap<String, ToldTopic> = image
        .topics()
        .map(|topic| {
            let replicas: BTreeMap<i32, Vec<BrokerId>> =
                topic.partitions().map(|(index, state)| (index, state.replicas.to_vec())).collect();
            (topic.name.to_string(), ToldTopic { id: topic.id, error: ErrorCode::None, replicas })
        })
        .collect();
    if *told == expected {
        return Ok(());
    }
    let names = told.keys().chain(expected.keys());
    let differs = names.filter(|name| told.get(*name) != expected.get(*name)).min();
    let what = differs.map(|name| {
        format!(
            "{node} tells of the topic {name} {:?}, and the log says {:?}",
            told.get(name),
            expected.get(name)
        )
    });
    Err(Violation::new("answers_are_current", what.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::image;

    #[test]
    fn a_topic_that_is_not_told_of_and_one_that_is_not_there_are_found() {
        let image = image(&[1, 2], Some(1));
        let topic = image.topic_by_name("t").unwrap();
        let replicas = BTreeMap::from([(0, vec![BrokerId(1), BrokerId(2)])]);
        let told =
            BTreeMap::from([("t".to_owned(), ToldTopic { id: topic.id, error: ErrorCode::None, replicas })]);
        check(NodeId(1), &told, &image).unwrap();
        assert!(check(NodeId(1), &BTreeMap::new(), &image).is_err());
        assert!(check(NodeId(1), &told, &Image::default()).is_err());
    }
}
