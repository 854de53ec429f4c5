//! The machine: inputs in, effects out. The rules and why they hold are told at the top of this module's directory.

use std::time::Duration;

use ottla_types::config::listeners::Voter;
use ottla_types::{BrokerId, DirectoryId};

use super::checks::{
    check_agreement, check_answer, check_cluster, check_majority, check_own, check_question,
};
use super::peers::Peer;
use super::problem::{Problem, Warning};
use super::terms::{
    Address, Answer, ClusterId, Founding, FoundingVoter, Known, Leader, Question, Record, difference,
};
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
    /// What its log knows; nothing where that is empty.
    pub known: Known,
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
    /// From the start to the first warning that something is waited for.
    pub warn_after: Duration,
    /// From one such warning to the next.
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
    /// Another node asks, and is told what this node's log knows: [`Effect::Answer`].
    Asked(Question, Known),
    /// The record of the last [`Effect::Store`] is durable.
    Stored,
    /// The quorum is known to have a leader: nothing is left to look for.
    LeaderKnown,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask a node, with [`Bootstrap::question`].
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
    /// Whether its directory has its id.
    is_named: bool,
    /// Whether it takes part without a vote.
    is_observing: bool,
    began: Duration,
    warns_at: Duration,
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
        if !self.is_asking || matches!(self.phase, Phase::Naming | Phase::Failed) {
            return None;
        }
        let timing = &self.config.timing;
        let next = self.peers.iter().filter(|_| self.asks()).map(|peer| peer.wakes_at(timing)).min();
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

    /// Who has its place, and knows of no leader, looks whether there can be one that knows it.
    fn check_place(&self) -> Result<(), Problem> {
        let Some(founding) = &self.record.founding else { return Ok(()) };
        let me = self.me();
        let mut others = self.peers.iter().filter(|peer| !peer.is(me.id));
        let have_all_answered = others.all(|peer| peer.answer.is_some());
        if self.phase != Phase::Settled || !self.is_asking || !have_all_answered {
            return Ok(());
        }
        let answers: Vec<&Answer> = self.answers().collect();
        check_majority(me, !self.is_observing, founding, &self.config.known, answers.iter().copied())
    }

    /// A node that looks for its place does not take one in a set-up that cannot work. One that has its place keeps it,
    /// unless the quorum has no leader yet and it is this node that is wrong there.
    fn is_fatal(&self, problem: &Problem) -> bool {
        match self.phase {
            // What is on its way to the disk is neither there nor not.
            Phase::Keeping(..) => false,
            Phase::Naming | Phase::Looking | Phase::Failed => true,
            Phase::Settled if !self.is_asking => false,
            Phase::Settled => match problem {
                // At this node's own address. It cannot be told from this one by those that ask there.
                Problem::TwoNodes { .. } | Problem::MajorityLost { .. } | Problem::Removed { .. } => true,
                Problem::OtherCluster { .. } => self.is_outnumbered(),
                _ => false,
            },
        }
    }

    /// Whether more of those that answered are of another cluster than of this node's.
    fn is_outnumbered(&self) -> bool {
        let mine = self.cluster_id();
        let (with_me, others): (Vec<&Answer>, Vec<&Answer>) = self
            .answers()
            .filter(|answer| answer.cluster_id.is_some())
            .partition(|answer| answer.cluster_id.as_ref() == mine);
        others.len() > with_me.len() + 1
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
                self.told(|answer| self.is_by_founder(answer) || answer.known.leader.is_some())
            }
            Quorum::Servers(_) => self.told(|answer| answer.known.leader.is_some()),
        };
        let Some((answer, founding)) = found else { return Ok(None) };
        check_cluster(&self.config, answer.key.id, founding)?;
        if self.is_founder() && founding.key_of(self.me().id) == Some(self.me()) {
            let (other, cluster_id) = (answer.key.id, founding.cluster_id.clone());
            return Err(Problem::RolledBack { other, cluster_id });
        }
        let leader =
            self.answers().filter_map(|answer| answer.known.leader).max_by_key(|leader| leader.epoch);
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
        self.is_observing = true;
        vec![Effect::JoinAsObserver { me, cluster_id: founding.cluster_id, replaces, leader }]
    }

    /// There are votes or a log: this node takes up the place that it had. One that came instead of a lost directory may have
    /// followed the log without having been voted in.
    fn resume(&mut self, founding: Founding) -> Vec<Effect> {
        let me = self.me();
        let votes = self.config.known.voters.iter().any(|voter| voter.key == me);
        let is_named = founding.key_of(me.id) == Some(me);
        if !votes && !is_named {
            return self.settle(founding, self.config.known.leader);
        }
        self.phase = Phase::Settled;
        let mut effects = vec![Effect::Resume(me, founding.cluster_id)];
        let listed = self.listed();
        if let Some(difference) = difference(&listed, &self.config.known.voters)
            && !listed.is_empty()
            && !self.config.known.voters.is_empty()
        {
            effects.push(Effect::Warn(Warning::ListDiffers { node: me.id, difference }));
        }
        effects
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

    /// Whether nodes are asked: until this one has its place, and a leader is known.
    fn asks(&self) -> bool {
        self.is_asking && matches!(self.phase, Phase::Looking | Phase::Settled)
    }

    /// From an answer to the next question. Who has its place can only wait.
    fn pause(&self) -> Duration {
        let timing = &self.config.timing;
        if self.phase == Phase::Settled { timing.pause.max(timing.patience) } else { timing.pause }
    }

    fn ask(&mut self, now: Duration) -> Vec<Effect> {
        if !self.asks() {
            return Vec::new();
        }
        let timing = self.config.timing;
        let mut effects = Vec::new();
        let mut peers = std::mem::take(&mut self.peers);
        for peer in &mut peers {
            if peer.is_due(now, &timing) {
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
        if now < self.warns_at {
            return None;
        }
        self.warns_at = now + self.config.timing.warn_every;
        self.waiting(now)
    }

    /// What this node waits for, unless it has its place and the quorum a leader.
    #[must_use]
    pub fn waiting(&self, now: Duration) -> Option<Warning> {
        if !self.is_asking || matches!(self.phase, Phase::Failed) {
            return None;
        }
        let me = self.config.node_id;
        let others = self.peers.iter().filter(|peer| !peer.is(me));
        let nodes: Vec<_> = others.filter_map(|peer| peer.silence(now)).collect();
        let waiting = now.saturating_sub(self.began);
        if nodes.is_empty() {
            let founder = self.founder().filter(|founder| *founder != me);
            return Some(match self.phase {
                Phase::Settled => Warning::NoLeader { waiting },
                _ => Warning::NotFounded { founder, waiting },
            });
        }
        let consequence = match (&self.phase, &self.config.quorum) {
            (Phase::Settled, _) => {
                "Without a majority of its voters the metadata quorum has no leader: start them"
            }
            (_, Quorum::Voters(_)) => {
                "A metadata quorum is founded only when every node of controller.quorum.voters has answered: start them, or \
                 correct the list on every node"
            }
            (_, Quorum::Servers(_)) => {
                "Start them, or correct controller.quorum.bootstrap.servers: this node joins a quorum, and founds none"
            }
        };
        Some(Warning::Silent { nodes, consequence })
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
