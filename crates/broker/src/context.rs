//! What a handler knows of a request besides its body, and how it may answer.

use std::future::Future;
use std::pin::Pin;

use ottla_wire::{ApiKey, Response, Str};

use crate::server::Peer;

/// Where a request comes from.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) client_id: Option<Str>,
    pub(crate) peer: Peer,
    /// Whether another broker handed it on (KIP-590), having checked what only the broker that was asked can.
    pub(crate) is_forwarded: bool,
}

/// What a handler makes of a request.
pub(crate) enum Answer {
    /// The response.
    Now(Response),
    /// The request has had its effect; the response waits for something.
    Later(Pin<Box<dyn Future<Output = Response> + Send>>),
    /// Nothing is sent (Produce with `acks=0`).
    Silent,
    /// The connection cannot go on, for this reason.
    Close(String),
}

impl<R: Into<Response>> From<R> for Answer {
    fn from(response: R) -> Self {
        Self::Now(response.into())
    }
}
