//! The task that sends batches: groups those that are ready by leader, and decides what becomes of each by its answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ottla_env::process;
use ottla_types::{BrokerId, ErrorCode, ProducerEpoch, ProducerId};
use ottla_wire::ApiKey;
use ottla_wire::init_producer_id::InitProducerIdRequest;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::Shared;
use super::accumulator::{Sequence, Turn};
use super::batch::{Appended, Batch, Identity, Refused};
use super::request::{Outgoing, deliver};
use crate::client::{Client, Leader};
use crate::error::{Error, check};
use crate::stale::StaleTopics;

/// How many requests go to one broker at a time: `max.in.flight.requests.per.connection`.
const MAX_IN_FLIGHT: usize = 5;

/// What the sender waits for.
enum Event {
    /// A broker has answered, or will not.
    Landed(BrokerId, Vec<(Batch, Result<Appended, Refused>)>),
    /// Metadata was asked for anew.
    Refreshed,
    /// A producer id was asked for.
    Identified(Result<Identity, Error>),
}

pub(super) struct Sender {
    client: Client,
    shared: Arc<Shared>,
    tasks: JoinSet<Event>,
    in_flight: BTreeMap<BrokerId, usize>,
    stale: StaleTopics,
    pub(super) identity: Option<Identity>,
    is_identifying: bool,
    identify_failures: u32,
    identify_not_before: Option<Instant>,
}

impl Sender {
    pub(super) fn new(client: Client, shared: Arc<Shared>) -> Self {
        Self {
            client,
            shared,
            tasks: JoinSet::new(),
            in_flight: BTreeMap::new(),
            stale: StaleTopics::default(),
            identity: None,
            is_identifying: false,
            identify_failures: 0,
            identify_not_before: None,
        }
    }

