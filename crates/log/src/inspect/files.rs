//! The small files of a log and of a log directory, and the entries of its indexes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Buf as _;
use ottla_env::disk::{DirEntry, OpenMode};
use ottla_env::{Disk, File};
use ottla_types::{BrokerEpoch, Offset, ProducerEpoch, ProducerId, TopicId, TopicPartition};

use crate::format::checkpoint;
use crate::format::index::{Entry, OffsetEntry, TimeEntry, decode_all};
use crate::format::names::{
    CLEAN_SHUTDOWN, FileKind, LEADER_EPOCH_CHECKPOINT, LOG_START_CHECKPOINT, META_PROPERTIES,
    PARTITION_METADATA, RECOVERY_POINT_CHECKPOINT, REPLICATION_CHECKPOINT,
};
use crate::format::properties::MetaProperties;
use crate::producers::snapshot;
use crate::{EpochEntry, Error, Result};

/// What a file of a log directory is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `.log`: batches, the first of them at or above this offset.
    Segment(Offset),
    /// `.index`, of the segment with this base offset.
    OffsetIndex(Offset),
    /// `.timeindex`.
    TimeIndex(Offset),
    /// `.txnindex`: aborted transactions.
    TxnIndex(Offset),
    /// `.snapshot`: the producers as of this offset.
    Snapshot(Offset),
    /// `leader-epoch-checkpoint`.
    LeaderEpochs,
    /// `partition.metadata`.
    PartitionMetadata,
    /// `recovery-point-offset-checkpoint`, `log-start-offset-checkpoint` and others of their form.
    Offsets,
    /// `meta.properties`.
    MetaProperties,
    /// `.kafka_cleanshutdown`.
    CleanShutdown,
}

/// What a file is; `None` for one that is no part of a log.
#[must_use]
pub fn form(path: &Path) -> Option<Form> {
    let name = path.file_name()?.to_str()?;
    if let Some((kind, offset)) = FileKind::parse(name) {
        return Some(match kind {
            FileKind::Log => Form::Segment(offset),
            FileKind::OffsetIndex => Form::OffsetIndex(offset),
            FileKind::TimeIndex => Form::TimeIndex(offset),
            FileKind::TxnIndex => Form::TxnIndex(offset),
            FileKind::Snapshot => Form::Snapshot(offset),
        });
    }
    match name {
        LEADER_EPOCH_CHECKPOINT => Some(Form::LeaderEpochs),
        PARTITION_METADATA => Some(Form::PartitionMetadata),
        RECOVERY_POINT_CHECKPOINT
        | LOG_START_CHECKPOINT
        | REPLICATION_CHECKPOINT
        | "cleaner-offset-checkpoint" => Some(Form::Offsets),
        META_PROPERTIES => Some(Form::MetaProperties),
        CLEAN_SHUTDOWN => Some(Form::CleanShutdown),
        _ => None,
    }
}

/// What a directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirForm {
    /// One partition's log.
    Partition,
    /// The logs of a broker: one of its `log.dirs`.
    LogDir,
    /// ottla's log of metadata, whose records are the broker's own.
    OttlaMetadata,
    /// Something else.
    Other,
}

/// Tells what a directory holds by what is in it. Its name tells little: `broker-1` may be a log directory, and a
/// partition may be restored to anywhere.
///
/// # Errors
/// [`Error::Io`].
pub async fn dir_form(disk: &dyn Disk, path: &Path) -> Result<DirForm> {
    if path.file_name().is_some_and(|name| name == "ottla-metadata") {
        return Ok(DirForm::OttlaMetadata);
    }
    let entries = disk.list(path).await?;
    let top = [META_PROPERTIES, RECOVERY_POINT_CHECKPOINT, LOG_START_CHECKPOINT];
    if entries.iter().any(|entry| !entry.is_dir && top.contains(&entry.name.as_str())) {
        return Ok(DirForm::LogDir);
    }
    if holds_a_log(&entries) {
        return Ok(DirForm::Partition);
    }
    // A directory above those of brokers has folders that are named like partitions, and are none.
    for (_, below) in partitions(disk, path).await? {
        if holds_a_log(&disk.list(&below).await?) {
            return Ok(DirForm::LogDir);
        }
    }
    Ok(DirForm::Other)
}

