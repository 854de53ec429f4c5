//! Fetch sessions (KIP-227): what a client said it wants to fetch, remembered between its requests.
//!
//! Pure: the time and the source of session ids come in as arguments. What is not here: reading. The Fetch handler
//! asks the cache for the partitions of a request, reads them, and lets the session choose which of the answers the
//! client does not know yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla_types::{ErrorCode, LeaderEpoch, Offset, TopicId};

/// The most partitions that all sessions of a broker remember. Kafka bounds the sessions and not what is in them, so that
/// a client could fill the memory with partitions that do not exist.
const MAX_ENTRIES: usize = 1_000_000;

/// The epoch of a request that opens a session, and of one that wants none of it.
const INITIAL_EPOCH: i32 = 0;
const FINAL_EPOCH: i32 = -1;

/// A topic as a request names it: by id from version 13 on, by name before (KIP-516). The name need not be legal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TopicKey {
    Id(TopicId),
    Name(Arc<str>),
}

/// A partition as a request names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PartitionKey {
    pub(crate) topic: TopicKey,
    pub(crate) partition: i32,
}

/// What a client wants of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) fetch_offset: Offset,
    pub(crate) max_bytes: i32,
    pub(crate) current_leader_epoch: LeaderEpoch,
    pub(crate) last_fetched_epoch: LeaderEpoch,
    /// Where the follower's log starts; -1 for a consumer.
    pub(crate) log_start: Offset,
}

/// What an answer tells of a partition, apart from its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) high_watermark: Offset,
    pub(crate) log_start: Offset,
    pub(crate) last_stable: Offset,
}

/// The part of an answer that decides whether the client must hear of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    pub(crate) told: Told,
    pub(crate) has_records: bool,
    pub(crate) is_error: bool,
}

/// The numbers that a request carries about its session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) session_id: i32,
    pub(crate) epoch: i32,
    pub(crate) uses_topic_ids: bool,
    /// Whether a broker asks: its session goes before those of consumers.
    pub(crate) is_follower: bool,
}

#[derive(Debug)]
struct Entry {
    key: PartitionKey,
    want: Want,
    /// What the client knows; `None` before the first answer and after an error, which it must hear of again.
    told: Option<Told>,
}

/// The partitions of a session in the order in which they are read.
#[derive(Debug, Default)]
struct Entries {
    by_turn: BTreeMap<u64, Entry>,
    turns: HashMap<PartitionKey, u64>,
    next_turn: u64,
}

impl Entries {
    fn put(&mut self, key: PartitionKey, want: Want) {
        if let Some(entry) = self.turns.get(&key).and_then(|turn| self.by_turn.get_mut(turn)) {
            entry.want = want;
            return;
        }
        self.append(Entry { key, want, told: None });
    }

    fn append(&mut self, entry: Entry) {
        self.turns.insert(entry.key.clone(), self.next_turn);
        self.by_turn.insert(self.next_turn, entry);
        self.next_turn += 1;
    }

    fn remove(&mut self, key: &PartitionKey) {
        if let Some(turn) = self.turns.remove(key) {
            self.by_turn.remove(&turn);
        }
    }
}

/// One client's session.
#[derive(Debug)]
pub(crate) struct Session {
    id: i32,
    uses_topic_ids: bool,
    /// The epoch that the next request must carry.
    epoch: i32,
    entries: Entries,
}

impl Session {
    /// Whether the client must be told `answered` of `key`. Remembers what it is told, and puts a partition that gave
    /// records behind the others, so that each has its turn when a response is full.
    pub(crate) fn must_answer(&mut self, key: &PartitionKey, answered: &Answered) -> bool {
        let Some(&turn) = self.entries.turns.get(key) else { return false };
        let Some(entry) = self.entries.by_turn.get_mut(&turn) else { return false };
        let news = entry.told != Some(answered.told);
        entry.told = (!answered.is_error).then_some(answered.told);
        if answered.has_records
            && let Some(entry) = self.entries.by_turn.remove(&turn)
        {
            self.entries.append(entry);
        }
        news || answered.has_records || answered.is_error
    }

    fn wants(&self) -> Vec<(PartitionKey, Want)> {
        self.entries.by_turn.values().map(|entry| (entry.key.clone(), entry.want)).collect()
    }
}

/// How a request stands to sessions.
#[derive(Debug)]
pub(crate) enum Context {
    /// No session: everything asked for is answered.
    Sessionless(Vec<(PartitionKey, Want)>),
    /// A new session was opened, or none was to be had: everything is answered, with the session's id or 0.
    Full { session: Option<Arc<Mutex<Session>>>, wants: Vec<(PartitionKey, Want)> },
    /// An open session: only news is answered.
    Incremental { session: Arc<Mutex<Session>>, wants: Vec<(PartitionKey, Want)> },
}

impl Context {
    /// The partitions to read, in order.
    pub(crate) fn wants(&self) -> &[(PartitionKey, Want)] {
        match self {
            Self::Sessionless(wants) | Self::Full { wants, .. } | Self::Incremental { wants, .. } => wants,
        }
    }

    /// The session id to answer with; 0 for none.
    pub(crate) fn session_id(&self) -> i32 {
        match self {
            Self::Sessionless(_) | Self::Full { session: None, .. } => 0,
            Self::Full { session: Some(session), .. } | Self::Incremental { session, .. } => lock(session).id,
        }
    }

