//! Whom to ask when, and what to tell of those that do not answer.

use std::time::Duration;

use super::{Bootstrap, Phase};
use crate::founding::contract::{Effect, ProbeId, Quorum};
use crate::founding::problem::Warning;

impl Bootstrap {
    /// Whether nodes are asked: until this one has its place, and a leader is known.
    pub(super) fn asks(&self) -> bool {
        self.is_asking && matches!(self.phase, Phase::Looking | Phase::Settled)
    }

    /// From an answer to the next question. Who has its place can only wait.
    pub(super) fn pause(&self) -> Duration {
        let timing = &self.config.timing;
        if self.phase == Phase::Settled { timing.pause.max(timing.patience) } else { timing.pause }
    }

    pub(super) fn ask(&mut self, now: Duration) -> Vec<Effect> {
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
    pub(super) fn complain(&mut self, now: Duration) -> Option<Warning> {
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
}
