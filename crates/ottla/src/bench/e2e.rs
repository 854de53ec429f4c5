//! `ottla bench e2e`.

use std::time::{Duration, Instant};

use clap::Args;
use ottla_client::{ConsumedRecord, Consumer, ConsumerOptions, Start};
use ottla_types::TopicPartition;
use tokio::sync::watch;

use super::load::{self, Length, Pacer, Schedule, Sending};
use super::payload::{self, Payload};
use super::place::{Ground, Place};
use super::produce::{check, measured_time};
use super::report::{Report, Tally};
use super::stop::Stop;
use super::writer::Writing;
use crate::cluster::explain;
use crate::progress;

/// How long the last records may take once all are acknowledged and nothing comes.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the reader looks whether the writer is done.
const LOOK: Duration = Duration::from_millis(100);

/// Arguments of `ottla bench e2e`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla bench e2e                                     # 1000 records a second, for 10 s\n  \
    ottla bench e2e --rate 20000 --linger-ms 0 --partitions 12 --duration 60 --json\n\n\
    Latency is the time from when a record was due by the schedule until a consumer in the same process had it, \
    whatever kept it from being sent or read. Ctrl-C ends the measurement, and what was measured is told. If a record \
    was not written, or was acknowledged and is not read within 10 s, the exit code is 1.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    sending: Sending,

    /// Records per second in all
    #[arg(long, short, value_name = "N", default_value = "1000", value_parser = load::rate)]
    rate: f64,

    #[command(flatten)]
    length: Length,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Measures the way from a producer to a consumer.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let measured =
        arguments.place.measured(async |ground, stop| measure(&arguments, ground, stop).await).await;
    let (report, first_failure) = measured?;
    report.say(arguments.json)?;
    check(&report, first_failure)?;
    let lost = report.lost.unwrap_or(0);
    anyhow::ensure!(
        lost == 0,
        "{lost} records were acknowledged, and not read within {} s",
        PATIENCE.as_secs()
    );
    Ok(())
}

async fn measure(
    arguments: &Arguments,
    ground: &Ground,
    stop: &Stop,
) -> anyhow::Result<(Report, Option<String>)> {
    let Arguments { sending, .. } = arguments;
    let env = ground.client.env();
    // Others may write to the same topic: the tag says which records are of this run.
    let tag = env.rng.next_u64();
    let payload = Payload::new(sending.record_size as usize, &*env.rng).marked(tag);
    let mut consumer = Consumer::new(ground.client.clone(), ConsumerOptions::default());
    let partitions = ground.topic.partitions.iter().map(|partition| {
        (TopicPartition { topic: ground.topic.name.clone(), partition: partition.index }, Start::Latest)
    });
    consumer.assign(partitions).await.map_err(explain)?;

    let progress = progress::counter("records written");
    let writing = Writing {
        client: &ground.client,
        topic: &ground.topic,
        options: sending.options(),
        payload: &payload,
        stop,
        progress: &progress,
    };
    let schedule = arguments.length.schedule(Some(arguments.rate));
    let pacer = Pacer::start(schedule);
    let start = pacer.started();
    let (tell, expected) = watch::channel(None);
    let reading = Reading { tag, start, schedule, seen: Seen::default(), tally: Tally::new()?, last: None };
    let write = async {
        let written = writing.run(pacer).await;
        // Without a number the reader would wait for ever.
        let acknowledged = written.as_ref().map_or(0, |written| written.acknowledged);
        tell.send_replace(Some(acknowledged));
        written
    };
    let (written, read) = tokio::join!(write, reading.run(consumer, expected));
    progress.finish_and_clear();
    let (written, read) = (written?, read?);
    let records = read.tally.records();
    let report = Report {
        bench: "e2e",
        topic: ground.topic.name.to_string(),
        partitions: ground.topic.partitions.len(),
        sending: Some(sending.sent()),
        target_records_per_s: Some(arguments.rate),
        failed: written.failed,
        lost: Some(written.acknowledged.saturating_sub(read.seen.count)),
        duplicates: Some(read.seen.again),
        latency_ms: read.tally.latency(),
        ..Report::default()
    };
    let time = measured_time(start, &schedule, read.last);
    let bytes = records * u64::from(sending.record_size);
    Ok((report.with_throughput(records, bytes, time), written.first_failure))
}

/// What the reader knows.
struct Reading {
    tag: u64,
    start: Instant,
    schedule: Schedule,
    seen: Seen,
    tally: Tally,
    last: Option<Instant>,
}

impl Reading {
    /// Reads until as many records have come as were acknowledged, or nothing comes any more.
    async fn run(
        mut self,
        mut consumer: Consumer,
        expected: watch::Receiver<Option<u64>>,
    ) -> anyhow::Result<Self> {
        let mut done_since = None;
        loop {
            let records = consumer.poll(LOOK).await.map_err(explain)?;
            let now = Instant::now();
            for record in &records {
                self.take(record, now);
            }
            let Some(expected) = *expected.borrow() else { continue };
            let is_late = done_since.get_or_insert(now).elapsed() >= PATIENCE;
            if self.seen.count >= expected || (records.is_empty() && is_late) {
                return Ok(self);
            }
            if !records.is_empty() {
                done_since = Some(now);
            }
        }
    }

    fn take(&mut self, record: &ConsumedRecord, now: Instant) {
        let value = record.value.as_deref().unwrap_or_default();
        let Some(number) = payload::number(value, self.tag) else { return };
        let Some(due) = self.schedule.due(number) else { return };
        if self.seen.insert(number) && self.schedule.is_measured(due) {
            self.tally.count(now.duration_since(self.start).saturating_sub(due));
            self.last = Some(now);
        }
    }
}

/// Which numbers have come.
#[derive(Debug, Default)]
struct Seen {
    words: Vec<u64>,
    /// How many different ones.
    count: u64,
    /// How many that had come before.
    again: u64,
}

impl Seen {
    /// Whether this number comes for the first time.
    fn insert(&mut self, number: u64) -> bool {
        let Ok(at) = usize::try_from(number / 64) else { return false };
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let Some(word) = self.words.get_mut(at) else { return false };
        let bit = 1 << (number % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        if is_new {
            self.count += 1
        } else {
            self.again += 1
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_comes_again_is_not_counted_twice() {
        let mut seen = Seen::default();
        let firsts: Vec<bool> = [0, 63, 64, 1000, 63, 0].into_iter().map(|n| seen.insert(n)).collect();
        assert_eq!(firsts, [true, true, true, true, false, false]);
        assert_eq!((seen.count, seen.again), (4, 2));
    }
}
