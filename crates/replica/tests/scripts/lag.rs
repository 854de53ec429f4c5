//! Who leaves the ISR: at the deadline by time, at once by messages; and what is told of followers.

use ottla_replica::{AskedChange, LagDetector, Standing};

use crate::world::{World, ms};

/// Three brokers with `replica.lag.detector=messages` and this `replica.lag.max.messages`.
fn by_messages(max: i64) -> World {
    let mut world = World::new(&[1, 2, 3], 1);
    world.settings.detector = LagDetector::Messages { max };
    let (settings, now) = (world.settings, world.now);
    for broker in [1, 2, 3] {
        let node = world.node(broker);
        let _ = node.replica.configure(settings, 1, node.log.ends(), now);
    }
    world.catch_up(2);
    world.catch_up(3);
    let _ = world.changes(1);
    world
}

#[test]
fn by_time_a_follower_leaves_at_the_deadline_and_not_later() {
    let mut world = World::new(&[1, 2, 3], 1);
    world.catch_up(2);
    world.catch_up(3);
    let _ = world.changes(1);
    world.pass(ms(600_000));
    assert_eq!(world.state(1, 2).standing, Standing::CaughtUp, "where nothing comes nobody falls behind");
    let behind_since = world.now;
    world.append(1, 1);
    let wake_at = world.changes(1).wake_at.unwrap();
    assert_eq!(wake_at, behind_since + ms(30_000));
    world.pass(ms(10_000));
    world.catch_up(2);
    world.pass(ms(19_999));
    assert_eq!(world.alter_isr(1), [1, 2, 3]);
    world.pass(ms(1));
    world.tick(1);
    assert!(world.changes(1).look_at_isr);
    assert_eq!(world.state(1, 3).standing, Standing::Lagging);
    assert_eq!(world.alter_isr(1), [1, 2]);
    assert_eq!(world.watermark(1), 1, "and what the others have is committed");
}

#[test]
fn a_follower_that_always_has_what_was_there_at_its_last_fetch_stays_though_it_is_never_at_the_end() {
    let mut world = World::new(&[1, 2], 1);
    world.append(1, 1);
    let mut wakes = 0;
    for _ in 0..1_000 {
        let _ = world.fetch(2);
        world.append(1, 1);
        world.pass(ms(100));
        if let Some(at) = world.changes(1).wake_at {
            wakes += 1;
            assert!(at > world.now);
        }
        assert_ne!(world.state(1, 2).standing, Standing::Lagging);
    }
    assert!(wakes <= 4, "its deadline moves, and is planned anew when it is there: {wakes}");
}

#[test]
fn a_follower_that_fetches_and_never_comes_to_where_the_leader_was_leaves() {
    let mut world = World::new(&[1, 2], 1);
    world.append(1, 10);
    world.most_records = 1;
    let mut time = 0;
    while world.alter_isr(1) == [1, 2] {
        let _ = world.fetch(2);
        world.append(1, 2);
        world.pass(ms(1_000));
        time += 1;
        assert!(time <= 30);
    }
    assert_eq!(time, 30);
}

#[test]
fn a_follower_that_never_fetches_in_an_epoch_leaves_as_long_after_its_beginning() {
    let mut world = World::new(&[1, 2], 1);
    assert_eq!(world.changes(1).wake_at, Some(world.now + ms(30_000)));
    assert_eq!(world.state(1, 2).standing, Standing::NotSeen);
    world.pass(ms(30_000));
    world.tick(1);
    assert_eq!(world.alter_isr(1), [1]);
    world.tick(1);
    assert_eq!(world.changes(1).wake_at, None, "and nothing is waited for any more");
}

#[test]
fn idle_partitions_ask_for_no_wake_up() {
    let mut world = World::new(&[1, 2, 3], 1);
    world.append(1, 3);
    world.catch_up(2);
    world.catch_up(3);
    let _ = world.changes(1);
    world.pass(ms(30_000));
    world.tick(1);
    assert_eq!(world.changes(1).wake_at, None);
}

/// The first of the two stories of `replica.lag.max.messages`.
#[test]
fn by_messages_with_a_limit_of_four_two_records_a_second_harm_nobody() {
    let mut world = by_messages(4);
    for half_second in 0..600 {
        world.append(1, 1);
        world.pass(ms(500));
        // Each follower fetches what there is once a second.
        world.catch_up(2 + half_second % 2);
        assert!(!world.changes(1).look_at_isr);
        assert_eq!(world.alter_isr(1), [1, 2, 3]);
    }
}

/// The second: nobody is slow, and one produce is as large as the limit.
#[test]
fn by_messages_with_a_limit_of_four_each_batch_of_four_throws_healthy_followers_out_until_their_next_fetch() {
    let mut world = by_messages(4);
    for round in 1..=10 {
        world.append(1, 4);
        assert!(world.changes(1).look_at_isr, "round {round}");
        assert_eq!(world.state(1, 2).standing, Standing::Lagging);
        assert_eq!(world.alter_isr(1), [1], "round {round}: both are thrown out");
        world.pass(ms(10));
        for follower in [2, 3] {
            world.catch_up(follower);
        }
        assert!(world.changes(1).look_at_isr);
        assert_eq!(world.alter_isr(1), [1, 2, 3], "round {round}: and come back");
        world.pass(ms(990));
    }
}

#[test]
fn by_messages_one_less_than_the_limit_is_no_lag_and_time_counts_too() {
    let mut world = by_messages(4);
    world.append(1, 3);
    assert!(!world.changes(1).look_at_isr);
    assert_eq!(world.alter_isr(1), [1, 2, 3]);
    world.pass(ms(30_000));
    world.tick(1);
    assert_eq!(world.alter_isr(1), [1]);
}

#[test]
fn what_is_told_of_a_follower_is_what_it_did() {
    let mut world = World::new(&[1, 2], 1);
    world.append(1, 5);
    world.pass(ms(10));
    world.most_records = 2;
    let _ = world.fetch(2);
    world.pass(ms(10));
    let fetched = world.now;
    let _ = world.fetch(2);
    world.pass(ms(10));
    let state = world.state(1, 2);
    assert_eq!((state.end.map(|end| end.0), state.lag_records), (Some(2), Some(3)));
    assert_eq!((state.last_fetch, state.behind_since), (Some(fetched), Some(ms(1_000))));
    assert_eq!((state.in_isr, state.standing), (true, Standing::Behind));
    assert_eq!(state.broker_epoch.map(|epoch| epoch.0), Some(10));
}

#[test]
fn a_leader_tells_since_when_a_follower_is_out_and_what_it_has_asked_for() {
    let mut world = World::new(&[1, 2], 1);
    world.catch_up(2);
    assert_eq!((world.state(1, 2).out_since, world.state(1, 2).asked), (None, None));
    world.append(1, 1);
    world.pass(ms(30_000));
    let wanted = world.ask_isr(1).unwrap();
    assert_eq!(world.state(1, 2).asked, Some(AskedChange::Leaves));
    let answer = world.controller.alter(1, &wanted);
    let left_at = world.now;
    world.call(1, |replica, _, now| replica.isr_answered(wanted.partition_epoch, answer, now));
    world.publish_all();
    world.pass(ms(500));
    assert_eq!((world.state(1, 2).out_since, world.state(1, 2).asked), (Some(left_at), None));
    world.catch_up(2);
    assert!(world.ask_isr(1).is_some());
    let state = world.state(1, 2);
    assert_eq!(
        (state.out_since, state.asked),
        (Some(left_at), Some(AskedChange::Enters)),
        "until it is decided"
    );
}
