//! BrokerHeartbeat: what a broker says of itself, and is told to do (KIP-631).
//!
//! ```text
//!             replayed its registration          wants to shut down, and leads something
//!   fenced  ──────────────────────────▶ unfenced ──────────────────────────▶ shutting down
//!     ▲                                     │                                      │ all active brokers know who
//!     └─────────────────────────────────────┴──────────────────────────────────────┘ leads now: stop
//! ```
//!
//! That it came at all, and when, is the failure detector's matter.

use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, Offset};

use super::super::{Controller, Decision, Refused};

/// What a broker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The broker.
    pub id: BrokerId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// The last record that it has replayed; -1 if none.
    pub metadata_offset: Offset,
    /// Whether it wants to be fenced.
    pub want_fence: bool,
    /// Whether it wants to stop.
    pub want_shut_down: bool,
    /// Its log directories that have failed (KIP-858).
    pub offline_directories: Vec<DirectoryId>,
}

/// What a broker is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatAnswer {
    /// Whether it has replayed its own registration.
    pub is_caught_up: bool,
    /// Whether it is fenced.
    pub is_fenced: bool,
    /// Whether it is shutting down, and leads nothing new.
    pub in_controlled_shutdown: bool,
    /// Whether it may stop now.
    pub should_shut_down: bool,
}

/// What becomes of the broker by a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Stay,
    Fence,
    Unfence,
    ShutDown,
    Stop,
}

/// What the controller knows of a registered broker besides the records: from its heartbeats, and from where its
/// registration is. A new controller learns it anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Seen {
    /// The registration.
    pub(in super::super) epoch: BrokerEpoch,
    /// Where it is in the log, or further on.
    pub(in super::super) registered_at: Offset,
    /// What it has replayed, as far as it said.
    pub(in super::super) replayed: Option<Offset>,
    /// Where all its leaderships are given away, if it shuts down.
    pub(in super::super) moved_at: Option<Offset>,
}

impl Controller {
    /// Decides a heartbeat. The answer is STALE_BROKER_EPOCH or BROKER_ID_NOT_REGISTERED if the registration is not that
    /// one any more: the broker must register again.
    pub fn heartbeat(&mut self, heartbeat: &Heartbeat) -> Decision<Result<HeartbeatAnswer, Refused>> {
        let (id, epoch) = (heartbeat.id, heartbeat.epoch);
        if let Err(refused) = self.check_registration(id, epoch) {
            return Decision::unchanged(Err(refused));
        }
        self.note(heartbeat);
        let failed = self.fail_directories(id, epoch, &heartbeat.offline_directories);
        let is_caught_up = self.is_caught_up(heartbeat);
        let next = self.next(heartbeat, is_caught_up);
        let step = match next {
            Next::Stay => Decision::unchanged(()),
            Next::Fence | Next::Stop => self.fence(id, epoch),
            Next::Unfence => self.unfence(id, epoch),
            Next::ShutDown => self.begin_shutdown(id, epoch),
        };
        let broker = self.speculative.broker(id);
        let answer = HeartbeatAnswer {
            is_caught_up,
            is_fenced: broker.is_none_or(|broker| broker.fenced),
            in_controlled_shutdown: broker.is_some_and(|broker| broker.in_controlled_shutdown),
            should_shut_down: next == Next::Stop,
        };
        failed.then(step).map(|()| Ok(answer))
    }

    /// Remembers how far the broker is.
    fn note(&mut self, heartbeat: &Heartbeat) {
        if let Some(seen) = self.seen.get_mut(&heartbeat.id).filter(|seen| seen.epoch == heartbeat.epoch) {
            seen.replayed = Some(heartbeat.metadata_offset);
        }
    }

    /// Whether the broker has replayed its own registration. One that is not committed yet nobody has replayed.
    fn is_caught_up(&self, heartbeat: &Heartbeat) -> bool {
        let seen = self.seen.get(&heartbeat.id).filter(|seen| seen.epoch == heartbeat.epoch);
        seen.is_some_and(|seen| heartbeat.metadata_offset >= seen.registered_at)
    }

    fn next(&mut self, heartbeat: &Heartbeat, is_caught_up: bool) -> Next {
        let Some(broker) = self.speculative.broker(heartbeat.id) else { return Next::Stay };
        let leads = self.speculative.hosted(heartbeat.id).is_some_and(|hosted| !hosted.leads.is_empty());
        if broker.fenced {
            return match heartbeat {
                Heartbeat { want_shut_down: true, .. } => Next::Stop,
                // Who has begun to shut down comes back with a new registration, or not at all.
                _ if broker.in_controlled_shutdown || heartbeat.want_fence || !is_caught_up => Next::Stay,
                _ => Next::Unfence,
            };
        }
        if broker.in_controlled_shutdown {
            return match leads {
                true => Next::ShutDown,
                false if self.everybody_knows_what_moved(heartbeat.id) => Next::Stop,
                false => Next::Stay,
            };
        }
        match (heartbeat.want_fence, heartbeat.want_shut_down) {
            (true, true) => Next::Stop,
            (true, false) => Next::Fence,
            (false, true) if leads => Next::ShutDown,
            (false, true) => Next::Stop,
            (false, false) => Next::Stay,
        }
    }

    /// Whether all active brokers have replayed that a broker leads nothing any more. Before that, clients may still be
    /// sent to it.
    fn everybody_knows_what_moved(&mut self, id: BrokerId) -> bool {
        let still_leads = self.committed.hosted(id).is_some_and(|hosted| !hosted.leads.is_empty());
        let marked = self.committed.broker(id).is_some_and(|broker| broker.in_controlled_shutdown);
        let (Some(committed), false, true) = (self.committed.offset(), still_leads, marked) else {
            return false;
        };
        let Some(seen) = self.seen.get_mut(&id) else { return false };
        let moved_at = *seen.moved_at.get_or_insert(committed);
        let mut active = self.committed.brokers().filter(|broker| broker.is_active());
        active.all(|broker| {
            let seen = self.seen.get(&broker.registration.id);
            let seen = seen.filter(|seen| seen.epoch == broker.registration.epoch);
            seen.and_then(|seen| seen.replayed).is_some_and(|replayed| replayed >= moved_at)
        })
    }
}
