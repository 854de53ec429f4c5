//! Set-ups that cannot work: each gives one error, that says what to do.

use ottla_types::{BrokerId, DirectoryId, LeadershipEpoch};

use super::script::*;
use super::*;

/// The text of the only effect, a failure.
fn failure(effects: &[Effect]) -> String {
    match effects {
        [Effect::Fail(problem)] => problem.to_string(),
        other => panic!("{other:?}"),
    }
}

fn noticed(effects: &[Effect]) -> String {
    match effects {
        [Effect::Warn(Warning::Noticed(problem))] => problem.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A node that votes by the founding `c` of the directories 1 to 3, and has a log.
fn resumed(id: i32, known: Known) -> (Asking, Vec<Effect>) {
    let founding = founding("c", [1, 2, 3]);
    let record = Record { me: key(id, id as u8), founding: Some(founding) };
    Asking::kept(Config { known, ..config(id) }, record, true)
}

/// What a log says whose voters are these directories of nodes 1 to 3.
fn log_of(directories: [u8; 3], epoch: i64) -> Known {
    let leader = Some(Leader { id: BrokerId(1), epoch: LeadershipEpoch(epoch) });
    Known { leader, voters: founding("c", directories).electorate("CONTROLLER") }
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
fn lists_that_disagree_are_both_named_with_both_nodes() {
    let mut node = Asking::new(config(1));
    let mut others = voters();
    others[2].port = 9999;
    let text = failure(&node.hears(2, Answer { listed: others, ..empty(key(2, 2)) }));
    assert_says(&text, &["node 1 lists 1@host1:9093,2@host2:9093,3@host3:9093"]);
    assert_says(&text, &["node 2 lists 1@host1:9093,2@host2:9093,3@host3:9999", "same list"]);
    let said = node.says(key(2, 2)).unwrap();
    assert_eq!(
        (said.key, said.listed),
        (key(1, 1), voters()),
        "whoever asks it before it is gone learns the same"
    );
}

#[test]
fn a_node_that_is_asked_under_another_list_answers_and_fails_as_the_other_one_does() {
    let mut others = voters();
    others.pop();
    let by = |listed: &[ottla_types::config::listeners::Voter]| {
        Input::Asked(Question { key: key(2, 2), listed: listed.to_vec(), cluster_id: None }, Known::default())
    };
    let mut node = Asking::new(config(1));
    let effects = node.step(by(&others));
    assert_eq!(effects[0], Effect::Answer(empty(key(1, 1))));
    assert_says(&failure(&effects[1..]), &["node 1 lists", "node 2 lists 1@host1:9093,2@host2:9093."]);
    // One that has its place says so once, and goes on.
    let (mut node, _) = resumed(1, Known::default());
    let effects = node.step(by(&others));
    assert_says(&noticed(&effects[1..]), &["node 2 lists 1@host1:9093,2@host2:9093."]);
    assert_eq!(node.step(by(&others)).len(), 1);
    // Whoever only joins lists nobody.
    let mut node = Asking::new(config(1));
    assert_eq!(node.step(by(&[])).len(), 1);
}

#[test]
fn the_same_list_in_another_order_and_case_is_the_same() {
    let mut node = Asking::new(config(1));
    let mut others = voters();
    others.reverse();
    others[0].host = "HOST3".to_owned();
    assert_eq!(node.hears(2, Answer { listed: others, ..empty(key(2, 2)) }), []);
}

#[test]
fn a_voter_that_lists_nobody_is_told_from_one_with_the_same_list() {
    let mut node = Asking::new(config(1));
    let text = failure(&node.hears(2, Answer { listed: Vec::new(), ..empty(key(2, 2)) }));
    assert_says(&text, &["node 2 lists none", "controller.quorum.bootstrap.servers alone"]);
}

#[test]
fn another_node_at_a_voters_address_is_named() {
    let mut node = Asking::new(config(1));
    let text = failure(&node.hears(2, empty(key(3, 3))));
    assert_says(&text, &["node 2 is at host2:9093", "node 3 answers there", "correct the list"]);
}

#[test]
fn two_nodes_with_one_id_are_found_by_asking_ones_own_address() {
    let mut node = Asking::new(config(1));
    assert_eq!(node.hears(1, empty(key(1, 1))), [], "that is itself");
    node.ticks(TIMING.pause);
    let text = failure(&node.hears(1, empty(key(1, 9))));
    assert_says(&text, &["two nodes have node.id 1", "host1:9093", "another node.id"]);
}

#[test]
fn a_node_that_is_asked_by_its_namesake_says_so_once_and_goes_on() {
    let mut node = Asking::new(config(1));
    let effects = node.is_asked(key(1, 9));
    assert_says(&noticed(&effects[1..]), &["two nodes have node.id 1"]);
    let effects = node.is_asked(key(1, 9));
    assert!(matches!(&effects[..], [Effect::Answer(_)]), "{effects:?}");
}

#[test]
fn a_copied_directory_is_found() {
    let mut node = Asking::new(config(1));
    let text = failure(&node.hears(2, empty(key(2, 1))));
    assert_says(&text, &["node 1 and node 2", "copied", "metadata.log.dir"]);
}

#[test]
fn data_of_another_cluster_does_not_join_and_both_ids_are_told() {
    let data_of = Some(ClusterId::new("mine"));
    let mut node = Asking::new(Config { data_of, ..config(2) });
    let answer = member(key(1, 1), &founding("theirs", [1, 2, 3]));
    let text = failure(&node.hears(1, answer));
    assert_says(&text, &["data of cluster mine", "node 1 belongs to cluster theirs", "does not join"]);
}

#[test]
fn a_metadata_directory_of_another_cluster_than_the_data_does_not_start() {
    let data_of = Some(ClusterId::new("mine"));
    let record = Record { me: key(2, 2), founding: Some(founding("theirs", [1, 2, 3])) };
    let (_, effects) = Asking::kept(Config { data_of, ..config(2) }, record, true);
    assert_says(&failure(&effects), &["data of cluster mine", "a node of cluster theirs", "log.dirs"]);
}

#[test]
fn two_clusters_among_the_others_are_both_named() {
    let mut node = Asking::new(config(1));
    let of = |id: &str| Some(ClusterId::new(id));
    assert_eq!(node.hears(2, Answer { cluster_id: of("one"), ..empty(key(2, 2)) }), []);
    let text = failure(&node.hears(3, Answer { cluster_id: of("another"), ..empty(key(3, 3)) }));
    assert_says(&text, &["node 2 belongs to cluster one", "node 3 to cluster another"]);
}

#[test]
fn two_foundings_of_one_cluster_are_an_old_backup() {
    let mut node = Asking::new(Config { quorum: Quorum::Voters(voters()), ..config(3) });
    node.hears(2, member(key(2, 2), &founding("c", [1, 2, 3])));
    let text = failure(&node.hears(1, member(key(1, 1), &founding("c", [1, 9, 3]))));
    assert_says(&text, &["cluster c", "old backup", "metadata.log.dir"]);
}

#[test]
fn a_founder_that_does_not_know_what_it_founded_was_rolled_back() {
    let mut node = Asking::new(config(1));
    let text = failure(&node.hears(2, member(key(2, 2), &founding("c", [1, 2, 3]))));
    assert_says(&text, &["node 2 says that this node founded cluster c", "restored from an older copy"]);
}

#[test]
fn a_voter_that_is_not_in_its_own_list_does_not_start() {
    let (_, effects) = Bootstrap::start(config(4), None, false, START);
    assert_says(&failure(&effects), &["node.id is 4", "1@host1:9093", "process.roles"]);
}

#[test]
fn an_id_or_an_address_listed_twice_does_not_start() {
    let twice = |list: Vec<_>| {
        let config = Config { quorum: Quorum::Voters(list), ..config(1) };
        failure(&Bootstrap::start(config, None, false, START).1)
    };
    let mut namesake = voter(9);
    namesake.id = BrokerId(1);
    assert_says(&twice(vec![voter(1), namesake]), &["node 1 twice"]);
    let mut neighbour = voter(1);
    neighbour.id = BrokerId(2);
    assert_says(&twice(vec![voter(1), neighbour]), &["host1:9093 twice"]);
}

#[test]
fn nobody_to_ask_does_not_start() {
    for quorum in [Quorum::Voters(Vec::new()), Quorum::Servers(Vec::new())] {
        let (_, effects) = Bootstrap::start(Config { quorum, ..config(1) }, None, false, START);
        assert_says(&failure(&effects), &["controller.quorum.voters", "controller.quorum.bootstrap.servers"]);
    }
}

#[test]
fn a_directory_of_another_node_does_not_start() {
    let record = Record { me: key(3, 3), founding: None };
    let (_, effects) = Asking::kept(config(2), record, false);
    assert_says(&failure(&effects), &["node 3's", "node.id is 2"]);
}

#[test]
fn votes_or_a_log_without_a_quorum_do_not_start() {
    let (_, effects) = Bootstrap::start(config(2), None, true, START);
    assert_says(&failure(&effects), &["does not say of which quorum", "metadata.log.dir"]);
    let record = Record { me: key(2, 2), founding: None };
    let (_, effects) = Asking::kept(config(2), record, true);
    assert_says(&failure(&effects), &["does not say of which quorum"]);
}

#[test]
fn who_belongs_to_a_quorum_notices_a_wrong_set_up_of_others_and_goes_on() {
    let kept = founding("c", [1, 2, 3]);
    let record = Record { me: key(2, 2), founding: Some(kept.clone()) };
    let (mut node, _) = Asking::kept(config(2), record, true);
    let text = noticed(&node.hears(3, empty(key(1, 1))));
    assert_says(&text, &["node 3 is at host3:9093", "node 1 answers there"]);
    assert_eq!(node.says(key(1, 1)), Some(member(key(2, 2), &kept)));
}

#[test]
fn who_resumes_among_the_nodes_of_another_cluster_fails_and_one_stranger_is_only_told() {
    let (mut node, _) = resumed(3, Known::default());
    let other = founding("other", [1, 2, 9]);
    let text = noticed(&node.hears(1, member(key(1, 1), &other)));
    assert_says(&text, &["data of cluster c", "node 1 belongs to cluster other"]);
    let text = failure(&node.hears(2, member(key(2, 2), &other)));
    assert_says(&text, &["node 2 belongs to cluster other", "log.dirs"]);
    // Seen from the others, it is the stranger.
    let (mut node, _) = resumed(1, Known::default());
    let stranger = member(key(3, 3), &other);
    assert_says(&noticed(&node.hears(3, stranger)), &["node 3 belongs to cluster other"]);
    assert_eq!(node.hears(2, member(key(2, 2), &founding("c", [1, 2, 3]))), []);
}

#[test]
fn who_resumes_and_finds_another_one_at_its_own_address_fails() {
    let (mut node, _) = resumed(2, Known::default());
    let text = failure(&node.hears(2, empty(key(2, 9))));
    assert_says(&text, &["two nodes have node.id 2", "host2:9093"]);
    // Not so where it is another node's address: that one is wrong.
    let (mut node, _) = resumed(2, Known::default());
    assert_says(&noticed(&node.hears(3, empty(key(2, 9)))), &["node 3 is at host3:9093", "node 2 answers"]);
}

#[test]
fn with_two_of_three_directories_lost_nobody_founds_and_all_say_which_are_lost() {
    let founding = founding("c", [1, 2, 3]);
    let (mut survivor, _) = resumed(3, log_of([1, 2, 3], 4));
    assert_eq!(survivor.hears(1, empty(key(1, 11))), []);
    let text = failure(&survivor.hears(2, empty(key(2, 22))));
    assert_says(&text, &["cluster c has 3 voters, and 2 lost", "node 1's", "node 2's", "no new quorum"]);
    let mut wiped = Asking::new(Config { proposed_directory: DirectoryId([11; 16]), ..config(1) });
    let survivors = Answer { known: log_of([1, 2, 3], 4), ..member(key(3, 3), &founding) };
    assert!(matches!(&wiped.hears(3, survivors.clone())[..], [Effect::Store(_)]));
    assert!(matches!(&wiped.step(Input::Stored)[..], [Effect::JoinAsObserver { .. }]));
    wiped.ticks(TIMING.pause);
    assert_eq!(wiped.hears(3, survivors), []);
    assert_says(&failure(&wiped.hears(2, empty(key(2, 22)))), &["2 lost"]);
}

#[test]
fn a_directory_that_was_voted_in_for_a_lost_one_is_not_lost() {
    let founding = founding("c", [1, 2, 3]);
    // Node 2's was lost and replaced long ago, and now node 1's is lost.
    let mut wiped = Asking::new(Config { proposed_directory: DirectoryId([11; 16]), ..config(1) });
    let two = Answer { known: log_of([1, 22, 3], 7), ..member(key(2, 22), &founding) };
    let three = Answer { known: log_of([1, 2, 3], 4), ..member(key(3, 3), &founding) };
    wiped.hears(2, two.clone());
    wiped.step(Input::Stored);
    wiped.ticks(TIMING.pause);
    assert_eq!(wiped.hears(2, two), []);
    assert_eq!(wiped.hears(3, three), [], "the latest log counts");
}

#[test]
fn a_voter_that_was_removed_while_it_was_away_says_so() {
    let (mut node, _) = resumed(2, log_of([1, 2, 3], 4));
    let founding = founding("c", [1, 2, 3]);
    let known = log_of([1, 22, 3], 5);
    assert_eq!(node.hears(1, Answer { known: known.clone(), ..member(key(1, 1), &founding) }), []);
    let text = failure(&node.hears(3, Answer { known, ..member(key(3, 3), &founding) }));
    assert_says(&text, &["node 2 with the metadata directory", "does not vote any more", "node 2's"]);
}

#[test]
fn a_list_that_the_quorum_does_not_have_is_told_with_what_differs() {
    let mut known = log_of([1, 2, 3], 4);
    known.voters[0].endpoints[0].port = 1;
    known.voters.pop();
    let (_, effects) = resumed(2, known);
    let [Effect::Resume(..), Effect::Warn(warning)] = &effects[..] else { panic!("{effects:?}") };
    let text = warning.to_string();
    assert_says(&text, &["node 1 is listed at host1:9093, and known at host1:1"]);
    assert_says(&text, &["node 3 is listed, and does not vote", "KIP-853"]);
    assert!(!text.contains("node 2 is listed"), "{text}");
    let (_, effects) = resumed(2, log_of([1, 2, 3], 4));
    assert_eq!(effects.len(), 1);
}

#[test]
fn once_a_leader_is_known_nothing_that_others_say_ends_a_node() {
    let (mut node, _) = resumed(3, log_of([1, 2, 3], 4));
    let (first, second) = (node.probe(1), node.probe(2));
    node.step(Input::LeaderKnown);
    for (probe, id) in [(first, 1), (second, 2)] {
        let effects = node.step(Input::Answered(probe, empty(key(id, 99))));
        assert!(effects.iter().all(|effect| matches!(effect, Effect::Warn(_))), "{effects:?}");
    }
}

#[test]
fn with_data_and_without_the_metadata_that_say_what_they_are_nobody_founds_or_votes() {
    let log_of_data = Some("data/t-0".to_owned());
    let with_data = |id: i32| Config { log_of_data: log_of_data.clone(), ..config(id) };
    let says = &["data/t-0", "a new quorum would know none of them", "metadata.log.dir"];
    let mut founder = Asking::new(with_data(1));
    assert_eq!(founder.hears(2, empty(key(2, 2))), []);
    assert_says(&failure(&founder.hears(3, empty(key(3, 3)))), says);
    let mut other = Asking::new(with_data(2));
    let told = founding("c", [1, 2, 3]);
    assert_says(&failure(&other.hears(1, member(key(1, 1), &told))), says);
    // It sees that for itself where the founder has gone by the same error.
    let mut other = Asking::new(with_data(2));
    assert_eq!(other.hears(1, empty(key(1, 1))), []);
    assert_says(&failure(&other.hears(3, empty(key(3, 3)))), says);
    // A log and votes that were removed beside what the directory keeps.
    let record = Record { me: key(2, 2), founding: Some(told.clone()) };
    assert_says(&failure(&Asking::kept(with_data(2), record.clone(), false).1), says);
    assert!(matches!(&Asking::kept(with_data(2), record, true).1[..], [Effect::Resume(..)]));
    // Whose directory alone is lost follows the others.
    let mut wiped = Asking::new(Config { proposed_directory: DirectoryId([22; 16]), ..with_data(2) });
    assert!(matches!(&wiped.hears(1, member(key(1, 1), &told))[..], [Effect::Store(_)]));
}
