//! Making new logs, many at a time: a request may create ten thousand partitions.
//!
//! Making one is a directory and a small file, and no fsync: the first flush of a log makes its names durable, before a
//! record counts on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_types::{DirectoryId, Offset, TopicId, TopicPartition};

use super::{LogDir, LogDirs, Unusable, open};
use crate::log::OpenLog;
use crate::sync::{lock, read, write};
use crate::{Error, Log, LogConfig, Result};

/// How many logs are made at the same time. File systems make the entries of one directory one after another, so more
/// gain nothing; and the tasks between them get their turn.
const AT_A_TIME: usize = 4;

/// How many partitions may wait to be made in a directory of somebody's choice: nobody says of those that never come.
const MOST_PREFERRED: usize = 10_000;

/// A log that there is to be.
#[derive(Debug, Clone)]
pub struct NewLog {
    /// Whose log.
    pub partition: TopicPartition,
    /// The id of its topic.
    pub topic_id: TopicId,
    /// The settings in force.
    pub config: Arc<LogConfig>,
}

impl LogDirs {
    /// Makes the log of a partition, in the directory with the fewest logs; or returns the one that is there.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] for a log of another topic id, [`Error::Unusable`] for one that could not be opened.
    /// [`Error::NoDirOnline`], [`Error::Io`].
    pub async fn create(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        config: Arc<LogConfig>,
        now_ms: i64,
    ) -> Result<Arc<Log>> {
        let new = NewLog { partition: partition.clone(), topic_id, config };
        let made = self.create_all(vec![new], now_ms).await;
        // There is a result, unless the runtime stops.
        made.into_values().next().unwrap_or_else(|| Err(Error::Closed { partition: partition.clone() }))
    }

    /// Makes many logs, as [`Self::create`] makes one. A partition that is named twice gets one log. Those that the end of
    /// the runtime keeps from being made have no result.
    pub async fn create_all(
        &self,
        wanted: Vec<NewLog>,
        now_ms: i64,
    ) -> BTreeMap<TopicPartition, Result<Arc<Log>>> {
        let _changing = self.changing.lock().await;
        let mut results = BTreeMap::new();
        let mut missing = BTreeMap::new();
        for new in wanted {
            match self.existing(&new).await {
                Ok(None) => {
                    missing.insert(new.partition.clone(), new);
                }
                Ok(Some(log)) => {
                    results.insert(new.partition, Ok(log));
                }
                Err(error) => {
                    results.insert(new.partition, Err(error));
                }
            }
        }
        let made = self.make(missing.into_values().collect(), &mut results, now_ms).await;
        let mut logs = write(&self.logs);
        for (partition, made) in made {
            if let Ok(log) = &made {
                log.stir();
                logs.insert(partition.clone(), Arc::clone(log));
            }
            results.insert(partition, made);
        }
        results
    }

    /// Has the log of a partition made in this directory, if it is made before the broker stops (KIP-113). So many wishes are
    /// kept; one more is not.
    pub fn prefer(&self, partition: TopicPartition, directory: DirectoryId) {
        let mut preferred = lock(&self.preferred);
        if preferred.len() < MOST_PREFERRED || preferred.contains_key(&partition) {
            preferred.insert(partition, directory);
        }
    }

    /// The log, if it is there already, with the topic id and the settings that are wanted.
    async fn existing(&self, new: &NewLog) -> Result<Option<Arc<Log>>> {
        if let Some(log) = self.get(&new.partition) {
            log.set_topic_id(new.topic_id).await?;
            log.set_config(Arc::clone(&new.config));
            return Ok(Some(log));
        }
        match lock(&self.failed).get(&new.partition).cloned() {
            Some(Unusable { path, reason, .. }) => {
                Err(Error::Unusable { partition: new.partition.clone(), path, reason })
            }
            None => Ok(None),
        }
    }

    /// Makes logs that are not there. `refused` takes those for which no directory works.
    async fn make(
        &self,
        missing: Vec<NewLog>,
        refused: &mut BTreeMap<TopicPartition, Result<Arc<Log>>>,
        now_ms: i64,
    ) -> Vec<(TopicPartition, Result<Arc<Log>>)> {
        let mut homes = self.homes();
        let mut placed = Vec::with_capacity(missing.len());
        for NewLog { partition, topic_id, config } in missing {
            let online = homes.iter_mut().filter(|(_, home)| home.failure().is_none());
            let preferred = lock(&self.preferred).remove(&partition);
            // That one, or the one with the fewest logs.
            let rank = |home: &LogDir, logs: usize| (preferred != Some(home.id()), logs);
            let Some((logs, home)) = online.min_by_key(|(logs, home)| rank(home, *logs)) else {
                refused.insert(partition, Err(Error::NoDirOnline));
                continue;
            };
            *logs += 1;
            let log = OpenLog {
                dir: home.path().join(partition.to_string()).into(),
                home: Arc::clone(home),
                partition,
                config,
                clean: false,
                // There is no file yet.
                cache: super::PageCache::Fresh,
                recovery_point: Offset(0),
                start_offset: Offset(0),
                now_ms,
            };
            placed.push((log, topic_id));
        }
        open::at_most(AT_A_TIME, placed, |(log, topic_id)| async move {
            let partition = log.partition.clone();
            (partition, log.create(topic_id).await.map(Arc::new))
        })
        .await
    }

    /// The directories, each with the number of its logs.
    fn homes(&self) -> Vec<(usize, Arc<LogDir>)> {
        let logs = read(&self.logs);
        let count = |dir: &Arc<LogDir>| match self.dirs.len() {
            1 => 0,
            _ => logs.values().filter(|log| Arc::ptr_eq(&log.home(), dir)).count(),
        };
        self.dirs.iter().map(|dir| (count(dir), Arc::clone(dir))).collect()
    }
}
