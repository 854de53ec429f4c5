//! Which ISR a leader wants for a partition, as long as brokers do not copy records to each other.
//!
//! Nothing can be fetched, so a replica is in sync only where there is nothing to fetch: the leader's log is empty, and
//! stays so while the partition has several replicas. Whoever is registered, unfenced and not about to stop then holds all
//! that is committed, which is nothing. Where the leader's log has a record, nobody else can have it.
//!
//! A leader that was elected although it may lack records has nobody to learn from either: it says at once that it has
//! recovered (KIP-704). If its log is empty and another replica's is not, which takes such an election, that other one
//! may enter the ISR with records that this one lacks. When it leads, its log tells, and it is alone in the ISR again;
//! until it has said so, the records that the unclean election gave up can be lost once more.

use ottla_metadata::Image;
use ottla_metadata::controller::replication::alter_partition::PartitionUpdate;
use ottla_metadata::record::{LeaderRecovery, PartitionState};
use ottla_types::{BrokerEpoch, BrokerId};

use super::Key;
use crate::partition::Content;

/// What this broker wants of a partition that it leads; `None` where all is as it should be, or another one leads.
///
/// Each member is named with its registration: one that registers anew before the controller decides may have lost its
/// log (KIP-903).
pub(super) fn wanted(
    image: &Image,
    me: BrokerId,
    (topic, index): Key,
    content: Content,
) -> Option<PartitionUpdate> {
    let state = image.partition(topic, index)?;
    if state.leader != Some(me) {
        return None;
    }
    // Who is fenced or stops is on its way out of the leadership.
    can_be_in_sync(image, state, me)?;
    let candidates: Vec<BrokerId> = match content {
        Content::Empty => {
            let others = state.replicas.iter().filter(|replica| !state.isr.contains(replica));
            state.isr.iter().chain(others).copied().collect()
        }
        Content::Records => vec![me],
        Content::Unknown => state.isr.to_vec(),
    };
    let member = |broker: BrokerId| Some((broker, Some(can_be_in_sync(image, state, broker)?)));
    let isr: Vec<_> = candidates.into_iter().filter_map(member).collect();
    let is_so = isr.len() == state.isr.len() && isr.iter().all(|(broker, _)| state.isr.contains(broker));
    if is_so && state.recovery == LeaderRecovery::Recovered {
        return None;
    }
    Some(PartitionUpdate {
        topic,
        index,
        leader_epoch: state.leader_epoch,
        partition_epoch: state.partition_epoch,
        isr,
        recovery: LeaderRecovery::Recovered,
    })
}

/// The registration by which a replica may be in sync; `None` if it may not: what the controller would refuse.
fn can_be_in_sync(image: &Image, state: &PartitionState, broker: BrokerId) -> Option<BrokerEpoch> {
    let known = image.broker(broker).filter(|broker| broker.is_active())?;
    let has_log = state.directory(broker).is_some_and(|directory| known.has_online(directory));
    has_log.then_some(known.registration.epoch)
}

#[cfg(test)]
mod tests {
    use ottla_metadata::record::{
        BrokerFencing, LOST_DIRECTORY, Partition, PartitionEpoch, Record, RegisterBroker, Topic,
        UNASSIGNED_DIRECTORY,
    };
    use ottla_types::{DirectoryId, LeaderEpoch, TopicId, TopicName};

    use super::*;

    const TOPIC: TopicId = TopicId([7; 16]);
    const ME: BrokerId = BrokerId(1);

