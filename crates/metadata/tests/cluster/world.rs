//! Brokers, the log and one controller: what happens to them, command by command.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ottla_metadata::controller::brokers::Registration;
use ottla_metadata::controller::brokers::heartbeat::Heartbeat;
use ottla_metadata::controller::replication::alter_partition::{AlterPartition, PartitionUpdate};
use ottla_metadata::controller::replication::directories::AssignReplicasToDirs;
use ottla_metadata::controller::{Batch, Refused, UncleanElection};
use ottla_metadata::record::{IncarnationId, LastRun, LeaderRecovery};
use ottla_metadata::{Controller, Decision, Image, Record};
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, ErrorCode, Offset, TopicId};

use crate::data::Data;
use crate::invariants::{self, Leaders};

/// A broker's process and its disks.
#[derive(Debug, Default, Clone)]
pub struct Process {
    pub is_running: bool,
    incarnation: u64,
    /// The registration that it knows of.
    pub epoch: Option<BrokerEpoch>,
    /// The registration up to whose run its logs are whole, as its disk says.
    marker: Option<BrokerEpoch>,
    /// The marker before that.
    older: Option<BrokerEpoch>,
    pub failed: BTreeSet<DirectoryId>,
}

/// What happens to a process when a decision is committed.
#[derive(Debug, Clone)]
enum Then {
    Nothing,
    Registered(BrokerId, u64, BrokerEpoch),
    Stops(BrokerId, u64),
    /// The controller knows which directories of a broker have failed.
    KnownToHaveFailed(BrokerId, BTreeSet<DirectoryId>),
    /// A leader hears that its request is refused.
    Refused(u64),
}

/// Something decided and not committed.
struct Outstanding {
    records: Vec<Record>,
    unclean: Vec<UncleanElection>,
    then: Then,
}

pub struct World {
    pub controller: Controller,
    pub log: Vec<Record>,
    pub processes: BTreeMap<BrokerId, Process>,
    pub data: Data,
    /// What leaders have asked for and is not answered yet.
    pub asked: Vec<(u64, AlterPartition)>,
    /// Those that were refused: they arrive no second time, or a leader could not take a refusal for definite.
    refused: BTreeSet<u64>,
    outstanding: VecDeque<Outstanding>,
    leaders: Leaders,
    drawn: u64,
}

/// The two log directories of a broker.
pub fn directories(broker: BrokerId) -> [DirectoryId; 2] {
    [1, 2].map(|nth| DirectoryId([0x80 + 2 * broker.0 as u8 + nth; 16]))
}

impl World {
    pub fn new(brokers: i32) -> Self {
        let mut world = Self {
            controller: Controller::new(Image::default(), invariants::settings()),
            log: Vec::new(),
            processes: (1..=brokers).map(|id| (BrokerId(id), Process::default())).collect(),
            data: Data::default(),
            asked: Vec::new(),
            refused: BTreeSet::new(),
            outstanding: VecDeque::new(),
            leaders: Leaders::default(),
            drawn: 0,
        };
        for id in (1..=brokers).map(BrokerId) {
            world.start(id);
            world.commit_all();
            world.beat(id, false);
            world.commit_all();
        }
        world
    }

    pub fn image(&self) -> &Image {
        self.controller.committed()
    }

    pub fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    /// Takes a decision to the log, some time.
    pub fn take<A>(&mut self, decision: Decision<A>) -> A {
        self.take_then(decision, Then::Nothing)
    }

    fn take_then<A>(&mut self, decision: Decision<A>, then: Then) -> A {
        invariants::check(self.controller.speculative());
        let (batches, unclean, answer) = small_batches(decision);
        let mut batches: Vec<_> = batches.into_iter().map(|batch| batch.records).collect();
        let last = batches.pop().unwrap_or_default();
        for records in batches {
            // The unclean elections are told of with the first batch: it is not known in which of them they are.
            self.outstanding.push_back(Outstanding {
                records,
                unclean: unclean.clone(),
                then: Then::Nothing,
            });
        }
        self.outstanding.push_back(Outstanding { records: last, unclean, then });
        answer
    }

