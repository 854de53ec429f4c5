//! Reading: the partitions it is assigned, from where it is told, in the order of each partition's offsets.
//!
//! Batches are checked (CRC) and decompressed here. While the caller works on records, the next are already asked for.
//!
//! What is not here: consumer groups and committed offsets ([`crate::group_consumer`]), fetch sessions, and leaving out aborted transactions.

mod fetch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_env::process;
use ottla_records::TimestampType;
use ottla_types::{BrokerId, ErrorCode, Offset, TopicPartition};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;
use crate::offsets::OffsetSpec;
use crate::stale::StaleTopics;
use fetch::{Fetched, Wanted, fetch};

/// How a consumer behaves. Defaults are those of Kafka's consumer.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// How long a broker waits for records to come: `fetch.max.wait.ms`.
    pub max_wait: Duration,
    /// How many bytes are worth an answer before that time is over: `fetch.min.bytes`.
    pub min_bytes: i32,
    /// The most bytes in an answer: `fetch.max.bytes`.
    pub max_bytes: i32,
    /// The most bytes of one partition in an answer: `max.partition.fetch.bytes`.
    pub partition_max_bytes: i32,
    /// The most bytes that a batch may have when it is decompressed.
    pub max_batch_bytes: usize,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 50 << 20,
            partition_max_bytes: 1 << 20,
            max_batch_bytes: 256 << 20,
        }
    }
}

/// Where to start reading a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At this offset.
    Offset(Offset),
    /// At the first record there is.
    Earliest,
    /// After the last record there is.
    Latest,
    /// At the first record whose timestamp, in milliseconds, is this or later; after the last record if none is.
    Timestamp(i64),
}

/// A record that was read. Its bytes share the memory of the answer they came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// The partition.
    pub partition: TopicPartition,
    /// Its place in the partition's log.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp_ms: i64,
    /// Who set that timestamp.
    pub timestamp_type: TimestampType,
    /// The key; `None` is null.
    pub key: Option<Bytes>,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
    /// Headers in order, with duplicates. Keys are text by convention, and bytes that nobody checked.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// Reads partitions.
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    options: Arc<ConsumerOptions>,
    positions: BTreeMap<TopicPartition, Position>,
    tasks: JoinSet<Event>,
    stale: StaleTopics,
}

#[derive(Debug)]
struct Position {
    next: Offset,
    high_watermark: Option<Offset>,
    is_in_flight: bool,
    is_paused: bool,
    failures: u32,
    failing_since: Option<Instant>,
    not_before: Option<Instant>,
}

#[derive(Debug)]
enum Event {
    Fetched(Vec<(Wanted, Result<Fetched, Error>)>),
    Refreshed,
}

impl Consumer {
    /// A consumer on a client's cluster, with nothing to read yet.
    #[must_use]
    pub fn new(client: Client, options: ConsumerOptions) -> Self {
        Self {
            client,
            options: Arc::new(options),
            positions: BTreeMap::new(),
            tasks: JoinSet::new(),
            stale: StaleTopics::default(),
        }
    }

    /// Adds partitions, or moves those that are there already.
    ///
    /// # Errors
    /// If a topic does not exist, or the offsets to start at are not found.
    pub async fn assign(
        &mut self,
        partitions: impl IntoIterator<Item = (TopicPartition, Start)>,
    ) -> Result<(), Error> {
        let partitions: BTreeMap<TopicPartition, Start> = partitions.into_iter().collect();
        let mut starts: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
        let mut wanted = Vec::new();
        for (partition, start) in partitions {
            match start {
                Start::Offset(offset) => {
                    self.client.topic(&partition.topic).await?;
                    starts.insert(partition, offset);
                }
                Start::Earliest => wanted.push((partition, OffsetSpec::Earliest)),
                Start::Latest => wanted.push((partition, OffsetSpec::Latest)),
                Start::Timestamp(timestamp_ms) => {
                    wanted.push((partition, OffsetSpec::Timestamp(timestamp_ms)));
                }
            }
        }
        let found = self.client.offsets(wanted).await?;
        let none_that_late: Vec<_> = found.iter().filter(|(_, offset)| offset.is_none()).collect();
        let ends = none_that_late.iter().map(|(partition, _)| ((*partition).clone(), OffsetSpec::Latest));
        let ends = self.client.offsets(ends).await?;
        let found = found.into_iter().chain(ends);
        starts.extend(found.filter_map(|(partition, offset)| Some((partition, offset?))));
        for (partition, offset) in starts {
            self.positions.insert(partition, Position::at(offset));
        }
        Ok(())
    }

