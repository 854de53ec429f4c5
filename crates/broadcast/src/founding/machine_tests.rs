//! How a quorum is founded and joined: scripts, one for each rule.

use std::time::Duration;

use ottla_types::{BrokerId, DirectoryId};

use super::script::*;
use super::*;
use crate::quorum::VoterKey;

fn store(key: VoterKey, founding: &Founding) -> Effect {
    Effect::Store(Record { me: key, founding: Some(founding.clone()) })
}

#[test]
fn the_lowest_node_founds_when_all_others_have_answered_empty_and_votes_when_that_is_durable() {
    let mut node = Asking::new(config(1));
    assert_eq!(node.hears(2, empty(key(2, 2))), []);
    let expected = founding("proposed-1", [1, 2, 3]);
    assert_eq!(node.hears(3, empty(key(3, 3))), [store(key(1, 1), &expected)]);
    assert_eq!(node.says(key(2, 2)).unwrap().founding, None, "it could still forget it");
    assert_eq!(node.step(Input::Stored), [Effect::Initialise(key(1, 1), expected.clone())]);
    assert_eq!(node.says(key(2, 2)), Some(member(key(1, 1), &expected)));
}

#[test]
fn the_lowest_node_founds_nothing_without_each_answer() {
    let mut node = Asking::new(config(1));
    assert_eq!(node.hears(2, empty(key(2, 2))), []);
    let refused = Input::Unanswered(node.probe(3), "refused".to_owned());
    assert_eq!(node.step(refused), []);
    for _ in 0..100 {
        let effects = node.ticks(TIMING.patience);
        assert!(effects.iter().all(|effect| matches!(effect, Effect::Warn(_))), "{effects:?}");
    }
    // It comes up much later.
    let expected = founding("proposed-1", [1, 2, 3]);
    assert_eq!(node.hears(3, empty(key(3, 3))), [store(key(1, 1), &expected)]);
}

#[test]
fn another_node_founds_nothing_though_all_are_empty() {
    let mut node = Asking::new(config(2));
    assert_eq!(node.hears(1, empty(key(1, 1))), []);
    assert_eq!(node.hears(3, empty(key(3, 3))), []);
    assert_eq!(node.ticks(TIMING.pause), []);
}

#[test]
fn another_node_takes_the_founders_word_and_votes() {
    let mut node = Asking::new(config(2));
    let told = founding("proposed-1", [1, 2, 3]);
    assert_eq!(node.hears(1, member(key(1, 1), &told)), [store(key(2, 2), &told)]);
    assert_eq!(node.says(key(1, 1)), None, "it is neither empty nor a member");
    assert_eq!(node.step(Input::Stored), [Effect::Initialise(key(2, 2), told)]);
}

#[test]
fn anothers_word_counts_once_there_was_a_leader() {
    let mut node = Asking::new(config(2));
    let told = founding("proposed-1", [1, 2, 3]);
    assert_eq!(node.hears(3, member(key(3, 3), &told)), []);
    node.ticks(TIMING.pause);
    assert_eq!(node.hears(3, led(member(key(3, 3), &told))), [store(key(2, 2), &told)]);
}

#[test]
fn who_lost_its_directory_observes_and_is_voted_in_again() {
    let mut node = Asking::new(Config { proposed_directory: DirectoryId([22; 16]), ..config(2) });
    let told = founding("proposed-1", [1, 2, 3]);
    let answer = led(member(key(1, 1), &told));
    let leader = answer.known.leader;
    assert_eq!(node.hears(1, answer), [store(key(2, 22), &told)]);
    let joins = Effect::JoinAsObserver {
        me: key(2, 22),
        cluster_id: told.cluster_id,
        replaces: Some(key(2, 2)),
        leader,
    };
    assert_eq!(node.step(Input::Stored), [joins]);
}

#[test]
fn the_founder_that_lost_its_directory_passes_on_what_another_kept_and_does_not_vote() {
    let mut node = Asking::new(Config { proposed_directory: DirectoryId([11; 16]), ..config(1) });
    let kept = founding("older", [1, 2, 3]);
    assert_eq!(node.hears(3, member(key(3, 3), &kept)), [store(key(1, 11), &kept)]);
    let effects = node.step(Input::Stored);
    assert!(matches!(&effects[..], [Effect::JoinAsObserver { .. }]), "{effects:?}");
    // Node 2 is empty, and is told whom it votes with.
    assert_eq!(node.says(key(2, 2)), Some(member(key(1, 11), &kept)));
}