    /// The log takes the oldest batch that it does not have yet.
    pub fn commit(&mut self) {
        let Some(Outstanding { records, unclean, then }) = self.outstanding.pop_front() else { return };
        let offset = Offset(self.log.len() as i64);
        let before = self.image().clone();
        let replayed = invariants::replay(&before, offset, &records, &mut self.leaders);
        self.controller.replay(offset, &records).unwrap();
        assert_eq!(self.image(), &replayed);
        invariants::check_any(self.image());
        self.log.extend(records);
        match then {
            Then::Registered(id, incarnation, epoch) => self.registered(id, incarnation, epoch),
            Then::Stops(id, incarnation) => self.stops(id, incarnation),
            Then::KnownToHaveFailed(id, failed) => {
                for directory in failed {
                    let there = self.lying_in(id, directory);
                    self.data.told_of(id, &there);
                }
            }
            Then::Refused(number) => self.asked.retain(|(other, _)| *other != number),
            Then::Nothing => {}
        }
        let image = self.controller.committed().clone();
        let now: Vec<_> = unclean.into_iter().filter(|told| is_done(&image, told)).collect();
        self.data.follow(&image, &now);
    }

    pub fn commit_all(&mut self) {
        while !self.outstanding.is_empty() {
            self.commit();
        }
    }

    /// The log is lost to this controller: nothing outstanding will ever be in it.
    pub fn abandon(&mut self) {
        self.outstanding.clear();
        self.asked.clear();
        self.controller.abandon();
        // A decision may have been cut in the middle.
        let decision = self.controller.activate();
        self.take(decision);
    }

    /// Another node leads, which has the log from a snapshot or from its start.
    pub fn fail_over(&mut self, by_snapshot: bool) {
        self.outstanding.clear();
        let mut image = Image::default();
        if by_snapshot && self.image().offset().is_some() {
            image = invariants::restored(self.image());
        } else {
            for (offset, record) in (0..).zip(&self.log) {
                image.replay(Offset(offset), record).unwrap();
            }
        }
        assert_eq!(&image, self.image());
        self.controller = Controller::new(image, invariants::settings());
        let decision = self.controller.activate();
        self.take(decision);
        let decision = self.controller.activate();
        assert!(decision.records.is_empty(), "nothing is left to do: {:?}", decision.records);
    }

    /// A process starts, the one before it having died at the latest now.
    pub fn start(&mut self, id: BrokerId) {
        self.kill(id, None);
        let incarnation = self.draw();
        let Some(process) = self.processes.get_mut(&id) else { return };
        let (marker, older) = (process.marker, process.older);
        *process = Process { is_running: true, incarnation, marker, older, ..Process::default() };
        self.register(id);
    }

    fn register(&mut self, id: BrokerId) {
        let process = self.processes[&id].clone();
        let mut incarnation = [0; 16];
        incarnation[..8].copy_from_slice(&process.incarnation.to_be_bytes());
        let registration = Registration {
            id,
            incarnation: IncarnationId(incarnation),
            directories: directories(id).into_iter().filter(|d| !process.failed.contains(d)).collect(),
            last_run: process.marker.map_or(LastRun::Unclean, LastRun::ProcessCrash),
            ..Registration::default()
        };
        let decision = self.controller.register_broker(&registration, false);
        match decision.answer.clone() {
            Ok(epoch) => {
                let then = Then::Registered(id, process.incarnation, epoch);
                drop(self.take_then(decision, then));
            }
            Err(refused) => assert_eq!(refused.error, ErrorCode::InvalidRegistration, "{refused:?}"),
        }
    }

