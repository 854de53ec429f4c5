//! The nodes that are asked: whom to ask when, and which answers count.
//!
//! One probe to a node counts at a time, the last one. An answer to another one came late, or twice, and is dropped.

use std::time::Duration;

use ottla_types::config::listeners::Voter;
use ottla_types::{BrokerId, DirectoryId};

use super::contract::{ProbeId, Target, Timing};
use super::problem::{Problem, Silence};
use super::terms::{Address, Answer};

/// A node that is asked.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) target: Target,
    /// Its last answer, unless it is known to have been another directory's.
    pub(crate) answer: Option<Answer>,
    /// The last directory by which it asked this node.
    pub(crate) seen: Option<DirectoryId>,
    /// The probe that counts, and when it was sent.
    outstanding: Option<(ProbeId, Duration)>,
    /// When to ask next.
    due: Duration,
    /// When it answered last, or this node began to ask.
    heard: Duration,
    /// Why the last probe had no answer.
    why: Option<String>,
    /// What was last found to be wrong with it, so that it is told once.
    noticed: Option<Problem>,
}

impl Peer {
    pub(crate) fn listed(voter: &Voter, now: Duration) -> Self {
        Self::new(Target { node: Some(voter.id), address: Address::of(voter) }, now)
    }

    pub(crate) fn server(address: Address, now: Duration) -> Self {
        Self::new(Target { node: None, address }, now)
    }

    fn new(target: Target, now: Duration) -> Self {
        Self {
            target,
            answer: None,
            seen: None,
            outstanding: None,
            due: now,
            heard: now,
            why: None,
            noticed: None,
        }
    }

    pub(crate) fn is(&self, node: BrokerId) -> bool {
        self.target.node == Some(node)
    }

    /// Whether it is to be asked now. A probe that nothing came of for too long counts no more.
    pub(crate) fn is_due(&mut self, now: Duration, timing: &Timing) -> bool {
        if let Some((_, sent)) = self.outstanding {
            if now < sent + timing.patience {
                return false;
            }
            self.outstanding = None;
            self.why = Some("no answer in time".to_owned());
            return true;
        }
        now >= self.due
    }

    /// When [`Peer::is_due`] may change its mind.
    pub(crate) fn wakes_at(&self, timing: &Timing) -> Duration {
        self.outstanding.map_or(self.due, |(_, sent)| sent + timing.patience)
    }

    pub(crate) fn ask(&mut self, probe: ProbeId, now: Duration) {
        self.outstanding = Some((probe, now));
    }

    pub(crate) fn awaits(&self, probe: ProbeId) -> bool {
        self.outstanding.is_some_and(|(outstanding, _)| outstanding == probe)
    }

    pub(crate) fn answered(&mut self, answer: Answer, now: Duration, pause: Duration) {
        self.outstanding = None;
        (self.heard, self.due, self.why) = (now, now + pause, None);
        self.answer = Some(answer);
    }

    pub(crate) fn failed(&mut self, why: String, now: Duration, timing: &Timing) {
        self.outstanding = None;
        (self.due, self.why) = (now + timing.pause, Some(why));
    }

    /// Takes notice of the directory by which the node asks. What was heard of it before, and what is still on its way,
    /// may be of a directory that is lost: only what it is asked from now on counts.
    pub(crate) fn asks_with(&mut self, directory: DirectoryId, now: Duration) {
        if self.seen != Some(directory) {
            (self.seen, self.answer, self.outstanding) = (Some(directory), None, None);
            self.due = now;
        }
    }

    /// Whether a problem with it is news.
    pub(crate) fn is_news(&mut self, problem: &Problem) -> bool {
        let is_news = self.noticed.as_ref() != Some(problem);
        if is_news {
            self.noticed = Some(problem.clone());
        }
        is_news
    }

    /// Its silence, if it is silent.
    pub(crate) fn silence(&self, now: Duration) -> Option<Silence> {
        let why = self.why.clone()?;
        let Target { node, address } = self.target.clone();
        Some(Silence { node, address, lasting: now.saturating_sub(self.heard), why })
    }
}