/// Whether these are the entries of a partition's directory, be it one without segments yet.
fn holds_a_log(entries: &[DirEntry]) -> bool {
    let beside = [PARTITION_METADATA, LEADER_EPOCH_CHECKPOINT];
    let mut files = entries.iter().filter(|entry| !entry.is_dir);
    files.any(|entry| FileKind::parse(&entry.name).is_some() || beside.contains(&entry.name.as_str()))
}

/// Whether a partition's directory has a segment: without one there is nothing in it to look at.
///
/// # Errors
/// [`Error::Io`].
pub async fn has_segments(disk: &dyn Disk, dir: &Path) -> Result<bool> {
    let entries = disk.list(dir).await?;
    Ok(entries.iter().any(|entry| matches!(form(Path::new(&entry.name)), Some(Form::Segment(_)))))
}

/// The partitions in a log directory and their directories, by name. Deleted ones are left out.
///
/// # Errors
/// [`Error::Io`].
pub async fn partitions(disk: &dyn Disk, log_dir: &Path) -> Result<Vec<(TopicPartition, PathBuf)>> {
    use crate::format::names::{DirKind, dir_kind};
    let entries = disk.list(log_dir).await?;
    let logs =
        entries.into_iter().filter(|entry| entry.is_dir).filter_map(|entry| match dir_kind(&entry.name) {
            DirKind::Log(partition) => Some((partition, log_dir.join(&entry.name))),
            _ => None,
        });
    Ok(logs.collect())
}

async fn decode<T>(
    disk: &dyn Disk,
    path: &Path,
    decode: impl FnOnce(&[u8]) -> std::result::Result<T, String>,
) -> Result<T> {
    decode(&disk.read(path).await?).map_err(|reason| Error::malformed(path.to_owned(), reason))
}

/// The entries of a `leader-epoch-checkpoint`, as they stand there.
///
/// # Errors
/// [`Error::Io`], [`Error::Malformed`].
pub async fn leader_epochs(disk: &dyn Disk, path: &Path) -> Result<Vec<EpochEntry>> {
    decode(disk, path, checkpoint::decode_epochs).await
}

/// The entries of a checkpoint of offsets.
///
/// # Errors
/// [`Error::Io`], [`Error::Malformed`].
pub async fn offsets(disk: &dyn Disk, path: &Path) -> Result<Vec<(TopicPartition, Offset)>> {
    Ok(decode(disk, path, checkpoint::decode_offsets).await?.into_iter().collect())
}

/// The topic id in a `partition.metadata`.
///
/// # Errors
/// [`Error::Io`], [`Error::Malformed`].
pub async fn topic_id(disk: &dyn Disk, path: &Path) -> Result<TopicId> {
    decode(disk, path, checkpoint::decode_partition_metadata).await
}

/// Whose directory it is, by `meta.properties`: its keys and values.
///
/// # Errors
/// [`Error::Io`], [`Error::Malformed`].
pub async fn meta_properties(disk: &dyn Disk, path: &Path) -> Result<Vec<(&'static str, String)>> {
    let MetaProperties { cluster_id, node_id, directory_id } =
        decode(disk, path, MetaProperties::decode).await?;
    let mut properties = vec![("cluster.id", cluster_id), ("node.id", node_id.to_string())];
    properties.extend(directory_id.map(|id| ("directory.id", id.to_string())));
    Ok(properties)
}

