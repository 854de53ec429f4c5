//! The machine: inputs in, effects out. The rules and why they hold are told at the top of this module's directory.
//!
//! - `deciding`: whether enough is known to found a quorum or to join one, and the place that a node takes by that.
//! - `asking`: whom to ask when, and what to tell of those that do not answer.
//! - `judging`: what ends a node, and what it only warns of.

mod asking;
mod deciding;
mod judging;
mod sabotaged;

use std::time::Duration;

use ottla_types::config::listeners::Voter;

use super::checks::{check_answer, check_own, check_question};
use super::contract::{Config, Effect, Input, ProbeId, Quorum};
use super::peers::Peer;
use super::problem::{Problem, Warning};
use super::terms::{Answer, ClusterId, Founding, Known, Leader, Question, Record};
use crate::quorum::VoterKey;

/// Where a node is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Its directory gets its id.
    Naming,
    /// It asks.
    Looking,
    /// It keeps the founding that it made or was told, and by whom that leads.
    Keeping(Founding, Option<Leader>),
    /// It belongs to a quorum.
    Settled,
    /// It stops.
    Failed,
}

/// A node that looks for its quorum.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    config: Config,
    record: Record,
    phase: Phase,
    peers: Vec<Peer>,
    next_probe: u64,
    /// Whether there is anything left to ask.
    is_asking: bool,
    /// Whether its directory has its id.
    is_named: bool,
    /// Whether it takes part without a vote.
    is_observing: bool,
    began: Duration,
    warns_at: Duration,
    #[cfg(test)]
    pub(crate) sabotage: Option<crate::founding::model_tests::Sabotage>,
}

impl Bootstrap {
    /// A node that starts at `now` with what its directory keeps; `has_state` if there is a vote or a log entry in it.
    #[must_use]
    pub fn start(
        config: Config,
        kept: Option<Record>,
        has_state: bool,
        now: Duration,
    ) -> (Self, Vec<Effect>) {
        let checked = check_own(&config, kept.as_ref(), has_state);
        let is_new = kept.is_none();
        let me = VoterKey { id: config.node_id, directory: config.proposed_directory };
        let record = kept.unwrap_or(Record { me, founding: None });
        let peers = match &config.quorum {
            Quorum::Voters(voters) => voters.iter().map(|voter| Peer::listed(voter, now)).collect(),
            Quorum::Servers(servers) => servers.iter().map(|at| Peer::server(at.clone(), now)).collect(),
        };
        let mut machine = Self {
            config,
            record,
            phase: Phase::Looking,
            peers,
            next_probe: 0,
            is_asking: true,
            is_named: !is_new,
            is_observing: false,
            began: now,
            warns_at: now,
            #[cfg(test)]
            sabotage: None,
        };
        machine.warns_at += machine.config.timing.warn_after;
        let effects = match (checked, machine.record.founding.clone()) {
            (Err(problem), _) => machine.fail(problem),
            (Ok(()), None) if is_new => {
                machine.phase = Phase::Naming;
                vec![Effect::Store(machine.record.clone())]
            }
            (Ok(()), None) => machine.advance(now),
            (Ok(()), Some(founding)) => {
                let mut effects =
                    if has_state { machine.resume(founding) } else { machine.settle(founding, None) };
                effects.extend(machine.ask(now));
                effects
            }
        };
        (machine, effects)
    }

    /// Who this node is. Others may be told once its directory has its id: from the first [`Effect::Probe`] on.
    #[must_use]
    pub fn me(&self) -> VoterKey {
        self.record.me
    }

    /// What it tells of itself where it asks.
    #[must_use]
    pub fn question(&self) -> Question {
        Question { key: self.me(), listed: self.listed(), cluster_id: self.cluster_id().cloned() }
    }

