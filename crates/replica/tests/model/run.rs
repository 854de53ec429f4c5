//! One random run: what may happen, and how.

use std::collections::BTreeMap;

use ottla_replica::{AckVerdict, IsrAnswer, LagDetector, NextFetch, Replica, Step, WantedIsr};
use ottla_types::{BrokerId, ErrorCode, Offset};

use crate::checks::{Check, Truth, ensure};
use crate::world::{Answer, Sent, World, ms};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) min_insync: usize,
    /// Records count when they are flushed, and what is not is lost with the broker.
    pub(crate) fsync: bool,
    pub(crate) by_messages: bool,
}

/// Something happens: what, and to whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Action {
    pub(crate) kind: u8,
    pub(crate) one: u8,
    pub(crate) other: u8,
}

#[derive(Debug, Clone)]
enum Message {
    Fetch(u64, Sent),
    Answer(u64, Answer),
    Isr(u64, i32, WantedIsr),
    IsrAnswer(u64, i32, WantedIsr, IsrAnswer),
}

/// Who waits for an append.
struct Waiter {
    leader: i32,
    epoch: i32,
    first: i64,
    values: Vec<u64>,
}

struct Run {
    world: World,
    truth: Truth,
    setting: Setting,
    network: Vec<Message>,
    /// The question that each broker waits for.
    fetching: BTreeMap<i32, u64>,
    asking: BTreeMap<i32, (u64, WantedIsr)>,
    waiters: Vec<Waiter>,
    is_running: BTreeMap<i32, bool>,
    next_id: u64,
}

const BROKERS: [i32; 4] = [1, 2, 3, 4];

/// Runs the actions, and then heals all. What was violated, if anything was.
pub(crate) fn run(setting: Setting, actions: &[Action]) -> Check {
    let mut run = Run::new(setting);
    for action in actions {
        run.world.pass(ms(u64::from(action.other % 8)));
        run.act(*action)?;
        run.answer_waiters()?;
        run.truth.check(&run.world, &run.is_running)?;
    }
    run.heal()
}

impl Run {
    fn new(setting: Setting) -> Self {
        let mut world = World::new(&[1, 2, 3], setting.min_insync);
        world.settings.time_max = ms(100);
        if setting.by_messages {
            world.settings.detector = LagDetector::Messages { max: 4 };
        }
        world.most_records = 3;
        world.add_node(4);
        let mut run = Self {
            world,
            truth: Truth::default(),
            setting,
            network: Vec::new(),
            fetching: BTreeMap::new(),
            asking: BTreeMap::new(),
            waiters: Vec::new(),
            is_running: BROKERS.into_iter().map(|broker| (broker, true)).collect(),
            next_id: 0,
        };
        for broker in BROKERS {
            run.world.node(broker).log.flushed = setting.fsync.then_some(0);
            let settings = run.world.settings;
            let node = run.world.node(broker);
            node.replica = Replica::new(BrokerId(broker), node.log.ends(), Offset(0), settings);
            run.deliver_latest(broker);
        }
        run
    }

