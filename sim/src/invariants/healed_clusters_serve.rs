//! Invariant 21, in part: once everything is repaired, every broker that runs is unfenced, and every partition with a
//! replica on one of them has a leader.

use ottla_metadata::Image;
use ottla_types::BrokerId;

/// What is not so yet; `None` if all is well. `live` are the brokers that run.
#[must_use]
pub fn lacking(image: &Image, live: &[BrokerId]) -> Option<String> {
    for id in live {
        match image.broker(*id) {
            None => return Some(format!("broker {id} is registered")),
            Some(broker) if !broker.is_active() => return Some(format!("broker {id} is unfenced")),
            Some(_) => {}
        }
    }
    for topic in image.topics() {
        for (index, state) in topic.partitions() {
            if state.leader.is_none() && state.replicas.iter().any(|replica| live.contains(replica)) {
                return Some(format!("{}-{index} has a leader: it is {state:?}", topic.name));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::testing::{image, registered};

    #[test]
    fn a_fenced_broker_and_a_partition_without_a_leader_are_named() {
        let all = [BrokerId(1), BrokerId(2)];
        let mut image_of = image(&[1, 2], Some(1));
        assert_eq!(lacking(&image_of, &all), None);
        image_of.apply(&registered(2, 9)).unwrap();
        assert_eq!(lacking(&image_of, &all).unwrap(), "broker 2 is unfenced");
        assert_eq!(lacking(&image_of, &all[..1]), None);
        assert!(lacking(&image(&[1, 2], None), &all).unwrap().starts_with("t-0 has a leader"));
    }
}
