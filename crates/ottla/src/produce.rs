//! `ottla produce`: each line of standard input becomes a record.
//!
//! Lines are read on a thread, sent as they come, and watched until each is written or has failed.

mod json;
mod line;

use std::io::{self, BufRead as _, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, ValueEnum};
use indicatif::ProgressBar;
use ottla_client::{Acks, Delivery, Producer, ProducerOptions};
use ottla_records::{Codec, Compression};
use ottla_types::TopicName;
use tokio::sync::mpsc;

use crate::cli::{Cli, KeyValue, partition_number, topic_name};
use crate::cluster::{Cluster, advice, explain};
use crate::{moment, progress};
use line::LineFormat;

/// Lines that may be read ahead, and records whose fate may be unread, at most.
const AHEAD: usize = 4096;

/// After so long it is told what a record waits for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Failures that are told line by line; later ones are counted.
const TOLD_FAILURES: u64 = 20;

/// Arguments of `ottla produce`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    echo hello | ottla produce orders\n  \
    echo 'alice:3 apples' | ottla produce orders --key-separator :\n  \
    ottla produce orders --codec zstd --idempotent < orders.txt\n  \
    echo 'alice:NULL' | ottla produce users --key-separator : --null-marker NULL    # a tombstone\n  \
    echo '{\"key\":\"alice\",\"value\":\"hi\"}' | ottla produce users --json\n  \
    ottla consume orders --json | ottla produce copy --json\n\n\
    With --json each line is an object with any of key, value, headers (a list of objects with key and value) and \
    timestamp (ms since 1970). Keys and values are strings, {\"base64\": \"...\"} or null. The topic, partition and offset \
    that `ottla consume --json` prints are passed over.\n\n\
    Lines that are not written are named on standard error, and the exit code is 1.")]
pub(crate) struct Arguments {
    /// The topic to write to. A broker with auto.create.topics.enable creates it if it does not exist
    #[arg(value_parser = topic_name)]
    topic: TopicName,

    /// Lines are records in JSON, as `ottla consume --json` prints them
    #[arg(long, conflicts_with_all = ["key_separator", "null_marker"])]
    json: bool,

    /// What separates key and value in a line. Without it lines are values, and keys are null
    #[arg(long, short = 'K', value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    key_separator: Option<String>,

    /// A key or value that is exactly this text is null
    #[arg(long, short = 'Z', value_name = "TEXT")]
    null_marker: Option<String>,

    /// A header for every record (may be repeated; the order is kept, and so are duplicates)
    #[arg(long = "header", short = 'H', value_name = "KEY=VALUE")]
    headers: Vec<KeyValue>,

    /// How batches are compressed: none, gzip, snappy, lz4 or zstd
    #[arg(long, short = 'z', default_value = "none")]
    codec: Codec,

    /// Which replicas must have a record before it counts as written
    #[arg(long, value_enum, default_value = "all", allow_negative_numbers = true)]
    acks: AcksArgument,

    /// The partition to write to. Without it the key decides, as in Kafka's Java producer
    #[arg(long, short, value_parser = partition_number, allow_negative_numbers = true)]
    partition: Option<i32>,

    /// The timestamp of every record: ms since 1970, or such as 2026-01-31T12:00:00Z; now if not given
    #[arg(long, value_name = "TIME", value_parser = moment::argument, allow_negative_numbers = true)]
    timestamp: Option<i64>,

    /// Let the broker drop what is sent twice after a fault
    #[arg(long)]
    idempotent: bool,

    #[command(flatten)]
    cluster: Cluster,
}

/// The values of `--acks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AcksArgument {
    /// None: the broker does not answer
    #[value(name = "0")]
    None,
    /// The leader
    #[value(name = "1")]
    Leader,
    /// All that are in sync
    #[value(name = "all", alias = "-1")]
    All,
}

impl AcksArgument {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "0",
            Self::Leader => "1",
            Self::All => "all",
        }
    }
}

impl From<AcksArgument> for Acks {
    fn from(acks: AcksArgument) -> Self {
        match acks {
            AcksArgument::None => Self::None,
            AcksArgument::Leader => Self::Leader,
            AcksArgument::All => Self::All,
        }
    }
}

