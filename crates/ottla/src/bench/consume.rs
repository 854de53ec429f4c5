//! `ottla bench consume`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use ottla_client::{Consumer, ConsumerOptions, OffsetSpec, Start};
use ottla_types::{Offset, TopicPartition};

use super::load::{self, Pacer, Schedule, Sending};
use super::payload::Payload;
use super::place::{Ground, Place};
use super::report::Report;
use super::stop::Stop;
use super::writer::Writing;
use crate::cluster::explain;
use crate::progress;

/// How many records are written first into a topic that is made for the measurement.
const COUNT: u64 = 1_000_000;

/// How often it is looked whether it is time to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Arguments of `ottla bench consume`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla bench consume                                   # writes 1,000,000 records first, and reads them\n  \
    ottla bench consume --topic orders --json             # reads what is there\n  \
    ottla bench consume --count 5000000 --record-size 100 --codec lz4 --partitions 12\n\n\
    Each record is read once, from the start of each partition, checked and decompressed. What was written just now \
    comes from the broker's page cache. The options of records and batches are of what is written first. There is no \
    latency in it: see `ottla bench e2e`. Ctrl-C ends the measurement, and what was measured is told.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    sending: Sending,

    /// How many records to write first and to read; of a topic that exists all there are if not given, else 1000000
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Stop after this time, also if there is more
    #[arg(long, short, value_name = "SECONDS", value_parser = load::seconds)]
    duration: Option<Duration>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Measures reading.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let measured =
        arguments.place.measured(async |ground, stop| measure(&arguments, ground, stop).await).await;
    measured?.say(arguments.json)
}

async fn measure(arguments: &Arguments, ground: &Ground, stop: &Stop) -> anyhow::Result<Report> {
    let is_filled = arguments.place.is_temporary();
    if is_filled {
        fill(arguments, ground, stop).await?;
    }
    let (records, bytes, time) = read(arguments, ground, stop).await?;
    let report = Report {
        bench: "consume",
        topic: ground.topic.name.to_string(),
        partitions: ground.topic.partitions.len(),
        sending: is_filled.then(|| arguments.sending.sent()),
        ..Report::default()
    };
    Ok(report.with_throughput(records, bytes, time))
}

/// Writes what is read then.
async fn fill(arguments: &Arguments, ground: &Ground, stop: &Stop) -> anyhow::Result<()> {
    let Arguments { sending, .. } = arguments;
    let count = arguments.count.unwrap_or(COUNT);
    let progress = progress::bar(count, "records written");
    let payload = Payload::new(sending.record_size as usize, &*ground.client.env().rng);
    let writing = Writing {
        client: &ground.client,
        topic: &ground.topic,
        options: sending.options(),
        payload: &payload,
        stop,
        progress: &progress,
    };
    let written = writing.run(Pacer::start(Schedule::all_at_once(count))).await;
    progress.finish_and_clear();
    match written?.first_failure {
        Some(reason) => anyhow::bail!("the records to read could not be written: {reason}"),
        None => Ok(()),
    }
}

/// Reads from the starts of the partitions to where they end now; gives records, bytes and time.
async fn read(arguments: &Arguments, ground: &Ground, stop: &Stop) -> anyhow::Result<(u64, u64, Duration)> {
    let partitions: Vec<TopicPartition> = ground
        .topic
        .partitions
        .iter()
        .map(|partition| TopicPartition { topic: ground.topic.name.clone(), partition: partition.index })
        .collect();
    let find = async |spec| {
        let specs = partitions.iter().map(|partition| (partition.clone(), spec));
        ground.client.offsets(specs).await.map_err(explain)
    };
    let starts = find(OffsetSpec::Earliest).await?;
    let mut ends: BTreeMap<TopicPartition, Offset> = find(OffsetSpec::Latest)
        .await?
        .into_iter()
        .filter_map(|(partition, end)| Some((partition, end?)))
        .collect();
    ends.retain(|partition, end| starts.get(partition).copied().flatten().is_some_and(|start| start < *end));
    anyhow::ensure!(!ends.is_empty(), "the topic {} has no records to read", ground.topic.name);
    let there = ends.iter().map(|(partition, end)| {
        let start = starts.get(partition).copied().flatten().unwrap_or(*end);
        u64::try_from(end.0 - start.0).unwrap_or(0)
    });
    let wanted = there.sum::<u64>().min(arguments.count.unwrap_or(u64::MAX));

    let mut consumer = Consumer::new(ground.client.clone(), ConsumerOptions::default());
    let from_the_start = ends.keys().map(|partition| (partition.clone(), Start::Earliest));
    consumer.assign(from_the_start).await.map_err(explain)?;
    let progress = progress::bar(wanted, "records read");
    let start = Instant::now();
    let (mut records, mut bytes, mut last) = (0_u64, 0_u64, start);
    let is_time_over = || arguments.duration.is_some_and(|time| start.elapsed() >= time);
    while !ends.is_empty() && records < wanted && !stop.is_asked() && !is_time_over() {
        let batch = consumer.poll(LOOK).await.map_err(explain)?;
        if batch.is_empty() {
            leave_finished(&mut consumer, &mut ends);
            continue;
        }
        last = Instant::now();
        records += batch.len() as u64;
        bytes += batch.iter().map(|r| r.value.as_ref().map_or(0, |value| value.len() as u64)).sum::<u64>();
        progress.inc(batch.len() as u64);
        leave_finished(&mut consumer, &mut ends);
    }
    progress.finish_and_clear();
    Ok((records, bytes, last.duration_since(start)))
}

/// Stops reading partitions that are read up to their end.
fn leave_finished(consumer: &mut Consumer, ends: &mut BTreeMap<TopicPartition, Offset>) {
    ends.retain(|partition, end| {
        let is_finished = consumer.position(partition).is_none_or(|position| position >= *end);
        if is_finished {
            consumer.unassign(partition);
        }
        !is_finished
    });
}
