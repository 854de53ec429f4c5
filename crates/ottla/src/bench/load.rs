//! How much is written, and when each record is due.

use std::time::{Duration, Instant};

use clap::Args;
use ottla_client::ProducerOptions;
use ottla_records::{Codec, Compression};
use tokio::sync::mpsc;

use super::report::Sent;
use crate::produce::AcksArgument;

/// How long a measurement lasts where neither a time nor a count is given.
const SECONDS: f64 = 10.0;

/// What records are like, and how they are sent.
#[derive(Debug, Clone, Args)]
pub(super) struct Sending {
    /// Bytes of each record's value; keys are null
    #[arg(long, value_name = "BYTES", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    pub(super) record_size: u32,

    /// Bytes that a batch is filled to
    #[arg(long, value_name = "BYTES", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) batch_size: u32,

    /// How long a batch that is not full waits for more records
    #[arg(long, value_name = "MS", default_value_t = 5)]
    pub(super) linger_ms: u32,

    /// Which replicas must have a record before it counts as written
    #[arg(long, value_enum, default_value = "all", allow_negative_numbers = true)]
    pub(super) acks: AcksArgument,

    /// How batches are compressed: none, gzip, snappy, lz4 or zstd
    #[arg(long, short = 'z', default_value = "none")]
    pub(super) codec: Codec,
}

impl Sending {
    /// The producer that sends so.
    pub(super) fn options(&self) -> ProducerOptions {
        ProducerOptions {
            acks: self.acks.into(),
            compression: Compression::new(self.codec),
            batch_size: self.batch_size as usize,
            linger: Duration::from_millis(self.linger_ms.into()),
            ..ProducerOptions::default()
        }
    }

    /// The same for the report.
    pub(super) fn sent(&self) -> Sent {
        Sent {
            record_size_bytes: self.record_size,
            batch_size_bytes: self.batch_size,
            linger_ms: self.linger_ms,
            acks: self.acks.name(),
            codec: self.codec.name(),
        }
    }
}

/// For how long it is measured.
#[derive(Debug, Clone, Args)]
pub(super) struct Length {
    /// How long to measure; 10 if neither this nor --count is given
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds, conflicts_with = "count")]
    duration: Option<Duration>,

    /// How many records to measure
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// How long to run before it is measured
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = pause)]
    warmup: Duration,
}

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Until {
    /// After this time.
    Time(Duration),
    /// After so many records.
    Count(u64),
}

impl Length {
    /// The schedule of so many records per second, or of as many as go.
    pub(super) fn schedule(&self, rate: Option<f64>) -> Schedule {
        let otherwise = || self.duration.unwrap_or(Duration::from_secs_f64(SECONDS));
        let until = self.count.map_or_else(|| Until::Time(otherwise()), Until::Count);
        Schedule { rate, warmup: self.warmup, until }
    }
}

/// What is due when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    rate: Option<f64>,
    warmup: Duration,
    until: Until,
}

impl Schedule {
    /// So many records, as fast as they go, all of them measured.
    pub(super) fn all_at_once(count: u64) -> Self {
        Self { rate: None, warmup: Duration::ZERO, until: Until::Count(count) }
    }

    /// When a record is due, from the start, if there is a rate.
    pub(super) fn due(&self, number: u64) -> Option<Duration> {
        Some(Duration::from_secs_f64(number as f64 / self.rate?))
    }

    /// Whether a record is measured that is due then.
    pub(super) fn is_measured(&self, due: Duration) -> bool {
        due >= self.warmup
    }

    /// When measuring begins, from the start.
    pub(super) fn warmup(&self) -> Duration {
        self.warmup
    }

    /// Whether all is done before a record that is due then, with so many measured before it.
    fn is_over(&self, due: Duration, measured: u64) -> bool {
        match self.until {
            Until::Time(time) => due >= self.warmup + time,
            Until::Count(count) => measured >= count,
        }
    }
}

/// A record that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// Its place among all, from 0.
    pub(super) number: u64,
    /// When it is due, from the start.
    pub(super) at: Duration,
    /// Whether it counts.
    pub(super) is_measured: bool,
}

/// Gives records when they are due. Where the schedule has a rate, late askers get those at once that are due already.
#[derive(Debug)]
pub(super) struct Pacer {
    schedule: Schedule,
    start: Instant,
    given: u64,
    measured: u64,
    due_so_far: u64,
    ticks: Option<mpsc::Receiver<u64>>,
}