    /// The offset of the next record that [`Self::poll`] gives of a partition.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.positions.get(partition).map(|position| position.next)
    }

    /// The end of what could be read of a partition when a broker last told.
    #[must_use]
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.positions.get(partition).and_then(|position| position.high_watermark)
    }

    /// The partitions that it reads, in order.
    pub fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        self.positions.keys()
    }

    /// Reads a partition from another place on. Nothing happens to one that it is not assigned.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) {
        if let Some(position) = self.positions.get_mut(partition) {
            position.next = offset;
        }
    }

    /// Reads a partition no further, and keeps its position, until it is assigned anew.
    pub fn pause(&mut self, partition: &TopicPartition) {
        if let Some(position) = self.positions.get_mut(partition) {
            position.is_paused = true;
        }
    }

    /// Stops reading a partition.
    pub fn unassign(&mut self, partition: &TopicPartition) {
        self.positions.remove(partition);
    }

    /// Stops reading all partitions.
    pub fn unassign_all(&mut self) {
        self.positions.clear();
    }

    /// The next records of some partition, as soon as there are any; none when `timeout` is over. Safe to cancel.
    ///
    /// # Errors
    /// What does not go away by asking again, such as [`Error::OffsetOutOfRange`], [`Error::CorruptAtBroker`]
    /// and [`Error::BadBatch`], or what has
    /// not gone away for as long as a call may take.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumedRecord>, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            self.start_fetches()?;
            self.refresh_what_is_stale();
            let next_look = self.next_look(deadline);
            tokio::select! {
                biased;
                Some(event) = self.tasks.join_next() => {
                    if let Ok(Event::Fetched(results)) = event {
                        let records = self.take(results).await?;
                        if !records.is_empty() {
                            // An error comes again at the next call, and these records would not.
                            let _ = self.start_fetches();
                            return Ok(records);
                        }
                    } else {
                        self.stale.refreshed();
                    }
                }
                () = tokio::time::sleep_until(next_look) => {
                    if next_look == deadline {
                        return Ok(Vec::new());
                    }
                }
            }
        }
    }

    /// When to look again, if no broker answers before: the end, or the end of some partition's pause.
    fn next_look(&self, deadline: Instant) -> Instant {
        let pauses = self.positions.values().filter(|p| !p.is_in_flight).filter_map(|p| p.not_before);
        let now = Instant::now();
        pauses.filter(|&at| at > now).fold(deadline, Instant::min)
    }

    /// Asks each leader for the partitions that are not asked for yet.
    fn start_fetches(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let mut by_leader: BTreeMap<BrokerId, Vec<Wanted>> = BTreeMap::new();
        let mut without_leader = Vec::new();
        for (partition, position) in &mut self.positions {
            if position.is_in_flight || position.is_paused || position.not_before.is_some_and(|at| at > now) {
                continue;
            }
            match self.client.leader(partition) {
                Ok(leader) => {
                    position.is_in_flight = true;
                    by_leader.entry(leader.broker).or_default().push(Wanted {
                        partition: partition.clone(),
                        offset: position.next,
                        leader,
                    });
                }
                Err(error) => without_leader.push((partition.clone(), position.next, error)),
            }
        }
        for (broker, wanted) in by_leader {
            let (client, options) = (self.client.clone(), Arc::clone(&self.options));
            process::spawn_in(&mut self.tasks, async move {
                Event::Fetched(fetch(&client, broker, wanted, &options).await)
            });
        }
        without_leader
            .into_iter()
            .try_for_each(|(partition, offset, error)| self.failed(&partition, offset, error))
    }

    /// Takes what a broker answered; of several errors the first is told.
    async fn take(
        &mut self,
        results: Vec<(Wanted, Result<Fetched, Error>)>,
    ) -> Result<Vec<ConsumedRecord>, Error> {
        let mut records = Vec::new();
        let mut outcome = Ok(());
        for (wanted, result) in results {
            let Some(position) = self.positions.get_mut(&wanted.partition) else { continue };
            position.is_in_flight = false;
            if position.next != wanted.offset || position.is_paused {
                continue;
            }
            match result {
                Ok(fetched) => {
                    position.advance(&fetched);
                    records.extend(fetched.records);
                }
                Err(error) => outcome = outcome.and(self.failed(&wanted.partition, wanted.offset, error)),
            }
        }
        match outcome {
            // Records that came in the same answer must not be lost: the error comes again with the next one.
            Err(_) if !records.is_empty() => Ok(records),
            Err(error) if error.code() == Some(ErrorCode::OffsetOutOfRange) => {
                Err(self.with_range(error).await)
            }
            outcome => outcome.map(|()| records),
        }
    }

    /// Lets a partition pause, unless its error is one to tell.
    fn failed(&mut self, partition: &TopicPartition, offset: Offset, error: Error) -> Result<(), Error> {
        if error.code() == Some(ErrorCode::OffsetOutOfRange) {
            let (log_start, high_watermark) = (Offset(-1), Offset(-1));
            let partition = partition.clone();
            return Err(Error::OffsetOutOfRange { partition, offset, log_start, high_watermark });
        }
        if !error.is_retriable() {
            return Err(error);
        }
        let Some(position) = self.positions.get_mut(partition) else { return Ok(()) };
        let now = Instant::now();
        position.failures += 1;
        let pause = self.client.backoff().pause(position.failures, &*self.client.env().rng);
        position.not_before = Some(now + pause);
        self.stale.insert(partition.topic.clone());
        tracing::debug!(%partition, %error, "reading a partition again");
        let since = *position.failing_since.get_or_insert(now);
        let within = self.client.options().api_timeout;
        if now.duration_since(since) >= within {
            let what = format!("reading {partition}");
            return Err(Error::GaveUp { what, after: within, last: Box::new(error) });
        }
        Ok(())
    }

    /// The error of a position outside the log, with where that log starts and ends.
    async fn with_range(&self, error: Error) -> Error {
        let Error::OffsetOutOfRange { partition, offset, .. } = error else { return error };
        let ask = async |spec| {
            let found = self.client.offsets([(partition.clone(), spec)]).await.ok()?;
            found.get(&partition).copied().flatten()
        };
        let log_start = ask(OffsetSpec::Earliest).await.unwrap_or(Offset(-1));
        let high_watermark = ask(OffsetSpec::Latest).await.unwrap_or(Offset(-1));
        Error::OffsetOutOfRange { partition, offset, log_start, high_watermark }
    }

    fn refresh_what_is_stale(&mut self) {
        if let Some(refresh) = self.stale.refresh(&self.client) {
            process::spawn_in(&mut self.tasks, async move {
                refresh.await;
                Event::Refreshed
            });
        }
    }
}

impl Position {
    fn at(next: Offset) -> Self {
        Self {
            next,
            high_watermark: None,
            is_in_flight: false,
            is_paused: false,
            failures: 0,
            failing_since: None,
            not_before: None,
        }
    }

    fn advance(&mut self, fetched: &Fetched) {
        self.next = fetched.next;
        self.high_watermark = Some(fetched.high_watermark);
        self.failures = 0;
        self.failing_since = None;
        self.not_before = None;
    }
}
