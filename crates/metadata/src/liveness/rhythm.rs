//! The rhythm of one broker's heartbeats: the longest of about the last thousand intervals.
//!
//! Kept as the maxima of blocks, so that a broker costs the same few hundred bytes whatever its interval is, and the oldest
//! are forgotten a block at a time.

use std::time::Duration;

/// How many blocks are remembered, the one that is being filled included.
const BLOCKS: usize = 16;

/// How many intervals make a block.
const BLOCK_INTERVALS: u32 = 64;

/// What is known of a rhythm.
#[derive(Debug, Clone, Default)]
pub(super) struct Rhythm {
    /// The longest interval of each block, newest first; zero where there is none yet.
    blocks: [Duration; BLOCKS],
    /// How many intervals the newest block holds.
    filled: u32,
    longest: Duration,
}

impl Rhythm {
    /// Takes an interval in.
    pub(super) fn add(&mut self, interval: Duration) {
        if self.filled == BLOCK_INTERVALS {
            self.blocks.rotate_right(1);
            self.blocks[0] = Duration::ZERO;
            self.filled = 0;
        }
        self.filled += 1;
        self.blocks[0] = self.blocks[0].max(interval);
        self.longest = self.blocks.iter().copied().max().unwrap_or_default();
    }

    /// The longest interval that is remembered, zero if there is none.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_longest_interval_is_remembered_for_fifteen_blocks_and_no_longer_than_sixteen() {
        let mut rhythm = Rhythm::default();
        rhythm.add(900 * MS);
        let remembered = (1..2000)
            .take_while(|_| {
                rhythm.add(100 * MS);
                rhythm.longest() == 900 * MS
            })
            .count();
        assert_eq!(remembered, 1023);
        assert_eq!(rhythm.longest(), 100 * MS);
    }
}
