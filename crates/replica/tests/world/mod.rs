//! A partition's replicas in small: machines, each with a log, and the controller that decides on the ISR. What a script calls
//! happens at once; `tests/model.rs` takes the same steps apart, and loses and reorders what is said between them.

#![allow(dead_code, reason = "each test file uses its own part")]

mod controller;
mod log;

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_replica::{
    AckVerdict, Change, Ends, FetchAnswer, FetchFrom, Fetched, FollowerFetch, FollowerState, IsrAnswer,
    LagDetector, LagSettings, NextFetch, Replica, Step, WantedIsr,
};
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset};

pub(crate) use controller::Controller;
pub(crate) use log::{Log, Record};

/// A broker with its replica.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) replica: Replica,
    pub(crate) log: Log,
    /// The number of its registration.
    pub(crate) registration: i64,
    /// What its calls asked for since that was last taken.
    pub(crate) change: Change,
}

/// A fetch on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) follower: i32,
    pub(crate) from: FetchFrom,
    pub(crate) broker_epoch: i64,
}

/// Its answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) sent: Sent,
    pub(crate) answer: FetchAnswer,
    pub(crate) records: Vec<Record>,
}

pub(crate) struct World {
    pub(crate) nodes: BTreeMap<i32, Node>,
    pub(crate) controller: Controller,
    pub(crate) settings: LagSettings,
    pub(crate) now: Duration,
    /// How many records an answer holds.
    pub(crate) most_records: usize,
    next_value: u64,
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl World {
    /// Brokers that hold a partition, all in sync, led by the first.
    pub(crate) fn new(brokers: &[i32], min_insync: usize) -> Self {
        let settings = LagSettings { time_max: ms(30_000), detector: LagDetector::Time };
        let mut world = Self {
            nodes: BTreeMap::new(),
            controller: Controller::new(brokers, min_insync),
            settings,
            now: ms(1_000),
            most_records: usize::MAX,
            next_value: 0,
        };
        for broker in brokers {
            world.add_node(*broker);
        }
        world.publish_all();
        world
    }

    /// A broker with an empty log.
    pub(crate) fn add_node(&mut self, broker: i32) {
        let log = Log::default();
        let replica = Replica::new(BrokerId(broker), log.ends(), Offset(0), self.settings);
        let node = Node { replica, log, registration: 10, change: Change::default() };
        self.controller.register(broker, 10);
        self.nodes.insert(broker, node);
    }

    pub(crate) fn node(&mut self, broker: i32) -> &mut Node {
        self.nodes.get_mut(&broker).expect("a broker of this world")
    }

    pub(crate) fn replica(&mut self, broker: i32) -> &mut Replica {
        &mut self.node(broker).replica
    }

    pub(crate) fn watermark(&self, broker: i32) -> i64 {
        self.nodes[&broker].replica.high_watermark().0
    }

    pub(crate) fn end(&self, broker: i32) -> i64 {
        self.nodes[&broker].log.end()
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// What the calls of a broker asked for since this was last asked.
    pub(crate) fn changes(&mut self, broker: i32) -> Change {
        std::mem::take(&mut self.node(broker).change)
    }

    /// Runs a call of a machine, and keeps what it asks for.
    pub(crate) fn call(&mut self, broker: i32, call: impl FnOnce(&mut Replica, Ends, Duration) -> Change) {
        let now = self.now;
        let node = self.node(broker);
        let change = call(&mut node.replica, node.log.ends(), now);
        node.change = node.change.and(change);
    }

    // --- The metadata

    /// A broker hears of all that was decided, one state after the other.
    pub(crate) fn publish(&mut self, broker: i32) {
        let known = self.nodes[&broker].replica.current().partition_epoch.0;
        let next = usize::try_from(known + 1).expect("partition epochs begin at 0");
        for index in next..self.controller.history.len() {
            self.deliver(broker, index);
        }
    }

    /// A broker hears of one state.
    pub(crate) fn deliver(&mut self, broker: i32, index: usize) {
        let view = self.controller.history[index].clone();
        let is_news = view.leader_epoch > self.nodes[&broker].replica.leader_epoch();
        if is_news && view.leader == Some(BrokerId(broker)) {
            let epoch = view.leader_epoch.0;
            self.node(broker).log.begin_epoch(epoch);
        }
        self.call(broker, |replica, ends, now| replica.view(view, ends, now));
    }

    pub(crate) fn publish_all(&mut self) {
        for broker in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.publish(broker);
        }
    }

    /// The controller has another leader, which knows of it, as all others do.
    pub(crate) fn elect(&mut self, leader: i32) {
        self.controller.elect(leader);
        self.publish_all();
    }

    /// A broker dies, or is believed to.
    pub(crate) fn fence(&mut self, broker: i32) {
        self.controller.fence(broker);
    }

    /// A broker's process starts again, with the log that is there, and registers anew.
    pub(crate) fn restart(&mut self, broker: i32, checkpoint: i64) {
        let (settings, me) = (self.settings, BrokerId(broker));
        let node = self.node(broker);
        node.registration += 1;
        node.replica = Replica::new(me, node.log.ends(), Offset(checkpoint), settings);
        let registration = node.registration;
        self.controller.register(broker, registration);
        self.publish(broker);
    }

    // --- Producers

    /// Appends so many records as one batch. Returns where they end.
    pub(crate) fn append(&mut self, leader: i32, records: usize) -> i64 {
        let epoch = self.nodes[&leader].replica.check_append(false).expect("it leads").0;
        for _ in 0..records {
            self.next_value += 1;
            let record = (epoch, self.next_value);
            self.node(leader).log.append(record);
        }
        self.call(leader, |replica, ends, now| replica.appended(ends, now));
        self.end(leader)
    }

    pub(crate) fn verdict(&self, leader: i32, epoch: i32, end: i64) -> AckVerdict {
        self.nodes[&leader].replica.acknowledged(LeaderEpoch(epoch), Offset(end))
    }

    // --- Fetching

    /// What a follower asks now.
    pub(crate) fn ask(&mut self, follower: i32) -> Option<Sent> {
        let node = self.node(follower);
        let last_epoch = node.log.latest_epoch();
        match node.replica.next_fetch(node.log.ends(), last_epoch) {
            NextFetch::Fetch(from) => Some(Sent { follower, from, broker_epoch: node.registration }),
            NextFetch::Flush | NextFetch::Nothing => None,
        }
    }

    /// A leader answers.
    pub(crate) fn serve(&mut self, sent: &Sent) -> Answer {
        let (now, most) = (self.now, self.most_records);
        let node = self.node(sent.from.leader.0);
        let fetch = FollowerFetch {
            follower: BrokerId(sent.follower),
            broker_epoch: Some(BrokerEpoch(sent.broker_epoch)),
            leader_epoch: sent.from.leader_epoch,
            offset: sent.from.offset,
            last_fetched_epoch: sent.from.last_fetched_epoch,
            log_start: sent.from.log_start,
        };
        let log = &node.log;
        let fetched = node.replica.fetched(&fetch, log.ends(), |epoch| log.end_of(epoch), now);
        let high_watermark = node.replica.high_watermark();
        let mut answer = FetchAnswer {
            error: ErrorCode::None,
            high_watermark,
            log_start: Offset(log.start),
            diverging: None,
        };
        let mut records = Vec::new();
        match fetched {
            Ok(Fetched::Read(change)) => {
                node.change = node.change.and(change);
                let from = usize::try_from(sent.from.offset.0 - log.start).expect("not below the start");
                records = log.records.iter().skip(from).take(most).copied().collect();
            }
            Ok(Fetched::Diverges(end)) => answer.diverging = Some(end),
            Err(error) => answer.error = error,
        }
        Answer { sent: *sent, answer, records }
    }

    /// A follower does what an answer asks for.
    pub(crate) fn take(&mut self, answer: &Answer) -> Step {
        let node = self.node(answer.sent.follower);
        let (ends, log) = (node.log.ends(), &mut node.log);
        let step = node.replica.answered(&answer.sent.from, &answer.answer, ends, |epoch| log.end_of(epoch));
        match step {
            Step::Append { .. } => answer.records.iter().for_each(|record| log.append(*record)),
            Step::Truncate(truncation) => log.truncate(truncation.to.0),
            Step::RestartAt(start) => log.restart_at(start.0),
            Step::Nothing | Step::Retry | Step::WaitForMetadata => return step,
        }
        let change = node.replica.copied(log.ends());
        node.change = node.change.and(change);
        if let Step::Append { delete_below } = step {
            log.delete_below(delete_below.min(node.replica.high_watermark()).0);
        }
        step
    }

    /// One fetch, from the question to what is done with its answer.
    pub(crate) fn fetch(&mut self, follower: i32) -> Step {
        let sent = self.ask(follower).expect("it follows somebody");
        let answer = self.serve(&sent);
        self.take(&answer)
    }

    /// Fetches until the follower has all, and its leader knows.
    pub(crate) fn catch_up(&mut self, follower: i32) {
        for _ in 0..20 {
            let sent = self.ask(follower).expect("it follows somebody");
            let answer = self.serve(&sent);
            let is_done = answer.answer.error == ErrorCode::None
                && answer.answer.diverging.is_none()
                && answer.records.is_empty();
            let _ = self.take(&answer);
            if is_done {
                return;
            }
        }
        panic!("{follower} does not catch up: {:?}", self.nodes[&follower]);
    }

    // --- The ISR

    /// What a leader wants, with its note that it asks for it.
    pub(crate) fn ask_isr(&mut self, leader: i32) -> Option<WantedIsr> {
        let (now, controller) = (self.now, self.controller.clone());
        self.node(leader).replica.ask_isr(|broker| controller.eligible(broker), now)
    }

    /// A leader asks, the controller decides, and all hear of it. Returns the ISR, sorted.
    pub(crate) fn alter_isr(&mut self, leader: i32) -> Vec<i32> {
        if let Some(wanted) = self.ask_isr(leader) {
            let answer = self.controller.alter(leader, &wanted);
            let epoch = wanted.partition_epoch;
            self.call(leader, |replica, _, now| replica.isr_answered(epoch, answer, now));
            assert!(matches!(answer, IsrAnswer::Altered(_)), "{answer:?}");
            self.publish_all();
        }
        self.controller.isr()
    }

    pub(crate) fn tick(&mut self, broker: i32) {
        self.call(broker, |replica, _, now| replica.tick(now));
    }

    pub(crate) fn state(&self, leader: i32, follower: i32) -> FollowerState {
        let states = self.nodes[&leader].replica.followers(self.now);
        states.into_iter().find(|state| state.broker.0 == follower).expect("it is a replica")
    }
}
