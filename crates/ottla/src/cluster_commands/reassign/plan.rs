//! Where replicas are to lie: balanced over brokers, spread over racks, with as little moved as that takes. Pure: what is
//! there goes in, what is wanted comes out.
//!
//! What stays, stays: a replica is moved if its broker is not among those wanted, if its rack holds more of the partition than
//! another one would, or if its broker holds at least two more replicas than another one. Leaders are balanced by the order
//! of replicas, which costs no copying.

use std::collections::{BTreeMap, BTreeSet};

use ottla_types::{BrokerId, TopicName, TopicPartition};

/// A broker that may hold replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) broker: BrokerId,
    /// `None` for all brokers where racks do not matter.
    pub(crate) rack: Option<String>,
    /// Whether replicas may come to it. One that is away keeps those that it has, and gets no others.
    pub(crate) takes_new: bool,
}

/// A partition and the brokers that hold it, the preferred leader first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) at: TopicPartition,
    pub(crate) replicas: Vec<BrokerId>,
}

/// What is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// The brokers that are to hold the replicas.
    pub(crate) brokers: Vec<Place>,
    /// How many replicas a partition is to have; as many as it has, if nobody says.
    pub(crate) replication_factor: Option<usize>,
    /// Whether replicas and leaders are to be spread evenly. Else only those move that must.
    pub(crate) balance: bool,
    /// What the brokers hold beside the partitions that are planned for.
    pub(crate) others: BTreeMap<BrokerId, usize>,
}

/// The partitions with the replicas that they are to have, in the order given. What need not move is as it was.
///
/// # Errors
/// There are not brokers enough for a partition, or some brokers have a rack and others do not.
pub(crate) fn plan(partitions: &[Placed], wish: &Wish) -> anyhow::Result<Vec<Placed>> {
    check_racks(&wish.brokers)?;
    for Placed { at, replicas } in partitions {
        let wanted = wish.replication_factor.unwrap_or(replicas.len());
        let can_hold = |place: &&Place| place.takes_new || replicas.contains(&place.broker);
        let brokers = wish.brokers.iter().filter(can_hold).count();
        anyhow::ensure!(
            wanted <= brokers,
            "{at} is to have {wanted} replicas, and there are {brokers} brokers to hold them"
        );
    }
    let mut layout = Layout::new(partitions, wish);
    for (partition, placed) in partitions.iter().enumerate() {
        layout.fit(partition, wish.replication_factor.unwrap_or(placed.replicas.len()));
    }
    if wish.balance {
        for partition in 0..partitions.len() {
            layout.spread_over_racks(partition);
        }
        layout.balance_replicas();
        layout.balance_leaders();
    }
    Ok(layout.result(partitions))
}

fn check_racks(brokers: &[Place]) -> anyhow::Result<()> {
    let with = brokers.iter().find(|place| place.rack.is_some());
    let without = brokers.iter().find(|place| place.rack.is_none());
    if let (Some(with), Some(without)) = (with, without) {
        anyhow::bail!(
            "broker {} has a rack and broker {} has none: give each broker.rack, or say --disable-rack-aware",
            with.broker,
            without.broker
        );
    }
    Ok(())
}

/// A wanted broker, by its place in [`Wish::brokers`].
type Broker = usize;

/// A partition, by its place among those given.
type Partition = usize;

/// The replicas as they are planned so far.
struct Layout<'a> {
    brokers: &'a [Place],
    /// The rack of each broker, as a number.
    racks: Vec<usize>,
    topics: Vec<&'a TopicName>,
    /// Where each partition was: brokers that are not wanted are left out.
    before: Vec<Vec<Broker>>,
    now: Vec<Vec<Broker>>,
    /// How many replicas each broker holds, others than those planned for included.
    load: Vec<usize>,
    /// What each broker holds, by topic.
    held: Vec<BTreeMap<&'a TopicName, BTreeSet<Partition>>>,
}

