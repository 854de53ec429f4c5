//! The set-ups that cannot work, found in what a node is told and in what others answer.

use std::collections::BTreeSet;

use ottla_types::BrokerId;
use ottla_types::config::listeners::Voter;

use super::machine::{Config, Quorum, Target};
use super::problem::Problem;
use super::terms::{Address, Answer, Founding, Record, same_list, told};
use crate::quorum::VoterKey;

/// Checks what a node is told against itself, and against its directory.
pub(crate) fn check_own(config: &Config, kept: Option<&Record>, has_state: bool) -> Result<(), Problem> {
    let node = config.node_id;
    check_list(node, &config.quorum)?;
    let Some(record) = kept else {
        return if has_state { Err(Problem::StateOfNoQuorum) } else { Ok(()) };
    };
    if record.me.id != node {
        return Err(Problem::OtherNodesDirectory { node, found: record.me.id });
    }
    match &record.founding {
        None if has_state => Err(Problem::StateOfNoQuorum),
        None => Ok(()),
        Some(founding) => check_cluster(config, node, founding),
    }
}

fn check_list(node: BrokerId, quorum: &Quorum) -> Result<(), Problem> {
    let voters = match quorum {
        Quorum::Servers(servers) if servers.is_empty() => return Err(Problem::NobodyListed),
        Quorum::Servers(_) => return Ok(()),
        Quorum::Voters(voters) => voters,
    };
    let list = || told(voters);
    if voters.is_empty() {
        return Err(Problem::NobodyListed);
    }
    let (mut ids, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for voter in voters {
        if !ids.insert(voter.id) {
            return Err(Problem::ListedTwice { what: format!("node {}", voter.id), list: list() });
        }
        if !addresses.insert((voter.host.to_ascii_lowercase(), voter.port)) {
            return Err(Problem::ListedTwice { what: Address::of(voter).to_string(), list: list() });
        }
    }
    if ids.contains(&node) { Ok(()) } else { Err(Problem::NotListed { node, list: list() }) }
}

/// Checks an answer against what this node is told.
pub(crate) fn check_answer(
    config: &Config,
    me: VoterKey,
    target: &Target,
    answer: &Answer,
) -> Result<(), Problem> {
    let Answer { key, listed, .. } = answer;
    if key.id == me.id {
        return check_namesake(me, key, &format!("the one at {}", target.address))
            .and(check_place(target, key));
    }
    check_place(target, key)?;
    if key.directory == me.directory {
        let (node, other, directory) = (me.id, key.id, key.directory);
        return Err(Problem::CopiedDirectory { node, other, directory });
    }
    if let Quorum::Voters(voters) = &config.quorum {
        check_same(me.id, voters, key.id, listed)?;
    }
    match (&config.data_of, &answer.cluster_id) {
        (Some(mine), Some(theirs)) if mine != theirs => {
            Err(Problem::OtherCluster { mine: mine.clone(), other: key.id, theirs: theirs.clone() })
        }
        _ => Ok(()),
    }
}

fn check_place(target: &Target, found: &VoterKey) -> Result<(), Problem> {
    match target.node {
        Some(expected) if expected != found.id => {
            Err(Problem::WrongNode { expected, address: target.address.clone(), found: found.id })
        }
        _ => Ok(()),
    }
}

/// Checks that whoever has this node's id is this node.
pub(crate) fn check_namesake(me: VoterKey, other: &VoterKey, place: &str) -> Result<(), Problem> {
    if other.id != me.id || other.directory == me.directory {
        return Ok(());
    }
    let (node, mine, theirs) = (me.id, me.directory, other.directory);
    Err(Problem::TwoNodes { node, mine, place: place.to_owned(), theirs })
}

fn check_same(node: BrokerId, mine: &[Voter], other: BrokerId, theirs: &[Voter]) -> Result<(), Problem> {
    if same_list(mine, theirs) {
        return Ok(());
    }
    Err(Problem::ListsDisagree { node, list: told(mine), other, others: told(theirs) })
}

/// Checks a founding that a node is to belong to, told by `by`, against the data that it has.
pub(crate) fn check_cluster(config: &Config, by: BrokerId, founding: &Founding) -> Result<(), Problem> {
    match &config.data_of {
        Some(mine) if *mine != founding.cluster_id => {
            Err(Problem::OtherCluster { mine: mine.clone(), other: by, theirs: founding.cluster_id.clone() })
        }
        _ => Ok(()),
    }
}

/// Checks that those who answered mean one cluster, founded once.
pub(crate) fn check_agreement<'a>(answers: impl Iterator<Item = &'a Answer>) -> Result<(), Problem> {
    let (mut named, mut founded): (Option<&Answer>, Option<&Answer>) = (None, None);
    for answer in answers {
        let (one, other) = (named.map_or(answer.key.id, |named| named.key.id), answer.key.id);
        match (named.and_then(|named| named.cluster_id.as_ref()), &answer.cluster_id) {
            (Some(ones), Some(others)) if ones != others => {
                return Err(Problem::TwoClusters { one, ones: ones.clone(), other, others: others.clone() });
            }
            (None, Some(_)) => named = Some(answer),
            _ => {}
        }
        let Some(founding) = &answer.founding else { continue };
        match founded.and_then(|founded| Some((founded.key.id, founded.founding.as_ref()?))) {
            Some((one, known)) if known != founding => {
                return Err(Problem::TwoFoundings { one, other, cluster_id: known.cluster_id.clone() });
            }
            Some(_) => {}
            None => founded = Some(answer),
        }
    }
    Ok(())
}
