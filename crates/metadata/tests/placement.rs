//! Claims about where replicas go.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use ottla_metadata::controller::placement::{Candidate, place};
use ottla_types::BrokerId;
use proptest::prelude::*;

fn brokers(list: &[(i32, Option<&str>, bool)]) -> Vec<Candidate> {
    list.iter()
        .map(|(id, rack, fenced)| Candidate {
            id: BrokerId(*id),
            rack: rack.map(str::to_owned),
            fenced: *fenced,
            in_controlled_shutdown: false,
        })
        .collect()
}

fn placed(candidates: &[Candidate], partitions: usize, replicas: i16) -> Vec<Vec<i32>> {
    let placed = place(candidates, partitions, replicas, 0).unwrap();
    placed.iter().map(|replicas| replicas.iter().map(|id| id.0).collect()).collect()
}

#[test]
fn racks_take_turns_and_so_do_the_brokers_in_them() {
    let nine: Vec<_> = ["a", "b", "c"]
        .iter()
        .enumerate()
        .flat_map(|(r, rack)| (0..3).map(move |b| (10 * (r as i32 + 1) + b, Some(*rack), false)))
        .collect();
    assert_eq!(placed(&brokers(&nine), 3, 3), [[10, 20, 30], [21, 31, 11], [32, 12, 22]]);
}

#[test]
fn a_rack_is_used_again_only_when_all_were() {
    let candidates = brokers(&[(1, Some("a"), false), (2, Some("a"), false), (3, Some("b"), false)]);
    for replicas in placed(&candidates, 6, 2) {
        assert!(replicas.contains(&3), "{replicas:?} are in one rack");
    }
}

#[test]
fn every_broker_of_a_rack_leads_where_racks_take_turns() {
    let candidates = brokers(&[(1, Some("a"), false), (2, Some("a"), false), (3, Some("b"), false)]);
    let leaders: Vec<_> = placed(&candidates, 4, 1).concat();
    assert_eq!(leaders, [1, 3, 2, 3]);
}

#[test]
fn a_fenced_broker_never_leads_and_follows_only_where_needed() {
    let candidates = brokers(&[(1, None, true), (2, None, false), (3, None, false)]);
    for replicas in placed(&candidates, 6, 2) {
        assert!(!replicas.contains(&1), "{replicas:?}");
    }
    for replicas in placed(&candidates, 6, 3) {
        assert_eq!(replicas[2], 1, "{replicas:?}");
    }
    let candidates = brokers(&[(1, Some("a"), true), (2, Some("b"), false)]);
    assert_eq!(placed(&candidates, 2, 2), [[2, 1], [2, 1]]);
}

#[test]
fn a_broker_that_is_about_to_stop_never_leads_and_follows_only_where_needed() {
    let mut candidates = brokers(&[(1, None, false), (2, None, false), (3, None, false)]);
    candidates[0].in_controlled_shutdown = true;
    assert_eq!(placed(&candidates, 2, 2), [[2, 3], [3, 2]]);
    assert_eq!(placed(&candidates, 2, 3), [[2, 3, 1], [3, 2, 1]]);
    candidates.iter_mut().for_each(|candidate| candidate.in_controlled_shutdown = true);
    assert!(place(&candidates, 1, 1, 0).is_err());
}

proptest! {
    #[test]
    fn replicas_are_distinct_led_by_an_unfenced_broker_and_spread(
        list in proptest::collection::btree_map(0..40i32, (0..4u8, any::<bool>()), 1..12),
        partitions in 1..50usize,
        replicas in 1..6i16,
        seed in any::<u64>(),
    ) {
        let candidates: Vec<_> = list
            .iter()
            .map(|(id, (rack, fenced))| Candidate {
                id: BrokerId(*id),
                rack: (*rack > 0).then(|| rack.to_string()),
                fenced: *fenced,
                in_controlled_shutdown: false,
            })
            .collect();
        let unfenced = candidates.iter().filter(|c| !c.fenced).count();
        let result = place(&candidates, partitions, replicas, seed);
        if unfenced == 0 || replicas as usize > candidates.len() {
            prop_assert!(result.is_err());
            return Ok(());
        }
        let placed = result.unwrap();
        prop_assert_eq!(placed.len(), partitions);
        let fenced: BTreeMap<_, _> = candidates.iter().map(|c| (c.id, c.fenced)).collect();
        let mut leads: BTreeMap<BrokerId, usize> = BTreeMap::new();
        for replicas_of in &placed {
            let mut distinct = replicas_of.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), replicas as usize);
            prop_assert!(!fenced[&replicas_of[0]]);
            *leads.entry(replicas_of[0]).or_default() += 1;
        }
        // Within one rack of unfenced brokers leaderships differ by one at most.
        if list.values().all(|(rack, fenced)| *rack == 0 && !fenced) {
            let most = leads.values().max().copied().unwrap_or(0);
            let least = candidates.iter().map(|c| leads.get(&c.id).copied().unwrap_or(0)).min().unwrap_or(0);
            prop_assert!(most - least <= 1, "{:?}", leads);
        }
    }
}
