//! One script for each rule.

use ottla_metadata::liveness::{Detector, DialOutcome, Effect, Evidence, Input};
use ottla_types::{BrokerEpoch, BrokerId};

use crate::script::{SESSION_MS, Script, is_silence, ms, registered, timing};

const EPOCH: BrokerEpoch = BrokerEpoch(1);

#[test]
fn a_dead_process_is_fenced_at_once_when_its_listener_refuses_twice() {
    let mut script = Script::calm(3);
    script.silence(&[2]);
    script.listener(2, DialOutcome::Refused);
    script.run(30);
    script.lose_connection(2);
    script.run(200);
    let [(at, broker, reason)] = script.reasons()[..] else { panic!() };
    assert_eq!((at, broker, reason.evidence), (10_040, 2, Evidence::Refused));
    assert!(reason.to_string().contains("the process is gone"), "{reason}");
}

#[test]
fn one_refusal_proves_nothing() {
    let mut script = Script::calm(3);
    script.listener(2, DialOutcome::Refused);
    script.lose_connection(2);
    script.listener(2, DialOutcome::Connected);
    script.run(1000);
    assert_eq!(script.fences(), []);
}

#[test]
fn a_lost_connection_of_a_broker_that_listens_is_nothing() {
    let mut script = Script::calm(3);
    script.dials();
    script.lose_connection(2);
    assert_eq!(script.dials(), [(10_000, 2)]);
    script.run(60_000);
    assert_eq!(script.fences(), []);
}

#[test]
fn a_heartbeat_between_the_refusals_voids_them() {
    let mut detector = Detector::new(ms(0), timing(), [registered(1, 1)], []);
    let dial = Effect::Dial(BrokerId(1), EPOCH);
    let refused = Input::Dialed(BrokerId(1), EPOCH, DialOutcome::Refused);
    assert_eq!(detector.handle(ms(0), Input::Tick), [dial]);
    assert_eq!(detector.handle(ms(1), refused), []);
    assert_eq!(detector.handle(ms(5), Input::Heartbeat(BrokerId(1), EPOCH)), []);
    assert_eq!(detector.handle(ms(20), Input::ConnectionLost(BrokerId(1), EPOCH)), [dial]);
    assert_eq!(detector.handle(ms(21), refused), [], "the first one again");
    // A heartbeat while a dial is under way voids that one too.
    assert_eq!(detector.handle(ms(31), Input::Tick), [dial]);
    assert_eq!(detector.handle(ms(32), Input::Heartbeat(BrokerId(1), EPOCH)), []);
    assert_eq!(detector.handle(ms(33), refused), []);
}

#[test]
fn evidence_that_comes_while_a_dial_is_under_way_asks_for_another_one() {
    let mut detector = Detector::new(ms(0), timing(), [registered(1, 1)], []);
    let dial = Effect::Dial(BrokerId(1), EPOCH);
    assert_eq!(detector.handle(ms(0), Input::Tick), [dial]);
    assert_eq!(detector.handle(ms(5), Input::ConnectionLost(BrokerId(1), EPOCH)), []);
    assert_eq!(detector.handle(ms(6), Input::Dialed(BrokerId(1), EPOCH, DialOutcome::Connected)), [dial]);
}

#[test]
fn a_paused_broker_is_fenced_after_half_a_second_on_a_quiet_machine() {
    let mut script = Script::calm(3);
    script.silence(&[2]);
    script.run(SESSION_MS);
    let [(at, broker, reason)] = script.reasons()[..] else { panic!() };
    // Its last heartbeat came at 9900.
    assert_eq!((at, broker), (10_400, 2));
    assert!(is_silence(&reason), "{reason}");
    assert_eq!((reason.since, reason.silent_for), (ms(9900), ms(500)));
    assert_eq!(
        reason.to_string(),
        "no heartbeat for 500 ms, when its longest recent interval was 100 ms and 500 ms are tolerated"
    );
}

#[test]
fn a_dead_host_that_answers_nothing_is_fenced_like_a_paused_broker() {
    let mut script = Script::calm(3);
    script.silence(&[2]);
    script.listener(2, DialOutcome::Unanswered);
    script.run(SESSION_MS);
    let [(at, _, reason)] = script.reasons()[..] else { panic!() };
    assert!(at == 10_400 && is_silence(&reason));
}

#[test]
fn a_process_that_dies_without_a_reset_is_dialed_when_it_misses_heartbeats() {
    let mut script = Script::calm(3);
    script.silence(&[2]);
    script.listener(2, DialOutcome::Refused);
    script.run(SESSION_MS);
    let [(at, _, reason)] = script.reasons()[..] else { panic!() };
    assert_eq!((at, reason.evidence), (10_060, Evidence::Refused));
}

