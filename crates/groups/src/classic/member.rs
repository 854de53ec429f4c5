//! A member of a classic group.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::deadlines::{Deadlines, Handle, Timer};
use crate::effect::Ticket;
use crate::request::{Join, Protocol};

/// A member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// In the order of preference; no name twice.
    pub(crate) protocols: Vec<Protocol>,
    /// What the leader gave it in the generation that is committed.
    pub(crate) assignment: Bytes,
    /// The JoinGroup that waits for the join phase to end.
    pub(crate) join: Option<Ticket>,
    /// The SyncGroup that waits for the leader's assignment.
    pub(crate) sync: Option<Ticket>,
    /// Whether it has never been in a generation. It cannot send heartbeats then, as it may not know its id yet.
    pub(crate) is_new: bool,
    pub(crate) session: Session,
}

/// What a request to join says of its member; kept to undo a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
}

impl Terms {
    pub(crate) fn of(request: &Join) -> Self {
        let mut protocols: Vec<Protocol> = Vec::with_capacity(request.protocols.len());
        let mut known = BTreeSet::new();
        for protocol in &request.protocols {
            if known.insert(protocol.name.as_str()) {
                // A copy, so that a member does not keep the frame of its request in memory.
                let metadata = Bytes::copy_from_slice(&protocol.metadata);
                protocols.push(Protocol { name: protocol.name.clone(), metadata });
            }
        }
        Self {
            protocols,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
        }
    }
}

impl Member {
    /// A member that joins for the first time.
    pub(crate) fn new(id: Arc<str>, request: &Join) -> Self {
        let terms = Terms::of(request);
        Self {
            id,
            instance_id: request.instance_id.as_deref().map(Arc::from),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            rebalance_timeout_ms: terms.rebalance_timeout_ms,
            session_timeout_ms: terms.session_timeout_ms,
            protocols: terms.protocols,
            assignment: Bytes::new(),
            join: None,
            sync: None,
            is_new: true,
            session: Session::default(),
        }
    }

    pub(crate) fn terms(&self) -> Terms {
        Terms {
            protocols: self.protocols.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
        }
    }

    /// The member's metadata under a protocol; empty if it does not know it.
    pub(crate) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let protocol = self.protocols.iter().find(|known| Some(known.name.as_str()) == protocol);
        protocol.map(|protocol| protocol.metadata.clone()).unwrap_or_default()
    }

    /// Whether its silence is no sign of death: it waits for the group. A new member's is, as it may have gone without
    /// anybody noticing.
    pub(crate) fn is_excused(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }
}

/// How long silence is taken for life.
#[derive(Debug, Default)]
pub(crate) struct Session {
    ends_ms: i64,
    handle: Option<Handle>,
}

impl Session {
    /// Begins anew: it ends `timeout_ms` from now.
    pub(crate) fn renew(
        &mut self,
        timeout_ms: i64,
        now_ms: i64,
        deadlines: &mut Deadlines,
        timer: impl FnOnce() -> Timer,
    ) {
        self.ends_ms = now_ms.saturating_add(timeout_ms);
        match self.handle {
            // The entry comes up before the end, and `elapsed` moves it then.
            Some(handle) if handle.at_ms <= self.ends_ms => {}
            _ => {
                self.cancel(deadlines);
                self.handle = Some(deadlines.schedule(self.ends_ms, timer()));
            }
        }
    }

    pub(crate) fn cancel(&mut self, deadlines: &mut Deadlines) {
        if let Some(handle) = self.handle.take() {
            deadlines.cancel(handle);
        }
    }

    /// Whether the entry that came up, and left the queue, is this session's.
    pub(crate) fn owns(&self, handle: Handle) -> bool {
        self.handle == Some(handle)
    }

    /// Called when its entry came up: whether the session is over. If not, the entry is queued again.
    pub(crate) fn elapsed(
        &mut self,
        now_ms: i64,
        deadlines: &mut Deadlines,
        timer: impl FnOnce() -> Timer,
    ) -> bool {
        self.handle = None;
        if self.ends_ms <= now_ms {
            return true;
        }
        self.handle = Some(deadlines.schedule(self.ends_ms, timer()));
        false
    }

    /// Queues it again after [`cancel`](Self::cancel), with the end that it had.
    pub(crate) fn restore(&mut self, deadlines: &mut Deadlines, timer: impl FnOnce() -> Timer) {
        self.cancel(deadlines);
        self.handle = Some(deadlines.schedule(self.ends_ms, timer()));
    }
}
