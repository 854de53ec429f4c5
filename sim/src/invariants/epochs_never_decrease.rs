//! Invariant 4, as far as metadata are concerned: with each record of the metadata log the epochs of a partition rise or
//! stay, its partition epoch rises with any change of it, its leader epoch with its leader, and broker epochs rise.

use ottla_metadata::Image;

use super::Violation;

const NAME: &str = "epochs_never_decrease";

/// Checks a step of the metadata.
///
/// # Errors
/// The violation.
pub fn check(offset: i64, before: &Image, after: &Image) -> Result<(), Violation> {
    let violation = |what: String| Err(Violation::new(NAME, format!("at offset {offset}: {what}")));
    if after.next_broker_epoch() < before.next_broker_epoch() {
        return violation("the next broker epoch falls".to_owned());
    }
    for topic in after.topics() {
        for (index, now) in topic.partitions() {
            let Some(then) = before.partition(topic.id, index) else { continue };
            let is_changed = then != now;
            let is_led_by_another = then.leader != now.leader;
            let rises = now.partition_epoch > then.partition_epoch || !is_changed;
            let leader_rises = now.leader_epoch > then.leader_epoch
                || now.leader_epoch == then.leader_epoch && !is_led_by_another;
            if !rises || !leader_rises {
                return violation(format!("{}-{index} goes from {then:?} to {now:?}", topic.name));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{change_leader, image};

    #[test]
    fn a_change_without_a_new_epoch_is_found() {
        let before = image(&[1, 2], Some(1));
        check(1, &before, &before).unwrap();
        let mut after = before.clone();
        after.apply(&change_leader(2)).unwrap();
        check(2, &before, &after).unwrap();
        assert!(check(2, &after, &before).is_err(), "backwards");
        assert!(check(2, &before, &image(&[1, 2], Some(2))).is_err(), "another leader in the same epoch");
    }
}
