//! A limit on lines of the log that peers can cause at will: a flood of connections must not become a flood of lines.
//!
//! Pure: the time is an argument. What is not here: the lines.

use std::collections::HashMap;
use std::time::Duration;

use ottla_types::TopicPartition;
use tokio::time::Instant;

/// The most lines in one [`WINDOW`].
const MOST: u32 = 10;

const WINDOW: Duration = Duration::from_secs(1);

/// Counts the lines of one kind.
#[derive(Debug)]
pub(crate) struct LogLimit {
    most: u32,
    window: Duration,
    /// When the current window began; `None` before the first line.
    since: Option<Instant>,
    written: u32,
    suppressed: u64,
}

impl Default for LogLimit {
    fn default() -> Self {
        Self::new(MOST, WINDOW)
    }
}

impl LogLimit {
    fn new(most: u32, window: Duration) -> Self {
        Self { most, window, since: None, written: 0, suppressed: 0 }
    }

    /// One line in [`LASTING_WINDOW`]: for what lasts until somebody sees to it, and is come upon with every request.
    pub(crate) fn lasting() -> Self {
        Self::new(1, LASTING_WINDOW)
    }

    /// Whether a line may be written now. If so, tells how many were suppressed since the last one that was.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= self.window) {
            self.since = Some(now);
            self.written = 0;
        }
        if self.written == self.most {
            self.suppressed += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// How long what lasts has to wait for its next line: the disk that is full is often the one that takes the lines.
const LASTING_WINDOW: Duration = Duration::from_secs(10);

/// One line per partition in [`LASTING_WINDOW`]: consumers come back twice a second to what cannot be read.
#[derive(Debug, Default)]
pub(crate) struct PartitionLimit {
    told: HashMap<TopicPartition, Instant>,
}

impl PartitionLimit {
    /// Whether a line about the partition may be written now.
    pub(crate) fn admit(&mut self, partition: &TopicPartition, now: Instant) -> bool {
        let is_recent = |told: &Instant| now.saturating_duration_since(*told) < LASTING_WINDOW;
        if self.told.get(partition).is_some_and(is_recent) {
            return false;
        }
        // Nothing is remembered of partitions that are gone or well again.
        self.told.retain(|_, told| is_recent(told));
        self.told.insert(partition.clone(), now);
        true
    }
}

/// How many states are told apart.
const STATES: usize = 4;

/// Lines about what lasts: one when a state begins, and then one in [`LASTING_WINDOW`] for as long as it is found again and
/// again. States that follow each other more quickly than that have [`STATES`] lines in it.
#[derive(Debug, Default)]
pub(crate) struct StateLines {
    told: Vec<(String, Instant)>,
    suppressed: u64,
}

impl StateLines {
    /// Whether a line may be written now about the state that these words describe. If so, tells how many were suppressed
    /// since the last one that was.
    pub(crate) fn admit(&mut self, state: &str, now: Instant) -> Option<u64> {
        self.told.retain(|(_, told)| now.saturating_duration_since(*told) < LASTING_WINDOW);
        if self.told.len() == STATES || self.told.iter().any(|(told, _)| told == state) {
            self.suppressed += 1;
            return None;
        }
        self.told.push((state.to_owned(), now));
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use ottla_types::TopicName;

    use super::*;

    #[test]
    fn a_partition_has_one_line_in_ten_seconds_and_does_not_silence_another() {
        let begin = Instant::now();
        let partition = |partition| TopicPartition { topic: TopicName::new("t").unwrap(), partition };
        let mut limit = PartitionLimit::default();
        assert!(limit.admit(&partition(0), begin));
        assert!(!limit.admit(&partition(0), begin + Duration::from_secs(9)));
        assert!(limit.admit(&partition(1), begin + Duration::from_secs(9)));
        assert!(limit.admit(&partition(0), begin + Duration::from_secs(10)));
        assert_eq!(limit.told.len(), 2);
        assert!(limit.admit(&partition(1), begin + Duration::from_secs(60)));
        assert_eq!(limit.told.len(), 1);
    }

    #[test]
    fn ten_lines_a_second_are_written_and_the_next_one_tells_how_many_were_not() {
        let begin = Instant::now();
        let mut limit = LogLimit::default();
        for nth in 0..10 {
            assert_eq!(limit.admit(begin + Duration::from_millis(nth)), Some(0));
        }
        for nth in 10..1000 {
            assert_eq!(limit.admit(begin + Duration::from_millis(nth)), None);
        }
        assert_eq!(limit.admit(begin + Duration::from_millis(1000)), Some(990));
        assert_eq!(limit.admit(begin + Duration::from_millis(1001)), Some(0));
    }

    #[test]
    fn what_lasts_has_one_line_in_ten_seconds_and_it_tells_how_many_were_not_written() {
        let begin = Instant::now();
        let mut limit = LogLimit::lasting();
        let written: Vec<u64> =
            (0..250).filter_map(|nth| limit.admit(begin + Duration::from_millis(100 * nth))).collect();
        assert_eq!(written, [0, 99, 99]);
    }

    #[test]
    fn a_state_has_a_line_when_it_begins_and_then_one_in_ten_seconds() {
        let begin = Instant::now();
        let mut lines = StateLines::default();
        let mut told = Vec::new();
        // Asked about each 50 ms, as whoever waits does.
        for nth in 0..500 {
            let state = if nth < 250 { "alone" } else { "no leader" };
            if lines.admit(state, begin + Duration::from_millis(50 * nth)).is_some() {
                told.push((nth, state));
            }
        }
        assert_eq!(told, [(0, "alone"), (200, "alone"), (250, "no leader"), (450, "no leader")]);
        assert_eq!(lines.admit("no leader", begin + Duration::from_secs(60)), Some(49));
    }

    #[test]
    fn states_that_come_and_go_quickly_have_a_few_lines_and_take_a_bounded_place() {
        let begin = Instant::now();
        let mut lines = StateLines::default();
        let admitted = (0..1000).filter(|nth| lines.admit(&format!("state {nth}"), begin).is_some());
        assert_eq!(admitted.count(), STATES);
    }

    #[test]
    fn a_trickle_is_never_held_back() {
        let begin = Instant::now();
        let mut limit = LogLimit::default();
        for nth in 0..1000 {
            assert_eq!(limit.admit(begin + Duration::from_millis(100 * nth)), Some(0));
        }
    }

    #[test]
    fn what_was_suppressed_is_not_forgotten_in_a_pause() {
        let begin = Instant::now();
        let mut limit = LogLimit::default();
        for _ in 0..13 {
            limit.admit(begin);
        }
        assert_eq!(limit.admit(begin + Duration::from_secs(3600)), Some(3));
    }
}
