//! A script for each rule that keeps what is committed, named as the claim it makes. With `--features sabotage` each is run
//! once more with the rule taken out, and must fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod world;

#[path = "scripts/acknowledging.rs"]
mod acknowledging;
#[path = "scripts/isr.rs"]
mod isr;
#[path = "scripts/lag.rs"]
mod lag;
#[path = "scripts/roles.rs"]
mod roles;
#[path = "scripts/truncation.rs"]
mod truncation;
#[path = "scripts/watermark.rs"]
mod watermark;

use ottla_types::sabotage::Sabotage;

macro_rules! scripts {
    ($($file:ident::$script:ident fails with $mistake:ident;)*) => {
        $(
            #[test]
            fn $script() {
                $file::$script();
            }
        )*

        /// The scripts, and the mistake that each of them finds.
        #[cfg_attr(not(feature = "sabotage"), expect(dead_code, reason = "nothing is broken without the feature"))]
        const SCRIPTS: &[(&str, fn(), Sabotage)] = &[$((stringify!($script), $file::$script, Sabotage::$mistake)),*];
    };
}

scripts! {
    truncation::a_follower_cuts_its_log_where_the_logs_part_not_at_its_watermark fails with TruncatesToWatermark;
    truncation::records_of_an_epoch_that_the_leader_has_not_are_cut_though_it_is_as_long fails with LeaderComparesNoEpochs;
    truncation::after_fast_elections_the_log_is_cut_by_epochs_until_they_agree fails with TruncatesByEndAlone;
    truncation::a_fetch_that_diverges_acknowledges_nothing fails with DivergentFetchCounts;
    truncation::an_ex_leader_does_not_take_the_new_watermark_before_it_has_cut_its_log fails with ExLeaderRaisesWatermark;
    truncation::a_replica_that_begins_at_the_leaders_start_has_its_watermark_there fails with WatermarkBelowLogStart;
    watermark::what_was_acknowledged_in_an_earlier_epoch_does_not_count fails with AcksOfOldEpochCount;
    watermark::a_member_that_was_asked_for_counts_before_it_is_replayed fails with WatermarkIgnoresProposed;
    watermark::a_request_without_an_answer_counts_until_the_partition_changes fails with SilenceIsARefusal;
    watermark::nothing_is_committed_while_too_few_are_in_sync fails with WatermarkBelowMinIsr;
    watermark::what_a_follower_had_before_it_registered_anew_does_not_count fails with RestartedFollowerKeepsItsEnd;
    watermark::a_leader_counts_itself_where_it_is_flushed fails with LeaderAcksUnflushed;
    watermark::a_follower_does_not_acknowledge_before_it_has_flushed fails with UnflushedFollowerAcks;
    isr::whoever_is_fenced_does_not_enter fails with FencedBrokerEnters;
    isr::a_follower_that_registers_anew_does_not_enter_by_what_it_fetched_before fails with StaleBrokerEpochEnters;
    isr::a_follower_enters_with_all_that_the_leader_had_when_its_epoch_began fails with EntersWithoutEpochStart;
    isr::at_a_watermark_that_stands_still_a_follower_does_not_enter_and_leave_and_enter fails with EntersAtWatermarkAlone;
    acknowledging::a_producer_is_not_answered_in_another_epoch_than_it_appended_in fails with WaiterOutlivesEpoch;
}

#[cfg(feature = "sabotage")]
#[test]
fn each_script_fails_without_its_rule() {
    std::panic::set_hook(Box::new(|_| ()));
    let passes = |mistake: Option<Sabotage>, script: fn()| {
        Sabotage::set(mistake);
        let result = std::panic::catch_unwind(script);
        Sabotage::set(None);
        result.is_ok()
    };
    let blind: Vec<_> = SCRIPTS
        .iter()
        .filter(|(_, script, mistake)| !passes(None, *script) || passes(Some(*mistake), *script))
        .map(|(name, _, mistake)| format!("{name} with {mistake:?}"))
        .collect();
    drop(std::panic::take_hook());
    assert!(blind.is_empty(), "{blind:#?}");
}
