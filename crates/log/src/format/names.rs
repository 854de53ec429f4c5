//! The names of files and directories, as Kafka gives them (`LogFileUtils`, `LocalLog`).

use std::path::{Path, PathBuf};

use ottla_types::{Offset, TopicName, TopicPartition};

/// Epoch and start offset of each leadership, in a partition's directory.
pub(crate) const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";
/// The topic id, in a partition's directory.
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";
/// Up to where each log is on the device, in a log directory.
pub(crate) const RECOVERY_POINT_CHECKPOINT: &str = "recovery-point-offset-checkpoint";
/// Where each log starts, in a log directory.
pub(crate) const LOG_START_CHECKPOINT: &str = "log-start-offset-checkpoint";
/// The high watermark of each replica, in a log directory.
pub(crate) const REPLICATION_CHECKPOINT: &str = "replication-offset-checkpoint";
/// Whose directory this is.
pub(crate) const META_PROPERTIES: &str = "meta.properties";
/// Written by an orderly stop, removed by the next start.
pub(crate) const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// Held while a process works on the directory.
pub(crate) const LOCK: &str = ".lock";
/// In which page cache a process works, in a log directory. Kafka has no such file, and passes it over.
pub(crate) const RUNNING: &str = ".ottla-running";

/// With the id of another log directory behind it: that one failed and could not be written to. Kafka has no such file.
pub(crate) const DISTRUSTED: &str = ".ottla-distrusted-";

const DELETED_FILE: &str = ".deleted";
const DELETE_SUFFIX: &str = "-delete";
const STRAY_SUFFIX: &str = "-stray";
const FUTURE_SUFFIX: &str = "-future";

/// The longest name of a directory on the file systems in use.
const MAX_DIR_NAME: usize = 255;

/// What a file of a partition's directory is, by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Log,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
    Snapshot,
}

impl FileKind {
    /// All kinds. The batches come first: without them the others count for nothing.
    pub(crate) const ALL: [Self; 5] =
        [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TxnIndex, Self::Snapshot];

    fn extension(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::OffsetIndex => "index",
            Self::TimeIndex => "timeindex",
            Self::TxnIndex => "txnindex",
            Self::Snapshot => "snapshot",
        }
    }

    fn from_extension(extension: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.extension() == extension)
    }

    /// The path of the file of this kind that belongs to `base`.
    pub(crate) fn path(self, dir: &Path, base: Offset) -> PathBuf {
        dir.join(format!("{:020}.{}", base.0, self.extension()))
    }

    /// Takes a file name apart; `None` for names that are not of this form.
    pub(crate) fn parse(name: &str) -> Option<(Self, Offset)> {
        let (digits, extension) = name.split_once('.')?;
        if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some((Self::from_extension(extension)?, Offset(digits.parse().ok()?)))
    }
}

/// The name that a file of a segment gets when it is deleted: `<name>.deleted`.
pub(crate) fn deleted_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(DELETED_FILE);
    name.into()
}

/// Whether a file is left over from a deletion or a rewriting that did not end: none of its content counts.
pub(crate) fn is_leftover(name: &str) -> bool {
    [DELETED_FILE, ".cleaned", ".tmp"].iter().any(|suffix| name.ends_with(suffix))
}

/// What a directory under a log directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DirKind {
    /// A partition's log.
    Log(TopicPartition),
    /// A copy that is to take the place of a partition's log, and what makes its name another one each time (KIP-113).
    Future(TopicPartition, [u8; 16]),
    /// A deleted log, to be removed.
    Deleted,
    /// Something else, for example `ottla-metadata` or `__cluster_metadata-0`.
    Other,
}

/// Kafka's own metadata log, which shares the log directory of a KRaft node and is none of ours.
const KRAFT_METADATA: &str = "__cluster_metadata";

pub(crate) fn dir_kind(name: &str) -> DirKind {
    if name.ends_with(DELETE_SUFFIX) && name.contains('.') {
        return DirKind::Deleted;
    }
    if let Some((partition, unique)) = parse_future(name) {
        return DirKind::Future(partition, unique);
    }
    match parse_partition(name) {
        Some(partition) if partition.topic.as_str() != KRAFT_METADATA => DirKind::Log(partition),
        _ => DirKind::Other,
    }
}

fn parse_future(name: &str) -> Option<(TopicPartition, [u8; 16])> {
    let (partition, digits) = name.strip_suffix(FUTURE_SUFFIX)?.rsplit_once('.')?;
    let number = u128::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 32)?;
    Some((parse_partition(partition)?, number.to_be_bytes()))
}

