//! The conformance suite, on each implementation.

#[path = "common/cluster.rs"]
mod cluster;
mod common;

use std::time::Duration;

use ottla_broadcast::conformance::{self, chaos};

use cluster::{Alone, Quorum};

#[tokio::test(start_paused = true)]
async fn the_broadcast_of_one_node_conforms() {
    conformance::all(&mut || Box::new(Alone::new(1))).await;
}

#[tokio::test(start_paused = true)]
async fn a_quorum_of_one_conforms() {
    conformance::all(&mut || Box::new(Quorum::new(1, 1, 1))).await;
}

#[tokio::test(start_paused = true)]
async fn a_quorum_of_three_conforms() {
    conformance::all(&mut || Box::new(Quorum::new(3, 3, 1))).await;
}

#[tokio::test(start_paused = true)]
async fn a_quorum_of_five_conforms() {
    conformance::all(&mut || Box::new(Quorum::new(5, 5, 1))).await;
}

#[tokio::test(start_paused = true)]
async fn the_broadcast_of_one_node_survives_chaos() {
    let mut committed = 0;
    for seed in 0..20 {
        committed += chaos::survive(&mut Alone::new(seed), seed, 200).await.committed;
    }
    assert!(committed > 500, "{committed} appends");
}

/// Random histories of a quorum; what was seen in all of them.
async fn quorum_chaos(size: usize, seeds: std::ops::Range<u64>, steps: usize) -> chaos::Report {
    let mut sum = chaos::Report::default();
    for seed in seeds {
        let mut quorum = Quorum::new(size, size, seed);
        // Of virtual time, of which a history takes a fraction.
        let limit = Duration::from_secs(600);
        let history = tokio::time::timeout(limit, chaos::survive(&mut quorum, seed, steps)).await;
        let report = history.unwrap_or_else(|_| panic!("seed {seed} comes to no end"));
        sum.committed += report.committed;
        sum.unknown += report.unknown;
        sum.unknown_in_log += report.unknown_in_log;
        sum.rejected += report.rejected;
        sum.epochs += report.epochs;
    }
    sum
}

#[tokio::test(start_paused = true)]
async fn a_quorum_of_one_survives_chaos() {
    let sum = quorum_chaos(1, 0..20, 200).await;
    assert!(sum.committed > 500 && sum.unknown > 0, "{sum:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quorum_of_three_survives_chaos() {
    let sum = quorum_chaos(3, 0..20, 300).await;
    assert!(sum.committed > 500 && sum.unknown > 0 && sum.unknown_in_log > 0, "{sum:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quorum_of_five_survives_chaos() {
    let sum = quorum_chaos(5, 100..110, 300).await;
    assert!(sum.committed > 500 && sum.unknown > 0, "{sum:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_history() {
    let mut reports = Vec::new();
    for _ in 0..3 {
        reports.push(chaos::survive(&mut Quorum::new(3, 3, 7), 7, 200).await);
    }
    assert_eq!(reports[0], reports[1]);
    assert_eq!(reports[0], reports[2]);
}
