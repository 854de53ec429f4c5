//! Bytes of responses that clients have not taken yet, over all connections.
//!
//! A client that asks and does not read keeps its answer in memory. Refusing or delaying answers would punish those that
//! do read, so the bound works on what is asked for: the more is held, the less a fetch is given at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the bytes of all connections.
#[derive(Debug, Clone)]
pub(crate) struct ResponseMemory {
    held: Arc<AtomicUsize>,
    total: usize,
}

/// What one connection holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct ResponseBytes {
    memory: ResponseMemory,
    bytes: usize,
}

impl ResponseMemory {
    /// Room for about `total` bytes.
    pub(crate) fn new(total: usize) -> Self {
        Self { held: Arc::default(), total }
    }

    /// How many bytes one answer may take for now: an eighth of what is left, so that what is left is never used up.
    pub(crate) fn allowance(&self) -> usize {
        self.total.saturating_sub(self.held.load(Ordering::Relaxed)) / 8
    }

    /// The bytes that are held.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The account of a connection.
    pub(crate) fn account(&self) -> ResponseBytes {
        ResponseBytes { memory: self.clone(), bytes: 0 }
    }
}

impl ResponseBytes {
    /// Notes that the connection holds `bytes` now.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.memory.held.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else if bytes < self.bytes {
            self.memory.held.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for ResponseBytes {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_is_held_the_less_is_allowed_and_what_is_dropped_counts_no_more() {
        let memory = ResponseMemory::new(800);
        assert_eq!(memory.allowance(), 100);
        let (mut one, mut two) = (memory.account(), memory.account());
        one.set(400);
        two.set(300);
        assert_eq!(memory.allowance(), 12);
        two.set(0);
        assert_eq!(memory.allowance(), 50);
        drop(one);
        assert_eq!(memory.allowance(), 100);
        two.set(10_000);
        assert_eq!(memory.allowance(), 0);
    }
}
