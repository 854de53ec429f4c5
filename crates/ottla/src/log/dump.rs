//! `ottla log dump`: what each kind of file holds. How it is printed is in [`show`].

mod show;

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use ottla_env::Disk;
use ottla_env::disk::RealDisk;
use ottla_log::inspect::batches::{Item, PlacedBatch, SegmentReader};
use ottla_log::inspect::files::{self, DirForm, Form, IndexReader, dir_form, form};
use ottla_records::{Batch, Records};

use self::show::{Line, RecordLine, Show};
use crate::output;

/// A batch is decompressed into at most this.
const MAX_DECOMPRESSED: usize = 1 << 30;

/// Arguments of `ottla log dump`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    ottla log dump ottla-data/orders-0                                   # all files of a partition\n  \
    ottla log dump --records ottla-data/orders-0/00000000000000000000.log\n  \
    ottla log dump --json ottla-data | jq 'select(.crc_ok == false)'\n\n\
    It reads what ottla or Apache Kafka wrote: .log, .index, .timeindex, .txnindex, .snapshot, leader-epoch-checkpoint, the other \
    checkpoints, partition.metadata and meta.properties. Nothing is changed and no lock is taken.")]
pub(crate) struct Arguments {
    /// Files, directories of partitions, or log directories (`log.dirs`)
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,

    /// Print the records of batches: timestamps, keys, values, headers
    #[arg(long)]
    records: bool,

    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// Dumps the files, one after another. It fails when one cannot be read, after the others.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let disk = RealDisk::new();
    let mut dump = Dump {
        disk: &disk,
        records: arguments.records,
        show: Show::new(BufWriter::new(std::io::stdout().lock()), arguments.json),
    };
    let mut unread = 0;
    for path in &arguments.paths {
        for file in files_of(&disk, path).await? {
            match dump.file(&file).await {
                Ok(()) => {}
                Err(error) if output::is_broken_pipe(&error) => return Err(error),
                Err(error) => {
                    unread += 1;
                    output::complain(&error);
                }
            }
        }
    }
    dump.show.out.flush()?;
    if unread > 0 {
        bail!("{unread} files cannot be read");
    }
    Ok(())
}

/// The files to dump: the path itself, or those of a directory that are part of a log.
async fn files_of(disk: &dyn Disk, path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut dirs = vec![path.to_owned()];
    match dir_form(disk, path).await? {
        DirForm::Partition => {}
        DirForm::LogDir => dirs.extend(files::partitions(disk, path).await?.into_iter().map(|(_, dir)| dir)),
        DirForm::OttlaMetadata => bail!(
            "{} is the log of the cluster's metadata, in an encoding of its own that only the broker reads",
            path.display()
        ),
        DirForm::Other => bail!("{} is neither a log directory nor a partition's directory", path.display()),
    }
    let mut found = Vec::new();
    for dir in dirs {
        let entries = disk.list(&dir).await?;
        let files = entries.into_iter().filter(|entry| !entry.is_dir).map(|entry| dir.join(entry.name));
        found.extend(files.filter(|file| form(file).is_some()));
    }
    Ok(found)
}

struct Dump<'a, W: std::io::Write> {
    disk: &'a dyn Disk,
    records: bool,
    show: Show<W>,
}

impl<W: std::io::Write> Dump<'_, W> {
    async fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let Some(form) = form(path) else {
            bail!("{} is no file of a log: its name is none of Kafka's", path.display());
        };
        self.show.begin(path)?;
        match form {
            Form::Segment(_) => self.segment(path).await,
            Form::OffsetIndex(_) | Form::TimeIndex(_) => {
                let mut reader = IndexReader::open(self.disk, path, form).await?;
                while let Some(entry) = reader.next_entry().await? {
                    self.show.line(&Line::of_index(entry))?;
                }
                Ok(())
            }
            Form::TxnIndex(_) => {
                let aborted = files::aborted_txns(self.disk, path).await?;
                aborted.iter().try_for_each(|txn| self.show.line(&Line::of_aborted_txn(txn)))
            }
            Form::Snapshot(_) => {
                let producers = files::producers(self.disk, path).await?;
                producers.iter().try_for_each(|producer| self.show.line(&Line::of_producer(producer)))
            }
            Form::LeaderEpochs => {
                let entries = files::leader_epochs(self.disk, path).await?;
                entries.iter().try_for_each(|entry| {
                    let (epoch, start_offset) = (entry.epoch.0, entry.start_offset.0);
                    self.show.line(&Line::Epoch { epoch, start_offset })
                })
            }
            Form::Offsets => {
                let offsets = files::offsets(self.disk, path).await?;
                offsets.iter().try_for_each(|(at, offset)| {
                    let line = Line::Checkpoint {
                        topic: at.topic.as_str().to_owned(),
                        partition: at.partition,
                        offset: offset.0,
                    };
                    self.show.line(&line)
                })
            }
            Form::PartitionMetadata => {
                let value = files::topic_id(self.disk, path).await?.to_string();
                self.show.line(&Line::Property { key: "topic_id", value })
            }
            Form::MetaProperties => {
                let properties = files::meta_properties(self.disk, path).await?;
                let mut lines = properties.into_iter().map(|(key, value)| Line::Property { key, value });
                lines.try_for_each(|line| self.show.line(&line))
            }
            Form::CleanShutdown => {
                let epoch = files::clean_shutdown(self.disk, path).await?;
                let value = epoch.map_or_else(|| "unknown".to_owned(), |epoch| epoch.to_string());
                self.show.line(&Line::Property { key: "broker_epoch", value })
            }
        }
    }

    async fn segment(&mut self, path: &Path) -> anyhow::Result<()> {
        let mut reader = SegmentReader::open(self.disk, path).await?;
        while let Some(item) = reader.next_item().await? {
            match item {
                Item::Batch(batch) => {
                    self.show.line(&Line::of_batch(&batch))?;
                    if self.records {
                        self.records_of(&batch, &mut reader).await?;
                    }
                }
                Item::Unreadable(rest) => self.show.line(&Line::Unreadable {
                    position: rest.position,
                    size: rest.bytes,
                    reason: rest.reason,
                })?,
            }
        }
        Ok(())
    }

    async fn records_of(&mut self, batch: &PlacedBatch, reader: &mut SegmentReader) -> anyhow::Result<()> {
        let bytes = reader.read(batch).await?;
        let mut tell =
            |reason: String| self.show.line(&Line::BadRecords { position: batch.position, reason });
        let body = match Batch::parse(&bytes).and_then(|(batch, _)| batch.records_bytes(MAX_DECOMPRESSED)) {
            Ok(body) => body,
            Err(error) => return tell(error.to_string()),
        };
        for record in Records::new(&batch.header, &body) {
            match record {
                Ok(record) => self.show.line(&Line::Record(RecordLine::of(&record)))?,
                Err(error) => {
                    return self
                        .show
                        .line(&Line::BadRecords { position: batch.position, reason: error.to_string() });
                }
            }
        }
        Ok(())
    }
}
