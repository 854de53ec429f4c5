//! The machine: inputs in, effects out. The rules and why they hold are told at the top of this module's directory.

use std::time::Duration;

use ottla_types::config::listeners::Voter;
use ottla_types::{BrokerId, DirectoryId};

use super::checks::{check_agreement, check_answer, check_cluster, check_namesake, check_own};
use super::peers::Peer;
use super::problem::{Problem, Warning};
use super::terms::{Address, Answer, ClusterId, Founding, FoundingVoter, Leader, Record};
use crate::quorum::VoterKey;

/// What a node is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// `node.id`.
    pub node_id: BrokerId,
    /// How it finds its quorum.
    pub quorum: Quorum,
    /// `cluster.id` of the `meta.properties` in its log directories, if there is any.
    pub data_of: Option<ClusterId>,
    /// What to call the cluster if this node founds it, new at each start.
    pub proposed_cluster_id: ClusterId,
    /// The id of its metadata directory if that has none yet, new at each start.
    pub proposed_directory: DirectoryId,
    /// When to ask.
    pub timing: Timing,
}

/// How a node finds its quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quorum {
    /// `controller.quorum.voters`, of a node that votes: this node among them.
    Voters(Vec<Voter>),
    /// `controller.quorum.bootstrap.servers`, or the voters' addresses for a node that does not vote: it only joins.
    Servers(Vec<Address>),
}

/// When to ask, and to complain.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// From an answer to the next question.
    pub pause: Duration,
    /// How long a probe may take.
    pub patience: Duration,
    /// From one warning to the next.
    pub warn_every: Duration,
}

/// Names a probe, so that its answer can be told from that to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub u64);

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The node that should be there, where that is known.
    pub node: Option<BrokerId>,
    /// Where.
    pub address: Address,
}

