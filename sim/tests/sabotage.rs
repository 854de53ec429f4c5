//! The crash test finds the mistakes that it is there for: each, made on purpose, within a number of workloads.
//! Only with the feature `sabotage`: `cargo xtask crash --sabotage`.

#![cfg(feature = "sabotage")]
#![allow(clippy::print_stdout)]

use ottla_log::Sabotage;
use ottla_sim::log_crash::run_workload;

/// Without mistakes all of these pass: `cargo xtask crash` runs them.
const WORKLOADS: u64 = 3000;

fn is_found(mistake: Sabotage) {
    Sabotage::set(Some(mistake));
    let found = (1..=WORKLOADS).find_map(|seed| run_workload(seed).err());
    Sabotage::set(None);
    match found {
        None => panic!("{mistake:?} is not found in {WORKLOADS} workloads"),
        Some(failure) => {
            let violation = failure.broken.violation().clone();
            println!(
                "{mistake:?}: found by workload {}: {}: {}",
                failure.seed, violation.invariant, violation.what
            );
        }
    }
}

#[test]
fn a_directory_that_is_not_fsynced_is_found() {
    is_found(Sabotage::NoDirectoryFsync);
}

#[test]
fn an_acknowledgement_before_the_fsync_is_found() {
    is_found(Sabotage::AckBeforeFsync);
}

#[test]
fn an_fsync_that_is_retried_after_a_failure_is_found() {
    is_found(Sabotage::FsyncRetried);
}

#[test]
fn a_page_cache_that_is_trusted_after_a_failed_fsync_is_found() {
    is_found(Sabotage::CacheTrusted);
}

#[test]
fn a_clean_marker_before_the_flush_is_found() {
    is_found(Sabotage::MarkerBeforeFlush);
}

#[test]
fn a_recovery_that_trusts_an_index_is_found() {
    is_found(Sabotage::IndexTrusted);
}

#[test]
fn an_epoch_checkpoint_that_is_not_synced_is_found() {
    is_found(Sabotage::EpochsNotSynced);
}

#[test]
fn a_truncation_that_leaves_the_producers_is_found() {
    is_found(Sabotage::ProducersNotTruncated);
}

#[test]
fn a_new_beginning_that_keeps_the_epochs_is_found() {
    is_found(Sabotage::EpochsNotCleared);
}

#[test]
fn a_truncation_that_leaves_the_watermark_is_found() {
    is_found(Sabotage::WatermarkNotLowered);
}

#[test]
fn a_follower_that_does_not_verify_is_found() {
    is_found(Sabotage::ReplicatedUnverified);
}

#[test]
fn a_follower_that_does_not_note_epochs_is_found() {
    is_found(Sabotage::ReplicatedEpochsNotNoted);
}

#[test]
fn the_same_workloads_pass_without_a_mistake() {
    for seed in 1..=200 {
        if let Err(failure) = run_workload(seed) {
            panic!("{failure}");
        }
    }
}
