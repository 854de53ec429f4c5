//! Replicas in small, as a network and a controller drive them that lose, delay and reorder: whatever happens, what is committed
//! stays. The invariants are checked after each step, and in the end all heals.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod world;

#[path = "model/checks.rs"]
mod checks;
#[path = "model/run.rs"]
mod run;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use run::{Action, Setting, run};

fn settings() -> impl Strategy<Value = Setting> {
    (1..=3_usize, any::<bool>(), any::<bool>()).prop_map(|(min_insync, fsync, by_messages)| Setting {
        min_insync,
        fsync,
        by_messages,
    })
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    vec(
        (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(kind, one, other)| Action { kind, one, other }),
        1..400,
    )
}

fn runner(cases: u32) -> TestRunner {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(Config { cases, failure_persistence: None, ..Config::default() }, rng)
}

#[test]
fn what_is_committed_stays_whatever_happens() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300);
    let result = runner(cases).run(&(settings(), actions()), |(setting, actions)| {
        run(setting, &actions).map_err(TestCaseError::fail)
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// The mistakes that random runs find, too. The others need a story (`tests/scripts.rs`).
#[cfg(feature = "sabotage")]
#[test]
fn random_runs_find_mistakes() {
    use std::cell::Cell;

    use ottla_types::sabotage::Sabotage;
    use proptest::strategy::ValueTree as _;

    let mistakes = [
        Sabotage::WatermarkIgnoresProposed,
        Sabotage::AcksOfOldEpochCount,
        Sabotage::StaleBrokerEpochEnters,
        Sabotage::TruncatesToWatermark,
        Sabotage::TruncatesByEndAlone,
        Sabotage::ExLeaderRaisesWatermark,
        Sabotage::WatermarkBelowMinIsr,
        Sabotage::SilenceIsARefusal,
        Sabotage::EntersWithoutEpochStart,
        Sabotage::LeaderComparesNoEpochs,
        Sabotage::DivergentFetchCounts,
        Sabotage::LeaderAcksUnflushed,
        Sabotage::UnflushedFollowerAcks,
        Sabotage::WaiterOutlivesEpoch,
    ];
    std::panic::set_hook(Box::new(|_| ()));
    let mut missed = Vec::new();
    for mistake in mistakes {
        Sabotage::set(Some(mistake));
        let runs = Cell::new(0);
        let mut runner = runner(3_000);
        let found = (0..3_000).find_map(|_| {
            let case = (settings(), actions()).new_tree(&mut runner).ok()?.current();
            runs.set(runs.get() + 1);
            std::panic::catch_unwind(|| run(case.0, &case.1)).unwrap_or(Err("a panic".to_owned())).err()
        });
        Sabotage::set(None);
        match found {
            Some(what) => println!("{mistake:?}: found in {} runs: {what}", runs.get()),
            None => missed.push(mistake),
        }
    }
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "not found: {missed:?}");
}
