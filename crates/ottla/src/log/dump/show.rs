//! Lines of a dump, as text or as JSON.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use ottla_log::inspect::batches::PlacedBatch;
use ottla_log::inspect::files::{AbortedTxn, IndexEntry, SnapshotEntry};
use ottla_records::Record;
use serde::Serialize;

use crate::consume::format::JsonBytes;

/// Prints lines, each under the name of its file.
pub(super) struct Show<W> {
    pub(super) out: W,
    json: bool,
    file: PathBuf,
}

impl<W: Write> Show<W> {
    pub(super) fn new(out: W, json: bool) -> Self {
        Self { out, json, file: PathBuf::new() }
    }

    /// What follows is of this file.
    pub(super) fn begin(&mut self, file: &Path) -> anyhow::Result<()> {
        file.clone_into(&mut self.file);
        if !self.json {
            writeln!(self.out, "{}", file.display())?;
        }
        Ok(())
    }

    pub(super) fn line(&mut self, line: &Line<'_>) -> anyhow::Result<()> {
        if self.json {
            let of = InFile { file: self.file.display().to_string(), line };
            writeln!(self.out, "{}", serde_json::to_string(&of)?)?;
        } else {
            let indent =
                if matches!(line, Line::Record(_) | Line::BadRecords { .. }) { "    " } else { "  " };
            writeln!(self.out, "{indent}{line}")?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct InFile<'a> {
    file: String,
    #[serde(flatten)]
    line: &'a Line<'a>,
}

/// One line of a dump.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Line<'a> {
    Batch(Box<BatchLine>),
    Unreadable { position: u64, size: u64, reason: String },
    Record(RecordLine<'a>),
    BadRecords { position: u64, reason: String },
    OffsetIndex { offset: i64, position: u32 },
    TimeIndex { timestamp: i64, offset: i64 },
    Producer(ProducerLine),
    AbortedTxn { producer_id: i64, first_offset: i64, last_offset: i64, last_stable_offset: i64 },
    Epoch { epoch: i32, start_offset: i64 },
    Checkpoint { topic: String, partition: i32, offset: i64 },
    Property { key: &'static str, value: String },
}

#[derive(Serialize)]
pub(super) struct BatchLine {
    base_offset: i64,
    last_offset: i64,
    records: i32,
    leader_epoch: i32,
    position: u64,
    size: usize,
    codec: String,
    timestamp_type: &'static str,
    base_timestamp: i64,
    max_timestamp: i64,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    last_sequence: i32,
    transactional: bool,
    control: bool,
    delete_horizon: Option<i64>,
    crc: u32,
    crc_ok: bool,
    /// What is wrong with it.
    fault: Option<String>,
}

#[derive(Serialize)]
pub(super) struct RecordLine<'a> {
    offset: i64,
    timestamp: i64,
    key: Option<JsonBytes<'a>>,
    value: Option<JsonBytes<'a>>,
    headers: Vec<HeaderLine<'a>>,
}

#[derive(Serialize)]
struct HeaderLine<'a> {
    key: JsonBytes<'a>,
    value: Option<JsonBytes<'a>>,
}

#[derive(Serialize)]
pub(super) struct ProducerLine {
    producer_id: i64,
    producer_epoch: i16,
    last_sequence: i32,
    last_offset: Option<i64>,
    offset_delta: i32,
    timestamp: i64,
    coordinator_epoch: i32,
    txn_start_offset: Option<i64>,
}

impl Line<'_> {
    pub(super) fn of_batch(batch: &PlacedBatch) -> Self {
        use ottla_records::BatchError;
        let header = &batch.header;
        let attributes = header.attributes;
        Self::Batch(Box::new(BatchLine {
            base_offset: header.base_offset.0,
            last_offset: header.last_offset().0,
            records: header.records_count,
            leader_epoch: header.leader_epoch.0,
            position: batch.position,
            size: header.size_bytes(),
            codec: attributes.codec().map_or_else(|id| id.to_string(), |codec| codec.to_string()),
            timestamp_type: attributes.timestamp_type().name(),
            base_timestamp: header.base_timestamp_ms,
            max_timestamp: header.max_timestamp_ms,
            producer_id: header.producer_id.0,
            producer_epoch: header.producer_epoch.0,
            base_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            transactional: attributes.is_transactional(),
            control: attributes.is_control(),
            delete_horizon: header.delete_horizon_ms(),
            crc: header.crc,
            crc_ok: !matches!(batch.fault, Some(BatchError::Crc { .. })),
            fault: batch.fault.as_ref().map(ToString::to_string),
        }))
    }

    pub(super) fn of_index(entry: IndexEntry) -> Self {
        match entry {
            IndexEntry::Offset { offset, position } => Self::OffsetIndex { offset: offset.0, position },
            IndexEntry::Time { timestamp_ms, offset } => {
                Self::TimeIndex { timestamp: timestamp_ms, offset: offset.0 }
            }
        }
    }

