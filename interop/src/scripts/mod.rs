//! Scenarios written once for all library clients, in terms of what their programs can be asked to do
//! ([`Hands`](crate::hands::Hands)).
//!
//! franz-go and confluent-python tell most scenarios in their own programs, closer to their libraries; of these scripts
//! they take part in those about groups and cut connections.

mod administering;
pub(crate) mod cluster;
mod group_administration;
mod membership;
mod offsets;
mod records;
mod restarting;

use anyhow::Result;

use crate::{
    broker::Broker,
    driver::NotOffered,
    hands::Hands,
    scenario::{Fate, Outcome},
};

/// Runs a scenario with a client's hands.
pub(crate) fn run(scenario: &str, hands: &mut Hands, broker: &mut Broker) -> Result<Outcome> {
    let done = match own(scenario, hands, broker).or_else(|| shared(scenario, hands, broker)) {
        Some(done) => done,
        None => return Ok(Outcome::NotOffered),
    };
    match done {
        Ok(()) => Ok(Outcome::Passed),
        Err(error) if error.downcast_ref::<NotOffered>().is_some() => Ok(Outcome::NotOffered),
        Err(error) => Err(error),
    }
}

/// Whether every library client takes part in the scenario, also one that tells others itself.
pub(crate) fn is_shared(scenario: &str) -> bool {
    scenario.starts_with("group-") || scenario == "simple-commit" || scenario == "idempotent-cut"
}

fn shared(scenario: &str, hands: &mut Hands, broker: &mut Broker) -> Option<Result<()>> {
    Some(match scenario {
        "idempotent-cut" => records::idempotent_cut(hands, broker),
        "group-two-members" => membership::two_members(hands),
        "group-ten-members" => membership::ten_members(hands),
        "group-join-leave" => membership::join_and_leave(hands),
        "group-member-killed" => membership::member_killed(hands),
        "group-static-restart" => membership::static_restart(hands),
        "group-cooperative" => membership::cooperative(hands),
        "group-resume" => membership::resume(hands),
        "group-over-restart" => membership::over_a_broker(hands, broker, Fate::Restarted),
        "group-over-kill" => membership::over_a_broker(hands, broker, Fate::Killed),
        "simple-commit" => group_administration::simple_commit(hands),
        "group-list" => group_administration::list(hands),
        "group-describe" => group_administration::describe(hands),
        "group-delete" => group_administration::delete(hands),
        "group-delete-offsets" => group_administration::delete_offsets(hands),
        "group-alter-offsets" => group_administration::alter_offsets(hands),
        _ => return None,
    })
}

fn own(scenario: &str, hands: &mut Hands, broker: &mut Broker) -> Option<Result<()>> {
    Some(match scenario {
        "round-trip" => records::round_trip(hands),
        "codec-none" | "codec-gzip" | "codec-snappy" | "codec-lz4" | "codec-zstd" => {
            records::codec(hands, scenario)
        }
        "recompress" => records::recompress(hands),
        "headers" => records::headers(hands),
        "value-sizes" => records::value_sizes(hands),
        "timestamps" => records::timestamps(hands),
        "log-append-time" => records::log_append_time(hands),
        "timestamp-limits" => records::timestamp_limits(hands),
        "idempotent" => records::idempotent(hands),
        "acks-0" | "acks-1" | "acks-all" => records::acks(hands, scenario),
        "bulk" => records::bulk(hands),
        "record-too-large" => records::record_too_large(hands),
        "keyless-compacted" => records::keyless_compacted(hands),
        "auto-create" => records::auto_create(hands),
        "fetch-from-offset" => offsets::fetch_from_offset(hands),
        "offset-out-of-range" => offsets::out_of_range(hands),
        "offset-bounds" => offsets::bounds(hands),
        "offset-by-timestamp" => offsets::by_timestamp(hands),
        "segments" => offsets::segments(hands),
        "delete-records" => offsets::delete_records(hands),
        "cluster" => administering::cluster(hands),
        "unknown-topic" => administering::unknown_topic(hands),
        "topic-lifecycle" => administering::lifecycle(hands),
        "topic-exists" => administering::exists(hands),
        "invalid-topic-name" => administering::invalid_name(hands),
        "add-partitions" => administering::add_partitions(hands),
        "topic-configs" => administering::topic_configs(hands),
        "bad-config" => administering::bad_config(hands),
        "broker-configs" => administering::broker_configs(hands),
        "over-restart" => restarting::over_a_restart(hands, broker),
        "restart" => restarting::restart(hands, broker),
        _ => return None,
    })
}