#[test]
fn a_silence_is_judged_by_the_brokers_own_rhythm() {
    let mut script = Script::calm(3);
    // Broker 2 is slow for a while: 400 ms between two heartbeats.
    script.silence(&[2]);
    script.run(300);
    script.speak(2);
    script.run(1000);
    assert_eq!(script.fences(), []);
    assert_eq!((script.tolerance_ms(1), script.tolerance_ms(2)), (500, 800));
    script.silence(&[1, 2]);
    script.speak(1);
    script.run(1500);
    let [(at, 2)] = script.fences()[..] else { panic!() };
    assert_eq!(at, 11_200 + 800, "its last heartbeat came at 11200");
}

#[test]
fn the_session_timeout_is_the_most_whatever_the_rhythm() {
    let mut script = Script::calm(3);
    for _ in 0..4 {
        // Each silence is within twice the one before, which began a heartbeat earlier.
        for pause in [290, 600, 1200, 2400, 4800] {
            script.silence(&[2]);
            script.run(pause);
            script.speak(2);
            script.run(100);
        }
    }
    script.fences();
    assert_eq!(script.tolerance_ms(2), SESSION_MS);
    script.silence(&[2]);
    script.run(20_000);
    let [(_, 2, reason)] = script.reasons()[..] else { panic!() };
    assert_eq!((reason.evidence, reason.silent_for), (Evidence::SessionTimeout, ms(SESSION_MS)));
}

#[test]
fn time_in_which_the_controller_did_not_run_is_nobodys_silence() {
    let mut script = Script::calm(3);
    script.stall(30_000);
    assert_eq!(script.fences(), []);
    script.run(10_000);
    assert_eq!(script.fences(), [], "everybody went on speaking");
    let health = script.detector.health(ms(script.now_ms), BrokerId(1)).unwrap();
    assert_eq!(health.longest_interval, Some(ms(150)), "the stall is in nobody's rhythm");
}

#[test]
fn after_a_stall_silence_goes_on_where_it_was() {
    let mut script = Script::calm(3);
    script.silence(&[2]);
    script.run(300);
    // Silent for 400 ms; the rest of the half second passes after the stall.
    script.stall(30_000);
    script.run(90);
    assert_eq!(script.fences(), [], "what it sent meanwhile may still be in a buffer");
    script.run(300);
    let [(at, 2, reason)] = script.reasons()[..] else { panic!() };
    assert!((40_390..40_600).contains(&at), "{at}");
    assert!(reason.silent_for < ms(800), "{reason}");
}

#[test]
fn refusals_from_before_a_stall_prove_nothing_after_it() {
    let mut detector = Detector::new(ms(0), timing(), [registered(1, 1), registered(2, 1)], []);
    let refused = Input::Dialed(BrokerId(1), EPOCH, DialOutcome::Refused);
    detector.handle(ms(0), Input::Tick);
    detector.handle(ms(0), Input::Heartbeat(BrokerId(2), EPOCH));
    assert_eq!(detector.handle(ms(1), refused), []);
    assert_eq!(detector.handle(ms(11), Input::Tick), [Effect::Dial(BrokerId(1), EPOCH)]);
    // The answer was there all the time, and so may be the broker's new registration.
    let effects = detector.handle(ms(5000), refused);
    assert_eq!(effects, [Effect::Dial(BrokerId(1), EPOCH)], "it is asked anew");
    assert_eq!(detector.handle(ms(5001), refused), []);
    detector.handle(ms(5011), Input::Tick);
    assert!(matches!(detector.handle(ms(5012), refused)[..], [Effect::Fence(BrokerId(1), ..)]));
}

#[test]
fn a_new_controller_dials_everybody_and_fences_the_dead_at_once() {
    let mut script = Script::new(3);
    script.silence(&[3]);
    script.listener(3, DialOutcome::Refused);
    script.run(50);
    assert_eq!(script.fences(), [(10, 3)]);
    let mut script = Script::new(3);
    script.silence(&[1, 2, 3]);
    script.run(50);
    assert_eq!(script.dials(), [(0, 1), (0, 2), (0, 3)]);
}

#[test]
fn a_new_controller_starts_all_clocks_at_its_election() {
    let mut script = Script::new(3);
    script.silence(&[1, 2, 3]);
    script.run(SESSION_MS);
    assert_eq!(script.fences(), [], "nobody spoke yet: who is to say that it is they?");
    script.run(1);
    assert_eq!(script.fences(), [(6000, 1), (6000, 2), (6000, 3)]);
}

#[test]
fn who_does_not_find_the_new_controller_is_judged_by_the_slowest_who_did() {
    let mut script = Script::new(3);
    script.silence(&[2, 3]);
    script.run(400);
    script.speak(2);
    script.run(400);
    assert_eq!(script.fences(), [], "twice the 400 ms of broker 2 are not over");
    script.run(2000);
    let [(at, 3, reason)] = script.reasons()[..] else { panic!() };
    assert_eq!(at, 800);
    assert!(
        reason.to_string().starts_with("not heard of in the 800 ms since this controller's election"),
        "{reason}"
    );
}

