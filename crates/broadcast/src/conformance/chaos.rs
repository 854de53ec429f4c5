//! Random histories: appends while nodes are killed, cut off, made to resign, and snapshot; and what must hold of any.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ottla_env::process;
use ottla_types::LeadershipEpoch;
use tokio::task::JoinSet;

use super::Cluster;
use super::node::{Node, batch, leader};
use crate::atomic::Appended;

/// A small generator.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }
}

/// What became of an append.
#[derive(Debug, Clone)]
struct Outcome {
    records: Vec<Bytes>,
    appended: Appended,
}

/// What happened in one history.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Appends that were committed.
    pub committed: usize,
    /// Appends of which it is not known.
    pub unknown: usize,
    /// Of those, how many are in the log.
    pub unknown_in_log: usize,
    /// Appends that were taken and rejected.
    pub rejected: usize,
    /// Epochs that began.
    pub epochs: usize,
    /// The records in the end.
    pub records: Vec<Bytes>,
}

struct History<'a> {
    cluster: &'a mut dyn Cluster,
    dice: Dice,
    nodes: Vec<Option<Node>>,
    /// What nodes had delivered when they ended.
    dead: Vec<Vec<Bytes>>,
    /// Each epoch, with the node and its start.
    epochs: BTreeMap<LeadershipEpoch, (usize, usize)>,
    starts: Vec<usize>,
    outcomes: Arc<Mutex<Vec<Outcome>>>,
    under_way: JoinSet<()>,
    appended: usize,
}

/// Runs `steps` random steps from a seed, heals everything, and checks all that was seen.
pub async fn survive(cluster: &mut dyn Cluster, seed: u64, steps: usize) -> Report {
    let size = cluster.size();
    let mut history = History {
        cluster,
        dice: Dice(seed),
        nodes: Vec::new(),
        dead: Vec::new(),
        epochs: BTreeMap::new(),
        starts: vec![0; size],
        outcomes: Arc::default(),
        under_way: JoinSet::new(),
        appended: 0,
    };
    for node in Node::start_all(history.cluster).await {
        history.nodes.push(Some(node));
    }
    for _ in 0..steps {
        history.step().await;
    }
    history.finish().await
}

