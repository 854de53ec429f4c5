//! Requests by API: how many, how large, how long they took, and what they were answered with.
//!
//! Everything is found by the API's place in the list, and counted by relaxed additions: no lock and no look-up by name on the way of a
//! request. Times are the parts that Kafka's `RequestMetrics` has: waiting to be looked at, being worked on, waiting for
//! something else (a flush, records), and all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_types::{ErrorCode, Histogram};
use ottla_wire::{ApiKey, Response};
use tokio::time::Instant;

/// The requests of all APIs.
#[derive(Debug)]
pub(crate) struct RequestMetrics {
    /// By the API's place in the list.
    by_place: Vec<Arc<ApiMetrics>>,
    /// Of an API that is not in the list: there is none.
    other: Arc<ApiMetrics>,
}

/// The requests of one API.
#[derive(Debug)]
pub(crate) struct ApiMetrics {
    pub(super) api: ApiKey,
    pub(super) first_version: i16,
    /// By version.
    pub(super) requests: Box<[AtomicU64]>,
    /// By error code, from -1 up.
    errors: Box<[AtomicU64]>,
    pub(super) request_bytes: Histogram,
    pub(super) response_bytes: Histogram,
    pub(super) queue_time: Histogram,
    pub(super) local_time: Histogram,
    pub(super) remote_time: Histogram,
    pub(super) total_time: Histogram,
    /// Requests whose answers wait for something.
    pub(super) waiting: AtomicU64,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        let by_place = ApiKey::ALL.iter().map(|api| Arc::new(ApiMetrics::new(*api))).collect();
        Self { by_place, other: Arc::new(ApiMetrics::new(ApiKey::ApiVersions)) }
    }
}

impl RequestMetrics {
    /// Those of one API.
    pub(crate) fn of(&self, api: ApiKey) -> &Arc<ApiMetrics> {
        self.by_place.get(api.place()).unwrap_or(&self.other)
    }

    /// The APIs that were asked for, in the order of the list.
    pub(super) fn used(&self) -> impl Iterator<Item = &Arc<ApiMetrics>> {
        self.by_place.iter().filter(|api| api.is_used())
    }
}

impl ApiMetrics {
    fn new(api: ApiKey) -> Self {
        let served = api.versions();
        let versions = usize::try_from(served.last.saturating_sub(served.first)).unwrap_or(0) + 1;
        let codes = ErrorCode::ALL.iter().map(|error| place_of(error.code())).max().unwrap_or(0) + 1;
        let zeros = |len| (0..len).map(|_| AtomicU64::new(0)).collect();
        Self {
            api,
            first_version: served.first,
            requests: zeros(versions),
            errors: zeros(codes),
            request_bytes: Histogram::of_sizes(),
            response_bytes: Histogram::of_sizes(),
            queue_time: Histogram::of_times(),
            local_time: Histogram::of_times(),
            remote_time: Histogram::of_times(),
            total_time: Histogram::of_times(),
            waiting: AtomicU64::new(0),
        }
    }

