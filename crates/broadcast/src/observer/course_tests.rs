//! Claims about whom an observer asks.

use bytes::Bytes;
use ottla_types::LeadershipEpoch;

use super::*;
use crate::observer::course::{Course, Next};

const SECOND: Duration = Duration::from_secs(1);

fn place(node: i32) -> Place {
    Place { host: "127.0.0.1".to_owned(), port: u16::try_from(9_000 + node).unwrap() }
}

fn course(nodes: i32) -> Course {
    Course::new((1..=nodes).map(place))
}

fn hint(leader: Option<i32>, epoch: i64) -> LeaderHint {
    LeaderHint { leader: leader.map(BrokerId), epoch: LeadershipEpoch(epoch) }
}

/// Node `node` has nothing new, and says this of the leader.
fn idle(node: i32, leader: Option<i32>, epoch: i64) -> Answer {
    let found = Found::Records(Vec::new());
    Answer { node: BrokerId(node), leader: hint(leader, epoch), leader_at: None, found }
}

fn answered(course: &mut Course, at: Duration, answer: &Answer) {
    course.answered(at, &place(answer.node.0), answer);
}

/// Who is asked, and whether as a leader.
fn asked(course: &mut Course, now: Duration) -> (i32, bool) {
    match course.next(now) {
        Next::Ask { place, leads } => (i32::from(place.port) - 9_000, leads),
        Next::Rest(pause) => panic!("nobody is asked for {pause:?}"),
    }
}

#[test]
fn all_are_asked_in_turn_until_somebody_leads() {
    let mut course = course(3);
    for node in [1, 2, 3] {
        assert_eq!(asked(&mut course, SECOND), (node, false));
        answered(&mut course, SECOND, &idle(node, None, 0));
    }
    assert!(matches!(course.next(SECOND), Next::Rest(_)), "nobody is asked again at once");
    assert_eq!(asked(&mut course, 2 * SECOND), (1, false));
    answered(&mut course, 2 * SECOND, &idle(1, Some(2), 5));
    assert_eq!(course.hint(), hint(Some(2), 5));
    for _ in 0..3 {
        assert_eq!(asked(&mut course, 2 * SECOND), (2, true), "and then only who leads");
        answered(&mut course, 2 * SECOND, &idle(2, Some(2), 5));
    }
}

#[test]
fn who_brings_records_is_asked_again_at_once_although_it_does_not_lead() {
    let mut course = course(1);
    asked(&mut course, SECOND);
    let brings = Answer { found: Found::Records(vec![Bytes::new()]), ..idle(1, None, 0) };
    answered(&mut course, SECOND, &brings);
    assert_eq!(asked(&mut course, SECOND), (1, false));
}

#[test]
fn a_higher_epoch_wins_and_an_older_one_is_not_believed() {
    let mut course = course(3);
    for node in [3, 1] {
        answered(&mut course, Duration::ZERO, &idle(node, Some(1), 5));
    }
    assert_eq!(asked(&mut course, SECOND), (1, true));
    // Node 1 is cut off from the others, and does not know it.
    assert_eq!(course.beside(SECOND), Some(place(2)));
    answered(&mut course, SECOND, &idle(2, Some(3), 6));
    assert_eq!(asked(&mut course, SECOND), (3, true));
    answered(&mut course, SECOND, &idle(1, Some(1), 5));
    assert_eq!(course.hint(), hint(Some(3), 6));
    assert_eq!(course.by_promise()[0], place(3));
}

#[test]
fn whoever_says_of_itself_that_it_leads_no_longer_is_believed_and_others_are_not() {
    let mut course = course(2);
    answered(&mut course, SECOND, &idle(1, Some(1), 5));
    answered(&mut course, SECOND, &idle(1, None, 5));
    assert_eq!((course.hint(), course.heard()), (hint(None, 5), hint(Some(1), 5)));
    answered(&mut course, SECOND, &idle(2, Some(1), 5));
    assert_eq!(course.hint(), hint(None, 5), "node 2 has not heard of it yet");
    answered(&mut course, SECOND, &idle(2, None, 6));
    answered(&mut course, SECOND, &idle(2, Some(2), 6));
    assert_eq!(course.hint(), hint(Some(2), 6));
}

#[test]
fn a_leader_that_does_not_answer_is_tried_again_between_the_others() {
    let mut course = course(3);
    answered(&mut course, SECOND, &idle(1, Some(1), 5));
    assert_eq!(asked(&mut course, SECOND), (1, true));
    course.failed(SECOND, &place(1));
    assert_eq!(asked(&mut course, SECOND), (2, false));
    answered(&mut course, SECOND, &idle(2, Some(1), 5));
    assert_eq!(asked(&mut course, SECOND), (3, false));
    answered(&mut course, SECOND, &idle(3, Some(1), 5));
    assert_eq!(asked(&mut course, 3 * SECOND), (1, true));
}

#[test]
fn who_fails_again_and_again_rests_longer_but_not_for_ever() {
    let mut course = course(1);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        course.failed(SECOND, &place(1));
        let Next::Rest(pause) = course.next(SECOND) else { panic!("it is asked again at once") };
        pauses.push(pause.as_millis());
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1_000, 1_000, 1_000]);
}

#[test]
fn a_leader_that_no_setting_names_is_found_and_useless_places_do_not_pile_up() {
    let mut course = course(2);
    for node in 10..100 {
        let told = Answer { leader_at: Some(place(node)), ..idle(1, Some(node), i64::from(node)) };
        answered(&mut course, SECOND, &told);
        assert_eq!(asked(&mut course, SECOND), (node, true));
        course.failed(SECOND, &place(node));
    }
    let places = course.by_promise();
    assert!(places.len() <= 2 + 16, "{places:?}");
    assert!(places.contains(&place(1)) && places.contains(&place(2)), "what was set stays: {places:?}");
}

#[test]
fn nobody_is_looked_at_besides_while_nobody_leads() {
    let mut course = course(3);
    assert_eq!(course.beside(SECOND), None);
    answered(&mut course, SECOND, &idle(3, Some(3), 1));
    let looked: Vec<_> = (0..4).map(|_| course.beside(SECOND).unwrap()).collect();
    assert_eq!(looked, [place(1), place(2), place(1), place(2)]);
}
