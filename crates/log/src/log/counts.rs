//! How much there is of what a log consists of, without I/O.

use super::Log;
use crate::sync::lock;

impl Log {
    /// How many segments there are.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.segments().len()
    }

    /// How many producers are known here.
    #[must_use]
    pub fn producer_count(&self) -> usize {
        lock(&self.producers).iter().len()
    }
}
