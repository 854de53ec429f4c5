//! Fetch: reads record batches, waiting for them where there are too few (KIP-74, KIP-227, KIP-320, KIP-516, KIP-595).
//!
//! A request is read once at once. Only if that gives less than it asks for does it register with its partitions,
//! and then it reads again: what was appended in between is found, what comes later wakes it. Woken, it reads without
//! registering, for nearly always that is enough.
//!
//! A consumer that may know of other replicas than the leader (from version 11 on) is served by followers too, and is sent to
//! one by the leader where `replica.selector.class` says so (KIP-392).
//!
//! A follower's request acknowledges all below its offsets, once, when it comes; then it is read to the end of the log. Like
//! Kafka without authorization, this takes every client that names a replica for its broker.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use ottla_replica::{FollowerFetch, FollowerState};
use ottla_types::config::broker::network::FETCH_MAX_BYTES;
use ottla_types::{BrokerEpoch, BrokerId, ErrorCode, LeaderEpoch, Offset};
use ottla_wire::fetch::{
    EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, ForgottenTopic, PartitionData,
};
use ottla_wire::{Records, Response, Str};

use crate::broker::Core;
use crate::context::{Answer, RequestContext};
use crate::fetch_session::{Answered, Context, Header, PartitionKey, Told, TopicKey, Want};
use crate::partition::{Leadership, Partition};
use crate::replication::nearest::{Candidate, Selector, nearest};
use crate::waiters::{For, Place, Waiter};

/// The first version that names topics by id (KIP-516).
const TOPIC_IDS_SINCE: i16 = 13;

/// The first version in which a consumer says where it is, and can be sent to a follower (KIP-392).
const RACKS_SINCE: i16 = 11;

pub(crate) async fn handle(core: &Arc<Core>, context: &RequestContext, request: FetchRequest) -> Answer {
    let reader = Reader::of(context.version, &request);
    let uses_topic_ids = context.version >= TOPIC_IDS_SINCE;
    let is_follower = matches!(reader, Reader::Follower { .. });
    let (session_id, epoch) = (request.session_id, request.session_epoch);
    let header = Header { session_id, epoch, uses_topic_ids, is_follower };
    let forgotten = forgotten(&request.forgotten_topics_data, uses_topic_ids);
    let limit = core.metadata.image().layers(core.node_id, &core.settings).get(&FETCH_MAX_BYTES);
    let max_bytes = request.max_bytes.min(limit).max(0);
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let min_bytes = i64::from(request.min_bytes.min(max_bytes));
    let is_near = core.selector == Selector::RackAware && context.version >= RACKS_SINCE && !is_follower;
    let rack = Some(request.rack_id.clone()).filter(|rack| is_near && !rack.is_empty());
    let wants = wants(request, uses_topic_ids);
    let session = core.fetch_sessions.lock().unwrap_or_else(PoisonError::into_inner).context(
        header,
        wants,
        &forgotten,
        core.env.clock.monotonic(),
        || core.env.rng.next_u64(),
    );
    let session = match session {
        Ok(session) => session,
        Err(error) => return FetchResponse { error_code: error.code(), ..FetchResponse::default() }.into(),
    };
    let fetch = Fetch {
        core: Arc::clone(core),
        session,
        max_bytes: usize::try_from(max_bytes).unwrap_or(0),
        min_bytes,
        reader,
        rack,
    };
    let round = fetch.read(Look::First).await;
    if max_wait.is_zero() || fetch.is_enough(&round) {
        return fetch.respond(round).into();
    }
    let deadline = Instant::now() + max_wait;
    Answer::Later(Box::pin(async move {
        let round = fetch.read_when_enough(deadline).await;
        Response::from(fetch.respond(round))
    }))
}

/// Who asks, which decides how far it may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// Reads what is committed: where that is known, or at the leader only.
    Consumer { read_committed: bool, reads_followers: bool },
    /// Reads all, and acknowledges what it has.
    Follower { broker: BrokerId, broker_epoch: Option<BrokerEpoch> },
}