#[test]
fn the_only_listed_node_founds_at_once() {
    let (mut machine, _) =
        Bootstrap::start(Config { quorum: Quorum::Voters(vec![voter(1)]), ..config(1) }, None, false, START);
    let effects = machine.step(Input::Stored, START);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Store(Record { founding: Some(_), .. }))));
    let effects = machine.step(Input::Stored, START);
    assert!(matches!(&effects[0], Effect::Initialise(..)), "{effects:?}");
}

#[test]
fn the_cluster_is_called_what_the_data_that_is_there_says() {
    let mut node = Asking::new(config(1));
    let known = ClusterId::new("of-the-data");
    node.hears(2, Answer { cluster_id: Some(known), ..empty(key(2, 2)) });
    let expected = founding("of-the-data", [1, 2, 3]);
    assert_eq!(node.hears(3, empty(key(3, 3))), [store(key(1, 1), &expected)]);
}

#[test]
fn by_bootstrap_servers_a_node_joins_a_quorum_with_a_leader_and_founds_none() {
    let server = Address { host: "host1".to_owned(), port: 9093 };
    let mut node = Asking::new(Config { quorum: Quorum::Servers(vec![server]), ..config(4) });
    let told = founding("proposed-1", [1, 2, 3]);
    for answer in [empty(key(1, 1)), member(key(1, 1), &told)] {
        assert_eq!(node.hears(1, answer), []);
        assert_eq!(node.ticks(TIMING.pause), []);
    }
    let answer = led(member(key(1, 1), &told));
    let leader = answer.known.leader;
    assert_eq!(node.hears(1, answer), [store(key(4, 4), &told)]);
    let cluster_id = told.cluster_id;
    let joins = Effect::JoinAsObserver { me: key(4, 4), cluster_id, replaces: None, leader };
    assert_eq!(node.step(Input::Stored), [joins]);
}

#[test]
fn by_bootstrap_servers_a_node_does_not_vote_though_the_founding_names_it() {
    let server = Address { host: "host1".to_owned(), port: 9093 };
    let mut node = Asking::new(Config { quorum: Quorum::Servers(vec![server]), ..config(2) });
    node.hears(1, led(member(key(1, 1), &founding("proposed-1", [1, 2, 3]))));
    let effects = node.step(Input::Stored);
    assert!(matches!(&effects[..], [Effect::JoinAsObserver { replaces: None, .. }]), "{effects:?}");
}

#[test]
fn who_crashed_before_it_voted_is_allowed_to_again_by_the_same_founding() {
    let kept = founding("proposed-1", [1, 2, 3]);
    let record = Record { me: key(2, 2), founding: Some(kept.clone()) };
    let (_, effects) = Asking::kept(config(2), record, false);
    assert_eq!(effects, [Effect::Initialise(key(2, 2), kept)]);
}

#[test]
fn who_has_votes_or_a_log_goes_on_with_them_at_once() {
    let kept = founding("proposed-1", [1, 2, 3]);
    let cluster_id = kept.cluster_id.clone();
    let record = Record { me: key(2, 2), founding: Some(kept) };
    let (_, effects) = Asking::kept(config(2), record, true);
    assert_eq!(effects, [Effect::Resume(key(2, 2), cluster_id)]);
}

#[test]
fn who_crashed_before_it_knew_a_quorum_is_still_the_directory_that_answered() {
    let record = Record { me: key(2, 7), founding: None };
    let (mut node, effects) = Asking::kept(config(2), record, false);
    assert_eq!(effects, []);
    assert_eq!(node.says(key(1, 1)).unwrap().key, key(2, 7));
}

#[test]
fn an_answer_of_a_directory_that_was_lost_meanwhile_does_not_count() {
    let mut node = Asking::new(config(2));
    node.says(key(1, 1));
    let late = node.probe(1);
    node.says(key(1, 11));
    let old = member(key(1, 1), &founding("lost", [1, 2, 3]));
    assert_eq!(node.step(Input::Answered(late, old)), []);
    let new = founding("proposed-1", [11, 2, 3]);
    assert_eq!(node.hears(1, member(key(1, 11), &new)), [store(key(2, 2), &new)]);
}

