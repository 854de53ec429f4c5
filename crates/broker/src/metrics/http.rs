//! The listener of `/metrics` and `/health`: HTTP/1.1, one request on each connection.
//!
//! Whoever reaches it can ask, and nothing can be changed by asking. So all there is to defend is the broker's memory and
//! descriptors: connections are few, their headers small, and none lasts long. What is not here: what is answered.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use ottla_env::{Env, ListenOptions, Listener, process};
use ottla_types::config::Settings;
use ottla_types::config::broker::metrics::METRICS_LISTENER;
use ottla_types::config::listeners::split_host_port;

use super::monitor::Monitor;
use super::places::{Place, Places, WaitsFor};
use super::watched::Watched;
use crate::server::{LogLimit, stopped};

/// The most connections at a time. A scraper and a prober need two.
const MOST_CONNECTIONS: usize = 16;

/// The most bytes of a request's first line and headers together; 8 KiB is the least that the library takes.
const MOST_HEADER_BYTES: usize = 8 << 10;

/// How long a client may take for its request.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may take nothing of its answer.
const READER_PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may last, with its answer. Scrapers give up after ten seconds unless they are told otherwise.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait after a failed accept: descriptors have run out, most likely.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// The format of `/metrics`.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A listener that answers from a [`Monitor`].
pub(crate) struct HttpServer {
    listener: Box<dyn Listener>,
    monitor: Arc<Monitor>,
}

impl HttpServer {
    /// Listens where `metrics.listener` says, if it does.
    ///
    /// # Errors
    /// Names the address that cannot be listened on.
    pub(crate) async fn bind(
        env: &Env,
        settings: &Settings,
        monitor: &Arc<Monitor>,
    ) -> io::Result<Option<Self>> {
        let Some((host, port)) = settings.get(&METRICS_LISTENER).as_deref().and_then(split_host_port) else {
            return Ok(None);
        };
        let listener = env.net.listen(&host, port, ListenOptions::default()).await?;
        info!(address = %listener.local_addr(), "serving /metrics and /health");
        Ok(Some(Self { listener, monitor: Arc::clone(monitor) }))
    }

    /// The address that it is bound to.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Answers until the broker stops.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let places = Places::new(MOST_CONNECTIONS);
        let mut lines = LogLimit::default();
        // Dropped with the listener: nobody minds an answer that is cut off by the end of the broker.
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    warn!(%error, "cannot accept a connection for /metrics");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                    continue;
                }
            };
            if places.are_taken()
                && let Some(suppressed) = lines.admit(Instant::now())
            {
                let peer = stream.peer();
                warn!(
                    %peer,
                    suppressed,
                    "too many connections for /metrics: one that does not ask or does not read gives way to this one"
                );
            }
            // Without such a one this one is closed: those that are open are being answered, and end soon.
            let Some(place) = places.take() else { continue };
            let monitor = Arc::clone(&self.monitor);
            process::spawn_in(&mut connections, async move {
                let peer = stream.peer();
                let served = tokio::select! {
                    biased;
                    served = serve(stream, &monitor, &place) => served,
                    () = place.gives_way() => Err("it gave way to another".to_owned()),
                };
                if let Err(reason) = served {
                    debug!(%peer, reason, "a connection for /metrics ended early");
                }
            });
        }
    }
}

/// Answers the request of one connection, and keeps its place told; an error says why it was not answered.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    monitor: &Monitor,
    place: &Place,
) -> Result<(), String> {
    let stream = Watched::new(stream, place, READER_PATIENCE);
    let service = service_fn(async |request| {
        place.note(WaitsFor::Answer);
        Ok::<_, Infallible>(answer(monitor, &request).await)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_PATIENCE)
        .max_buf_size(MOST_HEADER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_PATIENCE, connection).await {
        Ok(ended) => ended.map_err(|error| error.to_string()),
        Err(_) => Err(format!("it took longer than {CONNECTION_PATIENCE:?}")),
    }
}

/// The answer to a request. Its body, should it have one, is not read.
async fn answer<B: Body>(monitor: &Monitor, request: &Request<B>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !["/metrics", "/health", "/health/live"].contains(&path) {
        let text = "There are /metrics, /health and /health/live here.\n";
        return respond(StatusCode::NOT_FOUND, TEXT, text);
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response =
            respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "Only GET and HEAD are understood.\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => match monitor.metrics().await {
            Ok(text) => respond(StatusCode::OK, OPEN_METRICS, text),
            Err(reason) => {
                error!(reason, "cannot write /metrics");
                respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "The metrics cannot be written.\n")
            }
        },
        // Whoever can say this lives. A broker that recovers its logs must not be killed for not being ready.
        "/health/live" => respond(StatusCode::OK, JSON, "{\"status\":\"live\"}\n"),
        _ => {
            let health = monitor.health().await;
            let status = if health.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            respond(status, JSON, health.body())
        }
    }
}

fn respond(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