    /// Whether the answer must contain this partition.
    pub(crate) fn must_answer(&self, key: &PartitionKey, answered: &Answered) -> bool {
        match self {
            Self::Sessionless(_) | Self::Full { session: None, .. } => true,
            Self::Full { session: Some(session), .. } => {
                lock(session).must_answer(key, answered);
                true
            }
            Self::Incremental { session, .. } => lock(session).must_answer(key, answered),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Cached {
    session: Arc<Mutex<Session>>,
    created: Duration,
    last_used: Duration,
    size: usize,
    is_follower: bool,
}

/// The open sessions of a broker.
#[derive(Debug)]
pub(crate) struct SessionCache {
    sessions: BTreeMap<i32, Cached>,
    /// How many partitions all sessions remember.
    entries: usize,
    slots: usize,
    eviction: Duration,
}

impl SessionCache {
    /// A cache of `slots` sessions (`max.incremental.fetch.session.cache.slots`), of which one that is older than
    /// `eviction` (`min.incremental.fetch.session.eviction.ms`) may be thrown out for another.
    pub(crate) fn new(slots: usize, eviction: Duration) -> Self {
        Self { sessions: BTreeMap::new(), entries: 0, slots, eviction }
    }

    /// How many sessions there are, and how many partitions they remember together.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.sessions.len(), self.entries)
    }

    /// Finds or opens the session of a request. `random` gives the id of a new session, and is asked for no other.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND, FETCH_SESSION_TOPIC_ID_ERROR or INVALID_FETCH_SESSION_EPOCH: the client opens a
    /// new session.
    pub(crate) fn context(
        &mut self,
        header: Header,
        wants: Vec<(PartitionKey, Want)>,
        forgotten: &[PartitionKey],
        now: Duration,
        random: impl FnOnce() -> u64,
    ) -> Result<Context, ErrorCode> {
        if matches!(header.epoch, INITIAL_EPOCH | FINAL_EPOCH) {
            self.close(header.session_id);
            if header.epoch == FINAL_EPOCH || wants.is_empty() {
                return Ok(Context::Sessionless(wants));
            }
            let session = self.open(header, &wants, now, random);
            return Ok(Context::Full { session, wants });
        }
        let cached = self.sessions.get_mut(&header.session_id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let shared = Arc::clone(&cached.session);
        let mut session = lock(&shared);
        if session.uses_topic_ids != header.uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        if session.epoch != header.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if self.entries + wants.len() > MAX_ENTRIES {
            // The client opens another session, or goes on without one.
            drop(session);
            self.close(header.session_id);
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        for (key, want) in wants {
            session.entries.put(key, want);
        }
        for key in forgotten {
            session.entries.remove(key);
        }
        if session.entries.turns.is_empty() {
            drop(session);
            self.close(header.session_id);
            return Ok(Context::Sessionless(Vec::new()));
        }
        session.epoch = next_epoch(session.epoch);
        cached.last_used = now;
        self.entries -= cached.size;
        cached.size = session.entries.turns.len();
        self.entries += cached.size;
        let wants = session.wants();
        drop(session);
        Ok(Context::Incremental { session: shared, wants })
    }

    fn open(
        &mut self,
        Header { uses_topic_ids, is_follower, .. }: Header,
        wants: &[(PartitionKey, Want)],
        now: Duration,
        random: impl FnOnce() -> u64,
    ) -> Option<Arc<Mutex<Session>>> {
        if self.sessions.len() >= self.slots && !self.evict_for(wants.len(), is_follower, now) {
            return None;
        }
        if self.entries + wants.len() > MAX_ENTRIES {
            return None;
        }
        let mut entries = Entries::default();
        for (key, want) in wants {
            entries.put(key.clone(), *want);
        }
        let id = self.free_id(random());
        let size = entries.turns.len();
        self.entries += size;
        let session = Session { id, uses_topic_ids, epoch: next_epoch(INITIAL_EPOCH), entries };
        let session = Arc::new(Mutex::new(session));
        let cached =
            Cached { session: Arc::clone(&session), created: now, last_used: now, size, is_follower };
        self.sessions.insert(id, cached);
        Some(session)
    }

    /// Throws out a session for a new one of `size` partitions: one unused for the eviction time, or else a smaller
    /// one that has lived that long. A follower's takes the place of the smallest consumer's in any case, and gives way to
    /// no consumer's.
    fn evict_for(&mut self, size: usize, is_follower: bool, now: Duration) -> bool {
        let stale = |cached: &Cached| now.saturating_sub(cached.last_used) > self.eviction;
        let old = |cached: &Cached| now.saturating_sub(cached.created) > self.eviction;
        let gives_way = |cached: &Cached| match (is_follower, cached.is_follower) {
            (true, false) => true,
            (false, true) => false,
            (true, true) | (false, false) => old(cached) && cached.size < size,
        };
        let idlest = self.sessions.iter().filter(|(_, c)| stale(c)).min_by_key(|(_, c)| c.last_used);
        let candidates = || self.sessions.iter().filter(|(_, c)| gives_way(c));
        let smallest = || candidates().min_by_key(|(_, c)| (c.is_follower, c.size));
        match idlest.or_else(smallest).map(|(&id, _)| id) {
            Some(id) => self.close(id),
            None => false,
        }
    }

    fn close(&mut self, id: i32) -> bool {
        let closed = self.sessions.remove(&id);
        self.entries -= closed.as_ref().map_or(0, |cached| cached.size);
        closed.is_some()
    }

    /// A positive id that no session has.
    fn free_id(&self, random: u64) -> i32 {
        // Thirty-one bits of the random number, never 0.
        let mut id = i32::try_from(random & 0x7fff_ffff).unwrap_or(1).max(1);
        while self.sessions.contains_key(&id) {
            id = next_epoch(id);
        }
        id
    }
}

/// Epochs (and candidate ids) count from 1 and wrap to 1.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
#[path = "fetch_session_tests.rs"]
mod tests;
