//! Which ISR a leader asks for, as its partition's machine says it: here is who may be in sync at all, which the metadata say.

use std::time::Duration;

use ottla_metadata::Image;
use ottla_metadata::controller::replication::alter_partition::PartitionUpdate;
use ottla_metadata::record::{LeaderRecovery, PartitionState};
use ottla_replica::{Change, Replica, WantedIsr};
use ottla_types::{BrokerEpoch, BrokerId};

use super::Key;
use crate::partition::Partition;

/// What this broker asks for, of a partition that it leads; `None` where all is as it should be, or another one leads. From
/// here on the partition's high watermark counts whom it names (KIP-497).
///
/// Each member is named with its registration: one that registers anew before the controller decides may have lost its
/// log (KIP-903).
pub(super) fn ask_for(image: &Image, key: Key, partition: &Partition) -> Option<PartitionUpdate> {
    partition.drive(|replica, _, now| (Change::default(), ask_by(image, key, replica, now)))
}

fn ask_by(
    image: &Image,
    (topic, index): Key,
    replica: &mut Replica,
    now: Duration,
) -> Option<PartitionUpdate> {
    let state = image.partition(topic, index)?;
    let known = replica.current();
    // What is published and what the machine was told differ for a moment: then it is looked at again.
    if (known.leader_epoch, known.partition_epoch) != (state.leader_epoch, state.partition_epoch) {
        return None;
    }
    let wanted = replica.ask_isr(|broker| can_be_in_sync(image, state, broker), now)?;
    let WantedIsr { leader_epoch, partition_epoch, members } = wanted;
    let isr = members.into_iter().map(|(broker, epoch)| (broker, Some(epoch))).collect();
    // Whoever leads uncleanly has nobody to learn from: by what it asks for it says that it came to terms (KIP-704).
    let recovery = LeaderRecovery::Recovered;
    Some(PartitionUpdate { topic, index, leader_epoch, partition_epoch, isr, recovery })
}

/// The registration by which a replica may be in sync; `None` if it may not: what the controller would refuse.
fn can_be_in_sync(image: &Image, state: &PartitionState, broker: BrokerId) -> Option<BrokerEpoch> {
    let known = image.broker(broker).filter(|broker| broker.is_active())?;
    let has_log = state.directory(broker).is_some_and(|directory| known.has_online(directory));
    has_log.then_some(known.registration.epoch)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ottla_metadata::record::{
        BrokerFencing, LOST_DIRECTORY, Partition, PartitionEpoch, Record, RegisterBroker, Topic,
        UNASSIGNED_DIRECTORY,
    };
    use ottla_replica::{Ends, FollowerFetch, LagDetector, LagSettings, View};
    use ottla_types::{DirectoryId, LeaderEpoch, Offset, TopicId, TopicName};

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

    /// The leader as its partition's machine has it, with an empty log from which `fetching` have fetched.
    fn leader(state: &PartitionState, fetching: &[i32]) -> Replica {
        let time_max = Duration::from_secs(30);
        let ends = Ends::new(Offset(0), Offset(0));
        let settings = LagSettings { time_max, detector: LagDetector::Time };
        let mut replica = Replica::new(ME, ends, Offset(0), settings);
        let view = View {
            leader: state.leader,
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            replicas: Arc::clone(&state.replicas),
            isr: Arc::clone(&state.isr),
            min_insync: 1,
            recovering: state.recovery == LeaderRecovery::Recovering,
        };
        let _ = replica.view(view, ends, Duration::ZERO);
        for id in fetching {
            let fetch = FollowerFetch {
                follower: BrokerId(*id),
                broker_epoch: Some(BrokerEpoch(10 + i64::from(*id))),
                leader_epoch: state.leader_epoch,
                offset: Offset(0),
                last_fetched_epoch: None,
                log_start: Offset(0),
            };
            let _ = replica.fetched(&fetch, ends, |_| None, Duration::ZERO).unwrap();
        }
        replica
    }

    /// The ISR that is asked for, with the registrations.
    fn isr_of(image: &Image, fetching: &[i32]) -> Option<Vec<(i32, i64)>> {
        let mut replica = leader(image.partition(TOPIC, 0).unwrap(), fetching);
        let update = ask_by(image, (TOPIC, 0), &mut replica, Duration::ZERO)?;
        assert_eq!((update.leader_epoch, update.partition_epoch), (LeaderEpoch(4), PartitionEpoch(6)));
        assert_eq!(update.recovery, LeaderRecovery::Recovered);
        Some(update.isr.iter().map(|(broker, epoch)| (broker.0, epoch.unwrap().0)).collect())
    }

    #[test]
    fn who_has_caught_up_and_lives_is_in_sync_by_its_registration() {
        assert_eq!(isr_of(&image(&[], &[1], |_| ()), &[]), None, "nobody has said what it has");
        assert_eq!(isr_of(&image(&[], &[1], |_| ()), &[2, 3]), Some(vec![(1, 11), (2, 12), (3, 13)]));
        assert_eq!(isr_of(&image(&[3], &[1], |_| ()), &[2, 3]), Some(vec![(1, 11), (2, 12)]));
        assert_eq!(isr_of(&image(&[3], &[2, 1], |_| ()), &[2, 3]), None);
        assert_eq!(isr_of(&image(&[], &[3, 1, 2], |_| ()), &[2, 3]), None);
    }

    #[test]
    fn a_replica_whose_directory_failed_is_not_in_sync() {
        let lost = |state: &mut PartitionState| {
            state.directories = [UNASSIGNED_DIRECTORY, LOST_DIRECTORY, DirectoryId([103; 16])].into();
        };
        assert_eq!(isr_of(&image(&[], &[1], lost), &[2, 3]), Some(vec![(1, 11), (3, 13)]));
    }

    #[test]
    fn a_leader_that_may_lack_records_says_that_it_has_recovered() {
        let recovering = |state: &mut PartitionState| state.recovery = LeaderRecovery::Recovering;
        assert_eq!(isr_of(&image(&[], &[1], recovering), &[]), Some(vec![(1, 11)]));
    }

    #[test]
    fn who_does_not_lead_or_may_not_wants_nothing() {
        let led_by_2 = |state: &mut PartitionState| state.leader = Some(BrokerId(2));
        assert_eq!(isr_of(&image(&[], &[2], led_by_2), &[]), None);
        assert_eq!(isr_of(&image(&[], &[], |state| state.leader = None), &[]), None);
        assert_eq!(isr_of(&image(&[1], &[1], |_| ()), &[2]), None);
        let mut replica = leader(image(&[], &[1], |_| ()).partition(TOPIC, 0).unwrap(), &[2]);
        assert_eq!(ask_by(&Image::default(), (TOPIC, 0), &mut replica, Duration::ZERO), None);
    }

    #[test]
    fn what_the_machine_knows_of_another_state_is_not_asked() {
        let mut replica = leader(image(&[], &[1], |_| ()).partition(TOPIC, 0).unwrap(), &[2]);
        let later = image(&[], &[1], |state| state.partition_epoch = PartitionEpoch(7));
        assert_eq!(ask_by(&later, (TOPIC, 0), &mut replica, Duration::ZERO), None);
    }
}
