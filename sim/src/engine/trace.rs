//! What a run did: one number that two runs share only if they did the same, and the last events of each node in words.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::NodeId;

/// How many events of each node are kept in words: of the network, and of all others.
const KEPT: [usize; 2] = [15, 40];

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Something on the network arrived, or was lost.
    Network = 1,
    /// A call of a disk was done.
    Disk = 2,
    /// A task of a process was polled.
    Poll = 3,
    /// A process or a machine started, ended, was paused or went on.
    Process = 4,
    /// Something was broken, or repaired.
    Fault = 5,
    /// A workload did something, or was told something.
    Client = 6,
}

#[derive(Debug)]
struct State {
    hash: u64,
    events: u64,
    /// `None`: words are not asked for, and cost nothing.
    words: Option<BTreeMap<NodeId, [VecDeque<String>; 2]>>,
}

/// FNV-1a over everything that happened. Clones are the same trace.
#[derive(Debug, Clone)]
pub struct Trace(Arc<Mutex<State>>);

impl Trace {
    /// An empty trace, which keeps words or does not.
    #[must_use]
    pub fn new(keep_words: bool) -> Self {
        let words = keep_words.then(BTreeMap::new);
        Self(Arc::new(Mutex::new(State { hash: 0xcbf2_9ce4_8422_2325, events: 0, words })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.lock().hash
    }

    /// How many events there were.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.lock().events
    }

    /// Notes that something happened.
    pub fn note(&self, at_us: u64, node: NodeId, kind: Kind, detail: u64) {
        let mut state = self.lock();
        state.events += 1;
        let mut hash = state.hash;
        for number in [at_us, u64::from(node.0) << 8 | kind as u64, detail] {
            hash = (hash ^ number).wrapping_mul(0x100_0000_01b3).rotate_left(23);
        }
        state.hash = hash;
    }

    /// Says what happened, if words are kept.
    pub fn say(&self, at_us: u64, node: NodeId, words: impl FnOnce() -> String) {
        self.keep(at_us, node, 1, words);
    }

    /// Says what happened on the network, if words are kept. There is so much of it that it would push out all else.
    pub fn say_of_network(&self, at_us: u64, node: NodeId, words: impl FnOnce() -> String) {
        self.keep(at_us, node, 0, words);
    }

    fn keep(&self, at_us: u64, node: NodeId, nth: usize, words: impl FnOnce() -> String) {
        let mut state = self.lock();
        let Some(kept) = &mut state.words else { return };
        let kept = &mut kept.entry(node).or_default()[nth];
        if kept.len() == KEPT[nth] {
            kept.pop_front();
        }
        kept.push_back(format!("{:>12.6} {}", at_us as f64 / 1e6, words()));
    }

    /// The last events of each node in words, in the order of their times.
    #[must_use]
    pub fn words(&self) -> Vec<(NodeId, Vec<String>)> {
        let state = self.lock();
        let sorted = |kept: &[VecDeque<String>; 2]| {
            let mut words: Vec<String> = kept.iter().flatten().cloned().collect();
            // The times come first, and are as wide as each other.
            words.sort_by(|a, b| a.get(..12).cmp(&b.get(..12)));
            words
        };
        state.words.iter().flatten().map(|(node, kept)| (*node, sorted(kept))).collect()
    }
}
