//! What is wrong with a cluster, and what is not.

use ottla_client::{Address, ClusterBroker};
use ottla_types::{ErrorCode, LeaderEpoch, LeadershipEpoch, Offset, TopicId, TopicPartition};

use super::*;

fn voter(id: i32, end: i64, heard_ms: Option<i64>, caught_up_ms: Option<i64>) -> QuorumReplica {
    QuorumReplica {
        id: BrokerId(id),
        directory: None,
        endpoints: Vec::new(),
        log_end: Some(Offset(end)),
        last_fetch_ms: heard_ms,
        last_caught_up_ms: caught_up_ms,
    }
}

fn quorum(voters: Vec<QuorumReplica>) -> Vec<Problem> {
    of_quorum(&Ok(QuorumDescription {
        leader: BrokerId(1),
        epoch: LeadershipEpoch(1),
        high_watermark: Offset(100),
        voters,
        observers: Vec::new(),
    }))
}

fn kinds(problems: &[Problem]) -> Vec<Kind> {
    problems.iter().map(|problem| problem.kind).collect()
}

#[test]
fn a_voter_is_late_after_two_seconds_and_a_busy_one_is_not() {
    let leader = || voter(1, 100, Some(50_000), Some(50_000));
    let busy = voter(2, 99, Some(49_990), Some(49_500));
    assert_eq!(quorum(vec![leader(), busy]), []);
    let silent = voter(2, 90, Some(30_000), Some(29_000));
    let behind = voter(3, 90, Some(49_990), Some(40_000));
    let unheard = voter(4, 0, None, None);
    let problems = quorum(vec![leader(), silent, behind, unheard]);
    assert_eq!(kinds(&problems), [Kind::VoterSilent, Kind::VoterBehind, Kind::VoterSilent]);
    assert_eq!(problems[0].what, "voter 2 has been silent for 20 s");
    assert_eq!(
        problems[1].what,
        "voter 3 lacks 10 records of the metadata log, and has lacked some for 10 s"
    );
}

#[test]
fn a_broker_is_fenced_or_unreachable_or_has_lost_a_directory() {
    let broker = |id, is_fenced| ClusterBroker {
        id: BrokerId(id),
        address: Address::new("localhost", 9092),
        rack: None,
        is_fenced: Some(is_fenced),
    };
    let cluster = ClusterDescription {
        id: "abc".to_owned(),
        controller: None,
        brokers: vec![broker(1, false), broker(2, true), broker(3, false)],
    };
    let dir = |path: &str, error| LogDir { path: path.to_owned(), error };
    let dirs = [
        (BrokerId(1), Ok(vec![dir("/a", None), dir("/b", Some(ErrorCode::KafkaStorageError))])),
        (BrokerId(3), Err(Error::Unreachable(Vec::new()))),
    ];
    let problems = of_brokers(&cluster, &dirs);
    assert_eq!(kinds(&problems), [Kind::BrokerFenced, Kind::DirectoryOffline, Kind::BrokerUnreachable]);
    assert_eq!(problems[1].what, "broker 1: /b is offline: KAFKA_STORAGE_ERROR");
}

#[test]
fn partitions_are_counted_by_what_is_wrong_and_some_are_named() {
    let partition = |index, leader: Option<i32>, isr: &[i32]| Partition {
        index,
        error: ErrorCode::None,
        leader: leader.map(BrokerId),
        leader_epoch: LeaderEpoch(0),
        replicas: vec![BrokerId(1), BrokerId(2)],
        isr: isr.iter().copied().map(BrokerId).collect(),
        offline: Vec::new(),
    };
    let topic = |name: &str, partitions| Topic {
        name: TopicName::new(name).unwrap(),
        id: TopicId([1; 16]),
        error: ErrorCode::None,
        is_internal: false,
        partitions,
    };
    let names = |names: &[(&str, usize)]| -> LeastInSync {
        Ok(names.iter().map(|(name, least)| (TopicName::new(name).unwrap(), *least)).collect())
    };
    let least = names(&[("a", 1), ("b", 3)]);
    let mut moving = [topic("a", vec![partition(0, Some(1), &[1])])];
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
    let comes = OngoingReassignment {
        partition: TopicPartition { topic: moving[0].name.clone(), partition: 0 },
        replicas: ids(&[1, 2]),
        adding: ids(&[2]),
        removing: Vec::new(),
    };
    leave_out_those_to_come(&mut moving, &[comes]);
    assert_eq!(of_partitions(&moving, &least), [], "who is yet to come is not missing");
    assert_eq!(of_partitions(&[topic("a", vec![partition(0, Some(1), &[1, 2])])], &least), []);
    let a = topic("a", (0..4).map(|index| partition(index, None, &[2])).collect());
    let b = topic("b", vec![partition(0, Some(1), &[1]), partition(1, Some(1), &[1, 2])]);
    let problems = of_partitions(&[a, b.clone()], &least);
    assert_eq!(
        kinds(&problems),
        [Kind::PartitionsWithoutLeader, Kind::PartitionsUnderMinIsr, Kind::PartitionsUnderReplicated]
    );
    assert_eq!(problems[0].what, "4 partitions without a leader (a-0, a-1, a-2 and 1 more)");
    assert!(problems[1].what.starts_with("1 partition with fewer") && problems[1].what.ends_with("(b-0)"));
    assert!(problems[2].what.starts_with("5 partitions with fewer"), "{}", problems[2].what);
    let at_min = of_partitions(std::slice::from_ref(&b), &names(&[("b", 1)]));
    assert_eq!(kinds(&at_min), [Kind::PartitionsAtMinIsr, Kind::PartitionsUnderReplicated]);
    // Nobody says how many must be in sync: that is not taken for one.
    for unreadable in [names(&[]), Err(Error::Unreachable(Vec::new()))] {
        let problems = of_partitions(std::slice::from_ref(&b), &unreadable);
        assert_eq!(kinds(&problems), [Kind::PartitionsUnderReplicated, Kind::MinIsrUnknown]);
        let what = &problems[1].what;
        assert!(what.starts_with("min.insync.replicas of 1 topic cannot be read (b)"), "{what}");
    }
}

#[test]
fn the_verdict_is_one_line_where_nothing_is_wrong() {
    let healthy = Health { healthy: true, problems: Vec::new() };
    assert_eq!(text(&healthy, "3 voters"), "healthy: 3 voters");
    let ill = Health { healthy: false, problems: vec![Kind::BrokerFenced.because("broker 1".to_owned())] };
    assert_eq!(text(&ill, ""), "not healthy\n  broker 1");
    let json = serde_json::to_value(&ill).unwrap();
    assert_eq!(json["problems"][0]["kind"], "broker_fenced");
}
