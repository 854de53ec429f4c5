//! Invariant 21, in part: once everything is repaired, every ISR is whole again, and every replica has what its leader has.

use ottla_metadata::Image;

use crate::engine::NodeId;
use crate::replication::Replicas;
use crate::world::World;

/// What is not so yet; `None` if all is well.
#[must_use]
pub fn lacking(world: &World, replicas: &Replicas, image: &Image) -> Option<String> {
    for (key, committed) in &replicas.partitions {
        // Topics that were deleted have no replicas to drain.
        let Some(state) = image.partition(key.0, key.1) else { continue };
        let name = &committed.name;
        let is_whole = state.replicas.iter().all(|replica| state.isr.contains(replica));
        if !is_whole || state.reassignment.is_some() {
            return Some(format!("the ISR of {name} is whole: it is {state:?}"));
        }
        let Some(leader) = state.leader else { return Some(format!("{name} has a leader")) };
        let log_of = |broker: ottla_types::BrokerId| replicas.log(NodeId(broker.0 as u32), *key);
        let theirs = log_of(leader);
        for replica in state.replicas.iter().filter(|replica| **replica != leader) {
            let log = log_of(*replica);
            if log.batches != theirs.batches {
                let (end, all) = (log.end(), theirs.end());
                let at = world.timeline().now_us();
                return Some(format!(
                    "broker {replica} has all of {name}: its log ends at offset {end} and parts from the leader's, which ends at \
                     {all}, at {}; at {at} us",
                    log.parts_from(&theirs)
                ));
            }
        }
    }
    None
}
