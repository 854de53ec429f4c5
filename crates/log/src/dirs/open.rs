//! Opening the log directories and the logs that are found in them.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use ottla_env::{Disk, Env, process};
use ottla_types::{DirectoryId, TopicId, TopicPartition};
use tokio::task::JoinSet;

use super::dir::{Claimed, LogDir, Owner};
use super::futures::FoundFuture;
use super::running::{Ended, PageCache, previous_run};
use super::{DEFAULT_TAIL_CACHE_BYTES, LogDirs, LogDirsConfig, Unusable};
use crate::cache::Budget;
use crate::format::names::{self, DirKind};
use crate::log::OpenLog;
use crate::stats::Stats;
use crate::sync::lock;
use crate::{Error, Log, LogConfig, Result};

/// A log that is there and cannot be used.
#[derive(Debug)]
pub struct FailedLog {
    /// Whose log.
    pub partition: TopicPartition,
    /// Its directory.
    pub path: PathBuf,
    /// Why.
    pub error: Error,
    /// All that was ever written to it was in the page cache.
    pub(crate) cache_survived: bool,
}

/// The directories, and what in them could not be opened.
pub struct OpenedDirs {
    /// What works.
    pub dirs: LogDirs,
    /// Directories that cannot be used; they take no part.
    pub failed_dirs: Vec<(PathBuf, Error)>,
    /// Logs that cannot be used; the others do.
    pub failed_logs: Vec<FailedLog>,
}

impl LogDirs {
    /// Locks and opens the directories and all logs in them. After a stop in order nothing is read but file ends; after
    /// another one the logs are recovered from their recovery points on.
    ///
    /// # Errors
    /// [`Error::DirInUse`], [`Error::ForeignDir`], [`Error::DuplicateLog`]: the operator must decide. Other errors only
    /// if they leave no directory at all.
    pub async fn open(
        env: &Env,
        config: &LogDirsConfig,
        config_of: impl Fn(&TopicPartition) -> Arc<LogConfig>,
        now_ms: i64,
    ) -> Result<OpenedDirs> {
        let mut failed_dirs = Vec::new();
        let claimed = claim_all(&*env.disk, &config.dirs, &mut failed_dirs).await?;
        let cluster_id = cluster_id(env, config, &claimed);
        let cache = Budget::new(DEFAULT_TAIL_CACHE_BYTES);
        let stats = Stats::new(Arc::clone(&env.clock));
        let opened = Arc::default();
        let went_offline = Arc::default();
        let owner = Owner {
            cluster_id,
            node_id: config.node_id,
            cache,
            opened,
            stats: Arc::clone(&stats),
            went_offline: Arc::clone(&went_offline),
        };
        let mut dirs = Vec::new();
        for claim in claimed {
            let fresh_id = DirectoryId::from_random(env.rng.id_bytes());
            dirs.push(Arc::new(claim.own(&env.disk, &owner, fresh_id).await?));
        }

        LogDir::introduce(&dirs);
        let mut found = Found::default();
        for dir in &dirs {
            found.look_into(dir, &config_of, now_ms).await?;
        }
        let copies = found.settle_futures(failed_dirs.is_empty()).await?;
        let previous_run = previous_run(&found.ended, failed_dirs.is_empty());
        let (logs, failed_logs) = open_all(found.logs, config.opened_at_a_time.max(1), &stats).await;
        let (futures, failed_copies) = open_all(copies, config.opened_at_a_time.max(1), &stats).await;
        // What was copied of a log is copied again.
        found.deleted.extend(failed_copies.into_iter().map(|copy| copy.path));
        for log in logs.values().chain(futures.values()) {
            // What a power loss took off the end is not committed here any more: others may take its place.
            log.home().high_watermarks().lower(log.partition(), log.end_offset());
        }
        for dir in &dirs {
            let failed =
                |partition: &TopicPartition| failed_logs.iter().any(|failed| failed.partition == *partition);
            let is_here = |log: &Arc<Log>| Arc::ptr_eq(&log.home(), dir);
            let here = |partition: &TopicPartition| {
                logs.get(partition).is_some_and(is_here) || futures.get(partition).is_some_and(is_here)
            };
            dir.retain(|partition| here(partition) || failed(partition)).await;
            let failed = failed_logs.iter().filter(|log| log.path.parent() == Some(dir.path()));
            dir.begin_running(&failed.collect::<Vec<_>>(), previous_run.whole()).await;
        }
        let failed = failed_logs
            .iter()
            .filter_map(|log| Some((log.partition.clone(), unusable(log, &dirs)?)))
            .collect();
        let dirs = LogDirs {
            disk: Arc::clone(&env.disk),
            rng: Arc::clone(&env.rng),
            cluster_id: owner.cluster_id,
            stats,
            previous_run,
            dirs,
            went_offline,
            logs: RwLock::new(logs),
            futures: RwLock::new(futures),
            preferred: Mutex::default(),
            failed: Mutex::new(failed),
            is_whole: failed_dirs.is_empty(),
            deleted: Mutex::new(found.deleted.into_iter().map(|path| (now_ms, path)).collect()),
            all_tended_at_ms: AtomicI64::new(i64::MIN),
            changing: tokio::sync::Mutex::new(()),
        };
        Ok(OpenedDirs { dirs, failed_dirs, failed_logs })
    }
}

