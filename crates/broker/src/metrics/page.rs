//! The text of `/metrics`: families with their samples, in OpenMetrics' format.

use std::fmt;

use ottla_types::Counted;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

/// Names of labels with their values.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// No labels.
pub(super) const PLAIN: Labels<'static> = &[];

/// Nanoseconds in a millisecond, the unit of Kafka's times.
pub(super) const NS_IN_MS: f64 = 1e6;

/// Where families are written to.
#[derive(Debug)]
pub(super) struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

/// A counter, which only grows. Its samples end in `_total`.
#[derive(Debug)]
pub(super) struct Counter<'a>(MetricEncoder<'a>);

/// A gauge.
#[derive(Debug)]
pub(super) struct Gauge<'a>(MetricEncoder<'a>);

/// A histogram.
#[derive(Debug)]
pub(super) struct Histogram<'a>(MetricEncoder<'a>);

impl<'a> Page<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self { encoder }
    }

    /// Begins a counter; `name` without `_total`.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> Result<Counter<'_>, fmt::Error> {
        Ok(Counter(self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?))
    }

    /// Begins a gauge.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> Result<Gauge<'_>, fmt::Error> {
        Ok(Gauge(self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?))
    }

    /// Begins a histogram.
    pub(super) fn histogram(&mut self, name: &'static str, help: &str) -> Result<Histogram<'_>, fmt::Error> {
        Ok(Histogram(self.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?))
    }

    /// A text about the broker, as labels.
    pub(super) fn info(&mut self, name: &'static str, help: &str, labels: Labels<'_>) -> fmt::Result {
        self.encoder.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }
}

impl Counter<'_> {
    pub(super) fn add(&mut self, labels: Labels<'_>, value: u64) -> fmt::Result {
        let none: Option<&Exemplar<NoLabelSet, f64>> = None;
        match labels {
            [] => self.0.encode_counter(&value, none),
            labels => self.0.encode_family(&labels)?.encode_counter(&value, none),
        }
    }

    /// A counter in seconds.
    pub(super) fn add_seconds(&mut self, seconds: f64) -> fmt::Result {
        let none: Option<&Exemplar<NoLabelSet, f64>> = None;
        self.0.encode_counter(&seconds, none)
    }
}

impl Gauge<'_> {
    pub(super) fn add(&mut self, labels: Labels<'_>, value: impl EncodeGaugeValue) -> fmt::Result {
        match labels {
            [] => self.0.encode_gauge(&value),
            labels => self.0.encode_family(&labels)?.encode_gauge(&value),
        }
    }
}

impl Histogram<'_> {
    /// Adds what was counted in units of which `unit` make one of those that are shown.
    pub(super) fn add(&mut self, labels: Labels<'_>, counted: &Counted, unit: f64) -> fmt::Result {
        let below: u64 = counted.buckets.iter().map(|(_, count)| count).sum();
        let mut buckets: Vec<(f64, u64)> =
            counted.buckets.iter().map(|(bound, count)| (*bound as f64 / unit, *count)).collect();
        buckets.push((f64::INFINITY, counted.count.saturating_sub(below)));
        let sum = counted.sum as f64 / unit;
        match labels {
            [] => self.0.encode_histogram::<NoLabelSet>(sum, counted.count, &buckets, None),
            labels => {
                let mut family = self.0.encode_family(&labels)?;
                family.encode_histogram::<NoLabelSet>(sum, counted.count, &buckets, None)
            }
        }
    }
}
