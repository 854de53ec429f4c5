//! Writes records when they are due, and learns of each when it was acknowledged.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::ProgressBar;
use ottla_client::{Client, Delivery, DeliveryError, Producer, ProducerOptions, ProducerRecord, Topic};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::load::{Due, Pacer};
use super::payload::Payload;
use super::report::Tally;
use super::stop::Stop;

/// Records of one partition whose fate may be unread, at most.
const UNREAD: usize = 65_536;

/// What all of it is about.
pub(super) struct Writing<'a> {
    pub(super) client: &'a Client,
    pub(super) topic: &'a Topic,
    pub(super) options: ProducerOptions,
    pub(super) payload: &'a Payload,
    pub(super) stop: &'a Stop,
    pub(super) progress: &'a ProgressBar,
}

/// What became of the records.
pub(super) struct Written {
    /// Of those that count.
    pub(super) tally: Tally,
    /// How many were acknowledged, those that do not count included.
    pub(super) acknowledged: u64,
    /// How many were not, likewise.
    pub(super) failed: u64,
    /// Why the first of them was not.
    pub(super) first_failure: Option<String>,
    /// When the last acknowledgement of a record that counts came.
    pub(super) last: Option<Instant>,
}

impl Writing<'_> {
    /// Writes until the schedule is over or somebody asks to stop. Records go to the partitions in turn.
    pub(super) async fn run(&self, mut pacer: Pacer) -> anyhow::Result<Written> {
        let start = pacer.started();
        let producer = Producer::new(self.client.clone(), self.options.clone());
        let written = Arc::new(Mutex::new(Written::new()?));
        // Within a partition acknowledgements come in order; across partitions they do not, and would wait for each
        // other in one queue.
        let mut watchers = JoinSet::new();
        let mut partitions = Vec::new();
        for partition in &self.topic.partitions {
            let (sender, receiver) = mpsc::channel(UNREAD);
            let (written, progress) = (Arc::clone(&written), self.progress.clone());
            watchers.spawn(watch(receiver, start, written, progress));
            partitions.push((partition.index, sender));
        }
        let mut turns = partitions.iter().cycle();
        while let Some(due) = pacer.next().await {
            if self.stop.is_asked() {
                break;
            }
            let (partition, watcher) = turns.next().context("the topic has no partitions")?;
            let mut record = ProducerRecord::new(self.topic.name.clone(), self.payload.value(due.number));
            record.partition = Some(*partition);
            let delivery = producer.send(record).await;
            watcher.send((due, delivery)).await.context("the watch over records ended early")?;
        }
        producer.flush().await;
        drop(partitions);
        while let Some(watched) = watchers.join_next().await {
            watched?;
        }
        let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::replace(&mut written, Written::new()?))
    }
}

async fn watch(
    mut records: mpsc::Receiver<(Due, Result<Delivery, DeliveryError>)>,
    start: Instant,
    written: Arc<Mutex<Written>>,
    progress: ProgressBar,
) {
    while let Some((due, delivery)) = records.recv().await {
        let outcome = match delivery {
            Ok(delivery) => delivery.wait().await.map(drop),
            Err(error) => Err(error),
        };
        let now = Instant::now();
        let latency = now.duration_since(start).saturating_sub(due.at);
        progress.inc(1);
        let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
        written.count(&due, latency, now, outcome);
    }
}

impl Written {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { tally: Tally::new()?, acknowledged: 0, failed: 0, first_failure: None, last: None })
    }

    fn count(&mut self, due: &Due, latency: Duration, now: Instant, outcome: Result<(), DeliveryError>) {
        match outcome {
            Ok(()) => {
                self.acknowledged += 1;
                if due.is_measured {
                    self.tally.count(latency);
                    self.last = self.last.max(Some(now));
                }
            }
            Err(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert_with(|| error.to_string());
            }
        }
    }
}