    /// Runs until its task is aborted.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            self.expire();
            self.send_what_is_ready();
            self.refresh_what_is_stale();
            let next_look = self.next_look();
            tokio::select! {
                biased;
                Some(event) = self.tasks.join_next() => self.handle(event),
                () = shared.wake.notified() => {}
                () = sleep_until(next_look) => {}
            }
        }
    }

    pub(super) fn next_look(&self) -> Option<Instant> {
        let accumulator = self.shared.accumulator.lock().unwrap_or_else(PoisonError::into_inner);
        let timeout = self.shared.options.delivery_timeout;
        let batches = accumulator.next_look(Instant::now(), timeout);
        // With nothing to send no id is asked for, however long ago that was due: looking at once, again and again, would
        // never end.
        let is_wanted = !self.is_identifying && !accumulator.is_flushed(u64::MAX);
        let identify = self.identify_not_before.filter(|_| is_wanted);
        batches.into_iter().chain(identify).min()
    }

    fn handle(&mut self, event: Result<Event, JoinError>) {
        match event {
            Ok(Event::Landed(broker, results)) => {
                if let Some(count) = self.in_flight.get_mut(&broker) {
                    *count = count.saturating_sub(1);
                }
                for (batch, result) in results {
                    self.landed(batch, result);
                }
            }
            Ok(Event::Refreshed) => self.stale.refreshed(),
            Ok(Event::Identified(result)) => self.identified(result),
            // The tasks neither panic nor are cancelled while this one lives.
            Err(error) => tracing::error!(%error, "a producer's request was lost"),
        }
    }

    pub(super) fn expire(&mut self) {
        let timeout = self.shared.options.delivery_timeout;
        let expired = self.lock().take_expired(Instant::now(), timeout);
        for mut batch in expired {
            let last = batch.last_error.take().unwrap_or_else(|| Error::NoLeader {
                partition: batch.partition.clone(),
                reason: "could not be sent to",
            });
            let what = format!("writing to {}", batch.partition);
            self.fail(batch, Error::GaveUp { what, after: timeout, last: Box::new(last) }.into());
        }
    }

    fn send_what_is_ready(&mut self) {
        if self.shared.options.is_idempotent && self.identity.is_none() {
            self.identify();
            return;
        }
        while self.send_one_round() {}
    }

    /// Sends at most one request to each broker; tells whether it sent any.
    fn send_one_round(&mut self) -> bool {
        let mut requests: BTreeMap<BrokerId, Vec<Outgoing>> = BTreeMap::new();
        let mut leaders = Leaders {
            client: &self.client,
            in_flight: &self.in_flight,
            stale: &mut self.stale,
            retrying: &self.shared.retrying,
            sizes: BTreeMap::new(),
            max_request_size: self.shared.options.max_request_size,
        };
        let mut accumulator = self.shared.accumulator.lock().unwrap_or_else(PoisonError::into_inner);
        for (batch, sequence) in accumulator.take_ready(Instant::now(), |batch| leaders.turn(batch)) {
            let Ok(leader) = self.client.leader(&batch.partition) else {
                // Metadata has changed in between.
                accumulator.put_back(batch, Instant::now());
                continue;
            };
            let sequence = sequence.or_else(|| self.identity.map(|identity| Sequence { identity, next: 0 }));
            accumulator.set_sequence(&batch.partition, sequence);
            requests.entry(leader.broker).or_default().push(Outgoing { batch, leader, sequence });
        }
        drop(accumulator);
        let has_sent = !requests.is_empty();
        for (broker, batches) in requests {
            *self.in_flight.entry(broker).or_default() += 1;
            let (client, options) = (self.client.clone(), self.shared.options.clone());
            process::spawn_in(&mut self.tasks, async move {
                Event::Landed(broker, deliver(&client, broker, batches, &options).await)
            });
        }
        has_sent
    }

    pub(super) fn landed(&mut self, mut batch: Batch, result: Result<Appended, Refused>) {
        match result {
            Ok(appended) => {
                self.note_retrying(None);
                self.advance_sequence(&batch);
                self.lock().landed(&batch.partition);
                self.done(&batch);
                batch.succeed(appended);
            }
            // A batch that was appended by an earlier attempt; its offset is no longer known to the broker.
            Err(refused) if refused.error.code() == Some(ErrorCode::DuplicateSequenceNumber) => {
                self.advance_sequence(&batch);
                self.lock().landed(&batch.partition);
                self.done(&batch);
                batch.succeed(Appended { base_offset: None, log_append_time_ms: None });
            }
            Err(refused) if refused.error.is_retriable() => {
                batch.has_doubt |= refused.error.leaves_doubt();
                batch.failures += 1;
                let pause = self.client.backoff().pause(batch.failures, &*self.client.env().rng);
                tracing::debug!(partition = %batch.partition, error = %refused.error, "sending a batch again");
                self.stale.insert(batch.partition.topic.clone());
                self.note_retrying(Some(refused.error.clone()));
                batch.last_error = Some(refused.error);
                self.lock().put_back(batch, Instant::now() + pause);
            }
            Err(refused) => {
                self.lock().landed(&batch.partition);
                self.fail(batch, refused);
            }
        }
    }

    /// Gives up a batch that is not on its way.
    fn fail(&mut self, batch: Batch, refused: Refused) {
        let is_sequence_lost = batch.has_doubt
            || refused.error.leaves_doubt()
            || matches!(
                refused.error.code(),
                Some(
                    ErrorCode::OutOfOrderSequenceNumber
                        | ErrorCode::UnknownProducerId
                        | ErrorCode::InvalidProducerEpoch
                        | ErrorCode::ProducerFenced
                )
            );
        if is_sequence_lost {
            // Whether the broker's count includes this batch is not known, so the partition goes on under a new id, which
            // the broker has not seen there (KIP-360 raises the epoch for the same purpose). That holds too where another
            // partition has lost the id just before: with the sequence of this batch, the next one would pass for it.
            self.lock().set_sequence(&batch.partition, None);
            self.identity = None;
        }
        self.done(&batch);
        batch.fail(&refused);
    }

    fn advance_sequence(&self, batch: &Batch) {
        let mut accumulator = self.lock();
        let next = accumulator.sequence(&batch.partition).map(|now| now.after(batch.records_count()));
        accumulator.set_sequence(&batch.partition, next);
    }

    fn done(&self, batch: &Batch) {
        self.lock().finished(batch.number);
        self.shared.done.notify_waiters();
    }

    fn note_retrying(&self, error: Option<Error>) {
        *self.shared.retrying.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, super::accumulator::Accumulator> {
        self.shared.accumulator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refresh_what_is_stale(&mut self) {
        if let Some(refresh) = self.stale.refresh(&self.client) {
            process::spawn_in(&mut self.tasks, async move {
                refresh.await;
                Event::Refreshed
            });
        }
    }

    fn identify(&mut self) {
        let is_pausing = self.identify_not_before.is_some_and(|at| at > Instant::now());
        if self.is_identifying || is_pausing || self.lock().is_flushed(u64::MAX) {
            return;
        }
        self.is_identifying = true;
        let client = self.client.clone();
        process::spawn_in(&mut self.tasks, async move { Event::Identified(ask_for_identity(&client).await) });
    }

    pub(super) fn identified(&mut self, result: Result<Identity, Error>) {
        self.is_identifying = false;
        self.identify_not_before = None;
        match result {
            Ok(identity) => {
                self.identify_failures = 0;
                self.identity = Some(identity);
            }
            Err(error) if error.is_retriable() => {
                self.identify_failures += 1;
                let pause = self.client.backoff().pause(self.identify_failures, &*self.client.env().rng);
                self.identify_not_before = Some(Instant::now() + pause);
                tracing::debug!(%error, "asking for a producer id again");
                self.note_retrying(Some(error));
            }
            Err(error) => {
                let waiting = self.lock().take_all_waiting();
                for batch in waiting {
                    self.fail(batch, error.clone().into());
                }
            }
        }
    }
}

/// Who leads what, and who can take another request now.
struct Leaders<'a> {
    client: &'a Client,
    in_flight: &'a BTreeMap<BrokerId, usize>,
    stale: &'a mut StaleTopics,
    retrying: &'a Mutex<Option<Error>>,
    sizes: BTreeMap<BrokerId, usize>,
    max_request_size: usize,
}

impl Leaders<'_> {
    fn turn(&mut self, batch: &Batch) -> Turn {
        let broker = match self.client.leader(&batch.partition) {
            Ok(Leader { broker, .. }) => broker,
            Err(error) => {
                self.stale.insert(batch.partition.topic.clone());
                *self.retrying.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return Turn::Pause(self.client.options().retry_backoff);
            }
        };
        if self.in_flight.get(&broker).is_some_and(|&count| count >= MAX_IN_FLIGHT) {
            return Turn::Wait;
        }
        let size = self.sizes.entry(broker).or_default();
        if *size > 0 && *size + batch.size_bytes() > self.max_request_size {
            return Turn::Wait;
        }
        *size += batch.size_bytes();
        Turn::Take
    }
}

async fn ask_for_identity(client: &Client) -> Result<Identity, Error> {
    let broker = client.any_broker().await?;
    // Without a transactional id the timeout means nothing.
    let request = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
    let response = broker.call(request).await?;
    check(broker.broker(), ApiKey::InitProducerId, "", response.error_code, None)?;
    Ok(Identity { id: ProducerId(response.producer_id), epoch: ProducerEpoch(response.producer_epoch) })
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
