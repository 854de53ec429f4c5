//! The world that the model is: nodes, disks, and messages on their way; what may happen in it, and what must hold.

use std::time::Duration;

use ottla_types::config::listeners::Voter;
use ottla_types::{BrokerId, DirectoryId, LeadershipEpoch};

use super::super::*;
use super::Sabotage;
use crate::quorum::VoterKey;

pub(super) const NODES: usize = 3;
const TIMING: Timing = Timing {
    pause: Duration::from_millis(50),
    patience: Duration::from_millis(1_000),
    warn_after: Duration::from_secs(10_000),
    warn_every: Duration::from_secs(10_000),
};

#[derive(Debug, Clone)]
pub(super) enum Message {
    Ask { from: usize, process: u8, to: usize, probe: ProbeId, by: VoterKey },
    Answer { to: usize, process: u8, probe: ProbeId, answer: Option<Box<Answer>> },
}

#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    machine: Option<Bootstrap>,
    /// Which of its processes runs or ran last.
    process: u8,
    disk: Option<Record>,
    /// What is being stored.
    pub(super) storing: Option<Record>,
    /// Whether a vote is on its disk.
    voted: bool,
    now: Duration,
    /// By which founding its process votes.
    votes: Option<Founding>,
    /// Whether its process knows its place.
    is_settled: bool,
}

#[derive(Debug, Clone)]
pub(super) struct World {
    sabotage: Option<Sabotage>,
    pub(super) nodes: [Node; NODES],
    pub(super) wire: Vec<Message>,
    /// Who ever was allowed to vote, and by what.
    voters: Vec<(VoterKey, Founding)>,
    lost: Vec<VoterKey>,
    formed: Option<Founding>,
    crashes: u8,
    losses: u8,
    pub(super) losses_on_the_wire: u8,
    ticks: u8,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    Start(usize),
    Deliver(usize),
    Drop(usize),
    Twice(usize),
    Stored(usize),
    Vote(usize),
    Elect,
    Tick(usize),
    /// A store that is under way may have been done, or not.
    Crash(usize, bool),
    LoseDisk(usize),
    /// It crashes, loses its disk, and is started again with a new one, all before anything else happens.
    Replace(usize),
}

fn listed() -> Vec<Voter> {
    (1..=3).map(|id| Voter { id: BrokerId(id), host: "h".to_owned(), port: 9000 + id as u16 }).collect()
}

impl World {
    pub(super) fn new(sabotage: Option<Sabotage>, faults: u8, ticks: u8) -> Self {
        Self {
            sabotage,
            nodes: Default::default(),
            wire: Vec::new(),
            voters: Vec::new(),
            lost: Vec::new(),
            formed: None,
            crashes: faults,
            losses: 1,
            losses_on_the_wire: faults,
            ticks,
        }
    }

    pub(super) fn actions(&self) -> Vec<Action> {
        let mut actions: Vec<Action> = (0..self.wire.len()).map(Action::Deliver).collect();
        for (at, node) in self.nodes.iter().enumerate() {
            if node.machine.is_none() {
                actions.push(Action::Start(at));
                if self.losses > 0 && node.disk.is_some() {
                    actions.push(Action::LoseDisk(at));
                }
                continue;
            }
            if node.storing.is_some() {
                actions.push(Action::Stored(at));
            }
            if node.votes.is_some() && !node.voted {
                actions.push(Action::Vote(at));
            }
            if self.ticks > 0 {
                actions.push(Action::Tick(at));
            }
            if self.crashes > 0 && self.losses > 0 && node.disk.is_some() {
                actions.push(Action::Replace(at));
            }
            if self.crashes > 0 {
                actions.push(Action::Crash(at, false));
                if node.storing.is_some() {
                    actions.push(Action::Crash(at, true));
                }
            }
        }
        if self.formed.is_none() && self.electable().is_some() {
            actions.push(Action::Elect);
        }
        if self.losses_on_the_wire > 0 {
            actions.extend((0..self.wire.len()).flat_map(|at| [Action::Drop(at), Action::Twice(at)]));
        }
        actions
    }

    /// A founding by which a majority of its voters runs and has voted.
    fn electable(&self) -> Option<&Founding> {
        let running = self.nodes.iter().filter(|node| node.voted);
        let mut foundings = running.filter_map(|node| node.votes.as_ref());
        foundings.find(|founding| {
            let with_it = |node: &&Node| node.voted && node.votes.as_ref() == Some(founding);
            self.nodes.iter().filter(with_it).count() * 2 > founding.voters.len()
        })
    }

