//! The logs of partitions as they lie on a simulated disk. They are read past the code under test, which cannot make them
//! look better than they are.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use ottla_records::batches;
use ottla_types::{TopicName, TopicPartition};

use crate::disk::SimDisk;

/// Where nodes keep them.
const DIR: &str = "/data/logs";

/// A batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskBatch {
    /// The offset of its first record.
    pub base: i64,
    /// The offset after its last one.
    pub end: i64,
    /// The epoch of the leader that wrote it.
    pub epoch: i32,
    /// The checksum of all that a leader does not change.
    pub crc: u32,
}

/// A log: whole batches in a row, from its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskLog {
    /// The id of its topic, as the log's directory tells it; empty if it does not.
    pub topic_id: String,
    /// The offset at which it begins.
    pub start: i64,
    /// Its batches.
    pub batches: Vec<DiskBatch>,
}

impl DiskLog {
    /// The offset after its last record.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.batches.last().map_or(self.start, |batch| batch.end)
    }

    /// The batch that begins at an offset.
    #[must_use]
    pub fn at(&self, base: i64) -> Option<&DiskBatch> {
        let at = self.batches.binary_search_by_key(&base, |batch| batch.base).ok()?;
        self.batches.get(at)
    }

    /// The first offset at which `other` does not go on as this does; the end, if it does to there.
    #[must_use]
    pub fn parts_from(&self, other: &Self) -> i64 {
        let differs = self.batches.iter().find(|batch| other.at(batch.base) != Some(batch));
        differs.map_or(self.end(), |batch| batch.base)
    }
}

/// The logs of all partitions but the cluster's own, as processes see them.
#[must_use]
pub(super) fn seen(disk: &SimDisk) -> BTreeMap<TopicPartition, DiskLog> {
    logs(disk.contents_of(Path::new(DIR), false, &is_of_a_log))
}

/// The same, as the device has them.
#[must_use]
pub(super) fn durable(disk: &SimDisk) -> BTreeMap<TopicPartition, DiskLog> {
    logs(disk.contents_of(Path::new(DIR), true, &is_of_a_log))
}

/// The log of one partition; empty if there is none.
#[must_use]
pub(super) fn log_of(disk: &SimDisk, partition: &TopicPartition, on_device: bool) -> DiskLog {
    let dir = Path::new(DIR).join(partition.to_string());
    logs(disk.contents_of(&dir, on_device, &is_of_a_log)).remove(partition).unwrap_or_default()
}

fn is_of_a_log(path: &Path) -> bool {
    if path.parent() == Some(Path::new(DIR)) {
        return partition_of(path).is_some();
    }
    path.extension().is_some_and(|extension| extension == "log" || extension == "metadata")
}

fn logs(files: BTreeMap<std::path::PathBuf, Bytes>) -> BTreeMap<TopicPartition, DiskLog> {
    let mut logs: BTreeMap<TopicPartition, DiskLog> = BTreeMap::new();
    // Files come in the order of their names, and so segments in that of their offsets.
    for (path, content) in &files {
        let Some(partition) = path.parent().and_then(partition_of) else { continue };
        let log = logs.entry(partition).or_default();
        if path.extension().is_some_and(|extension| extension == "log") {
            add_segment(log, path, content);
        } else if path.file_name().is_some_and(|name| name == "partition.metadata") {
            let text = String::from_utf8_lossy(content);
            let id = text.lines().find_map(|line| line.strip_prefix("topic_id: "));
            log.topic_id = id.unwrap_or_default().to_owned();
        }
    }
    logs
}

/// The partition whose directory this is. Those that are to be deleted, or are put aside, have other names.
fn partition_of(dir: &Path) -> Option<TopicPartition> {
    let (topic, index) = dir.file_name()?.to_str()?.rsplit_once('-')?;
    if dir.parent()? != Path::new(DIR) || topic.starts_with("__") {
        return None;
    }
    Some(TopicPartition { topic: TopicName::new(topic).ok()?, partition: index.parse().ok()? })
}

fn add_segment(log: &mut DiskLog, path: &Path, content: &Bytes) {
    let base = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
    let Some(base) = base else { return };
    if log.batches.is_empty() {
        log.start = base;
    }
    // What follows a gap or a damaged batch is no part of the log: a start cuts it off.
    if base != log.end() {
        return;
    }
    for batch in batches(content) {
        let Ok(batch) = batch else { return };
        let header = batch.header();
        if header.base_offset.0 < log.end() || batch.verify_crc().is_err() {
            return;
        }
        log.batches.push(DiskBatch {
            base: header.base_offset.0,
            end: header.next_offset().0,
            epoch: header.leader_epoch.0,
            crc: header.crc,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(batches: &[(i64, i64, i32)]) -> DiskLog {
        let batch = |(base, end, epoch): &(i64, i64, i32)| DiskBatch {
            base: *base,
            end: *end,
            epoch: *epoch,
            crc: *epoch as u32,
        };
        DiskLog { batches: batches.iter().map(batch).collect(), ..DiskLog::default() }
    }

    #[test]
    fn logs_part_where_a_batch_is_another_or_missing() {
        let one = log(&[(0, 2, 1), (2, 3, 1), (3, 9, 2)]);
        assert_eq!(one.parts_from(&one), 9);
        assert_eq!(one.parts_from(&log(&[(0, 2, 1)])), 2);
        assert_eq!(one.parts_from(&log(&[(0, 2, 1), (2, 3, 2), (3, 9, 2)])), 2);
        assert_eq!(log(&[]).parts_from(&one), 0);
    }

    #[test]
    fn only_directories_of_partitions_are_logs() {
        let of = |name: &str| partition_of(&Path::new(DIR).join(name)).map(|found| found.to_string());
        assert_eq!(of("a-b-12").unwrap(), "a-b-12");
        assert!(of("a-0.0123456789-delete").is_none());
        assert!(of("__consumer_offsets-3").is_none());
        assert!(of("ottla-metadata").is_none());
    }
}
