//! Claims about plans: what moves, what stays, and what is even afterwards.

use super::*;

fn place(id: i32, rack: Option<&str>) -> Place {
    Place { broker: BrokerId(id), rack: rack.map(str::to_owned), takes_new: true }
}

fn places(ids: impl IntoIterator<Item = i32>) -> Vec<Place> {
    ids.into_iter().map(|id| place(id, None)).collect()
}

fn wish(brokers: Vec<Place>) -> Wish {
    Wish { brokers, replication_factor: None, balance: true, others: BTreeMap::new() }
}

fn placed(topic: &str, partition: i32, replicas: &[i32]) -> Placed {
    Placed {
        at: TopicPartition { topic: TopicName::new(topic).unwrap(), partition },
        replicas: replicas.iter().copied().map(BrokerId).collect(),
    }
}

/// Partitions of one topic, each with so many replicas on brokers 1 to `brokers`, in a row.
fn in_a_row(partitions: i32, replicas: i32, brokers: i32) -> Vec<Placed> {
    let of = |partition: i32| (0..replicas).map(|n| (partition + n) % brokers + 1).collect::<Vec<_>>();
    (0..partitions).map(|partition| placed("t", partition, &of(partition))).collect()
}

fn counts(placed: &[Placed], of: impl Fn(&Placed) -> Vec<BrokerId>) -> BTreeMap<i32, usize> {
    let mut counts = BTreeMap::new();
    for broker in placed.iter().flat_map(of) {
        *counts.entry(broker.0).or_default() += 1;
    }
    counts
}

fn held(placed: &[Placed]) -> BTreeMap<i32, usize> {
    counts(placed, |placed| placed.replicas.clone())
}

fn led(placed: &[Placed]) -> BTreeMap<i32, usize> {
    counts(placed, |placed| placed.replicas.first().copied().into_iter().collect())
}

fn moved(before: &[Placed], after: &[Placed]) -> usize {
    before.iter().zip(after).map(|(before, after)| copied(before, after).count()).sum()
}

fn assert_even(counts: &BTreeMap<i32, usize>, brokers: usize, what: &str) {
    assert_eq!(counts.len(), brokers, "{what}: {counts:?}");
    let (most, least) = (counts.values().max().unwrap(), counts.values().min().unwrap());
    assert!(most - least <= 1, "{what}: {counts:?}");
}

fn assert_sound(before: &[Placed], after: &[Placed]) {
    for (before, after) in before.iter().zip(after) {
        assert_eq!(before.at, after.at);
        let distinct: BTreeSet<_> = after.replicas.iter().collect();
        assert_eq!(distinct.len(), after.replicas.len(), "{after:?}");
    }
}

#[test]
fn what_is_balanced_stays_as_it_is() {
    for (partitions, replicas, brokers) in [(1, 1, 1), (12, 3, 4), (7, 2, 3), (30, 3, 3), (5, 1, 5)] {
        let before = in_a_row(partitions, replicas, brokers);
        assert_eq!(plan(&before, &wish(places(1..=brokers))).unwrap(), before);
    }
}

#[test]
fn a_new_broker_gets_its_share_and_nothing_else_moves() {
    for (partitions, replicas, brokers) in [(12, 3, 3), (40, 2, 4), (100, 3, 5), (9, 1, 3)] {
        let before = in_a_row(partitions, replicas, brokers);
        let after = plan(&before, &wish(places(1..=brokers + 1))).unwrap();
        assert_sound(&before, &after);
        let held = held(&after);
        assert_even(&held, brokers as usize + 1, "replicas");
        assert_eq!(moved(&before, &after), held[&(brokers + 1)], "only to the new one");
    }
}

#[test]
fn a_broker_that_goes_gives_its_replicas_to_the_others_and_nothing_else_moves() {
    let before = in_a_row(60, 3, 5);
    let after = plan(&before, &wish(places([1, 2, 4, 5]))).unwrap();
    assert_sound(&before, &after);
    assert_even(&held(&after), 4, "replicas");
    assert_even(&led(&after), 4, "leaders");
    assert_eq!(moved(&before, &after), held(&before)[&3]);
}

#[test]
fn leaders_are_balanced_by_order_alone() {
    let before: Vec<_> = (0..9).map(|partition| placed("t", partition, &[1, 2, 3])).collect();
    let after = plan(&before, &wish(places(1..=3))).unwrap();
    assert_eq!(moved(&before, &after), 0);
    assert_even(&led(&after), 3, "leaders");
}

#[test]
fn replicas_lie_in_as_many_racks_as_there_are() {
    let brokers: Vec<_> = (1..=6).map(|id| place(id, Some(["a", "b", "c"][id as usize % 3]))).collect();
    let rack = |id: &BrokerId| id.0 % 3;
    // All in two racks, and some twice in one.
    let before: Vec<_> =
        (0..18).map(|n| placed("t", n, if n % 2 == 0 { &[1, 4, 2] } else { &[2, 5, 4] })).collect();
    let after = plan(&before, &wish(brokers)).unwrap();
    assert_sound(&before, &after);
    for placed in &after {
        let racks: BTreeSet<_> = placed.replicas.iter().map(rack).collect();
        assert_eq!(racks.len(), 3, "{placed:?}");
    }
    assert_even(&held(&after), 6, "replicas");
}