    pub(super) fn of_aborted_txn(txn: &AbortedTxn) -> Self {
        Self::AbortedTxn {
            producer_id: txn.producer_id.0,
            first_offset: txn.first_offset.0,
            last_offset: txn.last_offset.0,
            last_stable_offset: txn.last_stable_offset.0,
        }
    }

    pub(super) fn of_producer(entry: &SnapshotEntry) -> Self {
        Self::Producer(ProducerLine {
            producer_id: entry.producer_id.0,
            producer_epoch: entry.producer_epoch.0,
            last_sequence: entry.last_sequence,
            last_offset: entry.last_offset.map(|offset| offset.0),
            offset_delta: entry.offset_delta,
            timestamp: entry.timestamp_ms,
            coordinator_epoch: entry.coordinator_epoch,
            txn_start_offset: entry.txn_start.map(|offset| offset.0),
        })
    }
}

impl<'a> RecordLine<'a> {
    pub(super) fn of(record: &Record<'a>) -> Self {
        let headers = record.headers.clone();
        Self {
            offset: record.offset.0,
            timestamp: record.timestamp_ms,
            key: record.key.map(JsonBytes),
            value: record.value.map(JsonBytes),
            headers: headers
                .map(|header| HeaderLine { key: JsonBytes(header.key), value: header.value.map(JsonBytes) })
                .collect(),
        }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(batch) => batch.fmt(f),
            Self::Unreadable { position, size, reason } => {
                write!(f, "UNREADABLE: position {position}, {size} bytes to the end of the file: {reason}")
            }
            Self::Record(record) => record.fmt(f),
            Self::BadRecords { position, reason } => {
                write!(f, "UNREADABLE: the records of the batch at position {position}: {reason}")
            }
            Self::OffsetIndex { offset, position } => write!(f, "offset {offset}  position {position}"),
            Self::TimeIndex { timestamp, offset } => write!(f, "timestamp {timestamp}  offset {offset}"),
            Self::Producer(producer) => producer.fmt(f),
            Self::AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset } => write!(
                f,
                "aborted: producer {producer_id}  offsets {first_offset} to {last_offset}  \
                 last stable offset {last_stable_offset}"
            ),
            Self::Epoch { epoch, start_offset } => write!(f, "epoch {epoch}  start offset {start_offset}"),
            Self::Checkpoint { topic, partition, offset } => {
                write!(f, "{topic}-{partition}  offset {offset}")
            }
            Self::Property { key, value } => write!(f, "{key} {value}"),
        }
    }
}

impl fmt::Display for BatchLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "offsets {} to {}  records {}  epoch {}  position {}  size {}  codec {}  {} {} to {}",
            self.base_offset,
            self.last_offset,
            self.records,
            self.leader_epoch,
            self.position,
            self.size,
            self.codec,
            self.timestamp_type,
            self.base_timestamp,
            self.max_timestamp
        )?;
        if self.producer_id >= 0 {
            let Self { producer_id, producer_epoch, base_sequence, last_sequence, .. } = self;
            write!(
                f,
                "  producer {producer_id} epoch {producer_epoch} sequences {base_sequence} to {last_sequence}"
            )?;
        }
        for (flag, name) in [(self.transactional, "transactional"), (self.control, "control")] {
            if flag {
                write!(f, "  {name}")?;
            }
        }
        if let Some(horizon) = self.delete_horizon {
            write!(f, "  delete horizon {horizon}")?;
        }
        match &self.fault {
            None => write!(f, "  crc {:#010x} ok", self.crc),
            Some(fault) => write!(f, "  DAMAGED: {fault}"),
        }
    }
}

impl fmt::Display for RecordLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &Option<JsonBytes<'_>>| match bytes {
            Some(bytes) => format!("\"{}\"", bytes.0.escape_ascii()),
            None => "null".to_owned(),
        };
        let (key, value) = (text(&self.key), text(&self.value));
        write!(f, "offset {}  timestamp {}  key {key}  value {value}", self.offset, self.timestamp)?;
        for header in &self.headers {
            write!(f, "  header {}={}", header.key.0.escape_ascii(), text(&header.value))?;
        }
        Ok(())
    }
}

impl fmt::Display for ProducerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset =
            |offset: Option<i64>| offset.map_or_else(|| "none".to_owned(), |offset| offset.to_string());
        write!(
            f,
            "producer {} epoch {}  last sequence {}  last offset {}  offset delta {}  timestamp {}  \
             coordinator epoch {}  transaction since {}",
            self.producer_id,
            self.producer_epoch,
            self.last_sequence,
            offset(self.last_offset),
            self.offset_delta,
            self.timestamp,
            self.coordinator_epoch,
            offset(self.txn_start_offset)
        )
    }
}
