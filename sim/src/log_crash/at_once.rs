//! Several clients that append at the same time and wait for the flush that they share, on a disk that takes its time.

use std::time::Duration;

use ottla_log::{Appended, Log, Result};
use ottla_types::{LeaderEpoch, Offset, TopicPartition};
use std::sync::Arc;
use tokio::task::JoinSet;

use super::batches::{self, NewBatch};
use super::bench::{Bench, Outcome};
use crate::disk::SimDisk;
use crate::invariants::{Violation, failed_fsync_ends_acknowledgement as failed_fsync};

/// How long each call of the disk takes meanwhile, at most.
const SLOW: Duration = Duration::from_millis(10);

/// What became of one client's batch, with the changes of the disk until it was told.
struct Client {
    batch: NewBatch,
    appended: (u64, Result<Appended>),
    /// `None`: there was nothing to wait for.
    flushed: Option<(u64, Result<Offset>)>,
}

impl Client {
    async fn run(disk: SimDisk, log: Arc<Log>, batch: NewBatch, epoch: LeaderEpoch, now_ms: i64) -> Self {
        let result = log.append(batch.prepared(), epoch, now_ms).await;
        let appended = (disk.mutations(), result);
        let flushed = match &appended.1 {
            Ok(appended) => {
                let result = log.flushed_to(appended.end_offset()).await;
                Some((disk.mutations(), result))
            }
            Err(_) => None,
        };
        Self { batch, appended, flushed }
    }
}

/// Something that a client was told.
enum Told {
    Appended(NewBatch),
    Flushed(Offset),
}

impl Bench {
    /// Appends at once, and returns what was promised when.
    pub(super) async fn append_at_once(&mut self, partition: &TopicPartition) -> Result<Outcome, Violation> {
        let log = self.log(partition)?;
        let failed = self.failure_of(&log).map(str::to_owned);
        let (epoch, flushed_before) = {
            let model = self.log_model(partition)?;
            (model.epoch, model.flushed)
        };
        self.disk.set_latency(Some(Duration::ZERO..SLOW));
        let mut clients = JoinSet::new();
        for _ in 0..2 + self.rng.below(4) {
            let batch = batches::plain(self.now_ms, &mut self.rng);
            clients.spawn(Client::run(self.disk.clone(), Arc::clone(&log), batch, epoch, self.now_ms));
        }
        let mut told = Vec::new();
        while let Some(client) = clients.join_next().await {
            let Ok(client) = client else {
                return Err(Violation::new("log_does_what_it_says", "a client panicked".to_owned()));
            };
            self.note_client(&log, client, &mut told)?;
        }
        // A flush that nobody waits for any more ends too.
        tokio::time::sleep(100 * SLOW).await;
        self.disk.set_latency(None);
        self.stages(partition, told, (failed, flushed_before))
    }

    fn note_client(
        &mut self,
        log: &Log,
        client: Client,
        told: &mut Vec<(u64, i64, Told)>,
    ) -> Result<(), Violation> {
        let Client { batch, appended: (at, appended), flushed } = client;
        match appended {
            Ok(appended) => told.push((at, appended.base_offset.0, Told::Appended(batch))),
            Err(error) => {
                self.expected("an append beside others", &error)?;
                // Where it was written depends on which of the others came first.
                let model = self.log_model(log.partition())?;
                let doubtful = batch.at(model.end, model.epoch);
                model.doubtful.push(Arc::new(doubtful));
                self.unplaced.push(batch);
            }
        }
        match flushed {
            Some((at, Ok(offset))) => told.push((at, i64::MAX, Told::Flushed(offset))),
            Some((_, Err(error))) => {
                self.expected("a flush that is shared", &error)?;
                self.note_failure(log, &error);
            }
            None => {}
        }
        Ok(())
    }

    /// The model after each thing that was told, in the order in which that happened.
    fn stages(
        &mut self,
        partition: &TopicPartition,
        mut told: Vec<(u64, i64, Told)>,
        (failed, flushed_before): (Option<String>, i64),
    ) -> Result<Outcome, Violation> {
        // Offsets are given in the order of the writes; of those that were told at the same change too.
        told.sort_by_key(|(at, base, _)| (*at, *base));
        let wrong = |what| Err(Violation::new("log_does_what_it_says", what));
        let unplaced = std::mem::take(&mut self.unplaced);
        let mut stages = Vec::new();
        for (at, base, told) in told {
            let model = self.log_model(partition)?;
            match told {
                Told::Appended(batch) if base == model.end => {
                    model.push(batch.at(base, model.epoch));
                    for batch in &unplaced {
                        model.doubtful.push(Arc::new(batch.at(model.end, model.epoch)));
                    }
                }
                Told::Appended(_) => {
                    return wrong(format!(
                        "{partition}: a batch got offset {base}, and the log ended at {}",
                        model.end
                    ));
                }
                Told::Flushed(offset) if offset.0 > model.end => {
                    return wrong(format!(
                        "{partition}: flushed up to {offset}, and the log ends at {}",
                        model.end
                    ));
                }
                Told::Flushed(offset) => {
                    model.flushed = model.flushed.max(offset.0);
                    if offset.0 > flushed_before {
                        failed_fsync::check(
                            failed.as_deref(),
                            &format!("{partition} up to offset {offset}"),
                        )?;
                    }
                }
            }
            stages.push((at, self.model.clone()));
        }
        Ok(Outcome::Stages(stages))
    }
}
