//! The network as a test steers it.

use std::sync::{Arc, Mutex, PoisonError};

use ottla_env::Net;

use super::link::Quality;
use super::port::Port;
use super::state::{ConnId, State};
use crate::engine::{NodeId, Timeline, Trace};
use crate::rng::SimRng;

/// What the clones of a network share.
pub(super) struct Shared(Mutex<State>);

impl Shared {
    /// Does something to the state, and wakes whom it concerns.
    pub(super) fn with<R>(&self, what: impl FnOnce(&mut State) -> R) -> R {
        let (result, to_wake) = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let result = what(&mut state);
            (result, std::mem::take(&mut state.to_wake))
        };
        to_wake.into_iter().for_each(std::task::Waker::wake);
        result
    }
}

/// A network in memory. Clones are the same network.
#[derive(Clone)]
pub struct SimNet(pub(super) Arc<Shared>);

impl SimNet {
    /// A network without machines.
    #[must_use]
    pub fn new(rng: SimRng, timeline: Timeline, trace: Trace) -> Self {
        Self(Arc::new_cyclic(|me| Shared(Mutex::new(State::new(me.clone(), rng, timeline, trace)))))
    }

    /// Adds a machine under a name. Its address is 10.0.0.N.
    pub fn add_host(&self, node: NodeId, name: &str) {
        self.0.with(|state| state.add_host(node, name));
    }

    /// The network as processes on a machine see it.
    #[must_use]
    pub fn port(&self, node: NodeId) -> Arc<dyn Net> {
        Arc::new(Port { net: self.clone(), node })
    }

    /// Nothing that is sent from one machine arrives at the other from now on. The other direction stays as it is.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.0.with(|state| state.link(from, to).is_cut = true);
    }

    /// Both directions between two machines.
    pub fn cut_both(&self, one: NodeId, other: NodeId) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// What is sent from one machine arrives at the other again.
    pub fn mend(&self, from: NodeId, to: NodeId) {
        self.0.with(|state| state.link(from, to).is_cut = false);
    }

    /// Nothing is cut any more, and every link is as usual.
    pub fn heal(&self) {
        self.0.with(State::heal_all);
    }

    /// What one direction between two machines is like from now on.
    pub fn set_quality(&self, from: NodeId, to: NodeId, quality: Quality) {
        self.0.with(|state| state.link(from, to).quality = quality);
    }

    /// What the links between machines are like from now on.
    pub fn set_usual(&self, quality: Quality) {
        self.0.with(|state| state.set_usual(quality));
    }

    /// Resets every connection between two machines at both ends, as a firewall that lost its state does.
    pub fn reset(&self, one: NodeId, other: NodeId) {
        self.0.with(|state| {
            let between = |ends: &[super::connection::End; 2]| {
                [(one, other), (other, one)].contains(&(ends[0].node, ends[1].node))
            };
            let found = state.connections.iter().filter(|(_, connection)| between(&connection.ends));
            let found: Vec<ConnId> = found.map(|(conn, _)| *conn).collect();
            for conn in found {
                state.reset(conn, 0);
                state.reset(conn, 1);
            }
        });
    }

    /// A machine stops at once, and says nothing to anybody.
    pub fn power_off(&self, node: NodeId) {
        self.0.with(|state| state.power_off(node));
    }

    /// A machine answers again. What is sent on connections of its past is answered with a reset.
    pub fn power_on(&self, node: NodeId) {
        self.0.with(|state| state.host_mut(node).has_power = true);
    }

    /// How many connections there are, for tests that look for leaks.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.with(|state| state.connections.len())
    }
}
