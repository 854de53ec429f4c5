//! Any record, for property tests.

use std::sync::Arc;

use ottla_metadata::Record;
use ottla_metadata::record::{
    Assignment, BrokerChange, BrokerEpochs, BrokerFencing, ClearElr, Config, ConfigResource, Endpoint,
    FeatureLevel, IncarnationId, LastRun, LeaderRecovery, Partition, PartitionChange, PartitionEpoch,
    PartitionState, ProducerIdsBlock, Reassignment, RegisterBroker, RemoveTopic, SecurityProtocol,
    SupportedFeature, Topic, UnregisterBroker,
};
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, LeaderEpoch, ProducerId, TopicId, TopicName};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![".{0,12}", "[a-z.]{1,30}"].prop_map(Arc::from)
}

fn broker() -> impl Strategy<Value = BrokerId> {
    any::<i32>().prop_map(BrokerId)
}

fn brokers() -> impl Strategy<Value = Arc<[BrokerId]>> {
    vec(broker(), 0..5).prop_map(Arc::from)
}

fn topic_id() -> impl Strategy<Value = TopicId> {
    any::<[u8; 16]>().prop_map(TopicId)
}

fn name() -> impl Strategy<Value = TopicName> {
    "[a-zA-Z0-9._-]{1,20}".prop_filter_map("`.` and `..` are no names", |name| TopicName::new(&name).ok())
}

fn assignment() -> impl Strategy<Value = Assignment> {
    vec((broker(), any::<[u8; 16]>().prop_map(DirectoryId)), 0..5).prop_map(|pairs| {
        let (replicas, directories): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        Assignment { replicas: replicas.into(), directories: directories.into() }
    })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let protocol = prop_oneof![
        Just(SecurityProtocol::Plaintext),
        Just(SecurityProtocol::Ssl),
        Just(SecurityProtocol::SaslPlaintext),
        Just(SecurityProtocol::SaslSsl),
    ];
    (text(), text(), any::<u16>(), protocol).prop_map(|(listener, host, port, security_protocol)| Endpoint {
        listener,
        host,
        port,
        security_protocol,
    })
}

fn register_broker() -> impl Strategy<Value = Record> {
    let directories = vec(any::<[u8; 16]>().prop_map(DirectoryId), 0..3);
    let incarnation = any::<[u8; 16]>().prop_map(IncarnationId);
    let feature = (text(), any::<i16>(), any::<i16>())
        .prop_map(|(name, min_level, max_level)| SupportedFeature { name, min_level, max_level });
    let last_run = prop_oneof![
        Just(LastRun::Unknown),
        any::<i64>().prop_map(|epoch| LastRun::Clean(BrokerEpoch(epoch))),
        any::<i64>().prop_map(|epoch| LastRun::ProcessCrash(BrokerEpoch(epoch))),
        Just(LastRun::Unclean),
    ];
    let identity = (broker(), any::<i64>(), incarnation);
    (identity, vec(endpoint(), 0..3), option::of(text()), directories, vec(feature, 0..2), last_run).prop_map(
        |((id, epoch, incarnation), endpoints, rack, directories, features, last_run)| {
            let epoch = BrokerEpoch(epoch);
            Record::RegisterBroker(RegisterBroker {
                id,
                epoch,
                incarnation,
                endpoints,
                rack,
                directories,
                features,
                last_run,
            })
        },
    )
}

fn broker_change() -> impl Strategy<Value = Record> {
    let directories = option::of(vec(any::<[u8; 16]>().prop_map(DirectoryId), 0..3));
    (broker(), any::<i64>(), any::<bool>(), directories).prop_map(
        |(id, epoch, in_controlled_shutdown, directories)| {
            let epoch = BrokerEpoch(epoch);
            Record::BrokerChange(BrokerChange { id, epoch, in_controlled_shutdown, directories })
        },
    )
}

fn reassignment() -> impl Strategy<Value = Option<Reassignment>> {
    (brokers(), brokers()).prop_map(|(adding, removing)| {
        let moves = !adding.is_empty() || !removing.is_empty();
        moves.then_some(Reassignment { adding, removing })
    })
}

fn recovery() -> impl Strategy<Value = LeaderRecovery> {
    prop_oneof![3 => Just(LeaderRecovery::Recovered), 1 => Just(LeaderRecovery::Recovering)]
}

fn partition() -> impl Strategy<Value = Record> {
    let epochs = (any::<i32>(), any::<i32>());
    let leader = (option::of(broker()), option::weighted(0.2, broker()), recovery());
    let lists = (assignment(), brokers(), brokers(), reassignment());
    (topic_id(), 0..=i32::MAX, lists, leader, epochs).prop_map(
        |(topic, index, lists, (leader, last_known_leader, recovery), (epoch, change))| {
            let (Assignment { replicas, directories }, isr, elr, reassignment) = lists;
            let state = PartitionState {
                replicas,
                directories,
                isr,
                elr,
                last_known_leader,
                reassignment,
                recovery,
                leader,
                leader_epoch: LeaderEpoch(epoch),
                partition_epoch: PartitionEpoch(change),
            };
            Record::Partition(Partition { topic, index, state })
        },
    )
}

fn partition_change() -> impl Strategy<Value = Record> {
    let leader = option::of(option::of(broker()));
    let lists = (option::of(assignment()), option::of(brokers()), option::of(brokers()));
    let last_known = option::weighted(0.2, option::of(broker()));
    let rest = (last_known, option::weighted(0.2, reassignment()), option::weighted(0.2, recovery()));
    (topic_id(), 0..=i32::MAX, lists, leader, rest).prop_map(
        |(topic, index, (assignment, isr, elr), leader, (last_known_leader, reassignment, recovery))| {
            Record::PartitionChange(PartitionChange {
                topic,
                index,
                assignment,
                isr,
                elr,
                leader,
                last_known_leader,
                reassignment,
                recovery,
            })
        },
    )
}

fn config() -> impl Strategy<Value = Record> {
    let resource = prop_oneof![
        name().prop_map(ConfigResource::Topic),
        broker().prop_map(ConfigResource::Broker),
        Just(ConfigResource::ClusterDefault),
    ];
    (resource, text(), option::of(text()))
        .prop_map(|(resource, key, value)| Record::Config(Config { resource, key, value }))
}

/// Any record.
pub fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        register_broker(),
        (broker(), any::<i64>(), any::<bool>()).prop_map(|(id, epoch, fenced)| {
            Record::BrokerFencing(BrokerFencing { id, epoch: BrokerEpoch(epoch), fenced })
        }),
        (name(), topic_id()).prop_map(|(name, id)| Record::Topic(Topic { name, id })),
        partition(),
        partition_change(),
        topic_id().prop_map(|id| Record::RemoveTopic(RemoveTopic { id })),
        config(),
        (broker(), any::<i64>(), any::<i64>()).prop_map(|(broker, epoch, next)| {
            let (epoch, next) = (BrokerEpoch(epoch), ProducerId(next));
            Record::ProducerIdsBlock(ProducerIdsBlock { broker, epoch, next })
        }),
        (text(), any::<i16>()).prop_map(|(name, level)| Record::FeatureLevel(FeatureLevel { name, level })),
        broker_change(),
        (broker(), any::<i64>()).prop_map(|(id, epoch)| {
            Record::UnregisterBroker(UnregisterBroker { id, epoch: BrokerEpoch(epoch) })
        }),
        option::of(topic_id()).prop_map(|topic| Record::ClearElr(ClearElr { topic })),
        any::<i64>().prop_map(|next| Record::BrokerEpochs(BrokerEpochs { next: BrokerEpoch(next) })),
    ]
}