fn parse_partition(name: &str) -> Option<TopicPartition> {
    let (topic, digits) = name.rsplit_once('-')?;
    // Only the spelling that we would write: "topic-01" or "topic-+1" is no partition.
    if digits.is_empty()
        || !digits.bytes().all(|b| b.is_ascii_digit())
        || (digits.len() > 1 && digits.starts_with('0'))
    {
        return None;
    }
    Some(TopicPartition { topic: TopicName::new(topic).ok()?, partition: digits.parse().ok()? })
}

/// The name that a log's directory gets when it is deleted: `<topic>-<partition>.<unique>-delete`, the topic shortened
/// where the name would become too long.
pub(crate) fn deleted_dir(partition: &TopicPartition, unique: [u8; 16]) -> String {
    suffixed_dir(partition, unique, DELETE_SUFFIX)
}

/// The name that a log's directory gets when nobody knows its topic: `<topic>-<partition>.<unique>-stray`.
pub(crate) fn stray_dir(partition: &TopicPartition, unique: [u8; 16]) -> String {
    suffixed_dir(partition, unique, STRAY_SUFFIX)
}

/// The name of a log's directory while it is a copy that is to take the place of another: `<topic>-<partition>.<unique>-future`.
/// `None` if the name would be too long, for it must tell the whole topic.
pub(crate) fn future_dir(partition: &TopicPartition, unique: [u8; 16]) -> Option<String> {
    let name = suffixed_dir(partition, unique, FUTURE_SUFFIX);
    matches!(dir_kind(&name), DirKind::Future(same, _) if same == *partition).then_some(name)
}

fn suffixed_dir(partition: &TopicPartition, unique: [u8; 16], suffix: &str) -> String {
    let unique: String = unique.iter().map(|byte| format!("{byte:02x}")).collect();
    let tail = format!("-{}.{unique}{suffix}", partition.partition);
    let room = MAX_DIR_NAME.saturating_sub(tail.len());
    // Topic names are ASCII, so every cut is one between characters.
    let topic = partition.topic.as_str();
    format!("{}{tail}", topic.get(..room).unwrap_or(topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicName::new(topic).unwrap(), partition }
    }

    #[test]
    fn segment_files_are_named_by_their_first_offset_in_twenty_digits() {
        let path = FileKind::TimeIndex.path(Path::new("/d"), Offset(1_234_567));
        assert_eq!(path, Path::new("/d/00000000000001234567.timeindex"));
        assert_eq!(
            FileKind::parse("00000000000001234567.timeindex"),
            Some((FileKind::TimeIndex, Offset(1_234_567)))
        );
        assert_eq!(FileKind::parse("09223372036854775807.log"), Some((FileKind::Log, Offset(i64::MAX))));
        for name in [
            "1.log",
            "0000000000000123456x.log",
            "99999999999999999999.log",
            "00000000000000000000.log.deleted",
        ] {
            assert_eq!(FileKind::parse(name), None, "{name}");
        }
        assert!(is_leftover("00000000000000000000.log.deleted") && !is_leftover("00000000000000000000.log"));
    }

    #[test]
    fn directories_tell_logs_from_deleted_and_foreign_ones() {
        assert_eq!(dir_kind("a-b-12"), DirKind::Log(partition("a-b", 12)));
        assert_eq!(dir_kind("a.b-0"), DirKind::Log(partition("a.b", 0)));
        assert_eq!(dir_kind(&deleted_dir(&partition("a.b", 0), [7; 16])), DirKind::Deleted);
        for other in
            ["ottla-metadata", "__cluster_metadata-0", "a-01", "a-", "-1", "a-99999999999", "lost+found"]
        {
            assert_eq!(dir_kind(other), DirKind::Other, "{other}");
        }
        assert_eq!(dir_kind(&stray_dir(&partition("a", 0), [7; 16])), DirKind::Other);
    }

    #[test]
    fn a_copy_in_the_making_is_named_as_kafka_names_it() {
        let name = future_dir(&partition("a.b-c", 12), [0xab; 16]).unwrap();
        assert_eq!(name, format!("a.b-c-12.{}-future", "ab".repeat(16)));
        assert_eq!(dir_kind(&name), DirKind::Future(partition("a.b-c", 12), [0xab; 16]));
        for other in ["a-0.1-future", "a-0-future", "a.00-future", &format!("a-x.{}-future", "ab".repeat(16))]
        {
            assert_eq!(dir_kind(other), DirKind::Other, "{other}");
        }
        assert_eq!(future_dir(&partition(&"t".repeat(249), 0), [0; 16]), None);
    }

    #[test]
    fn a_deleted_directory_keeps_within_the_longest_name() {
        let name = deleted_dir(&partition(&"t".repeat(249), 123), [0xab; 16]);
        assert_eq!(name.len(), 255);
        assert!(name.ends_with(&format!("-123.{}-delete", "ab".repeat(16))));
        let short = deleted_dir(&partition("t", 0), [0; 16]);
        assert_eq!(short, format!("t-0.{}-delete", "0".repeat(32)));
    }
}
