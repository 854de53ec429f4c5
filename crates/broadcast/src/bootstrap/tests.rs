//! Scripts: who hears what, and what it does then.

use proptest::prelude::*;

use super::*;

fn listed(ids: &[i32]) -> Vec<ListedVoter> {
    ids.iter().map(|id| ListedVoter { id: BrokerId(*id), host: format!("node{id}"), port: 9093 }).collect()
}

/// A node with a new directory, and a proposal of its own.
fn empty(id: i32, voters: &[i32]) -> NodeState {
    NodeState {
        id: BrokerId(id),
        directory: DirectoryId([id as u8; 16]),
        voters: listed(voters),
        held: Held::Nothing,
        cluster_id: Some(format!("proposal of {id}")),
    }
}

fn with(held: Held, cluster_id: &str, node: NodeState) -> NodeState {
    NodeState { held, cluster_id: Some(cluster_id.to_owned()), ..node }
}

fn key(id: i32, directory: u8) -> VoterKey {
    VoterKey { id: BrokerId(id), directory: DirectoryId([directory; 16]) }
}

fn ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

fn follow(cluster_id: &str, was_here_before: bool) -> Step {
    Step::Follow { cluster_id: cluster_id.to_owned(), was_here_before }
}

/// Hears a node that was asked just now.
fn hear(node: &mut Bootstrap, answer: NodeState) {
    let asked = Asked { id: answer.id, round: node.round };
    node.heard(Some(asked), answer).unwrap();
}

fn ask(whom: &[i32], round: u32) -> Step {
    Step::Ask { whom: ids(whom), round }
}

fn asked(id: i32) -> Option<Asked> {
    Some(Asked { id: BrokerId(id), round: 0 })
}

fn form(cluster_id: &str, keys: &[VoterKey]) -> Step {
    let voters = keys.iter().map(|key| (*key, listed(&[key.id.0]).remove(0))).collect();
    Step::Form { cluster_id: cluster_id.to_owned(), voters }
}

#[test]
fn a_node_that_is_its_only_voter_forms_a_quorum_at_once() {
    assert_eq!(Bootstrap::new(empty(1, &[1])).next(), form("proposal of 1", &[key(1, 1)]));
}

#[test]
fn of_three_empty_voters_the_lowest_forms_when_all_have_answered_twice_and_the_others_follow_it() {
    let voters = [3, 1, 2];
    let mut first = Bootstrap::new(empty(1, &voters));
    assert_eq!(first.next(), ask(&[2, 3], 0));
    hear(&mut first, empty(3, &[1, 2, 3]));
    assert_eq!(first.next(), ask(&[2], 0));
    hear(&mut first, empty(2, &[2, 3, 1]));
    assert_eq!(first.next(), ask(&[2, 3], 1));
    hear(&mut first, empty(2, &[2, 3, 1]));
    assert_eq!(first.next(), ask(&[3], 1));
    hear(&mut first, empty(3, &[2, 3, 1]));
    assert_eq!(first.next(), form("proposal of 1", &[key(1, 1), key(2, 2), key(3, 3)]));

    let mut second = Bootstrap::new(empty(2, &voters));
    hear(&mut second, empty(1, &voters));
    assert_eq!(second.next(), ask(&[3], 0), "node 3 may have a log of another cluster");
    hear(&mut second, empty(3, &voters));
    hear(&mut second, empty(3, &voters));
    hear(&mut second, empty(1, &voters));
    assert_eq!(second.next(), follow("proposal of 1", false));
}

#[test]
fn a_directory_that_changes_between_the_rounds_begins_them_anew() {
    let mut first = Bootstrap::new(empty(1, &[1, 2, 3]));
    hear(&mut first, empty(2, &[1, 2, 3]));
    hear(&mut first, empty(3, &[1, 2, 3]));
    // It was there when it was asked first, and may have had a log that somebody else still had.
    let again = NodeState { directory: DirectoryId([9; 16]), ..empty(2, &[1, 2, 3]) };
    hear(&mut first, again.clone());
    assert_eq!(first.next(), ask(&[2, 3], 2));
    // Whoever answers a question of before says nothing of now.
    first.heard(asked(3), empty(3, &[1, 2, 3])).unwrap();
    assert_eq!(first.next(), ask(&[2, 3], 2));
    for answer in [again.clone(), empty(3, &[1, 2, 3]), again, empty(3, &[1, 2, 3])] {
        hear(&mut first, answer);
    }
    assert_eq!(first.next(), form("proposal of 1", &[key(1, 1), key(2, 9), key(3, 3)]));
}

