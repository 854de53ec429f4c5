//! All logs of a broker as they are seen at one moment, and how two such sights differ.

use std::collections::BTreeMap;

use ottla_log::LogDirs;
use ottla_types::{BrokerEpoch, ProducerId, TopicPartition};

use super::model::Observed;

/// All logs, read whole.
#[derive(Debug, Clone)]
pub struct Sight {
    /// By partition.
    pub logs: BTreeMap<TopicPartition, Observed>,
    /// What the marker of a clean stop said.
    pub clean: Option<BrokerEpoch>,
}

/// How two logs differ, in words.
#[derive(Debug, Clone)]
pub struct Differ(String);

impl Differ {
    /// Says it.
    #[must_use]
    pub fn between(first: &Observed, second: &Observed) -> Self {
        Self(format!("first it is {}, then {}", first.in_short(), second.in_short()))
    }
}

impl Observed {
    fn in_short(&self) -> String {
        let Self { topic_id, start, end, batches, latest_epoch, producers, .. } = self;
        let id = topic_id.map_or_else(|| "no topic id".to_owned(), |id| id.to_string());
        let epochs: Vec<i32> = batches.iter().map(|(_, epoch)| epoch.map_or(-1, |epoch| epoch.0)).collect();
        format!(
            "{start}..{end} in {} batches ({id}, epochs {epochs:?} {latest_epoch:?}, producers {producers:?})",
            batches.len()
        )
    }

    /// Whether there is a batch of the producer.
    #[must_use]
    pub fn wrote(&self, id: ProducerId) -> bool {
        let header = |bytes| ottla_records::BatchHeader::parse(bytes).ok();
        self.batches.iter().filter_map(|(bytes, _)| header(bytes)).any(|header| header.producer_id == id)
    }
}

impl Sight {
    /// Reads all logs.
    ///
    /// # Errors
    /// What could not be read, and why.
    pub async fn of(dirs: &LogDirs) -> Result<Self, String> {
        let mut logs = BTreeMap::new();
        for log in dirs.list() {
            let seen = Observed::of(&log).await.map_err(|e| format!("{}: {e}", log.partition()))?;
            logs.insert(log.partition().clone(), seen);
        }
        Ok(Self { logs, clean: dirs.clean_broker_epoch() })
    }

    /// The first difference, by a comparison of two logs.
    #[must_use]
    pub fn differs_from(
        &self,
        other: &Self,
        compare: impl Fn(&Observed, &Observed) -> Option<Differ>,
    ) -> Option<String> {
        if !self.logs.keys().eq(other.logs.keys()) {
            let names = |sight: &Self| sight.logs.keys().map(ToString::to_string).collect::<Vec<_>>();
            return Some(format!("first there are {:?}, then {:?}", names(self), names(other)));
        }
        self.logs.iter().zip(other.logs.values()).find_map(|((partition, first), second)| {
            compare(first, second).map(|Differ(words)| format!("{partition}: {words}"))
        })
    }
}
