//! Which broker coordinates a group: asked for once (FindCoordinator), remembered, and asked for again when it may have
//! moved.

use std::future::Future;

use ottla_types::ErrorCode;
use ottla_wire::ApiKey;
use ottla_wire::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};

use super::subject;
use crate::address::Address;
use crate::admin::{bad_answer, one};
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{Error, check};

/// FindCoordinator's number for groups.
const GROUP: i8 = 0;

/// The first version of FindCoordinator that has a list of keys (KIP-699).
const FIRST_BATCHED: i16 = 4;

impl Client {
    /// Where the group's coordinator is reached, as known or asked for once.
    pub(crate) async fn coordinator_address(&self, group: &str) -> Result<Address, Error> {
        if let Some(address) = self.known_coordinator(group) {
            return Ok(address);
        }
        let connection = self.any_broker().await?;
        let version = connection.version(ApiKey::FindCoordinator)?;
        let mut request = FindCoordinatorRequest { key_type: GROUP, ..FindCoordinatorRequest::default() };
        if version >= FIRST_BATCHED {
            request.coordinator_keys = vec![group.into()];
        } else {
            request.key = group.into();
        }
        let timeout = connection.request_timeout();
        let response = connection.start_at(request, version, timeout)?.wait().await?;
        let found = if version >= FIRST_BATCHED {
            one(&connection, ApiKey::FindCoordinator, response.coordinators)?
        } else {
            unbatched(response)
        };
        let message = found.error_message.as_deref();
        check(connection.broker(), ApiKey::FindCoordinator, subject(group), found.error_code, message)?;
        let port = u16::try_from(found.port).map_err(|_| {
            bad_answer(&connection, ApiKey::FindCoordinator, format!("it names port {}", found.port))
        })?;
        let address = Address::new(&found.host, port);
        self.remember_coordinator(group, address.clone());
        Ok(address)
    }

    /// Asks the group's coordinator, and asks again, perhaps elsewhere, as long as that may help.
    pub(crate) async fn with_coordinator<T, F>(
        &self,
        what: String,
        group: &str,
        ask: impl Fn(Connection) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut retry = self.retry(what);
        loop {
            let connected = match self.coordinator_address(group).await {
                Ok(address) => self.connection(&address).await,
                Err(error) => Err(error),
            };
            let result = match connected {
                Ok(connection) => ask(connection).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(value) => return Ok(value),
                Err(error) => {
                    if may_have_moved(&error) {
                        self.forget_coordinator(group);
                    }
                    retry.after(error).await?;
                }
            }
        }
    }
}

/// Whether another broker may be the coordinator after this error.
pub(crate) fn may_have_moved(error: &Error) -> bool {
    match error {
        Error::Connect { .. }
        | Error::Unreachable(_)
        | Error::Disconnected { .. }
        | Error::TimedOut { .. } => true,
        _ => matches!(error.code(), Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable)),
    }
}

fn unbatched(response: FindCoordinatorResponse) -> Coordinator {
    Coordinator {
        node_id: response.node_id,
        host: response.host,
        port: response.port,
        error_code: response.error_code,
        error_message: response.error_message,
        ..Coordinator::default()
    }
}