impl<'a> Layout<'a> {
    fn new(partitions: &'a [Placed], wish: &'a Wish) -> Self {
        let place: BTreeMap<BrokerId, Broker> =
            wish.brokers.iter().enumerate().map(|(index, place)| (place.broker, index)).collect();
        let names: BTreeSet<_> = wish.brokers.iter().map(|place| &place.rack).collect();
        // Where racks do not matter each broker is one.
        let rack_of = |(index, place): (usize, &Place)| match place.rack {
            Some(_) => names.iter().position(|name| **name == place.rack).unwrap_or(index),
            None => index,
        };
        let before: Vec<Vec<Broker>> = partitions
            .iter()
            .map(|placed| placed.replicas.iter().filter_map(|id| place.get(id).copied()).collect())
            .collect();
        let mut layout = Self {
            brokers: &wish.brokers,
            racks: wish.brokers.iter().enumerate().map(rack_of).collect(),
            topics: partitions.iter().map(|placed| &placed.at.topic).collect(),
            now: vec![Vec::new(); partitions.len()],
            load: wish.brokers.iter().map(|p| wish.others.get(&p.broker).copied().unwrap_or(0)).collect(),
            held: vec![BTreeMap::new(); wish.brokers.len()],
            before,
        };
        for partition in 0..partitions.len() {
            for broker in layout.before[partition].clone() {
                layout.add(partition, broker);
            }
        }
        layout
    }

    fn add(&mut self, partition: Partition, broker: Broker) {
        self.now[partition].push(broker);
        self.note(partition, broker);
    }

    fn note(&mut self, partition: Partition, broker: Broker) {
        self.load[broker] += 1;
        self.held[broker].entry(self.topics[partition]).or_default().insert(partition);
    }

    fn forget(&mut self, partition: Partition, broker: Broker) {
        self.load[broker] -= 1;
        if let Some(held) = self.held[broker].get_mut(self.topics[partition]) {
            held.remove(&partition);
        }
    }

    /// Puts one broker in the place of another.
    fn replace(&mut self, partition: Partition, from: Broker, to: Broker) {
        for broker in &mut self.now[partition] {
            if *broker == from {
                *broker = to;
            }
        }
        self.forget(partition, from);
        self.note(partition, to);
    }

    /// How many replicas of a partition lie in the rack of a broker.
    fn in_rack_of(&self, partition: Partition, broker: Broker) -> usize {
        self.now[partition].iter().filter(|other| self.racks[**other] == self.racks[broker]).count()
    }

    fn of_topic(&self, partition: Partition, broker: Broker) -> usize {
        self.held[broker].get(self.topics[partition]).map_or(0, BTreeSet::len)
    }

    fn holds(&self, partition: Partition, broker: Broker) -> bool {
        self.now[partition].contains(&broker)
    }

