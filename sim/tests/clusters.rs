//! Whole clusters: a few seeds of each profile. That a seed says all is for `cargo xtask sim --twice`, in a build where it
//! does; and that seeds find mistakes for `cargo xtask sim --sabotage`.

use ottla_sim::run::{Profile, run_seed};

#[test]
fn seeds_differ_and_all_invariants_hold() {
    for profile in Profile::ALL {
        let hashes: std::collections::BTreeSet<u64> = (1..=3)
            .map(|seed| run_seed(profile, seed).unwrap_or_else(|failure| panic!("{failure}")).hash)
            .collect();
        assert_eq!(hashes.len(), 3, "{profile}");
    }
}
