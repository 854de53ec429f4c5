//! All of the network: machines, links, listeners, connections.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Weak;
use std::task::Waker;

use super::connection::Connection;
use super::dial::Dial;
use super::handle::Shared;
use super::link::{Link, Quality};
use crate::engine::{Kind, NodeId, Timeline, Trace};
use crate::rng::SimRng;

/// Where ports begin that the system chooses.
const FIRST_EPHEMERAL_PORT: u16 = 32_768;

/// Tells connections apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnId(pub(super) u64);

/// Tells attempts to connect apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DialId(pub(super) u64);

/// A port that is listened on.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) backlog: usize,
    pub(super) send_limit: usize,
    pub(super) receive_limit: usize,
    /// Connections that nobody has accepted yet.
    pub(super) waiting: VecDeque<ConnId>,
    pub(super) acceptor: Option<Waker>,
}

/// A machine.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) ip: Ipv4Addr,
    pub(super) has_power: bool,
    /// Which start of the machine this is: connections do not outlive one.
    pub(super) boot: u64,
    pub(super) bound: BTreeSet<u16>,
    pub(super) listening: BTreeMap<u16, Listening>,
    next_port: u16,
}

impl Host {
    /// A port that nobody has.
    pub(super) fn free_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = if port == u16::MAX { FIRST_EPHEMERAL_PORT } else { port + 1 };
            if !self.bound.contains(&port) {
                return port;
            }
        }
    }
}

/// Everything, behind one lock.
pub(super) struct State {
    me: Weak<Shared>,
    pub(super) timeline: Timeline,
    pub(super) trace: Trace,
    pub(super) rng: SimRng,
    pub(super) hosts: BTreeMap<NodeId, Host>,
    links: BTreeMap<(NodeId, NodeId), Link>,
    usual: Quality,
    pub(super) connections: BTreeMap<ConnId, Connection>,
    pub(super) dials: BTreeMap<DialId, Dial>,
    next_id: u64,
    /// Who is to be woken when the lock is free again.
    pub(super) to_wake: Vec<Waker>,
}

impl State {
    pub(super) fn new(me: Weak<Shared>, rng: SimRng, timeline: Timeline, trace: Trace) -> Self {
        Self {
            me,
            timeline,
            trace,
            rng,
            hosts: BTreeMap::new(),
            links: BTreeMap::new(),
            usual: Quality::local(),
            connections: BTreeMap::new(),
            dials: BTreeMap::new(),
            next_id: 0,
            to_wake: Vec::new(),
        }
    }

    pub(super) fn add_host(&mut self, node: NodeId, name: &str) {
        let [.., high, low] = node.0.to_be_bytes();
        let host = Host {
            name: name.to_owned(),
            ip: Ipv4Addr::new(10, 0, high, low),
            has_power: true,
            boot: 0,
            bound: BTreeSet::new(),
            listening: BTreeMap::new(),
            next_port: FIRST_EPHEMERAL_PORT,
        };
        self.hosts.insert(node, host);
    }

    /// Lets something happen at a time.
    pub(super) fn later(&self, at_us: u64, what: impl FnOnce(&mut Self) + Send + 'static) {
        let me = self.me.clone();
        self.timeline.at(at_us, move || {
            if let Some(shared) = me.upgrade() {
                shared.with(what);
            }
        });
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn host(&self, node: NodeId) -> &Host {
        &self.hosts[&node]
    }

    pub(super) fn host_mut(&mut self, node: NodeId) -> &mut Host {
        match self.hosts.get_mut(&node) {
            Some(host) => host,
            None => panic!("{node} has no address"),
        }
    }

    pub(super) fn link(&mut self, from: NodeId, to: NodeId) -> &mut Link {
        let usual = if from == to { Quality::loopback() } else { self.usual.clone() };
        self.links.entry((from, to)).or_insert_with(|| Link::new(usual))
    }

    /// What links are like that are not told otherwise, from now on.
    pub(super) fn set_usual(&mut self, quality: Quality) {
        for ((from, to), link) in &mut self.links {
            if from != to {
                link.quality = quality.clone();
            }
        }
        self.usual = quality;
    }

    pub(super) fn heal_all(&mut self) {
        let usual = self.usual.clone();
        for ((from, to), link) in &mut self.links {
            link.is_cut = false;
            if from != to {
                link.quality = usual.clone();
            }
        }
    }

    /// Which machine a name or an address means, for a process on `from`.
    pub(super) fn resolve(&self, from: NodeId, name: &str) -> io::Result<NodeId> {
        let found = match name.parse::<IpAddr>() {
            Ok(ip) if ip.is_loopback() => Some(from),
            Ok(ip) => self.hosts.iter().find(|(_, host)| IpAddr::V4(host.ip) == ip).map(|(node, _)| *node),
            Err(_) if name == "localhost" => Some(from),
            Err(_) => self.hosts.iter().find(|(_, host)| host.name == name).map(|(node, _)| *node),
        };
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no machine is called {name}")))
    }

    /// Draws how long something small takes over a link.
    pub(super) fn latency_us(&mut self, from: NodeId, to: NodeId) -> u64 {
        let mut rng = self.rng.clone();
        let us = self.link(from, to).latency_us(&mut rng);
        self.rng = rng;
        us
    }

    /// Draws whether something over a link is lost.
    pub(super) fn loses(&mut self, from: NodeId, to: NodeId) -> bool {
        let mut rng = self.rng.clone();
        let loses = self.link(from, to).loses(&mut rng);
        self.rng = rng;
        loses
    }

    /// Draws when something of this length, sent now, arrives.
    pub(super) fn arrival_us(&mut self, from: NodeId, to: NodeId, len: usize) -> u64 {
        let now_us = self.timeline.now_us();
        let mut rng = self.rng.clone();
        let us = self.link(from, to).arrival_us(now_us, len, &mut rng);
        self.rng = rng;
        us
    }

    pub(super) fn note(&self, node: NodeId, detail: u64, words: impl FnOnce() -> String) {
        let now_us = self.timeline.now_us();
        self.trace.note(now_us, node, Kind::Network, detail);
        self.trace.say_of_network(now_us, node, words);
    }
}