/// What happens to a node.
#[derive(Debug, Clone)]
pub enum Input {
    /// Time has passed, see [`Bootstrap::wakes_at`].
    Tick,
    /// A probe of this process was answered.
    Answered(ProbeId, Answer),
    /// A probe was not: refused, reset, timed out, or answered with an error.
    Unanswered(ProbeId, String),
    /// Another node asks, and is told the last leader that this node's log knows of: [`Effect::Answer`].
    Asked(VoterKey, Option<Leader>),
    /// The record of the last [`Effect::Store`] is durable.
    Stored,
    /// The quorum is known to have a leader: nothing is left to look for.
    LeaderKnown,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask a node, as [`Bootstrap::me`].
    Probe(ProbeId, Target),
    /// Keep this durably, then tell [`Input::Stored`]. At most one is under way.
    Store(Record),
    /// Answer the node that asked.
    Answer(Answer),
    /// Tell the node that asked to ask again: what there is to say is not durable yet.
    AnswerLater,
    /// Vote as this key, in the quorum of these voters; the log is to begin with them. Until this, [`Effect::Resume`] or
    /// [`Effect::JoinAsObserver`], no message of the quorum may be answered. Where the log has begun meanwhile because a
    /// leader was quicker, that is as good.
    Initialise(VoterKey, Founding),
    /// Go on with the votes and the log that are there.
    Resume(VoterKey, ClusterId),
    /// Follow the log without a vote.
    JoinAsObserver {
        /// Who this node is. No vote was ever cast by this directory.
        me: VoterKey,
        /// The cluster.
        cluster_id: ClusterId,
        /// The directory of this node that is lost, if the quorum counts on one: the leader removes that voter and adds
        /// this node.
        replaces: Option<VoterKey>,
        /// Who leads, if anybody knew.
        leader: Option<Leader>,
    },
    /// Tell the operator; the node goes on.
    Warn(Warning),
    /// Tell the operator, and stop.
    Fail(Problem),
}

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
    began: Duration,
    warned: Duration,
    #[cfg(test)]
    pub(crate) sabotage: Option<super::model_tests::Sabotage>,
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
            began: now,
            warned: now,
            #[cfg(test)]
            sabotage: None,
        };
        let effects = match (checked, machine.record.founding.clone()) {
            (Err(problem), _) => machine.fail(problem),
            (Ok(()), None) if is_new => {
                machine.phase = Phase::Naming;
                vec![Effect::Store(machine.record.clone())]
            }
            (Ok(()), None) => machine.advance(now),
            (Ok(()), Some(founding)) => {
                let mut effects = if has_state {
                    machine.phase = Phase::Settled;
                    vec![Effect::Resume(machine.me(), founding.cluster_id)]
                } else {
                    machine.settle(founding, None)
                };
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

    /// When the next [`Input::Tick`] is due; `None` where nothing is left to do but to answer.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Duration> {
        if !self.is_asking || matches!(self.phase, Phase::Naming | Phase::Failed) {
            return None;
        }
        let timing = &self.config.timing;
        let asked = self.peers.iter().filter(|peer| self.is_asked(peer));
        let next = asked.map(|peer| peer.wakes_at(timing)).min()?;
        Some(next.min(self.warned + timing.warn_every))
    }

    /// Takes what happened at `now`.
    #[must_use]
    pub fn step(&mut self, input: Input, now: Duration) -> Vec<Effect> {
        if self.phase == Phase::Failed {
            return match input {
                Input::Asked(..) => vec![Effect::AnswerLater],
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
            Input::Asked(by, leader) => self.asked(by, leader, now),
            Input::Stored => self.stored(now),
            Input::LeaderKnown => {
                self.is_asking = false;
                Vec::new()
            }
        }
    }

    fn stored(&mut self, now: Duration) -> Vec<Effect> {
        match std::mem::replace(&mut self.phase, Phase::Looking) {
            Phase::Naming => self.advance(now),
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
        let (me, timing) = (self.me(), self.config.timing);
        // Another one's is late, or comes twice.
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.awaits(probe)) else { return Vec::new() };
        let checked = check_answer(&self.config, me, &peer.target, &answer);
        peer.answered(answer, now, &timing);
        match checked {
            Err(problem) => self.object(problem),
            Ok(()) => self.advance(now),
        }
    }

    fn asked(&mut self, by: VoterKey, leader: Option<Leader>, now: Duration) -> Vec<Effect> {
        let mut effects = Vec::new();
        let me = self.me();
        let is_careless = self.is_sabotaged_by_keeping_answers();
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.is(by.id) && !is_careless) {
            let is_news = peer.seen != Some(by.directory);
            peer.asks_with(by.directory, now);
            // Who asks may be the one that is in the wrong place, so this node goes on.
            if let Err(problem) = check_namesake(me, &by, "one that asked this one")
                && is_news
            {
                effects.push(Effect::Warn(Warning::Noticed(problem)));
            }
        }
        effects.push(self.answer(leader));
        effects.extend(self.ask(now));
        effects
    }

    /// What this node says of itself: nothing that it could forget, or that is about to change.
    fn answer(&self, leader: Option<Leader>) -> Effect {
        let is_unsure = match &self.phase {
            Phase::Naming | Phase::Failed => true,
            // Somebody who founds now would count on an empty directory.
            Phase::Keeping(..) => !self.is_founder(),
            Phase::Looking | Phase::Settled => false,
        };
        if is_unsure {
            return Effect::AnswerLater;
        }
        let listed = match &self.config.quorum {
            Quorum::Voters(voters) => voters.clone(),
            Quorum::Servers(_) => Vec::new(),
        };
        let founding = self.told_founding();
        let cluster_id = founding.as_ref().map(|founding| founding.cluster_id.clone());
        let cluster_id = cluster_id.or_else(|| self.config.data_of.clone());
        Effect::Answer(Answer { key: self.me(), listed, cluster_id, founding, leader })
    }

    fn told_founding(&self) -> Option<Founding> {
        #[cfg(test)]
        if let (Some(super::model_tests::Sabotage::TellBeforeStored), Phase::Keeping(founding, _)) =
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

    /// The quorum that this node founds or joins, and who leads it, once it knows enough.
    fn decide(&self) -> Result<Option<(Founding, Option<Leader>)>, Problem> {
        check_agreement(self.answers())?;
        let found = match &self.config.quorum {
            Quorum::Voters(voters) if self.is_founder() => match self.told(|_| true) {
                None => return Ok(self.found(voters).map(|founding| (founding, None))),
                found => found,
            },
            Quorum::Voters(_) => {
                // The founder's word counts as it is, any other's only if the quorum has worked. (See the argument.)
                self.told(|answer| self.is_by_founder(answer) || answer.leader.is_some())
            }
            Quorum::Servers(_) => self.told(|answer| answer.leader.is_some()),
        };
        let Some((answer, founding)) = found else { return Ok(None) };
        check_cluster(&self.config, answer.key.id, founding)?;
        if self.is_founder() && founding.key_of(self.me().id) == Some(self.me()) {
            let (other, cluster_id) = (answer.key.id, founding.cluster_id.clone());
            return Err(Problem::RolledBack { other, cluster_id });
        }
        let leader = self.answers().filter_map(|answer| answer.leader).max_by_key(|leader| leader.epoch);
        Ok(Some((founding.clone(), leader)))
    }

    /// A founding that was told in an answer that will do.
    fn told(&self, will_do: impl Fn(&Answer) -> bool) -> Option<(&Answer, &Founding)> {
        let mut told = self.answers().filter(|answer| will_do(answer));
        told.find_map(|answer| Some((answer, answer.founding.as_ref()?)))
    }

    /// A new quorum, if all others have answered. None of them has a founding.
    fn found(&self, voters: &[Voter]) -> Option<Founding> {
        let directory = |voter: &Voter| {
            if voter.id == self.me().id {
                return Some(self.me().directory);
            }
            self.answers().find(|answer| answer.key.id == voter.id).map(|answer| answer.key.directory)
        };
        let mut founding = Vec::with_capacity(voters.len());
        for voter in voters {
            let directory = match directory(voter) {
                None if self.is_sabotaged_by_haste() => continue,
                directory => directory?,
            };
            founding.push(FoundingVoter { listed: voter.clone(), directory });
        }
        founding.sort_by_key(|voter| voter.listed.id);
        // The data that is there belongs to a cluster already: its quorum was lost as a whole, or is new.
        let known = self.answers().find_map(|answer| answer.cluster_id.clone());
        let cluster_id = self.config.data_of.clone().or(known);
        let cluster_id = cluster_id.unwrap_or_else(|| self.config.proposed_cluster_id.clone());
        Some(Founding { cluster_id, voters: founding })
    }

    /// The founding is durable: this node takes its place.
    fn settle(&mut self, founding: Founding, leader: Option<Leader>) -> Vec<Effect> {
        self.phase = Phase::Settled;
        self.record.founding = Some(founding.clone());
        self.peers.iter_mut().for_each(|peer| peer.answer = None);
        let (me, counted_on) = (self.me(), founding.key_of(self.me().id));
        if counted_on == Some(me) && matches!(self.config.quorum, Quorum::Voters(_)) {
            return vec![Effect::Initialise(me, founding)];
        }
        let replaces = counted_on.filter(|counted_on| *counted_on != me);
        vec![Effect::JoinAsObserver { me, cluster_id: founding.cluster_id, replaces, leader }]
    }

    /// The voter with the lowest id decides on the founding.
    fn founder(&self) -> Option<BrokerId> {
        match &self.config.quorum {
            Quorum::Voters(voters) => voters.iter().map(|voter| voter.id).min(),
            Quorum::Servers(_) => None,
        }
    }

    fn is_founder(&self) -> bool {
        self.founder() == Some(self.config.node_id) || self.is_sabotaged_by_rivals()
    }

    fn is_by_founder(&self, answer: &Answer) -> bool {
        self.founder() == Some(answer.key.id)
    }

    /// The answers that count, apart from this node's to itself.
    fn answers(&self) -> impl Iterator<Item = &Answer> {
        let me = self.me();
        self.peers.iter().filter_map(|peer| peer.answer.as_ref()).filter(move |answer| answer.key != me)
    }

    /// Whether a node is asked, once or again: as long as this one looks, and then until it has been heard once.
    fn is_asked(&self, peer: &Peer) -> bool {
        match self.phase {
            Phase::Settled => peer.answer.is_none(),
            Phase::Looking => true,
            Phase::Naming | Phase::Keeping(..) | Phase::Failed => false,
        }
    }

    fn ask(&mut self, now: Duration) -> Vec<Effect> {
        if !self.is_asking {
            return Vec::new();
        }
        let timing = self.config.timing;
        let mut effects = Vec::new();
        let mut peers = std::mem::take(&mut self.peers);
        for peer in &mut peers {
            if self.is_asked(peer) && peer.is_due(now, &timing) {
                let probe = ProbeId(self.next_probe);
                self.next_probe += 1;
                peer.ask(probe, now);
                effects.push(Effect::Probe(probe, peer.target.clone()));
            }
        }
        self.peers = peers;
        effects.extend(self.complain(now).map(Effect::Warn));
        effects
    }

    /// What the operator should know by now.
    fn complain(&mut self, now: Duration) -> Option<Warning> {
        if now < self.warned + self.config.timing.warn_every {
            return None;
        }
        self.warned = now;
        let me = self.config.node_id;
        let others = self.peers.iter().filter(|peer| !peer.is(me));
        let nodes: Vec<_> = others.filter_map(|peer| peer.silence(now)).collect();
        if nodes.is_empty() {
            let waiting = now.saturating_sub(self.began);
            let founder = self.founder().filter(|founder| *founder != me);
            return (self.phase == Phase::Looking).then_some(Warning::NotFounded { founder, waiting });
        }
        let consequence = match (&self.phase, &self.config.quorum) {
            (Phase::Looking, Quorum::Voters(_)) => {
                "A metadata quorum is founded only when every node of controller.quorum.voters has answered: start them, or \
                 correct the list on every node"
            }
            (Phase::Looking, Quorum::Servers(_)) => {
                "Start them, or correct controller.quorum.bootstrap.servers: this node joins a quorum, and founds none"
            }
            _ => "Without a majority of its voters the metadata quorum has no leader: start them",
        };
        Some(Warning::Silent { nodes, consequence })
    }

    /// A node that looks for its place does not take one in a set-up that cannot work. One that has its place keeps it.
    fn object(&mut self, problem: Problem) -> Vec<Effect> {
        match self.phase {
            Phase::Settled | Phase::Keeping(..) => vec![Effect::Warn(Warning::Noticed(problem))],
            Phase::Naming | Phase::Looking | Phase::Failed => self.fail(problem),
        }
    }

    fn fail(&mut self, problem: Problem) -> Vec<Effect> {
        self.phase = Phase::Failed;
        vec![Effect::Fail(problem)]
    }
}

/// The rules that tests break on purpose, to show that they find it.
impl Bootstrap {
    fn is_sabotaged_by_keeping_answers(&self) -> bool {
        #[cfg(test)]
        return self.sabotage == Some(super::model_tests::Sabotage::KeepAnswersOfLostDirectories);
        #[cfg(not(test))]
        false
    }

    fn is_sabotaged_by_haste(&self) -> bool {
        #[cfg(test)]
        return self.sabotage == Some(super::model_tests::Sabotage::FoundByMajority);
        #[cfg(not(test))]
        false
    }

    fn is_sabotaged_by_rivals(&self) -> bool {
        #[cfg(test)]
        return self.sabotage == Some(super::model_tests::Sabotage::EverybodyFounds);
        #[cfg(not(test))]
        false
    }
}