fn unusable(log: &FailedLog, dirs: &[Arc<LogDir>]) -> Option<Unusable> {
    let home = dirs.iter().find(|dir| log.path.parent() == Some(dir.path()))?;
    Some(Unusable { home: Arc::clone(home), path: log.path.clone(), reason: log.error.to_string().into() })
}

/// Locks the directories. One that is another's is an error; one that does not work is left out, if others do.
async fn claim_all(
    disk: &dyn Disk,
    paths: &[PathBuf],
    failed: &mut Vec<(PathBuf, Error)>,
) -> Result<Vec<Claimed>> {
    let mut claimed = Vec::new();
    for path in paths {
        match Claimed::claim(disk, path).await {
            Ok(claim) => claimed.push(claim),
            Err(error @ Error::DirInUse { .. }) => return Err(error),
            Err(error) => {
                tracing::error!("the log directory {} cannot be used: {error}", path.display());
                failed.push((path.clone(), error));
            }
        }
    }
    match failed.pop() {
        Some((_, error)) if claimed.is_empty() => Err(error),
        Some(last) => {
            failed.push(last);
            Ok(claimed)
        }
        None if claimed.is_empty() => Err(Error::NoDirOnline),
        None => Ok(claimed),
    }
}

fn cluster_id(env: &Env, config: &LogDirsConfig, claimed: &[Claimed]) -> String {
    let found = claimed.iter().find_map(|claim| claim.meta.as_ref()).map(|meta| meta.cluster_id.clone());
    // Kafka's cluster ids are random UUIDs in base64, as topic ids are.
    let fresh = || TopicId::from_random(env.rng.id_bytes()).to_string();
    config.cluster_id.clone().or(found).unwrap_or_else(fresh)
}

/// What the directories hold.
#[derive(Default)]
pub(super) struct Found {
    pub(super) logs: Vec<OpenLog>,
    pub(super) futures: Vec<FoundFuture>,
    pub(super) deleted: Vec<PathBuf>,
    /// What each directory says of the run before.
    ended: Vec<Option<Ended>>,
    pub(super) places: BTreeMap<TopicPartition, PathBuf>,
}

impl Found {
    async fn look_into(
        &mut self,
        home: &Arc<LogDir>,
        config_of: &impl Fn(&TopicPartition) -> Arc<LogConfig>,
        now_ms: i64,
    ) -> Result<()> {
        let before = home.before().await?;
        let clean_epoch = home.take_clean_marker().await?;
        if clean_epoch.is_none() && before.cache == PageCache::Survived {
            tracing::info!(
                "{}: the process before was killed, and what it wrote is in the page cache: only the ends of the logs are read",
                home.path().display()
            );
        }
        let clean = clean_epoch.map(|epoch| Ended { epoch, clean: true });
        self.ended.push(clean.or_else(|| before.whole.map(|epoch| Ended { epoch, clean: false })));
        let open = |partition: TopicPartition, path: PathBuf, name: &str| {
            let is_sound = !before.unverified.contains(name) && !before.damaged.contains(name);
            OpenLog {
                config: config_of(&partition),
                dir: path.into(),
                home: Arc::clone(home),
                clean: is_sound && clean_epoch.is_some(),
                cache: before.cache_of(name),
                recovery_point: home.recovery_point(&partition),
                start_offset: home.start_offset(&partition),
                now_ms,
                partition,
            }
        };
        for entry in home.disk().list(home.path()).await?.into_iter().filter(|entry| entry.is_dir) {
            let path = home.path().join(&entry.name);
            match names::dir_kind(&entry.name) {
                DirKind::Deleted => self.deleted.push(path),
                DirKind::Other => {}
                DirKind::Log(partition) => {
                    self.note_place(&partition, &path)?;
                    self.logs.push(open(partition, path, &entry.name));
                }
                DirKind::Future(partition, unique) => {
                    let log = open(partition, path, &entry.name);
                    self.futures.push(FoundFuture { log, unique });
                }
            }
        }
        Ok(())
    }

    fn note_place(&mut self, partition: &TopicPartition, path: &Path) -> Result<()> {
        match self.places.insert(partition.clone(), path.to_owned()) {
            None => Ok(()),
            Some(first) => {
                Err(Error::DuplicateLog { partition: partition.clone(), first, second: path.to_owned() })
            }
        }
    }
}

