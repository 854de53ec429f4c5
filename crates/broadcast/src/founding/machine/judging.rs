//! What ends a node, and what it only warns of.

use super::{Bootstrap, Phase};
use crate::founding::checks::check_majority;
use crate::founding::problem::Problem;
use crate::founding::terms::Answer;

impl Bootstrap {
    /// Who has its place, and knows of no leader, looks whether there can be one that knows it.
    pub(super) fn check_place(&self) -> Result<(), Problem> {
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
    pub(super) fn is_fatal(&self, problem: &Problem) -> bool {
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
    pub(super) fn is_outnumbered(&self) -> bool {
        let mine = self.cluster_id();
        let (with_me, others): (Vec<&Answer>, Vec<&Answer>) = self
            .answers()
            .filter(|answer| answer.cluster_id.is_some())
            .partition(|answer| answer.cluster_id.as_ref() == mine);
        others.len() > with_me.len() + 1
    }
}