    pub(super) fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Start(at) => self.start(at)?,
            Action::Deliver(at) => {
                let message = self.wire.remove(at);
                self.deliver(message)?;
            }
            Action::Drop(at) => {
                self.losses_on_the_wire -= 1;
                self.wire.remove(at);
            }
            Action::Twice(at) => {
                self.losses_on_the_wire -= 1;
                self.wire.push(self.wire[at].clone());
            }
            Action::Stored(at) => {
                self.nodes[at].disk = self.nodes[at].storing.take();
                if self.sabotage != Some(Sabotage::VoteBeforeStored) {
                    self.step(at, Input::Stored)?;
                }
            }
            Action::Vote(at) => self.nodes[at].voted = true,
            Action::Elect => self.formed = self.electable().cloned(),
            Action::Tick(at) => {
                self.ticks -= 1;
                self.nodes[at].now += TIMING.patience;
                self.step(at, Input::Tick)?;
            }
            Action::Crash(at, is_stored) => {
                self.crashes -= 1;
                self.crash(at, is_stored);
            }
            Action::LoseDisk(at) => self.lose_disk(at),
            Action::Replace(at) => {
                self.crashes -= 1;
                self.crash(at, false);
                self.lose_disk(at);
                self.start(at)?;
                self.act(Action::Stored(at))?;
            }
        }
        self.check()
    }

    fn crash(&mut self, at: usize, is_stored: bool) {
        let node = &mut self.nodes[at];
        if let Some(record) = node.storing.take().filter(|_| is_stored) {
            node.disk = Some(record);
        }
        (node.machine, node.votes, node.is_settled) = (None, None, false);
    }

    fn lose_disk(&mut self, at: usize) {
        self.losses -= 1;
        let node = &mut self.nodes[at];
        self.lost.extend(node.disk.take().map(|record| record.me));
        node.voted = false;
    }

    fn start(&mut self, at: usize) -> Result<(), String> {
        let node = &mut self.nodes[at];
        node.process += 1;
        let (id, process) = (at as u8 + 1, node.process);
        let is_same = self.sabotage == Some(Sabotage::KeepDirectoryId);
        let directory = DirectoryId([id * 16 + if is_same { 0 } else { process }; 16]);
        let config = Config {
            node_id: BrokerId(i32::from(id)),
            quorum: Quorum::Voters(listed()),
            data_of: None,
            log_of_data: None,
            proposed_cluster_id: ClusterId::new(&format!("cluster-{id}-{process}")),
            proposed_directory: directory,
            known: Known::default(),
            timing: TIMING,
        };
        let (mut machine, effects) = Bootstrap::start(config, node.disk.clone(), node.voted, node.now);
        machine.sabotage = self.sabotage;
        node.machine = Some(machine);
        self.carry_out(at, effects, None)
    }

    fn deliver(&mut self, message: Message) -> Result<(), String> {
        match message {
            Message::Ask { from, process, to, probe, by } => {
                let node = &mut self.nodes[to];
                let leader = node.votes.as_ref().filter(|founding| self.formed.as_ref() == Some(founding));
                let leader = leader.map(|_| Leader { id: BrokerId(1), epoch: LeadershipEpoch(1) });
                let Some(machine) = &mut node.machine else {
                    self.wire.push(Message::Answer { to: from, process, probe, answer: None });
                    return Ok(());
                };
                let known = Known { leader, voters: Vec::new() };
                let by = Question { key: by, listed: listed(), cluster_id: None };
                let effects = machine.step(Input::Asked(by, known), node.now);
                self.carry_out(to, effects, Some((from, process, probe)))
            }
            Message::Answer { to, process, probe, answer } => {
                if self.nodes[to].process != process || self.nodes[to].machine.is_none() {
                    return Ok(());
                }
                let input = match answer {
                    Some(answer) => Input::Answered(probe, *answer),
                    None => Input::Unanswered(probe, "refused".to_owned()),
                };
                self.step(to, input)
            }
        }
    }

    fn step(&mut self, at: usize, input: Input) -> Result<(), String> {
        let node = &mut self.nodes[at];
        let Some(machine) = &mut node.machine else { return Ok(()) };
        let effects = machine.step(input, node.now);
        self.carry_out(at, effects, None)
    }

    fn carry_out(
        &mut self,
        at: usize,
        effects: Vec<Effect>,
        asked: Option<(usize, u8, ProbeId)>,
    ) -> Result<(), String> {
        for effect in effects {
            let node = &mut self.nodes[at];
            match effect {
                Effect::Probe(probe, target) => {
                    let to = target.address.port as usize - 9001;
                    // What a node says to itself has its own tests.
                    if to != at {
                        let by = node.machine.as_ref().unwrap().me();
                        self.wire.push(Message::Ask { from: at, process: node.process, to, probe, by });
                    }
                }
                Effect::Store(record) => {
                    node.storing = Some(record);
                    if self.sabotage == Some(Sabotage::VoteBeforeStored) {
                        self.step(at, Input::Stored)?;
                    }
                }
                Effect::Answer(answer) => {
                    let (to, process, probe) = asked.unwrap();
                    let answer = Some(Box::new(answer));
                    self.wire.push(Message::Answer { to, process, probe, answer });
                }
                Effect::AnswerLater => {
                    let (to, process, probe) = asked.unwrap();
                    self.wire.push(Message::Answer { to, process, probe, answer: None });
                }
                Effect::Initialise(me, founding) => {
                    if node.disk.as_ref().and_then(|record| record.founding.as_ref()) != Some(&founding) {
                        return Err(format!("{me} votes by a founding that is not durable"));
                    }
                    (node.votes, node.is_settled) = (Some(founding.clone()), true);
                    self.voters.push((me, founding));
                }
                Effect::Resume(..) => {
                    let record = node.disk.clone().unwrap();
                    (node.votes, node.is_settled) = (record.founding, true);
                }
                Effect::JoinAsObserver { .. } => node.is_settled = true,
                Effect::Warn(_) => {}
                Effect::Fail(problem) => return Err(format!("node {} fails: {problem}", at + 1)),
            }
        }
        Ok(())
    }

    /// What must never be.
    fn check(&self) -> Result<(), String> {
        let mut kept = self.nodes.iter().filter_map(|node| node.disk.as_ref()?.founding.as_ref());
        if let Some(first) = kept.next()
            && let Some(other) = kept.find(|other| *other != first)
        {
            return Err(format!("two foundings at once: {first:?} and {other:?}"));
        }
        for (key, founding) in &self.voters {
            if founding.key_of(key.id) != Some(*key) {
                return Err(format!("{key} votes by a founding that does not name it"));
            }
            let by_others = self.voters.iter().find(|(other, by)| other == key && by != founding);
            if by_others.is_some() {
                return Err(format!("{key} votes by two foundings"));
            }
            if self.formed.as_ref().is_some_and(|formed| formed != founding) && self.has_majority(founding) {
                return Err("two foundings had a majority".to_owned());
            }
        }
        for node in &self.nodes {
            let voting = node.votes.as_ref().and(node.disk.as_ref());
            if let Some(record) = voting.filter(|record| self.lost.contains(&record.me)) {
                return Err(format!("{} votes though its disk was lost", record.me));
            }
        }
        Ok(())
    }

    fn has_majority(&self, founding: &Founding) -> bool {
        let with_it = |voter: &&FoundingVoter| {
            let key = VoterKey { id: voter.listed.id, directory: voter.directory };
            self.voters.iter().any(|(other, by)| *other == key && by == founding)
        };
        founding.voters.iter().filter(with_it).count() * 2 > listed().len()
    }

    /// Lets everybody run without faults. Then all know their place, and a majority votes by one founding.
    pub(super) fn come_to_rest(mut self) -> Result<(), String> {
        for _ in 0..40 {
            let is_done = |node: &Node| node.is_settled && node.storing.is_none();
            if self.nodes.iter().all(is_done) {
                break;
            }
            for at in 0..NODES {
                if self.nodes[at].machine.is_none() {
                    self.start(at)?;
                }
                if self.nodes[at].storing.is_some() {
                    self.act(Action::Stored(at))?;
                }
                self.ticks = 1;
                self.act(Action::Tick(at))?;
            }
            while !self.wire.is_empty() {
                self.act(Action::Deliver(0))?;
            }
        }
        if let Some(at) = self.nodes.iter().position(|node| !node.is_settled) {
            return Err(format!("node {} never knows its place", at + 1));
        }
        let founding = self.nodes[0].disk.clone().unwrap().founding.unwrap();
        let voting = self.nodes.iter().filter(|node| {
            let record = node.disk.as_ref().unwrap();
            founding.key_of(record.me.id) == Some(record.me) && node.votes.as_ref() == Some(&founding)
        });
        if voting.count() * 2 > listed().len() { Ok(()) } else { Err("no majority votes".to_owned()) }
    }
}