/// How far a recovery has come, for the log.
struct Progress {
    total: usize,
    done: AtomicUsize,
    size_bytes: AtomicU64,
    /// When the last line was written, or the recovery began, on the monotonic clock.
    told: Mutex<Duration>,
}

/// How long a recovery goes on between two lines that tell of it.
const TOLD_EVERY: Duration = Duration::from_secs(5);

impl Progress {
    /// Counts the logs, those that were not closed in order.
    fn of(logs: &[OpenLog], now: Duration) -> Self {
        let total = logs.iter().filter(|log| !log.clean).count();
        Self { total, done: AtomicUsize::new(0), size_bytes: AtomicU64::new(0), told: Mutex::new(now) }
    }

    /// Another one is recovered. Tells of the last, and now and then of one before.
    fn note(&self, size_bytes: u64, now: Duration) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.size_bytes.fetch_add(size_bytes, Ordering::Relaxed) + size_bytes;
        if done == self.total || self.is_time_to_tell(now) {
            tracing::info!("recovered {done} of {} logs, {bytes} bytes in them", self.total);
        }
    }

    fn is_time_to_tell(&self, now: Duration) -> bool {
        let mut told = lock(&self.told);
        let is_time = now.saturating_sub(*told) >= TOLD_EVERY;
        if is_time {
            *told = now;
        }
        is_time
    }
}

async fn open_one(log: OpenLog, progress: &Progress, stats: &Stats) -> Result<Log, FailedLog> {
    let (partition, path) = (log.partition.clone(), log.dir.to_path_buf());
    let (clean, cache_survived) = (log.clean, log.cache == PageCache::Survived && !log.clean);
    let opened = log.open().await;
    if !clean {
        progress.note(opened.as_ref().map_or(0, Log::size_bytes), stats.now());
    }
    opened.map_err(|error| FailedLog { partition, path, error, cache_survived })
}

/// Opens the logs, so many at a time in each directory: each is a disk of its own, and a slow one holds up no other.
async fn open_all(
    logs: Vec<OpenLog>,
    at_a_time: usize,
    stats: &Arc<Stats>,
) -> (BTreeMap<TopicPartition, Arc<Log>>, Vec<FailedLog>) {
    let began = stats.now();
    let progress = Arc::new(Progress::of(&logs, began));
    let mut by_dir: BTreeMap<PathBuf, Vec<OpenLog>> = BTreeMap::new();
    for log in logs {
        by_dir.entry(log.home.path().to_owned()).or_default().push(log);
    }
    let opened = at_most(by_dir.len(), by_dir.into_values().collect(), |logs| {
        let (progress, stats) = (Arc::clone(&progress), Arc::clone(stats));
        at_most(at_a_time, logs, move |log| {
            let (progress, stats) = (Arc::clone(&progress), Arc::clone(&stats));
            async move { open_one(log, &progress, &stats).await }
        })
    });
    let (mut logs, mut failed) = (BTreeMap::new(), Vec::new());
    for result in opened.await.into_iter().flatten() {
        match result {
            Ok(log) => {
                logs.insert(log.partition().clone(), Arc::new(log));
            }
            Err(log) => {
                tracing::error!("{} cannot be opened: {}", log.partition, log.error);
                failed.push(log);
            }
        }
    }
    let recovered = progress.done.load(Ordering::Relaxed);
    stats.note_recovery(began, recovered, progress.size_bytes.load(Ordering::Relaxed));
    failed.sort_by(|a, b| a.partition.cmp(&b.partition));
    (logs, failed)
}

/// Runs `work` on all items, so many at a time. The results come in no order. A panic goes on in the caller; of work that
/// was stopped with the runtime there is no result.
pub(super) async fn at_most<T, R, F>(limit: usize, items: Vec<T>, work: impl Fn(T) -> F) -> Vec<R>
where
    F: Future<Output = R> + Send + 'static,
    R: Send + 'static,
{
    let mut results = Vec::with_capacity(items.len());
    let mut running = JoinSet::new();
    let mut items = items.into_iter();
    loop {
        while running.len() < limit
            && let Some(item) = items.next()
        {
            process::spawn_in(&mut running, work(item));
        }
        match running.join_next().await {
            None => return results,
            Some(Ok(result)) => results.push(result),
            Some(Err(stopped)) => {
                if let Ok(panic) = stopped.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_is_told_of_every_few_seconds() {
        let begin = Duration::from_secs(1_000);
        let progress = Progress::of(&[], begin);
        let seconds = |seconds| begin + Duration::from_secs(seconds);
        let told: Vec<u64> = (0..18).filter(|&second| progress.is_time_to_tell(seconds(second))).collect();
        assert_eq!(told, [5, 10, 15]);
    }
}
