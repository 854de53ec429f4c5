//! What the settings say of fetchers: `replica.fetch.*`, `replica.socket.timeout.ms`.

use std::time::Duration;

use ottla_client::ConnectionOptions;
use ottla_types::BrokerId;
use ottla_types::config::Settings;
use ottla_types::config::broker::replication as keys;

use super::slots::Slot;

/// The largest answer: there is none. A batch is given whatever its size, and memory is taken as its bytes come.
const MAX_ANSWER_BYTES: u32 = i32::MAX.unsigned_abs();

/// Longest time for a connection to come to stand. Within a cluster one that takes longer is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How fetchers ask, and how long they wait.
#[derive(Debug, Clone)]
pub(super) struct FetchSettings {
    /// `replica.fetch.wait.max.ms`.
    pub(super) max_wait_ms: i32,
    /// `replica.fetch.min.bytes`.
    pub(super) min_bytes: i32,
    /// `replica.fetch.response.max.bytes`.
    pub(super) max_bytes: i32,
    /// `replica.fetch.max.bytes`.
    pub(super) partition_max_bytes: i32,
    /// `replica.fetch.backoff.ms`: the longest rest after a failure.
    pub(super) backoff: Duration,
    /// `replica.socket.timeout.ms`, and what an answer may wait at the leader.
    pub(super) timeout: Duration,
}

impl From<&Settings> for FetchSettings {
    fn from(settings: &Settings) -> Self {
        let ms = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let max_wait_ms = settings.get(&keys::REPLICA_FETCH_WAIT_MAX_MS);
        Self {
            max_wait_ms,
            min_bytes: settings.get(&keys::REPLICA_FETCH_MIN_BYTES),
            max_bytes: settings.get(&keys::REPLICA_FETCH_RESPONSE_MAX_BYTES),
            partition_max_bytes: settings.get(&keys::REPLICA_FETCH_MAX_BYTES),
            backoff: ms(settings.get(&keys::REPLICA_FETCH_BACKOFF_MS)),
            timeout: ms(settings.get(&keys::REPLICA_SOCKET_TIMEOUT_MS)) + ms(max_wait_ms),
        }
    }
}

impl FetchSettings {
    /// How the connection of a fetcher of the broker `me` behaves. It calls itself as Kafka's does.
    pub(super) fn connection(&self, me: BrokerId, slot: Slot) -> ConnectionOptions {
        ConnectionOptions {
            client_id: format!("broker-{me}-fetcher-{}", slot.index),
            connect_timeout: CONNECT_TIMEOUT.min(self.timeout),
            request_timeout: self.timeout,
            max_response_bytes: MAX_ANSWER_BYTES,
        }
    }
}
