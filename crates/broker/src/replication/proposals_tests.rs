//! Scripts of [`super::Proposals`]: what comes in, and what is to be done.

use ottla_metadata::record::LeaderRecovery;
use ottla_types::{BrokerEpoch, TopicId};

use super::*;

const TOPIC: TopicId = TopicId([3; 16]);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn update(index: i32, epoch: i32, isr: &[i32]) -> PartitionUpdate {
    PartitionUpdate {
        topic: TOPIC,
        index,
        leader_epoch: LeaderEpoch(1),
        partition_epoch: PartitionEpoch(epoch),
        isr: isr.iter().map(|id| (BrokerId(*id), Some(BrokerEpoch(9)))).collect(),
        recovery: LeaderRecovery::Recovered,
    }
}

/// The leader wants this, in the state that it is to change.
fn wants(updates: &[PartitionUpdate]) -> Input {
    let wanted = |update: &PartitionUpdate| Wanted {
        key: (update.topic, update.index),
        state: Some(state_of(update)),
        update: Some(update.clone()),
        is_undecided: false,
    };
    Input::Wanted(updates.iter().map(wanted).collect())
}

/// All is as it should be at this epoch of the partition.
fn is_content(index: i32, epoch: i32) -> Input {
    let state = Some((LeaderEpoch(1), PartitionEpoch(epoch)));
    Input::Wanted(vec![Wanted { key: (TOPIC, index), state, update: None, is_undecided: false }])
}

fn answers(answers: &[(i32, Result<i32, ErrorCode>)]) -> Input {
    let answer =
        |(index, answer): &(i32, Result<i32, ErrorCode>)| ((TOPIC, *index), answer.map(PartitionEpoch));
    Input::Answered(answers.iter().map(answer).collect())
}

fn sends(updates: &[PartitionUpdate]) -> Vec<Effect> {
    vec![Effect::Send(updates.to_vec())]
}

/// Who may be in sync, where 1 is.
fn counted(machine: &Proposals, index: i32) -> Vec<i32> {
    machine.may_be_in_sync((TOPIC, index), &[BrokerId(1)]).into_iter().map(|broker| broker.0).collect()
}

#[test]
fn the_union_counts_from_the_sending_until_the_partition_has_another_state() {
    let mut machine = Proposals::default();
    let (first, second) = (update(0, 5, &[1, 2]), update(1, 5, &[1, 3]));
    assert_eq!(machine.step(ms(0), wants(std::slice::from_ref(&first))), sends(std::slice::from_ref(&first)));
    assert_eq!(machine.step(ms(1), wants(std::slice::from_ref(&second))), [], "one request at a time");
    assert_eq!((counted(&machine, 0), counted(&machine, 1)), (vec![1, 2], vec![1]), "what is sent counts");
    assert_eq!(machine.step(ms(2), answers(&[(0, Ok(6))])), sends(&[second]));
    assert_eq!(counted(&machine, 0), [1, 2], "the answer is there, and what is in force is still the old");
    // A look at the state that is over asks for nothing again.
    machine.step(ms(3), answers(&[(1, Ok(6))]));
    assert_eq!(machine.step(ms(4), wants(&[first])), []);
    assert_eq!(machine.step(ms(5), is_content(0, 6)), []);
    assert_eq!(counted(&machine, 0), [1]);
}

#[test]
fn a_refusal_is_certain_where_one_copy_was_sent_and_is_looked_at_again_later() {
    let mut machine = Proposals::default();
    let wanted = update(0, 5, &[1, 2]);
    machine.step(ms(0), wants(std::slice::from_ref(&wanted)));
    let refused = answers(&[(0, Err(ErrorCode::IneligibleReplica))]);
    assert_eq!(machine.step(ms(10), refused), [Effect::WakeAt(ms(1010))]);
    assert_eq!(counted(&machine, 0), [1]);
    assert_eq!(machine.step(ms(1010), Input::Tick), [Effect::Look(vec![(TOPIC, 0)])]);
    assert_eq!(machine.step(ms(1011), wants(std::slice::from_ref(&wanted))), sends(&[wanted]));
}

