//! Random commands against a model that a person can check at a glance: the controller's committed and speculative
//! images say what the model says, whatever is committed late or lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use common::{on_topic, registration, replayed};
use ottla_metadata::controller::configs::{Changes, ConfigOp};
use ottla_metadata::controller::create_partitions::{CreatePartitions, MorePartitions};
use ottla_metadata::controller::create_topics::{CreateTopics, NewTopic};
use ottla_metadata::controller::delete_topics::TopicRef;
use ottla_metadata::controller::producer_ids::BLOCK_LEN;
use ottla_metadata::{Controller, Decision, Delta, Image, Record};
use ottla_types::config::Settings;
use ottla_types::{BrokerId, LeaderEpoch, Offset, TopicId};
use proptest::prelude::*;

const TOPICS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Debug, Clone)]
enum Command {
    Create {
        topic: usize,
        partitions: i32,
        replicas: i16,
    },
    Delete {
        topic: usize,
    },
    Grow {
        topic: usize,
        count: i32,
    },
    Set {
        topic: usize,
        segment_ms: i64,
    },
    Unset {
        topic: usize,
    },
    Register {
        broker: i32,
    },
    Fence {
        broker: i32,
        fenced: bool,
    },
    ProducerIds {
        broker: i32,
    },
    /// The log has the oldest batch that it did not have yet.
    Commit,
    /// The log is lost to this controller: nothing outstanding will be in it.
    Abandon,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    topics: BTreeMap<String, ModelTopic>,
    /// Whether each registered broker is fenced.
    brokers: BTreeMap<i32, bool>,
    producer_ids: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ModelTopic {
    partitions: i32,
    replicas: i16,
    segment_ms: Option<i64>,
}

impl Model {
    /// Applies a command, and says whether it is granted.
    fn apply(&mut self, command: &Command) -> bool {
        let can_place = self.brokers.values().any(|fenced| !fenced);
        let registered = self.brokers.len();
        match *command {
            Command::Create { topic, partitions, replicas } => {
                let name = TOPICS[topic].to_owned();
                let fits = replicas > 0 && replicas as usize <= registered && can_place;
                if self.topics.contains_key(&name) || partitions < 1 || !fits {
                    return false;
                }
                self.topics.insert(name, ModelTopic { partitions, replicas, segment_ms: None });
            }
            Command::Delete { topic } => return self.topics.remove(TOPICS[topic]).is_some(),
            Command::Grow { topic, count } => match self.topics.get_mut(TOPICS[topic]) {
                Some(found) if count > found.partitions && can_place => found.partitions = count,
                _ => return false,
            },
            Command::Set { topic, segment_ms } => match self.topics.get_mut(TOPICS[topic]) {
                Some(found) if segment_ms >= 1 => found.segment_ms = Some(segment_ms),
                _ => return false,
            },
            Command::Unset { topic } => match self.topics.get_mut(TOPICS[topic]) {
                Some(found) => found.segment_ms = None,
                None => return false,
            },
            Command::Register { broker } => drop(self.brokers.insert(broker, true)),
            Command::Fence { broker, fenced } => match self.brokers.get_mut(&broker) {
                Some(found) => *found = fenced,
                None => return false,
            },
            Command::ProducerIds { broker } => {
                if !self.brokers.contains_key(&broker) {
                    return false;
                }
                self.producer_ids += i64::from(BLOCK_LEN);
            }
            Command::Commit | Command::Abandon => {}
        }
        true
    }