/// The broker epoch in a clean-shutdown marker; `None` in an old broker's.
///
/// # Errors
/// [`Error::Io`].
pub async fn clean_shutdown(disk: &dyn Disk, path: &Path) -> Result<Option<BrokerEpoch>> {
    Ok(checkpoint::decode_clean_shutdown(&disk.read(path).await?))
}

/// One producer of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// Its id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// The sequence number of its last record; -1 without one.
    pub last_sequence: i32,
    /// The offset of its last record; `None` without one.
    pub last_offset: Option<Offset>,
    /// Last offset less first offset of its last batch.
    pub offset_delta: i32,
    /// The timestamp of its last batch or marker.
    pub timestamp_ms: i64,
    /// The epoch of the coordinator that ended its last transaction; -1 without one.
    pub coordinator_epoch: i32,
    /// The first offset of its open transaction.
    pub txn_start: Option<Offset>,
}

/// The producers of a snapshot, by id.
///
/// # Errors
/// [`Error::Io`], [`Error::Malformed`].
pub async fn producers(disk: &dyn Disk, path: &Path) -> Result<Vec<SnapshotEntry>> {
    let producers = decode(disk, path, |bytes| snapshot::decode(bytes, 0)).await?;
    let entries = producers.iter().map(|(producer_id, producer)| {
        let last = producer.batches.back();
        SnapshotEntry {
            producer_id,
            producer_epoch: producer.epoch,
            last_sequence: producer.last_sequence(),
            last_offset: last.map(|batch| batch.last_offset),
            offset_delta: last.map_or(0, |batch| batch.offset_delta),
            timestamp_ms: producer.last_timestamp_ms,
            coordinator_epoch: producer.coordinator_epoch,
            txn_start: producer.txn_start,
        }
    });
    Ok(entries.collect())
}

/// An aborted transaction of a `.txnindex` (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTxn {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// Its first offset.
    pub first_offset: Offset,
    /// The offset of the marker that ended it.
    pub last_offset: Offset,
    /// The last stable offset when it ended.
    pub last_stable_offset: Offset,
}

/// The aborted transactions of a segment.
///
/// # Errors
/// [`Error::Io`], [`Error::Malformed`].
pub async fn aborted_txns(disk: &dyn Disk, path: &Path) -> Result<Vec<AbortedTxn>> {
    decode(disk, path, decode_aborted_txns).await
}

/// Version 0 has 34 bytes: version (2), producer id, first, last and last stable offset (8 each).
fn decode_aborted_txns(bytes: &[u8]) -> std::result::Result<Vec<AbortedTxn>, String> {
    const SIZE: usize = 34;
    if !bytes.len().is_multiple_of(SIZE) {
        return Err(format!("its {} bytes are no whole number of entries of {SIZE} bytes", bytes.len()));
    }
    let mut aborted = Vec::with_capacity(bytes.len() / SIZE);
    for (number, mut entry) in bytes.chunks_exact(SIZE).enumerate() {
        let version = entry.get_i16();
        if version != 0 {
            return Err(format!("entry {number} has version {version}, and 0 was expected"));
        }
        aborted.push(AbortedTxn {
            producer_id: ProducerId(entry.get_i64()),
            first_offset: Offset(entry.get_i64()),
            last_offset: Offset(entry.get_i64()),
            last_stable_offset: Offset(entry.get_i64()),
        });
    }
    Ok(aborted)
}

/// Entries are read so many at a time.
const ENTRIES_PER_READ: u64 = 4096;

/// The entries of an index, one after another. Zeros at the end of the file are no entries: Kafka makes room for an index
/// in advance, and cuts it off only when the segment is closed in order.
pub(super) struct Entries<E> {
    file: Arc<dyn File>,
    len: u64,
    next: u64,
    count: u64,
    read: std::vec::IntoIter<E>,
}

