//! Which voters are heard of, for the operator: a line when one cannot be reached any more, one in ten seconds for as long as
//! that lasts, and one when it is back. However many messages fail meanwhile, that is one state. It is known for as long as the
//! voter is spoken to: a follower that has nothing to say to another one does not know how that one fares.
//!
//! Pure: the time is an argument. What is not here: the lines.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_types::BrokerId;
use tokio::time::Instant;

/// How long a voter that gives no answer may be taken for a slow one. A connection that fails says more.
const SLOW: Duration = Duration::from_secs(1);

/// How long what lasts has to wait for its next line.
const LASTING: Duration = Duration::from_secs(10);

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was answered.
    Answered,
    /// It did not get there, or the connection broke.
    Failed,
    /// Nobody waits for the answer any more.
    GivenUp,
}

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// The voter cannot be reached, and could before, or was not asked before.
    Lost,
    /// It cannot be reached for so long.
    Lasts(Duration),
    /// It can be reached again; after so long, if that is known.
    Back(Option<Duration>),
}

/// What is known of the voters that are spoken to.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<BrokerId, Voter>);

#[derive(Debug)]
struct Voter {
    /// When it was spoken to last.
    tried: Instant,
    /// When it was heard of last, or first spoken to.
    heard: Instant,
    /// Since when it is known not to be reached, and when that was told last.
    lost: Option<(Instant, Instant)>,
}

impl Heard {
    /// Takes note of what became of a message to a voter. Whether anything is to be told.
    pub(super) fn note(&mut self, voter: BrokerId, outcome: Outcome, now: Instant) -> Option<Line> {
        let voter = self.0.entry(voter).or_insert(Voter { tried: now, heard: now, lost: None });
        let was_left_alone = now.saturating_duration_since(voter.tried) >= LASTING;
        voter.tried = now;
        let was_lost = voter.lost.is_some();
        if was_left_alone {
            // It may have been back, and gone again, since.
            voter.heard = now;
            voter.lost = None;
        }
        let silence = now.saturating_duration_since(voter.heard);
        match (outcome, voter.lost) {
            (Outcome::Answered, lost) => {
                voter.heard = now;
                voter.lost = None;
                let after = lost.map(|(since, _)| now.saturating_duration_since(since));
                was_lost.then_some(Line::Back(after))
            }
            (Outcome::GivenUp, None) if silence < SLOW => None,
            (_, None) => {
                voter.lost = Some((now, now));
                Some(Line::Lost)
            }
            (_, Some((since, told))) => {
                let lasts = now.saturating_duration_since(told) >= LASTING;
                lasts.then(|| {
                    voter.lost = Some((since, now));
                    Line::Lasts(now.saturating_duration_since(since))
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voter_that_is_gone_for_half_a_minute_has_four_lines() {
        let begin = Instant::now();
        let mut heard = Heard::default();
        let mut told = Vec::new();
        // A heartbeat each 50 ms.
        for nth in 0..800_u64 {
            let outcome = if (100..700).contains(&nth) { Outcome::Failed } else { Outcome::Answered };
            told.extend(heard.note(BrokerId(2), outcome, begin + Duration::from_millis(50 * nth)));
        }
        let seconds = Duration::from_secs;
        assert_eq!(
            told,
            [Line::Lost, Line::Lasts(seconds(10)), Line::Lasts(seconds(20)), Line::Back(Some(seconds(30)))]
        );
    }

    #[test]
    fn a_late_answer_is_no_loss_and_many_in_a_row_are() {
        let begin = Instant::now();
        let mut heard = Heard::default();
        let mut note = |ms, outcome| heard.note(BrokerId(2), outcome, begin + Duration::from_millis(ms));
        assert_eq!(note(0, Outcome::Answered), None);
        assert_eq!(note(900, Outcome::GivenUp), None);
        assert_eq!(note(950, Outcome::Answered), None);
        assert_eq!(note(1_900, Outcome::GivenUp), None);
        assert_eq!(note(2_000, Outcome::GivenUp), Some(Line::Lost));
        assert_eq!(note(2_100, Outcome::GivenUp), None);
    }

    #[test]
    fn how_long_a_voter_is_gone_that_nobody_speaks_to_is_not_known() {
        let begin = Instant::now();
        let mut heard = Heard::default();
        let mut note =
            |seconds, outcome| heard.note(BrokerId(2), outcome, begin + Duration::from_secs(seconds));
        assert_eq!(note(0, Outcome::Failed), Some(Line::Lost));
        assert_eq!(note(231, Outcome::Failed), Some(Line::Lost), "it is lost anew, for all that is known");
        assert_eq!(note(235, Outcome::Answered), Some(Line::Back(Some(Duration::from_secs(4)))));
        assert_eq!(note(240, Outcome::Failed), Some(Line::Lost));
        assert_eq!(note(300, Outcome::Answered), Some(Line::Back(None)));
        assert_eq!(note(301, Outcome::Answered), None);
    }
}
