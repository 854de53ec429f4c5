//! Claims about the bytes of metadata records.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "common/arbitrary.rs"]
#[allow(unreachable_pub)]
mod arbitrary;

use ottla_metadata::record::{
    Assignment, BrokerChange, BrokerEpochs, BrokerFencing, ClearElr, Config, ConfigResource, DecodeError,
    LastRun, LeaderRecovery, Partition, PartitionChange, PartitionEpoch, PartitionState, Reassignment,
    Record, RegisterBroker, RemoveTopic, SupportedFeature, Topic, UnregisterBroker,
};
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, TopicId, TopicName};
use proptest::prelude::*;

/// Written down once: a log of this version must stay readable for ever.
#[test]
fn version_zero_has_these_bytes() {
    let topic = Record::Topic(Topic { name: TopicName::new("ab").unwrap(), id: TopicId([7; 16]) });
    assert_eq!(*topic.to_bytes(), [&[3, 0, 0, 2, b'a', b'b'][..], &[7; 16]].concat());
    let fencing =
        Record::BrokerFencing(BrokerFencing { id: BrokerId(1), epoch: BrokerEpoch(2), fenced: true });
    assert_eq!(*fencing.to_bytes(), [2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1]);
    let config = Record::Config(Config {
        resource: ConfigResource::Broker(BrokerId(5)),
        key: "k".into(),
        value: Some("v".into()),
    });
    assert_eq!(*config.to_bytes(), [7, 0, 4, 0, 0, 0, 5, 0, 1, b'k', 1, 0, 0, 0, 1, b'v']);
    let unset =
        Record::Config(Config { resource: ConfigResource::ClusterDefault, key: "k".into(), value: None });
    assert_eq!(*unset.to_bytes(), [7, 0, 5, 0, 1, b'k', 0]);
}

/// Record types as a log of the first version has them, with all their lists.
#[test]
fn what_the_first_version_wrote_about_brokers_and_partitions_is_read_and_written_again() {
    let registration = [
        &[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2][..],
        &[3; 16],
        &[0, 0, 0, 0, 1, 0, 1, b'r', 0, 0, 0, 1],
        &[4; 16],
    ]
    .concat();
    let register = Record::RegisterBroker(RegisterBroker {
        id: BrokerId(1),
        epoch: BrokerEpoch(2),
        incarnation: ottla_metadata::record::IncarnationId([3; 16]),
        rack: Some("r".into()),
        directories: vec![DirectoryId([4; 16])],
        ..RegisterBroker::default()
    });
    let partition_bytes = [
        &[4, 0][..],
        &[7; 16],
        &[0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1],
        &[4; 16],
        &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 9],
    ]
    .concat();
    let partition = Record::Partition(Partition { topic: TopicId([7; 16]), index: 5, state: state() });
    let change_bytes = [
        &[5, 0][..],
        &[7; 16],
        &[0, 0, 0, 5, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1],
        &[4; 16],
        &[1, 0, 0, 0, 0, 0, 1, 0],
    ]
    .concat();
    let change = Record::PartitionChange(PartitionChange {
        topic: TopicId([7; 16]),
        index: 5,
        assignment: Some(Assignment {
            replicas: [BrokerId(1)].into(),
            directories: [DirectoryId([4; 16])].into(),
        }),
        isr: Some([].into()),
        leader: Some(None),
        ..PartitionChange::default()
    });
    for (bytes, record) in [(registration, register), (partition_bytes, partition), (change_bytes, change)] {
        assert_eq!(Record::decode(&bytes), Ok(record.clone()));
        assert_eq!(*record.to_bytes(), bytes, "nothing new is in it, so nothing new is written");
    }
}

fn state() -> PartitionState {
    PartitionState {
        replicas: [BrokerId(1)].into(),
        directories: [DirectoryId([4; 16])].into(),
        isr: [BrokerId(1)].into(),
        leader: Some(BrokerId(1)),
        leader_epoch: LeaderEpoch(8),
        partition_epoch: PartitionEpoch(9),
        ..PartitionState::default()
    }
}

/// Written down once, as those of version 0.
#[test]
fn version_one_has_these_bytes() {
    let register = |last_run| {
        let features = vec![SupportedFeature { name: "f".into(), min_level: 1, max_level: 2 }];
        let bytes =
            Record::RegisterBroker(RegisterBroker { features, last_run, ..RegisterBroker::default() })
                .to_bytes();
        assert_eq!(bytes[..2], [1, 1]);
        // Up to the list of directories, which is empty, as in version 0.
        bytes[39..].to_vec()
    };
    let feature = [0, 0, 0, 1, 0, 1, b'f', 0, 1, 0, 2];
    assert_eq!(register(LastRun::Unknown), [&feature[..], &[0]].concat());
    let clean = LastRun::Clean(BrokerEpoch(6));
    assert_eq!(register(clean), [&feature[..], &[1, 0, 0, 0, 0, 0, 0, 0, 6]].concat());
    let crash = LastRun::ProcessCrash(BrokerEpoch(6));
    assert_eq!(register(crash), [&feature[..], &[2, 0, 0, 0, 0, 0, 0, 0, 6]].concat());
    assert_eq!(register(LastRun::Unclean), [&feature[..], &[3]].concat());

    let reassignment = Reassignment { adding: [BrokerId(2)].into(), removing: [].into() };
    let moved = [1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0];
    let new = PartitionState {
        last_known_leader: Some(BrokerId(3)),
        reassignment: Some(reassignment.clone()),
        recovery: LeaderRecovery::Recovering,
        ..state()
    };
    let bytes = Record::Partition(Partition { topic: TopicId([7; 16]), index: 5, state: new }).to_bytes();
    assert_eq!(bytes[..2], [4, 1]);
    assert_eq!(bytes[bytes.len() - 19..], [&[1, 0, 0, 0, 3][..], &moved, &[1]].concat());
    let change = PartitionChange {
        last_known_leader: Some(None),
        reassignment: Some(Some(reassignment)),
        recovery: Some(LeaderRecovery::Recovered),
        ..PartitionChange::default()
    };
    let bytes = Record::PartitionChange(change).to_bytes();
    assert_eq!(bytes[..2], [5, 1]);
    assert_eq!(bytes[26..], [&[1, 0, 1][..], &moved, &[1, 0]].concat());
}

