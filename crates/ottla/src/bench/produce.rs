//! `ottla bench produce`.

use std::time::{Duration, Instant};

use clap::Args;

use super::load::{self, Length, Pacer, Schedule, Sending};
use super::payload::Payload;
use super::place::{Ground, Place};
use super::report::{Report, Tally};
use super::stop::Stop;
use super::writer::{Writing, Written};
use crate::progress;

/// Arguments of `ottla bench produce`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla bench produce                                    # as fast as it goes, for 10 s\n  \
    ottla bench produce --rate 20000 --duration 60 --json  # open loop: latency at a load\n  \
    ottla bench produce --topic orders --count 1000000 --record-size 100 --codec zstd\n\n\
    With --rate, latency is the time from when a record was due by the schedule until it was acknowledged, whatever \
    kept it from being sent. Without --rate records are sent as fast as the producer's memory of 32 MiB allows, and \
    latency is counted from when each was handed over: it then says how long that memory takes to drain. With --acks 0 \
    it ends when a record is sent. \
    Records go to the partitions in turn. Ctrl-C ends the measurement, and what was measured is told. If any record was \
    not written, the exit code is 1.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    sending: Sending,

    /// Records per second in all; as many as go if not given
    #[arg(long, short, value_name = "N", value_parser = load::rate)]
    rate: Option<f64>,

    #[command(flatten)]
    length: Length,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Measures writing.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let measured =
        arguments.place.measured(async |ground, stop| measure(&arguments, ground, stop).await).await;
    let (report, first_failure) = measured?;
    report.say(arguments.json)?;
    check(&report, first_failure)
}

/// It failed if any record did.
pub(super) fn check(report: &Report, first_failure: Option<String>) -> anyhow::Result<()> {
    match first_failure {
        Some(reason) => anyhow::bail!("{} records were not written: {reason}", report.failed),
        None => Ok(()),
    }
}

async fn measure(
    arguments: &Arguments,
    ground: &Ground,
    stop: &Stop,
) -> anyhow::Result<(Report, Option<String>)> {
    let Arguments { sending, .. } = arguments;
    let payload = Payload::new(sending.record_size as usize, &*ground.client.env().rng);
    let progress = progress::counter("records written");
    let writing = Writing {
        client: &ground.client,
        topic: &ground.topic,
        options: sending.options(),
        payload: &payload,
        stop,
        progress: &progress,
    };
    let schedule = arguments.length.schedule(arguments.rate);
    let pacer = Pacer::start(schedule);
    let start = pacer.started();
    let written = writing.run(pacer).await;
    progress.finish_and_clear();
    let written = written?;
    let Written { ref tally, failed, .. } = written;
    let bytes = tally.records() * u64::from(sending.record_size);
    let report = Report {
        bench: "produce",
        topic: ground.topic.name.to_string(),
        partitions: ground.topic.partitions.len(),
        sending: Some(sending.sent()),
        target_records_per_s: arguments.rate,
        failed,
        latency_ms: Tally::latency(tally),
        ..Report::default()
    };
    let time = measured_time(start, &schedule, written.last);
    Ok((report.with_throughput(tally.records(), bytes, time), written.first_failure))
}

/// From the end of the warm-up to the last record that counts.
pub(super) fn measured_time(start: Instant, schedule: &Schedule, last: Option<Instant>) -> Duration {
    last.map_or(Duration::ZERO, |last| last.saturating_duration_since(start + schedule.warmup()))
}
