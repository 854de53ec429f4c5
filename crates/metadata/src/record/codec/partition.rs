//! The bytes of records about partitions.

use ottla_types::{LeaderEpoch, TopicId};

use super::fields::{Reader, Writer};
use super::{DecodeError, PARTITION, PARTITION_CHANGE};
use crate::record::{
    Assignment, LeaderRecovery, Partition, PartitionChange, PartitionEpoch, PartitionState, Reassignment,
};

/// v0: topic id, index i32, replicas list<i32>, directories list<id>, isr list<i32>, elr list<i32>,
/// leader option<i32>, leader_epoch i32, partition_epoch i32
///
/// v1: v0, last known leader option<i32>, reassignment option<adding list<i32>, removing list<i32>>, recovery u8
/// (0 recovered, 1 recovering)
pub(super) fn encode_partition(r: &Partition, w: &mut Writer<'_>) {
    let state = &r.state;
    let is_plain = state.last_known_leader.is_none()
        && state.reassignment.is_none()
        && state.recovery == LeaderRecovery::Recovered;
    w.head(PARTITION, u8::from(!is_plain));
    w.id(&r.topic.0);
    w.i32(r.index);
    w.brokers(&r.state.replicas);
    w.directories(&r.state.directories);
    w.brokers(&r.state.isr);
    w.brokers(&r.state.elr);
    w.option(r.state.leader, |w, leader| w.i32(leader.0));
    w.i32(r.state.leader_epoch.0);
    w.i32(r.state.partition_epoch.0);
    if is_plain {
        return;
    }
    w.option(state.last_known_leader, |w, leader| w.i32(leader.0));
    w.option(state.reassignment.as_ref(), encode_reassignment);
    w.u8(state.recovery as u8);
}

pub(super) fn decode_partition(r: &mut Reader<'_>) -> Result<Partition, DecodeError> {
    let (topic, index) = (TopicId(r.id("topic")?), r.index("index")?);
    let replicas = r.brokers("replicas")?;
    let directories = r.directories("directories")?;
    if directories.len() != replicas.len() {
        return Err(r.invalid("directories"));
    }
    let isr = r.brokers("isr")?;
    let mut state = PartitionState {
        isr: if isr == replicas { replicas.clone() } else { isr },
        replicas,
        directories: directories.into(),
        elr: r.brokers("elr")?,
        leader: r.option("leader", |r| r.broker("leader"))?,
        leader_epoch: LeaderEpoch(r.i32("leader_epoch")?),
        partition_epoch: PartitionEpoch(r.i32("partition_epoch")?),
        ..PartitionState::default()
    };
    if r.version >= 1 {
        state.last_known_leader = r.option("last_known_leader", |r| r.broker("last_known_leader"))?;
        state.reassignment = r.option("reassignment", decode_reassignment)?;
        state.recovery = decode_recovery(r)?;
    }
    Ok(Partition { topic, index, state })
}

/// v0: topic id, index i32, assignment option<replicas list<i32>, directories list<id>>, isr option<list<i32>>,
/// elr option<list<i32>>, leader option<option<i32>>
///
/// v1: v0, last known leader option<option<i32>>, reassignment option<option<adding list<i32>, removing list<i32>>>,
/// recovery option<u8>
pub(super) fn encode_partition_change(r: &PartitionChange, w: &mut Writer<'_>) {
    let is_plain = r.last_known_leader.is_none() && r.reassignment.is_none() && r.recovery.is_none();
    w.head(PARTITION_CHANGE, u8::from(!is_plain));
    w.id(&r.topic.0);
    w.i32(r.index);
    w.option(r.assignment.as_ref(), |w, assignment| {
        w.brokers(&assignment.replicas);
        w.directories(&assignment.directories);
    });
    w.option(r.isr.as_deref(), Writer::brokers);
    w.option(r.elr.as_deref(), Writer::brokers);
    w.option(r.leader, |w, leader| w.option(leader, |w, leader| w.i32(leader.0)));
    if is_plain {
        return;
    }
    w.option(r.last_known_leader, |w, leader| w.option(leader, |w, leader| w.i32(leader.0)));
    w.option(r.reassignment.as_ref(), |w, moved| w.option(moved.as_ref(), encode_reassignment));
    w.option(r.recovery, |w, recovery| w.u8(recovery as u8));
}

pub(super) fn decode_partition_change(r: &mut Reader<'_>) -> Result<PartitionChange, DecodeError> {
    let mut change = PartitionChange {
        topic: TopicId(r.id("topic")?),
        index: r.index("index")?,
        assignment: r.option("replicas", |r| {
            let replicas = r.brokers("replicas")?;
            let directories = r.directories("directories")?;
            if directories.len() != replicas.len() {
                return Err(r.invalid("directories"));
            }
            Ok(Assignment { replicas, directories: directories.into() })
        })?,
        isr: r.option("isr", |r| r.brokers("isr"))?,
        elr: r.option("elr", |r| r.brokers("elr"))?,
        leader: r.option("leader", |r| r.option("leader", |r| r.broker("leader")))?,
        ..PartitionChange::default()
    };
    if r.version >= 1 {
        change.last_known_leader = r.option("last_known_leader", |r| {
            r.option("last_known_leader", |r| r.broker("last_known_leader"))
        })?;
        change.reassignment = r.option("reassignment", |r| r.option("reassignment", decode_reassignment))?;
        change.recovery = r.option("recovery", decode_recovery)?;
    }
    Ok(change)
}

fn encode_reassignment(w: &mut Writer<'_>, reassignment: &Reassignment) {
    w.brokers(&reassignment.adding);
    w.brokers(&reassignment.removing);
}

fn decode_reassignment(r: &mut Reader<'_>) -> Result<Reassignment, DecodeError> {
    let reassignment = Reassignment {
        adding: r.brokers("reassignment.adding")?,
        removing: r.brokers("reassignment.removing")?,
    };
    if reassignment.adding.is_empty() && reassignment.removing.is_empty() {
        return Err(r.invalid("reassignment"));
    }
    Ok(reassignment)
}

fn decode_recovery(r: &mut Reader<'_>) -> Result<LeaderRecovery, DecodeError> {
    match r.u8("recovery")? {
        0 => Ok(LeaderRecovery::Recovered),
        1 => Ok(LeaderRecovery::Recovering),
        _ => Err(r.invalid("recovery")),
    }
}
