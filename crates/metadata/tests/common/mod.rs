//! What the tests of the controller share: a cluster of one controller whose log never fails unless told to.

#![allow(dead_code, unreachable_pub, reason = "shared: each test file uses a part")]

use std::sync::Arc;

use ottla_metadata::controller::Refused;
use ottla_metadata::controller::brokers::Registration;
use ottla_metadata::controller::brokers::heartbeat::{Heartbeat, HeartbeatAnswer};
use ottla_metadata::controller::configs::{Changes, ConfigOp};
use ottla_metadata::controller::create_topics::{CreateTopics, CreatedTopic, NewTopic};
use ottla_metadata::controller::replication::alter_partition::{AlterPartition, PartitionUpdate};
use ottla_metadata::record::{
    ConfigResource, Endpoint, IncarnationId, LastRun, LeaderRecovery, PartitionState, SecurityProtocol,
};
use ottla_metadata::{Controller, Decision, Image, Record};
use ottla_types::config::Settings;
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, ErrorCode, Offset, TopicId, TopicName};

/// A controller, and the log of what it decided.
pub struct Cluster {
    pub controller: Controller,
    pub log: Vec<Record>,
    next_id: u8,
}

impl Cluster {
    /// No broker yet.
    pub fn new(properties: &str) -> Self {
        let settings = Settings::parse("test.properties", properties).unwrap().0;
        let controller = Controller::new(Image::default(), Arc::new(settings));
        Self { controller, log: Vec::new(), next_id: 0 }
    }

    /// Brokers 1 to `n`, unfenced, without racks.
    pub fn of(n: i32) -> Self {
        let mut cluster = Self::new("");
        for id in 1..=n {
            cluster.start(id, None);
        }
        cluster
    }

    /// Commits a decision and gives its answer.
    pub fn commit<A>(&mut self, decision: Decision<A>) -> A {
        let offset = Offset(self.log.len() as i64);
        self.controller.replay(offset, &decision.records).unwrap();
        self.log.extend(decision.records);
        decision.answer
    }

    /// A broker registers as a new process, and is still fenced.
    pub fn register(&mut self, id: i32, rack: Option<&str>) -> BrokerEpoch {
        self.next_id += 1;
        let registration = registration(id, self.next_id, rack);
        let decision = self.controller.register_broker(&registration, false);
        self.commit(decision).unwrap()
    }

    /// A broker registers and is unfenced.
    pub fn start(&mut self, id: i32, rack: Option<&str>) -> BrokerEpoch {
        let epoch = self.register(id, rack);
        self.set_fenced(id, false);
        epoch
    }

    /// Fences or unfences a broker at its newest epoch.
    pub fn set_fenced(&mut self, id: i32, fenced: bool) {
        let epoch = self.controller.committed().broker(BrokerId(id)).unwrap().registration.epoch;
        let decision = self.controller.set_fenced(BrokerId(id), epoch, fenced);
        self.commit(decision).unwrap();
    }

    /// A broker's newest epoch.
    pub fn epoch(&self, id: i32) -> BrokerEpoch {
        self.image().broker(BrokerId(id)).unwrap().registration.epoch
    }

    /// A broker's process starts again, and says how its last run ended.
    pub fn try_restart(&mut self, id: i32, last_run: LastRun) -> Result<BrokerEpoch, Refused> {
        self.next_id += 1;
        let registration = Registration { last_run, ..registration(id, self.next_id, None) };
        let decision = self.controller.register_broker(&registration, false);
        self.commit(decision)
    }

    /// A broker's process starts again after a clean shutdown, and is fenced.
    pub fn restart_clean(&mut self, id: i32) {
        let last = LastRun::Clean(self.epoch(id));
        self.try_restart(id, last).unwrap();
    }

    /// A broker's process starts again after its machine failed, and is fenced.
    pub fn restart_unclean(&mut self, id: i32) {
        self.try_restart(id, LastRun::Unclean).unwrap();
    }

    /// What a broker that has replayed everything says.
    pub fn heartbeat_of(&self, id: i32) -> Heartbeat {
        Heartbeat {
            id: BrokerId(id),
            epoch: self.epoch(id),
            metadata_offset: self.image().offset().unwrap_or(Offset(-1)),
            want_fence: false,
            want_shut_down: false,
            offline_directories: Vec::new(),
        }
    }

    /// Decides a heartbeat and commits it.
    pub fn heartbeat(&mut self, heartbeat: &Heartbeat) -> HeartbeatAnswer {
        let decision = self.controller.heartbeat(heartbeat);
        self.commit(decision).unwrap()
    }

    /// What the leader of a partition of `t` asks for, if it knows everything.
    pub fn update(&self, index: i32, isr: &[i32]) -> AlterPartition {
        let topic = self.image().topic_by_name("t").unwrap();
        let state = topic.partition(index).unwrap();
        let leader = state.leader.unwrap();
        AlterPartition {
            broker: leader,
            epoch: self.epoch(leader.0),
            partitions: vec![PartitionUpdate {
                topic: topic.id,
                index,
                leader_epoch: state.leader_epoch,
                partition_epoch: state.partition_epoch,
                isr: isr.iter().map(|id| (BrokerId(*id), Some(self.epoch(*id)))).collect(),
                recovery: LeaderRecovery::Recovered,
            }],
        }
    }