impl Pacer {
    /// Starts now.
    pub(super) fn start(schedule: Schedule) -> Self {
        Self::start_at(Instant::now(), schedule)
    }

    fn start_at(start: Instant, schedule: Schedule) -> Self {
        let ticks = schedule.rate.map(|rate| tick(start, rate));
        Self { schedule, start, given: 0, measured: 0, due_so_far: 0, ticks }
    }

    /// When it started.
    pub(super) fn started(&self) -> Instant {
        self.start
    }

    /// Waits for the next record to be due; none when the schedule is over.
    pub(super) async fn next(&mut self) -> Option<Due> {
        let at = self.schedule.due(self.given).unwrap_or_else(|| self.start.elapsed());
        if self.schedule.is_over(at, self.measured) {
            return None;
        }
        if let Some(ticks) = &mut self.ticks {
            while self.due_so_far <= self.given {
                self.due_so_far = ticks.recv().await?;
            }
        }
        let due = Due { number: self.given, at, is_measured: self.schedule.is_measured(at) };
        self.given += 1;
        self.measured += u64::from(due.is_measured);
        Some(due)
    }
}

/// Tells how many records are due, on a thread of its own: the runtime's timers know only whole milliseconds.
fn tick(start: Instant, rate: f64) -> mpsc::Receiver<u64> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        loop {
            // The record with number n is due after n intervals, the first at once.
            let due_so_far = (start.elapsed().as_secs_f64() * rate) as u64 + 1;
            if sender.blocking_send(due_so_far).is_err() {
                return;
            }
            let next = start + Duration::from_secs_f64(due_so_far as f64 / rate);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    });
    receiver
}

/// Records per second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| (0.001..=1e9).contains(number));
    number.ok_or_else(|| "expected records per second, from 0.001 to 1000000000".to_owned())
}

/// A time that is not zero.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    pause(text)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

/// A time that may be zero.
fn pause(text: &str) -> Result<Duration, String> {
    let number = text.parse().ok().filter(|number: &f64| (0.0..=1e6).contains(number));
    number
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected a number of seconds from 0 to 1000000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut pacer: Pacer) -> Vec<Due> {
        let mut all = Vec::new();
        while let Some(due) = pacer.next().await {
            all.push(due);
        }
        all
    }

    fn schedule(rate: Option<f64>, warmup_ms: u64, until: Until) -> Schedule {
        Schedule { rate, warmup: Duration::from_millis(warmup_ms), until }
    }

    #[tokio::test]
    async fn records_are_due_by_the_rate_however_late_they_are_taken() {
        // The first is taken long after the last of them was due.
        let start = Instant::now().checked_sub(Duration::from_millis(30)).unwrap();
        let schedule = schedule(Some(1000.0), 5, Until::Time(Duration::from_millis(10)));
        let due = all(Pacer::start_at(start, schedule)).await;
        assert_eq!(due.len(), 15);
        for (number, due) in due.iter().enumerate() {
            assert_eq!((due.number, due.at), (number as u64, Duration::from_millis(number as u64)));
            assert_eq!(due.is_measured, number >= 5);
        }
    }

    #[tokio::test]
    async fn no_record_is_given_before_it_is_due() {
        let mut pacer = Pacer::start(schedule(Some(500.0), 0, Until::Count(10)));
        let start = pacer.started();
        while let Some(due) = pacer.next().await {
            assert!(start.elapsed() >= due.at, "{due:?}");
        }
    }

    #[tokio::test]
    async fn a_count_is_of_measured_records() {
        let due = all(Pacer::start(schedule(Some(10_000.0), 2, Until::Count(7)))).await;
        assert_eq!(due.len(), 27);
        assert_eq!(due.iter().filter(|due| due.is_measured).count(), 7);
        assert_eq!(all(Pacer::start(Schedule::all_at_once(1000))).await.len(), 1000);
    }

    #[test]
    fn numbers_are_checked() {
        assert_eq!(rate("0.5"), Ok(0.5));
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(pause("0"), Ok(Duration::ZERO));
        for text in ["0", "-1", "NaN", "inf", "x", "1e12"] {
            assert!(rate(text).is_err() && seconds(text).is_err(), "{text}");
        }
    }
}
