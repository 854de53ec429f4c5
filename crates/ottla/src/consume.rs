//! `ottla consume`: records of a topic to standard output, in the order of each partition.

pub(crate) mod format;
mod group;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use ottla_client::{Client, ConsumedRecord, Consumer, ConsumerOptions, OffsetSpec, Start};
use ottla_types::{Offset, TopicName, TopicPartition};

use crate::cli::{partition_number, topic_name};
use crate::cluster::{Cluster, explain};
use crate::{moment, progress};
use format::{Format, Printer};

/// How long one look for records lasts. Looks follow each other, so it bounds nothing but this program's own rhythm.
const LOOK: Duration = Duration::from_secs(60);

/// Arguments of `ottla consume`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla consume orders                            # what is there now, from the start\n  \
    ottla consume orders --follow                   # and what comes\n  \
    ottla consume orders --from latest              # only what comes\n  \
    ottla consume orders --partition 0 --from 1000 --count 10\n  \
    ottla consume orders --from @2026-01-01T00:00:00Z --to @2026-01-02T00:00:00Z --json\n  \
    ottla consume orders --group readers --follow   # what the group has not read, with the group's other members\n  \
    ottla consume orders --json | ottla produce copy --json\n  \
    ottla consume orders --format '%p:%o %k=%s\\n'\n\n\
    Formats: %t topic, %p partition, %o offset, %T timestamp in ms, %k key, %s value, %K and %S their lengths\n\
    (-1 for null), %h headers, %% a percent sign; \\n, \\t, \\r and \\\\ as usual.")]
pub(crate) struct Arguments {
    /// The topic to read
    #[arg(value_parser = topic_name)]
    topic: TopicName,

    /// A partition to read (may be repeated); all if none is given
    #[arg(long = "partition", short, value_name = "N", value_parser = partition_number, allow_negative_numbers = true)]
    partitions: Vec<i32>,

    /// Where to start in each partition: earliest, latest, an offset, or @ and a time: ms since 1970, or such as
    /// 2026-01-31T12:00:00Z
    #[arg(long, value_name = "PLACE", default_value = "earliest", allow_negative_numbers = true)]
    from: Place,

    /// Where to stop in each partition: before this offset, or before the first record of this time or later. What is
    /// not written yet is not waited for
    #[arg(long, value_name = "PLACE", conflicts_with = "follow", allow_negative_numbers = true)]
    to: Option<Place>,

    /// Read as a member of this group: on from where it was, and commit what is printed. Then --from is for partitions that
    /// the group has not read yet
    #[arg(long, short, value_name = "GROUP", conflicts_with_all = ["partitions", "to"])]
    group: Option<String>,

    /// Be a static member of the group, which keeps its partitions over a restart
    #[arg(long, value_name = "ID", requires = "group")]
    instance_id: Option<String>,

    /// Stop after so many records
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Wait for more records at the end; so it is without saying with --from latest
    #[arg(long, short)]
    follow: bool,

    /// Stop at what is the end of the partitions now; so it is without saying except with --from latest
    #[arg(long, short, conflicts_with = "follow")]
    exit_at_end: bool,

    /// Print each record as a line of JSON
    #[arg(long)]
    json: bool,

    /// How to print each record; the value and a line end if not given
    #[arg(long, conflicts_with = "json")]
    format: Option<Format>,

    /// What to print for a null key or value, except in JSON; nothing if not given
    #[arg(long, short = 'Z', value_name = "TEXT", default_value = "", conflicts_with = "json")]
    null_marker: String,

    #[command(flatten)]
    pub(crate) cluster: Cluster,
}

/// The values of `--from` and `--to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(Start);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected earliest, latest, an offset, or @ and {}", moment::FORMS);
        let number = |text: &str| text.parse::<i64>().ok().filter(|&number| number >= 0);
        match text {
            "earliest" => Ok(Self(Start::Earliest)),
            "latest" => Ok(Self(Start::Latest)),
            _ => match text.strip_prefix('@') {
                Some(time) => moment::parse_ms(time).map(|time_ms| Self(Start::Timestamp(time_ms))),
                None => number(text).map(|offset| Self(Start::Offset(Offset(offset)))),
            }
            .ok_or_else(expected),
        }
    }
}

/// Reads a topic to standard output.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let client = arguments.cluster.connect().await?;
    let topic = client.topic(&arguments.topic).await.map_err(explain)?;
    if let Some(group) = &arguments.group {
        return group::run(&arguments, client, group).await;
    }
    let numbers: Vec<i32> = match arguments.partitions.as_slice() {
        [] => topic.partitions.iter().map(|partition| partition.index).collect(),
        chosen => chosen.to_vec(),
    };
    for &number in &numbers {
        anyhow::ensure!(
            topic.partition(number).is_some(),
            "the topic {} has {} partitions, from 0, and none with number {number}",
            topic.name,
            topic.partitions.len()
        );
    }
    let at = |&partition: &i32| TopicPartition { topic: topic.name.clone(), partition };
    let partitions: Vec<TopicPartition> = numbers.iter().map(at).collect();

    let ends = match arguments.follows() {
        true => None,
        false => Some(find_ends(&client, &partitions, arguments.to).await?),
    };
    let mut consumer = Consumer::new(client, ConsumerOptions::default());
    let starts = partitions.into_iter().map(|partition| (partition, arguments.from.0));
    consumer.assign(starts).await.map_err(explain)?;
    let ends = ends.map(|ends| leave_empty(&mut consumer, ends));
    let progress = progress(&consumer, ends.as_ref(), arguments.count);
    let printer = arguments.printer();
    let result = read(&mut consumer, ends, arguments.count, &printer, &progress).await;
    progress.finish_and_clear();
    result
}

