//! What the scripts share: three nodes' settings, and an answer's form.

use std::time::Duration;

use ottla_types::config::listeners::Voter;
use ottla_types::{BrokerId, DirectoryId, LeadershipEpoch};

use super::*;
use crate::quorum::VoterKey;

pub(crate) const TIMING: Timing = Timing {
    pause: Duration::from_millis(50),
    patience: Duration::from_secs(1),
    warn_after: Duration::from_secs(5),
    warn_every: Duration::from_secs(5),
};
pub(crate) const START: Duration = Duration::ZERO;

pub(crate) fn voter(id: i32) -> Voter {
    Voter { id: BrokerId(id), host: format!("host{id}"), port: 9093 }
}

pub(crate) fn voters() -> Vec<Voter> {
    [1, 2, 3].map(voter).into()
}

/// A node's key by the number of its directory.
pub(crate) fn key(id: i32, directory: u8) -> VoterKey {
    VoterKey { id: BrokerId(id), directory: DirectoryId([directory; 16]) }
}

pub(crate) fn founding(cluster_id: &str, directories: [u8; 3]) -> Founding {
    let voters = voters().into_iter().zip(directories);
    let voters = voters.map(|(listed, id)| FoundingVoter { listed, directory: DirectoryId([id; 16]) });
    Founding { cluster_id: ClusterId::new(cluster_id), voters: voters.collect() }
}

/// Node `id`, which calls a directory by its own id and a cluster `proposed-id`.
pub(crate) fn config(id: i32) -> Config {
    Config {
        node_id: BrokerId(id),
        quorum: Quorum::Voters(voters()),
        data_of: None,
        log_of_data: None,
        proposed_cluster_id: ClusterId::new(&format!("proposed-{id}")),
        proposed_directory: DirectoryId([id as u8; 16]),
        known: Known::default(),
        timing: TIMING,
    }
}

pub(crate) fn empty(key: VoterKey) -> Answer {
    Answer { key, listed: voters(), cluster_id: None, founding: None, known: Known::default() }
}

pub(crate) fn member(key: VoterKey, founding: &Founding) -> Answer {
    let cluster_id = Some(founding.cluster_id.clone());
    Answer { cluster_id, founding: Some(founding.clone()), ..empty(key) }
}

pub(crate) fn led(mut answer: Answer) -> Answer {
    answer.known.leader = Some(Leader { id: BrokerId(3), epoch: LeadershipEpoch(4) });
    answer
}

/// A node that has begun to ask, and its probes by node.
pub(crate) struct Asking {
    pub(crate) machine: Bootstrap,
    probes: Vec<(ProbeId, Target)>,
    pub(crate) now: Duration,
}

impl Asking {
    /// A node with an empty directory that is stored at once.
    pub(crate) fn new(config: Config) -> Self {
        let (mut machine, effects) = Bootstrap::start(config, None, false, START);
        assert!(matches!(&effects[..], [Effect::Store(Record { founding: None, .. })]), "{effects:?}");
        let effects = machine.step(Input::Stored, START);
        let mut asking = Self { machine, probes: Vec::new(), now: START };
        assert_eq!(asking.keep(effects), []);
        asking
    }

    pub(crate) fn kept(config: Config, record: Record, has_state: bool) -> (Self, Vec<Effect>) {
        let (machine, effects) = Bootstrap::start(config, Some(record), has_state, START);
        let mut asking = Self { machine, probes: Vec::new(), now: START };
        let effects = asking.keep(effects);
        (asking, effects)
    }

    /// Sets probes aside, so that scripts show what is decided.
    fn keep(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        let mut others = Vec::new();
        for effect in effects {
            match effect {
                Effect::Probe(probe, target) => self.probes.push((probe, target)),
                other => others.push(other),
            }
        }
        others
    }

    pub(crate) fn step(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.machine.step(input, self.now);
        self.keep(effects)
    }

    /// The last probe to a node.
    pub(crate) fn probe(&self, id: i32) -> ProbeId {
        let to = |(_, target): &&(ProbeId, Target)| target.address.host == format!("host{id}");
        self.probes.iter().rev().find(to).unwrap().0
    }

    /// The node that is listed as `id` answers its last probe.
    pub(crate) fn hears(&mut self, id: i32, answer: Answer) -> Vec<Effect> {
        self.step(Input::Answered(self.probe(id), answer))
    }

    pub(crate) fn ticks(&mut self, passed: Duration) -> Vec<Effect> {
        self.now += passed;
        self.step(Input::Tick)
    }

    /// A node with the same list asks.
    pub(crate) fn is_asked(&mut self, by: VoterKey) -> Vec<Effect> {
        self.step(Input::Asked(Question { key: by, listed: voters(), cluster_id: None }, Known::default()))
    }

    /// What it answers to a node that asks.
    pub(crate) fn says(&mut self, by: VoterKey) -> Option<Answer> {
        let effects = self.is_asked(by);
        effects.into_iter().find_map(|effect| match effect {
            Effect::Answer(answer) => Some(answer),
            _ => None,
        })
    }
}