#[test]
fn a_refusal_is_not_certain_while_a_copy_without_an_answer_may_arrive() {
    let mut machine = Proposals::default();
    let wanted = update(0, 5, &[1, 2]);
    machine.step(ms(0), wants(std::slice::from_ref(&wanted)));
    assert_eq!(machine.step(ms(1), Input::Failed), [Effect::WakeAt(ms(51))]);
    assert_eq!(counted(&machine, 0), [1, 2]);
    assert_eq!(machine.step(ms(51), Input::Tick), sends(&[wanted]), "over a change of the controller");
    machine.step(ms(52), answers(&[(0, Err(ErrorCode::IneligibleReplica))]));
    assert_eq!(counted(&machine, 0), [1, 2], "the first copy may still be decided");
    // Another wish in the same state is in competition with that copy.
    let other = update(0, 5, &[1, 3]);
    assert_eq!(machine.step(ms(60), wants(std::slice::from_ref(&other))), sends(&[other]));
    assert_eq!(counted(&machine, 0), [1, 2, 3]);
    machine.step(ms(61), answers(&[(0, Err(ErrorCode::InvalidUpdateVersion))]));
    assert_eq!(counted(&machine, 0), [1, 2, 3], "one of them was decided");
    machine.step(ms(62), is_content(0, 6));
    assert_eq!(counted(&machine, 0), [1]);
}

#[test]
fn a_state_that_the_controller_says_is_over_is_left_alone_until_it_is_replayed() {
    for error in [ErrorCode::InvalidUpdateVersion, ErrorCode::FencedLeaderEpoch, ErrorCode::NewLeaderElected]
    {
        let mut machine = Proposals::default();
        let wanted = update(0, 5, &[1, 2]);
        machine.step(ms(0), wants(std::slice::from_ref(&wanted)));
        assert_eq!(machine.step(ms(1), answers(&[(0, Err(error))])), [], "{error}");
        assert_eq!(machine.step(ms(2), wants(&[wanted])), [], "{error}");
        assert_eq!(counted(&machine, 0), [1, 2], "{error}");
        let next = update(0, 6, &[1, 2]);
        assert_eq!(machine.step(ms(3), wants(std::slice::from_ref(&next))), sends(&[next]), "{error}");
    }
}

#[test]
fn a_partition_that_the_answer_does_not_tell_of_stays_in_doubt() {
    let mut machine = Proposals::default();
    let wanted = update(0, 5, &[1, 2]);
    machine.step(ms(0), wants(std::slice::from_ref(&wanted)));
    assert_eq!(machine.step(ms(1), answers(&[])), [Effect::WakeAt(ms(1001))]);
    assert_eq!(counted(&machine, 0), [1, 2]);
}

#[test]
fn an_answer_that_changed_nothing_is_certain() {
    let mut machine = Proposals::default();
    machine.step(ms(0), wants(&[update(0, 5, &[1, 2])]));
    assert_eq!(machine.step(ms(1), answers(&[(0, Ok(5))])), []);
    assert_eq!(counted(&machine, 0), [1]);
}

#[test]
fn what_is_sent_still_counts_when_it_is_not_wanted_any_more_and_not_when_another_one_leads() {
    let mut machine = Proposals::default();
    machine.step(ms(0), wants(&[update(0, 5, &[1, 2]), update(1, 5, &[1, 2])]));
    machine.step(ms(1), is_content(0, 5));
    assert_eq!(counted(&machine, 0), [1, 2]);
    let gone = Wanted { key: (TOPIC, 1), state: None, update: None, is_undecided: false };
    machine.step(ms(1), Input::Wanted(vec![gone]));
    assert_eq!(counted(&machine, 1), [1]);
    assert_eq!(machine.step(ms(2), Input::Failed), [], "nobody wants it again");
    assert_eq!(counted(&machine, 0), [1, 2], "and it may be decided yet");
}

#[test]
fn what_cannot_be_told_yet_is_looked_at_later_once_for_all() {
    let mut machine = Proposals::default();
    let undecided = |index| {
        let state = Some((LeaderEpoch(1), PartitionEpoch(5)));
        Input::Wanted(vec![Wanted { key: (TOPIC, index), state, update: None, is_undecided: true }])
    };
    assert_eq!(machine.step(ms(0), undecided(0)), [Effect::WakeAt(ms(1000))]);
    assert_eq!(machine.step(ms(500), undecided(1)), [Effect::WakeAt(ms(1000))]);
    assert_eq!(machine.step(ms(1000), Input::Tick), [Effect::Look(vec![(TOPIC, 0), (TOPIC, 1)])]);
    assert_eq!(machine.step(ms(2000), Input::Tick), []);
}

#[test]
fn ten_thousand_partitions_are_ten_requests() {
    let mut machine = Proposals::default();
    let all: Vec<_> = (0..10_000).map(|index| update(index, 5, &[1, 2, 3])).collect();
    let mut effects = machine.step(ms(0), wants(&all));
    let mut asked = Vec::new();
    let mut requests = 0;
    while let [Effect::Send(updates)] = &effects[..] {
        requests += 1;
        let answered: Vec<_> = updates.iter().map(|update| (update.index, Ok(6))).collect();
        asked.extend_from_slice(updates);
        effects = machine.step(ms(0), answers(&answered));
    }
    assert_eq!((requests, asked), (10, all));
    assert_eq!(effects, []);
}