/// Where reading a partition stops, and where its log ended when that was asked for.
#[derive(Debug, Clone, Copy)]
struct End {
    stop: Offset,
    latest: Offset,
}

type Ends = BTreeMap<TopicPartition, End>;

/// What there is of the partitions now, or a part of it.
async fn find_ends(
    client: &Client,
    partitions: &[TopicPartition],
    to: Option<Place>,
) -> anyhow::Result<Ends> {
    let find = async |spec| {
        let specs = partitions.iter().map(|partition| (partition.clone(), spec));
        client.offsets(specs).await.map_err(explain)
    };
    let latest = find(OffsetSpec::Latest).await?;
    let stops = match to.map(|place| place.0) {
        None | Some(Start::Latest) => BTreeMap::new(),
        Some(Start::Earliest) => find(OffsetSpec::Earliest).await?,
        Some(Start::Timestamp(time_ms)) => find(OffsetSpec::Timestamp(time_ms)).await?,
        Some(Start::Offset(offset)) => partitions.iter().map(|p| (p.clone(), Some(offset))).collect(),
    };
    let end = |(partition, latest): (TopicPartition, Option<Offset>)| {
        let latest = latest?;
        let stop = stops.get(&partition).copied().flatten().unwrap_or(latest).min(latest);
        Some((partition, End { stop, latest }))
    };
    Ok(latest.into_iter().filter_map(end).collect())
}

/// Leaves the partitions of which there is nothing to read, since no answer would come that says so.
fn leave_empty(consumer: &mut Consumer, mut ends: Ends) -> Ends {
    ends.retain(|partition, end| {
        // A start beyond the log is for the broker to refuse.
        let is_empty = consumer.position(partition).is_none_or(|at| at >= end.stop && at <= end.latest);
        if is_empty {
            consumer.unassign(partition);
        }
        !is_empty
    });
    ends
}

/// A bar for who waits while the records go elsewhere.
fn progress(consumer: &Consumer, ends: Option<&Ends>, count: Option<u64>) -> ProgressBar {
    let Some(ends) = ends.filter(|_| !io::stdout().is_terminal()) else { return ProgressBar::hidden() };
    let there = ends.iter().map(|(partition, end)| {
        let start = consumer.position(partition).map_or(end.stop.0, |start| start.0);
        u64::try_from(end.stop.0.saturating_sub(start)).unwrap_or(0)
    });
    progress::bar(there.sum::<u64>().min(count.unwrap_or(u64::MAX)), "records")
}

/// Prints records until the ends, if there are any, or `count` is reached.
async fn read(
    consumer: &mut Consumer,
    mut ends: Option<Ends>,
    count: Option<u64>,
    printer: &Printer,
    progress: &ProgressBar,
) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut left = count.unwrap_or(u64::MAX);
    loop {
        if let Some(ends) = &mut ends {
            leave_finished(consumer, ends);
            if ends.is_empty() {
                return Ok(());
            }
        }
        let records = consumer.poll(LOOK).await.map_err(explain)?;
        for record in &records {
            if !is_before_end(record, ends.as_ref()) {
                continue;
            }
            printer.print(&mut out, record)?;
            progress.inc(1);
            left -= 1;
            if left == 0 {
                out.flush()?;
                return Ok(());
            }
        }
        // Whoever follows a topic wants to see what has come, not what fills a buffer.
        out.flush()?;
    }
}

/// Stops reading partitions that are read up to their end.
fn leave_finished(consumer: &mut Consumer, ends: &mut Ends) {
    ends.retain(|partition, end| {
        let is_read = consumer.high_watermark(partition).is_some();
        let is_finished = consumer.position(partition).is_none_or(|position| is_read && position >= end.stop);
        if is_finished {
            consumer.unassign(partition);
        }
        !is_finished
    });
}

/// Whether a record was there when reading began.
fn is_before_end(record: &ConsumedRecord, ends: Option<&Ends>) -> bool {
    ends.is_none_or(|ends| ends.get(&record.partition).is_some_and(|end| record.offset < end.stop))
}

impl Arguments {
    fn follows(&self) -> bool {
        self.follow || (self.from.0 == Start::Latest && !self.exit_at_end && self.to.is_none())
    }

    fn printer(&self) -> Printer {
        if self.json {
            return Printer::Json;
        }
        let format = self.format.clone().unwrap_or_default();
        Printer::Text { format, null: self.null_marker.clone() }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(line: &str) -> Arguments {
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Consume(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn places_are_names_offsets_and_times() {
        assert_eq!("earliest".parse(), Ok(Place(Start::Earliest)));
        assert_eq!("42".parse(), Ok(Place(Start::Offset(Offset(42)))));
        assert_eq!("@1000".parse(), Ok(Place(Start::Timestamp(1000))));
        assert_eq!("@1970-01-01T00:00:01Z".parse(), Ok(Place(Start::Timestamp(1000))));
        for text in ["", "@", "-1", "@-1", "first", "1.5"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn reading_ends_at_the_end_unless_told_to_follow_or_to_begin_there() {
        assert!(!parse("ottla consume orders").follows());
        assert!(parse("ottla consume orders --follow").follows());
        assert!(parse("ottla consume orders --from latest").follows());
        assert!(!parse("ottla consume orders --from latest --exit-at-end").follows());
        assert!(!parse("ottla consume orders --from latest --to latest").follows());
    }
}
