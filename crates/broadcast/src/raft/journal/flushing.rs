//! The task that tells of what has become durable, in order.

use std::io;
use std::sync::Arc;

use openraft::storage::IOFlushed;
use ottla_types::Offset;
use tokio::sync::{mpsc, oneshot, watch};

use super::super::types::Types;
use super::closed;
use crate::AppendError;

/// What is done when something is durable.
pub(super) struct Flushing {
    pub(super) written: Option<oneshot::Receiver<Result<Offset, AppendError>>>,
    pub(super) then: Then,
}

pub(super) enum Then {
    Append(IOFlushed<Types>),
    Tell(oneshot::Sender<io::Result<()>>),
    Nothing,
}

/// Notes why the storage failed, the first time that it does.
pub(super) fn fail(failure: &watch::Sender<Option<Arc<str>>>, reason: &str) {
    failure.send_if_modified(|known| {
        let is_first = known.is_none();
        known.get_or_insert_with(|| reason.into());
        is_first
    });
}

/// Tells, in order, of what has become durable.
pub(super) async fn flush(
    mut inbox: mpsc::UnboundedReceiver<Flushing>,
    failure: watch::Sender<Option<Arc<str>>>,
) {
    let mut failed: Option<String> = None;
    while let Some(Flushing { written, then }) = inbox.recv().await {
        if let Some(written) = written {
            let result = written.await.unwrap_or_else(|_| Err(AppendError::Unknown(Arc::new(closed()))));
            if let Err(error) = result
                && failed.is_none()
            {
                fail(&failure, &error.to_string());
                failed = Some(error.to_string());
            }
        }
        let result = failed.as_ref().map_or(Ok(()), |why| Err(io::Error::other(why.clone())));
        match then {
            Then::Append(callback) => callback.io_completed(result),
            // Whoever asked may have gone.
            Then::Tell(tell) => drop(tell.send(result)),
            Then::Nothing => {}
        }
    }
}
