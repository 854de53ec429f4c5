//! The set-ups that cannot work, found in what a node is told and in what others answer.

use std::collections::BTreeSet;

use ottla_types::BrokerId;
use ottla_types::config::listeners::Voter;

use super::contract::{Config, Quorum, Target};
use super::problem::Problem;
use super::terms::{Address, Answer, ClusterId, Founding, Known, Question, Record, same_list, told};
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
        Some(founding) => {
            if let Some(data) = config.data_of.as_ref().filter(|data| **data != founding.cluster_id) {
                return Err(Problem::OtherClustersData {
                    data: data.clone(),
                    log: founding.cluster_id.clone(),
                });
            }
            if has_state { Ok(()) } else { check_data(config, record.me, founding) }
        }
    }
}

/// Checks that a node which is to begin an empty log has no data: what they are was in another one.
pub(crate) fn check_data(config: &Config, me: VoterKey, founding: &Founding) -> Result<(), Problem> {
    match &config.log_of_data {
        Some(example) if founding.key_of(me.id) == Some(me) && matches!(config.quorum, Quorum::Voters(_)) => {
            Err(Problem::MetadataLost { example: example.clone() })
        }
        _ => Ok(()),
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

/// Checks an answer against what this node is told. `mine` is the cluster that this node has data of, or belongs to.
pub(crate) fn check_answer(
    config: &Config,
    me: VoterKey,
    mine: Option<&ClusterId>,
    target: &Target,
    answer: &Answer,
) -> Result<(), Problem> {
    let Answer { key, listed, .. } = answer;
    check_place(target, key)?;
    if key.id == me.id {
        return check_namesake(me, key, &format!("the one at {}", target.address));
    }
    if key.directory == me.directory {
        let (node, other, directory) = (me.id, key.id, key.directory);
        return Err(Problem::CopiedDirectory { node, other, directory });
    }
    check_clusters(mine, key.id, answer.cluster_id.as_ref())?;
    match &config.quorum {
        Quorum::Voters(voters) => check_same(me.id, voters, key.id, listed),
        Quorum::Servers(_) => Ok(()),
    }
}

/// Checks what a node tells of itself that asks this one.
pub(crate) fn check_question(
    config: &Config,
    me: VoterKey,
    mine: Option<&ClusterId>,
    asks: &Question,
) -> Result<(), Problem> {
    check_namesake(me, &asks.key, "one that asked this one")?;
    check_clusters(mine, asks.key.id, asks.cluster_id.as_ref())?;
    match &config.quorum {
        // Who only joins lists nobody, and need not.
        Quorum::Voters(voters) if !asks.listed.is_empty() => {
            check_same(me.id, voters, asks.key.id, &asks.listed)
        }
        _ => Ok(()),
    }
}

fn check_clusters(
    mine: Option<&ClusterId>,
    other: BrokerId,
    theirs: Option<&ClusterId>,
) -> Result<(), Problem> {
    match (mine, theirs) {
        (Some(mine), Some(theirs)) if mine != theirs => {
            Err(Problem::OtherCluster { mine: mine.clone(), other, theirs: theirs.clone() })
        }
        _ => Ok(()),
    }
}

/// Checks that this node, and a majority of those that vote, still have the directories by which they do. To be asked when all
/// listed nodes have answered: so nobody knows of a later quorum.
///
/// `kept` is what this node's log knows. Directories that it does not name vote by the founding, as long as nobody has a log.
pub(crate) fn check_majority<'a>(
    me: VoterKey,
    is_voter: bool,
    founding: &Founding,
    kept: &'a Known,
    answers: impl Iterator<Item = &'a Answer> + Clone,
) -> Result<(), Problem> {
    let knowing = answers.clone().map(|answer| &answer.known).chain([kept]);
    let epoch = |known: &&Known| known.leader.map(|leader| leader.epoch);
    let newest = knowing.filter(|known| !known.voters.is_empty()).max_by_key(epoch);
    let voters: Vec<VoterKey> = match newest {
        Some(known) => known.voters.iter().map(|voter| voter.key).collect(),
        None => founding.voters.iter().filter_map(|voter| founding.key_of(voter.listed.id)).collect(),
    };
    if is_voter && !voters.contains(&me) {
        return Err(Problem::Removed { me, voters });
    }
    let now = |id: BrokerId| {
        let answer = answers.clone().find(|answer| answer.key.id == id);
        if id == me.id { Some(me) } else { answer.map(|answer| answer.key) }
    };
    let is_lost = |key: &&VoterKey| now(key.id).is_some_and(|now| now != **key);
    let lost: Vec<VoterKey> = voters.iter().filter(is_lost).copied().collect();
    if (voters.len() - lost.len()) * 2 > voters.len() {
        return Ok(());
    }
    Err(Problem::MajorityLost { cluster_id: founding.cluster_id.clone(), voters: voters.len(), lost })
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
    check_clusters(config.data_of.as_ref(), by, Some(&founding.cluster_id))
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