#[test]
fn racks_go_before_balance() {
    // Rack a has one broker, b has three: each partition has a replica in both.
    let brokers = vec![place(1, Some("a")), place(2, Some("b")), place(3, Some("b")), place(4, Some("b"))];
    let before: Vec<_> = (0..12).map(|n| placed("t", n, &[2, 3])).collect();
    let after = plan(&before, &wish(brokers)).unwrap();
    let held = held(&after);
    assert_eq!(held[&1], 12, "{held:?}");
    assert!((2..=4).all(|id| held[&id] == 4), "{held:?}");
}

#[test]
fn more_replicas_are_placed_and_fewer_taken_away_without_the_preferred_leader() {
    let before = in_a_row(12, 1, 4);
    let more = Wish { replication_factor: Some(3), ..wish(places(1..=4)) };
    let after = plan(&before, &more).unwrap();
    assert_sound(&before, &after);
    assert!(after.iter().all(|placed| placed.replicas.len() == 3));
    assert_even(&held(&after), 4, "replicas");
    let fewer = Wish { replication_factor: Some(1), balance: false, ..wish(places(1..=4)) };
    let again = plan(&after, &fewer).unwrap();
    for (one, three) in again.iter().zip(&after) {
        assert_eq!(one.replicas, [three.replicas[0]]);
    }
}

#[test]
fn without_balancing_only_those_move_that_must_and_go_where_least_is() {
    // Broker 4 holds much of what is not planned for.
    let before = vec![placed("t", 0, &[1, 2]), placed("t", 1, &[3, 1]), placed("u", 0, &[3])];
    let others = BTreeMap::from([(BrokerId(4), 10)]);
    let wish = Wish { balance: false, others, ..wish(places([1, 2, 4])) };
    let after = plan(&before, &wish).unwrap();
    assert_eq!(after, [placed("t", 0, &[1, 2]), placed("t", 1, &[1, 2]), placed("u", 0, &[1])]);
}

#[test]
fn a_broker_that_is_away_keeps_what_it_has_and_gets_nothing() {
    let mut brokers = places(1..=4);
    brokers[2].takes_new = false;
    // Broker 3 is away and holds nothing but one replica.
    let before: Vec<_> =
        (0..12).map(|n| if n == 0 { placed("t", n, &[3, 1]) } else { placed("t", n, &[1, 2]) }).collect();
    let after = plan(&before, &wish(brokers.clone())).unwrap();
    assert_sound(&before, &after);
    let held = held(&after);
    assert_eq!(held[&3], 1, "{held:?}");
    assert!([1, 2, 4].iter().all(|id| (7..=8).contains(&held[id])), "{held:?}");
    let must = Wish { balance: false, ..wish(vec![brokers[2].clone(), brokers[3].clone()]) };
    let error = plan(&[placed("t", 0, &[1, 2])], &must).unwrap_err();
    assert_eq!(error.to_string(), "t-0 is to have 2 replicas, and there are 1 brokers to hold them");
}

#[test]
fn too_few_brokers_are_named_with_the_partition() {
    let before = vec![placed("t", 0, &[1]), placed("t", 1, &[1, 2, 3])];
    let error = plan(&before, &wish(places([1, 2]))).unwrap_err();
    assert_eq!(error.to_string(), "t-1 is to have 3 replicas, and there are 2 brokers to hold them");
}

#[test]
fn brokers_all_have_a_rack_or_none_has() {
    let error = plan(&[], &wish(vec![place(1, Some("a")), place(2, None)])).unwrap_err();
    assert!(error.to_string().contains("broker 2 has none"), "{error}");
}

#[test]
fn any_layout_becomes_even_and_stays_sound() {
    // A row of pseudo-random layouts: x -> x * 48271 mod (2^31 - 1).
    let mut state: u64 = 1;
    let mut draw = |below: i32| {
        state = state * 48_271 % 2_147_483_647;
        i32::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    for _ in 0..200 {
        let (brokers, wanted) = (3 + draw(6), 3 + draw(6));
        let before: Vec<_> = (0..1 + draw(40))
            .map(|n| {
                let mut replicas: Vec<i32> = Vec::new();
                for _ in 0..3 {
                    let broker = 1 + draw(brokers);
                    if !replicas.contains(&broker) {
                        replicas.push(broker);
                    }
                }
                placed(["t", "u", "v"][draw(3) as usize], n, &replicas)
            })
            .collect();
        let after = plan(&before, &wish(places(1..=wanted))).unwrap();
        assert_sound(&before, &after);
        let held = held(&after);
        let count = |id: i32| held.get(&id).copied().unwrap_or(0);
        let (most, least) = ((1..=wanted).map(count).max(), (1..=wanted).map(count).min());
        assert!(most.unwrap() - least.unwrap() <= 1, "{held:?}");
        let again = plan(&after, &wish(places(1..=wanted))).unwrap();
        assert_eq!(moved(&after, &again), 0, "a second plan moves nothing");
    }
}