#[test]
fn a_log_that_appears_between_the_rounds_is_followed() {
    let mut first = Bootstrap::new(empty(1, &[1, 2, 3]));
    hear(&mut first, empty(2, &[1, 2, 3]));
    hear(&mut first, empty(3, &[1, 2, 3]));
    hear(&mut first, with(Held::Log, "c", empty(3, &[1, 2, 3])));
    assert_eq!(first.next(), follow("c", true));
}

#[test]
fn a_voter_that_has_a_log_goes_on_with_it_and_asks_nobody() {
    let node = with(Held::Log, "c", empty(1, &[1, 2, 3]));
    assert_eq!(Bootstrap::new(node).next(), Step::Resume);
}

#[test]
fn a_wiped_directory_never_votes_where_any_other_has_a_log() {
    // The lowest id, which would form the quorum; two others are wiped as well.
    let mut wiped = Bootstrap::new(empty(1, &[1, 2, 3, 4, 5]));
    for id in [2, 3] {
        hear(&mut wiped, empty(id, &[1, 2, 3, 4, 5]));
    }
    assert_eq!(wiped.next(), ask(&[4, 5], 0), "of five, three empty ones are a majority, and may not vote");
    hear(&mut wiped, with(Held::Log, "c", empty(5, &[1, 2, 3, 4, 5])));
    assert_eq!(wiped.next(), follow("c", true), "one log is enough to know, and node 4 need not answer");
}

#[test]
fn a_voter_that_never_answers_keeps_a_new_quorum_from_being_formed() {
    let mut first = Bootstrap::new(empty(1, &[1, 2, 3]));
    for _ in 0..3 {
        hear(&mut first, empty(2, &[1, 2, 3]));
        assert_eq!(first.next(), ask(&[3], 0));
    }
}

#[test]
fn an_id_that_was_kept_goes_before_every_proposal() {
    let mut first = Bootstrap::new(empty(1, &[1, 2]));
    for _ in 0..2 {
        hear(&mut first, with(Held::Identity, "kept", empty(2, &[1, 2])));
    }
    assert_eq!(first.next(), form("kept", &[key(1, 1), key(2, 2)]));
}

#[test]
fn a_node_without_a_list_joins_and_forms_nothing() {
    let mut node = Bootstrap::new(empty(7, &[]));
    assert_eq!(node.next(), ask(&[], 0));
    node.heard(None, empty(1, &[1, 2, 3])).unwrap();
    assert_eq!(node.next(), ask(&[], 0), "a proposal is not a cluster yet");
    node.heard(None, with(Held::Identity, "c", empty(1, &[1, 2, 3]))).unwrap();
    assert_eq!(node.next(), follow("c", false));
}

#[test]
fn a_node_that_is_not_in_its_own_list_joins_and_forms_nothing() {
    let mut broker = Bootstrap::new(empty(9, &[1, 2]));
    for id in [1, 2, 1, 2] {
        hear(&mut broker, empty(id, &[1, 2]));
    }
    assert!(matches!(broker.next(), Step::Ask { .. }));
    hear(&mut broker, with(Held::Log, "c", empty(2, &[1, 2])));
    assert_eq!(broker.next(), follow("c", false));
}

#[test]
fn lists_that_disagree_are_told_with_both() {
    let mut first = Bootstrap::new(empty(1, &[1, 2, 3]));
    let error = first.heard(asked(2), empty(2, &[1, 2])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "controller.quorum.voters is 1@node1:9093,2@node2:9093,3@node3:9093 here and 1@node1:9093,2@node2:9093 on node 2: \
         give all voters the same list"
    );
    // Another address is another list.
    let mut moved = empty(2, &[1, 2, 3]);
    moved.voters[0].port = 1;
    assert!(matches!(first.heard(asked(2), moved), Err(BootstrapError::Voters { .. })));
}

#[test]
fn another_cluster_is_refused_by_name_whoever_of_the_three_it_is() {
    let mut mine = Bootstrap::new(with(Held::Identity, "mine", empty(1, &[1, 2, 3])));
    let other = with(Held::Log, "other", empty(2, &[1, 2, 3]));
    let error = mine.heard(asked(2), other.clone()).unwrap_err();
    assert!(
        error.to_string().starts_with("node 1 belongs to cluster mine, and node 2 to cluster other: "),
        "{error}"
    );
    let mut empty_one = Bootstrap::new(empty(1, &[1, 2, 3]));
    empty_one.heard(asked(2), other).unwrap();
    let third = with(Held::Log, "third", empty(3, &[1, 2, 3]));
    assert!(matches!(empty_one.heard(asked(3), third), Err(BootstrapError::Cluster { .. })));
}

