//! A fetcher: one task that copies partitions from one broker, by one connection and one request at a time.
//!
//! An answer is carried out for all its partitions before the next request goes out, at once: the next request is the
//! acknowledgement. So there is never more than one answer in memory. A request waits at the leader until there is
//! something; partitions that come meanwhile are not kept waiting for that: the connection is given up, and another one
//! asks for everything.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use ottla_client::{Connection, Pending};
use ottla_types::ErrorCode;
use ottla_wire::ApiKey;
use ottla_wire::fetch::{FetchResponse, PartitionData};

use super::Shared;
use super::following::{Following, Outcome};
use super::orders::Orders;
use super::request;
use super::rests::Rest;
use super::slots::Slot;
use super::state::State;
use crate::replication::Key;

/// How often a request that waits is given up for partitions that are new, at most.
const GIVE_UP_EVERY: Duration = Duration::from_millis(100);

/// How long an answer is waited for before that: where records flow, it is on its way.
const GRACE: Duration = Duration::from_millis(2);

pub(super) struct Fetcher {
    shared: Arc<Shared>,
    slot: Slot,
    orders: Arc<Orders>,
    state: State,
    connection: Option<Connection>,
    /// Of failures of the connection, or of all that is asked by it.
    rest: Rest,
    /// Whether the log was told that nothing can be copied from the broker.
    is_lost: bool,
    /// When a request was last given up.
    given_up_at: Option<Instant>,
}

/// How a request ended.
enum Asked {
    Answered(FetchResponse),
    /// There are partitions that should not wait for the answer.
    GivenUp,
    /// With the reason.
    Failed(String),
    /// The fetcher is to end.
    Over,
}

impl Fetcher {
    pub(super) fn new(shared: Arc<Shared>, slot: Slot, orders: Arc<Orders>) -> Self {
        Self {
            state: State::new(shared.settings.backoff),
            shared,
            slot,
            orders,
            connection: None,
            rest: Rest::default(),
            is_lost: false,
            given_up_at: None,
        }
    }

    /// Runs until it is told to end.
    pub(super) async fn run(mut self) {
        while self.round().await.is_some() {}
    }

    /// One request and its answer, or the wait until there is something to ask for. `None` at the end.
    async fn round(&mut self) -> Option<()> {
        if self.state.take(self.orders.take()?) {
            // The broker just came to lead something, and so was alive a moment ago.
            self.rest.end();
        }
        self.look().await;
        if self.state.session.is_empty() {
            return self.idle(self.state.next_look()).await;
        }
        match self.ask().await {
            Asked::Over => return None,
            Asked::GivenUp => {
                self.given_up_at = Some(Instant::now());
                self.disconnect();
            }
            Asked::Answered(response) => {
                if let Some(refused) = self.take(response).await {
                    return self.rest_for(&refused).await;
                }
            }
            Asked::Failed(reason) => {
                self.disconnect();
                return self.rest_for(&reason).await;
            }
        }
        Some(())
    }

    fn now(&self) -> Duration {
        self.shared.env.clock.monotonic()
    }

    /// Finds out what to ask for. What has to be durable before that is flushed, all together: one flush serves the logs of
    /// a directory.
    async fn look(&mut self) {
        let mut to_flush = self.state.look(self.now(), &self.shared.throttles.follower);
        while !to_flush.is_empty() {
            let flushed = join_all(to_flush.iter().map(|following| following.flush())).await;
            for (following, flushed) in to_flush.iter().zip(flushed) {
                if let Err(error) = flushed {
                    self.note_unusable(following, &error.to_string());
                }
            }
            to_flush = self.state.look(self.now(), &self.shared.throttles.follower);
        }
    }

    /// Waits for orders, or until that time.
    async fn idle(&self, until: Option<Duration>) -> Option<()> {
        let until = until.map(|until| Instant::now() + until.saturating_sub(self.now()));
        tokio::select! {
            biased;
            () = self.orders.changed() => {}
            () = at(until) => {}
        }
        Some(())
    }

    /// Rests after a failure of all that is copied. Partitions that come end the rest.
    async fn rest_for(&mut self, reason: &str) -> Option<()> {
        if !std::mem::replace(&mut self.is_lost, true) {
            warn!(leader = %self.slot.leader, "nothing can be copied from the broker for now: {reason}");
        }
        let rest = self.rest.next(self.shared.settings.backoff);
        self.idle(Some(self.now() + rest)).await
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.state.session.restart();
    }