    /// The brokers that a replica of a partition may come to.
    fn free(&self, partition: Partition) -> impl Iterator<Item = Broker> + '_ {
        (0..self.brokers.len())
            .filter(move |broker| self.brokers[*broker].takes_new && !self.holds(partition, *broker))
    }

    /// Gives a partition as many replicas as it is to have: what is missing goes to the rack with the fewest of it, and there to
    /// the broker with the fewest of all.
    fn fit(&mut self, partition: Partition, wanted: usize) {
        while self.now[partition].len() > wanted {
            // The preferred leader stays.
            let rest = self.now[partition].iter().skip(1).copied();
            let most = rest.max_by_key(|broker| (self.in_rack_of(partition, *broker), self.load[*broker]));
            let Some(broker) = most else { return };
            self.now[partition].retain(|other| *other != broker);
            self.forget(partition, broker);
        }
        while self.now[partition].len() < wanted {
            let least = self.free(partition).min_by_key(|broker| {
                let (rack, topic) = (self.in_rack_of(partition, *broker), self.of_topic(partition, *broker));
                (rack, self.load[*broker], topic, self.brokers[*broker].broker)
            });
            let Some(broker) = least else { return };
            self.add(partition, broker);
        }
    }

    /// Moves replicas of a partition out of racks that hold at least two more of it than another one would.
    fn spread_over_racks(&mut self, partition: Partition) {
        loop {
            let fullest = self.now[partition].iter().copied();
            let from = fullest.max_by_key(|broker| (self.in_rack_of(partition, *broker), self.load[*broker]));
            let to = self
                .free(partition)
                .min_by_key(|broker| (self.in_rack_of(partition, *broker), self.load[*broker]));
            match (from, to) {
                (Some(from), Some(to))
                    if self.in_rack_of(partition, from) > self.in_rack_of(partition, to) + 1 =>
                {
                    self.replace(partition, from, to);
                }
                _ => return,
            }
        }
    }

    /// Whether a move leaves a partition spread over racks as well as it is.
    fn may_move(&self, partition: Partition, from: Broker, to: Broker) -> bool {
        self.brokers[to].takes_new
            && !self.holds(partition, to)
            && (self.racks[from] == self.racks[to]
                || self.in_rack_of(partition, to) < self.in_rack_of(partition, from))
    }

    /// Moves replicas from brokers with many to brokers with few, until no two differ by more than one, or racks forbid it.
    fn balance_replicas(&mut self) {
        let mut stuck = BTreeSet::new();
        while let Some((from, to)) = widest(&self.load, &stuck) {
            match self.movable(from, to) {
                Some(partition) => self.replace(partition, from, to),
                None => drop(stuck.insert((from, to))),
            }
        }
    }

    /// A partition that may move: best one whose copy costs nothing more, else one of the topic that is most uneven between the
    /// two.
    fn movable(&self, from: Broker, to: Broker) -> Option<Partition> {
        let of = |topic: &TopicName, broker: Broker| self.held[broker].get(topic).map_or(0, BTreeSet::len);
        let uneven = |topic: &TopicName| {
            let (more, fewer) = (of(topic, from), of(topic, to));
            i64::try_from(more).unwrap_or(i64::MAX) - i64::try_from(fewer).unwrap_or(i64::MAX)
        };
        let may = |partition: &&Partition| self.may_move(**partition, from, to);
        let is_free = |partition: &&Partition| {
            !self.before[**partition].contains(&from) || self.before[**partition].contains(&to)
        };
        let mut topics: Vec<_> = self.held[from].iter().filter(|(_, held)| !held.is_empty()).collect();
        let free = topics.iter().flat_map(|(_, held)| held.iter()).filter(is_free).find(may);
        if let Some(partition) = free {
            return Some(*partition);
        }
        topics.sort_by_key(|(topic, _)| std::cmp::Reverse(uneven(topic)));
        topics.iter().find_map(|(_, held)| held.iter().find(may).copied())
    }

    /// Changes the order of replicas until no two brokers differ by more than one in how many partitions they are to lead, as
    /// far as exchanges of two go.
    fn balance_leaders(&mut self) {
        let mut led: Vec<BTreeSet<Partition>> = vec![BTreeSet::new(); self.brokers.len()];
        for (partition, replicas) in self.now.iter().enumerate() {
            if let Some(first) = replicas.first() {
                led[*first].insert(partition);
            }
        }
        let mut stuck = BTreeSet::new();
        let counts = |led: &[BTreeSet<Partition>]| led.iter().map(BTreeSet::len).collect::<Vec<_>>();
        while let Some((from, to)) = widest(&counts(&led), &stuck) {
            let Some(partition) = led[from].iter().copied().find(|p| self.holds(*p, to)) else {
                stuck.insert((from, to));
                continue;
            };
            if let Some(place) = self.now[partition].iter().position(|broker| *broker == to) {
                self.now[partition].swap(0, place);
            }
            led[from].remove(&partition);
            led[to].insert(partition);
        }
    }

    fn result(&self, partitions: &[Placed]) -> Vec<Placed> {
        let ids = |brokers: &[Broker]| brokers.iter().map(|broker| self.brokers[*broker].broker).collect();
        let placed =
            |(placed, now): (&Placed, &Vec<Broker>)| Placed { at: placed.at.clone(), replicas: ids(now) };
        partitions.iter().zip(&self.now).map(placed).collect()
    }
}

/// The two brokers that differ most, by at least two, and are not known to be stuck: the one with more first.
fn widest(counts: &[usize], stuck: &BTreeSet<(Broker, Broker)>) -> Option<(Broker, Broker)> {
    let mut order: Vec<Broker> = (0..counts.len()).collect();
    order.sort_by_key(|broker| counts[*broker]);
    let mut best = None;
    for &from in order.iter().rev() {
        let is_open = |to: &&Broker| counts[from] >= counts[**to] + 2 && !stuck.contains(&(from, **to));
        // The first is the one with the fewest.
        if let Some(&to) = order.iter().find(is_open) {
            let gap = counts[from] - counts[to];
            if best.is_none_or(|(widest, _)| gap > widest) {
                best = Some((gap, (from, to)));
            }
        }
    }
    best.map(|(_, pair)| pair)
}

/// The replicas that are to be copied: those that a partition has in a plan and did not have before.
pub(crate) fn copied<'a>(before: &'a Placed, planned: &'a Placed) -> impl Iterator<Item = BrokerId> + 'a {
    planned.replicas.iter().copied().filter(|broker| !before.replicas.contains(broker))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