#[test]
fn two_nodes_with_one_id_and_an_address_of_another_node_are_told() {
    let mut first = Bootstrap::new(empty(1, &[1, 2]));
    first.heard(asked(1), empty(1, &[1, 2])).unwrap();
    let twin = NodeState { directory: DirectoryId([9; 16]), ..empty(1, &[1, 2]) };
    let error = first.heard(None, twin).unwrap_err();
    assert!(error.to_string().starts_with("two nodes have node.id 1: "), "{error}");
    let error = first.heard(asked(2), empty(3, &[1, 2])).unwrap_err();
    assert!(error.to_string().contains("names node 2 at an address where node 3 answers"), "{error}");
}

/// Three voters that hear each other, form quorums, act in them, and lose their directories.
struct World {
    nodes: Vec<Bootstrap>,
    /// The quorum that a node has votes or a log of.
    log_of: [Option<usize>; 3],
    formed: Vec<Vec<VoterKey>>,
    /// Those in which a majority has a log: something may have been committed.
    acted: Vec<usize>,
    directory: u8,
}

const VOTERS: [i32; 3] = [1, 2, 3];

impl World {
    fn new() -> Self {
        let nodes = VOTERS.iter().map(|id| Bootstrap::new(empty(*id, &VOTERS))).collect();
        Self { nodes, log_of: [None; 3], formed: Vec::new(), acted: Vec::new(), directory: 10 }
    }

    /// A directory is lost, unless it has the last log of a quorum that acted: that nobody can know.
    fn wipe(&mut self, nth: usize) {
        let others = self.log_of.iter().enumerate().filter(|(other, log)| *other != nth && log.is_some());
        if !self.acted.is_empty() && others.count() == 0 {
            return;
        }
        self.directory += 1;
        let directory = DirectoryId([self.directory; 16]);
        self.nodes[nth] = Bootstrap::new(NodeState { directory, ..empty(VOTERS[nth], &VOTERS) });
        self.log_of[nth] = None;
    }

    fn ask(&mut self, asking: usize, asked: usize) {
        let answer = self.nodes[asked].me().clone();
        // Two clusters are an error, and nothing is done.
        let asked = Asked { id: answer.id, round: self.nodes[asking].round };
        let _ = self.nodes[asking].heard(Some(asked), answer);
        if let Step::Form { cluster_id, voters } = self.nodes[asking].next() {
            self.formed.push(voters.into_iter().map(|(key, _)| key).collect());
            self.gets_log(asking, self.formed.len() - 1, &cluster_id);
        }
    }

    fn gets_log(&mut self, nth: usize, quorum: usize, cluster_id: &str) {
        self.nodes[nth] = Bootstrap::new(with(Held::Log, cluster_id, self.nodes[nth].me().clone()));
        self.log_of[nth] = Some(quorum);
    }

    /// A node votes in, or is sent the log of, a quorum that has its directory among its voters.
    fn act(&mut self, from: usize, to: usize) {
        let Some(quorum) = self.log_of[from] else { return };
        let me = self.nodes[to].me();
        let key = VoterKey { id: me.id, directory: me.directory };
        if from == to || !self.formed[quorum].contains(&key) {
            return;
        }
        assert!(self.log_of[to].is_none_or(|known| known == quorum), "one directory in two quorums");
        let cluster_id = self.nodes[from].me().cluster_id.clone().unwrap();
        self.gets_log(to, quorum, &cluster_id);
        if !self.acted.contains(&quorum) {
            self.acted.push(quorum);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// In whatever order nodes hear each other, act, and are wiped: no two quorums ever act, as long as one directory is
    /// left that has a log.
    #[test]
    fn no_two_quorums_ever_act(steps in prop::collection::vec((0..3_usize, 0..3_usize, 0..8_u8), 0..200)) {
        let mut world = World::new();
        for (one, other, what) in steps {
            match what {
                0 => world.wipe(one),
                1 | 2 => world.act(one, other),
                _ => world.ask(one, other),
            }
            prop_assert!(world.acted.len() <= 1, "{:?}", world.formed);
        }
    }
}