impl<E: Entry> Entries<E> {
    pub(super) async fn open(disk: &dyn Disk, path: &Path) -> Result<Self> {
        let file = disk.open(path, OpenMode::Read).await?;
        let len = file.size().await?;
        let mut entries =
            Self { file, len, next: 0, count: len / E::SIZE as u64, read: Vec::new().into_iter() };
        entries.count = entries.count_without_zeros().await?;
        Ok(entries)
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.len
    }

    /// Goes back from the end over zeros.
    async fn count_without_zeros(&self) -> Result<u64> {
        let size = E::SIZE as u64;
        let mut count = self.count;
        while count > 0 {
            let from = count.saturating_sub(ENTRIES_PER_READ);
            let len = usize::try_from((count - from) * size).unwrap_or(0);
            let bytes = self.file.read_at(from * size, len).await?;
            match bytes.iter().rposition(|&byte| byte != 0) {
                Some(last) => return Ok(from + last as u64 / size + 1),
                None => count = from,
            }
        }
        Ok(0)
    }

    pub(super) async fn next_entry(&mut self) -> Result<Option<(u64, E)>> {
        if self.read.len() == 0 && self.next < self.count {
            let count = (self.count - self.next).min(ENTRIES_PER_READ);
            let len = usize::try_from(count * E::SIZE as u64).unwrap_or(0);
            let bytes = self.file.read_at(self.next * E::SIZE as u64, len).await?;
            self.read = decode_all(&bytes).into_iter();
        }
        let Some(entry) = self.read.next() else { return Ok(None) };
        self.next += 1;
        Ok(Some((self.next - 1, entry)))
    }
}

/// An entry of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexEntry {
    /// Of an offset index: the last offset of the batch that starts at a byte of the segment.
    Offset {
        /// The offset.
        offset: Offset,
        /// The byte.
        position: u32,
    },
    /// Of a time index: no record up to the offset is newer.
    Time {
        /// The timestamp.
        timestamp_ms: i64,
        /// The last offset of the batch that has it.
        offset: Offset,
    },
}

/// Reads an index.
pub struct IndexReader {
    base: Offset,
    entries: Either,
}

enum Either {
    Offsets(Entries<OffsetEntry>),
    Times(Entries<TimeEntry>),
}

impl IndexReader {
    /// Opens the `.index` or `.timeindex` of the segment with this base offset.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn open(disk: &dyn Disk, path: &Path, form: Form) -> Result<Self> {
        let (base, entries) = match form {
            Form::TimeIndex(base) => (base, Either::Times(Entries::open(disk, path).await?)),
            Form::OffsetIndex(base) => (base, Either::Offsets(Entries::open(disk, path).await?)),
            _ => return Err(Error::malformed(path.to_owned(), "it is no index")),
        };
        Ok(Self { base, entries })
    }

    /// The next entry.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn next_entry(&mut self) -> Result<Option<IndexEntry>> {
        let offset = |relative: u32| Offset(self.base.0.saturating_add(i64::from(relative)));
        Ok(match &mut self.entries {
            Either::Offsets(entries) => entries.next_entry().await?.map(|(_, entry)| IndexEntry::Offset {
                offset: offset(entry.relative),
                position: entry.position,
            }),
            Either::Times(entries) => entries.next_entry().await?.map(|(_, entry)| IndexEntry::Time {
                timestamp_ms: entry.timestamp_ms,
                offset: offset(entry.relative),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aborted_transactions_have_kafkas_bytes() {
        let mut bytes = vec![0, 0];
        for number in [4001_i64, 900, 950, 951] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        let aborted = AbortedTxn {
            producer_id: ProducerId(4001),
            first_offset: Offset(900),
            last_offset: Offset(950),
            last_stable_offset: Offset(951),
        };
        assert_eq!(decode_aborted_txns(&bytes), Ok(vec![aborted]));
        assert!(decode_aborted_txns(&bytes[1..]).is_err());
        bytes[1] = 1;
        assert!(decode_aborted_txns(&bytes).is_err());
    }
}
