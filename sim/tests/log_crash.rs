//! A short run of the crash test; `cargo xtask crash` is the long one.

use ottla_sim::log_crash::campaign::Campaign;
use ottla_sim::log_crash::run_workload;

#[test]
fn a_log_survives_a_crash_at_every_change_of_the_disk() {
    let campaign = Campaign { seed: 1, workloads: 100, time: None, threads: 2 };
    match campaign.run() {
        Ok(totals) => assert!(totals.crashes > 5_000, "{totals:?}"),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn a_seed_repeats_its_run_byte_for_byte() {
    for seed in [3, 5, 8] {
        assert_eq!(run_workload(seed).ok(), run_workload(seed).ok());
        assert_ne!(run_workload(seed).ok(), run_workload(seed + 1).ok());
    }
}
