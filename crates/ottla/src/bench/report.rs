//! What was counted, and how it is told.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::output;

/// The longest latency that is told apart from longer ones, in nanoseconds: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

/// Latencies of records.
#[derive(Debug, Clone)]
pub(super) struct Tally(Histogram<u64>);

impl Tally {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST_NS, DIGITS)?))
    }

    /// Counts a record.
    pub(super) fn count(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST_NS).max(1));
    }

    /// How many there are.
    pub(super) fn records(&self) -> u64 {
        self.0.len()
    }

    /// Their latencies, if there are any.
    pub(super) fn latency(&self) -> Option<Latency> {
        let ms = |ns: f64| (ns / 1e3).round() / 1e3;
        let at = |quantile: f64| ms(self.0.value_at_quantile(quantile) as f64);
        (!self.0.is_empty()).then(|| Latency {
            mean: ms(self.0.mean()),
            min: ms(self.0.min() as f64),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: ms(self.0.max() as f64),
        })
    }
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Latency {
    mean: f64,
    min: f64,
    p50: f64,
    p90: f64,
    p95: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p99_9: f64,
    #[serde(rename = "p99.99")]
    p99_99: f64,
    max: f64,
}

/// What a measurement found.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Report {
    /// Which measurement.
    pub(super) bench: &'static str,
    pub(super) topic: String,
    pub(super) partitions: usize,
    /// The settings of the producer, where there was one; null where there was none.
    #[serde(flatten)]
    pub(super) sending: Option<Sent>,
    /// Records per second that were asked for; null for as many as go.
    pub(super) target_records_per_s: Option<f64>,
    /// Records that were measured, and the bytes of their values.
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Records that were not acknowledged, those of the warm-up included.
    pub(super) failed: u64,
    /// Records that were acknowledged, and never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<u64>,
    /// Records that were read more than once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duplicates: Option<u64>,
    pub(super) seconds: f64,
    pub(super) records_per_s: f64,
    pub(super) mib_per_s: f64,
    /// In milliseconds.
    pub(super) latency_ms: Option<Latency>,
}

/// How records were written.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sent {
    pub(super) record_size_bytes: u32,
    pub(super) batch_size_bytes: u32,
    pub(super) linger_ms: u32,
    pub(super) acks: &'static str,
    pub(super) codec: &'static str,
}

impl Report {
    /// The same with so many records and bytes in this time.
    pub(super) fn with_throughput(self, records: u64, bytes: u64, time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        let per_second = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
        let (records_per_s, mib_per_s) = (per_second(records as f64), per_second(bytes as f64 / 1048576.0));
        Self { records, bytes, seconds, records_per_s, mib_per_s, ..self }
    }

    /// Prints it.
    pub(super) fn say(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            return output::say_json(self);
        }
        output::say(self.text().trim_end())?;
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |label: &str, rest: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{label:<12}{rest}");
        };
        let Self { bench, topic, partitions, records, seconds, records_per_s, mib_per_s, failed, .. } = self;
        let plural = if *partitions == 1 { "" } else { "s" };
        line(bench, format!("{topic}, {partitions} partition{plural}"));
        if let Some(sent) = &self.sending {
            let Sent { record_size_bytes, batch_size_bytes, linger_ms, acks, codec } = sent;
            line(
                "records of",
                format!(
                    "{record_size_bytes} bytes, batches of {batch_size_bytes}, linger {linger_ms} ms, acks {acks}, \
                     codec {codec}"
                ),
            );
        }
        line("measured", format!("{records} records in {seconds:.3} s"));
        let target = self.target_records_per_s.map(|target| format!(" (of {target} asked for)"));
        let target = target.unwrap_or_default();
        line("throughput", format!("{records_per_s:.0} records/s{target}, {mib_per_s:.2} MiB/s"));
        if let Some(latency) = &self.latency_ms {
            line("latency ms", latency.text());
        }
        let counts = [("failed", Some(*failed)), ("lost", self.lost), ("duplicates", self.duplicates)];
        for (label, count) in counts {
            if let Some(count) = count.filter(|&count| count > 0) {
                line(label, format!("{count} records"));
            }
        }
        text
    }
}

impl Latency {
    fn text(&self) -> String {
        let Self { mean, p50, p90, p99, p99_9, p99_99, max, .. } = self;
        format!("p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p99_9}  p99.99 {p99_99}  max {max}  mean {mean}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_counted() {
        let mut tally = Tally::new().unwrap();
        assert!(tally.latency().is_none());
        for ms in 1..=1000 {
            tally.count(Duration::from_millis(ms));
        }
        let latency = tally.latency().unwrap();
        for (found, expected) in
            [(latency.p50, 500.0), (latency.p99, 990.0), (latency.max, 1000.0), (latency.mean, 500.5)]
        {
            assert!((found - expected).abs() <= expected / 500.0, "{found} is not about {expected}");
        }
        tally.count(Duration::MAX);
        assert_eq!(tally.records(), 1001, "what is longer than any is counted as the longest");
    }

    fn report() -> Report {
        let report = Report {
            bench: "e2e",
            topic: "orders".to_owned(),
            partitions: 1,
            target_records_per_s: Some(100.0),
            lost: Some(2),
            duplicates: Some(0),
            ..Report::default()
        };
        report.with_throughput(200, 2 << 20, Duration::from_secs(2))
    }

    #[test]
    fn the_text_has_what_there_is_and_no_counts_of_nothing() {
        let text = report().text();
        assert!(text.contains("throughput  100 records/s (of 100 asked for), 1.00 MiB/s"), "{text}");
        assert!(text.contains("orders, 1 partition\n") && text.contains("lost        2 records"), "{text}");
        assert!(!text.contains("duplicates") && !text.contains("latency"), "{text}");
    }

    #[test]
    fn json_has_numbers() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!((&json["records_per_s"], &json["lost"]), (&100.0.into(), &2.into()));
        assert_eq!(json["latency_ms"], serde_json::Value::Null);
        let sent =
            Sent { record_size_bytes: 10, batch_size_bytes: 1, linger_ms: 0, acks: "all", codec: "none" };
        let json = serde_json::to_value(Report { sending: Some(sent), ..report() }).unwrap();
        assert_eq!((&json["record_size_bytes"], &json["acks"]), (&10.into(), &"all".into()));
    }
}
