//! Whether enough is known to found a quorum or to join one, and the place that a node takes by that.

use ottla_types::BrokerId;
use ottla_types::config::listeners::Voter;

use super::{Bootstrap, Phase};
use crate::founding::checks::{check_agreement, check_cluster, check_data};
use crate::founding::contract::{Effect, Quorum};
use crate::founding::peers::Peer;
use crate::founding::problem::{Problem, Warning};
use crate::founding::terms::{Answer, Founding, FoundingVoter, Leader, difference};

impl Bootstrap {
    /// The quorum that this node founds or joins, and who leads it, once it knows enough.
    pub(super) fn decide(&self) -> Result<Option<(Founding, Option<Leader>)>, Problem> {
        check_agreement(self.answers())?;
        self.check_orphaned()?;
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
        check_data(&self.config, self.me(), founding)?;
        let leader =
            self.answers().filter_map(|answer| answer.known.leader).max_by_key(|leader| leader.epoch);
        Ok(Some((founding.clone(), leader)))
    }

    /// Data whose metadata nobody knows: each node that has some sees that for itself, for a founder that has some is gone.
    fn check_orphaned(&self) -> Result<(), Problem> {
        if self.config.log_of_data.is_none() {
            return Ok(());
        }
        let (me, mut others) = (self.me(), self.peers.iter().filter(|peer| !peer.is(self.me().id)));
        let is_new = |peer: &Peer| peer.answer.as_ref().is_some_and(|answer| answer.founding.is_none());
        match self.found(&self.listed()) {
            Some(founding) if others.all(is_new) => check_data(&self.config, me, &founding),
            _ => Ok(()),
        }
    }

    /// A founding that was told in an answer that will do.
    pub(super) fn told(&self, will_do: impl Fn(&Answer) -> bool) -> Option<(&Answer, &Founding)> {
        let mut told = self.answers().filter(|answer| will_do(answer));
        told.find_map(|answer| Some((answer, answer.founding.as_ref()?)))
    }

    /// A new quorum, if all others have answered. None of them has a founding.
    pub(super) fn found(&self, voters: &[Voter]) -> Option<Founding> {
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
    pub(super) fn settle(&mut self, founding: Founding, leader: Option<Leader>) -> Vec<Effect> {
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
    pub(super) fn resume(&mut self, founding: Founding) -> Vec<Effect> {
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
    pub(super) fn founder(&self) -> Option<BrokerId> {
        match &self.config.quorum {
            Quorum::Voters(voters) => voters.iter().map(|voter| voter.id).min(),
            Quorum::Servers(_) => None,
        }
    }

    pub(super) fn is_founder(&self) -> bool {
        self.founder() == Some(self.config.node_id) || self.is_sabotaged_by_rivals()
    }

    pub(super) fn is_by_founder(&self, answer: &Answer) -> bool {
        self.founder() == Some(answer.key.id)
    }
}
