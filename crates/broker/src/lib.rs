//! Listeners, sessions and one handler per API.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod fetch_session;
mod server;
mod waiters;
