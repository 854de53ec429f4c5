//! Checkpoint files: a version line, a line with the number of entries, and a line for each entry.
//!
//! Two kinds use the form: offsets by partition (`topic partition offset`) and leader epochs (`epoch offset`). The
//! topic id's file (`partition.metadata`) and the clean-shutdown marker are here too.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ottla_types::{BrokerEpoch, LeaderEpoch, Offset, TopicId, TopicName, TopicPartition};

const VERSION: &str = "0";

/// Offsets of many partitions, in the order of their names.
pub(crate) type Offsets = BTreeMap<TopicPartition, Offset>;

fn encode(count: usize, lines: impl Iterator<Item = String>) -> String {
    let mut text = format!("{VERSION}\n{count}\n");
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// The lines of the entries, once version and count are seen to be right.
fn entry_lines(bytes: &[u8]) -> Result<Vec<&str>, String> {
    let text = str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let mut lines = text.lines();
    // Kafka takes an empty file for an empty checkpoint: a crash of an old version could leave one.
    let Some(version) = lines.next() else { return Ok(Vec::new()) };
    if version.trim() != VERSION {
        return Err(format!("line 1 is \"{version}\", and version {VERSION} was expected"));
    }
    let Some(count) = lines.next() else { return Ok(Vec::new()) };
    let count: usize =
        count.trim().parse().map_err(|_| format!("line 2 is \"{count}\", and a count was expected"))?;
    let entries: Vec<&str> = lines.collect();
    if entries.len() != count {
        return Err(format!("line 2 promises {count} entries, and {} follow", entries.len()));
    }
    Ok(entries)
}

/// The fields of each line, parsed by `parse`; the error names the line.
fn parse_entries<T>(
    bytes: &[u8],
    parse: impl Fn(&[&str]) -> Option<T>,
    form: &str,
) -> Result<Vec<T>, String> {
    let mut entries = Vec::new();
    for (i, line) in entry_lines(bytes)?.into_iter().enumerate() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let entry = parse(&fields)
            .ok_or_else(|| format!("line {} is \"{line}\", and \"{form}\" was expected", i + 3))?;
        entries.push(entry);
    }
    Ok(entries)
}

pub(crate) fn encode_offsets(offsets: &Offsets) -> String {
    encode(
        offsets.len(),
        offsets.iter().map(|(at, offset)| format!("{} {} {offset}", at.topic, at.partition)),
    )
}

pub(crate) fn decode_offsets(bytes: &[u8]) -> Result<Offsets, String> {
    let parse = |fields: &[&str]| {
        let &[topic, partition, offset] = fields else { return None };
        let partition =
            TopicPartition { topic: TopicName::new(topic).ok()?, partition: partition.parse().ok()? };
        Some((partition, Offset(offset.parse().ok()?)))
    };
    Ok(parse_entries(bytes, parse, "topic partition offset")?.into_iter().collect())
}

/// A leadership: its epoch, and the first offset that it wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEntry {
    /// The leader epoch.
    pub epoch: LeaderEpoch,
    /// The end of the log when the epoch began.
    pub start_offset: Offset,
}

pub(crate) fn encode_epochs(entries: &[EpochEntry]) -> String {
    encode(entries.len(), entries.iter().map(|entry| format!("{} {}", entry.epoch, entry.start_offset)))
}

pub(crate) fn decode_epochs(bytes: &[u8]) -> Result<Vec<EpochEntry>, String> {
    let parse = |fields: &[&str]| {
        let &[epoch, offset] = fields else { return None };
        Some(EpochEntry {
            epoch: LeaderEpoch(epoch.parse().ok()?),
            start_offset: Offset(offset.parse().ok()?),
        })
    };
    parse_entries(bytes, parse, "epoch offset")
}

pub(crate) fn encode_partition_metadata(id: TopicId) -> String {
    format!("version: {VERSION}\ntopic_id: {id}")
}

