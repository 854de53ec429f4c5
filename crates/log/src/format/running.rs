//! The running mark: a file in each log directory that says in which page cache the process worked there, and for which
//! registration of the broker.
//!
//! When the process dies and the kernel does not, everything that it wrote can still be read, flushed or not. The next
//! start tells that case from a power loss by comparing [`ottla_env::Disk::page_cache_id`] with the one noted here.

use std::collections::BTreeSet;

use ottla_records::crc::crc32c;
use ottla_types::BrokerEpoch;

const PAGE_CACHE: &str = "page.cache";
const BROKER_EPOCH: &str = "broker.epoch";
const UNVERIFIED: &str = "unverified";
const DAMAGED: &str = "damaged";
const CHECKSUM: &str = "crc32c";

/// What the mark says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    /// The page cache in which the process wrote.
    pub(crate) page_cache_id: String,
    /// The last registration whose run wrote here, where it is known that nothing of that run is missing. Marks of earlier
    /// versions have none.
    pub(crate) broker_epoch: Option<BrokerEpoch>,
    /// Names of logs' directories that the process found and could not open: what is in them was never looked through.
    pub(crate) unverified: BTreeSet<String>,
    /// Names of logs' directories in which it found damage, though all writes to them were in the page cache.
    pub(crate) damaged: BTreeSet<String>,
}

impl Running {
    pub(crate) fn encode(&self) -> String {
        let mut text = format!("{PAGE_CACHE}={}\n", self.page_cache_id);
        if let Some(epoch) = self.broker_epoch {
            // Always as long, so that one epoch can be written over another.
            text.push_str(&format!("{BROKER_EPOCH}={:020}\n", epoch.0));
        }
        for (key, names) in [(UNVERIFIED, &self.unverified), (DAMAGED, &self.damaged)] {
            for name in names {
                text.push_str(&format!("{key}={name}\n"));
            }
        }
        let checksum = crc32c(text.as_bytes());
        text.push_str(&format!("{CHECKSUM}={checksum:08x}\n"));
        text
    }

    /// `None` for anything but a whole mark: then nothing is known, and everything is looked through.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        let (content, checksum) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let content_len = content.len() + 1;
        let checksum = checksum.strip_prefix(CHECKSUM)?.strip_prefix('=')?;
        if u32::from_str_radix(checksum, 16).ok()? != crc32c(text.get(..content_len)?.as_bytes()) {
            return None;
        }
        let mut lines = content.lines().filter_map(|line| line.split_once('='));
        let (_, page_cache_id) = lines.next().filter(|(key, _)| *key == PAGE_CACHE)?;
        let mut mark = Self {
            page_cache_id: page_cache_id.to_owned(),
            broker_epoch: None,
            unverified: BTreeSet::new(),
            damaged: BTreeSet::new(),
        };
        for (key, value) in lines {
            match key {
                BROKER_EPOCH => mark.broker_epoch = value.parse().ok().map(BrokerEpoch),
                UNVERIFIED => drop(mark.unverified.insert(value.to_owned())),
                DAMAGED => drop(mark.damaged.insert(value.to_owned())),
                _ => {}
            }
        }
        Some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_whole_or_not_at_all() {
        let mark = Running {
            page_cache_id: "boot=b,device=8:1".to_owned(),
            broker_epoch: Some(BrokerEpoch(17)),
            unverified: ["topic-3".to_owned(), "topic-4".to_owned()].into(),
            damaged: ["topic-5".to_owned()].into(),
        };
        let text = mark.encode();
        assert_eq!(Running::decode(text.as_bytes()), Some(mark));
        for len in 0..text.len() {
            assert_eq!(Running::decode(&text.as_bytes()[..len]), None, "{len}");
            let mut flipped = text.clone().into_bytes();
            flipped[len] ^= 1;
            assert_eq!(Running::decode(&flipped), None, "{len}");
        }
    }
    #[test]
    fn a_mark_of_another_registration_is_as_long_and_one_of_none_is_shorter() {
        let len = |epoch: Option<i64>| {
            let (page_cache_id, broker_epoch) = ("boot=b".to_owned(), epoch.map(BrokerEpoch));
            let mark = Running {
                page_cache_id,
                broker_epoch,
                unverified: BTreeSet::new(),
                damaged: BTreeSet::new(),
            };
            let text = mark.encode();
            assert_eq!(Running::decode(text.as_bytes()), Some(mark));
            text.len()
        };
        assert!([-1, 0, 1_000_000].iter().all(|epoch| len(Some(*epoch)) == len(Some(i64::MAX))));
        assert!(len(None) < len(Some(0)));
    }

    #[test]
    fn a_mark_of_an_earlier_version_knows_no_registration() {
        let content = "page.cache=boot=b,device=8:1\nunverified=topic-3\n";
        let text = format!("{content}crc32c={:08x}\n", crc32c(content.as_bytes()));
        let mark = Running::decode(text.as_bytes()).unwrap();
        assert_eq!(mark.broker_epoch, None);
        assert_eq!(mark.unverified, ["topic-3".to_owned()].into());
        assert_eq!(mark.encode(), text, "and is written as it was");
    }
}
