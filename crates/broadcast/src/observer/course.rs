//! Whom an observer asks: a pure machine.
//!
//! Whoever says of itself that it leads, under the highest epoch known, is asked before all others: what it has committed
//! nobody has more of. While it cannot be asked, or nobody says so, all are asked in turn, each of them no more often than
//! [`TURN`]; all of what any of them has committed comes in that way too.
//!
//! What is not here: the records.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_types::BrokerId;

use super::{Answer, Found, Place};
use crate::atomic::LeaderHint;

/// How long a node that does not lead is left alone after it had nothing new. It also waits itself for something new to
/// come.
const TURN: Duration = Duration::from_millis(50);

/// How long a node that could not be asked is left alone; twice as long after each further failure.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest of those pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How many places are remembered that were heard of and are not among those that the observer began with.
const MOST_HEARD_OF: usize = 16;

/// Whom an observer asks.
#[derive(Debug, Clone)]
pub(super) struct Course {
    places: BTreeMap<Place, Known>,
    /// The highest epoch that was heard of, and who leads or led in it.
    heard: LeaderHint,
    /// The leader of that epoch says that it leads no longer.
    is_over: bool,
    /// Counts questions.
    asked: u64,
}

/// What is known of a place.
#[derive(Debug, Clone, Default)]
struct Known {
    /// It is not among those that the observer began with.
    is_heard_of: bool,
    /// Who answered there last.
    node: Option<BrokerId>,
    /// The number of the last question; 0 before the first.
    asked: u64,
    /// How often in a row it could not be asked.
    failures: u32,
    /// Not to be asked before.
    rests_until: Duration,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask there.
    Ask {
        /// Where.
        place: Place,
        /// Whether it leads, by its own word or that of others.
        leads: bool,
    },
    /// Nobody is to be asked for so long.
    Rest(Duration),
}

impl Course {
    pub(super) fn new(places: impl IntoIterator<Item = Place>) -> Self {
        let places = places.into_iter().map(|place| (place, Known::default())).collect();
        Self { places, heard: LeaderHint::default(), is_over: false, asked: 0 }
    }

    /// Who seems to lead.
    pub(super) fn hint(&self) -> LeaderHint {
        LeaderHint { leader: self.heard.leader.filter(|_| !self.is_over), ..self.heard }
    }

    /// The last leadership that was heard of, whether it is over or not: only news of another one are news.
    pub(super) fn heard(&self) -> LeaderHint {
        self.heard
    }

    /// Whom to ask for records.
    pub(super) fn next(&mut self, now: Duration) -> Next {
        let leader = self.leader().filter(|place| self.is_ready(place, now));
        let leads = leader.is_some();
        let ready = self.places.iter().filter(|(_, known)| known.rests_until <= now);
        let longest_ago = ready.min_by_key(|(_, known)| known.asked).map(|(place, _)| place.clone());
        match leader.or(longest_ago) {
            Some(place) => {
                self.note_asked(&place);
                Next::Ask { place, leads }
            }
            None => {
                let soonest = self.places.values().map(|known| known.rests_until).min().unwrap_or(now);
                Next::Rest(soonest.saturating_sub(now).max(Duration::from_millis(1)))
            }
        }
    }

    /// Whom to ask for who leads, besides the one that seems to: whoever was not asked for longest. `None` where there is
    /// nobody else, or nobody seems to lead and all are asked in turn anyway.
    pub(super) fn beside(&mut self, now: Duration) -> Option<Place> {
        let leader = self.leader()?;
        let others =
            self.places.iter().filter(|(place, known)| **place != leader && known.rests_until <= now);
        let place = others.min_by_key(|(_, known)| known.asked).map(|(place, _)| place.clone())?;
        self.note_asked(&place);
        Some(place)
    }

    /// All places, those first that are most likely to know what is committed.
    pub(super) fn by_promise(&self) -> Vec<Place> {
        let leader = self.leader();
        let mut places: Vec<(bool, u32, &Place)> = self
            .places
            .iter()
            .map(|(place, known)| (Some(place) != leader.as_ref(), known.failures, place))
            .collect();
        places.sort();
        places.into_iter().map(|(.., place)| place.clone()).collect()
    }

    /// Takes note of an answer.
    pub(super) fn answered(&mut self, now: Duration, place: &Place, answer: &Answer) {
        self.take_hint(answer.node, answer.leader);
        if let (Some(leader), Some(at)) = (answer.leader.leader, &answer.leader_at) {
            self.note_place(leader, at);
        }
        let leads = self.hint().leader == Some(answer.node);
        let is_idle = matches!(&answer.found, Found::Records(records) if records.is_empty());
        if let Some(known) = self.places.get_mut(place) {
            known.node = Some(answer.node);
            known.failures = 0;
            known.rests_until = if is_idle && !leads { now.saturating_add(TURN) } else { now };
        }
    }

    /// Takes note that a place could not be asked.
    pub(super) fn failed(&mut self, now: Duration, place: &Place) {
        if let Some(known) = self.places.get_mut(place) {
            let pause = FIRST_PAUSE.saturating_mul(1 << known.failures.min(16)).min(LONGEST_PAUSE);
            known.failures = known.failures.saturating_add(1);
            known.rests_until = now.saturating_add(pause);
        }
    }

    fn take_hint(&mut self, from: BrokerId, told: LeaderHint) {
        if told.epoch > self.heard.epoch {
            (self.heard, self.is_over) = (told, false);
        } else if told.epoch == self.heard.epoch {
            match self.heard.leader {
                None => self.heard.leader = told.leader,
                // It must know. Others may not have heard yet.
                Some(leader) if leader == from => self.is_over = told.leader != Some(leader),
                Some(_) => {}
            }
        }
    }

    /// Takes note of a place that another node tells of. Of too many, the one goes that was of least use.
    fn note_place(&mut self, node: BrokerId, at: &Place) {
        if self.places.contains_key(at) {
            return;
        }
        let heard_of = self.places.iter().filter(|(_, known)| known.is_heard_of);
        if heard_of.clone().count() >= MOST_HEARD_OF
            && let Some(useless) =
                heard_of.max_by_key(|(_, known)| known.failures).map(|(place, _)| place.clone())
        {
            self.places.remove(&useless);
        }
        let known = Known { node: Some(node), is_heard_of: true, ..Known::default() };
        self.places.insert(at.clone(), known);
    }

    /// Where the one is that seems to lead.
    fn leader(&self) -> Option<Place> {
        let leader = self.hint().leader?;
        // Where it was heard last, if it has moved.
        let places = self.places.iter().filter(|(_, known)| known.node == Some(leader));
        places
            .min_by_key(|(_, known)| (known.failures, u64::MAX - known.asked))
            .map(|(place, _)| place.clone())
    }

    fn is_ready(&self, place: &Place, now: Duration) -> bool {
        self.places.get(place).is_some_and(|known| known.rests_until <= now)
    }

    fn note_asked(&mut self, place: &Place) {
        self.asked += 1;
        if let Some(known) = self.places.get_mut(place) {
            known.asked = self.asked;
        }
    }
}