    fn is_used(&self) -> bool {
        self.requests.iter().any(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// Begins with a request of `size_bytes`, whose last byte arrived at `read_at`.
    pub(crate) fn begin(self: &Arc<Self>, version: i16, size_bytes: usize, read_at: Instant) -> Begun {
        let began = Instant::now();
        // A version that is not served is answered, if at all, in the lowest one.
        let at = usize::try_from(version.saturating_sub(self.first_version)).unwrap_or(0);
        let count = self.requests.get(at).or_else(|| self.requests.first());
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.request_bytes.count(size_bytes as u64);
        self.queue_time.count_time(began.saturating_duration_since(read_at));
        Begun { api: Arc::clone(self), read_at, began, waits_since: None }
    }

    /// Counts an answer: its error codes, and its size.
    pub(crate) fn note_response(&self, response: &Response, version: i16, size_bytes: usize) {
        self.response_bytes.count(size_bytes as u64);
        // Most codes say that there was no error.
        let mut without_error = 0;
        response.error_codes(version, &mut |code| match code {
            0 => without_error += 1,
            code => self.count_errors(code, 1),
        });
        self.count_errors(0, without_error);
    }

    fn count_errors(&self, code: i16, count: u64) {
        let unknown = place_of(ErrorCode::UnknownServerError.code());
        if let Some(errors) = self.errors.get(place_of(code)).or_else(|| self.errors.get(unknown)) {
            errors.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// How often each error was answered, those that never were left out.
    pub(super) fn errors(&self) -> impl Iterator<Item = (ErrorCode, u64)> {
        let codes = std::iter::once(&ErrorCode::None).chain(ErrorCode::ALL);
        codes.filter_map(|error| {
            let count = self.errors.get(place_of(error.code()))?.load(Ordering::Relaxed);
            (count > 0).then_some((*error, count))
        })
    }
}

/// Codes begin at -1.
fn place_of(code: i16) -> usize {
    usize::try_from(code.saturating_add(1)).unwrap_or(usize::MAX)
}

/// A request that is being worked on.
#[derive(Debug)]
pub(crate) struct Begun {
    api: Arc<ApiMetrics>,
    read_at: Instant,
    began: Instant,
    /// Since when it waits for something else.
    waits_since: Option<Instant>,
}

impl Begun {
    pub(crate) fn api(&self) -> &ApiMetrics {
        &self.api
    }

    /// The request has had its effect, and its answer waits for something.
    pub(crate) fn waits(&mut self) {
        let now = Instant::now();
        self.api.local_time.count_time(now.saturating_duration_since(self.began));
        self.api.waiting.fetch_add(1, Ordering::Relaxed);
        self.waits_since = Some(now);
    }

    /// The answer is on its way, or there is none.
    pub(crate) fn ends(self) {
        let now = Instant::now();
        self.api.total_time.count_time(now.saturating_duration_since(self.read_at));
        let (part, since) = match self.waits_since {
            Some(since) => (&self.api.remote_time, since),
            None => (&self.api.local_time, self.began),
        };
        part.count_time(now.saturating_duration_since(since));
    }
}

impl Drop for Begun {
    /// Also of a request whose connection ended before it could be answered.
    fn drop(&mut self) {
        if self.waits_since.is_some() {
            self.api.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ottla_wire::metadata::{MetadataResponse, MetadataResponseTopic};
    use tokio::time::advance;

    use super::*;

    #[test]
    fn every_api_is_found_and_errors_by_their_names() {
        let metrics = RequestMetrics::default();
        for api in ApiKey::ALL {
            assert_eq!(metrics.of(*api).api, *api);
        }
        let topic = |error_code| MetadataResponseTopic { error_code, ..MetadataResponseTopic::default() };
        let topics = vec![topic(0), topic(3), topic(3), topic(-1), topic(i16::MAX)];
        let response = Response::from(MetadataResponse { topics, ..MetadataResponse::default() });
        let metadata = metrics.of(ApiKey::Metadata);
        metadata.note_response(&response, 1, 100);
        let expected = [
            (ErrorCode::None, 1),
            (ErrorCode::UnknownServerError, 2),
            (ErrorCode::UnknownTopicOrPartition, 2),
        ];
        assert_eq!(metadata.errors().collect::<Vec<_>>(), expected);
        assert_eq!(metadata.response_bytes.counted().sum, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn the_parts_of_a_requests_time_are_its_whole() {
        let metrics = RequestMetrics::default();
        let fetch = metrics.of(ApiKey::Fetch);
        let read_at = Instant::now();
        advance(Duration::from_millis(1)).await;
        let mut request = fetch.begin(fetch.first_version, 50, read_at);
        advance(Duration::from_millis(20)).await;
        request.waits();
        assert_eq!(fetch.waiting.load(Ordering::Relaxed), 1);
        advance(Duration::from_millis(300)).await;
        request.ends();
        let millis = |histogram: &Histogram| histogram.counted().sum / 1_000_000;
        let parts = [&fetch.queue_time, &fetch.local_time, &fetch.remote_time, &fetch.total_time].map(millis);
        assert_eq!(parts, [1, 20, 300, 321]);
        assert_eq!(fetch.waiting.load(Ordering::Relaxed), 0);
        assert_eq!(metrics.used().map(|api| api.api).collect::<Vec<_>>(), [ApiKey::Fetch]);
    }

    #[tokio::test]
    async fn a_request_whose_connection_ends_waits_no_more_and_has_no_time() {
        let metrics = RequestMetrics::default();
        let fetch = metrics.of(ApiKey::Fetch);
        let mut request = fetch.begin(i16::MAX, 50, Instant::now());
        request.waits();
        drop(request);
        assert_eq!(fetch.waiting.load(Ordering::Relaxed), 0);
        assert_eq!(fetch.total_time.counted().count, 0);
        assert_eq!(fetch.requests[0].load(Ordering::Relaxed), 1, "a version that is not served");
    }
}
