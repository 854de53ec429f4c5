//! Claims about what a fetch session says and keeps quiet about.

use ottla_types::TopicId;

use super::*;

fn key(index: i32) -> Key {
    (TopicId([7; 16]), index)
}

fn want(offset: i64) -> Want {
    Want {
        leader_epoch: LeaderEpoch(1),
        offset: Offset(offset),
        last_fetched_epoch: LeaderEpoch(1),
        log_start: Offset(0),
    }
}

/// A session that stands, in which these partitions were asked for at offset 0.
fn standing(indexes: &[i32]) -> Session {
    let mut session = Session::default();
    indexes.iter().for_each(|index| session.put(key(*index), want(0)));
    session.next();
    session.answered(9);
    session
}

#[test]
fn the_first_request_asks_for_a_session_and_names_everything() {
    let mut session = Session::default();
    session.put(key(1), want(5));
    session.put(key(0), want(3));
    let plan = session.next();
    assert_eq!((plan.session_id, plan.session_epoch), (0, 0));
    assert_eq!(plan.ask, [(key(0), want(3)), (key(1), want(5))]);
}

#[test]
fn a_request_of_a_session_names_only_what_changed() {
    let mut session = standing(&[0, 1, 2]);
    session.put(key(0), want(0));
    session.put(key(1), want(4));
    let plan = session.next();
    assert_eq!((plan.session_id, plan.session_epoch), (9, 1));
    assert_eq!((plan.ask, plan.forget), (vec![(key(1), want(4))], vec![]));
    session.answered(9);
    assert_eq!(session.next(), Plan { session_id: 9, session_epoch: 2, ..Plan::default() });
}

#[test]
fn what_is_dropped_is_forgotten_once() {
    let mut session = standing(&[0, 1]);
    session.drop(key(0));
    session.drop(key(5));
    assert_eq!(session.next().forget, [key(0)]);
    session.answered(9);
    assert_eq!(session.next().forget, []);
}

#[test]
fn what_is_dropped_while_the_session_is_being_opened_is_forgotten_in_it() {
    let mut session = Session::default();
    session.put(key(0), want(0));
    session.put(key(1), want(0));
    session.next();
    session.drop(key(0));
    session.answered(9);
    let plan = session.next();
    assert_eq!((plan.ask, plan.forget), (vec![], vec![key(0)]));
}

#[test]
fn what_is_dropped_and_comes_back_is_asked_for_and_not_forgotten() {
    let mut session = standing(&[0, 1]);
    session.drop(key(0));
    session.put(key(0), want(0));
    let plan = session.next();
    assert_eq!((plan.ask, plan.forget), (vec![(key(0), want(0))], vec![]));
}

#[test]
fn a_session_that_begins_anew_names_everything_and_closes_the_old_one() {
    let mut session = standing(&[0, 1]);
    session.drop(key(1));
    session.restart();
    let plan = session.next();
    assert_eq!((plan.session_id, plan.session_epoch), (9, 0));
    assert_eq!((plan.ask, plan.forget), (vec![(key(0), want(0))], vec![]));
    session.answered(11);
    assert_eq!(session.next(), Plan { session_id: 11, session_epoch: 1, ..Plan::default() });
}

#[test]
fn without_room_for_a_session_every_request_names_everything() {
    let mut session = Session::default();
    session.put(key(0), want(0));
    for _ in 0..2 {
        let plan = session.next();
        assert_eq!((plan.session_id, plan.session_epoch), (0, 0));
        assert_eq!(plan.ask, [(key(0), want(0))]);
        session.answered(0);
    }
}

#[test]
fn epochs_of_a_session_wrap_to_one() {
    let mut session = standing(&[0]);
    session.epoch = i32::MAX;
    session.next();
    session.answered(9);
    assert_eq!(session.next().session_epoch, 1);
}