#[test]
fn an_answer_counts_once_and_only_to_the_last_probe() {
    let mut node = Asking::new(config(1));
    let first = node.probe(2);
    node.ticks(TIMING.patience);
    assert_ne!(node.probe(2), first);
    assert_eq!(node.step(Input::Answered(first, empty(key(2, 2)))), []);
    assert_eq!(node.hears(3, empty(key(3, 3))), [], "node 2's answer came late");
    let effects = node.hears(2, empty(key(2, 2)));
    assert!(matches!(&effects[..], [Effect::Store(_)]), "{effects:?}");
    assert_eq!(node.hears(2, empty(key(2, 22))), [], "it came twice");
}

#[test]
fn a_node_says_nothing_before_its_directory_has_its_id() {
    let (mut machine, _) = Bootstrap::start(config(2), None, false, START);
    let by = Question { key: key(1, 1), listed: voters(), cluster_id: None };
    assert_eq!(machine.step(Input::Asked(by, Known::default()), START), [Effect::AnswerLater]);
}

#[test]
fn who_does_not_answer_is_named_with_how_long_it_has_not() {
    let mut node = Asking::new(config(1));
    node.hears(2, empty(key(2, 2)));
    let refused = Input::Unanswered(node.probe(3), "connection refused".to_owned());
    node.step(refused);
    let effects = node.ticks(Duration::from_secs(7));
    let [Effect::Warn(warning)] = &effects[..] else { panic!("{effects:?}") };
    let text = warning.to_string();
    assert!(text.contains("node 3 at host3:9093 has not answered for 7 s (connection refused)"), "{text}");
    assert!(!text.contains("node 2") && text.contains("controller.quorum.voters"), "{text}");
    assert_eq!(node.ticks(Duration::from_secs(1)), [], "it is not said again and again");
}

#[test]
fn who_waits_for_the_founder_alone_says_so() {
    let mut node = Asking::new(config(2));
    node.hears(1, empty(key(1, 1)));
    node.hears(3, empty(key(3, 3)));
    let effects = node.ticks(Duration::from_secs(6));
    let waiting = Duration::from_secs(6);
    assert_eq!(effects, [Effect::Warn(Warning::NotFounded { founder: Some(BrokerId(1)), waiting })]);
}

#[test]
fn a_directory_that_came_for_a_lost_one_observes_until_its_own_log_says_that_it_votes() {
    let kept = founding("proposed-1", [1, 2, 3]);
    let record = Record { me: key(2, 22), founding: Some(kept) };
    let log = |directory: u8| Known {
        leader: None,
        voters: founding("proposed-1", [1, directory, 3]).electorate("CONTROLLER"),
    };
    let (_, effects) = Asking::kept(Config { known: log(2), ..config(2) }, record.clone(), true);
    assert!(matches!(&effects[..], [Effect::JoinAsObserver { replaces: Some(_), .. }]), "{effects:?}");
    let (_, effects) = Asking::kept(Config { known: log(22), ..config(2) }, record, true);
    assert!(matches!(&effects[..], [Effect::Resume(..)]), "{effects:?}");
}

#[test]
fn whoever_waits_for_its_own_disk_has_nothing_to_do_meanwhile() {
    let mut node = Asking::new(config(1));
    node.hears(2, empty(key(2, 2)));
    assert!(node.machine.wakes_at().is_some());
    assert!(matches!(&node.hears(3, empty(key(3, 3)))[..], [Effect::Store(_)]));
    assert_eq!(node.machine.wakes_at(), None);
}

#[test]
fn who_has_its_place_tells_what_it_waits_for_until_a_leader_is_known() {
    let record = Record { me: key(2, 2), founding: Some(founding("proposed-1", [1, 2, 3])) };
    let (mut node, _) = Asking::kept(config(2), record, true);
    let refused = Input::Unanswered(node.probe(3), "connection refused".to_owned());
    node.step(refused);
    let text = node.machine.waiting(node.now).unwrap().to_string();
    assert!(text.contains("node 3 at host3:9093") && text.contains("majority"), "{text}");
    node.step(Input::LeaderKnown);
    assert_eq!(node.machine.waiting(node.now), None);
}

#[test]
fn once_a_leader_is_known_nothing_is_left_to_do_but_to_answer() {
    let kept = founding("proposed-1", [1, 2, 3]);
    let record = Record { me: key(2, 2), founding: Some(kept.clone()) };
    let (mut node, _) = Asking::kept(config(2), record, true);
    assert!(node.machine.wakes_at().is_some());
    assert_eq!(node.step(Input::LeaderKnown), []);
    assert_eq!(node.machine.wakes_at(), None);
    assert_eq!(node.says(key(3, 3)), Some(member(key(2, 2), &kept)));
}