    fn registered(&mut self, id: BrokerId, incarnation: u64, epoch: BrokerEpoch) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        if process.is_running && process.incarnation == incarnation {
            process.epoch = Some(epoch);
            process.older = process.marker.or(process.older).filter(|older| *older != epoch);
            process.marker = Some(epoch).filter(|_| process.failed.is_empty());
            if process.failed.is_empty() {
                self.data.told(id);
            }
        }
    }

    fn stops(&mut self, id: BrokerId, incarnation: u64) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        if process.incarnation == incarnation {
            process.is_running = false;
            process.epoch = None;
        }
    }

    /// A process dies; with the machine, if `power` says how many records its logs keep.
    pub fn kill(&mut self, id: BrokerId, power: Option<usize>) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.is_running = false;
        process.epoch = None;
        // Nobody answers a leader that is dead.
        self.asked.retain(|(_, request)| request.broker != id);
        if let Some(kept) = power {
            process.marker = None;
            self.data.lose(id, kept, None);
        }
    }

    /// A machine fails, and its broker is registered and unfenced at once.
    pub fn bounce(&mut self, id: BrokerId, kept: usize) {
        self.kill(id, Some(kept));
        self.start(id);
        self.commit_all();
        self.beat(id, false);
        self.commit_all();
    }

    /// A machine fails, and gets a disk on which an earlier run's marker lies. That can be told if the last run was
    /// unfenced.
    pub fn restore(&mut self, id: BrokerId, kept: usize) {
        self.commit_all();
        let last = self.image().broker(id).cloned();
        let process = &self.processes[&id];
        let is_last = |epoch| process.marker == Some(epoch);
        if last.is_none_or(|broker| !broker.was_unfenced || !is_last(broker.registration.epoch)) {
            return;
        }
        let older = process.older;
        self.kill(id, Some(kept));
        if let Some(process) = self.processes.get_mut(&id) {
            process.marker = older;
        }
    }

    /// A log directory fails under a running process.
    pub fn fail_directory(&mut self, id: BrokerId, nth: usize, kept: usize) {
        let directory = directories(id)[nth];
        let Some(process) = self.processes.get_mut(&id).filter(|process| process.is_running) else { return };
        if !process.failed.insert(directory) {
            return;
        }
        process.marker = None;
        let there = self.lying_in(id, directory);
        self.data.lose(id, kept, Some(&there));
    }

    /// The replicas of a broker in a directory: those assigned to it, and by default all others in the first.
    fn lying_in(&self, id: BrokerId, directory: DirectoryId) -> BTreeSet<(TopicId, i32)> {
        let image = self.image();
        let hosted = image.hosted(id).into_iter().flat_map(|hosted| hosted.replicas.iter());
        hosted.filter(|(topic, index)| self.directory(id, *topic, *index) == Some(directory)).collect()
    }

    fn directory(&self, id: BrokerId, topic: TopicId, index: i32) -> Option<DirectoryId> {
        let assigned = self.image().partition(topic, index)?.directory(id)?;
        let own = directories(id);
        Some(if own.contains(&assigned) { assigned } else { own[0] })
    }

    /// A running process says that it is alive; one that knows no registration asks for one.
    pub fn beat(&mut self, id: BrokerId, want_shut_down: bool) {
        let process = self.processes[&id].clone();
        if !process.is_running {
            return;
        }
        let Some(epoch) = process.epoch else { return self.register(id) };
        self.assign(id, epoch);
        let heartbeat = Heartbeat {
            id,
            epoch,
            metadata_offset: self.image().offset().unwrap_or(Offset(-1)),
            want_fence: false,
            want_shut_down,
            offline_directories: process.failed.iter().copied().collect(),
        };
        let decision = self.controller.heartbeat(&heartbeat);
        match &decision.answer {
            Ok(answer) => {
                let stops = answer.should_shut_down;
                let then = match stops {
                    true => Then::Stops(id, process.incarnation),
                    false => Then::KnownToHaveFailed(id, process.failed),
                };
                drop(self.take_then(decision, then));
            }
            Err(_) => self.register(id),
        }
    }

    /// A broker says where its replicas lie: in the second directory, unless it said so before.
    fn assign(&mut self, id: BrokerId, epoch: BrokerEpoch) {
        let own = directories(id);
        let image = self.image();
        let hosted = image.hosted(id).into_iter().flat_map(|hosted| hosted.replicas.iter());
        let unassigned = hosted.filter(|(topic, index)| {
            let assigned = image.partition(*topic, *index).and_then(|state| state.directory(id));
            assigned.is_none_or(|assigned| !own.contains(&assigned))
        });
        let replicas = unassigned.map(|(topic, index)| (own[0], topic, index)).collect();
        let request = AssignReplicasToDirs { broker: id, epoch, replicas };
        let decision = self.controller.assign_replicas_to_dirs(&request);
        drop(self.take(decision));
    }

    /// Whether a broker's replica takes part: its process runs, is registered, and the directory works.
    pub fn is_alive(&self, id: BrokerId, topic: TopicId, index: i32) -> bool {
        let process = &self.processes[&id];
        let registered = self.image().broker(id).map(|broker| broker.registration.epoch);
        let works = self.directory(id, topic, index).is_none_or(|d| !process.failed.contains(&d));
        process.is_running && process.epoch.is_some() && process.epoch == registered && works
    }

    pub fn append(&mut self, topic: TopicId, index: i32) {
        let image = self.image().clone();
        let mut data = std::mem::take(&mut self.data);
        let asked: Vec<_> = self.asked.iter().map(|(_, request)| request.clone()).collect();
        data.append(&image, topic, index, |id| self.is_alive(id, topic, index), &asked);
        self.data = data;
    }

    /// The leader asks for an ISR with or without a follower; one that comes has caught up before.
    pub fn ask(&mut self, topic: TopicId, index: i32, follower: BrokerId, joins: bool) {
        let image = self.image().clone();
        let Some(state) = image.partition(topic, index) else { return };
        let Some(leader) = state.leader.filter(|leader| self.is_alive(*leader, topic, index)) else { return };
        let mut isr: Vec<_> = state.isr.iter().copied().filter(|id| *id != follower).collect();
        if joins {
            let caught_up =
                self.is_alive(follower, topic, index) && self.data.catch_up(state, topic, index, follower);
            if !caught_up || !state.replicas.contains(&follower) {
                return;
            }
            isr.push(follower);
        } else if follower == leader {
            return;
        }
        let epoch_of = |id: BrokerId| image.broker(id).map(|broker| broker.registration.epoch);
        let number = self.draw();
        let request = AlterPartition {
            broker: leader,
            epoch: epoch_of(leader).unwrap(),
            partitions: vec![PartitionUpdate {
                topic,
                index,
                leader_epoch: state.leader_epoch,
                partition_epoch: state.partition_epoch,
                isr: isr.into_iter().map(|id| (id, epoch_of(id))).collect(),
                recovery: LeaderRecovery::Recovered,
            }],
        };
        self.asked.push((number, request));
    }

    /// The controller gets what a leader asked for, some time.
    pub fn deliver(&mut self, nth: usize) {
        let under_way: Vec<_> =
            self.asked.iter().filter(|(number, _)| !self.refused.contains(number)).cloned().collect();
        if under_way.is_empty() {
            return;
        }
        // It counts as asked for until the leader has the answer, which it gets when what it rests on is committed.
        let (number, request) = under_way[nth % under_way.len()].clone();
        let decision = self.controller.alter_partition(&request);
        let is_refused = is_refused(&decision.answer);
        let then = if is_refused { Then::Refused(number) } else { Then::Nothing };
        if is_refused {
            self.refused.insert(number);
        }
        drop(self.take_then(decision, then));
        let image = self.controller.committed();
        self.asked.retain(|(_, request)| {
            let update = &request.partitions[0];
            let state = image.partition(update.topic, update.index);
            state.is_some_and(|state| state.partition_epoch <= update.partition_epoch)
        });
    }
}

/// Small batches, as far as the decision may be cut.
fn small_batches<A>(decision: Decision<A>) -> (Vec<Batch>, Vec<UncleanElection>, A) {
    let Decision { records, cuts, unclean, answer } = decision;
    let decision = Decision { records, cuts, unclean, answer: () };
    let mut most = 100;
    let (batches, unclean, ()) = loop {
        match decision.clone().batches(most) {
            Ok(batches) => break batches,
            Err(too_large) => most = too_large.bytes,
        }
    };
    (batches, unclean, answer)
}

fn is_refused<A>(answer: &Result<Vec<Result<A, Refused>>, Refused>) -> bool {
    answer.as_ref().map_or(true, |answers| answers.iter().any(Result::is_err))
}

/// Whether an election that was told of is in the image.
fn is_done(image: &Image, told: &UncleanElection) -> bool {
    let state = image.partition(told.topic, told.index);
    state.is_some_and(|s| s.leader == Some(told.leader) && s.recovery == LeaderRecovery::Recovering)
}
