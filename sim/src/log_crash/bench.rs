//! A broker's logs on a simulated disk, the operations on them, and the model that follows along.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ottla_log::{Error, Log, LogDirs};
use ottla_types::{LeaderEpoch, Offset, TopicId, TopicPartition};

use super::batches::{self, NewBatch};
use super::layout::{BROKER_EPOCH, Layout};
use super::model::{LogModel, Model};
use super::sight::Sight;
use super::verify;
use crate::disk::{Crash, Faults, SimDisk};
use crate::invariants::{Violation, failed_fsync_ends_acknowledgement as failed_fsync};
use crate::rng::SimRng;

/// The logs, and what they must hold.
pub(super) struct Bench {
    pub(super) disk: SimDisk,
    pub(super) layout: Layout,
    dirs: Option<LogDirs>,
    pub(super) model: Model,
    pub(super) now_ms: i64,
    pub(super) rng: SimRng,
    topics: u8,
    /// The disk may fail from now on.
    faulty: bool,
    /// The first failure of a flush in each log directory since it was opened.
    failed: BTreeMap<PathBuf, String>,
    /// Batches whose append failed beside others.
    pub(super) unplaced: Vec<NewBatch>,
}

/// What an operation came to.
pub(super) enum Outcome {
    /// The model says what is there now.
    Done,
    /// As [`Self::Done`], and on the way there, after so many changes of the disk, more was promised each time.
    Stages(Vec<(u64, Model)>),
    /// The disk failed in the middle: what is there is something between the model and this one.
    Between(Model),
}

type Result<T, E = Violation> = std::result::Result<T, E>;

fn wrong(what: String) -> Violation {
    Violation::new("log_does_what_it_says", what)
}

impl Bench {
    pub(super) fn new(disk: SimDisk, layout: Layout, rng: SimRng, now_ms: i64) -> Self {
        Self {
            disk,
            layout,
            dirs: None,
            model: Model::default(),
            now_ms,
            rng,
            topics: 0,
            faulty: false,
            failed: BTreeMap::new(),
            unplaced: Vec::new(),
        }
    }

    /// Opens the logs after a stop or a crash, and checks what is there.
    pub(super) async fn open(&mut self, before: &Model, after: &Model, crash: Crash) -> Result<()> {
        self.failed.clear();
        let unreadable =
            |what| Violation::new("fsynced_prefix_survives", format!("a log cannot be used: {what}"));
        let dirs = self.layout.open(&self.disk, self.now_ms).await.map_err(unreadable)?;
        let seen = Sight::of(&dirs).await.map_err(unreadable)?;
        self.model = verify::survivors(before, after, crash, &seen)?;
        self.dirs = Some(dirs);
        Ok(())
    }

    /// Makes the logs that the metadata has and the disk lost, as a broker does after its start.
    pub(super) async fn create_missing(&mut self, wanted: &Model) -> Result<()> {
        for (partition, log) in &wanted.logs {
            let made = self
                .dirs()?
                .create(partition, log.topic_id, Arc::clone(&self.layout.config), self.now_ms)
                .await;
            made.map_err(|e| wrong(format!("a log that was lost cannot be made again: {e}")))?;
            let epoch = log.epoch;
            self.model.logs.entry(partition.clone()).or_insert_with(|| LogModel::new(log.topic_id)).epoch =
                epoch;
        }
        Ok(())
    }

    pub(super) fn dirs(&self) -> Result<&LogDirs> {
        self.dirs.as_ref().ok_or_else(|| wrong("the logs are not open".to_owned()))
    }

    /// The process or the machine ends; the disk is as the next one finds it.
    pub(super) fn crash(&mut self, crash: Crash) {
        let seed = self.rng.next_u64();
        self.disk = self.disk.restart(crash, seed);
        self.dirs = None;
        self.faulty = false;
    }

    pub(super) fn begin_faults(&mut self, faults: Faults) {
        self.faulty = true;
        self.model.cache_is_suspect |= faults.sync_errors_per_mille > 0;
        self.disk.set_faults(faults);
    }

    pub(super) fn is_faulty(&self) -> bool {
        self.faulty
    }

