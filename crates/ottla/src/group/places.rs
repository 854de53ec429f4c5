//! Where `ottla group reset-offsets` sets offsets to: one rule for all partitions, or a file with a line for each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use jiff::{SignedDuration, Span};
use ottla_client::{Client, OffsetSpec};
use ottla_types::{Offset, TopicName, TopicPartition};

use crate::cluster::explain;
use crate::moment;

/// The rules, of which one is given.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Rule {
    /// To the first record there is
    #[arg(long)]
    to_earliest: bool,

    /// To the end: what is there now counts as read
    #[arg(long)]
    to_latest: bool,

    /// To where it is; to the end where the group has no offset
    #[arg(long)]
    to_current: bool,

    /// To this offset
    #[arg(long, value_name = "OFFSET", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,

    /// So many records forward, or back if negative
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    shift_by: Option<i64>,

    /// To the first record of this time or later: ms since 1970, or such as 2026-01-31T12:00:00Z; to the end if there is none
    #[arg(long, value_name = "TIME", value_parser = moment::argument)]
    to_datetime: Option<i64>,

    /// To the first record that is no older than this, such as P1D or PT2H30M; to the end if there is none
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    by_duration: Option<i64>,

    /// To the offsets in this file, of lines TOPIC,PARTITION,OFFSET, as --export prints them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["topics", "all_topics"])]
    pub(super) from_file: Option<PathBuf>,
}

/// Offsets by partition.
pub(super) type Offsets = BTreeMap<TopicPartition, Offset>;

/// An ISO 8601 duration in milliseconds. A day has 24 hours.
fn duration_ms(text: &str) -> Result<i64, String> {
    let span: Option<Span> = text.parse().ok();
    let duration = span.and_then(|span| {
        if span.get_years() != 0 || span.get_months() != 0 {
            return None;
        }
        SignedDuration::try_from(span.days(0).weeks(0))
            .ok()?
            .checked_add(SignedDuration::from_hours(24).checked_mul(span.get_days())?)?
            .checked_add(SignedDuration::from_hours(24 * 7).checked_mul(span.get_weeks())?)
    });
    let ms = duration.and_then(|duration| i64::try_from(duration.as_millis()).ok());
    ms.filter(|&ms| ms >= 0).ok_or_else(|| {
        "expected a duration in days, hours, minutes and seconds, such as P1D or PT2H30M".to_owned()
    })
}

impl Rule {
    /// Where the rule sets the offsets of the partitions, given where they are; within their logs, as Kafka's tools do it.
    pub(super) async fn apply(
        &self,
        client: &Client,
        partitions: &[TopicPartition],
        current: &Offsets,
    ) -> anyhow::Result<Offsets> {
        let latest = find(client, partitions, OffsetSpec::Latest).await?;
        if self.to_latest {
            return Ok(latest);
        }
        let earliest = find(client, partitions, OffsetSpec::Earliest).await?;
        if self.to_earliest {
            return Ok(earliest);
        }
        if let Some(timestamp_ms) = self.timestamp_ms(client)? {
            let found = find(client, partitions, OffsetSpec::Timestamp(timestamp_ms)).await?;
            return Ok(latest
                .into_iter()
                .map(|(at, end)| (at.clone(), found.get(&at).copied().unwrap_or(end)))
                .collect());
        }
        let mut wanted = match &self.from_file {
            Some(path) => read_file(path)?,
            None => Offsets::new(),
        };
        for at in partitions {
            let offset = match (self.to_offset, self.shift_by) {
                (Some(offset), _) => Offset(offset),
                (_, Some(by)) => {
                    let from = current.get(at).with_context(|| {
                        format!("cannot shift the offset of {at}: the group has none there. Another rule can set one")
                    })?;
                    Offset(from.0.saturating_add(by))
                }
                _ if self.to_current => match current.get(at) {
                    Some(offset) => *offset,
                    None => Offset(i64::MAX),
                },
                _ => continue,
            };
            wanted.insert(at.clone(), offset);
        }
        Ok(wanted.into_iter().map(|(at, offset)| within(at, offset, &earliest, &latest)).collect())
    }

    /// The time that the rule means, if it means one.
    fn timestamp_ms(&self, client: &Client) -> anyhow::Result<Option<i64>> {
        if let Some(by_ms) = self.by_duration {
            let now_ms = client.env().clock.wall_ms();
            return Ok(Some(now_ms.saturating_sub(by_ms).max(0)));
        }
        Ok(self.to_datetime)
    }
}

