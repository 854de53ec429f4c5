//! `ottla log verify`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use ottla_env::Disk;
use ottla_env::disk::RealDisk;
use ottla_log::inspect::files::{DirForm, dir_form, has_segments, partitions};
use ottla_log::inspect::verify::{self, Options, Surroundings, Totals};
use ottla_log::inspect::{Problem, Report};
use serde::Serialize;

use crate::output;

/// Arguments of `ottla log verify`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla log verify ottla-data                 # every partition of a log directory\n  \
    ottla log verify /var/lib/kafka/orders-0    # one partition, written by ottla or Apache Kafka\n  \
    ottla log verify --records --json backup    # read every record too; JSON, one object a line\n\n\
    Nothing is changed and no lock is taken. Of a running broker it sees what is there at the moment: what was not \
    flushed yet may be behind, as after a crash.")]
pub(crate) struct Arguments {
    /// Log directories (`log.dirs`) or directories of partitions
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,

    /// Decompress every batch and read its records
    #[arg(long)]
    records: bool,

    /// Print JSON: a line for each problem, and one with the totals
    #[arg(long)]
    json: bool,
}

/// Prints problems as they are found, above the bar.
struct Printer {
    json: bool,
    bar: ProgressBar,
    problems: u64,
    failed: Option<std::io::Error>,
}

#[derive(Serialize)]
struct JsonProblem<'a> {
    file: String,
    position: Option<u64>,
    offset: Option<i64>,
    problem: &'a str,
}

#[derive(Serialize)]
struct JsonTotals {
    partitions: u64,
    segments: u64,
    batches: u64,
    records: u64,
    bytes: u64,
    problems: u64,
}

impl Report for Printer {
    fn problem(&mut self, problem: Problem) {
        self.problems += 1;
        let json = || JsonProblem {
            file: problem.path.display().to_string(),
            position: problem.position,
            offset: problem.offset.map(|offset| offset.0),
            problem: &problem.what,
        };
        let line = match self.json {
            true => serde_json::to_string(&json()).unwrap_or_default(),
            false => problem.to_string(),
        };
        if let Err(error) = self.bar.suspend(|| output::say(line)) {
            self.failed.get_or_insert(error);
        }
    }

    fn progress(&mut self, bytes: u64) {
        self.bar.inc(bytes);
    }
}

/// Verifies the directories. It fails when anything is wrong in them.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let disk = RealDisk::new();
    let mut printer = Printer { json: arguments.json, bar: ProgressBar::hidden(), problems: 0, failed: None };
    let dirs = find(&disk, &arguments.dirs, &mut printer).await?;
    printer.bar = bar(&disk, &dirs).await?;
    let mut totals = Totals::default();
    let options = Options { records: arguments.records };
    let mut around = (PathBuf::new(), Surroundings::default());
    for dir in &dirs {
        let above = above(dir);
        if around.0 != above {
            around = (above.clone(), Surroundings::read(&disk, &above).await?);
        }
        totals += verify::partition(&disk, dir, &around.1, options, &mut printer).await?;
        if let Some(error) = printer.failed.take() {
            return Err(error.into());
        }
    }
    printer.bar.finish_and_clear();
    let Totals { partitions, segments, batches, records, bytes } = totals;
    let problems = printer.problems;
    if arguments.json {
        let totals = JsonTotals { partitions, segments, batches, records, bytes, problems };
        output::say(serde_json::to_string(&totals)?)?;
    } else {
        output::say(format_args!(
            "{partitions} partitions, {segments} segments, {batches} batches, {records} records, {bytes} bytes: {}",
            if problems == 0 { "all is well".to_owned() } else { format!("{problems} problems") }
        ))?;
    }
    if problems > 0 {
        bail!("{problems} problems were found");
    }
    Ok(())
}

/// The directory that holds a partition's directory.
fn above(dir: &Path) -> PathBuf {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The partitions' directories; what lies beside them is verified on the way. A directory without any is refused: where
/// nothing was looked at, nobody should read that all is well.
async fn find(disk: &dyn Disk, dirs: &[PathBuf], printer: &mut Printer) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut named = Vec::new();
    for dir in dirs {
        match dir_form(disk, dir).await? {
            DirForm::Partition if has_segments(disk, dir).await? => found.push(dir.clone()),
            DirForm::LogDir => {
                verify::log_dir(disk, dir, printer).await?;
                let partitions = partitions(disk, dir).await?;
                if partitions.is_empty() {
                    bail!("nothing to verify in {}: it is a log directory without partitions", dir.display());
                }
                found.extend(partitions.iter().map(|(_, path)| path.clone()));
                named.extend(partitions);
            }
            DirForm::OttlaMetadata => bail!(
                "{} is the log of the cluster's metadata, which only the broker reads; verify the directories beside it",
                dir.display()
            ),
            DirForm::Partition | DirForm::Other => {
                bail!("nothing to verify in {}: it holds neither segments nor partitions", dir.display());
            }
        }
    }
    verify::duplicates(&named).into_iter().for_each(|problem| printer.problem(problem));
    Ok(found)
}

/// A bar for a person who waits.
async fn bar(disk: &dyn Disk, dirs: &[PathBuf]) -> anyhow::Result<ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let mut bytes = 0;
    for dir in dirs {
        bytes += verify::size_bytes(disk, dir).await?;
    }
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}")?;
    Ok(ProgressBar::new(bytes).with_style(style))
}