    /// Brokers 1 to 3, unfenced but for `fenced`, with a partition that 1 leads.
    fn image(fenced: &[i32], isr: &[i32], change: impl FnOnce(&mut PartitionState)) -> Image {
        let mut image = Image::default();
        let mut records = Vec::new();
        for id in 1..=3 {
            let (id, epoch) = (BrokerId(id), BrokerEpoch(10 + i64::from(id)));
            let directories = vec![DirectoryId([id.0 as u8 + 100; 16])];
            records.push(Record::RegisterBroker(RegisterBroker {
                id,
                epoch,
                directories,
                ..Default::default()
            }));
            if !fenced.contains(&id.0) {
                records.push(Record::BrokerFencing(BrokerFencing { id, epoch, fenced: false }));
            }
        }
        records.push(Record::Topic(Topic { id: TOPIC, name: TopicName::new("t").unwrap() }));
        let mut state = PartitionState {
            replicas: [1, 2, 3].map(BrokerId).into(),
            directories: [UNASSIGNED_DIRECTORY; 3].into(),
            isr: isr.iter().map(|id| BrokerId(*id)).collect(),
            leader: Some(ME),
            leader_epoch: LeaderEpoch(4),
            partition_epoch: PartitionEpoch(6),
            ..PartitionState::default()
        };
        change(&mut state);
        records.push(Record::Partition(Partition { topic: TOPIC, index: 0, state }));
        for record in &records {
            image.apply(record).unwrap();
        }
        image
    }

    /// The ISR that is wanted, with the registrations.
    fn isr_of(image: &Image, content: Content) -> Option<Vec<(i32, i64)>> {
        let update = wanted(image, ME, (TOPIC, 0), content)?;
        assert_eq!((update.leader_epoch, update.partition_epoch), (LeaderEpoch(4), PartitionEpoch(6)));
        assert_eq!(update.recovery, LeaderRecovery::Recovered);
        Some(update.isr.iter().map(|(broker, epoch)| (broker.0, epoch.unwrap().0)).collect())
    }

    #[test]
    fn all_who_live_are_in_sync_with_an_empty_log_each_by_its_registration() {
        assert_eq!(isr_of(&image(&[], &[1], |_| ()), Content::Empty), Some(vec![(1, 11), (2, 12), (3, 13)]));
        assert_eq!(isr_of(&image(&[3], &[1], |_| ()), Content::Empty), Some(vec![(1, 11), (2, 12)]));
        assert_eq!(isr_of(&image(&[3], &[2, 1], |_| ()), Content::Empty), None);
        assert_eq!(isr_of(&image(&[], &[3, 1, 2], |_| ()), Content::Empty), None);
    }

    #[test]
    fn nobody_is_in_sync_with_records_that_nobody_copied() {
        assert_eq!(isr_of(&image(&[], &[1], |_| ()), Content::Records), None);
        assert_eq!(isr_of(&image(&[], &[2, 1], |_| ()), Content::Records), Some(vec![(1, 11)]));
    }

    #[test]
    fn where_it_is_not_known_whether_there_are_records_nothing_changes() {
        assert_eq!(isr_of(&image(&[], &[1], |_| ()), Content::Unknown), None);
        assert_eq!(isr_of(&image(&[], &[1, 2], |_| ()), Content::Unknown), None);
    }

    #[test]
    fn a_replica_whose_directory_failed_is_not_in_sync() {
        let lost = |state: &mut PartitionState| {
            state.directories = [UNASSIGNED_DIRECTORY, LOST_DIRECTORY, DirectoryId([103; 16])].into();
        };
        assert_eq!(isr_of(&image(&[], &[1], lost), Content::Empty), Some(vec![(1, 11), (3, 13)]));
    }

    #[test]
    fn a_leader_that_may_lack_records_says_that_it_has_recovered_whatever_is_in_its_log() {
        let recovering = |state: &mut PartitionState| state.recovery = LeaderRecovery::Recovering;
        assert_eq!(isr_of(&image(&[], &[1], recovering), Content::Records), Some(vec![(1, 11)]));
        assert_eq!(isr_of(&image(&[], &[1], recovering), Content::Unknown), Some(vec![(1, 11)]));
        assert_eq!(isr_of(&image(&[], &[1], recovering), Content::Empty).unwrap().len(), 3);
    }

    #[test]
    fn who_does_not_lead_or_may_not_wants_nothing() {
        let led_by = |leader| move |state: &mut PartitionState| state.leader = leader;
        assert_eq!(isr_of(&image(&[], &[2], led_by(Some(BrokerId(2)))), Content::Empty), None);
        assert_eq!(isr_of(&image(&[], &[], led_by(None)), Content::Empty), None);
        assert_eq!(isr_of(&image(&[1], &[1], |_| ()), Content::Empty), None);
        assert_eq!(wanted(&Image::default(), ME, (TOPIC, 0), Content::Empty), None);
    }
}
