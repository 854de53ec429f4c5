//! What a run did, as one number, and in words for who looks at a failure.

use std::collections::VecDeque;

/// How many events are kept in words.
const KEPT: usize = 60;

/// FNV-1a over everything that happened.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    hash: u64,
    /// `None`: words are not asked for, and cost nothing.
    words: Option<VecDeque<String>>,
}

impl Trace {
    pub(super) fn new() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, words: None }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn keep_words(&mut self) {
        self.words.get_or_insert_default();
    }

    pub(super) fn words(&self) -> Vec<String> {
        self.words.iter().flatten().cloned().collect()
    }

    pub(super) fn number(&mut self, n: u64) {
        self.hash = (self.hash ^ n).wrapping_mul(0x100_0000_01b3).rotate_left(23);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.number(u64::from_le_bytes(word));
        }
    }

    pub(super) fn say(&mut self, words: impl FnOnce() -> String) {
        if let Some(kept) = &mut self.words {
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(words());
        }
    }
}