/// Writes standard input to a topic.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Err(error) = arguments.check() {
        error.exit();
    }
    let mut options = arguments.cluster.options();
    options.allow_auto_create_topics = true;
    let client = arguments.cluster.connect_with(options).await?;
    let mut lines = read_lines();
    // Asking for a topic may create it, and who has nothing to write wants none.
    let Some(first) = lines.recv().await.transpose().context("cannot read standard input")? else {
        return Ok(());
    };
    // A topic that cannot be had is one error, not one for every line.
    client.topic(&arguments.topic).await.map_err(explain)?;
    let producer = Arc::new(Producer::new(client, arguments.producer_options()));
    let format = arguments.line_format();

    let (sent, watched) = mpsc::channel(AHEAD);
    let progress = match io::stdin().is_terminal() {
        // Who types sees the lines.
        true => ProgressBar::hidden(),
        false => progress::counter("records written"),
    };
    let watching = tokio::spawn(watch(watched, Arc::clone(&producer), progress));
    let mut number = 0;
    let mut reading = Ok(());
    let mut next = Some(Ok(first));
    while let Some(line) = next {
        match line {
            Ok(line) => {
                number += 1;
                let delivery = send(&producer, &format, &line).await;
                sent.send((number, delivery)).await.context("the watch over records ended early")?;
            }
            Err(error) => reading = Err(error),
        }
        next = lines.recv().await;
    }
    drop(sent);
    producer.flush().await;
    let failures = watching.await?;
    reading.context("cannot read standard input")?;
    anyhow::ensure!(failures == 0, "{failures} of {number} records were not written");
    Ok(())
}

async fn send(producer: &Producer, format: &LineFormat, line: &[u8]) -> Result<Delivery, String> {
    let record = format.record(line)?;
    producer.send(record).await.map_err(|error| error.to_string())
}

/// Tells which lines failed; gives their number.
async fn watch(
    mut watched: mpsc::Receiver<(u64, Result<Delivery, String>)>,
    producer: Arc<Producer>,
    progress: ProgressBar,
) -> u64 {
    let mut failures = 0;
    let mut told_of_wait = false;
    while let Some((number, delivery)) = watched.recv().await {
        let outcome = match delivery {
            Ok(delivery) => {
                let mut written = std::pin::pin!(delivery.wait());
                let early = tokio::time::timeout(PATIENCE, &mut written).await;
                if early.is_err()
                    && !told_of_wait
                    && let Some(error) = producer.retrying()
                {
                    told_of_wait = true;
                    progress.suspend(|| {
                        complain(format_args!(
                            "line {number} is not written yet and is tried again: {error}"
                        ));
                    });
                }
                let outcome = match early {
                    Ok(outcome) => outcome,
                    Err(_) => written.await,
                };
                outcome.map(drop).map_err(|error| with_advice(&error))
            }
            Err(reason) => Err(reason),
        };
        match outcome {
            Ok(()) => progress.inc(1),
            Err(reason) => {
                failures += 1;
                progress.suspend(|| tell(failures, number, &reason));
            }
        }
    }
    progress.finish_and_clear();
    failures
}

/// Tells of a failure, unless there were too many.
fn tell(failures: u64, number: u64, reason: &str) {
    if failures <= TOLD_FAILURES {
        complain(format_args!("line {number}: {reason}"));
    } else if failures == TOLD_FAILURES + 1 {
        complain(format_args!("further failures are counted, and not named"));
    }
}

fn with_advice(error: &ottla_client::DeliveryError) -> String {
    match error {
        ottla_client::DeliveryError::Failed { error: cause, .. } => match advice(cause) {
            Some(advice) => format!("{error}\n{advice}"),
            None => error.to_string(),
        },
        _ => error.to_string(),
    }
}

fn complain(text: std::fmt::Arguments<'_>) {
    use io::Write as _;
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr().lock(), "ottla: {text}");
}

/// Reads the lines of standard input on a thread of its own, without their ends.
fn read_lines() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = input.read_until(b'\n', &mut line);
            if matches!(read, Ok(0)) {
                return;
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            let is_over = read.is_err();
            if sender.blocking_send(read.map(|_| line)).is_err() || is_over {
                return;
            }
        }
    });
    receiver
}

impl Arguments {
    /// What clap cannot say of two arguments of which one has a default.
    fn check(&self) -> Result<(), clap::Error> {
        if self.idempotent && self.acks != AcksArgument::All {
            let message = "--idempotent needs --acks all: without an answer from the replicas nothing is known to be \
                           written once";
            return Err(Cli::command().error(ErrorKind::ArgumentConflict, message));
        }
        Ok(())
    }

    fn producer_options(&self) -> ProducerOptions {
        ProducerOptions {
            acks: self.acks.into(),
            compression: Compression::new(self.codec),
            is_idempotent: self.idempotent,
            ..ProducerOptions::default()
        }
    }

    fn line_format(&self) -> LineFormat {
        LineFormat {
            topic: self.topic.clone(),
            partition: self.partition,
            timestamp_ms: self.timestamp,
            json: self.json,
            key_separator: self.key_separator.clone(),
            null_marker: self.null_marker.clone(),
            headers: self
                .headers
                .iter()
                .map(|header| (header.key.clone(), Some(header.value.clone().into())))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Command;

    fn parse(line: &str) -> Arguments {
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Produce(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn idempotence_takes_all_acks() {
        assert_eq!(parse("ottla produce orders --idempotent --acks 1").check().unwrap_err().exit_code(), 2);
        assert!(parse("ottla produce orders --idempotent --acks all").check().is_ok());
        assert!(parse("ottla produce orders --acks -1").check().is_ok());
    }
}