pub(crate) fn decode_partition_metadata(bytes: &[u8]) -> Result<TopicId, String> {
    let text = str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.split_once(':').filter(|(k, _)| k.trim() == key))
            .map(|(_, v)| v.trim())
    };
    // Later versions keep these two lines.
    let version = value("version").ok_or("the line \"version: 0\" is missing")?;
    version.parse::<u32>().map_err(|_| format!("the version is \"{version}\", and a number was expected"))?;
    let id: TopicId = value("topic_id")
        .ok_or("the line \"topic_id\" is missing")?
        .parse()
        .map_err(|e: ottla_types::ids::ParseIdError| e.to_string())?;
    if id.is_zero() { Err("the topic id is zero".to_owned()) } else { Ok(id) }
}

pub(crate) fn encode_clean_shutdown(epoch: BrokerEpoch) -> String {
    let mut text = String::new();
    let _infallible = write!(text, "{{\"version\":0,\"brokerEpoch\":{epoch}}}");
    text
}

/// The broker epoch of a clean-shutdown marker. Brokers before KIP-966 wrote an empty file, which has none.
pub(crate) fn decode_clean_shutdown(bytes: &[u8]) -> Option<BrokerEpoch> {
    let text = str::from_utf8(bytes).ok()?.trim().strip_prefix('{')?.strip_suffix('}')?;
    text.split(',').find_map(|member| {
        let (key, value) = member.split_once(':')?;
        (key.trim() == "\"brokerEpoch\"").then(|| value.trim().parse().ok().map(BrokerEpoch))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_kafkas_lines() {
        let at = |topic: &str, partition| TopicPartition { topic: TopicName::new(topic).unwrap(), partition };
        let offsets = Offsets::from([(at("tp1", 1), Offset(1)), (at("tp1", 2), Offset(2))]);
        assert_eq!(encode_offsets(&offsets), "0\n2\ntp1 1 1\ntp1 2 2\n");
        assert_eq!(decode_offsets(b"0\n2\ntp1 1 1\ntp1 2 2\n"), Ok(offsets));
        assert_eq!(decode_offsets(b""), Ok(Offsets::new()));
    }

    #[test]
    fn epochs_are_kafkas_lines() {
        let entries = [(0, 0), (3, 1500)]
            .map(|(epoch, start)| EpochEntry { epoch: LeaderEpoch(epoch), start_offset: Offset(start) });
        assert_eq!(encode_epochs(&entries), "0\n2\n0 0\n3 1500\n");
        assert_eq!(decode_epochs(b"0\n2\n0 0\n3 1500\n").unwrap(), entries);
    }

    #[test]
    fn a_malformed_line_is_named() {
        for (text, names) in [
            ("1\n0\n", "line 1"),
            ("0\nx\n", "line 2"),
            ("0\n2\na 0 1\n", "2 entries"),
            ("0\n1\na 0\n", "line 3"),
            ("0\n2\na 0 1\na b c\n", "line 4"),
        ] {
            let error = decode_offsets(text.as_bytes()).unwrap_err();
            assert!(error.contains(names), "{text:?}: {error}");
        }
        assert!(decode_offsets(b"\xff").is_err());
    }

    #[test]
    fn the_topic_id_is_in_kafkas_two_lines() {
        let id = TopicId([1; 16]);
        let text = encode_partition_metadata(id);
        assert_eq!(text, "version: 0\ntopic_id: AQEBAQEBAQEBAQEBAQEBAQ");
        assert_eq!(decode_partition_metadata(text.as_bytes()), Ok(id));
        for bad in
            ["", "version: 0", "version: x\ntopic_id: AQEBAQEBAQEBAQEBAQEBAQ", "version: 0\ntopic_id: AAAA"]
        {
            assert!(decode_partition_metadata(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_marker_carries_the_broker_epoch() {
        assert_eq!(encode_clean_shutdown(BrokerEpoch(42)), r#"{"version":0,"brokerEpoch":42}"#);
        assert_eq!(decode_clean_shutdown(br#"{"version":0,"brokerEpoch":42}"#), Some(BrokerEpoch(42)));
        assert_eq!(decode_clean_shutdown(br#"{ "brokerEpoch" : -1, "other": 7 }"#), Some(BrokerEpoch(-1)));
        assert_eq!(decode_clean_shutdown(b""), None);
    }
}