    /// The logs that are there.
    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        self.model.logs.keys().cloned().collect()
    }

    pub(super) fn log(&self, partition: &TopicPartition) -> Result<Arc<Log>> {
        self.dirs()?.get(partition).ok_or_else(|| wrong(format!("{partition} is not there")))
    }

    pub(super) fn log_model(&mut self, partition: &TopicPartition) -> Result<&mut LogModel> {
        self.model.logs.get_mut(partition).ok_or_else(|| wrong(format!("{partition} is not in the model")))
    }

    pub(super) fn expected(&self, what: &str, error: &Error) -> Result<()> {
        if self.faulty { Ok(()) } else { Err(wrong(format!("{what} failed on a disk that works: {error}"))) }
    }

    pub(super) fn failure_of(&self, log: &Log) -> Option<&str> {
        self.failed.get(&log.log_dir()).map(String::as_str)
    }

    pub(super) fn note_failure(&mut self, log: &Log, error: &Error) {
        self.model.cache_is_suspect = true;
        self.failed.entry(log.log_dir()).or_insert_with(|| error.to_string());
    }

    /// Notes which directories have failed: of a move it may be either.
    pub(super) async fn note_failures(&mut self) -> Result<()> {
        self.model.cache_is_suspect = true;
        for dir in self.dirs()?.dirs().await {
            if let Some(reason) = dir.failure {
                self.failed.entry(dir.path).or_insert_with(|| reason.to_string());
            }
        }
        Ok(())
    }

    pub(super) async fn create(&mut self, partition: &TopicPartition) -> Result<Outcome> {
        self.topics += 1;
        let topic_id = TopicId([self.topics; 16]);
        let mut after = self.model.clone();
        after.logs.insert(partition.clone(), LogModel::new(topic_id));
        let config = Arc::clone(&self.layout.config);
        match self.dirs()?.create(partition, topic_id, config, self.now_ms).await {
            Ok(_) => self.model = after,
            Err(error) => {
                self.expected("creating a log", &error)?;
                return Ok(Outcome::Between(after));
            }
        }
        Ok(Outcome::Done)
    }

    pub(super) async fn delete(&mut self, partition: &TopicPartition) -> Result<Outcome> {
        let mut after = self.model.clone();
        after.logs.remove(partition);
        match self.dirs()?.delete(partition, self.now_ms).await {
            Ok(()) => self.model = after,
            Err(error) => {
                self.expected("deleting a log", &error)?;
                return Ok(Outcome::Between(after));
            }
        }
        Ok(Outcome::Done)
    }

    pub(super) async fn append(&mut self, partition: &TopicPartition) -> Result<Outcome> {
        let log = self.log(partition)?;
        let batch = batches::draw(&log, self.now_ms, &mut self.rng);
        let now_ms = self.now_ms;
        let failed = self.failure_of(&log).map(str::to_owned);
        let model = self.log_model(partition)?;
        let written = batch.at(model.end, model.epoch);
        match log.append(batch.prepared(), model.epoch, now_ms).await {
            Ok(appended) if appended.base_offset.0 == model.end && !appended.duplicate => {
                failed_fsync::check(failed.as_deref(), "an append")?;
                model.push(written);
                if appended.flush_due {
                    return self.flush_to(partition, appended.end_offset()).await;
                }
            }
            Ok(appended) => {
                let what =
                    format!("a new batch at the end of {partition}, offset {}, got {appended:?}", model.end);
                return Err(wrong(what));
            }
            Err(error) => {
                model.doubtful.push(Arc::new(written));
                self.expected("an append", &error)?;
            }
        }
        Ok(Outcome::Done)
    }

    /// Sends the last batch of a producer once more.
    pub(super) async fn repeat(&mut self, partition: &TopicPartition) -> Result<Outcome> {
        let log = self.log(partition)?;
        let now_ms = self.now_ms;
        let model = self.log_model(partition)?;
        let known = log.producers();
        let last_of_each = model.last_of_each(model.end);
        let mut candidates = last_of_each.values().filter(|batch| {
            batch.last >= model.start.max(model.forgotten_below)
                && known.iter().any(|known| Some(known.producer_id) == batch.producer.map(|(id, ..)| id))
        });
        let Some(batch) = candidates.next_back() else { return Ok(Outcome::Done) };
        let Ok(prepared) = ottla_records::Prepared::own(batch.bytes.clone(), 1 << 20) else {
            return Ok(Outcome::Done);
        };
        match log.append(prepared, model.epoch, now_ms).await {
            Ok(appended) if appended.duplicate && appended.base_offset.0 == batch.base => Ok(Outcome::Done),
            Ok(appended) => Err(Violation::new(
                "producers_follow_the_records",
                format!("the batch at offset {} was sent again and got {appended:?}", batch.base),
            )),
            Err(error) => self.expected("a duplicate", &error).map(|()| Outcome::Done),
        }
    }

    pub(super) async fn flush(&mut self, partition: &TopicPartition) -> Result<Outcome> {
        let end = self.log(partition)?.end_offset();
        self.flush_to(partition, end).await
    }

    pub(super) async fn flush_to(&mut self, partition: &TopicPartition, offset: Offset) -> Result<Outcome> {
        let log = self.log(partition)?;
        let failed = self.failure_of(&log).map(str::to_owned);
        let before = self.log_model(partition)?.flushed;
        match log.flush_to(offset).await {
            Ok(flushed) => {
                let model = self.log_model(partition)?;
                if flushed.0 > model.end || flushed < offset {
                    let (end, wanted) = (model.end, offset);
                    let what = format!("{partition}: a flush up to {wanted} of {end} says {flushed}");
                    return Err(wrong(what));
                }
                model.flushed = model.flushed.max(flushed.0);
                if flushed.0 > before {
                    failed_fsync::check(failed.as_deref(), &format!("{partition} up to offset {flushed}"))?;
                }
            }
            Err(error) => {
                self.expected("a flush", &error)?;
                self.note_failure(&log, &error);
                let flushed = log.flushed_offset().0;
                if flushed > before {
                    let claim = format!("{partition} up to offset {flushed}");
                    failed_fsync::check(Some(&error.to_string()), &claim)?;
                }
            }
        }
        Ok(Outcome::Done)
    }

    pub(super) async fn truncate(&mut self, partition: &TopicPartition) -> Result<Outcome> {
        let model = self.log_model(partition)?;
        let range = (model.start - 2).max(0)..model.end + 1;
        let to = self.rng.between(range);
        self.truncate_at(partition, to).await
    }

    pub(super) async fn truncate_at(&mut self, partition: &TopicPartition, to: i64) -> Result<Outcome> {
        let log = self.log(partition)?;
        let mut after = self.model.clone();
        let Some(model) = after.logs.get_mut(partition) else { return Ok(Outcome::Done) };
        model.truncate(to);
        // What comes next is written by another leader.
        let next_epoch = LeaderEpoch(model.epoch.0 + 1);
        let end = model.end;
        match log.truncate_to(Offset(to), self.now_ms).await {
            Ok(seen) if seen.0 == end => {
                model.epoch = next_epoch;
                self.model = after;
                Ok(Outcome::Done)
            }
            Ok(seen) => Err(wrong(format!("a truncation to {to} left the end at {seen}, not at {end}"))),
            Err(error) => {
                self.expected("a truncation", &error)?;
                self.note_failure(&log, &error);
                Ok(Outcome::Between(after))
            }
        }
    }

    pub(super) async fn advance_start(&mut self, partition: &TopicPartition) -> Result<Outcome> {
        let log = self.log(partition)?;
        let mut after = self.model.clone();
        let Some(model) = after.logs.get_mut(partition) else { return Ok(Outcome::Done) };
        let to = self.rng.between(model.start..model.end + 1);
        (model.start, model.durable_start) = (to, to);
        match log.advance_start(Offset(to), self.now_ms).await {
            Ok(seen) if seen.0 == to => {
                self.model = after;
                Ok(Outcome::Done)
            }
            Ok(seen) => Err(wrong(format!("the start was to be {to} and is {seen}"))),
            Err(error) => {
                self.expected("deleting records", &error)?;
                Ok(Outcome::Between(after))
            }
        }
    }

    pub(super) async fn apply_retention(&mut self, partition: &TopicPartition) -> Result<Outcome> {
        let log = self.log(partition)?;
        let result = log.apply_retention(log.end_offset(), self.now_ms).await;
        let start = log.start_offset().0;
        let mut after = self.model.clone();
        let Some(model) = after.logs.get_mut(partition) else { return Ok(Outcome::Done) };
        if !(model.start..=model.end).contains(&start) {
            let what = format!(
                "retention moved the start from {} to {start}, the end is {}",
                model.start, model.end
            );
            return Err(wrong(what));
        }
        model.start = start;
        if let Err(error) = result {
            self.expected("retention", &error)?;
            return Ok(Outcome::Between(after));
        }
        self.model = after;
        Ok(Outcome::Done)
    }

    pub(super) async fn begin_epoch(&mut self, partition: &TopicPartition) -> Result<Outcome> {
        let announced = self.rng.one_in(2);
        let log = self.log(partition)?;
        let model = self.log_model(partition)?;
        model.epoch = LeaderEpoch(model.epoch.0 + 1);
        if announced {
            log.begin_epoch(model.epoch).await;
        }
        Ok(Outcome::Done)
    }

    pub(super) async fn write_checkpoints(&mut self) -> Result<Outcome> {
        let mut after = self.model.clone();
        after.logs.values_mut().for_each(|log| log.durable_start = log.start);
        match self.dirs()?.write_checkpoints().await {
            Ok(()) => self.model = after,
            Err(error) => {
                self.expected("writing checkpoints", &error)?;
                return Ok(Outcome::Between(after));
            }
        }
        Ok(Outcome::Done)
    }

    pub(super) async fn remove_deleted(&mut self) -> Result<Outcome> {
        self.now_ms += 120_000;
        if let Err(error) = self.dirs()?.remove_deleted(self.now_ms).await {
            self.expected("removing deleted logs", &error)?;
        }
        Ok(Outcome::Done)
    }

    /// Time passes: producers expire, and `flush.ms` is over.
    pub(super) async fn tend(&mut self) -> Result<Outcome> {
        self.now_ms += [100, 2_000, 100_000][self.rng.index(3)];
        self.dirs()?.tend(self.now_ms).await;
        for partition in self.partitions() {
            let log = self.log(&partition)?;
            let failed = self.failure_of(&log).map(str::to_owned);
            let flushed = log.flushed_offset().0;
            let faulty = self.faulty;
            let model = self.log_model(&partition)?;
            model.forgotten_below = model.end;
            if flushed > model.flushed {
                model.flushed = flushed;
                failed_fsync::check(failed.as_deref(), &format!("{partition} up to offset {flushed}"))?;
            } else if faulty {
                // Whether a flush was tried and failed is not told.
                self.model.cache_is_suspect = true;
            }
        }
        Ok(Outcome::Done)
    }

    pub(super) async fn close(&mut self) -> Result<Outcome> {
        let mut after = self.model.clone();
        for log in after.logs.values_mut() {
            (log.flushed, log.durable_start) = (log.end, log.start);
        }
        match self.dirs()?.close(BROKER_EPOCH).await {
            Ok(()) if !self.failed.is_empty() => {
                let failure = self.failed.values().next().map(String::as_str);
                failed_fsync::check(failure, "a clean stop")?;
            }
            Ok(()) => self.model = after,
            Err(error) => {
                self.expected("closing", &error)?;
                self.model.cache_is_suspect = true;
                return Ok(Outcome::Between(after));
            }
        }
        Ok(Outcome::Done)
    }

    /// Ends the process after a stop in order.
    pub(super) fn drop_dirs(&mut self) {
        self.dirs = None;
    }

    /// What is there while the logs are open is what the model says.
    pub(super) async fn look(&self) -> Result<()> {
        let seen = Sight::of(self.dirs()?).await.map_err(wrong)?;
        let exact = Model { cache_is_suspect: false, ..self.model.clone() };
        let seen = Sight { clean: None, ..seen };
        let left = verify::survivors(&exact, &exact, Crash::Kill, &seen)?;
        for (partition, log) in &self.model.logs {
            let start = left.logs.get(partition).map(|log| log.start);
            if start != Some(log.start) {
                return Err(wrong(format!("{partition} starts at {start:?}, not at {}", log.start)));
            }
        }
        Ok(())
    }
}