impl Reader {
    fn of(version: i16, request: &FetchRequest) -> Self {
        let (replica, epoch) = match version {
            15.. => (request.replica_state.replica_id, request.replica_state.replica_epoch),
            _ => (request.replica_id, -1),
        };
        if replica < 0 {
            let reads_followers = version >= RACKS_SINCE;
            return Self::Consumer { read_committed: request.isolation_level == 1, reads_followers };
        }
        let broker_epoch = (epoch >= 0).then_some(BrokerEpoch(epoch));
        Self::Follower { broker: BrokerId(replica), broker_epoch }
    }

    fn waits_for(self) -> For {
        match self {
            Self::Consumer { .. } => For::Watermark,
            Self::Follower { .. } => For::End,
        }
    }
}

/// Whether a request was looked at before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    First,
    Again,
}

fn topic_key(by_id: bool, name: &str, id: ottla_wire::Uuid) -> TopicKey {
    if by_id { TopicKey::Id(id.into()) } else { TopicKey::Name(name.into()) }
}

fn wants(request: FetchRequest, by_id: bool) -> Vec<(PartitionKey, Want)> {
    let mut wants = Vec::new();
    for topic in request.topics {
        let key = topic_key(by_id, &topic.topic, topic.topic_id);
        wants.extend(topic.partitions.into_iter().map(|partition| {
            let want = Want {
                fetch_offset: Offset(partition.fetch_offset),
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: LeaderEpoch(partition.current_leader_epoch),
                last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
                log_start: Offset(partition.log_start_offset),
            };
            (PartitionKey { topic: key.clone(), partition: partition.partition }, want)
        }));
    }
    wants
}

fn forgotten(topics: &[ForgottenTopic], by_id: bool) -> Vec<PartitionKey> {
    let mut keys = Vec::new();
    for topic in topics {
        let key = topic_key(by_id, &topic.topic, topic.topic_id);
        keys.extend(topic.partitions.iter().map(|&partition| PartitionKey { topic: key.clone(), partition }));
    }
    keys
}

/// A fetch request on its way.
struct Fetch {
    core: Arc<Core>,
    session: Context,
    max_bytes: usize,
    min_bytes: i64,
    reader: Reader,
    /// The consumer's rack, where that matters.
    rack: Option<Str>,
}

/// One look at all partitions of a request.
#[derive(Default)]
struct Round {
    /// By partition, with the one that was read, if it is here.
    answers: Vec<(PartitionData, Option<Arc<Partition>>)>,
    /// Of the records read.
    bytes: usize,
    /// Of the records that there are, up to the limits. Limits seldom end where a batch does, and who waited for the
    /// bytes between would wait in vain.
    available: usize,
    /// Something that the client must hear of without delay.
    urgent: bool,
}

impl Fetch {
    /// The partitions of the request, in order, as far as they are here.
    fn find(&self) -> Vec<Result<Arc<Partition>, ErrorCode>> {
        let keys = self.session.wants().iter().map(|(key, _)| key);
        let found = self.core.partitions.get_all(keys.clone().map(|key| (&key.topic, key.partition)));
        let missing = |key: &PartitionKey| self.core.find_partition((&key.topic).into(), key.partition);
        keys.zip(found).map(|(key, found)| found.map_or_else(|| missing(key), Ok)).collect()
    }

    async fn read(&self, look: Look) -> Round {
        let mut round = Round { answers: Vec::with_capacity(self.session.wants().len()), ..Round::default() };
        for ((key, want), partition) in self.session.wants().iter().zip(self.find()) {
            let read = match &partition {
                Ok(partition) => self.read_partition(partition, want, round.bytes, look).await,
                Err(error) => Err(*error),
            };
            let (mut answer, available) =
                read.unwrap_or_else(|error| (self.failed(error, partition.as_deref().ok()), 0));
            answer.partition_index = key.partition;
            round.bytes += answer.records.as_ref().map_or(0, Records::len);
            round.available += available;
            round.urgent |= answer.error_code != 0
                || answer.diverging_epoch.end_offset >= 0
                || answer.preferred_read_replica >= 0;
            round.answers.push((answer, partition.ok()));
        }
        round
    }