    /// The connection that stands, or a new one.
    async fn connect(&mut self) -> Result<Connection, Asked> {
        if let Some(connection) = self.connection.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        self.disconnect();
        let Some(address) = (self.shared.address_of)(self.slot.leader) else {
            return Err(Asked::Failed("it has not registered a listener for brokers".to_owned()));
        };
        let shared = Arc::clone(&self.shared);
        let options = shared.settings.connection(shared.me.broker, self.slot);
        let mut opening = pin!(Connection::open(&*shared.env.net, &address, &options));
        let connection = loop {
            tokio::select! {
                biased;
                opened = &mut opening => break opened.map_err(|error| Asked::Failed(error.to_string()))?,
                () = self.orders.changed() => self.hear()?,
            }
        };
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    /// Takes orders while something else is waited for.
    fn hear(&mut self) -> Result<(), Asked> {
        let news = self.orders.take().ok_or(Asked::Over)?;
        self.state.take(news);
        Ok(())
    }

    /// Sends the next request, and waits for its answer, or until something presses more.
    async fn ask(&mut self) -> Asked {
        let connection = match self.connect().await {
            Ok(connection) => connection,
            Err(asked) => return asked,
        };
        if self.state.has_new() {
            // They came while the connection did.
            self.look().await;
        }
        let answer = match self.send(&connection) {
            Ok(pending) => pending.wait(),
            Err(reason) => return Asked::Failed(reason),
        };
        let sent_at = Instant::now();
        let mut answer = pin!(answer);
        loop {
            let give_up = self.state.has_new().then(|| {
                let earliest = self.given_up_at.map_or(sent_at, |at| at + GIVE_UP_EVERY);
                earliest.max(sent_at + GRACE)
            });
            tokio::select! {
                biased;
                answered = &mut answer => return match answered {
                    Ok(response) => Asked::Answered(response),
                    Err(error) => Asked::Failed(error.to_string()),
                },
                () = self.orders.changed() => {
                    if let Err(over) = self.hear() {
                        return over;
                    }
                }
                () = at(give_up) => return Asked::GivenUp,
            }
        }
    }

    fn send(&mut self, connection: &Connection) -> Result<Pending<FetchResponse>, String> {
        let version = connection.version(ApiKey::Fetch).map_err(|error| error.to_string())?;
        if version < request::FIRST_VERSION {
            return Err(format!("it has Fetch up to version {version}, and no topic ids"));
        }
        let awaited = self.state.awaited_at().map(|at| at.saturating_sub(self.now()).as_millis() + 1);
        let max_wait_ms = awaited.map_or(i32::MAX, |ms| i32::try_from(ms).unwrap_or(i32::MAX));
        let (shared, plan) = (&self.shared, self.state.session.next());
        let request = request::fetch(&shared.settings, shared.me, plan, max_wait_ms, version);
        let sent = connection.start_at(request, version, shared.settings.timeout);
        sent.map_err(|error| error.to_string())
    }

    /// Carries out an answer. Returns why it is none.
    async fn take(&mut self, response: FetchResponse) -> Option<String> {
        let code = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
        if code != ErrorCode::None {
            let is_of_session = self.state.session.restart();
            if is_of_session {
                // A session ends with its broker's run, or when it has no room for it.
                debug!(leader = %self.slot.leader, "the fetch session is over: {code}");
                return None;
            }
            return Some(format!("it answers {code}"));
        }
        self.rest.end();
        if std::mem::take(&mut self.is_lost) {
            info!(leader = %self.slot.leader, "the broker is copied from again");
        }
        self.state.session.answered(response.session_id);
        let now_ms = self.shared.env.clock.wall_ms();
        for topic in response.responses {
            for data in topic.partitions {
                let key = (topic.topic_id.into(), data.partition_index);
                self.take_partition(key, data, now_ms).await;
            }
        }
        None
    }

    async fn take_partition(&mut self, key: Key, data: PartitionData, now_ms: i64) {
        // What was forgotten meanwhile may still be answered.
        let Some((following, asked)) = self.state.asked(key) else { return };
        let (partition, leader) = (&following.partition.id, self.slot.leader);
        match following.answered(&asked, data, now_ms).await {
            Outcome::GoesOn(bytes) => {
                let throttle = &self.shared.throttles.follower;
                if throttle.holds_for(key) {
                    throttle.spent(bytes);
                }
                if self.state.goes_on(key) {
                    info!(%partition, %leader, "the partition is copied again");
                }
            }
            Outcome::Failed(trouble, reason) => {
                if self.state.failed(key, trouble, self.now()) {
                    warn!(%partition, %leader, "the partition cannot be copied for now: {reason}");
                }
            }
            Outcome::Lost(reason) => self.note_unusable(&following, &reason),
            Outcome::Released => self.state.leave(key),
        }
    }

    /// A log that the disk fails is copied no more before the broker is started again: it is offline.
    fn note_unusable(&mut self, following: &Following, reason: &str) {
        let (partition, leader) = (&following.partition.id, self.slot.leader);
        error!(%partition, %leader, "the partition is not copied any more: {reason}");
        self.state.leave(following.key());
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
