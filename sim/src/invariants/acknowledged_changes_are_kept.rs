//! Metadata: once everything is repaired, topics are what their administrators were told they are.

use ottla_metadata::Image;
use ottla_metadata::record::ConfigResource;

use super::Violation;
use crate::cluster::Expected;

const NAME: &str = "acknowledged_changes_are_kept";

/// Checks one topic. `key` is the one whose value is expected.
///
/// # Errors
/// The violation.
pub fn check(name: &str, expected: &Expected, key: &str, image: &Image) -> Result<(), Violation> {
    let topic = image.topic_by_name(name);
    let found = topic.map_or(Expected::Absent, |topic| {
        let configs = image.configs(&ConfigResource::Topic(topic.name.clone()));
        let first = topic.partition(0).map_or(0, |state| state.replicas.len());
        Expected::Present {
            partitions: topic.partition_count() as i32,
            replicas: first as i16,
            value: configs.and_then(|configs| configs.get(key)).map(str::to_owned),
        }
    });
    if *expected == Expected::Anything || *expected == found {
        return Ok(());
    }
    let what = format!("the topic {name} was told to be {expected:?}, and is {found:?}");
    Err(Violation::new(NAME, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::image;

    #[test]
    fn a_topic_that_is_lost_and_one_that_is_back_are_found() {
        let image = image(&[1, 2], Some(1));
        let present = |value: Option<&str>| Expected::Present {
            partitions: 1,
            replicas: 2,
            value: value.map(str::to_owned),
        };
        check("t", &present(None), "k", &image).unwrap();
        check("t", &Expected::Anything, "k", &image).unwrap();
        check("u", &Expected::Absent, "k", &image).unwrap();
        assert!(check("t", &Expected::Absent, "k", &image).is_err());
        assert!(check("u", &present(None), "k", &image).is_err());
        assert!(check("t", &present(Some("v")), "k", &image).is_err());
    }
}
