//! Whole clusters: a few seeds of each profile, and that a seed says all.

#![allow(clippy::unwrap_used)]

use ottla_sim::run::{Profile, run_once, run_seed};

const PROFILES: [Profile; 2] = [Profile::Broker, Profile::Quorum];

#[test]
#[cfg_attr(
    not(tokio_unstable),
    ignore = "the order in which tokio's watch wakes can be seeded with --cfg tokio_unstable only"
)]
fn a_seed_does_the_same_every_time_and_with_words_too() {
    for profile in PROFILES {
        for seed in 1..=3 {
            let first = run_once(profile, seed, false).unwrap_or_else(|failure| panic!("{failure}"));
            let again = run_once(profile, seed, true).unwrap_or_else(|failure| panic!("{failure}"));
            assert_eq!(first, again, "{profile} {seed}");
        }
    }
}

#[test]
fn seeds_differ() {
    for profile in PROFILES {
        let hashes: std::collections::BTreeSet<u64> = (1..=3)
            .map(|seed| run_seed(profile, seed).unwrap_or_else(|failure| panic!("{failure}")).hash)
            .collect();
        assert_eq!(hashes.len(), 3, "{profile}");
    }
}