    /// What an image says, in the model's words.
    fn of(image: &Image) -> Self {
        let topic = |topic: &Arc<ottla_metadata::image::TopicImage>| {
            let replicas = topic.partition(0).unwrap().replicas.len() as i16;
            let configs = image.configs(&on_topic(topic.name.as_str()));
            let segment_ms = configs.and_then(|c| c.get("segment.ms")).map(|text| text.parse().unwrap());
            (
                topic.name.to_string(),
                ModelTopic { partitions: topic.partition_count() as i32, replicas, segment_ms },
            )
        };
        Self {
            topics: image.topics().map(topic).collect(),
            brokers: image.brokers().map(|b| (b.registration.id.0, b.fenced)).collect(),
            producer_ids: image.next_producer_id().0,
        }
    }
}

/// The controller, its log, and what is decided and not in the log yet.
struct Run {
    controller: Controller,
    log: Vec<Record>,
    outstanding: VecDeque<(Vec<Record>, Model)>,
    committed: Model,
    speculative: Model,
    drawn: u8,
}

fn granted<A>(decision: Decision<A>, is_granted: impl FnOnce(A) -> bool) -> (Vec<Record>, bool) {
    (decision.records, is_granted(decision.answer))
}

impl Run {
    fn new() -> Self {
        Self {
            controller: Controller::new(Image::default(), Arc::new(Settings::default())),
            log: Vec::new(),
            outstanding: VecDeque::new(),
            committed: Model::default(),
            speculative: Model::default(),
            drawn: 0,
        }
    }

    fn step(&mut self, command: &Command) {
        match command {
            Command::Commit => self.commit(),
            Command::Abandon => {
                self.outstanding.clear();
                self.controller.abandon();
                self.speculative = self.committed.clone();
            }
            _ => {
                let (records, granted) = self.decide(command);
                let mut model = self.speculative.clone();
                let expected = model.apply(command);
                assert_eq!(granted, expected, "{command:?}");
                assert!(granted || records.is_empty(), "a refusal leaves no record");
                if granted {
                    self.speculative = model;
                    self.outstanding.push_back((records, self.speculative.clone()));
                }
            }
        }
    }

    fn commit(&mut self) {
        let Some((records, model)) = self.outstanding.pop_front() else { return };
        let before = self.controller.committed().clone();
        self.controller.replay(Offset(self.log.len() as i64), &records).unwrap();
        let after = self.controller.committed();
        assert_eq!(Delta::of(&before, after, &records), Delta::between(&before, after));
        self.log.extend(records);
        self.committed = model;
    }

    fn decide(&mut self, command: &Command) -> (Vec<Record>, bool) {
        self.drawn = self.drawn.wrapping_add(1);
        let (drawn, controller) = (self.drawn, &mut self.controller);
        let alter = |controller: &mut Controller, topic: usize, op: ConfigOp| {
            let changes =
                [Changes { resource: on_topic(TOPICS[topic]), ops: vec![("segment.ms".into(), op)] }];
            granted(controller.incremental_alter_configs(&changes, false), |mut a| a.remove(0).is_ok())
        };
        let epoch = |controller: &Controller, broker: i32| {
            let known = controller.speculative().broker(BrokerId(broker));
            known.map_or(ottla_types::BrokerEpoch(-1), |b| b.registration.epoch)
        };
        match *command {
            Command::Create { topic, partitions, replicas } => {
                let id = TopicId([drawn; 16]);
                let topic = NewTopic {
                    partitions,
                    replication_factor: replicas,
                    ..NewTopic::named(TOPICS[topic], id)
                };
                let request =
                    CreateTopics { topics: vec![topic], validate_only: false, seed: u64::from(drawn) << 31 };
                granted(controller.create_topics(&request), |mut a| a.remove(0).is_ok())
            }
            Command::Delete { topic } => {
                let request = [TopicRef::Name(TOPICS[topic].into())];
                granted(controller.delete_topics(&request), |mut a| a.remove(0).is_ok())
            }
            Command::Grow { topic, count } => {
                let topics = vec![MorePartitions { topic: TOPICS[topic].into(), count, assignments: None }];
                let request = CreatePartitions { topics, validate_only: false, seed: drawn.into() };
                granted(controller.create_partitions(&request), |mut a| a.remove(0).is_ok())
            }
            Command::Set { topic, segment_ms } => {
                alter(controller, topic, ConfigOp::Set(segment_ms.to_string()))
            }
            Command::Unset { topic } => alter(controller, topic, ConfigOp::Delete),
            Command::Register { broker } => {
                granted(controller.register_broker(&registration(broker, drawn, None), false), |a| a.is_ok())
            }
            Command::Fence { broker, fenced } => {
                let epoch = epoch(controller, broker);
                granted(controller.set_fenced(BrokerId(broker), epoch, fenced), |a| a.is_ok())
            }
            Command::ProducerIds { broker } => {
                let epoch = epoch(controller, broker);
                granted(controller.allocate_producer_ids(BrokerId(broker), epoch), |a| a.is_ok())
            }
            Command::Commit | Command::Abandon => unreachable!("they decide nothing"),
        }
    }

