//! What must hold after each step, by the numbers of the invariants that simulations check of whole clusters.

use std::collections::BTreeMap;

use ottla_types::BrokerId;

use crate::world::{Record, World};

/// What became true, and stays so.
#[derive(Default)]
pub(crate) struct Truth {
    /// What is committed, by offset.
    pub(crate) committed: BTreeMap<i64, Record>,
    /// What each epoch wrote at each offset.
    written: BTreeMap<(i64, i32), u64>,
    /// What each follower acknowledged in each epoch, in the last run of it in which it did.
    acknowledged: BTreeMap<(i32, i32), (i64, i64)>,
    /// The watermark of each broker, with the epoch in which it led.
    watermarks: BTreeMap<i32, (Option<i32>, i64)>,
}

pub(crate) type Check = Result<(), String>;

macro_rules! ensure {
    ($holds:expr, $($why:tt)*) => {
        if !$holds {
            return Err(format!($($why)*));
        }
    };
}
pub(crate) use ensure;

impl Truth {
    pub(crate) fn check(&mut self, world: &World, is_running: &BTreeMap<i32, bool>) -> Check {
        self.one_leader_in_an_epoch(world)?;
        self.watermarks_move_by_acknowledgements(world)?;
        self.same_offset_and_epoch_same_record(world)?;
        self.members_hold_all_that_is_committed(world, is_running)?;
        logs_agree_below_their_watermarks(world)
    }

    /// A broker starts again: it may have another watermark.
    pub(crate) fn forget(&mut self, broker: i32) {
        self.watermarks.remove(&broker);
    }

    /// A leader took a fetch: by the epoch in which it was said, and the registration of who said it.
    pub(crate) fn note_acknowledged(&mut self, epoch: i32, follower: i32, registration: i64, end: i64) {
        let told = self.acknowledged.entry((epoch, follower)).or_insert((registration, end));
        if told.0 <= registration {
            *told = (registration, if told.0 == registration { end.max(told.1) } else { end });
        }
    }

    /// 10.
    fn one_leader_in_an_epoch(&self, world: &World) -> Check {
        let mut leaders = BTreeMap::new();
        for (broker, node) in world.nodes.iter().filter(|(_, node)| node.replica.is_leader()) {
            let other = leaders.insert(node.replica.leader_epoch(), broker);
            ensure!(other.is_none(), "{broker} and {other:?} lead in one epoch");
        }
        Ok(())
    }

    /// 7, and what is committed by it.
    fn watermarks_move_by_acknowledgements(&mut self, world: &World) -> Check {
        for (broker, node) in &world.nodes {
            let replica = &node.replica;
            let epoch = replica.is_leader().then(|| replica.leader_epoch().0);
            let now = replica.high_watermark().0;
            let (before_epoch, before) = self.watermarks.insert(*broker, (epoch, now)).unwrap_or((None, now));
            ensure!(now <= node.log.end(), "{broker} has its watermark {now} beyond its log");
            let Some(epoch) = epoch.filter(|_| now > before) else { continue };
            ensure!(before_epoch.is_none() || before_epoch <= Some(epoch), "{broker} led {before_epoch:?}");
            let view = replica.current();
            ensure!(view.isr.len() >= view.min_insync, "{broker} commits {now} with {:?} in sync", view.isr);
            let in_force = world.controller.history.iter().rfind(|state| state.leader_epoch.0 == epoch);
            for member in in_force.into_iter().flat_map(|state| state.isr.iter()) {
                let has = match member {
                    BrokerId(id) if id == broker => node.log.ends().durable.0,
                    BrokerId(id) => self.acknowledged.get(&(epoch, *id)).map_or(-1, |told| told.1),
                };
                ensure!(
                    has >= now,
                    "{broker} commits {now} in epoch {epoch}, and {member} has told of {has}"
                );
            }
            for offset in node.log.start..now {
                let record = node.log.get(offset).expect("below the end");
                let known = *self.committed.entry(offset).or_insert(record);
                ensure!(
                    known == record,
                    "{broker} commits {record:?} at {offset}, where {known:?} is committed"
                );
            }
        }
        Ok(())
    }

    /// 4.
    fn same_offset_and_epoch_same_record(&mut self, world: &World) -> Check {
        for (broker, node) in &world.nodes {
            for (nth, (epoch, value)) in node.log.records.iter().enumerate() {
                let offset = node.log.start + nth as i64;
                let known = *self.written.entry((offset, *epoch)).or_insert(*value);
                ensure!(known == *value, "{broker} has another record at {offset} of epoch {epoch}");
            }
        }
        Ok(())
    }

    /// 1 and 2.
    fn members_hold_all_that_is_committed(&self, world: &World, is_running: &BTreeMap<i32, bool>) -> Check {
        for member in world.controller.isr().iter().filter(|member| is_running[*member]) {
            let log = &world.nodes[member].log;
            for (offset, record) in self.committed.range(log.start..) {
                let has = log.get(*offset);
                ensure!(
                    has == Some(*record),
                    "{member} is in sync, and has {has:?} at {offset}, not {record:?}"
                );
            }
        }
        Ok(())
    }
}

/// 3.
fn logs_agree_below_their_watermarks(world: &World) -> Check {
    let nodes: Vec<_> = world.nodes.iter().collect();
    for (nth, (one, a)) in nodes.iter().enumerate() {
        for (other, b) in &nodes[nth + 1..] {
            let end = a.replica.high_watermark().min(b.replica.high_watermark()).0;
            for offset in a.log.start.max(b.log.start)..end {
                let (left, right) = (a.log.get(offset), b.log.get(offset));
                ensure!(
                    left == right,
                    "{one} has {left:?} at {offset}, and {other} {right:?}, below both watermarks"
                );
            }
        }
    }
    Ok(())
}