#[test]
fn the_later_types_have_these_bytes() {
    let (id, epoch) = (BrokerId(1), BrokerEpoch(2));
    let head = [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2];
    let change = BrokerChange { id, epoch, in_controlled_shutdown: true, directories: None };
    assert_eq!(*Record::BrokerChange(change).to_bytes(), [&[10][..], &head, &[1, 0]].concat());
    let directories = Some(vec![DirectoryId([4; 16])]);
    let change = BrokerChange { id, epoch, in_controlled_shutdown: false, directories };
    let expected = [&[10][..], &head, &[0, 1, 0, 0, 0, 1], &[4; 16]].concat();
    assert_eq!(*Record::BrokerChange(change).to_bytes(), expected);
    let gone = Record::UnregisterBroker(UnregisterBroker { id, epoch });
    assert_eq!(*gone.to_bytes(), [&[11][..], &head].concat());
    assert_eq!(*Record::ClearElr(ClearElr { topic: None }).to_bytes(), [12, 0, 0]);
    let cleared = Record::ClearElr(ClearElr { topic: Some(TopicId([7; 16])) });
    assert_eq!(*cleared.to_bytes(), [&[12, 0, 1][..], &[7; 16]].concat());
    let epochs = Record::BrokerEpochs(BrokerEpochs { next: epoch });
    assert_eq!(*epochs.to_bytes(), [13, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
}

#[test]
fn a_reassignment_that_moves_nothing_is_no_record() {
    let change = PartitionChange { reassignment: Some(None), ..PartitionChange::default() };
    let mut bytes = Record::PartitionChange(change).to_bytes().to_vec();
    let end = bytes.len();
    bytes[end - 2] = 1;
    bytes.splice(end - 1..end - 1, [0; 8]);
    assert_eq!(
        Record::decode(&bytes),
        Err(DecodeError::Invalid { record: "PartitionChange", field: "reassignment" })
    );
}

#[test]
fn what_a_later_version_wrote_is_an_error_that_says_so() {
    let unknown_type = Record::decode(&[200, 0]).unwrap_err();
    assert_eq!(unknown_type, DecodeError::UnknownType(200));
    assert!(unknown_type.to_string().contains("later version of this program"));
    let mut bytes = Record::RemoveTopic(RemoveTopic { id: TopicId([1; 16]) }).to_bytes().to_vec();
    bytes[1] = 1;
    let unknown_version = Record::decode(&bytes).unwrap_err();
    assert_eq!(unknown_version, DecodeError::UnknownVersion { record: "RemoveTopic", version: 1, newest: 0 });
}

#[test]
fn errors_name_the_record_and_the_field() {
    assert_eq!(Record::decode(&[]), Err(DecodeError::Empty));
    assert_eq!(
        Record::decode(&[6, 0, 1]).unwrap_err().to_string(),
        "metadata record RemoveTopic ends within its field id"
    );
    assert_eq!(
        Record::decode(&[3, 0, 0, 1, b'/']).unwrap_err(),
        DecodeError::Invalid { record: "Topic", field: "name" }
    );
    assert_eq!(
        Record::decode(&[&[6, 0][..], &[1; 17]].concat()).unwrap_err(),
        DecodeError::Trailing { record: "RemoveTopic", bytes: 1 }
    );
}

#[test]
fn a_count_that_the_bytes_cannot_hold_is_refused_before_anything_is_allocated() {
    // A Partition whose list of replicas claims four billion entries.
    let bytes = [&[4, 0][..], &[1; 16], &[0, 0, 0, 1], &[0xff; 4], &[0; 8]].concat();
    assert_eq!(
        Record::decode(&bytes),
        Err(DecodeError::Truncated { record: "Partition", field: "replicas" })
    );
    // A Config whose value claims as much.
    let bytes = [&[7, 0, 5, 0, 1, b'k', 1][..], &[0xff; 4], b"v"].concat();
    assert_eq!(Record::decode(&bytes), Err(DecodeError::Truncated { record: "Config", field: "value" }));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(record in arbitrary::record()) {
        prop_assert_eq!(Record::decode(&record.to_bytes()), Ok(record));
    }

    #[test]
    fn a_record_that_lost_its_end_is_never_read(record in arbitrary::record(), cut in any::<prop::sample::Index>()) {
        let bytes = record.to_bytes();
        prop_assert!(Record::decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..15u8, version in 0..2u8) {
        let _ = Record::decode(&bytes);
        let _ = Record::decode(&[&[kind, version], &bytes[..]].concat());
    }

    #[test]
    fn no_flipped_byte_makes_the_decoder_panic(
        record in arbitrary::record(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let mut bytes = record.to_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(other) = Record::decode(&bytes) {
            let again = other.to_bytes();
            prop_assert_eq!(Record::decode(&again), Ok(other));
            // The encoding is canonical: what is read is what those bytes say, and nothing else. Only the version may
            // be a lower one, if it can hold that too.
            prop_assert!(again[1] < bytes[1] || *again == bytes[..]);
        }
    }
}
