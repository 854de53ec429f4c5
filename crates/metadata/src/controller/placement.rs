//! Which brokers a new partition's replicas go to: striped over racks, then over the brokers of a rack, as Kafka's
//! `StripedReplicaPlacer` does it.
//!
//! Racks take turns in giving a broker, and so do the brokers within a rack; each partition starts one rack further.
//! Active brokers come before those that are fenced or about to stop, and only an active one comes first, since the first
//! leads. Kafka passes a broker over while it is about to stop: in a cluster with no more brokers than replicas, no topic can
//! be created then, which a rolling restart shows to clients. Here it counts as fenced already, as in Kafka a moment later.

use std::collections::BTreeMap;

use ottla_types::BrokerId;

use crate::image::Image;

/// A registered broker as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The broker.
    pub id: BrokerId,
    /// Its rack; brokers without one share a rack.
    pub rack: Option<String>,
    /// Whether it is fenced.
    pub fenced: bool,
    /// Whether it is about to stop.
    pub in_controlled_shutdown: bool,
}

impl Candidate {
    /// Whether it may lead and be in sync.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }
}

/// The brokers of an image.
#[must_use]
pub fn candidates(image: &Image) -> Vec<Candidate> {
    image
        .brokers()
        .map(|broker| Candidate {
            id: broker.registration.id,
            rack: broker.registration.rack.as_deref().map(str::to_owned),
            fenced: broker.fenced,
            in_controlled_shutdown: broker.in_controlled_shutdown,
        })
        .collect()
}

/// Places `partitions` new partitions of `replication_factor` replicas each; the first of each is its preferred leader.
/// Of two calls with the same seed and brokers, both answer the same.
///
/// # Errors
/// Says why there are not enough brokers.
pub fn place(
    candidates: &[Candidate],
    partitions: usize,
    replication_factor: i16,
    seed: u64,
) -> Result<Vec<Vec<BrokerId>>, String> {
    let Some(replicas) = usize::try_from(replication_factor).ok().filter(|n| *n > 0) else {
        return Err(format!(
            "Invalid replication factor {replication_factor}: the replication factor must be positive."
        ));
    };
    if !candidates.iter().any(Candidate::is_active) {
        return Err("All brokers are currently fenced.".to_owned());
    }
    if replicas > candidates.len() {
        return Err(format!(
            "The target replication factor of {replication_factor} cannot be reached because only {} broker(s) are \
             registered.",
            candidates.len()
        ));
    }
    let mut racks = Racks::new(candidates, seed);
    Ok((0..partitions).map(|_| racks.place(replicas)).collect())
}

/// The seed for the `nth` topic of a request: without it every topic would start at the same broker.
pub(super) fn seed_for(seed: u64, nth: u64) -> u64 {
    // SplitMix64: each step's bits depend on all bits of the state (Steele, Lea, Flood 2014).
    let state = seed.wrapping_add(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

struct Racks {
    racks: Vec<Rack>,
    start: usize,
}

#[derive(Default)]
struct Rack {
    active: Vec<BrokerId>,
    inactive: Vec<BrokerId>,
    turn: usize,
}

impl Racks {
    fn new(candidates: &[Candidate], seed: u64) -> Self {
        let mut by_name: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        for candidate in candidates {
            let rack = by_name.entry(candidate.rack.as_deref()).or_default();
            let list = if candidate.is_active() { &mut rack.active } else { &mut rack.inactive };
            list.push(candidate.id);
        }
        let mut racks: Vec<_> = by_name.into_values().collect();
        // Different numbers for the racks' order and the brokers' order, or the two would move in step.
        let turn = usize::try_from(seed >> 32).unwrap_or(0);
        for rack in &mut racks {
            rack.turn = turn;
            rack.active.sort_unstable();
            rack.inactive.sort_unstable();
        }
        let start = usize::try_from(seed & 0xffff_ffff).unwrap_or(0);
        Self { racks, start }
    }

    /// One partition. There are as many brokers as replicas, and an active one.
    fn place(&mut self, replicas: usize) -> Vec<BrokerId> {
        let mut chosen = Vec::with_capacity(replicas);
        let mut used = vec![false; self.racks.len()];
        // The leader first: racks without an active broker are passed over, and come last for the others.
        let mut at = self.start;
        while chosen.is_empty() {
            self.take(at, &mut chosen, &mut used, |rack| !rack.active.is_empty());
            at = at.wrapping_add(1);
        }
        while chosen.len() < replicas {
            self.take(at, &mut chosen, &mut used, |_| true);
            at = at.wrapping_add(1);
        }
        for (rack, used) in self.racks.iter_mut().zip(used) {
            if used {
                rack.turn = rack.turn.wrapping_add(1);
            }
        }
        self.start = self.start.wrapping_add(1);
        chosen
    }

    fn take(
        &self,
        at: usize,
        chosen: &mut Vec<BrokerId>,
        used: &mut [bool],
        eligible: impl Fn(&Rack) -> bool,
    ) {
        let index = at % self.racks.len();
        let (Some(rack), Some(used)) = (self.racks.get(index), used.get_mut(index)) else { return };
        if let Some(broker) = Some(rack).filter(|rack| eligible(rack)).and_then(|rack| rack.next(chosen)) {
            *used = true;
            chosen.push(broker);
        }
    }
}

impl Rack {
    /// The broker whose turn it is, of those not chosen for this partition.
    fn next(&self, chosen: &[BrokerId]) -> Option<BrokerId> {
        [&self.active, &self.inactive].into_iter().find_map(|list| {
            let first = self.turn.checked_rem(list.len())?;
            list.iter().cycle().skip(first).take(list.len()).find(|id| !chosen.contains(id)).copied()
        })
    }
}
