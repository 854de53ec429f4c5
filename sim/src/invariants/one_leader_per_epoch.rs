//! Invariant 10, in part: a partition has one leader at most in each leader epoch, ever.

use std::collections::BTreeMap;

use ottla_metadata::Image;
use ottla_types::{BrokerId, LeaderEpoch, TopicId};

use super::Violation;

const NAME: &str = "one_leader_per_epoch";

/// Who led which partition in which epoch; `None` is nobody.
#[derive(Debug, Clone, Default)]
pub struct Leaders(BTreeMap<(TopicId, i32, LeaderEpoch), Option<BrokerId>>);

impl Leaders {
    /// Checks the metadata after a record, and remembers who leads.
    ///
    /// # Errors
    /// The violation.
    pub fn check(&mut self, offset: i64, image: &Image) -> Result<(), Violation> {
        for topic in image.topics() {
            for (index, state) in topic.partitions() {
                let epoch = state.leader_epoch;
                let known = *self.0.entry((topic.id, index, epoch)).or_insert(state.leader);
                if known != state.leader {
                    let (name, now) = (&topic.name, state.leader);
                    let what = format!(
                        "after offset {offset} {name}-{index} is led by {now:?} in epoch {epoch}, and was by {known:?}"
                    );
                    return Err(Violation::new(NAME, what));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::image;

    #[test]
    fn two_leaders_of_one_epoch_are_found() {
        let mut leaders = Leaders::default();
        leaders.check(1, &image(&[1, 2], Some(1))).unwrap();
        leaders.check(2, &image(&[1, 2], Some(1))).unwrap();
        assert!(leaders.check(3, &image(&[1, 2], Some(2))).is_err());
    }
}