    /// When the next [`Input::Tick`] is due; `None` where nothing is left to do but to answer.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Duration> {
        if !self.asks() {
            return None;
        }
        let timing = &self.config.timing;
        let next = self.peers.iter().map(|peer| peer.wakes_at(timing)).min();
        Some(next.map_or(self.warns_at, |next| next.min(self.warns_at)))
    }

    /// Takes what happened at `now`.
    #[must_use]
    pub fn step(&mut self, input: Input, now: Duration) -> Vec<Effect> {
        if self.phase == Phase::Failed {
            // Others learn from it what is wrong, as long as it is there.
            return match input {
                Input::Asked(_, known) => vec![self.answer(known)],
                _ => Vec::new(),
            };
        }
        match input {
            Input::Tick => self.advance(now),
            Input::Answered(probe, answer) => self.answered(probe, answer, now),
            Input::Unanswered(probe, why) => {
                let timing = self.config.timing;
                if let Some(peer) = self.peers.iter_mut().find(|peer| peer.awaits(probe)) {
                    peer.failed(why, now, &timing);
                }
                Vec::new()
            }
            Input::Asked(by, known) => self.asked(&by, known, now),
            Input::Stored => self.stored(now),
            Input::LeaderKnown => {
                self.is_asking = false;
                Vec::new()
            }
        }
    }

    fn stored(&mut self, now: Duration) -> Vec<Effect> {
        match std::mem::replace(&mut self.phase, Phase::Looking) {
            Phase::Naming => {
                self.is_named = true;
                self.advance(now)
            }
            Phase::Keeping(founding, leader) => {
                let mut effects = self.settle(founding, leader);
                effects.extend(self.ask(now));
                effects
            }
            other => {
                self.phase = other;
                Vec::new()
            }
        }
    }

    fn answered(&mut self, probe: ProbeId, answer: Answer, now: Duration) -> Vec<Effect> {
        let (me, pause) = (self.me(), self.pause());
        let mine = self.cluster_id().cloned();
        // Another one's is late, or comes twice.
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.awaits(probe)) else { return Vec::new() };
        let checked = check_answer(&self.config, me, mine.as_ref(), &peer.target, &answer);
        peer.answered(answer, now, pause);
        let is_news = checked.as_ref().err().is_some_and(|problem| peer.is_news(problem));
        match checked.and_then(|()| self.check_place()) {
            Err(problem) if self.is_fatal(&problem) => self.fail(problem),
            Err(problem) => {
                let warning = is_news.then_some(Effect::Warn(Warning::Noticed(problem)));
                warning.into_iter().chain(self.ask(now)).collect()
            }
            Ok(()) => self.advance(now),
        }
    }

    fn asked(&mut self, by: &Question, known: Known, now: Duration) -> Vec<Effect> {
        let me = self.me();
        if by.key == me {
            return vec![self.answer(known)];
        }
        let checked = check_question(&self.config, me, self.cluster_id(), by);
        let is_careless = self.is_sabotaged_by_keeping_answers();
        let mut is_news = false;
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.is(by.key.id)) {
            if !is_careless {
                peer.asks_with(by.key.directory, now);
            }
            is_news = checked.as_ref().err().is_some_and(|problem| peer.is_news(problem));
        }
        let mut effects = vec![self.answer(known)];
        match checked {
            // Both are wrong then, and the one that asked is told by the answer.
            Err(problem @ Problem::ListsDisagree { .. }) if self.phase == Phase::Looking => {
                effects.extend(self.fail(problem));
            }
            // Who asks may be the one that is in the wrong place, so this node goes on.
            Err(problem) if is_news => effects.push(Effect::Warn(Warning::Noticed(problem))),
            _ => {}
        }
        effects.extend(self.ask(now));
        effects
    }

    /// What this node says of itself: nothing that it could forget, or that is about to change.
    fn answer(&self, known: Known) -> Effect {
        let is_unsure = match &self.phase {
            Phase::Naming => true,
            // Somebody who founds now would count on an empty directory.
            Phase::Keeping(..) => !self.is_founder(),
            Phase::Looking | Phase::Settled => false,
            Phase::Failed => !self.is_named,
        };
        if is_unsure {
            return Effect::AnswerLater;
        }
        let Question { key, listed, .. } = self.question();
        let founding = self.told_founding();
        let cluster_id = founding.as_ref().map(|founding| founding.cluster_id.clone());
        let cluster_id = cluster_id.or_else(|| self.config.data_of.clone());
        Effect::Answer(Answer { key, listed, cluster_id, founding, known })
    }

    fn listed(&self) -> Vec<Voter> {
        match &self.config.quorum {
            Quorum::Voters(voters) => voters.clone(),
            Quorum::Servers(_) => Vec::new(),
        }
    }

    /// The cluster that this node belongs to, or has data of.
    fn cluster_id(&self) -> Option<&ClusterId> {
        let founding = self.record.founding.as_ref().map(|founding| &founding.cluster_id);
        founding.or(self.config.data_of.as_ref())
    }

    fn told_founding(&self) -> Option<Founding> {
        #[cfg(test)]
        if let (Some(crate::founding::model_tests::Sabotage::TellBeforeStored), Phase::Keeping(founding, _)) =
            (self.sabotage, &self.phase)
        {
            return Some(founding.clone());
        }
        self.record.founding.clone()
    }

    /// Looks whether there is enough to decide on, and asks whoever is to be asked.
    fn advance(&mut self, now: Duration) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.phase == Phase::Looking {
            match self.decide() {
                Err(problem) => return self.fail(problem),
                Ok(Some((founding, leader))) => {
                    let record = Record { me: self.me(), founding: Some(founding.clone()) };
                    effects.push(Effect::Store(record));
                    self.phase = Phase::Keeping(founding, leader);
                }
                Ok(None) => {}
            }
        }
        effects.extend(self.ask(now));
        effects
    }

    /// The answers that count, apart from this node's to itself.
    fn answers(&self) -> impl Iterator<Item = &Answer> {
        let me = self.me();
        self.peers.iter().filter_map(|peer| peer.answer.as_ref()).filter(move |answer| answer.key != me)
    }

    fn fail(&mut self, problem: Problem) -> Vec<Effect> {
        self.phase = Phase::Failed;
        vec![Effect::Fail(problem)]
    }
}