    fn act(&mut self, action: Action) -> Check {
        let broker = BROKERS[usize::from(action.one) % BROKERS.len()];
        let is_running = self.is_running[&broker];
        match action.kind {
            0..60 if is_running => self.ask(broker),
            60..150 => return self.network_does(action),
            150..175 if is_running => self.append(broker, usize::from(action.other % 3) + 1),
            175..195 if is_running => self.flush(broker),
            195..205 if is_running => return self.publish(broker),
            205..212 if is_running => {
                self.deliver_next(broker);
            }
            212..222 if is_running => self.ask_isr(broker),
            222..230 if is_running => self.world.tick(broker),
            230..236 if is_running => self.crash(broker),
            236..246 if !is_running => self.restart(broker, action.other.is_multiple_of(4)),
            246..250 => self.elect(broker),
            250..252 => self.world.fence(broker),
            252..254 if is_running => self.come_back(broker),
            254.. => self.reassign(broker),
            _ => {}
        }
        Ok(())
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    // --- Brokers

    fn ask(&mut self, broker: i32) {
        let node = self.world.node(broker);
        if node.replica.next_fetch(node.log.ends(), None) == NextFetch::Flush && !self.setting.fsync {
            unreachable!("nothing waits for a flush");
        }
        if let Some(sent) = self.world.ask(broker) {
            let id = self.id();
            self.fetching.insert(broker, id);
            self.network.push(Message::Fetch(id, sent));
        }
    }

    fn append(&mut self, broker: i32, records: usize) {
        if let Ok(epoch) = self.world.replica(broker).check_append(true) {
            let first = self.world.end(broker);
            self.world.append(broker, records);
            let log = &self.world.nodes[&broker].log;
            let values = (first..log.end()).map(|offset| log.get(offset).unwrap().1).collect();
            self.waiters.push(Waiter { leader: broker, epoch: epoch.0, first, values });
        }
    }

    fn flush(&mut self, broker: i32) {
        let node = self.world.node(broker);
        node.log.flushed = node.log.flushed.map(|_| node.log.end());
        self.world.call(broker, |replica, ends, now| replica.flushed(ends.durable, now));
    }

    fn crash(&mut self, broker: i32) {
        self.is_running.insert(broker, false);
        self.world.fence(broker);
        self.fetching.remove(&broker);
        self.asking.remove(&broker);
        self.waiters.retain(|waiter| waiter.leader != broker);
        let settings = self.world.settings;
        let node = self.world.node(broker);
        if let Some(flushed) = node.log.flushed.filter(|flushed| *flushed < node.log.end()) {
            node.log.truncate(flushed.max(node.log.start));
        }
        // Whatever it was, it is nothing now.
        let noted = node.replica.high_watermark();
        node.replica = Replica::new(BrokerId(broker), node.log.ends(), noted, settings);
        self.truth.forget(broker);
    }

    /// A broker starts again: with its log, or without it, if somebody else holds all that is committed.
    fn restart(&mut self, broker: i32, loses_its_log: bool) {
        let holders = self.world.controller.isr().into_iter().chain(self.world.controller.elr.clone());
        let others = holders.filter(|holder| *holder != broker).count();
        let settings = self.world.settings;
        let node = self.world.node(broker);
        node.registration += 1;
        let registration = node.registration;
        if loses_its_log && others > 0 {
            node.log.restart_at(0);
            node.replica = Replica::new(BrokerId(broker), node.log.ends(), Offset(0), settings);
            self.world.controller.make_stranger(broker);
        }
        self.world.controller.register(broker, registration);
        self.is_running.insert(broker, true);
        self.truth.forget(broker);
        self.deliver_latest(broker);
    }

    /// A broker that was fenced wrongly is unfenced.
    fn come_back(&mut self, broker: i32) {
        let registration = self.world.nodes[&broker].registration;
        self.world.controller.register(broker, registration);
    }

    // --- Metadata

    fn deliver_latest(&mut self, broker: i32) {
        let latest = self.world.controller.history.len() - 1;
        self.world.deliver(broker, latest);
    }

    /// A broker hears of all that was decided, one state after the other.
    fn publish(&mut self, broker: i32) -> Check {
        while self.deliver_next(broker) {
            self.truth.check(&self.world, &self.is_running)?;
        }
        Ok(())
    }

    /// A broker hears of the next state. Whether there was one.
    fn deliver_next(&mut self, broker: i32) -> bool {
        let known = self.world.nodes[&broker].replica.current().partition_epoch.0;
        let next = usize::try_from(known + 1).unwrap();
        let is_there = next < self.world.controller.history.len();
        if is_there {
            self.world.deliver(broker, next);
        }
        is_there
    }

    fn elect(&mut self, broker: i32) {
        let controller = &self.world.controller;
        if controller.isr().contains(&broker) && controller.eligible(BrokerId(broker)).is_some() {
            self.world.controller.elect(broker);
        }
    }

    /// A replica is added, or taken away if others hold all.
    fn reassign(&mut self, broker: i32) {
        let (state, isr) = (self.world.controller.state().clone(), self.world.controller.isr());
        let replicas: Vec<BrokerId> = state.replicas.to_vec();
        let id = BrokerId(broker);
        if !replicas.contains(&id) {
            self.world.controller.change(|state| {
                state.replicas = replicas.iter().copied().chain([id]).collect();
            });
        } else if replicas.len() > 3 && isr.len() > state.min_insync && state.leader != Some(id) {
            self.world.controller.change(|state| {
                state.replicas = replicas.iter().copied().filter(|replica| *replica != id).collect();
                state.isr = state.isr.iter().copied().filter(|member| *member != id).collect();
            });
            self.world.controller.elr.retain(|member| *member != broker);
        }
    }

    fn ask_isr(&mut self, broker: i32) {
        // One at a time: before the next one is asked, the one before counts as unanswered.
        if let Some((_, before)) = self.asking.remove(&broker) {
            let epoch = before.partition_epoch;
            self.world.call(broker, |replica, _, now| replica.isr_answered(epoch, IsrAnswer::Unknown, now));
        }
        if let Some(wanted) = self.world.ask_isr(broker) {
            let id = self.id();
            self.asking.insert(broker, (id, wanted.clone()));
            self.network.push(Message::Isr(id, broker, wanted));
        }
    }

    // --- The network

    fn network_does(&mut self, action: Action) -> Check {
        if self.network.is_empty() {
            return Ok(());
        }
        let index = usize::from(action.one) % self.network.len();
        match action.other {
            0..12 => drop(self.network.swap_remove(index)),
            // A request may come twice: by a connection that was given up. An answer comes once.
            12..24 if matches!(self.network[index], Message::Fetch(..) | Message::Isr(..)) => {
                let message = self.network[index].clone();
                return self.arrive(message);
            }
            _ => {
                let message = self.network.remove(index);
                return self.arrive(message);
            }
        }
        Ok(())
    }

    fn arrive(&mut self, message: Message) -> Check {
        match message {
            Message::Fetch(id, sent) if self.is_running[&sent.from.leader.0] => self.serve(id, &sent),
            Message::Answer(id, answer) if self.fetching.get(&answer.sent.follower) == Some(&id) => {
                return self.take(&answer);
            }
            Message::Isr(id, leader, wanted) => {
                // The controller knows its brokers: one that died does not ask.
                let answer = self.world.controller.alter(leader, &wanted);
                self.network.push(Message::IsrAnswer(id, leader, wanted, answer));
            }
            Message::IsrAnswer(id, leader, wanted, answer) => {
                if self.asking.get(&leader).is_some_and(|(asked, _)| *asked == id) {
                    self.asking.remove(&leader);
                    let epoch = wanted.partition_epoch;
                    self.world.call(leader, |replica, _, now| replica.isr_answered(epoch, answer, now));
                }
            }
            Message::Fetch(..) | Message::Answer(..) => {}
        }
        Ok(())
    }

    fn serve(&mut self, id: u64, sent: &Sent) {
        let answer = self.world.serve(sent);
        let is_taken = answer.answer.error == ErrorCode::None && answer.answer.diverging.is_none();
        if is_taken {
            let (epoch, end) = (sent.from.leader_epoch.0, sent.from.offset.0);
            self.truth.note_acknowledged(epoch, sent.follower, sent.broker_epoch, end);
        }
        self.network.push(Message::Answer(id, answer));
    }

    fn take(&mut self, answer: &Answer) -> Check {
        let follower = answer.sent.follower;
        self.fetching.remove(&follower);
        let before = self.world.nodes[&follower].log.clone();
        if let Step::Truncate(truncation) = self.world.take(answer) {
            // 5.
            ensure!(
                !truncation.loses_committed,
                "{follower} cuts what it took for committed: {truncation:?}"
            );
            for offset in truncation.to.0..before.end() {
                let (cut, committed) = (before.get(offset), self.truth.committed.get(&offset).copied());
                ensure!(
                    committed.is_none() || cut != committed,
                    "{follower} cuts {cut:?} at {offset}, which is committed"
                );
            }
        }
        Ok(())
    }

    // --- Producers

    fn answer_waiters(&mut self) -> Check {
        let mut waiting = Vec::new();
        for waiter in std::mem::take(&mut self.waiters) {
            let end = waiter.first + waiter.values.len() as i64;
            match self.world.verdict(waiter.leader, waiter.epoch, end) {
                AckVerdict::Wait => waiting.push(waiter),
                AckVerdict::Done => self.acknowledge(&waiter)?,
                AckVerdict::NotEnoughReplicasAfterAppend | AckVerdict::NotLeaderOrFollower => {}
            }
        }
        self.waiters = waiting;
        Ok(())
    }

    /// 1: what is acknowledged is committed, and so all that holds for that holds for it.
    fn acknowledge(&mut self, waiter: &Waiter) -> Check {
        self.truth.check(&self.world, &self.is_running)?;
        for (nth, value) in waiter.values.iter().enumerate() {
            let offset = waiter.first + nth as i64;
            let committed = self.truth.committed.get(&offset).copied();
            let is = Some((waiter.epoch, *value));
            ensure!(
                committed == is,
                "{is:?} at {offset} is acknowledged, and {committed:?} is committed there"
            );
        }
        Ok(())
    }

    /// All run, hear each other, and have enough time: all are in sync, and all is committed.
    fn heal(mut self) -> Check {
        self.network.clear();
        self.fetching.clear();
        for broker in BROKERS {
            if self.is_running[&broker] {
                self.come_back(broker);
            } else {
                self.restart(broker, false);
            }
        }
        let replicas: Vec<i32> = self.world.controller.state().replicas.iter().map(|id| id.0).collect();
        for _ in 0..200 {
            self.world.pass(ms(5));
            for broker in BROKERS {
                self.publish(broker)?;
            }
            let leader = self.world.controller.leader().ok_or("nobody leads")?;
            for broker in replicas.iter().copied() {
                self.flush(broker);
                if broker != leader && self.world.ask(broker).is_some() {
                    let sent = self.world.ask(broker).unwrap();
                    let id = self.id();
                    self.serve(id, &sent);
                    let Some(Message::Answer(_, answer)) = self.network.pop() else { unreachable!() };
                    self.take(&answer)?;
                }
            }
            self.world.tick(leader);
            self.ask_isr(leader);
            while let Some(message) = self.network.pop() {
                self.arrive(message)?;
            }
            self.answer_waiters()?;
            self.truth.check(&self.world, &self.is_running)?;
        }
        let leader = self.world.controller.leader().ok_or("nobody leads")?;
        let (isr, watermark, end) =
            (self.world.controller.isr(), self.world.watermark(leader), self.world.end(leader));
        let mut all = replicas;
        all.sort_unstable();
        ensure!(isr == all, "{isr:?} are in sync in the end, of {all:?}");
        ensure!(watermark == end, "{watermark} is committed in the end, of {end}");
        ensure!(self.waiters.is_empty(), "somebody still waits");
        Ok(())
    }
}