    /// The answer for a partition, and how many bytes of records there are for it up to the limits.
    async fn read_partition(
        &self,
        partition: &Partition,
        want: &Want,
        bytes_so_far: usize,
        look: Look,
    ) -> Result<(PartitionData, usize), ErrorCode> {
        let leadership = self.check(partition, want.current_leader_epoch)?;
        let diverging = match self.reader {
            Reader::Follower { broker, broker_epoch } if look == Look::First => {
                acknowledge(partition, leadership, want, broker, broker_epoch)?
            }
            _ => diverging(partition, want)?,
        };
        let log_start = partition.log.start_offset();
        let high_watermark = partition.high_watermark();
        let last_stable = partition.last_stable_offset();
        let mut answer = PartitionData {
            high_watermark: high_watermark.0,
            last_stable_offset: last_stable.0,
            log_start_offset: log_start.0,
            aborted_transactions: self.reader_is_committed().then(Vec::new),
            records: Some(Records::new()),
            ..PartitionData::default()
        };
        if let Some(diverging) = diverging {
            answer.diverging_epoch = diverging;
            return Ok((answer, 0));
        }
        let end = partition.log.end_offset();
        if want.fetch_offset < log_start || want.fetch_offset > end {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let upper = match self.reader {
            Reader::Consumer { read_committed: true, .. } => last_stable,
            Reader::Consumer { read_committed: false, .. } => high_watermark,
            Reader::Follower { .. } => end,
        };
        if let Some(nearer) = self.nearer(partition, leadership, want).filter(|_| look == Look::First) {
            answer.preferred_read_replica = nearer.0;
            return Ok((answer, 0));
        }
        if self.is_held_back(partition) {
            return Ok((answer, 0));
        }
        let room = self.max_bytes.saturating_sub(bytes_so_far);
        let max_bytes = usize::try_from(want.max_bytes).unwrap_or(0).min(room);
        // KIP-74: the first batch is given whatever its size, or the consumer could never get past it.
        let at_least_one = bytes_so_far == 0;
        if want.fetch_offset >= upper {
            partition.log.note_reader_at_end();
            return Ok((answer, 0));
        }
        if max_bytes == 0 && !at_least_one {
            return Ok((answer, 0));
        }
        // What others have not taken yet leaves less for now; the client asks again for the rest.
        let granted = max_bytes.min(self.core.responses.allowance().saturating_sub(bytes_so_far));
        let read =
            partition.log.read(want.fetch_offset, granted, at_least_one, upper).await.map_err(|error| {
                let code = error.code();
                let is_broken = matches!(code, ErrorCode::KafkaStorageError | ErrorCode::CorruptMessage);
                if is_broken && self.may_tell_of(partition) {
                    warn!(partition = %partition.id, offset = want.fetch_offset.0, %error, "cannot read");
                }
                code
            })?;
        if matches!(self.reader, Reader::Follower { .. }) {
            // The read may have taken long enough for this broker to follow another one since, and to have copied records
            // behind the offset that the follower, who does not know, would take for those of the epoch that it follows in.
            // Who does not lead any more says so before anything is cut.
            let now = partition.leadership();
            if !now.is_leader || now.epoch != leadership.epoch {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
        }
        let is_cut = read.next_offset < upper;
        let available = if is_cut { read.size_bytes.max(max_bytes) } else { read.size_bytes };
        answer.records = Some(read.chunks.into());
        Ok((answer, available))
    }

    fn reader_is_committed(&self) -> bool {
        matches!(self.reader, Reader::Consumer { read_committed: true, .. })
    }

    /// Whether this broker is the one to ask: it leads, or is a follower that may be read from.
    fn check(&self, partition: &Partition, believed: LeaderEpoch) -> Result<Leadership, ErrorCode> {
        let reads_followers = matches!(self.reader, Reader::Consumer { reads_followers: true, .. });
        match partition.check_leader(believed) {
            Err(ErrorCode::NotLeaderOrFollower) if reads_followers => {
                // One that is given up has no replicas any more.
                let leadership = partition.leadership();
                (leadership.replicas > 0).then_some(leadership).ok_or(ErrorCode::NotLeaderOrFollower)
            }
            checked => checked,
        }
    }

    /// The follower that a consumer had better read from, if this broker leads and chooses (KIP-392).
    fn nearer(&self, partition: &Partition, leadership: Leadership, want: &Want) -> Option<BrokerId> {
        let rack = self.rack.as_ref().filter(|_| leadership.is_leader)?;
        let image = self.core.metadata.image();
        let rack_of = |broker| image.broker(broker).and_then(|broker| broker.registration.rack.as_deref());
        let followers = partition.followers();
        let holds = |follower: &&FollowerState| {
            follower.in_isr
                && image.broker(follower.broker).is_some_and(|broker| !broker.fenced)
                && follower.end >= Some(want.fetch_offset)
                && follower.log_start.is_some_and(|start| start <= want.fetch_offset)
        };
        let candidates = followers.iter().filter(holds).map(|follower| Candidate {
            broker: follower.broker,
            rack: rack_of(follower.broker),
            end: follower.end.unwrap_or_default(),
        });
        nearest(rack, rack_of(self.core.node_id), candidates)
    }

    /// Whether a throttle lets nothing pass for this reader now (KIP-73). Replicas in sync are not held back.
    fn is_held_back(&self, partition: &Partition) -> bool {
        let Reader::Follower { broker, .. } = self.reader else { return false };
        let throttle = &self.core.throttles.leader;
        throttle.holds_for((partition.topic_id, partition.id.partition))
            && !partition.has_in_sync(broker)
            && throttle.closed_for().is_some()
    }

    fn failed(&self, error: ErrorCode, partition: Option<&Partition>) -> PartitionData {
        let mut answer = PartitionData {
            error_code: error.code(),
            high_watermark: -1,
            records: Some(Records::new()),
            ..PartitionData::default()
        };
        if let (ErrorCode::OffsetOutOfRange, Reader::Follower { .. }, Some(partition)) =
            (error, self.reader, partition)
        {
            // It begins anew there, without asking where that is.
            answer.log_start_offset = partition.log.start_offset().0;
        }
        answer
    }

    fn may_tell_of(&self, partition: &Partition) -> bool {
        let mut limit = self.core.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        limit.admit(&partition.id, Instant::now())
    }

    fn is_enough(&self, round: &Round) -> bool {
        let available = i64::try_from(round.available).unwrap_or(i64::MAX);
        round.urgent || available >= self.min_bytes || self.session.wants().is_empty()
    }

    /// Reads until there is enough, or until the deadline.
    async fn read_when_enough(&self, deadline: Instant) -> Round {
        loop {
            if let Some(round) = self.wait(deadline).await {
                return round;
            }
            let round = self.read(Look::Again).await;
            if self.is_enough(&round) || Instant::now() >= deadline {
                return round;
            }
        }
    }

    /// Waits until enough was appended, until something else happened, or until the deadline. What is there already may be
    /// enough: then that is the answer.
    async fn wait(&self, deadline: Instant) -> Option<Round> {
        // A new waiter each time: what is appended during the look counts towards the next.
        let waiter = Waiter::new(self.min_bytes);
        let what = self.reader.waits_for();
        let place = |partition: Result<Arc<Partition>, ErrorCode>| Some(partition.ok()?.wait(what, &waiter));
        let places: Vec<Option<Place>> = self.find().into_iter().map(place).collect();
        let round = self.read(Look::Again).await;
        if self.is_enough(&round) || Instant::now() >= deadline {
            return Some(round);
        }
        let is_missing_some = !waiter.count(i64::try_from(round.available).unwrap_or(i64::MAX));
        if is_missing_some && is_heard(&round, &places) {
            // An elapsed deadline is no error: the next look is the last.
            let _elapsed = tokio::time::timeout_at(deadline, waiter.wait()).await;
        }
        None
    }

    /// Counts what is answered for a partition.
    fn count(&self, answer: &PartitionData, partition: Option<&Partition>) {
        let size = answer.records.as_ref().map_or(0, Records::len);
        let failed = answer.error_code != 0;
        match partition {
            Some(partition) if matches!(self.reader, Reader::Follower { .. }) => {
                partition.traffic.note_follower_fetch(size, failed);
                let throttle = &self.core.throttles.leader;
                if throttle.holds_for((partition.topic_id, partition.id.partition)) {
                    throttle.spent(size);
                }
            }
            Some(partition) => partition.traffic.note_fetch(size, failed),
            None => self.core.metrics.topics.note_fetch_of_unknown(),
        }
    }

    fn respond(&self, round: Round) -> FetchResponse {
        let mut responses: Vec<FetchableTopicResponse> = Vec::new();
        let mut current: Option<&TopicKey> = None;
        for ((key, _), (answer, partition)) in self.session.wants().iter().zip(round.answers) {
            self.count(&answer, partition.as_deref());
            if !self.session.must_answer(key, &answered(&answer)) {
                continue;
            }
            match responses.last_mut().filter(|_| current == Some(&key.topic)) {
                Some(topic) => topic.partitions.push(answer),
                None => {
                    current = Some(&key.topic);
                    let mut topic = FetchableTopicResponse { partitions: vec![answer], ..Default::default() };
                    match &key.topic {
                        TopicKey::Id(id) => topic.topic_id = (*id).into(),
                        TopicKey::Name(name) => topic.topic = (&**name).into(),
                    }
                    responses.push(topic);
                }
            }
        }
        FetchResponse { session_id: self.session.session_id(), responses, ..FetchResponse::default() }
    }
}

/// Whether the partitions that were read are those at which there are places. A topic that was deleted and made again
/// in between has others, which would wake nobody.
fn is_heard(round: &Round, places: &[Option<Place>]) -> bool {
    round.answers.iter().zip(places).all(|((_, partition), place)| match (partition, place) {
        (Some(partition), Some(place)) => partition.gave(place),
        (Some(_), None) => false,
        (None, _) => true,
    })
}

fn answered(answer: &PartitionData) -> Answered {
    Answered {
        told: Told {
            high_watermark: Offset(answer.high_watermark),
            log_start: Offset(answer.log_start_offset),
            last_stable: Offset(answer.last_stable_offset),
        },
        has_records: answer.records.as_ref().is_some_and(|records| !records.is_empty()),
        is_error: answer.error_code != 0
            || answer.diverging_epoch.end_offset >= 0
            || answer.preferred_read_replica >= 0,
    }
}

/// Takes note that a follower has all below the offset that it asks for, unless its log parts from this one: then the answer
/// is where.
fn acknowledge(
    partition: &Partition,
    leadership: Leadership,
    want: &Want,
    follower: BrokerId,
    broker_epoch: Option<BrokerEpoch>,
) -> Result<Option<EpochEndOffset>, ErrorCode> {
    let names_epoch = want.current_leader_epoch != LeaderEpoch::NONE;
    let last_fetched_epoch = Some(want.last_fetched_epoch).filter(|epoch| *epoch != LeaderEpoch::NONE);
    let fetch = FollowerFetch {
        follower,
        broker_epoch,
        leader_epoch: if names_epoch { want.current_leader_epoch } else { leadership.epoch },
        offset: want.fetch_offset,
        last_fetched_epoch,
        log_start: want.log_start,
    };
    let diverging = partition.fetched(&fetch).map_err(|error| match error {
        // It is no replica as far as is known here. One that names an epoch knows the metadata better, and asks again; of
        // another nobody can tell which of the two is behind.
        ErrorCode::UnknownLeaderEpoch if !names_epoch => ErrorCode::NotLeaderOrFollower,
        error => error,
    })?;
    Ok(diverging.map(|end| EpochEndOffset {
        epoch: end.epoch.0,
        end_offset: end.end.0,
        ..EpochEndOffset::default()
    }))
}

/// Where a reader's log parts from this one, if the epoch of its last record says that it does (KIP-595).
fn diverging(partition: &Partition, want: &Want) -> Result<Option<EpochEndOffset>, ErrorCode> {
    // What lies below the start is gone, whichever epoch it was of.
    if want.last_fetched_epoch == LeaderEpoch::NONE || want.fetch_offset < partition.log.start_offset() {
        return Ok(None);
    }
    let Some((epoch, end_offset)) = partition.log.epoch_end_offset(want.last_fetched_epoch) else {
        return Err(ErrorCode::OffsetOutOfRange);
    };
    let parts = epoch < want.last_fetched_epoch || end_offset < want.fetch_offset;
    Ok(parts.then(|| EpochEndOffset {
        epoch: epoch.0,
        end_offset: end_offset.0,
        ..EpochEndOffset::default()
    }))
}
