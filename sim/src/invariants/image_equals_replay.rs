//! Metadata: what a node has of them at an offset is what replaying the committed log up to there leads to, whether it came
//! there record by record or by a snapshot.

use ottla_metadata::Image;

use super::Violation;
use crate::engine::NodeId;

const NAME: &str = "image_equals_replay";

/// Checks the image of a node; `reference` is the one at its offset, `None` if nobody was handed that.
///
/// # Errors
/// The violation.
pub fn check(node: NodeId, image: &Image, reference: Option<&Image>) -> Result<(), Violation> {
    let at = image.offset();
    match reference {
        Some(reference) if reference == image => Ok(()),
        Some(reference) => Err(Violation::new(
            NAME,
            format!("{node} at offset {at:?} has another image: {}", difference(reference, image)),
        )),
        None => Err(Violation::new(NAME, format!("{node} is at offset {at:?}, which nobody was handed"))),
    }
}

/// What differs, in words: what the log says and the node does not, and the other way round.
fn difference(expected: &Image, found: &Image) -> String {
    let (expected, found) = (expected.to_records(), found.to_records());
    let missing = expected.iter().filter(|record| !found.contains(record));
    let added = found.iter().filter(|record| !expected.contains(record));
    let (missing, added): (Vec<_>, Vec<_>) = (missing.take(3).collect(), added.take(3).collect());
    format!("it lacks {missing:?}, and has {added:?} instead")
}

/// The violation: a record cannot be replayed.
#[must_use]
pub fn unreadable(offset: i64, error: &dyn std::fmt::Display) -> Violation {
    Violation::new(NAME, format!("the record at offset {offset} cannot be replayed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_metadata::Record;
    use ottla_metadata::record::{Config, ConfigResource};
    use ottla_types::Offset;

    #[test]
    fn an_image_that_lacks_something_is_found_and_named() {
        let resource = ConfigResource::ClusterDefault;
        let record = Record::Config(Config { resource, key: "k".into(), value: Some("v".into()) });
        let mut whole = Image::default();
        whole.replay(Offset(0), &record).unwrap();
        let mut lacking = Image::default();
        lacking
            .replay(
                Offset(0),
                &Record::Config(Config {
                    resource: ConfigResource::ClusterDefault,
                    key: "other".into(),
                    value: None,
                }),
            )
            .unwrap();
        check(NodeId(1), &whole, Some(&whole)).unwrap();
        assert!(check(NodeId(1), &whole, None).is_err());
        let found = check(NodeId(1), &lacking, Some(&whole)).unwrap_err();
        assert!(found.what.contains("\"v\""), "{}", found.what);
    }
}