    fn check(&self) {
        assert_eq!(Model::of(self.controller.committed()), self.committed);
        assert_eq!(Model::of(self.controller.speculative()), self.speculative);
        for image in [self.controller.committed(), self.controller.speculative()] {
            check_partitions(image);
        }
    }
}

/// What holds of every partition at any time.
fn check_partitions(image: &Image) {
    let mut count = 0;
    for topic in image.topics() {
        for (index, state) in topic.partitions() {
            count += 1;
            let name = format!("{}-{index}: {state:?}", topic.name);
            assert!(state.isr.iter().all(|id| state.replicas.contains(id)), "{name}");
            assert!(state.leader.is_none_or(|id| state.isr.contains(&id)), "{name}");
            let is_fenced = |id: &BrokerId| image.broker(*id).unwrap().fenced;
            assert!(!state.isr.iter().any(is_fenced), "{name}");
            let could_lead = state.isr.iter().chain(state.elr.iter()).any(|id| !is_fenced(id));
            assert!(state.leader.is_some() || !could_lead, "{name} could be led");
            assert!(
                state.leader_epoch >= LeaderEpoch(0) && state.partition_epoch.0 >= state.leader_epoch.0,
                "{name}"
            );
        }
    }
    assert_eq!(count, image.partition_count());
}

fn command() -> impl Strategy<Value = Command> {
    let (topic, broker) = (0..TOPICS.len(), 1..=3i32);
    prop_oneof![
        4 => (topic.clone(), 0..6i32, 0..4i16)
            .prop_map(|(topic, partitions, replicas)| Command::Create { topic, partitions, replicas }),
        1 => topic.clone().prop_map(|topic| Command::Delete { topic }),
        2 => (topic.clone(), 0..10i32).prop_map(|(topic, count)| Command::Grow { topic, count }),
        2 => (topic.clone(), 0..3i64).prop_map(|(topic, segment_ms)| Command::Set { topic, segment_ms }),
        1 => topic.prop_map(|topic| Command::Unset { topic }),
        1 => broker.clone().prop_map(|broker| Command::Register { broker }),
        4 => (broker.clone(), any::<bool>()).prop_map(|(broker, fenced)| Command::Fence { broker, fenced }),
        1 => broker.prop_map(|broker| Command::ProducerIds { broker }),
        8 => Just(Command::Commit),
        1 => Just(Command::Abandon),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_controller_does_what_the_model_does(commands in prop::collection::vec(command(), 1..80)) {
        let mut run = Run::new();
        for broker in 1..=3 {
            run.step(&Command::Register { broker });
            run.step(&Command::Fence { broker, fenced: false });
        }
        for command in &commands {
            run.step(command);
            run.check();
        }
        while !run.outstanding.is_empty() {
            run.commit();
        }
        run.check();
        let committed = run.controller.committed();
        prop_assert_eq!(&replayed(&run.log), committed, "replay of the log equals the image");
        let decoded: Vec<_> = run.log.iter().map(|r| Record::decode(&r.to_bytes()).unwrap()).collect();
        prop_assert_eq!(&decoded, &run.log);
        let mut restored = Image::default();
        for record in committed.to_records() {
            restored.load(committed.offset().unwrap(), &record).unwrap();
        }
        prop_assert_eq!(&restored, committed, "and so does its snapshot");
        prop_assert_eq!(Model::of(run.controller.speculative()), run.committed, "nothing is left outstanding");
    }
}