async fn find(client: &Client, partitions: &[TopicPartition], spec: OffsetSpec) -> anyhow::Result<Offsets> {
    let found = client.offsets(partitions.iter().map(|at| (at.clone(), spec))).await.map_err(explain)?;
    Ok(found.into_iter().filter_map(|(at, offset)| Some((at, offset?))).collect())
}

/// An offset outside the log is moved to its nearest end, and that is said.
fn within(
    at: TopicPartition,
    wanted: Offset,
    earliest: &Offsets,
    latest: &Offsets,
) -> (TopicPartition, Offset) {
    let first = earliest.get(&at).copied().unwrap_or(Offset(0));
    let end = latest.get(&at).copied().unwrap_or(wanted);
    let offset = wanted.clamp(first.min(end), end);
    if offset != wanted && wanted != Offset(i64::MAX) {
        tracing::warn!(
            "{at} has no offset {wanted}: its log starts at {first} and ends at {end}; taking {offset}"
        );
    }
    (at, offset)
}

/// The partitions that a file names.
pub(super) fn read_file(path: &Path) -> anyhow::Result<Offsets> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut offsets = Offsets::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        let (at, offset) = read_line(line).with_context(|| {
            format!("{}, line {number}: \"{line}\" is not TOPIC,PARTITION,OFFSET", path.display())
        })?;
        let twice = offsets.insert(at.clone(), offset).is_some();
        anyhow::ensure!(!twice, "{}, line {number}: {at} is there twice", path.display());
    }
    anyhow::ensure!(!offsets.is_empty(), "{} names no offset", path.display());
    Ok(offsets)
}

/// One line. Kafka's tool quotes topics.
fn read_line(line: &str) -> Option<(TopicPartition, Offset)> {
    let mut fields = line.split(',').map(|field| field.trim().trim_matches('"'));
    let topic = TopicName::new(fields.next()?).ok()?;
    let partition = fields.next()?.parse().ok().filter(|&number: &i32| number >= 0)?;
    let offset = fields.next()?.parse().ok().filter(|&offset: &i64| offset >= 0)?;
    fields.next().is_none().then_some((TopicPartition { topic, partition }, Offset(offset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicName::new("orders").unwrap(), partition }
    }

    #[test]
    fn durations_are_those_of_iso_8601_without_months() {
        for (text, ms) in [
            ("PT1S", 1000),
            ("PT0.5S", 500),
            ("P1D", 86_400_000),
            ("P1DT2H", 93_600_000),
            ("P1W", 604_800_000),
            ("PT0S", 0),
        ] {
            assert_eq!(duration_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "P1M", "P1Y", "-PT1S", "soon", "10"] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_line_is_a_topic_a_partition_and_an_offset() {
        assert_eq!(read_line("orders,2,7"), Some((at(2), Offset(7))));
        assert_eq!(read_line("\"orders\", 2, 7"), Some((at(2), Offset(7))));
        for line in ["orders,2", "orders,2,7,1", "orders,-1,7", "orders,2,-7", "a/b,0,0", "orders,x,0"] {
            assert_eq!(read_line(line), None, "{line}");
        }
    }

    #[test]
    fn a_file_names_its_wrong_line_and_what_is_there_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("offsets.csv");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_file(&path).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(
            read("orders,0,1\n\norders,1,2\n"),
            Ok(Offsets::from([(at(0), Offset(1)), (at(1), Offset(2))]))
        );
        assert!(read("orders,0,1\norders;1\n").unwrap_err().contains("line 2: \"orders;1\""));
        assert!(read("orders,0,1\norders,0,2\n").unwrap_err().contains("orders-0 is there twice"));
        assert!(read("\n").unwrap_err().contains("names no offset"));
    }

    #[test]
    fn an_offset_outside_the_log_is_moved_to_its_nearest_end() {
        let (earliest, latest) = (Offsets::from([(at(0), Offset(5))]), Offsets::from([(at(0), Offset(9))]));
        for (wanted, taken) in [(0, 5), (5, 5), (7, 7), (9, 9), (10, 9), (i64::MAX, 9)] {
            assert_eq!(within(at(0), Offset(wanted), &earliest, &latest).1, Offset(taken), "{wanted}");
        }
    }
}