#[test]
fn a_silent_majority_is_our_own_fault_until_the_session_timeout() {
    let mut script = Script::calm(3);
    script.silence(&[2, 3]);
    script.run(5000);
    assert_eq!(script.fences(), []);
    script.run(1000);
    assert_eq!(script.fences(), [(15_900, 2), (15_900, 3)]);
}

#[test]
fn a_majority_counts_together_though_their_tolerances_differ() {
    let mut script = Script::calm(5);
    // Brokers 3 to 5 are slow for a while, each slower than the one before.
    for (broker, pause) in [(3, 300), (4, 350), (5, 399)] {
        script.silence(&[broker]);
        script.run(pause);
        script.speak(broker);
        script.run(200);
    }
    assert_eq!(script.fences(), []);
    script.silence(&[2, 3, 4]);
    script.run(5000);
    assert_eq!(script.fences(), [], "one after the other would have been a minority each");
}

#[test]
fn a_silent_minority_is_fenced_together() {
    let mut script = Script::calm(5);
    script.silence(&[2, 3]);
    script.run(1000);
    assert_eq!(script.fences(), [(10_400, 2), (10_400, 3)]);
}

#[test]
fn a_second_broker_that_falls_silent_later_is_no_majority() {
    let mut script = Script::calm(3);
    script.silence(&[2]);
    script.run(3000);
    assert_eq!(script.fences(), [(10_400, 2)]);
    script.silence(&[3]);
    script.run(1000);
    assert_eq!(script.fences(), [(13_400, 3)]);
}

#[test]
fn refusals_convict_a_majority_too() {
    let mut script = Script::calm(3);
    script.silence(&[2, 3]);
    for broker in [2, 3] {
        script.listener(broker, DialOutcome::Refused);
        script.lose_connection(broker);
    }
    script.run(100);
    assert_eq!(script.fences(), [(10_010, 2), (10_010, 3)], "no fault of ours makes two kernels refuse");
}

#[test]
fn the_dead_do_not_make_the_next_silent_broker_one_of_a_majority() {
    let mut script = Script::calm(3);
    script.silence(&[2, 3]);
    script.listener(2, DialOutcome::Refused);
    script.lose_connection(2);
    script.run(1000);
    assert_eq!(script.fences(), [(10_010, 2), (10_400, 3)]);
}

#[test]
fn the_only_broker_is_the_majority() {
    let mut script = Script::calm(1);
    script.silence(&[1]);
    script.run(5000);
    assert_eq!(script.fences(), []);
}

#[test]
fn the_controllers_own_broker_counts_among_the_live_and_is_never_silent() {
    let mut script = Script::calm(1);
    script.detector = script.detector.beside_own_broker();
    script.silence(&[1]);
    script.run(1000);
    assert_eq!(script.fences(), [(10_400, 1)], "one of two is no majority");

    let mut script = Script::calm(2);
    script.detector = script.detector.beside_own_broker();
    script.silence(&[1, 2]);
    script.run(5000);
    assert_eq!(script.fences(), [], "two of three are one");
}

#[test]
fn a_wrong_suspicion_costs_one_fencing_and_doubles_the_tolerance() {
    let mut script = Script::calm(3);
    script.silence(&[2]);
    script.run(700);
    assert_eq!(script.fences(), [(10_400, 2)]);
    script.speak(2);
    script.run(1);
    script.unfence(2);
    script.run(1000);
    assert_eq!(script.fences(), []);
    assert_eq!((script.tolerance_ms(2), script.tolerance_ms(1)), (1000, 500));
    let health = script.detector.health(ms(script.now_ms), BrokerId(2)).unwrap();
    assert_eq!(health.wrong_suspicions, 1);
    // It decays.
    script.run(120_000);
    assert_eq!(script.tolerance_ms(2), 500);
}

#[test]
fn a_suspicion_stays_one_when_the_fencing_is_committed() {
    let mut script = Script::calm(3);
    script.silence(&[2]);
    script.run(700);
    assert_eq!(script.fences(), [(10_400, 2)]);
    script.input(Input::Fenced(BrokerId(2), EPOCH));
    script.speak(2);
    script.run(1);
    script.unfence(2);
    assert_eq!(script.tolerance_ms(2), 1000);
}

#[test]
fn a_broker_that_stays_away_for_longer_than_twice_its_tolerance_was_suspected_rightly() {
    let mut script = Script::calm(3);
    for _ in 0..5 {
        script.silence(&[2]);
        script.run(1500);
        assert_eq!(script.fences().len(), 1);
        script.speak(2);
        script.run(1);
        script.unfence(2);
        script.run(1000);
        assert_eq!(script.tolerance_ms(2), 500, "the next long pause is found as soon");
    }
}