impl History<'_> {
    async fn step(&mut self) {
        let nth = self.dice.roll(self.nodes.len());
        match self.dice.roll(24) {
            0..9 => self.append(),
            9..15 => {
                let pause = self.dice.roll(250) as u64;
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            15 => self.end(nth, false),
            16 => self.end(nth, true),
            17..20 => self.restart().await,
            20 => {
                if self.dice.roll(2) == 0 {
                    self.cluster.isolate(nth)
                } else {
                    self.cluster.heal()
                }
            }
            21 => self.resign(),
            _ => self.snapshot(nth).await,
        }
    }

    /// Appends a few batches on a node that leads, if one does.
    fn append(&mut self) {
        for _ in 0..=self.dice.roll(6) {
            let leading: Vec<(usize, LeadershipEpoch)> = self.leading();
            if leading.is_empty() {
                return;
            }
            let (nth, epoch) = leading[self.dice.roll(leading.len())];
            let names: Vec<String> =
                (0..=self.dice.roll(3)).map(|part| format!("{}.{part}", self.appended)).collect();
            self.appended += 1;
            let Some(node) = &self.nodes[nth] else { return };
            let Ok(appending) = node.log.append(epoch, batch(&names)) else { continue };
            let (outcomes, records) = (Arc::clone(&self.outcomes), batch(&names));
            process::spawn_in(&mut self.under_way, async move {
                let appended = appending.await;
                outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(Outcome { records, appended });
            });
        }
    }

    fn leading(&self) -> Vec<(usize, LeadershipEpoch)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter_map(|(nth, node)| Some((nth, node.as_ref()?.seen().leading?))).collect()
    }

    fn end(&mut self, nth: usize, cuts_power: bool) {
        let Some(node) = self.nodes[nth].take() else { return };
        self.note(nth, &node);
        if cuts_power { self.cluster.cut_power(nth) } else { self.cluster.kill(nth) }
    }

    /// Keeps what a node has seen.
    fn note(&mut self, nth: usize, node: &Node) {
        let seen = node.seen();
        assert_eq!(seen.failed, None, "node {nth}");
        let start = (nth, self.starts[nth]);
        for (epoch, _) in &seen.epochs {
            let leader = self.epochs.entry(*epoch).or_insert(start);
            assert_eq!(*leader, start, "two that led under epoch {epoch}");
        }
        self.dead.push(seen.records.clone());
    }

    async fn restart(&mut self) {
        let Some(nth) = self.nodes.iter().position(Option::is_none) else { return };
        self.starts[nth] += 1;
        self.nodes[nth] = Some(Node::start(self.cluster, nth).await);
    }

    fn resign(&mut self) {
        for (nth, epoch) in self.leading() {
            if let Some(node) = &self.nodes[nth] {
                node.log.resign(epoch);
            }
        }
    }

    async fn snapshot(&mut self, nth: usize) {
        let Some(node) = &self.nodes[nth] else { return };
        let upto = self.dice.roll(node.seen().records.len() + 1);
        // It may be refused: one that is newer may be there.
        let _ = node.snapshot(upto).await;
    }

    async fn finish(mut self) -> Report {
        self.cluster.heal();
        while self.nodes.iter().any(Option::is_none) {
            self.restart().await;
        }
        let nodes: Vec<Node> = self.nodes.drain(..).flatten().collect();
        // All appends are answered, whatever became of their nodes.
        while let Some(ended) = self.under_way.join_next().await {
            assert!(ended.is_ok(), "{ended:?}");
        }
        let end = loop {
            let (nth, epoch) = leader(&nodes).await;
            let Ok(appending) = nodes[nth].log.append(epoch, batch(&["end"])) else {
                tokio::task::yield_now().await;
                continue;
            };
            // An epoch of before may end yet.
            match appending.await {
                Appended::Committed(at) => break at,
                Appended::Rejected(_) | Appended::Unknown(_) => {}
            }
        };
        let Ok(count) = usize::try_from(end.0 + 1) else { panic!("an offset of {end}") };
        let records = nodes[0].records(count).await;
        for (nth, node) in nodes.iter().enumerate() {
            let of_node = node.records(count).await;
            assert!(of_node.starts_with(&records[..count]), "node {nth} differs");
            self.note(nth, node);
        }
        self.check(records[..count].to_vec())
    }

    fn check(self, records: Vec<Bytes>) -> Report {
        for dead in &self.dead {
            let shorter = dead.len().min(records.len());
            assert_eq!(dead[..shorter], records[..shorter], "a node delivered what the others did not");
        }
        let mut places: BTreeMap<&Bytes, usize> = BTreeMap::new();
        for (place, record) in records.iter().enumerate().filter(|(_, record)| **record != "end") {
            assert_eq!(places.insert(record, place), None, "{record:?} is there twice");
        }
        let mut report = Report { epochs: self.epochs.len(), records: records.clone(), ..Report::default() };
        let mut known = 0;
        for outcome in self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let place = outcome.records.first().and_then(|first| places.get(first)).copied();
            if let Some(place) = place {
                let there = records.get(place..place + outcome.records.len());
                assert_eq!(there, Some(&outcome.records[..]), "a batch in parts");
                known += outcome.records.len();
            }
            match (&outcome.appended, place) {
                (Appended::Committed(at), _) => {
                    report.committed += 1;
                    assert_eq!(place.map(|place| place as i64), Some(at.0), "{outcome:?}");
                }
                (Appended::Rejected(_), _) => {
                    report.rejected += 1;
                    assert_eq!(place, None, "{outcome:?}");
                }
                (Appended::Unknown(_), place) => {
                    report.unknown += 1;
                    report.unknown_in_log += usize::from(place.is_some());
                }
            }
        }
        assert_eq!(known, places.len(), "records that nobody appended, or without an answer");
        report
    }
}
