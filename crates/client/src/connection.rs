//! One connection to one broker: requests go out as they come, many at a time, and answers are matched in order.
//!
//! The first request asks which versions the broker serves (KIP-35), falling back to version 0 as KIP-511 has it; every
//! later request takes the highest version that both sides know.
//!
//! What is not here: which broker to ask, and asking again.

mod link;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use ottla_env::{Net, process};
use ottla_types::ErrorCode;
use ottla_wire::api::ApiRequest;
use ottla_wire::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_wire::schema::Versions;
use ottla_wire::{ApiKey, Reader, Request, RequestHeader, Str, frame, header};
use tokio::sync::{mpsc, oneshot};

use crate::address::Address;
use crate::error::Error;
use link::{Command, Ended, Link};

/// A request that a connection can send: every one of [`ottla_wire::messages`].
pub trait Call: ApiRequest + Into<Request> {}

impl<R: ApiRequest + Into<Request>> Call for R {}

/// How a connection behaves.
#[derive(Debug, Clone)]
pub struct ConnectionOptions {
    /// What the client calls itself: `client.id`.
    pub client_id: String,
    /// How long connecting, and then agreeing on versions, may take: `socket.connection.setup.timeout.ms`.
    pub connect_timeout: Duration,
    /// How long an answer may take where a call does not say: `request.timeout.ms`.
    pub request_timeout: Duration,
    /// The largest answer that is read.
    pub max_response_bytes: u32,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            client_id: "ottla".to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_response_bytes: 256 << 20,
        }
    }
}

/// A connection to a broker. Cheap to clone; it closes when the last clone is gone and every answer is in.
///
/// It holds no more than callers put in: whoever sends without waiting bounds what is in flight.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    broker: Address,
    client_id: Str,
    request_timeout: Duration,
    /// The versions that the broker serves, by API key. Void until they are asked for.
    versions: OnceLock<BTreeMap<i16, (i16, i16)>>,
    commands: mpsc::UnboundedSender<Command>,
    next_correlation_id: AtomicI32,
    ended: Ended,
}

impl Connection {
    /// Connects, and agrees on versions. Needs a tokio runtime, in which the connection's task runs.
    ///
    /// # Errors
    /// [`Error::Connect`], or what becomes of the ApiVersions request.
    pub async fn open(net: &dyn Net, broker: &Address, options: &ConnectionOptions) -> Result<Self, Error> {
        let connecting = net.connect(broker.host(), broker.port());
        let stream = match tokio::time::timeout(options.connect_timeout, connecting).await {
            Ok(stream) => stream.map_err(|error| Error::Connect {
                broker: broker.clone(),
                kind: error.kind(),
                message: error.to_string(),
            })?,
            Err(_) => {
                let after_ms = options.connect_timeout.as_millis();
                return Err(Error::Connect {
                    broker: broker.clone(),
                    kind: std::io::ErrorKind::TimedOut,
                    message: format!("cannot connect to {broker}: no answer within {after_ms} ms"),
                });
            }
        };
        let (commands, receiver) = mpsc::unbounded_channel();
        let ended = Ended::default();
        let link =
            Link::new(broker.clone(), stream, options.max_response_bytes, receiver, Arc::clone(&ended));
        process::spawn(link.run());
        let connection = Self {
            inner: Arc::new(Inner {
                broker: broker.clone(),
                client_id: Str::from(&options.client_id),
                request_timeout: options.request_timeout,
                versions: OnceLock::new(),
                commands,
                next_correlation_id: AtomicI32::new(0),
                ended,
            }),
        };
        connection.agree_on_versions(options.connect_timeout).await?;
        Ok(connection)
    }

    /// The broker's address.
    #[must_use]
    pub fn broker(&self) -> &Address {
        &self.inner.broker
    }

