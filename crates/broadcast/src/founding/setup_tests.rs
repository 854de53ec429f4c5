//! Set-ups that cannot work: each gives one error, that says what to do.

use ottla_types::BrokerId;

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
    assert_eq!(node.says(key(2, 2)), None, "it stops");
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
    let effects = node.step(Input::Asked(key(1, 9), None));
    assert_says(&noticed(&effects[..1]), &["two nodes have node.id 1"]);
    let effects = node.step(Input::Asked(key(1, 9), None));
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
    assert_says(&failure(&effects), &["mine", "theirs"]);
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