#[test]
fn the_tolerance_after_many_mistakes_is_the_session_timeout() {
    let mut script = Script::calm(3);
    for pause in [700, 1400, 2800, 5600, 5600, 5600] {
        script.silence(&[2]);
        script.run(pause);
        script.speak(2);
        script.run(1);
        script.unfence(2);
        script.run(1000);
    }
    assert_eq!(script.tolerance_ms(2), SESSION_MS);
    assert_eq!(script.fences().len(), 4, "at 500, 1000, 2000 and 4000 ms");
}

#[test]
fn refusals_of_a_live_broker_are_believed_once() {
    let mut script = Script::calm(3);
    // Its registered address is wrong, and nobody noticed.
    script.listener(2, DialOutcome::Refused);
    script.run(30);
    script.lose_connection(2);
    script.run(100);
    assert_eq!(script.fences(), [(10_040, 2)]);
    script.unfence(2);
    for _ in 0..10 {
        script.lose_connection(2);
        script.run(1000);
    }
    assert_eq!(script.fences(), [], "it speaks all the while");
    script.silence(&[2]);
    script.run(1000);
    assert_eq!(script.fences().len(), 1, "silence and refusals together are believed");
}

#[test]
fn what_is_said_of_another_registration_is_ignored() {
    let mut script = Script::calm(3);
    script.silence(&[2]);
    script.input(Input::Heartbeat(BrokerId(2), BrokerEpoch(7)));
    script.input(Input::ConnectionLost(BrokerId(2), BrokerEpoch(7)));
    script.input(Input::Heartbeat(BrokerId(9), EPOCH));
    script.run(300);
    script.input(Input::Heartbeat(BrokerId(2), BrokerEpoch(0)));
    script.run(700);
    assert_eq!(script.fences(), [(10_400, 2)]);
}

#[test]
fn a_broker_that_registers_again_is_watched_from_when_it_is_unfenced() {
    let mut script = Script::calm(3);
    script.silence(&[2]);
    script.input(Input::Registered(registered(2, 5)));
    script.run(20_000);
    assert_eq!(script.fences(), []);
    script.input(Input::Heartbeat(BrokerId(2), BrokerEpoch(5)));
    script.input(Input::Unfenced(BrokerId(2), BrokerEpoch(5)));
    script.run(1000);
    let [(at, 2, reason)] = script.reasons()[..] else { panic!() };
    assert_eq!((at, reason.since), (30_500, ms(30_000)));
}

#[test]
fn a_lost_answer_to_a_registration_changes_nothing() {
    let mut script = Script::calm(3);
    script.input(Input::Registered(registered(2, 1)));
    script.silence(&[2]);
    script.run(1000);
    assert_eq!(script.fences(), [(10_400, 2)], "it is still live");
}

#[test]
fn whom_the_controller_fences_or_unregisters_is_watched_no_more() {
    let mut script = Script::calm(4);
    script.silence(&[2, 3]);
    script.input(Input::Fenced(BrokerId(2), EPOCH));
    script.input(Input::Unregistered(BrokerId(3)));
    script.run(20_000);
    assert_eq!(script.fences(), []);
    assert_eq!(script.detector.health(ms(script.now_ms), BrokerId(3)), None);
}

#[test]
fn nobody_to_watch_needs_no_tick() {
    let mut detector = Detector::new(ms(0), timing(), [], [registered(1, 1)]);
    assert_eq!(detector.next_tick(), None);
    assert_eq!(detector.handle(ms(5), Input::Heartbeat(BrokerId(1), EPOCH)), []);
    assert_eq!(detector.next_tick(), None);
    detector.handle(ms(6), Input::Unfenced(BrokerId(1), EPOCH));
    assert!(detector.next_tick().is_some());
    detector.handle(ms(7), Input::Fenced(BrokerId(1), EPOCH));
    detector.handle(ms(200), Input::Tick);
    assert_eq!(detector.next_tick(), None);
}

#[test]
fn quiet_brokers_cost_about_a_tick_an_interval() {
    let mut script = Script::calm(100);
    let mut ticks = 0;
    let mut heard_ms = 10_000;
    while script.now_ms < 20_000 {
        let next = u64::try_from(script.detector.next_tick().unwrap().as_millis()).unwrap();
        if next < heard_ms {
            script.now_ms = next;
            script.input(Input::Tick);
            ticks += 1;
        } else {
            script.now_ms = heard_ms;
            for broker in 1..=100 {
                script.input(Input::Heartbeat(BrokerId(broker), EPOCH));
            }
            heard_ms += 100;
        }
    }
    assert!(ticks <= 101, "{ticks}");
}