    /// Decides one partition's AlterPartition and commits it.
    pub fn alter(&mut self, request: &AlterPartition) -> Result<PartitionState, (ErrorCode, String)> {
        let decision = self.controller.alter_partition(request);
        let answer = match self.commit(decision) {
            Ok(mut answers) => answers.remove(0),
            Err(refused) => Err(refused),
        };
        answer.map(|altered| altered.state).map_err(|refused| (refused.error, refused.message))
    }

    /// The leader of a partition of `t` gets the ISR that it wants.
    pub fn set_isr(&mut self, index: i32, isr: &[i32]) {
        let request = self.update(index, isr);
        self.alter(&request).unwrap();
    }

    /// A partition of `t` in short, as [`shown`].
    pub fn t(&self, index: i32) -> String {
        shown(&self.partition("t", index))
    }

    /// Makes `t` with these replicas of its only partition.
    pub fn topic_on(&mut self, replicas: &[i32]) {
        self.topic_on_named("t", replicas);
    }

    /// Makes a topic with these replicas of its only partition.
    pub fn topic_on_named(&mut self, name: &str, replicas: &[i32]) {
        self.next_id += 1;
        let topic = NewTopic {
            assignments: vec![(0, replicas.iter().copied().map(BrokerId).collect())],
            ..NewTopic::named(name, TopicId([self.next_id; 16]))
        };
        self.create(topic).unwrap();
    }

    /// A topic to create, with an id of its own.
    pub fn topic(&mut self, name: &str, partitions: i32, replication_factor: i16) -> NewTopic {
        self.next_id += 1;
        let id = TopicId([self.next_id; 16]);
        NewTopic { partitions, replication_factor, ..NewTopic::named(name, id) }
    }

    /// Creates one topic.
    pub fn create(&mut self, topic: NewTopic) -> Result<CreatedTopic, Refused> {
        let request = CreateTopics { topics: vec![topic], validate_only: false, seed: 0 };
        let decision = self.controller.create_topics(&request);
        self.commit(decision).remove(0)
    }

    /// Creates one topic that must succeed.
    pub fn created(&mut self, name: &str, partitions: i32, replication_factor: i16) -> CreatedTopic {
        let topic = self.topic(name, partitions, replication_factor);
        self.create(topic).unwrap()
    }

    /// Changes one key.
    pub fn configure(&mut self, resource: ConfigResource, key: &str, op: ConfigOp) -> Result<(), Refused> {
        let changes = [Changes { resource, ops: vec![(key.to_owned(), op)] }];
        let decision = self.controller.incremental_alter_configs(&changes, false);
        self.commit(decision).remove(0)
    }

    /// What is committed.
    pub fn image(&self) -> &Image {
        self.controller.committed()
    }

    /// A partition's state.
    pub fn partition(&self, topic: &str, index: i32) -> PartitionState {
        (**self.image().topic_by_name(topic).unwrap().partition(index).unwrap()).clone()
    }

    /// The replicas of every partition of a topic.
    pub fn replicas(&self, topic: &str) -> Vec<Vec<i32>> {
        let topic = self.image().topic_by_name(topic).unwrap();
        topic.partitions().map(|(_, state)| ids(&state.replicas)).collect()
    }
}

/// A partition in short: `1@0 isr 1,2 elr 3`, which is the leader at its epoch, and what there is besides: `last` for
/// the last known leader, `adding`, `removing`, `recovering`.
pub fn shown(state: &PartitionState) -> String {
    let list = |name: &str, brokers: &[BrokerId]| match brokers {
        [] => String::new(),
        some => format!(" {name} {}", ids(some).iter().map(i32::to_string).collect::<Vec<_>>().join(",")),
    };
    let leader = state.leader.map_or("-".to_owned(), |leader| leader.to_string());
    let moved = state.reassignment.clone().unwrap_or_default();
    [
        format!("{leader}@{}", state.leader_epoch),
        list("isr", &state.isr),
        list("elr", &state.elr),
        list("last", state.last_known_leader.as_slice()),
        list("adding", &moved.adding),
        list("removing", &moved.removing),
        if state.recovery == LeaderRecovery::Recovering { " recovering".to_owned() } else { String::new() },
    ]
    .concat()
}

/// Plain numbers.
pub fn ids(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|id| id.0).collect()
}

/// A broker's only log directory.
pub fn dir(broker: i32) -> DirectoryId {
    DirectoryId([0x40_u8.wrapping_add(broker as u8); 16])
}

/// What a broker says of itself.
pub fn registration(id: i32, incarnation: u8, rack: Option<&str>) -> Registration {
    Registration {
        id: BrokerId(id),
        incarnation: IncarnationId([incarnation; 16]),
        endpoints: vec![Endpoint {
            listener: "PLAINTEXT".into(),
            host: "localhost".into(),
            port: 9092,
            security_protocol: SecurityProtocol::Plaintext,
        }],
        rack: rack.map(str::to_owned),
        directories: vec![dir(id)],
        ..Registration::default()
    }
}

/// The configuration of a topic.
pub fn on_topic(name: &str) -> ConfigResource {
    ConfigResource::Topic(TopicName::new(name).unwrap())
}

/// The image that a log leads to.
pub fn replayed(log: &[Record]) -> Image {
    let mut image = Image::default();
    for (offset, record) in (0..).zip(log) {
        image.replay(Offset(offset), record).unwrap();
    }
    image
}
