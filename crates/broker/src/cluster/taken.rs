//! Whether another broker has this one's id, as far as the active controller's refusals say.
//!
//! A broker that died and is back at once is refused, too: the controller holds its last run for alive, but not for longer than
//! a session lasts. Pure: the time is an argument.

use std::time::Duration;

use ottla_broadcast::LeaderHint;
use ottla_types::ErrorCode;
use ottla_types::config::Settings;
use ottla_types::config::broker::node::BROKER_SESSION_TIMEOUT_MS;
use tokio::time::Instant;

/// How much longer than a session the refusals must last.
const BEYOND_SESSION: Duration = Duration::from_secs(1);

/// For how long the active controller has said that another broker has this one's id.
pub(crate) struct Taken {
    patience: Duration,
    /// Since when, and by which leader: a new one begins by holding everybody for alive.
    since: Option<(Instant, LeaderHint)>,
}

impl Taken {
    pub(crate) fn new(settings: &Settings) -> Self {
        let session = u64::try_from(settings.get(&BROKER_SESSION_TIMEOUT_MS)).unwrap_or(0);
        Self { patience: Duration::from_millis(session) + BEYOND_SESSION, since: None }
    }

    /// Takes note of a refusal by a leader. Whether the other broker is no run that is over, but lives.
    pub(crate) fn note(&mut self, error: ErrorCode, leader: LeaderHint, now: Instant) -> bool {
        if error != ErrorCode::DuplicateBrokerRegistration {
            self.since = None;
            return false;
        }
        let since = match self.since {
            Some((since, by)) if by == leader => since,
            _ => now,
        };
        self.since = Some((since, leader));
        now.saturating_duration_since(since) >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use ottla_types::LeadershipEpoch;

    use super::*;

    #[test]
    fn an_id_is_taken_when_one_leader_says_so_for_longer_than_a_session() {
        let begin = Instant::now();
        let settings = Settings::parse("f", "broker.session.timeout.ms=9000").unwrap().0;
        let mut taken = Taken::new(&settings);
        let mut note = |ms, error, epoch| {
            let leader = LeaderHint { epoch: LeadershipEpoch(epoch), ..LeaderHint::default() };
            taken.note(error, leader, begin + Duration::from_millis(ms))
        };
        let duplicate = ErrorCode::DuplicateBrokerRegistration;
        assert!(!note(0, duplicate, 1));
        assert!(!note(9_000, duplicate, 1), "its last run may still count as alive");
        assert!(!note(9_900, duplicate, 2), "a new leader does not know who lives");
        assert!(!note(19_000, ErrorCode::NotController, 2));
        assert!(!note(19_100, duplicate, 2));
        assert!(!note(29_000, duplicate, 2));
        assert!(note(29_100, duplicate, 2));
    }
}