    /// How long an answer may take where a call does not say.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        self.inner.request_timeout
    }

    /// Whether the connection has ended, so that every request would fail.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.commands.is_closed()
    }

    /// The version in which requests of this API are sent: the highest that both sides know.
    ///
    /// # Errors
    /// [`Error::UnsupportedApi`].
    pub fn version(&self, api: ApiKey) -> Result<i16, Error> {
        self.version_up_to(api, i16::MAX)
    }

    /// The same, not above `highest`: for a client that lacks what later versions ask for, such as a topic's id.
    ///
    /// # Errors
    /// [`Error::UnsupportedApi`].
    pub fn version_up_to(&self, api: ApiKey, highest: i16) -> Result<i16, Error> {
        let ours = api.versions();
        let theirs = self.inner.versions.get().and_then(|versions| versions.get(&api.code())).copied();
        common_version(ours, theirs, highest).ok_or_else(|| Error::UnsupportedApi {
            broker: self.inner.broker.clone(),
            api,
            ours,
            theirs,
        })
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// What keeps the request from being sent or the answer from being read; not the error codes in it.
    pub async fn call<R: Call>(&self, request: R) -> Result<R::Response, Error> {
        self.start(request, self.inner.request_timeout)?.wait().await
    }

    /// Sends a request; its answer is waited for elsewhere. Requests go out in the order of the calls.
    ///
    /// # Errors
    /// [`Error::UnsupportedApi`] or [`Error::Encode`]: nothing was sent.
    pub fn start<R: Call>(&self, request: R, timeout: Duration) -> Result<Pending<R::Response>, Error> {
        let version = self.version(R::API)?;
        self.start_at(request, version, timeout)
    }

    /// Sends a request in a version chosen by the caller.
    ///
    /// # Errors
    /// [`Error::Encode`]: nothing was sent.
    pub fn start_at<R: Call>(
        &self,
        request: R,
        version: i16,
        timeout: Duration,
    ) -> Result<Pending<R::Response>, Error> {
        let raw = self.enqueue(&request.into(), version, timeout, true)?;
        Ok(Pending { raw, version, response: PhantomData })
    }

    /// Sends a request that the broker does not answer: Produce with `acks=0`. Ends when it is written.
    ///
    /// # Errors
    /// [`Error::Encode`]; [`Error::TimedOut`] if the broker takes nothing for the connection's request timeout, or
    /// [`Error::Disconnected`] if the connection ended before.
    pub async fn send_unanswered<R: Call>(&self, request: R, version: i16) -> Result<(), Error> {
        self.enqueue(&request.into(), version, self.inner.request_timeout, false)?.wait().await.map(drop)
    }

    fn enqueue(
        &self,
        request: &Request,
        version: i16,
        timeout: Duration,
        has_answer: bool,
    ) -> Result<RawPending, Error> {
        let api = request.api();
        let correlation_id = self.inner.next_correlation_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let header = RequestHeader {
            client_id: Some(self.inner.client_id.clone()),
            ..RequestHeader::new(api, version, correlation_id)
        };
        let frame = frame::encode_request(&header, request).map_err(|reason| Error::Encode {
            broker: self.inner.broker.clone(),
            api,
            reason,
        })?;
        let (answer, receiver) = oneshot::channel();
        // Where the link has ended the command is dropped, and with it the sender, which the receiver notices.
        let _ = self.inner.commands.send(Command { frame, api, correlation_id, timeout, has_answer, answer });
        Ok(RawPending {
            receiver,
            api,
            broker: self.inner.broker.clone(),
            ended: Arc::clone(&self.inner.ended),
        })
    }

    async fn agree_on_versions(&self, timeout: Duration) -> Result<(), Error> {
        let served = ApiKey::ApiVersions.versions();
        let mut response = self.api_versions(served.last, timeout).await?;
        if response.error_code == ErrorCode::UnsupportedVersion.code() {
            // The table in the answer may tell which version it would have been; brokers before Kafka 2.4 send none.
            let told = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions.code());
            let theirs = told.map(|api| (api.min_version, api.max_version));
            let version = common_version(served, theirs, i16::MAX).unwrap_or(0);
            response = self.api_versions(version, timeout).await?;
        }
        crate::error::check(self.broker(), ApiKey::ApiVersions, "", response.error_code, None)?;
        let table =
            response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        let _ = self.inner.versions.set(table);
        Ok(())
    }

    async fn api_versions(&self, version: i16, timeout: Duration) -> Result<ApiVersionsResponse, Error> {
        let request = ApiVersionsRequest {
            client_software_name: Str::from_static("ottla"),
            client_software_version: Str::from_static(env!("CARGO_PKG_VERSION")),
            ..ApiVersionsRequest::default()
        };
        let frame = self.enqueue(&request.into(), version, timeout, true)?.wait().await?;
        // KIP-511: a broker that does not know the version says so in version 0.
        let refused = ErrorCode::UnsupportedVersion.code().to_be_bytes();
        let version = if frame.get(4..6) == Some(&refused[..]) { 0 } else { version };
        decode::<ApiVersionsResponse>(self.broker(), ApiKey::ApiVersions, version, frame)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({}{})", self.inner.broker, if self.is_closed() { ", closed" } else { "" })
    }
}

/// A request that is on its way, and will have an answer.
#[must_use = "the answer is lost when nobody waits for it"]
#[derive(Debug)]
pub struct Pending<M> {
    raw: RawPending,
    version: i16,
    response: PhantomData<fn() -> M>,
}

impl<M: ottla_wire::Message> Pending<M> {
    /// Waits for the answer. Dropping this drops the answer, and nothing else.
    ///
    /// # Errors
    /// [`Error::Disconnected`], [`Error::TimedOut`] or [`Error::BadAnswer`].
    pub async fn wait(self) -> Result<M, Error> {
        let (broker, api, version) = (self.raw.broker.clone(), self.raw.api, self.version);
        let frame = self.raw.wait().await?;
        decode(&broker, api, version, frame)
    }

    /// The version in which the request was sent, and the answer comes.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }
}

#[derive(Debug)]
struct RawPending {
    receiver: oneshot::Receiver<Result<Bytes, Error>>,
    api: ApiKey,
    broker: Address,
    ended: Ended,
}

impl RawPending {
    async fn wait(self) -> Result<Bytes, Error> {
        match self.receiver.await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Disconnected {
                broker: self.broker,
                api: self.api,
                reason: self.ended.get().cloned().unwrap_or_else(|| "it was closed".to_owned()),
            }),
        }
    }
}

fn decode<M: ottla_wire::Message>(
    broker: &Address,
    api: ApiKey,
    version: i16,
    frame: Bytes,
) -> Result<M, Error> {
    let (_, mut reader): (_, Reader) =
        header::parse_response(frame, api, version).map_err(|error| bad_answer(broker, api, &error))?;
    M::decode(&mut reader, version).map_err(|error| bad_answer(broker, api, &error))
}

fn bad_answer(broker: &Address, api: ApiKey, reason: &ottla_wire::Error) -> Error {
    Error::BadAnswer { broker: broker.clone(), api, reason: reason.to_string() }
}

/// The highest version that both sides know and that is not above `highest`.
fn common_version(ours: Versions, theirs: Option<(i16, i16)>, highest: i16) -> Option<i16> {
    let (first, last) = theirs?;
    let version = ours.last.min(last).min(highest);
    (version >= ours.first && version >= first).then_some(version)
}
